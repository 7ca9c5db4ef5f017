//! What is known of a tenant's backups, as a plugin has seen it in the second room. It comes with the
//! [`Observation`](crate::observation::Observation), and is as plain as it: everything survives a round trip.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::de::IntoDeserializer as _;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};

use super::Selection;
use crate::reason::Reason;
use crate::tenant::Server;

/// How far something may lie in the future before a clock is taken to be wrong.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);

/// What a plugin calls the place where a tenant's backups lie. While that is lost or unknown, nothing is said of what lies
/// in it.
pub const REPOSITORY: &str = "repository";

/// From when on something of that time is no longer taken to be of the future.
pub(super) fn believed(at: Timestamp) -> Timestamp {
    at.checked_sub(AHEAD).unwrap_or(at)
}

/// What is known of a tenant's backups, and since when. A copy is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// When it was seen. A later look that fails leaves what was known, for a while.
    pub seen_at: Timestamp,
    /// What was seen.
    pub backups: Arc<Backups>,
}

/// What a [`Coverage`](crate::observation::Coverage) calls the statuses of other products' jobs, where they were not seen.
pub const JOB: &str = "job";

/// What the jobs of other products have left in the second room, and since when that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// When it was seen. A later look that fails leaves what was known, for a while.
    pub seen_at: Timestamp,
    /// By the job's name there. A job without an entry has left nothing, which is not the same as having no backup.
    pub left: BTreeMap<String, JobStatus>,
}

/// What one job has left. A copy is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    /// What it says of the backups that it takes.
    Told(Arc<Backups>),
    /// Something that tells nothing, and why, in one sentence.
    Unreadable(String),
}

/// The backups of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backups {
    /// By server, also those that the manifest no longer names.
    pub servers: BTreeMap<String, ServerBackups>,
    /// Bytes of disk a second, as the last runs went.
    pub throughput: Option<u64>,
    /// What the last check of the repository found damaged, in one sentence.
    pub damage: Option<String>,
}

/// The backups of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerBackups {
    /// When the last good run began: one that is whole, with the server's configuration. It is the time that a restore
    /// brings back.
    pub last_good: Option<Timestamp>,
    /// Its disks in the backups, by the names that the manifest gives them; one that it does not name has the system's.
    pub disks: BTreeMap<String, DiskBackup>,
    /// Whether its disks are not told apart: then it has all of them under one name in `disks`.
    pub is_whole: bool,
    /// What of it could not be backed up the last time.
    pub obstacles: Vec<Obstacle>,
}

/// A disk in the backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskBackup {
    /// Its size, as it is read for a backup.
    pub bytes: u64,
    /// When the last good run that holds it began.
    pub taken: Timestamp,
    /// What the last restore of it showed.
    pub proof: Option<Proof>,
}

/// A backup of a disk that was restored and compared with what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// When the restore began. It says nothing of what was asked for or mended while it ran.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every byte came back.
    Intact,
    /// It did not come back as it was; in one sentence.
    Damaged(String),
}

impl Outcome {
    /// What is damaged, in one sentence.
    pub fn damage(&self) -> Option<&str> {
        match self {
            Self::Intact => None,
            Self::Damaged(what) => Some(what),
        }
    }
}

impl DiskBackup {
    /// What the last restore of it showed. A proof of a time that is yet to come is none: by a wrong clock the next one
    /// would never be due.
    pub fn proof_by(&self, now: Timestamp) -> Option<&Proof> {
        self.proof.as_ref().filter(|proof| !proof.is_ahead(now))
    }
}

impl Proof {
    /// Whether it is of a time that is yet to come.
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        now < believed(self.at)
    }

    /// When it was proven to be intact.
    pub fn intact(&self) -> Option<Timestamp> {
        (self.outcome == Outcome::Intact).then_some(self.at)
    }
}

/// Something that cannot be backed up this way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Obstacle {
    /// The disk; the server as a whole where there is none.
    pub disk: Option<String>,
    /// Why.
    pub why: Hindrance,
    /// What the system said of it, where it said anything.
    pub detail: Option<String>,
}

/// Why something cannot be backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hindrance {
    /// The guest did not hold still for a snapshot.
    QuiesceFailed,
    /// The disk is a raw device of the SAN.
    RawDeviceMapping,
    /// The disk is left out of snapshots by its mode.
    IndependentDisk,
    /// The disk is encrypted, or the machine has a virtual TPM.
    Encrypted,
    /// The disk or its controller is shared between machines.
    SharedDisk,
    /// The system refuses a snapshot.
    SnapshotRefused,
    /// The system does not give the disk out.
    ExportRefused,
    /// Another product's job says so.
    JobReports,
    /// Something that this version has no name for. The detail has the word.
    Other,
}

impl Hindrance {
    /// The reason, with what would help.
    pub fn reason(self) -> Reason {
        match self {
            Self::QuiesceFailed => Reason::QuiesceFailed,
            Self::RawDeviceMapping => Reason::RawDeviceMapping,
            Self::IndependentDisk => Reason::IndependentDisk,
            Self::Encrypted => Reason::Encrypted,
            Self::SharedDisk => Reason::SharedDisk,
            Self::SnapshotRefused => Reason::SnapshotRefused,
            Self::ExportRefused => Reason::ExportRefused,
            Self::JobReports => Reason::JobReports,
            Self::Other => Reason::Other,
        }
    }

    /// The reason as a CamelCase word for machines.
    pub fn word(self) -> &'static str {
        self.reason().word()
    }

    /// The reason that is written as this word.
    pub fn read(word: &str) -> Option<Self> {
        let word: StrDeserializer<'_, serde::de::value::Error> = word.into_deserializer();
        Self::deserialize(word).ok()
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuiesceFailed => {
                "the guest does not hold still for a snapshot: look after VMware Tools and the writers in it"
            }
            Self::RawDeviceMapping => {
                "a raw device mapping has no snapshot: back it up from within the guest and exclude it here, or make it \
                 a virtual disk"
            }
            Self::IndependentDisk => {
                "an independent disk has no snapshot: make it dependent, or exclude it"
            }
            Self::Encrypted => {
                "what is encrypted is not given out: back it up from within the guest and exclude it here"
            }
            Self::SharedDisk => {
                "a shared disk has no snapshot: back it up from within the guest and exclude it here"
            }
            Self::SnapshotRefused => "a snapshot is refused: see the events of the machine",
            Self::ExportRefused => "the disk is not given out: see the events of the machine",
            Self::JobReports => "the job that backs it up reports an obstacle: see it in that product",
            Self::Other => "a newer version of vertskommune wrote down an obstacle that this one does not know: update it",
        })
    }
}

impl ServerBackups {
    /// Those disks of `server` in the backups that are to be backed up: all that its manifest names, and of the rest
    /// those that its last good run holds. One that is told as a whole has all of its disks in any that is selected.
    pub fn current<'a>(
        &'a self,
        server: &'a Server,
        selection: &'a Selection,
    ) -> impl Iterator<Item = (&'a str, &'a DiskBackup)> {
        let named = |name: &str| server.disks.iter().any(|disk| disk.name == name);
        let disks = self.disks.iter().map(|(name, disk)| (name.as_str(), disk));
        disks.filter(move |(name, disk)| named(name) || Some(disk.taken) == self.last_good).filter(
            |(name, _)| {
                if self.is_whole { selection.covers(server) } else { selection.covers_disk(server, name) }
            },
        )
    }

    /// What of `server` is to be backed up and cannot be.
    pub fn hindered<'a>(
        &'a self,
        server: &'a Server,
        selection: &'a Selection,
    ) -> impl Iterator<Item = &'a Obstacle> {
        self.obstacles
            .iter()
            .filter(|obstacle| obstacle.disk.as_ref().is_none_or(|disk| selection.covers_disk(server, disk)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, disk, server, taken};
    use super::*;

    #[test]
    fn a_disk_that_went_with_the_manifest_is_none_of_its_backup_any_more() {
        let mut backups = taken("2026-11-24T22:00:00Z", &[("data", None), ("system", None)]);
        backups.disks.insert("old".to_owned(), disk("2026-05-01T22:00:00Z", None));
        backups.disks.insert("logs".to_owned(), disk("2026-11-20T22:00:00Z", None));
        let names = |selection: &Selection| {
            let server = server("fs01", &["data", "logs"]);
            backups.current(&server, selection).map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&Selection::default()), ["data", "logs", "system"]);
        let exclude = ["fs01/logs".into()].into();
        assert_eq!(names(&Selection { exclude, ..Selection::default() }), ["data", "system"]);
    }

    #[test]
    fn a_hindrance_is_known_again_by_its_word() {
        let first = Hindrance::QuiesceFailed as usize;
        let mut known = Vec::new();
        for word in [
            "QuiesceFailed",
            "RawDeviceMapping",
            "IndependentDisk",
            "Encrypted",
            "SharedDisk",
            "SnapshotRefused",
            "ExportRefused",
            "JobReports",
            "Other",
        ] {
            let hindrance = Hindrance::read(word).unwrap();
            assert_eq!(hindrance.word(), word);
            known.push(hindrance as usize);
        }
        assert_eq!(known, (first..=Hindrance::Other as usize).collect::<Vec<_>>(), "all of them");
        assert_eq!(Hindrance::read("OnTheMoon"), None);
    }

    #[test]
    fn what_is_known_survives_a_round_trip() {
        let mut server = taken("2026-11-24T22:00:00Z", &[("data", Some("2026-11-25T08:00:00Z"))]);
        let damaged =
            Proof { at: at("2026-11-25T09:00:00Z"), outcome: Outcome::Damaged("byte 7".to_owned()) };
        server.disks.insert(
            "logs".to_owned(),
            DiskBackup { proof: Some(damaged), ..disk("2026-11-24T22:00:00Z", None) },
        );
        server.obstacles.push(Obstacle {
            disk: None,
            why: Hindrance::QuiesceFailed,
            detail: Some("VSS".to_owned()),
        });
        let backups = Backups {
            servers: BTreeMap::from([("fs01".to_owned(), server)]),
            throughput: Some(80 << 20),
            damage: Some("pack 12 is damaged".to_owned()),
        };
        let known = Known { seen_at: at("2026-11-25T10:00:00Z"), backups: Arc::new(backups) };
        let text = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<Known>(&text).unwrap(), known, "{text}");
    }
}
