//! What lies in a repository, told by the tags of its snapshots, and the tags that tell it. Pure.
//!
//! A run of a server is a snapshot for each disk, and one of the machine's configuration, written last, which makes the run
//! whole. Its tags tell size and hash of every disk, so that one list of snapshots tells everything. A proof, a check of the
//! repository and an attempt that came to nothing are small snapshots too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use blake3::Hash;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use restic::Snapshot;
use vertskommune_core::backup::Backups;
use vertskommune_core::backup::facts::{DiskBackup, Hindrance, Obstacle, Outcome, Proof, ServerBackups};
use vertskommune_core::names::{Installation, TenantName};
use vertskommune_provider::RunDisk;

use crate::checks::{Checks, Part};

/// So many of the last runs tell the throughput.
const MEASURED: usize = 20;

/// Bytes of the smallest run that tells anything of it: a smaller one measures how long everything takes to begin and to end.
const MEASURABLE: u64 = 1 << 30;

/// The longest detail in a tag, in characters.
const DETAIL: usize = 200;

/// What kind of hash a disk's is.
pub(crate) const KIND: &str = "blake3";

/// The server that the note of a check names. None is called so.
const CHECKED: &str = ".repository";

/// A run's id: the moment it began as compact UTC, such as `20261128T221500Z`.
pub(crate) fn run_id(begun: Timestamp) -> String {
    begun.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The moment that a run's id names.
pub(crate) fn begun(run: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", run).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The path of a disk in a snapshot.
pub(crate) fn disk_path(server: &str, disk: &str) -> String {
    format!("/{server}/{disk}.raw")
}

/// The path of a machine's configuration.
pub(crate) fn configuration_path(server: &str) -> String {
    format!("/{server}/vm.json")
}

/// The path of a proof.
pub(crate) fn proof_path(server: &str, disk: &str) -> String {
    format!("/{server}/{disk}.proof.json")
}

/// The path of an attempt.
pub(crate) fn attempt_path(server: &str) -> String {
    format!("/{server}/attempt.json")
}

/// The path of a check.
pub(crate) fn check_path() -> String {
    format!("/{CHECKED}/check.json")
}

/// The tags of a check. They are those of a proof whose disk is the part, so that the keeper keeps the last of each part and
/// lets those before it go.
pub(crate) fn check_tags(
    installation: &Installation,
    tenant: &TenantName,
    part: Part,
    outcome: &Outcome,
) -> Vec<String> {
    Whose { installation, tenant, server: CHECKED }.proof("check", &part.to_string(), outcome)
}

/// What all snapshots of a server are tagged with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) tenant: &'a TenantName,
    pub(crate) server: &'a str,
}

impl Whose<'_> {
    fn tags(self) -> Vec<String> {
        let Self { installation, tenant, server } = self;
        vec![format!("installation={installation}"), format!("tenant={tenant}"), format!("server={server}")]
    }

    /// The tags of a disk.
    pub(crate) fn disk(self, run: &str, disk: &str, revision: &str) -> Vec<String> {
        let mut tags = self.tags();
        tags.extend([format!("run={run}"), format!("disk={disk}"), format!("revision={revision}")]);
        tags
    }

    /// The tags of the configuration, which tell the whole run.
    pub(crate) fn configuration(
        self,
        run: &str,
        revision: &str,
        disks: &BTreeMap<String, Sum>,
        seconds: u64,
        obstacles: &[Obstacle],
    ) -> Vec<String> {
        let mut tags = self.tags();
        tags.extend([format!("run={run}"), format!("revision={revision}"), format!("seconds={seconds}")]);
        tags.extend(disks.iter().map(|(name, sum)| format!("disk.{name}={sum}")));
        tags.extend(obstacles.iter().map(obstacle_tag));
        tags
    }

    /// The tags of an attempt that came to nothing.
    pub(crate) fn attempt(self, run: &str, obstacles: &[Obstacle]) -> Vec<String> {
        let mut tags = self.tags();
        tags.push(format!("attempt={run}"));
        tags.extend(obstacles.iter().map(obstacle_tag));
        tags
    }

    /// The tags of a proof.
    pub(crate) fn proof(self, run: &str, disk: &str, outcome: &Outcome) -> Vec<String> {
        let mut tags = self.tags();
        tags.extend([format!("proof={run}"), format!("disk={disk}")]);
        match outcome {
            Outcome::Intact => tags.push("outcome=intact".to_owned()),
            Outcome::Damaged(why) => {
                tags.push("outcome=damaged".to_owned());
                // restic parts tags at commas.
                let plain = |c: char| if c == ',' { ';' } else { c };
                let why: String = why.chars().filter(|c| !c.is_control()).map(plain).take(DETAIL).collect();
                tags.push(format!("detail={why}"));
            }
        }
        tags
    }
}

fn obstacle_tag(obstacle: &Obstacle) -> String {
    match &obstacle.disk {
        Some(disk) => format!("obstacle=disk.{disk}:{}", obstacle.why.word()),
        None => format!("obstacle={}", obstacle.why.word()),
    }
}

/// Size and hash of a disk's raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) bytes: u64,
    pub(crate) hash: Hash,
}

/// As it stands in a tag. It names the kind of the hash: what has another kind is no backup that could be proven.
impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{KIND}:{}", self.bytes, self.hash)
    }
}

impl Sum {
    fn read(text: &str) -> Option<Self> {
        let (bytes, hash) = text.split_once(':')?;
        let hash = hash.strip_prefix(KIND)?.strip_prefix(':')?;
        Some(Self { bytes: bytes.parse().ok()?, hash: Hash::from_hex(hash).ok()? })
    }
}

/// A run that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) server: String,
    pub(crate) id: String,
    pub(crate) begun: Timestamp,
    pub(crate) disks: BTreeMap<String, Sum>,
    /// The disks' snapshots, by their names.
    pub(crate) snapshots: BTreeMap<String, String>,
    /// The configuration's snapshot.
    pub(crate) configuration: String,
    seconds: u64,
    pub(crate) obstacles: Vec<Obstacle>,
}

/// What lies in a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// The whole runs, the oldest first.
    pub(crate) runs: Vec<Run>,
    /// What checks of the repository showed.
    pub(crate) checks: Checks,
    /// By server and disk, then by run: what the last restore of it showed.
    proofs: BTreeMap<(String, String), BTreeMap<String, Proof>>,
    /// By server: the last attempt that came to nothing.
    pub(crate) attempts: BTreeMap<String, Attempt>,
}

/// An attempt that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) begun: Timestamp,
    obstacles: Vec<Obstacle>,
}

impl Records {
    /// Reads the snapshots of a repository, in any order. What is of a time that is yet to come gives way to what is not.
    pub(crate) fn read(snapshots: &[Snapshot], now: Timestamp) -> Self {
        let mut records = Self::default();
        let mut disks: BTreeMap<(&str, &str), BTreeMap<&str, &str>> = BTreeMap::new();
        for snapshot in snapshots {
            if let (Some(server), Some(run), Some(disk)) =
                (snapshot.tag("server"), snapshot.tag("run"), snapshot.tag("disk"))
                && snapshot.paths.contains(&disk_path(server, disk))
            {
                disks.entry((server, run)).or_default().insert(disk, &snapshot.id);
            }
        }
        for snapshot in snapshots {
            let Some(server) = snapshot.tag("server") else { continue };
            let is = |path: &str| snapshot.paths.iter().any(|it| it == path);
            if let Some(run) = snapshot.tag("run").filter(|_| is(&configuration_path(server))) {
                let there = disks.get(&(server, run));
                records.runs.extend(whole(snapshot, server, run, there));
            } else if let Some(run) = snapshot.tag("attempt").filter(|_| is(&attempt_path(server))) {
                let begun = begun(run).unwrap_or(snapshot.time);
                let attempt = Attempt { begun, obstacles: obstacles(snapshot) };
                let last = records.attempts.entry(server.to_owned()).or_insert_with(|| attempt.clone());
                if attempt.begun > last.begun {
                    *last = attempt;
                }
            } else if let (Some(run), Some(disk), Some(outcome)) =
                (snapshot.tag("proof"), snapshot.tag("disk"), outcome(snapshot))
            {
                let proof = Proof { at: snapshot.time, outcome };
                if server != CHECKED {
                    records.prove(proof, (server, disk, run), now);
                } else if let Some(part) = Part::parse(disk).filter(|_| is(&check_path())) {
                    records.checks.note(part, proof, now);
                }
            }
        }
        records.runs.sort_by(|a, b| (a.begun, &a.server, &a.id).cmp(&(b.begun, &b.server, &b.id)));
        records
    }

    fn prove(&mut self, proof: Proof, (server, disk, run): (&str, &str, &str), now: Timestamp) {
        let of_disk = self.proofs.entry((server.to_owned(), disk.to_owned())).or_default();
        let last = of_disk.entry(run.to_owned()).or_insert_with(|| proof.clone());
        if weight(&proof, now) >= weight(last, now) {
            *last = proof;
        }
    }

    /// The run with that disk: the one of this id, or the last.
    pub(crate) fn find(&self, server: &str, disk: &str, run: Option<&str>) -> Option<&Run> {
        self.runs.iter().rev().find(|it| {
            it.server == server && it.disks.contains_key(disk) && run.is_none_or(|run| it.id == run)
        })
    }

    /// The run of a server: the one of this id, or the last.
    pub(crate) fn find_whole(&self, server: &str, run: Option<&str>) -> Option<&Run> {
        self.runs.iter().rev().find(|it| it.server == server && run.is_none_or(|run| it.id == run))
    }

    /// What is to be known of it.
    pub(crate) fn backups(&self, now: Timestamp) -> Backups {
        let mut servers: BTreeMap<String, ServerBackups> = BTreeMap::new();
        for run in &self.runs {
            let server = servers.entry(run.server.clone()).or_default();
            // The oldest comes first, so that what is said last is the newest.
            server.last_good = Some(run.begun);
            server.obstacles.clone_from(&run.obstacles);
            for (name, sum) in &run.disks {
                let of_disk = self.proofs.get(&(run.server.clone(), name.clone()));
                let proof =
                    of_disk.and_then(|runs| runs.values().max_by_key(|proof| weight(proof, now))).cloned();
                server.disks.insert(name.clone(), DiskBackup { bytes: sum.bytes, taken: run.begun, proof });
            }
        }
        for (name, attempt) in &self.attempts {
            let server = servers.entry(name.clone()).or_default();
            if server.last_good.is_none_or(|last| last < attempt.begun) {
                server.obstacles.clone_from(&attempt.obstacles);
            }
        }
        Backups { servers, throughput: self.throughput(), damage: self.checks.damage() }
    }

    /// The whole runs, the newest first, as they are listed.
    pub(crate) fn listed(&self) -> Vec<vertskommune_provider::Run> {
        let disk = |run: &Run, name: &String, sum: &Sum| {
            let of_disk = self.proofs.get(&(run.server.clone(), name.clone()));
            let proof = of_disk.and_then(|runs| runs.get(&run.id)).cloned();
            (name.clone(), RunDisk { bytes: sum.bytes, proof })
        };
        let listed = self.runs.iter().rev().map(|run| vertskommune_provider::Run {
            run: run.id.clone(),
            server: run.server.clone(),
            begun: run.begun,
            disks: run.disks.iter().map(|(name, sum)| disk(run, name, sum)).collect(),
        });
        listed.collect()
    }

    fn throughput(&self) -> Option<u64> {
        let bytes = |run: &Run| run.disks.values().map(|sum| sum.bytes).fold(0, u64::saturating_add);
        let last = self.runs.iter().rev().map(|run| (bytes(run), run.seconds));
        let last = last.filter(|(bytes, _)| *bytes >= MEASURABLE).take(MEASURED);
        let (bytes, seconds) =
            last.fold((0_u64, 0_u64), |sum, run| (sum.0.saturating_add(run.0), sum.1.saturating_add(run.1)));
        (bytes > 0).then(|| bytes / seconds.max(1))
    }
}

/// Of two proofs the heavier counts.
fn weight(proof: &Proof, now: Timestamp) -> (bool, Timestamp) {
    (!proof.is_ahead(now), proof.at)
}

/// What came of a proof or a check.
fn outcome(snapshot: &Snapshot) -> Option<Outcome> {
    match snapshot.tag("outcome")? {
        "intact" => Some(Outcome::Intact),
        "damaged" => {
            Some(Outcome::Damaged(snapshot.tag("detail").unwrap_or("it is not what was sent").to_owned()))
        }
        _ => None,
    }
}

/// A run, where everything that its configuration names is there.
fn whole(snapshot: &Snapshot, server: &str, run: &str, there: Option<&BTreeMap<&str, &str>>) -> Option<Run> {
    let mut disks = BTreeMap::new();
    for tag in &snapshot.tags {
        let Some((name, sum)) = tag.strip_prefix("disk.").and_then(|rest| rest.rsplit_once('=')) else {
            continue;
        };
        disks.insert(name.to_owned(), Sum::read(sum)?);
    }
    let names: BTreeSet<&str> = disks.keys().map(String::as_str).collect();
    let snapshots: BTreeMap<String, String> = there
        .into_iter()
        .flatten()
        .filter(|(name, _)| names.contains(*name))
        .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()))
        .collect();
    (snapshots.len() == disks.len() && !disks.is_empty()).then(|| Run {
        server: server.to_owned(),
        id: run.to_owned(),
        begun: begun(run).unwrap_or(snapshot.time),
        disks,
        snapshots,
        configuration: snapshot.id.clone(),
        seconds: snapshot.tag("seconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(0),
        obstacles: obstacles(snapshot),
    })
}

fn obstacles(snapshot: &Snapshot) -> Vec<Obstacle> {
    let words = snapshot.tags.iter().filter_map(|tag| tag.strip_prefix("obstacle="));
    words
        .map(|said| {
            let (disk, word) = match said.strip_prefix("disk.").and_then(|rest| rest.rsplit_once(':')) {
                Some((disk, word)) => (Some(disk.to_owned()), word),
                None => (None, said),
            };
            // A word that a newer version wrote is an obstacle all the same.
            match Hindrance::read(word) {
                Some(why) => Obstacle { disk, why, detail: None },
                None => Obstacle { disk, why: Hindrance::Other, detail: Some(word.to_owned()) },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn snapshot(path: String, time: &str, tags: Vec<String>) -> Snapshot {
        let id = format!("{path} {time}");
        Snapshot { id, time: at(time), hostname: "fs01".to_owned(), paths: vec![path], tags }
    }

    fn now() -> Timestamp {
        at("2026-11-28T12:00:00Z")
    }

    fn read(snapshots: &[Snapshot]) -> Records {
        Records::read(snapshots, now())
    }

    struct Maker {
        installation: Installation,
        tenant: TenantName,
    }

    impl Maker {
        fn new() -> Self {
            Self { installation: "nord".into(), tenant: "ibestad".into() }
        }

        fn whose(&self) -> Whose<'_> {
            Whose { installation: &self.installation, tenant: &self.tenant, server: "fs01" }
        }

        fn run(&self, time: &str, disks: &[&str], obstacles: &[Obstacle]) -> Vec<Snapshot> {
            let run = run_id(at(time));
            let sum = Sum { bytes: 600 << 20, hash: blake3::hash(b"disk") };
            let sums = disks.iter().map(|disk| ((*disk).to_owned(), sum.clone())).collect();
            let mut all: Vec<_> = disks
                .iter()
                .map(|disk| snapshot(disk_path("fs01", disk), time, self.whose().disk(&run, disk, "r1")))
                .collect();
            let tags = self.whose().configuration(&run, "r1", &sums, 10, obstacles);
            all.push(snapshot(configuration_path("fs01"), time, tags));
            all
        }
    }

    const NIGHT: &str = "2026-11-24T22:15:00Z";
    const NEXT: &str = "2026-11-25T22:15:00Z";

    #[test]
    fn a_run_is_known_by_the_moment_it_began() {
        assert_eq!(run_id(at("2026-11-28T22:15:00.9Z")), "20261128T221500Z");
        assert_eq!(begun("20261128T221500Z"), Some(at("2026-11-28T22:15:00Z")));
        assert_eq!(begun("yesterday"), None);
    }

    #[test]
    fn tags_tell_what_was_written() {
        let maker = Maker::new();
        let rdm = Obstacle { disk: Some("logs".to_owned()), why: Hindrance::RawDeviceMapping, detail: None };
        let mut all = maker.run(NIGHT, &["data", "system"], std::slice::from_ref(&rdm));
        let proven = maker.whose().proof("20261124T221500Z", "data", &Outcome::Intact);
        all.push(snapshot(proof_path("fs01", "data"), "2026-11-25T08:00:00Z", proven));
        all.reverse();
        let records = read(&all);
        let backups = records.backups(now());
        let server = &backups.servers["fs01"];
        assert_eq!((server.last_good, server.obstacles.as_slice()), (Some(at(NIGHT)), [rdm].as_slice()));
        assert_eq!(
            server.disks["data"].proof,
            Some(Proof { at: at("2026-11-25T08:00:00Z"), outcome: Outcome::Intact })
        );
        assert_eq!((server.disks["system"].bytes, &server.disks["system"].proof), (600 << 20, &None));
        assert_eq!(backups.throughput, Some(120 << 20));
        let small = read(&maker.run(NIGHT, &["data"], &[]));
        assert_eq!(small.backups(now()).throughput, None, "it measures little but its beginning");
        let run = records.find("fs01", "data", None).unwrap();
        assert_eq!(run.snapshots["data"], format!("/fs01/data.raw {NIGHT}"));
        assert_eq!(records.find("fs01", "data", Some("20261101T000000Z")), None);
        let listed = records.listed();
        assert_eq!((listed[0].run.as_str(), listed[0].disks.len()), ("20261124T221500Z", 2));
        assert!(listed[0].disks["data"].proof.is_some() && listed[0].disks["system"].proof.is_none());
    }

    #[test]
    fn what_is_not_whole_is_no_backup() {
        let maker = Maker::new();
        let whole = maker.run(NIGHT, &["data", "system"], &[]);
        for missing in 0..whole.len() {
            let mut part = whole.clone();
            part.remove(missing);
            assert!(read(&part).runs.is_empty(), "without {:?}", whole[missing].paths);
        }
        let mut elsewhere = whole;
        elsewhere[0].paths = vec!["/db01/data.raw".to_owned()];
        assert!(read(&elsewhere).runs.is_empty(), "a tag that its path does not bear out");
    }

    #[test]
    fn a_hash_that_is_not_understood_makes_no_run() {
        let maker = Maker::new();
        let run = maker.run(NIGHT, &["data"], &[]);
        let said = "disk.data=629145600:blake3:";
        assert!(run[1].tags.iter().any(|tag| tag.starts_with(said)), "{:?}", run[1].tags);
        for other in ["disk.data=629145600:sha3:", "disk.data=629145600:", "disk.data=many:blake3:"] {
            let mut odd = run.clone();
            odd[1].tags.iter_mut().for_each(|tag| *tag = tag.replace(said, other));
            assert!(read(&odd).runs.is_empty(), "{other}");
        }
    }

    #[test]
    fn the_newest_word_counts() {
        let maker = Maker::new();
        let quiesce = Obstacle { disk: None, why: Hindrance::QuiesceFailed, detail: None };
        let mut all = maker.run(NIGHT, &["data"], &[]);
        let failed = maker.whose().attempt(&run_id(at(NEXT)), std::slice::from_ref(&quiesce));
        all.push(snapshot(attempt_path("fs01"), NEXT, failed));
        let damaged = Outcome::Damaged("pack 12, and more".to_owned());
        for (time, outcome) in
            [("2026-11-26T09:00:00Z", &damaged), ("2026-11-26T08:00:00Z", &Outcome::Intact)]
        {
            let tags = maker.whose().proof("20261124T221500Z", "data", outcome);
            assert!(tags.iter().all(|tag| !tag.contains(',')), "{tags:?}");
            all.push(snapshot(proof_path("fs01", "data"), time, tags));
        }
        let records = read(&all);
        assert_eq!(records.attempts["fs01"].begun, at(NEXT));
        let server = records.backups(now()).servers.remove("fs01").unwrap();
        assert_eq!((server.last_good, server.obstacles), (Some(at(NIGHT)), vec![quiesce]));
        let proof = server.disks["data"].proof.clone().unwrap();
        assert_eq!(proof.outcome, Outcome::Damaged("pack 12; and more".to_owned()));
        // A run after it makes it obsolete.
        all.extend(maker.run("2026-11-26T22:15:00Z", &["data"], &[]));
        let server = read(&all).backups(now()).servers.remove("fs01").unwrap();
        assert_eq!((server.last_good, server.obstacles), (Some(at("2026-11-26T22:15:00Z")), Vec::new()));
    }

    #[test]
    fn a_proof_of_a_time_to_come_hides_no_other() {
        let maker = Maker::new();
        let mut all = maker.run(NIGHT, &["data"], &[]);
        let proven = |time: &str, outcome: &Outcome| {
            let tags = maker.whose().proof("20261124T221500Z", "data", outcome);
            snapshot(proof_path("fs01", "data"), time, tags)
        };
        all.push(proven("2027-11-25T08:00:00Z", &Outcome::Intact));
        let proof =
            |all: &[Snapshot]| read(all).backups(now()).servers["fs01"].disks["data"].proof.clone().unwrap();
        assert!(proof(&all).is_ahead(now()), "it is told where there is no other");
        all.push(proven("2026-11-26T08:00:00Z", &Outcome::Damaged("pack 12".to_owned())));
        assert_eq!(proof(&all).at, at("2026-11-26T08:00:00Z"));
        all.reverse();
        assert_eq!(proof(&all).at, at("2026-11-26T08:00:00Z"));
    }

    #[test]
    fn a_check_is_of_the_repository_and_of_no_disk() {
        let maker = Maker::new();
        let mut all = maker.run(NIGHT, &["data"], &[]);
        let check = |time: &str, part: &str, outcome: &Outcome| {
            let part = Part::parse(part).unwrap();
            snapshot(check_path(), time, check_tags(&maker.installation, &maker.tenant, part, outcome))
        };
        let damaged = Outcome::Damaged("pack 12, and more".to_owned());
        all.push(check("2026-11-26T08:00:00Z", "2-of-4", &damaged));
        all.push(check("2026-11-27T08:00:00Z", "3-of-4", &Outcome::Intact));
        let records = read(&all);
        let backups = records.backups(now());
        let damage = backups.damage.unwrap();
        assert!(damage.contains("part 2 of 4") && damage.ends_with("pack 12; and more"), "{damage}");
        assert_eq!(backups.servers.keys().collect::<Vec<_>>(), ["fs01"]);
        assert_eq!(backups.servers["fs01"].disks["data"].proof, None);
        assert_eq!(records.checks.next(4 << 30, now()), Part { part: 2, of: 4 });
        all.push(check("2026-11-28T08:00:00Z", "2-of-4", &Outcome::Intact));
        assert_eq!(read(&all).backups(now()).damage, None);
    }

    #[test]
    fn an_obstacle_of_a_newer_version_is_still_one() {
        let maker = Maker::new();
        let mut all = maker.run(NIGHT, &["data"], &[]);
        all.last_mut().unwrap().tags.push("obstacle=disk.logs:OnTheMoon".to_owned());
        let obstacles = read(&all).backups(now()).servers.remove("fs01").unwrap().obstacles;
        let why = Hindrance::Other;
        assert_eq!(
            obstacles,
            [Obstacle { disk: Some("logs".to_owned()), why, detail: Some("OnTheMoon".to_owned()) }]
        );
    }
}
