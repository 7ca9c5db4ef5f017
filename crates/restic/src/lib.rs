//! Drives the stock `restic` program, version 0.14 and later. Knows repositories, nothing of tenants.
//!
//! What holds for every call:
//!
//! * A secret goes to the child as an anonymous file in memory ([`Password`]), never by disk, argument or environment. The
//!   environment is cleared.
//! * The child has a process group of its own and a time limit ([`Bounds`]). It is ended when the call is cancelled or
//!   dropped, and by the kernel when this process dies: no restic runs on without its master.
//! * A stream that breaks off is no backup: the child is ended before its input is closed, so that it never takes the
//!   break for the end.
//! * Memory is bounded: streams are never held as a whole, lines are cut, documents have a limit.
//!
//! The rules of restic's locks: a lock is stale once it was not refreshed for half an hour (a living restic does so every
//! five minutes), or when it names this host and a process that is not there. [`Repository::unlock`] removes no other.

mod backup;
mod child;
mod damage;
mod error;
pub mod escrow;
mod keys;
mod locks;
mod output;
mod password;
mod reading;
mod repository;
mod snapshots;

pub use backup::{Backup, Progress, Summary};
pub use damage::Damage;
pub use error::Error;
pub use keys::Key;
pub use locks::{Holder, Lock, STALE_AFTER};
pub use password::Password;
pub use reading::{Part, Read, SHORTEST};
pub use repository::{Bounds, Location, Repository, Restic, Version};
pub use snapshots::{Filter, Snapshot};
