//! The order of one tenant's policies in a table where the first that fits counts: from what stands there to what is
//! wanted. Pure, and free of FortiOS.
//!
//! A tenant's policies are one block above the host's anchor. Nobody else's policy is ever moved.
//!
//! With transactions ([`in_one`]) the way does not matter, so the writes are the fewest: what is the longest run in the
//! right order stays, the rest moves.
//!
//! Without ([`one_by_one`]) every single write must leave a table that answers each packet as the old or as the new one
//! does. One write alone always does. Otherwise the block is built from its top, which is where the topmost stands that
//! is still wanted: each wanted policy in turn is brought directly below the one before, as a new one or by moving it
//! *up*; what is not wanted any more is then deleted from the bottom. A policy whose content changes counts as new, and
//! its old form as not wanted.
//!
//! *Why this is safe.* Take the first policy that a packet fits, at any moment.
//! - It is one of those that were placed, N₁ to Nₖ. These stand in the wanted order, and to others' policies as in the new
//!   table. So all that the new table has above it stands above it now and does not fit: the answer is the new table's.
//! - It is another one of ours. Nothing that the old table has above it has left that place: what moves only moves up, and
//!   what goes, goes from the bottom. So none of that fits: the answer is the old table's.
//! - It is somebody else's. While nothing is deleted, all that the old table has above it is still above it: the answer is
//!   the old table's. Later all of N is placed, so what the new table has above it stands there: the new table's.
//!
//! Nothing is said of what others' policies fit, so one that stands between ours needs no thought.
//!
//! To insert is one write here, and three in FortiOS, which appends to the table: a policy is made disabled, moved, and
//! then enabled. A disabled one fits no packet, so a crash leaves at most one more policy of ours that has to go.
//!
//! Of two policies with one key the upper is the one that counts, since a new form is always placed above its old one. A
//! key in a write means the one that counted when the writes were planned, or the one that an earlier write inserted.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// One policy of the table, from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its id.
    pub(crate) id: u64,
    /// What the tenant calls it, where it is this tenant's.
    pub(crate) key: Option<String>,
}

/// One wanted policy, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What the tenant calls it.
    pub(crate) key: String,
    /// Whether the one that stands has other content.
    pub(crate) changed: bool,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// A new policy, or one that stands in place of another with the same key, which is deleted later.
    Insert { key: String, place: Place },
    /// New content in place.
    Set { key: String },
    /// Another place.
    Move { key: String, place: Place },
    /// It goes.
    Delete { id: u64 },
}

/// A place in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Directly above this policy.
    Above(u64),
    /// Directly below the tenant's policy of that key, where the writes before have left it.
    Below(String),
}

/// The fewest writes, for a system that does all of them at once.
pub(crate) fn in_one(standing: &[Standing], wanted: &[Wanted], anchor: u64) -> Vec<Write> {
    let table = Table::new(standing, wanted, anchor);
    let candidates = table.stretches().into_iter().map(|stretch| longest(&table.within(wanted, stretch)));
    // Of equals the lowest: it is nearest to where a new block would stand.
    let kept: BTreeSet<&str> = candidates.max_by_key(Vec::len).unwrap_or_default().into_iter().collect();
    let first_kept = wanted.iter().find(|it| kept.contains(it.key.as_str()));
    let top = first_kept.map_or(table.top_id(), |it| standing[table.at[it.key.as_str()]].id);
    let mut writes = place_all(&table, wanted, &kept, top, |_| false);
    let changed = wanted.iter().filter(|it| it.changed && table.at.contains_key(it.key.as_str()));
    writes.extend(changed.map(|it| Write::Set { key: it.key.clone() }));
    writes.extend(table.surplus.iter().rev().map(|place| table.delete(*place)));
    writes
}

/// Writes of which each leaves a table that answers every packet as the old or the new one.
pub(crate) fn one_by_one(standing: &[Standing], wanted: &[Wanted], anchor: u64) -> Vec<Write> {
    let single = in_one(standing, wanted, anchor);
    if single.len() < 2 {
        return single;
    }
    let table = Table::new(standing, wanted, anchor);
    let stretch = table.top().and_then(|top| table.stretches().into_iter().find(|(_, to)| top < *to));
    let replaced = |it: &Wanted| it.changed && table.at.contains_key(it.key.as_str());
    let kept = never_overtaken(&table, wanted, stretch.unwrap_or_default());
    let mut writes = place_all(&table, wanted, &kept, table.top_id(), replaced);
    let old = wanted.iter().filter(|it| replaced(it)).map(|it| table.at[it.key.as_str()]);
    let mut goes: Vec<usize> = table.surplus.iter().copied().chain(old).collect();
    goes.sort_unstable();
    writes.extend(goes.into_iter().rev().map(|place| table.delete(place)));
    writes
}

/// The table as far as it matters here.
struct Table<'a> {
    standing: &'a [Standing],
    anchor: u64,
    /// Where each of ours stands that is wanted; of two with one key the upper.
    at: BTreeMap<&'a str, usize>,
    /// Ours that are not wanted, from top to bottom.
    surplus: Vec<usize>,
}

impl<'a> Table<'a> {
    fn new(standing: &'a [Standing], wanted: &[Wanted], anchor: u64) -> Self {
        let keys: BTreeSet<&str> = wanted.iter().map(|it| it.key.as_str()).collect();
        let (mut at, mut surplus) = (BTreeMap::new(), Vec::new());
        for (place, key) in standing.iter().enumerate().filter_map(|(i, it)| Some((i, it.key.as_deref()?))) {
            if keys.contains(key) && !at.contains_key(key) {
                at.insert(key, place);
            } else {
                surplus.push(place);
            }
        }
        Self { standing, anchor, at, surplus }
    }

    /// Where the topmost stands that is still wanted, above the anchor. Where none is, the block begins where the old one
    /// does: it stays at that side of others' policies.
    fn top(&self) -> Option<usize> {
        let ours = self.standing.iter().position(|it| it.key.is_some());
        let above = |place: &usize| *place < self.anchor_at();
        self.at.values().copied().min().filter(above).or(ours.filter(above))
    }

    /// The policy that the block's first one is placed directly above.
    fn top_id(&self) -> u64 {
        self.top().map_or(self.anchor, |place| self.standing[place].id)
    }

    /// Where the anchor stands; below everything where it is not in the table.
    fn anchor_at(&self) -> usize {
        self.standing.iter().position(|it| it.id == self.anchor).unwrap_or(self.standing.len())
    }

    /// Stretches of the table above the anchor in which nobody else's policy stands between ours.
    fn stretches(&self) -> Vec<(usize, usize)> {
        let above = &self.standing[..self.anchor_at()];
        let mut stretches = Vec::new();
        let mut first = None;
        for (place, it) in above.iter().enumerate() {
            match (it.key.is_some(), first) {
                (true, None) => first = Some(place),
                (false, Some(begin)) => {
                    stretches.push((begin, place));
                    first = None;
                }
                _ => {}
            }
        }
        stretches.extend(first.map(|begin| (begin, above.len())));
        stretches
    }

    /// The wanted ones that stand within a stretch, with their places, in the wanted order.
    fn within<'b>(&self, wanted: &'b [Wanted], (from, to): (usize, usize)) -> Vec<(&'b str, usize)> {
        let place = |it: &'b Wanted| Some((it.key.as_str(), *self.at.get(it.key.as_str())?));
        wanted.iter().filter_map(place).filter(|(_, at)| (from..to).contains(at)).collect()
    }

    fn delete(&self, place: usize) -> Write {
        Write::Delete { id: self.standing[place].id }
    }
}

/// Brings each wanted policy directly below the one before it, but for those that stay.
fn place_all(
    table: &Table<'_>,
    wanted: &[Wanted],
    kept: &BTreeSet<&str>,
    top: u64,
    replaced: impl Fn(&Wanted) -> bool,
) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut before: Option<&str> = None;
    for it in wanted {
        let key = it.key.clone();
        let place = before.map_or(Place::Above(top), |key| Place::Below(key.to_owned()));
        match table.at.contains_key(it.key.as_str()) && !replaced(it) {
            true if kept.contains(it.key.as_str()) => {}
            true => writes.push(Write::Move { key, place }),
            false => writes.push(Write::Insert { key, place }),
        }
        before = Some(&it.key);
    }
    writes
}

/// The longest part of a list whose places rise.
fn longest<'a>(list: &[(&'a str, usize)]) -> Vec<&'a str> {
    // For each length the index of the smallest last place, and for each entry the one before it.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::new();
    for (index, (_, place)) in list.iter().enumerate() {
        let length = ends.partition_point(|end| list[*end].1 < *place);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let mut part = Vec::new();
    let mut next = ends.last().copied();
    while let Some(index) = next {
        part.push(list[index].0);
        next = before[index];
    }
    part
}

/// Those that can stay while all others only move up: unchanged, in the stretch where the block begins, and above all
/// that follow them. So a new form never stands below the old one, and of two the upper is the one that counts.
fn never_overtaken<'a>(
    table: &Table<'_>,
    wanted: &'a [Wanted],
    stretch: (usize, usize),
) -> BTreeSet<&'a str> {
    let mut kept = BTreeSet::new();
    let mut lowest = usize::MAX;
    for it in wanted.iter().rev() {
        let Some(place) = table.at.get(it.key.as_str()).copied() else { continue };
        if !it.changed && place < lowest && (stretch.0..stretch.1).contains(&place) {
            kept.insert(it.key.as_str());
        }
        lowest = lowest.min(place);
    }
    kept
}
