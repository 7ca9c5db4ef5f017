//! The rows of one table in their order. Each has a rank far from its neighbours', so that a row comes between
//! two others without touching the rest; where the room is used up, all ranks are spread out anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Position;
use crate::schema::{TableId, catalogue};
use crate::value::{Key, Row, short};

/// A place in the order.
pub(crate) type Rank = u128;

/// The room between two rows that were appended one after the other: 64 rows fit between them, one in the
/// middle of the last gap each time.
const ROOM: Rank = 1 << 64;

/// The rows of one table.
#[derive(Debug)]
pub(crate) struct Rows {
    table: TableId,
    ordered: BTreeMap<Rank, Arc<Row>>,
    ranks: BTreeMap<Key, Rank>,
    users: Users,
    /// Sum of the rows' digests and of their neighbourhoods, so that a write need not read the others.
    digest: u128,
}

/// Who refers to what: for each attribute that names rows of other tables and each name in it, the rows that
/// hold it.
type Users = HashMap<u16, HashMap<Arc<str>, BTreeSet<Key>>>;

impl Rows {
    /// No rows yet.
    pub(crate) fn new(table: TableId) -> Self {
        Self { table, ordered: BTreeMap::new(), ranks: BTreeMap::new(), users: Users::new(), digest: 0 }
    }

    /// The row of that key.
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Row>> {
        self.ordered.get(self.ranks.get(key)?)
    }

    /// The row's rank.
    pub(crate) fn rank(&self, key: &Key) -> Option<Rank> {
        self.ranks.get(key).copied()
    }

    /// The rows in their order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Row>> {
        self.ordered.values()
    }

    /// The rows in their order, with their ranks.
    pub(crate) fn ranked(&self) -> impl DoubleEndedIterator<Item = (Rank, &Arc<Row>)> {
        self.ordered.iter().map(|(rank, row)| (*rank, row))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ordered.len()
    }

    /// The largest key, which for numbers is the one after which the next is given.
    pub(crate) fn last_key(&self) -> Option<&Key> {
        self.ranks.last_key_value().map(|(key, _)| key)
    }

    /// The nearest row before `rank`, and those before it.
    pub(crate) fn before(&self, rank: Rank) -> impl Iterator<Item = (Rank, &Arc<Row>)> {
        self.ordered.range(..rank).rev().map(|(rank, row)| (*rank, row))
    }

    /// The nearest row after `rank`, and those after it.
    pub(crate) fn after(&self, rank: Rank) -> impl Iterator<Item = (Rank, &Arc<Row>)> {
        self.ordered.range(rank.saturating_add(1)..).map(|(rank, row)| (*rank, row))
    }

    /// The keys of the rows that hold `name` in the attribute at `place`.
    pub(crate) fn users(&self, name: &str, place: u16) -> impl Iterator<Item = &Key> {
        self.users.get(&place).and_then(|names| names.get(name)).into_iter().flatten()
    }

    /// Thirty-two hexadecimal digits that change with the rows and their order.
    pub(crate) fn revision(&self, vdom: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.table.table().full);
        hash.update([0]);
        hash.update(vdom);
        hash.update(self.digest.to_be_bytes());
        format!("{:032x}", short(hash))
    }

    /// Puts a row where it belongs, in the place of the one with its key.
    pub(crate) fn put(&mut self, row: Arc<Row>, position: &Position) {
        let rank = match (position, self.rank(&row.key)) {
            (Position::Keep, Some(rank)) => Some(rank),
            (Position::Keep, None) => Some(self.end()),
            (Position::Before(other) | Position::After(other), _) => {
                self.remove(&row.key);
                self.beside(other, matches!(position, Position::After(_))).or_else(|| {
                    let fresh = spread(self.ranks().collect());
                    self.rerank(&fresh);
                    self.beside(other, matches!(position, Position::After(_)))
                })
            }
        };
        self.remove(&row.key);
        let rank = rank.unwrap_or_else(|| self.end());
        self.insert(rank, row);
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Row>> {
        let rank = self.ranks.remove(key)?;
        let row = self.ordered.remove(&rank)?;
        let (before, after) = self.neighbours(rank);
        self.digest = self
            .digest
            .wrapping_sub(row.digest())
            .wrapping_sub(link(before.as_ref(), Some(key)))
            .wrapping_sub(link(Some(key), after.as_ref()))
            .wrapping_add(link(before.as_ref(), after.as_ref()));
        self.each_name(&row, |names, name| {
            if let Some(holders) = names.get_mut(name) {
                holders.remove(key);
                if holders.is_empty() {
                    names.remove(name);
                }
            }
        });
        Some(row)
    }

    /// Puts a row in at a free rank.
    pub(crate) fn insert(&mut self, rank: Rank, row: Arc<Row>) {
        let (before, after) = self.neighbours(rank);
        self.digest = self
            .digest
            .wrapping_add(row.digest())
            .wrapping_add(link(before.as_ref(), Some(&row.key)))
            .wrapping_add(link(Some(&row.key), after.as_ref()))
            .wrapping_sub(link(before.as_ref(), after.as_ref()));
        self.each_name(&row, |names, name| {
            if let Some(holders) = names.get_mut(name) {
                holders.insert(row.key.clone());
            } else {
                names.insert(Arc::from(name), BTreeSet::from([row.key.clone()]));
            }
        });
        self.ranks.insert(row.key.clone(), rank);
        self.ordered.insert(rank, row);
    }

    pub(crate) fn ranks(&self) -> impl Iterator<Item = Rank> {
        self.ordered.keys().copied()
    }

    pub(crate) fn rerank(&mut self, fresh: &BTreeMap<Rank, Rank>) {
        let moved = |rank: &Rank| fresh.get(rank).copied().unwrap_or(*rank);
        self.ordered =
            std::mem::take(&mut self.ordered).into_iter().map(|(rank, row)| (moved(&rank), row)).collect();
        for rank in self.ranks.values_mut() {
            *rank = moved(rank);
        }
    }

    /// A rank after all rows.
    pub(crate) fn end(&self) -> Rank {
        self.ordered.last_key_value().map_or(ROOM, |(last, _)| last.saturating_add(ROOM))
    }

    /// A rank right beside a row; `None` where there is no room left.
    fn beside(&self, key: &Key, after: bool) -> Option<Rank> {
        let rank = self.rank(key)?;
        let neighbour = if after { self.after(rank).next() } else { self.before(rank).next() };
        between(rank, neighbour.map(|(rank, _)| rank), after)
    }

    /// Calls with each name of another row that `row` holds, and with what must be unique in it.
    fn each_name(&mut self, row: &Row, mut call: impl FnMut(&mut HashMap<Arc<str>, BTreeSet<Key>>, &str)) {
        let table = self.table.table();
        for (place, _) in table.unique.iter().filter_map(|name| table.attribute(name)) {
            if let Some(text) = row.fields.text(place) {
                call(self.users.entry(place).or_default(), text);
            }
        }
        let mut found = Vec::new();
        for reference in catalogue().references(self.table) {
            found.clear();
            row.fields.texts_at(&reference.way, &mut found);
            if !found.is_empty() {
                let names = self.users.entry(reference.way[0]).or_default();
                for name in &found {
                    call(names, name);
                }
            }
        }
    }

    fn neighbours(&self, rank: Rank) -> (Option<Key>, Option<Key>) {
        let key = |(_, row): (Rank, &Arc<Row>)| row.key.clone();
        (self.before(rank).next().map(key), self.after(rank).next().map(key))
    }
}

/// A rank between a row and its neighbour on one side.
pub(crate) fn between(rank: Rank, neighbour: Option<Rank>, after: bool) -> Option<Rank> {
    let middle = match (neighbour, after) {
        (Some(neighbour), _) => rank.midpoint(neighbour),
        (None, true) => rank.saturating_add(ROOM),
        (None, false) => rank / 2,
    };
    (middle != rank && Some(middle) != neighbour && middle > 0).then_some(middle)
}

/// The old ranks with new ones far from each other.
pub(crate) fn spread(mut ranks: Vec<Rank>) -> BTreeMap<Rank, Rank> {
    ranks.sort_unstable();
    ranks.dedup();
    let mut fresh = 0;
    let mut step = || {
        fresh += ROOM;
        fresh
    };
    ranks.into_iter().map(|rank| (rank, step())).collect()
}

/// What two neighbours add to the digest, so that it knows the order.
fn link(before: Option<&Key>, after: Option<&Key>) -> u128 {
    let mut hash = Sha256::new();
    for key in [before, after] {
        match key {
            None => hash.update([0]),
            Some(Key::Number(number)) => {
                hash.update([1]);
                hash.update(number.to_le_bytes());
            }
            Some(Key::Text(text)) => {
                hash.update([2]);
                hash.update(text.len().to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
    }
    short(hash)
}
