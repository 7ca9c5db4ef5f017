//! One SSH connection to a host whose key is pinned: a command with its input and output ([`Session::exec`]), or small files
//! ([`Session::files`]); and a stream of SFTP for another program, through the stock `ssh` ([`Stock`]).
//!
//! * The host's key is compared before anything of a credential is sent.
//! * Every wait has a limit of its own ([`Limits`]) and ends when its [`Cancel`] says so.
//! * It blocks: call it under `spawn_blocking`, or from a program that does nothing else.
//! * No key is in an error, a `Debug` output, an argument or a file that has a name.
//!
//! One thread drives the connection, without blocking below it: libssh2 has one lock for a session, so that a second
//! thread would only wait for the first.

mod cancel;
mod connect;
mod error;
mod exec;
mod files;
mod host_key;
mod link;
mod memory;
mod private_key;
mod session;
mod stock;

pub use cancel::Cancel;
pub use error::{Error, ErrorKind};
pub use exec::Output;
pub use files::Files;
pub use host_key::{BadHostKey, HostKey};
pub use private_key::{BadPrivateKey, PrivateKey};
pub use session::{Limits, Session, Target};
pub use stock::Stock;
