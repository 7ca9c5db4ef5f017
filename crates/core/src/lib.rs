//! What this product knows, without any means to act on it.
//!
//! A manifest becomes a [`tenant::ValidatedTenant`], a plugin expands it to [`resource::Resource`]s, a sweep gives an
//! [`observation::Observation`], [`check`](check::check) holds all of it against the other tenants and the host's
//! ground, [`plan`](plan::plan) makes every choice, and [`render`] shows it. Same input, same bytes out: no I/O, no
//! clock, no randomness, no async, no log. What it takes to act lives in `provider` and `engine`.

pub mod backup;
pub mod check;
pub mod difference;
pub mod directory;
pub mod domain;
pub mod error;
pub mod facts;
pub mod firewall;
pub mod host;
pub mod names;
pub mod observation;
pub mod plan;
pub mod reason;
pub mod render;
pub mod resource;
pub mod schema;
pub mod step;
pub mod tenant;
pub mod transfer;
pub mod tree;
pub mod violation;
pub mod windows;
