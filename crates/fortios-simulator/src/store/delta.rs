//! What an open transaction has changed and nobody else sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rows::{Rank, between};
use super::view::View;
use super::{Change, Place, Position, Store};
use crate::value::{Key, Row};

/// What became of each row that was touched: its rank and content, or `None` when it was removed.
pub(crate) type Touched = BTreeMap<Key, Option<(Rank, Arc<Row>)>>;

/// The changes of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    places: BTreeMap<Place, Touched>,
    ranks: BTreeMap<Place, BTreeMap<Rank, Key>>,
}

impl Delta {
    /// The tables that were written.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.keys()
    }

    /// Whether the transaction has written that table.
    pub(crate) fn touches(&self, place: &Place) -> bool {
        self.places.contains_key(place)
    }

    /// What became of the rows of a table.
    pub(crate) fn touched(&self, place: &Place) -> Option<&Touched> {
        self.places.get(place)
    }

    /// Remembers that a table was written, even if nothing came of it.
    pub(crate) fn touch(&mut self, place: &Place) {
        self.places.entry(place.clone()).or_default();
    }

    /// Adds a change. `store` is only reordered where the room between two rows is used up.
    pub(crate) fn apply(&mut self, store: &mut Store, change: &Change) {
        let key = &change.key;
        let Some(row) = change.row.clone() else { return self.put(&change.place, key, None) };
        let view = View::within(store, self);
        let rank = match &change.position {
            Position::Keep => view.rank(&change.place, key).unwrap_or_else(|| view.end(&change.place)),
            Position::Before(other) | Position::After(other) => {
                let after = matches!(change.position, Position::After(_));
                self.put(&change.place, key, None);
                self.beside(store, &change.place, other, after).unwrap_or_else(|| {
                    store.respread(&change.place, self);
                    self.beside(store, &change.place, other, after)
                        .unwrap_or_else(|| View::within(store, self).end(&change.place))
                })
            }
        };
        self.put(&change.place, key, Some((rank, row)));
    }

    /// The ranks in use in a table.
    pub(crate) fn ranks(&self, place: &Place) -> impl DoubleEndedIterator<Item = Rank> {
        self.ranks.get(place).into_iter().flat_map(|ranks| ranks.keys().copied())
    }

    /// The rows of a table that have a rank, near `rank` on one side.
    pub(crate) fn near(&self, place: &Place, rank: Rank, after: bool) -> Option<Rank> {
        let ranks = self.ranks.get(place)?;
        let found = if after {
            ranks.range(rank.saturating_add(1)..).next()
        } else {
            ranks.range(..rank).next_back()
        };
        found.map(|(rank, _)| *rank)
    }

    pub(crate) fn into_places(self) -> BTreeMap<Place, Touched> {
        self.places
    }

    pub(crate) fn rerank(&mut self, place: &Place, fresh: &BTreeMap<Rank, Rank>) {
        let Some(touched) = self.places.get_mut(place) else { return };
        for (rank, _) in touched.values_mut().flatten() {
            *rank = fresh.get(rank).copied().unwrap_or(*rank);
        }
        let ranks =
            touched.iter().filter_map(|(key, held)| held.as_ref().map(|(rank, _)| (*rank, key.clone())));
        self.ranks.insert(place.clone(), ranks.collect());
    }

    fn put(&mut self, place: &Place, key: &Key, held: Option<(Rank, Arc<Row>)>) {
        let ranks = self.ranks.entry(place.clone()).or_default();
        let touched = self.places.entry(place.clone()).or_default();
        if let Some(Some((rank, _))) = touched.get(key) {
            ranks.remove(rank);
        }
        if let Some((rank, _)) = &held {
            ranks.insert(*rank, key.clone());
        }
        touched.insert(key.clone(), held);
    }

    fn beside(&self, store: &Store, place: &Place, other: &Key, after: bool) -> Option<Rank> {
        let view = View::within(store, self);
        let rank = view.rank(place, other)?;
        between(rank, view.neighbour(place, rank, after), after)
    }
}
