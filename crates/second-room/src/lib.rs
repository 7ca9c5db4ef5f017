//! What runs on the second room's host for the controller.
//!
//! * [`protocol`]: what the controller asks and what it is answered, one JSON document each.
//! * [`agent`]: who answers, as root, behind a forced command of sshd. It makes accounts and folders and tells what is
//!   there. It has no operation that deletes, and none that changes what an account owns.
//! * [`job`]: what the job of another product tells of its backups, as that product's script leaves it there.
//!
//! How the host is set up is in `deploy/second-room`.

pub mod agent;
mod authorized_key;
pub mod job;
mod label;
pub mod protocol;

pub use authorized_key::{AuthorizedKey, BadKey};
pub use label::{BadLabel, Label, account_name};
