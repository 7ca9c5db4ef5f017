//! What the keeper remembers of a tenant from run to run. It lies beside the copy, where no account can reach it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::name::{Kind, Name};
use crate::place::Place;
use crate::runs::Run;
use crate::survey::Survey;

/// What is no longer asked for goes only after so long: whoever makes a rule let go of what is wanted is noticed by then.
pub(crate) const DELAY: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Days of which nobody was told do not count: after so long without a look they begin anew.
const BREAK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What the keeper remembers of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Memory {
    /// When each snapshot was first here, by its id.
    arrived: BTreeMap<String, Timestamp>,
    /// The hash of each file that has none for a name, as it was first seen.
    pinned: BTreeMap<String, String>,
    /// The id of the keeper's own key.
    pub(crate) key: Option<String>,
    /// The runs that are no longer asked for, by server and run, and since when without a break.
    going: BTreeMap<String, BTreeMap<String, Timestamp>>,
    /// When that was last looked at.
    looked: Option<Timestamp>,
}

impl Memory {
    /// What was remembered last. What cannot be read is not taken for nothing.
    pub(crate) fn read(place: &Place) -> io::Result<Self> {
        let file = match place.kept.read(&place.beside("memory.json")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        serde_json::from_reader(io::BufReader::new(file)).map_err(|error| {
            io::Error::other(format!("{} cannot be read: {error}", place.beside("memory.json")))
        })
    }

    /// Remembers it, where it is another than `before`.
    pub(crate) fn write(&self, place: &Place, before: &Self) -> io::Result<()> {
        if self == before {
            return Ok(());
        }
        place.kept.write(&place.beside("memory.json"), &serde_json::to_vec(self)?)
    }

    /// Notes when snapshots came that are new here. All that come in one run came at one moment: in which order they were copied
    /// says nothing of them. The time of a file in the copy would, and could be moved by a change of the repository's.
    pub(crate) fn note_arrivals(&mut self, kept: &Survey, refused: &BTreeSet<Name>, now: Timestamp) {
        let snapshot = |name: &&Name| name.kind() == Kind::Snapshot;
        let here: BTreeSet<String> =
            kept.files.keys().chain(refused).filter(snapshot).map(|name| name.leaf()).collect();
        self.arrived.retain(|id, _| here.contains(id));
        for name in kept.files.keys().filter(snapshot) {
            self.arrived.entry(name.leaf()).or_insert(now);
        }
    }

    /// When a snapshot was first here.
    pub(crate) fn arrived(&self, id: &str) -> Option<Timestamp> {
        self.arrived.get(id).copied()
    }

    /// The hash that a file without one for a name must have: that of `kept` where none was noted yet.
    pub(crate) fn pinned(&mut self, name: Name, kept: Option<&String>) -> Option<String> {
        match (self.pinned.get(&name.leaf()), kept) {
            (Some(pinned), _) => Some(pinned.clone()),
            (None, kept) => {
                self.pinned.extend(kept.map(|kept| (name.leaf(), kept.clone())));
                kept.cloned()
            }
        }
    }

    /// A file without a hash for a name comes anew, and is pinned as it comes.
    pub(crate) fn unpin(&mut self, name: Name) {
        self.pinned.remove(&name.leaf());
    }

    /// Notes which runs are to go, and gives since when each is.
    pub(crate) fn note_going<'a>(&mut self, gone: &[&'a Run], now: Timestamp) -> Vec<(&'a Run, Timestamp)> {
        let mut before = std::mem::take(&mut self.going);
        if self.looked.replace(now).is_none_or(|looked| now.duration_since(looked) > BREAK) {
            before.clear();
        }
        let since = |run: &Run| before.get(&run.server).and_then(|runs| runs.get(&run.id)).copied();
        let mut going = Vec::new();
        for &run in gone {
            let since = since(run).map_or(now, |since| since.min(now));
            self.going.entry(run.server.clone()).or_default().insert(run.id.clone(), since);
            going.push((run, since));
        }
        going
    }

    /// Nothing is to go any more.
    pub(crate) fn nothing_goes(&mut self) {
        self.going.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_without_a_break() {
        let run = Run::sample("fs01", "1");
        let mut memory = Memory::default();
        let day = |day: u8| format!("2026-11-{day:02}T12:00:00Z").parse::<Timestamp>().unwrap();
        for (on, goes, since, why) in [
            (1, true, Some(1), "the first time"),
            (7, true, Some(1), "a few days on"),
            (8, false, None, "it is asked for again"),
            (9, true, Some(9), "and is not, from the beginning"),
            (17, true, Some(17), "nobody was told for more than a week"),
            (16, true, Some(16), "a clock went back"),
            (18, true, Some(16), "and on"),
        ] {
            let gone: Vec<&Run> = if goes { vec![&run] } else { Vec::new() };
            let going = memory.note_going(&gone, day(on));
            assert_eq!(going.first().map(|(_, since)| *since), since.map(day), "{why}");
        }
    }
}
