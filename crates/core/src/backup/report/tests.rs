//! One tenant that is protected, one change, and what is then said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::facts::{Hindrance, Obstacle, Proof};
use super::super::proving::{ProofRule, ProofScope};
use super::super::testing::{at, backup, disk, hours, server, taken};
use super::super::{Jobs, Known, Mode};
use super::*;
use crate::observation::Scope;

const NIGHT: &str = "2026-11-24T22:00:00Z";
const PROVEN: &str = "2026-11-23T09:00:00Z";

/// The morning after.
fn now() -> Timestamp {
    at("2026-11-25T08:00:00Z")
}

fn servers() -> Vec<Server> {
    vec![server("fs01", &["data"]), server("db01", &["data", "logs"])]
}

fn sound() -> Backups {
    let fs = taken(NIGHT, &[("data", Some(PROVEN)), ("system", None)]);
    let db = taken("2026-11-24T22:40:00Z", &[("data", None), ("logs", Some(PROVEN)), ("system", None)]);
    let servers = BTreeMap::from([("fs01".to_owned(), fs), ("db01".to_owned(), db)]);
    Backups { servers, ..Backups::default() }
}

fn observation(backups: Backups) -> Observation {
    let mut observation = Observation::empty(&"second-room".into());
    let known = Known { seen_at: now(), backups: Arc::new(backups) };
    observation.backups.insert("ibestad".into(), known);
    observation
}

fn judged(backup: &Backup, backups: Backups, now: Timestamp) -> Report {
    report(backup, &"ibestad".into(), &servers(), Some(&observation(backups)), now)
}

/// Verdict and reasons in short.
fn short(report: &Report) -> String {
    let reasons: Vec<_> = report.problems.iter().map(|problem| problem.reason.word()).collect();
    format!("{:?} {}", report.verdict, reasons.join(" ")).trim_end().to_owned()
}

fn fs(backups: &mut Backups) -> &mut ServerBackups {
    backups.servers.get_mut("fs01").unwrap()
}

fn hinder(backups: &mut Backups, disk: Option<&str>, why: Hindrance) {
    fs(backups).obstacles.push(Obstacle { disk: disk.map(ToOwned::to_owned), why, detail: None });
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn each_state_of_the_backups_has_its_reason() {
    type Change = fn(&mut Backup, &mut Backups);
    let cases: [(&str, Change, &str); 18] = [
        ("fresh and proven", |_, _| {}, "Protected"),
        ("the first night is yet to come", |_, it| it.servers.clear(), "Unprotected NoBackupYet NoBackupYet"),
        ("a server came since", |_, it| drop(it.servers.remove("fs01")), "Unprotected NoBackupYet"),
        ("no run was whole yet", |_, it| fs(it).last_good = None, "Unprotected NoBackupYet"),
        (
            "a disk came since",
            |_, it| drop(fs(it).disks.remove("data")),
            "Unprotected NoBackupYet NeverProven",
        ),
        (
            "a server's last night failed",
            |_, it| *fs(it) = taken("2026-11-23T22:00:00Z", &[("data", Some(PROVEN))]),
            "Unprotected BackupTooOld",
        ),
        (
            "one disk's did",
            |_, it| drop(fs(it).disks.insert("data".to_owned(), disk("2026-11-23T22:00:00Z", Some(PROVEN)))),
            "Unprotected BackupTooOld",
        ),
        (
            "nothing of it was restored yet",
            |_, it| fs(it).disks.get_mut("data").unwrap().proof = None,
            "Unprotected NeverProven",
        ),
        (
            "nor of anything",
            |it, known| {
                it.proof.scope = ProofScope::OneDisk;
                *known = Backups {
                    servers: [("fs01", "data"), ("db01", "data")]
                        .map(|(name, disk)| (name.to_owned(), taken(NIGHT, &[(disk, None)])))
                        .into(),
                    ..Backups::default()
                };
            },
            "Unprotected NoBackupYet NeverProven",
        ),
        (
            "every disk is asked for",
            |it, _| it.proof.scope = ProofScope::EveryDisk,
            "Unprotected NeverProven NeverProven",
        ),
        ("a proof is old", |it, _| it.proof.max_age = hours(24), "Unprotected ProofTooOld ProofTooOld"),
        (
            "a byte is wrong",
            |_, it| {
                let outcome = Outcome::Damaged("byte 7 differs".to_owned());
                fs(it).disks.get_mut("system").unwrap().proof = Some(Proof { at: at(PROVEN), outcome });
            },
            "Unprotected CorruptionFound",
        ),
        (
            "the repository is damaged",
            |_, it| it.damage = Some("pack 12".to_owned()),
            "Unprotected CorruptionFound",
        ),
        (
            "a disk is raw",
            |_, it| {
                fs(it).disks.remove("data");
                fs(it).disks.get_mut("system").unwrap().proof =
                    Some(Proof { at: at(PROVEN), outcome: Outcome::Intact });
                hinder(it, Some("data"), Hindrance::RawDeviceMapping);
            },
            "Unprotected NotEverythingCanBeBackedUp",
        ),
        (
            "and is left out",
            |it, known| {
                it.selection.exclude.insert("fs01/data".into());
                fs(known).disks.get_mut("system").unwrap().proof =
                    Some(Proof { at: at(PROVEN), outcome: Outcome::Intact });
                hinder(known, Some("data"), Hindrance::RawDeviceMapping);
            },
            "Protected",
        ),
        (
            "a clock was a day ahead",
            |_, it| *fs(it) = taken("2026-11-25T22:00:00Z", &[("data", Some(PROVEN))]),
            "Unknown ClockAhead",
        ),
        (
            "a proof is of next year",
            |_, it| *fs(it) = taken(NIGHT, &[("data", Some("2027-11-25T22:00:00Z"))]),
            "Unprotected NeverProven ClockAhead",
        ),
        (
            "and so is damage",
            |_, it| {
                let outcome = Outcome::Damaged("byte 7 differs".to_owned());
                let proof = Proof { at: at("2027-11-25T22:00:00Z"), outcome };
                fs(it).disks.get_mut("system").unwrap().proof = Some(proof);
            },
            "Unprotected CorruptionFound ClockAhead",
        ),
    ];
    for (case, change, expected) in cases {
        let (mut backup, mut backups) = (backup(), sound());
        change(&mut backup, &mut backups);
        assert_eq!(short(&judged(&backup, backups, now())), expected, "{case}");
    }
}

#[test]
fn the_oldest_of_all_is_what_the_tenant_has() {
    let report = judged(&backup(), sound(), now());
    assert_eq!(report.last_backup, Some(at(NIGHT)));
    assert_eq!(report.last_proof, Some(at(PROVEN)));
    assert_eq!(report.bytes, 5 << 30);
    assert_eq!(report.word(), "FreshAndProven");
    let of: Vec<_> = report.servers.iter().map(|it| (it.name.as_str(), it.last_backup, it.bytes)).collect();
    assert_eq!(of, [("fs01", Some(at(NIGHT)), 2 << 30), ("db01", Some(at("2026-11-24T22:40:00Z")), 3 << 30)]);
}

#[test]
fn the_report_says_when_time_alone_changes_it() {
    let at_first = judged(&backup(), sound(), now());
    assert_eq!(at_first.changes_at, Some(at("2026-11-26T00:00:00Z")), "fs01's backup is 26 hours old then");
    let before = judged(&backup(), sound(), at("2026-11-25T23:59:59Z"));
    assert_eq!(before, at_first, "until then nothing new is said");
    let then = judged(&backup(), sound(), at_first.changes_at.unwrap());
    assert_eq!(short(&then), "Unprotected BackupTooOld");
    assert_eq!(
        then.line(),
        "fs01: its last good backup began at 2026-11-24T22:00:00Z, longer ago than spec.backup.maxAge"
    );
    assert_eq!(then.changes_at, Some(at("2026-11-26T00:40:00Z")), "and db01's");
    let end = judged(&backup(), sound(), at("2026-12-24T22:00:00Z"));
    assert_eq!(end.changes_at, None, "what is too old stays so");
}

#[test]
fn what_was_not_seen_is_unknown() {
    let tenant = "ibestad".into();
    let look = |change: &dyn Fn(&mut Observation), now| {
        let mut seen = observation(sound());
        change(&mut seen);
        report(&backup(), &tenant, &servers(), Some(&seen), now)
    };
    let unreachable =
        |it: &mut Observation| it.coverage.blind = Some(Blindness::Unreachable("cut".to_owned()));
    let cut = look(&unreachable, now());
    assert_eq!(
        (short(&cut).as_str(), cut.changes_at),
        ("Protected", Some(now() + KEPT_SIGHT)),
        "a short outage"
    );
    let long = look(&unreachable, now() + KEPT_SIGHT);
    assert_eq!(short(&long), "Unknown Unreachable");
    assert_eq!(long.last_backup, Some(at(NIGHT)), "what is known is still shown");
    let refused = look(&|it| it.coverage.blind = Some(Blindness::CredentialsRefused), now());
    assert_eq!(short(&refused), "Unknown CredentialsRefused", "that does not mend itself");
    let hidden = look(&|it| drop(it.coverage.tenants.insert(tenant.clone(), Blindness::AllVanished)), now());
    assert_eq!(short(&hidden), "Unknown AllVanished");
    let start = look(&|it| *it = Observation::blind(&"second-room".into(), Blindness::NotYetObserved), now());
    assert!(start.is_not_yet_observed());
    assert_eq!(short(&report(&backup(), &tenant, &servers(), None, now())), "Unknown NoProvider");
}

#[test]
fn a_place_that_is_not_seen_is_not_empty() {
    let place = |thing: &Seen, known: Option<i64>| {
        let mut seen = observation(sound());
        let key = ResourceKey::new(REPOSITORY, "ibestad");
        seen.seen.entry("ibestad".into()).or_default().insert(key, thing.clone());
        match known {
            Some(ago) => {
                seen.backups.get_mut(&TenantName::from("ibestad")).unwrap().seen_at = now() - hours(ago);
            }
            None => seen.backups.clear(),
        }
        report(&backup(), &"ibestad".into(), &servers(), Some(&seen), now())
    };
    let unknown = Seen::Unknown(Blindness::NoSight("its account is not let in".to_owned()));
    let lost = Seen::Lost { identity: "/srv/ibestad".to_owned() };
    for (thing, known, expected, knows_nothing) in [
        (&unknown, None, "Unknown NoSight", true),
        (&unknown, Some(0), "Protected", false),
        (&unknown, Some(1), "Unknown NoSight", false),
        (&lost, None, "Unprotected RepositoryLost", true),
        (&lost, Some(0), "Unprotected RepositoryLost", false),
    ] {
        let report = place(thing, known);
        assert_eq!(
            (short(&report).as_str(), report.knows_nothing()),
            (expected, knows_nothing),
            "{thing:?} {known:?}"
        );
    }
    assert!(
        !judged(&backup(), Backups::default(), now()).knows_nothing(),
        "a newcomer is known to have none"
    );
}

#[test]
fn a_job_of_another_product_is_judged_by_its_own_word() {
    let tenant = "ibestad".into();
    let mut backup = backup();
    backup.mode = Mode::External { job: "nightly".to_owned() };
    // What lies in a repository of ours from an earlier time says nothing of the job.
    let mut seen = observation(sound());
    seen.coverage.tenants.insert("ibestad".into(), Blindness::CredentialsRefused);
    let judge = |seen: &Observation, later| report(&backup, &tenant, &servers(), Some(seen), now() + later);
    assert_eq!(short(&judge(&seen, hours(0))), "Unknown NoJobStatus");
    let leaves = |seen: &mut Observation, status| {
        seen.jobs = Jobs { seen_at: now(), left: [("nightly".to_owned(), status)].into() };
    };
    leaves(&mut seen, JobStatus::Unreadable("it is empty".to_owned()));
    let unreadable = judge(&seen, hours(0));
    assert_eq!(short(&unreadable), "Unknown JobStatusUnreadable");
    assert_eq!(
        unreadable.line(),
        r#"second-room: the status of the job "nightly" cannot be used: it is empty"#
    );
    leaves(&mut seen, JobStatus::Told(Arc::new(sound())));
    assert_eq!(short(&judge(&seen, hours(0))), "Protected");
    assert_eq!(short(&judge(&seen, hours(17))), "Unprotected BackupTooOld BackupTooOld");
    // A look that fails leaves what was known, for an hour.
    let mut cut = Observation::empty(&"second-room".into());
    cut.coverage.kinds.insert(JOB.into(), Blindness::Incomplete("an older agent".to_owned()));
    seen.absorb(cut, &Scope::default());
    assert_eq!(short(&judge(&seen, hours(0))), "Protected");
    assert_eq!(short(&judge(&seen, KEPT_SIGHT)), "Unknown Incomplete");
    // A look at single tenants says nothing of it, a whole one says all.
    seen.absorb(Observation::empty(&"second-room".into()), &Scope::of(["ibestad".into()]));
    assert_eq!(short(&judge(&seen, hours(0))), "Protected");
    seen.absorb(Observation::empty(&"second-room".into()), &Scope::default());
    assert_eq!(short(&judge(&seen, hours(0))), "Unknown NoJobStatus");
}

#[test]
fn a_server_that_is_told_as_a_whole_has_all_of_its_disks() {
    let whole = |name: &str, backups: &mut Backups, proof| {
        let disks = [("system".to_owned(), disk(NIGHT, proof))].into();
        let known = ServerBackups { is_whole: true, ..ServerBackups { disks, ..taken(NIGHT, &[]) } };
        backups.servers.insert(name.to_owned(), known);
    };
    let (mut backup, mut backups) = (backup(), sound());
    whole("fs01", &mut backups, Some(PROVEN));
    whole("db01", &mut backups, Some(PROVEN));
    backup.proof.scope = ProofScope::EveryDisk;
    assert_eq!(short(&judged(&backup, backups.clone(), now())), "Protected");
    backup.selection.exclude.insert("fs01/system".into());
    assert_eq!(short(&judged(&backup, backups.clone(), now())), "Protected", "one of its disks is left out");
    whole("fs01", &mut backups, None);
    assert_eq!(
        short(&judged(&backup, backups, now())),
        "Unprotected NeverProven",
        "it must be proven all the same"
    );
}

#[test]
fn a_tenant_without_servers_has_nothing_to_lose() {
    let seen = Observation::empty(&"second-room".into());
    let report = report(&backup(), &"ibestad".into(), &[], Some(&seen), now());
    assert_eq!((report.verdict, report.word()), (Verdict::Protected, "NothingToBackUp"));
}

#[test]
fn it_survives_a_round_trip() {
    let mut backups = sound();
    backups.servers.remove("fs01");
    let report = judged(&backup(), backups, now());
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

proptest! {
    /// The controller comes back at `changes_at` and at no other time: nothing may change in between.
    #[test]
    fn nothing_changes_before_it_says_so(
        taken_at in prop::collection::vec((0..200_i64, prop::option::of(0..200_i64)), 3),
        from in 0..300_i64,
        later in 0..300_i64,
        max_age in 24..60_i64,
        proof_age in 24..200_i64,
    ) {
        let hour = |count: i64| at("2026-11-01T00:00:00Z") + hours(count);
        let mut backup = backup();
        backup.max_age = hours(max_age);
        backup.proof = ProofRule { max_age: hours(proof_age), scope: ProofScope::EveryDisk };
        let mut backups = sound();
        for (known, (taken, proven)) in backups.servers.values_mut().zip(&taken_at) {
            known.last_good = Some(hour(*taken));
            for disk in known.disks.values_mut() {
                disk.taken = hour(*taken);
                disk.proof = proven.map(|proven| Proof { at: hour(proven), outcome: Outcome::Intact });
            }
        }
        let first = judged(&backup, backups.clone(), hour(from));
        let then = hour(from) + SignedDuration::from_mins(later * 30);
        if first.changes_at.is_none_or(|changes| then < changes) {
            prop_assert_eq!(judged(&backup, backups, then), first);
        } else {
            prop_assert!(first.changes_at.unwrap() > hour(from));
        }
    }
}
