//! A FortiGate's REST API (FortiOS 7.4) for tests and trials, with an admin port that counts, delays, faults and
//! cuts. It shares no type with any other crate of the project, so that a mistake in one is not confirmed by the
//! other.
//!
//! A request goes one way: [`Simulator`] listens, `api` reads the request and routes it, `cmdb` says what would
//! change given a view of the configuration, `config` carries it out or keeps it in a transaction, `render` and
//! `api` write the answer. What tables there are is said in `schema`, and nowhere else but for the few rules that
//! no schema can say (`cmdb::rules`).

mod access;
mod admin;
mod api;
mod clock;
mod cmdb;
mod config;
mod device;
mod export;
mod identity;
mod journal;
mod listener;
mod monitor;
mod options;
mod orders;
mod recording;
mod render;
mod schema;
mod simulator;
mod store;
mod sync;
mod tls;
mod value;

pub mod cli;

pub use cmdb::CmdbError;
pub use config::SeedError;
pub use identity::{Firmware, Identity};
pub use options::{Certificate, Login, Options};
pub use simulator::{Simulator, StartError};
pub use tls::TlsError;
