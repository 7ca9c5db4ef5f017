//! One SSH connection to a host whose key is pinned: a command with its input and output ([`Session::exec`]), or a
//! subsystem as a stream of bytes both ways ([`Session::join`]), or small files ([`Session::files`]).
//!
//! * The host's key is compared before anything of a credential is sent.
//! * Every wait has a limit of its own ([`Limits`]) and ends when its [`Cancel`] says so.
//! * It blocks: call it under `spawn_blocking`, or from a program that does nothing else.
//! * No key is in an error, a `Debug` output or a file.
//!
//! One thread drives the connection, without blocking below it: libssh2 has one lock for a session, so that a second
//! thread would only wait for the first.

mod buffer;
mod cancel;
mod connect;
mod error;
mod exec;
mod files;
mod frames;
mod host_key;
mod link;
mod private_key;
mod pump;
mod report;
mod session;

pub use cancel::Cancel;
pub use error::{Error, ErrorKind};
pub use exec::Output;
pub use files::Files;
pub use host_key::{BadHostKey, HostKey};
pub use private_key::{BadPrivateKey, PrivateKey};
pub use pump::Transfer;
pub use report::{Report, Reported};
pub use session::{Limits, Session, Target};
