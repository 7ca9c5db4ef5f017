//! Backup as a tenant asks for it, and all that can be judged of it without touching anything: whose turn it is, what is
//! proven next, what may be forgotten, and whether the tenant is protected.
//!
//! What takes a backup lives in a plugin. Nothing here has a clock: `now` is an argument, and a run that is due is no
//! desired resource, so that a plan's digest never changes with the time of day.

pub mod facts;
pub mod proving;
pub mod report;
pub mod retention;
pub mod window;
mod zone;

use std::collections::BTreeSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use facts::{Backups, JobStatus, Jobs, Known};
pub use proving::ProofRule;
pub use report::{Report, report};
pub use retention::Retention;
pub use window::{Schedule, Window};
pub use zone::{NoZone, Zone};

use crate::names::ProviderName;
use crate::tenant::Server;

/// What a selection calls every disk of a server that its manifest does not name: those of its template.
pub const SYSTEM: &str = "system";

/// How a tenant's servers are backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The `HostProvider` that holds the backups.
    pub provider: ProviderName,
    /// Who takes them.
    pub mode: Mode,
    /// Of which servers and disks.
    pub selection: Selection,
    /// How old the last good backup of a server may be.
    pub max_age: SignedDuration,
    /// What is proven by restoring it, and how often.
    pub proof: ProofRule,
    /// How long everything is kept of a tenant that has left.
    pub keep_after_exit: SignedDuration,
    /// Backups and proofs have to be younger than this, whatever the schedule says: somebody has asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
}

impl Backup {
    /// The window in which we take backups; none where another product does.
    pub fn window(&self) -> Option<&Window> {
        match &self.mode {
            Mode::Managed { window, .. } => Some(window),
            Mode::External { .. } => None,
        }
    }

    /// The job of another product that is watched; none where we take the backups.
    pub fn job(&self) -> Option<&str> {
        match &self.mode {
            Mode::Managed { .. } => None,
            Mode::External { job } => Some(job),
        }
    }
}

/// Who takes the backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// We do.
    Managed {
        /// When.
        window: Window,
        /// Which of them are kept.
        retention: Retention,
    },
    /// A product that is there already does; its job is only watched.
    External {
        /// The job's name there.
        job: String,
    },
}

/// Which servers and disks are backed up. What is excluded is left out, whatever includes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Only these; all where it is empty.
    pub include: BTreeSet<Item>,
    /// Not these.
    pub exclude: BTreeSet<Item>,
}

impl Selection {
    /// Whether anything of the server is backed up.
    pub fn covers(&self, server: &Server) -> bool {
        let disks = server.disks.iter().map(|disk| disk.name.as_str());
        disks.chain([SYSTEM]).any(|disk| self.covers_disk(server, disk))
    }

    /// Whether this disk of the server is backed up. One that the manifest does not name goes by [`SYSTEM`].
    pub fn covers_disk(&self, server: &Server, disk: &str) -> bool {
        let disk = if server.disks.iter().any(|it| it.name == disk) { disk } else { SYSTEM };
        let named = |items: &BTreeSet<Item>| items.iter().any(|item| item.means(&server.name, disk));
        (self.include.is_empty() || named(&self.include)) && !named(&self.exclude)
    }
}

/// A server, or one disk of it: `ibe-fs01` or `ibe-fs01/data`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Item {
    /// The server.
    pub server: String,
    /// The disk; all of the server's where there is none.
    pub disk: Option<String>,
}

impl Item {
    fn means(&self, server: &str, disk: &str) -> bool {
        self.server == server && self.disk.as_deref().is_none_or(|it| it == disk)
    }
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        match text.split_once('/') {
            Some((server, disk)) => Self { server: server.to_owned(), disk: Some(disk.to_owned()) },
            None => Self { server: text.to_owned(), disk: None },
        }
    }
}

impl From<String> for Item {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Item> for String {
    fn from(item: Item) -> Self {
        item.to_string()
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.disk {
            Some(disk) => write!(f, "{}/{disk}", self.server),
            None => f.pad(&self.server),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::*;
    use testing::server;

    fn items(items: &[&str]) -> BTreeSet<Item> {
        items.iter().map(|item| Item::from(*item)).collect()
    }

    #[test]
    fn what_is_excluded_is_left_out_whatever_includes_it() {
        let fs = server("fs01", &["data", "scratch"]);
        for (include, exclude, covered, reason) in [
            (&[][..], &[][..], "data scratch system", "all by default"),
            (&["fs01"], &[], "data scratch system", "a server is all of its disks"),
            (&["fs01/data"], &[], "data", "one disk alone"),
            (&["db01"], &[], "", "another server alone"),
            (&[], &["fs01"], "", "a server left out"),
            (&[], &["fs01/scratch"], "data system", "a disk left out"),
            (&["fs01"], &["fs01/system"], "data scratch", "the template's own disk left out"),
            (&["fs01/data"], &["fs01"], "", "included and excluded"),
        ] {
            let selection = Selection { include: items(include), exclude: items(exclude) };
            let disks = ["data", "scratch", "system"];
            let disks: Vec<_> = disks.into_iter().filter(|disk| selection.covers_disk(&fs, disk)).collect();
            assert_eq!(disks.join(" "), covered, "{reason}");
            assert_eq!(selection.covers(&fs), !covered.is_empty(), "{reason}");
            assert_eq!(selection.covers_disk(&fs, "Hard disk 1"), covered.contains("system"), "{reason}");
        }
    }

    #[test]
    fn what_is_asked_for_survives_a_round_trip() {
        let mut backup = testing::backup();
        backup.selection.include = items(&["fs01", "db01/data"]);
        let text = serde_json::to_string(&backup).unwrap();
        assert_eq!(serde_json::from_str::<Backup>(&text).unwrap(), backup, "{text}");
        let nonsense = text.replace("Europe/Oslo", "Europe/Harstad");
        assert!(serde_json::from_str::<Backup>(&nonsense).is_err(), "a zone that is none is read as none");
    }
}
