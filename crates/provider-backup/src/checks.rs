//! Checks of a repository, each with a part of its data read, told by the notes that they leave. Pure.
//!
//! What a check found is about the repository and not about the disk that was proven before it, so it stands by itself: a
//! part that was found damaged stays so until it, or all, was read again and was whole.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use vertskommune_core::backup::facts::{Outcome, Proof};

/// A check reads about so much.
const READ: u64 = 1 << 30;

/// The most parts, so that everything has its turn. A larger repository has larger parts.
const PARTS: u32 = 64;

/// A part of a repository. restic takes a pack into it by the first byte of its name, modulo the number of parts. That is a
/// power of two here, so that of a repository that grows each part becomes two, and what was read stays read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) part: u32,
    pub(crate) of: u32,
}

impl Part {
    /// Reads `3-of-8`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (part, of) = text.split_once("-of-")?;
        let (part, of) = (part.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&part).then_some(Self { part, of })
    }

    /// Whether all of the other is read with it.
    fn covers(self, other: Self) -> bool {
        other.of.is_multiple_of(self.of) && (other.part - 1) % self.of == self.part - 1
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.part, self.of)
    }
}

/// What the last check of each part showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checks(BTreeMap<Part, Proof>);

impl Checks {
    /// Takes in a check, in any order. One of a time that is yet to come proves nothing.
    pub(crate) fn note(&mut self, part: Part, check: Proof, now: Timestamp) {
        if check.intact().is_some() && check.is_ahead(now) {
            return;
        }
        let weight = |check: &Proof| (!check.is_ahead(now), check.at);
        if self.0.get(&part).is_none_or(|last| weight(last) <= weight(&check)) {
            self.0.insert(part, check);
        }
    }

    /// The part that is read next, of a repository of so many bytes: one that was found damaged, unless it was the last that
    /// was read; else the one that was not read for the longest.
    pub(crate) fn next(&self, bytes: u64, now: Timestamp) -> Part {
        let past = self.0.iter().filter(|(_, check)| !check.is_ahead(now));
        let last = past.max_by_key(|(_, check)| check.at).map(|(part, _)| *part);
        let damaged = self.damaged().filter(|(part, ..)| Some(*part) != last);
        if let Some((part, ..)) = damaged.min_by_key(|(_, at, _)| *at) {
            return part;
        }
        let of = bytes.div_ceil(READ).clamp(1, u64::from(PARTS));
        let of = u32::try_from(of).unwrap_or(PARTS).next_power_of_two();
        let read =
            |part: Part| self.0.iter().filter(|(it, _)| it.covers(part)).map(|(_, check)| check.at).max();
        let parts = (1..=of).map(|part| Part { part, of });
        parts.min_by_key(|part| (read(*part), *part)).unwrap_or(Part { part: 1, of: 1 })
    }

    /// What is damaged, for people; nothing where all that was is read again and whole.
    pub(crate) fn damage(&self) -> Option<String> {
        let said: Vec<_> = self
            .damaged()
            .map(|(Part { part, of }, at, why)| format!("part {part} of {of}, read at {at:.0}: {why}"))
            .collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    fn damaged(&self) -> impl Iterator<Item = (Part, Timestamp, &str)> {
        self.0.iter().filter_map(move |(part, check)| {
            let Outcome::Damaged(why) = &check.outcome else { return None };
            let whole = |(other, later): (&Part, &Proof)| {
                other.covers(*part) && later.intact().is_some_and(|at| at > check.at)
            };
            (!self.0.iter().any(whole)).then_some((*part, check.at, why.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn day(day: u8) -> Timestamp {
        format!("2026-11-{day:02}T08:00:00Z").parse().unwrap()
    }

    fn part(text: &str) -> Part {
        Part::parse(text).unwrap()
    }

    /// By day: the part that was read, and what of it was damaged.
    fn checks(all: &[(u8, &str, Option<&str>)]) -> Checks {
        let mut checks = Checks::default();
        for (at, text, damaged) in all {
            let outcome = damaged.map_or(Outcome::Intact, |why| Outcome::Damaged(why.to_owned()));
            checks.note(part(text), Proof { at: day(*at), outcome }, day(28));
        }
        checks
    }

    #[test]
    fn parts_are_what_they_are_written_as() {
        assert_eq!(part(&part("3-of-8").to_string()), Part { part: 3, of: 8 });
        for none in ["", "3", "0-of-8", "9-of-8", "1-of-0", "a-of-b"] {
            assert_eq!(Part::parse(none), None, "{none}");
        }
        assert!(part("1-of-1").covers(part("3-of-4")) && part("1-of-2").covers(part("3-of-4")));
        assert!(!part("2-of-2").covers(part("3-of-4")) && !part("3-of-4").covers(part("1-of-2")));
    }

    #[test]
    fn each_part_has_its_turn() {
        let mut checks = Checks::default();
        let mut turn = |at: u8, bytes| {
            let next = checks.next(bytes, day(28));
            checks.note(next, Proof { at: day(at), outcome: Outcome::Intact }, day(28));
            next.to_string()
        };
        assert_eq!([turn(1, 0), turn(2, GIB)], ["1-of-1"; 2], "a small one is read as a whole");
        let few = [turn(3, 4 * GIB), turn(4, 4 * GIB), turn(5, 3 * GIB)];
        assert_eq!(few, ["1-of-4", "2-of-4", "3-of-4"]);
        // It grows, and of what was read the oldest is next.
        let grown = [turn(6, 5 * GIB), turn(7, 5 * GIB), turn(8, 5 * GIB)];
        assert_eq!(grown, ["4-of-8", "8-of-8", "1-of-8"]);
        assert!(turn(9, u64::MAX).ends_with("-of-64"), "never more parts than that");
    }

    #[test]
    fn what_was_found_damaged_stays_so_until_it_is_read_again() {
        let found = [(1, "1-of-4", None), (2, "2-of-4", Some("pack 12"))];
        let damaged = checks(&found);
        assert_eq!(damaged.damage().unwrap(), "part 2 of 4, read at 2026-11-02T08:00:00Z: pack 12");
        assert_eq!(damaged.next(4 * GIB, day(28)), part("3-of-4"), "the others go on");
        let mut others = found.to_vec();
        others.push((3, "3-of-4", None));
        let damaged = checks(&others);
        assert!(damaged.damage().is_some(), "another part that is whole says nothing of it");
        assert_eq!(damaged.next(4 * GIB, day(28)), part("2-of-4"), "it is looked at again soon");
        for (again, mended) in [("2-of-4", true), ("1-of-1", true), ("2-of-2", true), ("2-of-8", false)] {
            let mut later = others.clone();
            later.push((4, again, None));
            assert_eq!(checks(&later).damage().is_none(), mended, "{again}");
            later.reverse();
            assert_eq!(checks(&later).damage().is_none(), mended, "{again}, told in another order");
        }
        others.push((4, "2-of-4", Some("pack 13")));
        assert!(checks(&others).damage().unwrap().ends_with("pack 13"));
    }

    #[test]
    fn what_is_yet_to_come_proves_nothing() {
        let ahead = checks(&[(2, "1-of-1", Some("pack 12")), (30, "1-of-1", None)]);
        assert!(ahead.damage().is_some());
        let found = checks(&[(30, "1-of-1", Some("pack 12"))]);
        assert!(found.damage().is_some(), "but damage is damage");
        assert_eq!(found.next(GIB * 4, day(28)), part("1-of-1"), "and is looked at again");
        let read = checks(&[(30, "1-of-1", Some("pack 12")), (27, "1-of-1", None)]);
        assert_eq!(read.damage(), None, "which a reading mends all the same");
    }
}
