//! The configuration as one request sees it: what is committed, and the changes of its own transaction over it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Delta, Place, Rank, Rows, Store, Vdom};
use crate::schema::{Scope, TableId, catalogue};
use crate::value::{Key, Row};

/// Something to read the configuration by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    store: &'a Store,
    delta: Option<&'a Delta>,
}

/// A row that refers to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct User {
    /// Its table.
    pub place: Place,
    /// What it is called.
    pub key: Key,
    /// The attribute that names the other.
    pub attribute: &'static str,
}

impl<'a> View<'a> {
    /// What is committed.
    pub(crate) fn committed(store: &'a Store) -> Self {
        Self { store, delta: None }
    }

    /// What a transaction sees.
    pub(crate) fn within(store: &'a Store, delta: &'a Delta) -> Self {
        Self { store, delta: Some(delta) }
    }

    /// The VDOMs by name.
    pub(crate) fn vdoms(self) -> impl Iterator<Item = &'a Vdom> {
        self.store.vdoms()
    }

    /// The row of that key.
    pub(crate) fn get(self, place: &Place, key: &Key) -> Option<&'a Arc<Row>> {
        match self.touched(place, key) {
            Some(held) => held.as_ref().map(|(_, row)| row),
            None => self.rows(place)?.get(key),
        }
    }

    /// The single object of a table; `None` while nothing in it was ever set.
    pub(crate) fn single(self, place: &Place) -> Option<&'a Arc<Row>> {
        self.get(place, &Key::single())
    }

    /// The row's rank.
    pub(crate) fn rank(self, place: &Place, key: &Key) -> Option<Rank> {
        match self.touched(place, key) {
            Some(held) => held.as_ref().map(|(rank, _)| *rank),
            None => self.rows(place)?.rank(key),
        }
    }

    /// The rows in their order.
    pub(crate) fn list(self, place: &Place) -> Vec<&'a Arc<Row>> {
        let Some(rows) = self.rows(place) else { return Vec::new() };
        let Some(touched) = self.delta.and_then(|delta| delta.touched(place)) else {
            return rows.iter().collect();
        };
        let kept = rows.ranked().filter(|(_, row)| !touched.contains_key(&row.key));
        let mut ranked: Vec<(Rank, &Arc<Row>)> =
            kept.chain(touched.values().flatten().map(|(rank, row)| (*rank, row))).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, row)| row).collect()
    }

    /// How many rows there are.
    pub(crate) fn len(self, place: &Place) -> usize {
        let Some(rows) = self.rows(place) else { return 0 };
        let Some(touched) = self.delta.and_then(|delta| delta.touched(place)) else { return rows.len() };
        let gone = touched.keys().filter(|key| rows.rank(key).is_some()).count();
        rows.len() - gone + touched.values().flatten().count()
    }

    /// The largest key.
    pub(crate) fn last_key(self, place: &Place) -> Option<&'a Key> {
        let pending =
            self.delta.and_then(|delta| delta.touched(place)).and_then(|touched| touched.last_key_value());
        self.rows(place).and_then(Rows::last_key).max(pending.map(|(key, _)| key))
    }

    /// A rank after all rows.
    pub(crate) fn end(self, place: &Place) -> Rank {
        let committed = self.rows(place).map_or(1, Rows::end);
        let pending = self.delta.and_then(|delta| delta.ranks(place).next_back());
        committed.max(pending.map_or(0, |last| last.saturating_add(1 << 64)))
    }

    /// The rank of the row next to `rank` on one side.
    pub(crate) fn neighbour(self, place: &Place, rank: Rank, after: bool) -> Option<Rank> {
        let rows = self.rows(place)?;
        let kept = |(rank, row): (Rank, &Arc<Row>)| self.touched(place, &row.key).is_none().then_some(rank);
        let committed =
            if after { rows.after(rank).find_map(kept) } else { rows.before(rank).find_map(kept) };
        let pending = self.delta.and_then(|delta| delta.near(place, rank, after));
        match (committed, pending) {
            (Some(one), Some(other)) if after => Some(one.min(other)),
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        }
    }

    /// The first of `tables`, as seen from `vdom`, that has a row of that name.
    pub(crate) fn resolve(self, tables: &[TableId], vdom: &Vdom, name: &str) -> Option<Place> {
        let key = Key::from(name);
        tables.iter().map(|table| Place::of(*table, vdom)).find(|place| self.get(place, &key).is_some())
    }

    /// The rows that refer to a row. Those of the device are looked for in every VDOM.
    pub(crate) fn users(self, place: &Place, key: &Key) -> BTreeSet<User> {
        let mut found = BTreeSet::new();
        for referrer in catalogue().referrers(place.table) {
            let vdoms: Vec<Option<Vdom>> = match (referrer.table().scope, &place.vdom) {
                (Scope::Global, _) => vec![None],
                (Scope::Vdom, Some(vdom)) => vec![Some(vdom.clone())],
                (Scope::Vdom, None) => self.vdoms().cloned().map(Some).collect(),
            };
            for vdom in vdoms {
                self.users_in(&Place { table: *referrer, vdom }, place, key, &mut found);
            }
        }
        found
    }

    /// Whether a row of one table refers to a row of another.
    pub(crate) fn refers(self, referrer: &Place, target: &Place, key: &Key) -> bool {
        let mut found = BTreeSet::new();
        self.users_in(referrer, target, key, &mut found);
        !found.is_empty()
    }

    /// Whether another row than `key` has this text in an attribute that the schema calls unique.
    pub(crate) fn is_taken(self, place: &Place, attribute: &str, text: &str, key: &Key) -> bool {
        let Some((at, _)) = place.table.table().attribute(attribute) else { return false };
        let mut committed = self.rows(place).into_iter().flat_map(|rows| rows.users(text, at));
        let pending = self.delta.and_then(|delta| delta.touched(place));
        let mut pending = pending.into_iter().flat_map(|touched| touched.values().flatten());
        committed.any(|other| other != key && self.touched(place, other).is_none())
            || pending.any(|(_, row)| row.key != *key && row.fields.text(at) == Some(text))
    }

    fn users_in(self, referrer: &Place, target: &Place, key: &Key, found: &mut BTreeSet<User>) {
        let name = key.to_string();
        for reference in catalogue().references(referrer.table) {
            if !reference.tables.contains(&target.table) || self.shadowed(&reference.tables, target, key) {
                continue;
            }
            let user = |key: &Key| User {
                place: referrer.clone(),
                key: key.clone(),
                attribute: reference.attribute,
            };
            let committed =
                self.rows(referrer).into_iter().flat_map(|rows| rows.users(&name, reference.way[0]));
            found.extend(committed.filter(|key| self.touched(referrer, key).is_none()).map(user));
            let pending = self.delta.and_then(|delta| delta.touched(referrer));
            for (_, row) in pending.into_iter().flat_map(|touched| touched.values().flatten()) {
                let mut names = Vec::new();
                row.fields.texts_at(&reference.way, &mut names);
                if names.contains(&name.as_str()) {
                    found.insert(user(&row.key));
                }
            }
        }
    }

    /// Whether a table that is looked through before has the name too, and so is the one that is meant.
    fn shadowed(self, tables: &[TableId], target: &Place, key: &Key) -> bool {
        let earlier = tables.iter().take_while(|table| **table != target.table);
        let vdom =
            |table: &TableId| (table.table().scope == Scope::Vdom).then(|| target.vdom.clone()).flatten();
        earlier
            .map(|table| Place { table: *table, vdom: vdom(table) })
            .any(|place| self.get(&place, key).is_some())
    }

    fn rows(self, place: &Place) -> Option<&'a Rows> {
        self.store.rows(place)
    }

    fn touched(self, place: &Place, key: &Key) -> Option<&'a Option<(Rank, Arc<Row>)>> {
        self.delta?.touched(place)?.get(key)
    }
}
