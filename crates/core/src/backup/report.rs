//! Whether a tenant is protected: a fresh backup of every server in the other room, proven by restoring it. From what is
//! known, what is asked for, and the time; nothing is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Backup;
use super::facts::{Backups, Hindrance, JOB, JobStatus, Outcome, REPOSITORY, ServerBackups, believed};
use crate::names::{Kind, ResourceKey, TenantName};
use crate::observation::{Blindness, Observation, Seen};
use crate::reason;
use crate::tenant::Server;

/// How long what was known still counts while the second room does not answer. A short outage changes nothing of what
/// lies there, and a condition that came and went with it would say nothing either.
pub const KEPT_SIGHT: SignedDuration = SignedDuration::from_hours(1);

/// What is to be said of a tenant's backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether it is protected.
    pub verdict: Verdict,
    /// Everything that is wrong, the worst first; none where it is protected.
    pub problems: Vec<Problem>,
    /// What is known of each server that is to be backed up, in the order of the manifest.
    pub servers: Vec<ServerReport>,
    /// The oldest of the last good backups.
    pub last_backup: Option<Timestamp>,
    /// The oldest of the last proofs that there must be.
    pub last_proof: Option<Timestamp>,
    /// Bytes of all disks as they are read for a backup.
    pub bytes: u64,
    /// When it has to be asked for again, since time alone changes the answer.
    pub changes_at: Option<Timestamp>,
}

/// Whether a tenant is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is.
    Protected,
    /// It is not.
    Unprotected,
    /// It cannot be told.
    Unknown,
}

/// What is known of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Its name.
    pub name: String,
    /// When its last good backup began; where its disks are of several runs, the oldest of them.
    pub last_backup: Option<Timestamp>,
    /// When one of its disks was last proven.
    pub last_proof: Option<Timestamp>,
    /// Its disks that are backed up, each with when it was last restored, whatever came of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restored: BTreeMap<String, Option<Timestamp>>,
    /// Bytes of its disks.
    pub bytes: u64,
    /// Why something of it cannot be backed up this way.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hindered_by: BTreeSet<Hindrance>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// What.
    pub reason: Reason,
    /// The server that it is about; none where it is about all.
    pub server: Option<String>,
    /// One sentence for people.
    pub message: String,
}

/// Why a tenant is not protected, the worst first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// What lies there lies in the room of the servers.
    SameSite,
    /// Nobody is there that could tell.
    NoProvider,
    /// The second room was not seen, for this reason.
    Unseen(String),
    /// The job of another product has left no status there. It may well take backups.
    NoJobStatus,
    /// It has left one that tells nothing.
    JobStatusUnreadable,
    /// The place where the backups lay is gone.
    RepositoryLost,
    /// What lies there is damaged.
    CorruptionFound,
    /// A server or disk has no backup.
    NoBackupYet,
    /// The last good backup is too old.
    BackupTooOld,
    /// No backup was ever proven.
    NeverProven,
    /// The last proof is too old.
    ProofTooOld,
    /// Something cannot be backed up this way.
    NotEverythingCanBeBackedUp,
    /// A backup or a proof lies in the future.
    ClockAhead,
}

impl Reason {
    /// The reason among those of the whole project, with what would help.
    pub fn known(&self) -> reason::Reason {
        match self {
            Self::SameSite => reason::Reason::SameSite,
            Self::NoProvider => reason::Reason::NoProvider,
            // It is the word of a blindness.
            Self::Unseen(why) => reason::Reason::of(why).unwrap_or(reason::Reason::Incomplete),
            Self::NoJobStatus => reason::Reason::NoJobStatus,
            Self::JobStatusUnreadable => reason::Reason::JobStatusUnreadable,
            Self::RepositoryLost => reason::Reason::RepositoryLost,
            Self::CorruptionFound => reason::Reason::CorruptionFound,
            Self::NoBackupYet => reason::Reason::NoBackupYet,
            Self::BackupTooOld => reason::Reason::BackupTooOld,
            Self::NeverProven => reason::Reason::NeverProven,
            Self::ProofTooOld => reason::Reason::ProofTooOld,
            Self::NotEverythingCanBeBackedUp => reason::Reason::NotEverythingCanBeBackedUp,
            Self::ClockAhead => reason::Reason::ClockAhead,
        }
    }

    /// The reason as a CamelCase word for machines.
    pub fn word(&self) -> &str {
        match self {
            Self::Unseen(why) => why,
            other => other.known().word(),
        }
    }
}

impl Report {
    /// The reason of the verdict as a CamelCase word.
    pub fn word(&self) -> &str {
        match self.problems.first() {
            Some(problem) => problem.reason.word(),
            None if self.servers.is_empty() => reason::Reason::NothingToBackUp.word(),
            None => reason::Reason::FreshAndProven.word(),
        }
    }

    /// What lies in the room of its servers, or may, protects nobody, however fresh it is.
    pub fn is_in_the_same_room(&mut self, message: &str) {
        let problem = Problem { reason: Reason::SameSite, server: None, message: message.to_owned() };
        self.problems.insert(0, problem);
        self.verdict = Verdict::Unprotected;
    }

    /// All that is wrong, in one line.
    pub fn line(&self) -> String {
        let mut line = String::new();
        for problem in &self.problems {
            let separator = if line.is_empty() { "" } else { "; " };
            // Writing to a String does not fail.
            let _ = match &problem.server {
                Some(server) => write!(line, "{separator}{server}: {}", problem.message),
                None => write!(line, "{separator}{}", problem.message),
            };
        }
        line
    }

    /// Whether what lies there cannot be told, and nothing is known from before: then what was said before is still the best
    /// that can be said of it.
    pub fn knows_nothing(&self) -> bool {
        let reason = self.problems.first().map(|problem| &problem.reason);
        matches!(reason, Some(Reason::Unseen(_) | Reason::RepositoryLost))
            && self.servers.iter().all(|server| server.last_backup.is_none())
    }

    /// Whether nothing was seen yet, as after a start: then what was said before still stands.
    pub fn is_not_yet_observed(&self) -> bool {
        self.word() == Blindness::NotYetObserved.word()
    }
}

/// Judges the backups of a tenant with these servers. `seen` is what was seen of the provider that it names; nothing
/// where there is no such provider, or where it is none for backups.
pub fn report(
    backup: &Backup,
    tenant: &TenantName,
    servers: &[Server],
    seen: Option<&Observation>,
    now: Timestamp,
) -> Report {
    let none = Backups::default();
    let Some(seen) = seen else {
        let message =
            format!("{} is no provider of backups that could be asked: see its status", backup.provider);
        return Draft::new(backup, servers, &none, now).unknown(Reason::NoProvider, message);
    };
    let mut passing = false;
    let (gap, known) = match backup.job() {
        None => {
            let known = seen.backups.get(tenant).map(|known| (known.seen_at, known.backups.as_ref()));
            let key = ResourceKey::new(REPOSITORY, tenant.as_str());
            let place = seen.seen.get(tenant).and_then(|things| things.get(&key));
            match (seen.coverage.gap(tenant, &Kind::from("backup")), place) {
                (None, Some(Seen::Lost { identity })) => {
                    let backups = known.map_or(&none, |(_, backups)| backups);
                    let message = format!(
                        "{}: {identity}, where the backups lay, is gone: the keeper there puts its copy back with its next run",
                        backup.provider
                    );
                    return Draft::new(backup, servers, backups, now).lost(message);
                }
                // It is there, and it will be seen again when the plan is carried out.
                (None, Some(Seen::Unknown(why))) => {
                    passing = true;
                    (Some(why), known)
                }
                (gap, _) => (gap, known),
            }
        }
        Some(job) => {
            let gap = seen.coverage.blind.as_ref().or_else(|| seen.coverage.kinds.get(&Kind::from(JOB)));
            match (gap, seen.jobs.left.get(job)) {
                (gap, Some(JobStatus::Told(told))) => (gap, Some((seen.jobs.seen_at, told.as_ref()))),
                (None, left) => {
                    let (reason, message) = untold(job, left);
                    let message = format!("{}: {message}", backup.provider);
                    return Draft::new(backup, servers, &none, now).unknown(reason, message);
                }
                (gap, _) => (gap, None),
            }
        }
    };
    let backups = known.map_or(&none, |(_, backups)| backups);
    let mut draft = Draft::new(backup, servers, backups, now);
    passing |= matches!(gap, Some(Blindness::Unreachable(_) | Blindness::Incomplete(_)));
    match (gap, known) {
        (None, _) => draft.judged(),
        (Some(_), Some((seen_at, _))) if passing && now.duration_since(seen_at) < KEPT_SIGHT => {
            draft.turn(seen_at, KEPT_SIGHT);
            draft.judged()
        }
        (Some(why), _) => {
            let message = format!("{}: {why}", backup.provider);
            draft.unknown(Reason::Unseen(why.word().to_owned()), message)
        }
    }
}

/// Why nothing is known of what a job does: what it has left there tells nothing, or there is nothing.
fn untold(job: &str, left: Option<&JobStatus>) -> (Reason, String) {
    if let Some(JobStatus::Unreadable(why)) = left {
        return (Reason::JobStatusUnreadable, format!("the status of the job {job:?} cannot be used: {why}"));
    }
    let message = format!(
        "the job {job:?} has left no status, so that it is not known whether it takes backups: see its name in \
         spec.backup.external.job, and its post-job script as in deploy/second-room"
    );
    (Reason::NoJobStatus, message)
}

/// A report while it is made.
struct Draft<'a> {
    backup: &'a Backup,
    servers: &'a [Server],
    backups: &'a Backups,
    now: Timestamp,
    report: Report,
}

impl<'a> Draft<'a> {
    fn new(backup: &'a Backup, servers: &'a [Server], backups: &'a Backups, now: Timestamp) -> Self {
        let report = Report {
            verdict: Verdict::Unknown,
            problems: Vec::new(),
            servers: Vec::new(),
            last_backup: None,
            last_proof: None,
            bytes: 0,
            changes_at: None,
        };
        let mut draft = Self { backup, servers, backups, now, report };
        draft.count();
        draft
    }

    /// The report where nobody can tell: what is known is shown, and nothing is said of it.
    fn unknown(mut self, reason: Reason, message: String) -> Report {
        self.report.problems.push(Problem { reason, server: None, message });
        self.report
    }

    /// The report where nothing lies there any more: what was known is shown.
    fn lost(self, message: String) -> Report {
        Report { verdict: Verdict::Unprotected, ..self.unknown(Reason::RepositoryLost, message) }
    }

    fn judged(mut self) -> Report {
        if let Some(damage) = &self.backups.damage {
            self.wrong(
                Reason::CorruptionFound,
                None,
                format!("the check of the repository found damage: {damage}"),
            );
        }
        for server in self.covered() {
            match self.backups.servers.get(&server.name) {
                Some(known) => self.server(server, known),
                None => self.wrong(Reason::NoBackupYet, Some(server), "no backup yet".to_owned()),
            }
        }
        self.proofs();
        self.report.problems.sort();
        self.report.verdict = match self.report.problems.first() {
            None => Verdict::Protected,
            Some(problem) if problem.reason == Reason::ClockAhead => Verdict::Unknown,
            Some(_) => Verdict::Unprotected,
        };
        self.report
    }

    /// What is known, without a judgement.
    fn count(&mut self) {
        let now = self.now;
        for server in self.covered() {
            let known = self.backups.servers.get(&server.name);
            let disks = || known.into_iter().flat_map(|known| known.current(server, &self.backup.selection));
            let taken = disks().map(|(_, disk)| disk.taken).chain(known.and_then(|known| known.last_good));
            let one = ServerReport {
                name: server.name.clone(),
                last_backup: taken.min(),
                last_proof: disks().filter_map(|(_, disk)| disk.proof_by(now)?.intact()).max(),
                restored: disks()
                    .map(|(name, disk)| (name.to_owned(), disk.proof_by(now).map(|proof| proof.at)))
                    .collect(),
                bytes: disks().map(|(_, disk)| disk.bytes).fold(0, u64::saturating_add),
                hindered_by: known
                    .into_iter()
                    .flat_map(|known| known.hindered(server, &self.backup.selection))
                    .map(|obstacle| obstacle.why)
                    .collect(),
            };
            self.report.bytes = self.report.bytes.saturating_add(one.bytes);
            self.report.servers.push(one);
        }
        self.report.last_backup = self.report.servers.iter().filter_map(|server| server.last_backup).min();
        let groups = self.backup.proof.groups(self.backup, self.servers, self.backups, now);
        self.report.last_proof = groups.iter().filter_map(|(_, group)| group.proven()).min();
    }

    fn server(&mut self, server: &Server, known: &ServerBackups) {
        let selection = &self.backup.selection;
        for obstacle in known.hindered(server, selection) {
            let disk = obstacle.disk.as_ref().map(|disk| format!("disk {disk}: ")).unwrap_or_default();
            let detail = obstacle.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            let message = format!("{disk}{} [{}]{detail}", obstacle.why, obstacle.why.word());
            self.wrong(Reason::NotEverythingCanBeBackedUp, Some(server), message);
        }
        let Some(last_good) = known.last_good else {
            self.wrong(Reason::NoBackupYet, Some(server), "no backup yet".to_owned());
            return;
        };
        let hindered = |disk: &str| {
            known.hindered(server, selection).any(|it| it.disk.as_deref().is_none_or(|name| name == disk))
        };
        for disk in server.disks.iter().map(|disk| disk.name.as_str()) {
            let missing = selection.covers_disk(server, disk) && !known.disks.contains_key(disk);
            if missing && !known.is_whole && !hindered(disk) {
                self.wrong(Reason::NoBackupYet, Some(server), format!("disk {disk} has no backup yet"));
            }
        }
        let oldest = known.current(server, selection).map(|(_, disk)| disk.taken).fold(last_good, Ord::min);
        let newest = known.current(server, selection).map(|(_, disk)| disk.taken).fold(last_good, Ord::max);
        if self.is_ahead(newest) {
            let message =
                format!("its last backup began at {newest:.0}, which is yet to come: check the clocks");
            self.wrong(Reason::ClockAhead, Some(server), message);
        }
        if self.turn(oldest, self.backup.max_age) {
            let message =
                format!("its last good backup began at {oldest:.0}, longer ago than spec.backup.maxAge");
            self.wrong(Reason::BackupTooOld, Some(server), message);
        }
        for (name, disk) in known.current(server, selection) {
            let Some(proof) = &disk.proof else { continue };
            if self.is_ahead(proof.at) {
                let message = format!(
                    "disk {name} was proven at {:.0}, which is yet to come: check the clocks",
                    proof.at
                );
                self.wrong(Reason::ClockAhead, Some(server), message);
            }
            if let Outcome::Damaged(what) = &proof.outcome {
                let message = format!("disk {name} did not come back as it was: {what}");
                self.wrong(Reason::CorruptionFound, Some(server), message);
            }
        }
    }

    fn proofs(&mut self) {
        for (server, group) in self.backup.proof.groups(self.backup, self.servers, self.backups, self.now) {
            let server = server.and_then(|name| self.servers.iter().find(|server| server.name == name));
            let Some(proven) = group.proven() else {
                let message = "no backup was proven by restoring it yet".to_owned();
                self.wrong(Reason::NeverProven, server, message);
                continue;
            };
            if self.turn(proven, self.backup.proof.max_age) {
                let message =
                    format!("the last proof is of {proven:.0}, longer ago than spec.backup.proof.maxAge");
                self.wrong(Reason::ProofTooOld, server, message);
            }
        }
    }

    /// The servers that are to be backed up.
    fn covered(&self) -> impl Iterator<Item = &'a Server> + use<'a> {
        let selection = &self.backup.selection;
        self.servers.iter().filter(move |server| selection.covers(server))
    }

    fn is_ahead(&mut self, at: Timestamp) -> bool {
        let from = believed(at);
        self.note(from);
        self.now < from
    }

    /// Whether something of that time is older than it may be; if it is not yet, the report changes when it is.
    fn turn(&mut self, at: Timestamp, most: SignedDuration) -> bool {
        let end = at.checked_add(most).unwrap_or(Timestamp::MAX);
        self.note(end);
        end <= self.now
    }

    fn note(&mut self, at: Timestamp) {
        if at > self.now {
            self.report.changes_at = Some(self.report.changes_at.map_or(at, |other| other.min(at)));
        }
    }

    fn wrong(&mut self, reason: Reason, server: Option<&Server>, message: String) {
        let problem = Problem { reason, server: server.map(|server| server.name.clone()), message };
        if !self.report.problems.contains(&problem) {
            self.report.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests;
