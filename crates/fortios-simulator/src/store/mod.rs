//! The configuration: tables for the device and for each VDOM, the changes of open transactions beside them, and
//! a view that reads either. Nothing here knows a table by name, but for the VDOMs themselves.

mod delta;
mod rows;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use delta::Delta;
pub(crate) use rows::{Rank, Rows};
pub(crate) use view::View;

use crate::schema::{Scope, TableId, catalogue};
use crate::value::{Key, Row};

/// The name of a VDOM.
pub(crate) type Vdom = Arc<str>;

/// One table of one VDOM, or of the device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The table.
    pub table: TableId,
    /// The VDOM; `None` for a table of the device.
    pub vdom: Option<Vdom>,
}

impl Place {
    /// `table` as seen from `vdom`: a table of the device is the same from everywhere.
    pub(crate) fn of(table: TableId, vdom: &Vdom) -> Self {
        let vdom = (table.table().scope == Scope::Vdom).then(|| vdom.clone());
        Self { table, vdom }
    }
}

/// Where a row stands among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Where it is; at the end if it is new.
    Keep,
    /// Right before another.
    Before(Key),
    /// Right after another.
    After(Key),
}

/// One row that changes.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The table.
    pub place: Place,
    /// The row.
    pub key: Key,
    /// What it becomes; `None` removes it.
    pub row: Option<Arc<Row>>,
    /// Where it will stand.
    pub position: Position,
}

/// All committed rows.
#[derive(Debug, Default)]
pub(crate) struct Store {
    global: Vec<Rows>,
    vdoms: BTreeMap<Vdom, Vec<Rows>>,
}

impl Store {
    /// Tables of the device, and no VDOM yet.
    pub(crate) fn new() -> Self {
        Self { global: catalogue().ids().map(Rows::new).collect(), vdoms: BTreeMap::new() }
    }

    /// Gives a VDOM its tables, empty.
    pub(crate) fn add_vdom(&mut self, vdom: &Vdom) {
        self.vdoms.insert(vdom.clone(), catalogue().ids().map(Rows::new).collect());
    }

    /// Drops a VDOM's tables.
    pub(crate) fn remove_vdom(&mut self, vdom: &str) {
        self.vdoms.remove(vdom);
    }

    /// The VDOMs by name.
    pub(crate) fn vdoms(&self) -> impl Iterator<Item = &Vdom> {
        self.vdoms.keys()
    }

    /// The VDOM's name, if there is such a VDOM.
    pub(crate) fn vdom(&self, name: &str) -> Option<&Vdom> {
        self.vdoms.get_key_value(name).map(|(vdom, _)| vdom)
    }

    /// The rows of a table; `None` when there is no such VDOM.
    pub(crate) fn rows(&self, place: &Place) -> Option<&Rows> {
        match &place.vdom {
            None => self.global.get(place.table.index()),
            Some(vdom) => self.vdoms.get(vdom)?.get(place.table.index()),
        }
    }

    fn rows_mut(&mut self, place: &Place) -> Option<&mut Rows> {
        match &place.vdom {
            None => self.global.get_mut(place.table.index()),
            Some(vdom) => self.vdoms.get_mut(vdom)?.get_mut(place.table.index()),
        }
    }

    /// Carries out a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        let Some(rows) = self.rows_mut(&change.place) else { return };
        match &change.row {
            None => drop(rows.remove(&change.key)),
            Some(row) => rows.put(row.clone(), &change.position),
        }
    }

    /// Carries out all changes of a transaction.
    pub(crate) fn commit(&mut self, delta: Delta) {
        for (place, changes) in delta.into_places() {
            let Some(rows) = self.rows_mut(&place) else { continue };
            for key in changes.keys() {
                rows.remove(key);
            }
            for (rank, row) in changes.into_values().flatten() {
                rows.insert(rank, row);
            }
        }
    }

    /// Spreads the rows of a table out again, together with those of a transaction between them.
    fn respread(&mut self, place: &Place, delta: &mut Delta) {
        let Some(rows) = self.rows_mut(place) else { return };
        let ranks: Vec<Rank> = rows.ranks().chain(delta.ranks(place)).collect();
        let fresh = rows::spread(ranks);
        rows.rerank(&fresh);
        delta.rerank(place, &fresh);
    }
}
