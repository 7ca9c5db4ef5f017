//! The keeper: it runs as root on the second room's host, by a timer, and no account of the controller's can enter what it
//! keeps. What it is told is a policy and what lies in the repositories, and neither makes anything go at once.
//!
//! For each `<root>/<installation>/<tenant>/repository`, which the tenant's account may change and delete as it likes, it
//! keeps a copy in `<root>/.kept/<installation>/<tenant>`, which no account can enter:
//!
//! * It **takes over** what is new. A file's name in restic's format is the hash of its content, and what does not match
//!   is not kept. Copies, never hard links: who has a file open could still write into it.
//! * It **puts back** what went or was altered, but by its own retention.
//! * It **forgets** what the policy has not asked for in 14 days, in a second copy first; that takes the first one's place
//!   only after every byte that stays has been read and found good, and then the repository follows.
//! * It **reports** all of it beside the copy.
//!
//! An account may change anything at any moment while the keeper works. So every path is walked from an open folder, one
//! name at a time, and no link is followed; what was read is judged by what was read, never by what a second look shows.

mod clock;
mod closing;
mod copying;
mod folder;
mod keeper;
mod key;
mod memory;
mod name;
mod notes;
mod pass;
mod place;
mod policy;
mod report;
mod retention;
mod runs;
mod sifting;
mod staging;
mod survey;

pub use keeper::{Keeper, KeeperError, Settings, Witness};
pub use policy::Policy;
pub use report::{Finding, Findings, Report, Retained};
pub use runs::{ByPolicy, KeepAll, Rule, Run};
pub use vertskommune_core::backup::Retention;
