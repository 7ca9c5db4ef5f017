//! Which snapshots make one run of a server, and which runs no rule may ask to go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use restic::Snapshot;
use vertskommune_core::backup::Zone;
use vertskommune_core::backup::retention::{self, Rules, YOUNG};

use crate::policy::Policy;

/// One run of one server, as it lies in the kept copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The server.
    pub server: String,
    /// The run's id.
    pub id: String,
    /// When it began, by whoever made it: the time of the snapshot that was here first, so that none which comes later to
    /// the same run can move it.
    pub begun: Timestamp,
    /// When it was first whole here, by this host's clock, or when the first of it came.
    pub came: Timestamp,
    /// When the last of it reached this host.
    pub arrived: Timestamp,
    /// Whether it is whole, with the server's configuration. What is not is no backup.
    pub whole: bool,
    /// Whether it came in its turn: no run of this server that began later was here before it.
    pub timely: bool,
    /// The ids of its snapshots.
    pub snapshots: Vec<String>,
}

#[cfg(test)]
impl Run {
    /// A whole one that came in its turn, of no time.
    pub(crate) fn sample(server: &str, id: &str) -> Self {
        Self {
            server: server.to_owned(),
            id: id.to_owned(),
            begun: Timestamp::UNIX_EPOCH,
            came: Timestamp::UNIX_EPOCH,
            arrived: Timestamp::UNIX_EPOCH,
            whole: true,
            timely: true,
            snapshots: Vec::new(),
        }
    }
}

/// Decides which runs are no longer asked for. What it says is held to the guards all the same.
pub trait Rule: Send + Sync {
    /// The places in `runs` of those that may go. They are all of one tenant, the oldest first.
    fn may_go(&self, policy: &Policy, runs: &[Run], now: Timestamp) -> BTreeSet<usize>;
}

/// The rule of the tenant's policy, as `vertskommune_core` has it for everybody.
///
/// It counts runs by the time that they carry. Who can write may choose that; so what did not come in its turn is counted by
/// itself, and takes the place of no run that did.
#[derive(Clone, Copy, Debug)]
pub struct ByPolicy;

impl Rule for ByPolicy {
    fn may_go(&self, policy: &Policy, runs: &[Run], now: Timestamp) -> BTreeSet<usize> {
        // By a clock that nobody knows nothing can be counted, and nothing goes.
        let Ok(time_zone) = Zone::named(&policy.time_zone) else { return BTreeSet::new() };
        let rules = Rules {
            retention: policy.retention,
            time_zone,
            keep_after_exit: policy.keep_after_exit,
            left_at: policy.left_at,
        };
        let mut may_go = BTreeSet::new();
        for timely in [true, false] {
            let these: Vec<(usize, retention::Run)> = runs
                .iter()
                .enumerate()
                .filter(|(_, run)| run.timely == timely)
                .map(|(place, run)| {
                    let (server, id) = (run.server.clone(), run.id.clone());
                    (place, retention::Run { server, id, begun: run.begun, whole: run.whole })
                })
                .collect();
            let kept = retention::keep(these.iter().map(|(_, run)| run), &rules, now);
            may_go.extend(these.iter().filter(|(_, run)| !kept.contains_key(run)).map(|(place, _)| *place));
        }
        may_go
    }
}

/// The rule that lets nothing go.
#[derive(Clone, Copy, Debug)]
pub struct KeepAll;

impl Rule for KeepAll {
    fn may_go(&self, _: &Policy, _: &[Run], _: Timestamp) -> BTreeSet<usize> {
        BTreeSet::new()
    }
}

/// Sorts snapshots into runs, the oldest first. What carries no server and run is nobody's to forget. `arrived` tells when
/// a snapshot was first here.
pub(crate) fn runs(snapshots: &[Snapshot], arrived: impl Fn(&str) -> Option<Timestamp>) -> Vec<Run> {
    let mut of_one: BTreeMap<(&str, &str), Vec<(Timestamp, &Snapshot)>> = BTreeMap::new();
    for snapshot in snapshots {
        if let (Some(server), Some(id)) = (snapshot.tag("server"), snapshot.tag("run")) {
            let came = arrived(&snapshot.id).unwrap_or(Timestamp::MAX);
            of_one.entry((server, id)).or_default().push((came, snapshot));
        }
    }
    let run = |((server, id), mut parts): ((&str, &str), Vec<(Timestamp, &Snapshot)>)| {
        parts.sort_by_key(|(came, snapshot)| (*came, snapshot.time));
        let ((first, beginning), (last, _)) = (parts.first()?, parts.last()?);
        let configuration = format!("/{server}/vm.json");
        let whole = parts.iter().find(|(_, part)| part.paths.contains(&configuration));
        Some(Run {
            server: server.to_owned(),
            id: id.to_owned(),
            begun: beginning.time,
            came: whole.map_or(*first, |(came, _)| *came),
            arrived: *last,
            whole: whole.is_some(),
            timely: true,
            snapshots: parts.iter().map(|(_, part)| part.id.clone()).collect(),
        })
    };
    let mut runs: Vec<Run> = of_one.into_iter().filter_map(run).collect();
    runs.sort_by_key(|run| (run.came, run.begun));
    let mut newest: BTreeMap<String, Timestamp> = BTreeMap::new();
    for run in runs.iter_mut().filter(|run| run.whole) {
        let newest = newest.entry(run.server.clone()).or_insert(run.begun);
        run.timely = run.begun >= *newest;
        *newest = run.begun.max(*newest);
    }
    runs.sort_by(|a, b| (a.begun, &a.server, &a.id).cmp(&(b.begun, &b.server, &b.id)));
    runs
}

/// What goes: what the rule says, but for what no rule may touch.
pub(crate) fn goes<'a>(rule: &dyn Rule, policy: &Policy, runs: &'a [Run], now: Timestamp) -> Vec<&'a Run> {
    let stays = policy.left_at.map(|left| left.checked_add(policy.keep_after_exit).unwrap_or(Timestamp::MAX));
    if stays.is_some_and(|until| now < until) {
        return Vec::new();
    }
    let young = now.checked_sub(YOUNG).unwrap_or(Timestamp::MIN);
    let mut last: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (place, run) in runs.iter().enumerate().filter(|(_, run)| run.whole) {
        // By both clocks: whoever makes a run chooses the one, and not the other.
        let [begun, came] = last.entry(&run.server).or_insert([place; 2]);
        if (run.begun, &run.id) >= (runs[*begun].begun, &runs[*begun].id) {
            *begun = place;
        }
        if run.came >= runs[*came].came {
            *came = place;
        }
    }
    let last: BTreeSet<usize> = last.into_values().flatten().collect();
    let may_go = rule.may_go(policy, runs, now);
    let goes = |place: usize, run: &Run| {
        may_go.contains(&place) && !last.contains(&place) && run.begun.max(run.arrived) <= young
    };
    runs.iter().enumerate().filter(|(place, run)| goes(*place, run)).map(|(_, run)| run).collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use vertskommune_core::backup::Retention;

    use super::*;

    /// The worst rule: everything may go.
    struct Nothing;

    impl Rule for Nothing {
        fn may_go(&self, _: &Policy, runs: &[Run], _: Timestamp) -> BTreeSet<usize> {
            (0..runs.len()).collect()
        }
    }

    fn policy(left_at: Option<&str>) -> Policy {
        let text = r#"{"retention": {"daily": 1}, "timeZone": "Europe/Oslo", "keepAfterExit": "P90D"}"#;
        let text = text.replace("P90D", "PT2160H");
        Policy { left_at: left_at.map(|at| at.parse().unwrap()), ..serde_json::from_str(&text).unwrap() }
    }

    fn snapshot(id: &str, server: &str, run: &str, time: &str, file: &str) -> Snapshot {
        Snapshot {
            id: id.to_owned(),
            time: time.parse().unwrap(),
            hostname: server.to_owned(),
            paths: vec![format!("/{server}/{file}")],
            tags: vec![format!("server={server}"), format!("run={run}")],
        }
    }

    #[test]
    fn no_rule_lifts_a_guard() {
        let mut snapshots = vec![
            snapshot("a", "fs01", "1", "2026-11-01T22:00:00Z", "data.raw"),
            snapshot("b", "fs01", "1", "2026-11-01T22:10:00Z", "vm.json"),
            snapshot("c", "fs01", "2", "2026-11-02T22:00:00Z", "vm.json"),
            snapshot("d", "fs01", "3", "2026-11-03T22:00:00Z", "data.raw"),
            snapshot("e", "gone", "1", "2025-01-01T22:00:00Z", "vm.json"),
            snapshot("f", "late", "1", "2026-11-01T22:00:00Z", "vm.json"),
            snapshot("g", "late", "2", "2026-11-02T22:00:00Z", "vm.json"),
        ];
        snapshots.push(Snapshot { tags: Vec::new(), ..snapshots[0].clone() });
        // One that claims to be of the first, and came on the 27th.
        let came = |id: &str| match id {
            "f" => "2026-11-27T12:00:00Z".parse().ok(),
            _ => snapshots.iter().find(|it| it.id == id).map(|it| it.time + SignedDuration::from_hours(1)),
        };
        let runs = runs(&snapshots, came);
        let gone = |now: &str, policy: &Policy| -> Vec<String> {
            let goes = goes(&Nothing, policy, &runs, now.parse().unwrap());
            goes.iter().flat_map(|run| run.snapshots.clone()).collect()
        };
        let here = policy(None);
        assert_eq!(
            gone("2026-11-28T12:00:00Z", &here),
            ["a", "b", "d"],
            "the last good run of each stays, by both clocks"
        );
        assert_eq!(gone("2026-11-03T12:00:00Z", &here), [""; 0], "what came yesterday stays");
        let left = policy(Some("2026-11-01T00:00:00Z"));
        assert_eq!(gone("2027-01-29T00:00:00Z", &left), [""; 0], "all of one that left not long ago");
        assert_eq!(gone("2027-01-31T00:00:00Z", &left), ["a", "b", "d"]);
        // What the policy says: the last of a day, of so many days that have one.
        let gone = super::goes(&ByPolicy, &here, &runs, "2026-12-28T12:00:00Z".parse().unwrap());
        let gone: Vec<_> = gone.iter().map(|run| (run.server.as_str(), run.id.as_str())).collect();
        assert_eq!(gone, [("fs01", "1"), ("fs01", "3")], "late/1 is the last that came");
        let nowhere = Policy { time_zone: "Europe/Harstad".to_owned(), ..policy(None) };
        assert!(super::goes(&ByPolicy, &nowhere, &runs, "2026-12-28T12:00:00Z".parse().unwrap()).is_empty());
        assert!(super::goes(&KeepAll, &here, &runs, "2030-01-01T00:00:00Z".parse().unwrap()).is_empty());
    }

    #[test]
    fn who_makes_up_times_displaces_nothing() {
        let night = |day: u8| format!("2026-11-{day:02}T22:00:00Z");
        let mut snapshots: Vec<Snapshot> = (1..=9)
            .map(|day| snapshot(&format!("real {day}"), "fs01", &day.to_string(), &night(day), "vm.json"))
            .collect();
        // On the tenth a later run of every night before is put in, and something that is older is added to each.
        for day in 1..=8 {
            let later = format!("2026-11-{day:02}T23:59:00Z");
            let fake = format!("fake {day}");
            snapshots.push(snapshot(&fake, "fs01", &fake, &later, "vm.json"));
            let older = "2026-10-01T22:00:00Z";
            snapshots.push(snapshot(&format!("more {day}"), "fs01", &day.to_string(), older, "vm.json"));
        }
        let came = |id: &str| match id.split_once(' ') {
            Some(("real", day)) => night(day.parse().ok()?).parse().ok(),
            _ => "2026-11-10T12:00:00Z".parse().ok(),
        };
        let runs = runs(&snapshots, came);
        let policy = Policy { retention: Retention { daily: 14, ..Retention::default() }, ..policy(None) };
        for now in ["2026-11-10T13:00:00Z", "2027-03-01T12:00:00Z"] {
            assert!(goes(&ByPolicy, &policy, &runs, now.parse().unwrap()).is_empty(), "{now}");
        }
        assert_eq!(runs.iter().filter(|run| !run.timely).count(), 8, "and they are known");
    }
}
