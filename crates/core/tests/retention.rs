//! The rule of retention is restic's: held against what a real `restic forget --dry-run` decided, for a table of
//! moments that are hard for a calendar. `UPDATE=1` asks the restic of this machine for the whole table anew; every run
//! asks it for a part of it, where there is one.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test may run programs and fail

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use vertskommune_core::backup::Zone;
use vertskommune_core::backup::retention::{Retention, Rules, Run, Why, keep};

const ZONE: &str = "Europe/Oslo";

/// When snapshots are taken, as moments from which on and how far apart: `(from, minutes apart, how many)`.
const SERIES: [(&str, i64, i64); 12] = [
    ("2020-12-27T22:00:00Z", 24 * 60, 10), // a year of 53 weeks
    ("2023-12-25T21:30:00Z", 24 * 60, 14), // and one whose last day is in the next year's first
    ("2025-03-28T21:10:00Z", 24 * 60, 4),  // the clocks go forward
    ("2025-03-29T23:40:00Z", 30, 5),       // in the night itself
    ("2025-10-25T22:15:00Z", 30, 7),       // and back: one hour comes twice
    ("2025-12-28T22:50:00Z", 24 * 60, 8),
    ("2026-02-27T22:50:00Z", 24 * 60, 4), // no leap day
    ("2026-05-01T00:00:00Z", 7 * 24 * 60, 9),
    ("2026-07-31T21:59:59Z", 31 * 24 * 60, 5),
    ("2026-11-18T20:00:00Z", 6 * 60, 12),
    ("2026-11-23T21:05:00Z", 7, 14), // many in an hour, over midnight
    ("2026-11-24T10:00:00Z", 60, 6),
];

fn policies() -> Vec<Retention> {
    let none = Retention::default();
    let mut policies = vec![Retention { daily: 14, weekly: 8, monthly: 12, ..none }];
    for count in [1, 2, 5, 9, 40] {
        policies.push(Retention { last: count, ..none });
        policies.push(Retention { hourly: count, ..none });
        policies.push(Retention { daily: count, ..none });
        policies.push(Retention { weekly: count, ..none });
        policies.push(Retention { monthly: count, ..none });
        policies.push(Retention { yearly: count, ..none });
    }
    policies.push(Retention { last: 3, hourly: 24, daily: 7, weekly: 5, monthly: 12, yearly: 75 });
    policies.push(Retention { hourly: 3, weekly: 4, yearly: 2, ..none });
    policies.push(Retention { last: 1, monthly: 6, yearly: 10, ..none });
    policies
}

/// What restic decided.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Table {
    restic: String,
    snapshots: Vec<Timestamp>,
    cases: Vec<Case>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Case {
    retention: Retention,
    keep: BTreeSet<Timestamp>,
}

fn snapshots() -> Vec<Timestamp> {
    let each = |(from, apart, count): (&str, i64, i64)| {
        let from: Timestamp = from.parse().unwrap();
        (0..count).map(move |number| from + SignedDuration::from_mins(apart * number))
    };
    SERIES.into_iter().flat_map(each).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What we decide by the rule alone: every guard is taken for a reason of its own.
fn ours(snapshots: &[Timestamp], retention: Retention) -> BTreeSet<Timestamp> {
    let run = |at: &Timestamp| Run { server: "fs01".to_owned(), id: at.to_string(), begun: *at, whole: true };
    let runs: Vec<Run> = snapshots.iter().map(run).collect();
    let rules = Rules {
        retention,
        time_zone: Zone::named(ZONE).unwrap(),
        keep_after_exit: SignedDuration::ZERO,
        left_at: None,
    };
    let kept = keep(&runs, &rules, "2030-01-01T00:00:00Z".parse().unwrap());
    let by_rule = kept.into_iter().filter(|(_, why)| why.iter().any(|why| *why != Why::LastGood));
    by_rule.map(|(run, _)| run.begun).collect()
}

fn hold(table: &Table) {
    for case in &table.cases {
        assert_eq!(
            ours(&table.snapshots, case.retention),
            case.keep,
            "{:?} by restic {}",
            case.retention,
            table.restic
        );
    }
}

/// A repository of the restic of this machine.
struct Restic(TempDir);

impl Restic {
    /// One with a snapshot of each of these moments.
    fn with(snapshots: &[Timestamp]) -> Self {
        let restic = Self(TempDir::new().unwrap());
        std::fs::write(restic.0.path().join("password"), "of a test").unwrap();
        std::fs::write(restic.0.path().join("file"), "content").unwrap();
        restic.run(&["init"], "UTC");
        let zone = TimeZoneDatabase::bundled().get(ZONE).unwrap();
        for at in snapshots {
            // By a clock that never changes, so that an hour that comes twice can be told apart; restic then reads it as
            // its own zone, whose offset it is.
            let offset = zone.to_offset(*at);
            let clock = format!("Etc/GMT-{}", offset.seconds() / 3600);
            let time = offset.to_datetime(*at).strftime("%Y-%m-%d %H:%M:%S").to_string();
            restic.run(&["backup", "--host", "fs01", "--time", &time, "file"], &clock);
        }
        restic
    }

    fn run(&self, arguments: &[&str], zone: &str) -> String {
        let folder = self.0.path();
        let ran = Command::new("restic")
            .args(["--repo", "repository", "--password-file", "password", "--no-cache"])
            .args(arguments)
            .current_dir(folder)
            .env("TZ", zone)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    fn decides(&self, retention: Retention) -> Case {
        let Retention { last, hourly, daily, weekly, monthly, yearly } = retention;
        let counts = [
            ("last", last),
            ("hourly", hourly),
            ("daily", daily),
            ("weekly", weekly),
            ("monthly", monthly),
            ("yearly", yearly),
        ];
        let mut arguments = vec!["forget".to_owned(), "--dry-run".to_owned(), "--json".to_owned()];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            arguments.extend([format!("--keep-{name}"), count.to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said: serde_json::Value = serde_json::from_str(&self.run(&arguments, ZONE)).unwrap();
        let [group] = said.as_array().unwrap().as_slice() else { panic!("{said}") };
        let time = |snapshot: &serde_json::Value| snapshot["time"].as_str().unwrap().parse().unwrap();
        Case { retention, keep: group["keep"].as_array().unwrap().iter().map(time).collect() }
    }

    fn table(snapshots: Vec<Timestamp>, policies: Vec<Retention>) -> Table {
        let restic = Self::with(&snapshots);
        let version = restic.run(&["version"], ZONE);
        let version = version.split_whitespace().nth(1).unwrap().to_owned();
        let cases = policies.into_iter().map(|policy| restic.decides(policy)).collect();
        Table { restic: version, snapshots, cases }
    }
}

fn is_there() -> bool {
    let there = Command::new("restic").arg("version").output().is_ok_and(|ran| ran.status.success());
    assert!(
        there || std::env::var("CI").as_deref() != Ok("true"),
        "restic is missing: tests/lab/install brings it"
    );
    there
}

#[test]
fn the_rule_is_that_of_restic() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/retention/restic.json");
    if std::env::var_os("UPDATE").is_some() && is_there() {
        let table = Restic::table(snapshots(), policies());
        std::fs::write(&path, serde_json::to_string_pretty(&table).unwrap() + "\n").unwrap();
    }
    let table: Table = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(table.snapshots, snapshots());
    let asked: Vec<_> = table.cases.iter().map(|case| case.retention).collect();
    assert_eq!(asked, policies());
    hold(&table);
    // A table that keeps all or nothing would show nothing.
    let kept: BTreeMap<usize, usize> = table.cases.iter().fold(BTreeMap::new(), |mut kept, case| {
        *kept.entry(case.keep.len()).or_default() += 1;
        kept
    });
    assert!(
        kept.len() > 8 && table.cases.iter().all(|case| case.keep.len() < table.snapshots.len()),
        "{kept:?}"
    );
}

#[test]
fn the_restic_of_this_machine_decides_as_the_table_says() {
    if !is_there() {
        println!("skipped: there is no restic");
        return;
    }
    let some = snapshots().into_iter().step_by(9).collect();
    let policies = policies().into_iter().step_by(8).collect();
    hold(&Restic::table(some, policies));
}
