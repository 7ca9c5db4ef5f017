//! Work that time brings and that moves bytes: a backup that is due, a proof that has grown old.
//!
//! It is no difference between what a tenant should have and what it has, so no step of a plan: a plan's digest stays the
//! same whatever the hour. It follows from what was asked for, what was seen and `now`, like everything here.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{ProviderName, TenantName};

/// One piece of such work. It concerns one server, so that one that fails holds up no other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Transfer {
    /// Since when it is due; the oldest goes first.
    pub due: Timestamp,
    /// Who carries it out.
    pub provider: ProviderName,
    /// Whose it is.
    pub tenant: TenantName,
    /// The server's name.
    pub server: String,
    /// What is done.
    pub work: Work,
}

/// What is done with a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Work {
    /// A backup is taken of it.
    Backup,
    /// The last backup of a disk is restored and compared with what was sent.
    Proof {
        /// The disk's name.
        disk: String,
    },
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::Backup => write!(f, "backing up {}", self.server),
            Work::Proof { disk } => write!(f, "proving {}/{disk}", self.server),
        }
    }
}

/// One that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    /// What it is.
    pub transfer: Transfer,
    /// Since when.
    pub since: Timestamp,
    /// Bytes that were moved so far.
    pub bytes: u64,
    /// Of how many; 0 where that is not known yet.
    pub of: u64,
}

impl Underway {
    /// How far it is, 0 to 100, where that can be told.
    pub fn percent(&self) -> Option<u8> {
        let percent = u128::from(self.bytes) * 100 / u128::from(Some(self.of).filter(|of| *of > 0)?);
        Some(u8::try_from(percent).unwrap_or(100).min(100))
    }
}

impl fmt::Display for Underway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.transfer)?;
        self.percent().map_or(Ok(()), |percent| write!(f, " ({percent}%)"))
    }
}

/// One that failed when it was tried last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What it is.
    pub transfer: Transfer,
    /// When it failed.
    pub at: Timestamp,
    /// Why, in one sentence.
    pub why: String,
    /// When it may be tried again, as long as its time has not passed.
    pub again: Timestamp,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed at {:.0}: {}", self.transfer, self.at, self.why)
    }
}

/// What of a tenant is due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// What is due now.
    pub now: Vec<Transfer>,
    /// When something will be that is not yet; nothing where no time is known.
    pub next: Option<Timestamp>,
}
