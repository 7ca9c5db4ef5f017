//! What is written beside the runs: proofs, and attempts that came to nothing. One tells only as long as nothing newer does,
//! so that a repository does not fill with them over the years.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use restic::Snapshot;
use vertskommune_core::backup::retention::YOUNG;

use crate::runs::Run;

/// The snapshots of notes that tell nothing any more when only `stays` is left of the runs: proofs of runs that are gone, and
/// attempts, but for the last of each disk and server. By both clocks, as for runs.
pub(crate) fn stale<'a>(
    snapshots: &'a [Snapshot],
    arrived: impl Fn(&str) -> Option<Timestamp>,
    stays: &[&Run],
    now: Timestamp,
) -> Vec<&'a str> {
    let stays: BTreeSet<(&str, &str)> =
        stays.iter().map(|run| (run.server.as_str(), run.id.as_str())).collect();
    let young = now.checked_sub(YOUNG).unwrap_or(Timestamp::MIN);
    let mut notes: BTreeMap<_, Vec<(&Snapshot, Timestamp, bool)>> = BTreeMap::new();
    for snapshot in snapshots {
        let Some(server) = snapshot.tag("server") else { continue };
        let came = arrived(&snapshot.id).unwrap_or(Timestamp::MAX);
        let (about, run) = match (snapshot.tag("proof"), snapshot.tag("disk"), snapshot.tag("attempt")) {
            (Some(run), Some(disk), None) => (Some(disk), Some(run)),
            (None, None, Some(_)) => (None, None),
            _ => continue,
        };
        let tells = run.is_some_and(|run| stays.contains(&(server, run)));
        notes.entry((server, about)).or_default().push((snapshot, came, tells));
    }
    let mut stale = Vec::new();
    for of_one in notes.values() {
        let made = of_one.iter().map(|(snapshot, ..)| snapshot.time).max();
        let came = of_one.iter().map(|(_, came, _)| *came).max();
        let goes = of_one.iter().filter(|(snapshot, at, tells)| {
            let last = Some(snapshot.time) == made || Some(*at) == came;
            !last && !tells && snapshot.time.max(*at) <= young
        });
        stale.extend(goes.map(|(snapshot, ..)| snapshot.id.as_str()));
    }
    stale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_note_stays_and_so_does_one_of_a_run_that_stays() {
        let note = |id: &str, day: u8, server: &str, tags: &[&str]| {
            let mut tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
            tags.push(format!("server={server}"));
            let time = format!("2026-11-{day:02}T22:00:00Z").parse().unwrap();
            Snapshot { id: id.to_owned(), time, hostname: server.to_owned(), paths: Vec::new(), tags }
        };
        let snapshots = [
            note("gone", 1, "fs01", &["proof=1", "disk=data"]),
            note("there", 2, "fs01", &["proof=2", "disk=data"]),
            note("last", 3, "fs01", &["proof=1", "disk=data"]),
            note("only", 1, "fs01", &["proof=1", "disk=system"]),
            note("late", 1, "fs01", &["proof=1", "disk=logs"]),
            note("later", 2, "fs01", &["proof=1", "disk=logs"]),
            note("tried", 1, "sql01", &["attempt=1"]),
            note("tried again", 2, "sql01", &["attempt=2"]),
            note("run", 1, "fs01", &["run=1", "disk=data"]),
            note("nobody's", 1, "fs01", &[]),
        ];
        let came = |id: &str| match id {
            "late" => "2026-11-20T22:00:00Z".parse().ok(),
            _ => snapshots.iter().find(|it| it.id == id).map(|it| it.time),
        };
        let stays = Run::sample("fs01", "2");
        let stale = |now: &str| super::stale(&snapshots, came, &[&stays], now.parse().unwrap());
        assert_eq!(stale("2026-11-28T12:00:00Z"), ["gone", "tried"]);
        assert_eq!(stale("2026-11-03T12:00:00Z"), [""; 0], "what came yesterday stays");
    }
}
