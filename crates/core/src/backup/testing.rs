//! What the tests of backup share.

use jiff::{SignedDuration, Timestamp};

use super::facts::{DiskBackup, Outcome, Proof, ServerBackups};
use super::proving::ProofScope;
use super::{Backup, Mode, ProofRule, Retention, Selection, Window, Zone};
use crate::tenant::{Disk, Server};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn server(name: &str, disks: &[&str]) -> Server {
    let disk = |name: &&str| Disk { name: (*name).to_owned(), size: 1 << 30, storage_policy: None };
    Server {
        name: name.to_owned(),
        computer_name: name.to_owned(),
        template: "linux@1".to_owned(),
        vcpus: 1,
        memory: 1 << 30,
        disks: disks.iter().map(disk).collect(),
        interfaces: Vec::new(),
        anti_affinity: None,
        adopt: None,
        recreate: None,
        restart_before: None,
    }
}

pub(crate) fn oslo() -> Zone {
    Zone::named("Europe/Oslo").unwrap()
}

pub(crate) fn window(start: &str, duration: SignedDuration) -> Window {
    Window::new(Window::time_of_day(start).unwrap(), duration, oslo()).unwrap()
}

pub(crate) fn backup() -> Backup {
    Backup {
        provider: "second-room".into(),
        mode: Mode::Managed {
            window: window("22:00", hours(8)),
            retention: Retention { daily: 14, weekly: 8, ..Retention::default() },
        },
        selection: Selection::default(),
        max_age: hours(26),
        proof: ProofRule { max_age: hours(168), scope: ProofScope::OneDiskPerServer },
        keep_after_exit: hours(90 * 24),
        after: None,
    }
}

/// A disk that was taken then, and proven then.
pub(crate) fn disk(taken: &str, proven: Option<&str>) -> DiskBackup {
    let proof = proven.map(|proven| Proof { at: at(proven), outcome: Outcome::Intact });
    DiskBackup { bytes: 1 << 30, taken: at(taken), proof }
}

/// A server of which these disks lie in its last good run.
pub(crate) fn taken(last_good: &str, disks: &[(&str, Option<&str>)]) -> ServerBackups {
    let disks = disks.iter().map(|(name, proven)| ((*name).to_owned(), disk(last_good, *proven)));
    ServerBackups { last_good: Some(at(last_good)), disks: disks.collect(), ..ServerBackups::default() }
}
