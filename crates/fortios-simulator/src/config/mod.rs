//! The running configuration: what is committed, the transactions that are open, and the one way in which either
//! changes.

mod seed;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

pub use seed::SeedError;
pub(crate) use transactions::{Open, Transactions};

use crate::cmdb::child::{Child, Edit};
use crate::cmdb::order::{self, Side};
use crate::cmdb::{self, Attempt, CmdbError, Limits, Outcome};
use crate::export;
use crate::schema::{TableId, catalogue};
use crate::store::{Change, Place, Store, Vdom, View};
use crate::value::Key;

/// The configuration of the device.
#[derive(Debug)]
pub(crate) struct Config {
    store: Store,
    /// The open transactions.
    pub transactions: Transactions,
    /// Smaller limits than the schema's.
    pub limits: Limits,
    /// Whether a transaction may move rows.
    pub moves_in_transactions: bool,
    seed: String,
    births: u64,
    /// Counts the writes that changed something.
    changes: u64,
}

/// A write to one table.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// A new row.
    Create(Map<String, Json>),
    /// New values for a row.
    Update(Key, Map<String, Json>),
    /// A row beside another.
    Move(Key, Side, Key),
    /// A copy of a row.
    Clone(Key, Option<Key>),
    /// One row less.
    Remove(Key),
    /// No rows but those in use.
    Purge,
    /// A change in a child table of a row.
    Child(Key, Child, Edit),
}

/// Where a write goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The table.
    pub table: TableId,
    /// The VDOM of the request.
    pub vdom: Vdom,
    /// The transaction that it is part of.
    pub transaction: Option<u64>,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The row.
    pub key: Option<Key>,
    /// Whether anything that others see is different now.
    pub changed: bool,
    /// The table's revision before.
    pub old_revision: String,
    /// The table's revision after.
    pub revision: String,
}

impl Config {
    /// A device as it comes out of the box. `seed` makes its UUIDs; `vdoms` is what its licence allows.
    pub(crate) fn new(seed: &str, vdoms: usize) -> Self {
        let mut config = Self {
            store: Store::new(),
            transactions: Transactions::default(),
            limits: Limits::from([("system/vdom".to_owned(), vdoms)]),
            moves_in_transactions: true,
            seed: seed.to_owned(),
            births: 0,
            changes: 0,
        };
        config.predefine();
        config
    }

    /// What is committed: all that a read ever sees.
    pub(crate) fn committed(&self) -> View<'_> {
        View::committed(&self.store)
    }

    /// What is committed, with its order and revisions.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How many writes have changed something.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// The revision of a table as seen from a VDOM.
    pub(crate) fn revision(&self, place: &Place) -> String {
        let vdom = place.vdom.as_deref().unwrap_or("global");
        self.store.rows(place).map(|rows| rows.revision(vdom)).unwrap_or_default()
    }

    /// Carries out a write, or adds it to its transaction.
    pub(crate) fn perform(
        &mut self,
        target: &Target,
        write: &Write,
        now: Duration,
    ) -> Result<Written, CmdbError> {
        self.transactions.expire(now);
        let place = Place::of(target.table, &target.vdom);
        if let Some(holder) = self.transactions.holder(&place, target.transaction) {
            return Err(CmdbError::Locked(holder));
        }
        let old_revision = self.revision(&place);
        let key = match target.transaction {
            None => {
                let outcome = self.attempt(target, write, View::committed(&self.store))?;
                let changed = !outcome.changes.is_empty();
                outcome.changes.iter().for_each(|change| self.commit_one(change));
                self.changes += u64::from(changed);
                outcome.key
            }
            Some(id) => self.perform_in(id, target, write, &place)?,
        };
        let revision = self.revision(&place);
        Ok(Written { key, changed: revision != old_revision, old_revision, revision })
    }

    fn perform_in(
        &mut self,
        id: u64,
        target: &Target,
        write: &Write,
        place: &Place,
    ) -> Result<Option<Key>, CmdbError> {
        let table = target.table.table();
        let moves = matches!(write, Write::Move(..));
        if !table.transactions || (moves && !self.moves_in_transactions) {
            return Err(CmdbError::NotInTransaction(table.full.replace(['/', '.'], " ")));
        }
        let mut open = self.transactions.take(id)?;
        let outcome = self.attempt(target, write, View::within(&self.store, &open.delta));
        let key = outcome.map(|outcome| {
            open.delta.touch(place);
            for change in &outcome.changes {
                self.births += u64::from(change.row.is_some());
                open.delta.apply(&mut self.store, change);
            }
            open.lines.extend(export::commands(target.table, write, &outcome));
            outcome.key
        });
        self.transactions.put_back(open);
        key
    }

    fn attempt(&self, target: &Target, write: &Write, view: View<'_>) -> Result<Outcome, CmdbError> {
        let attempt = Attempt {
            view,
            table: target.table,
            vdom: &target.vdom,
            limits: &self.limits,
            seed: &self.seed,
            births: self.births,
        };
        match write {
            Write::Create(body) => cmdb::create(&attempt, body),
            Write::Update(key, body) => cmdb::update(&attempt, key, body),
            Write::Move(key, side, other) => order::relocate(&attempt, key, *side, other),
            Write::Clone(key, copy) => cmdb::clone(&attempt, key, copy.clone()),
            Write::Remove(key) => cmdb::remove(&attempt, key),
            Write::Purge => cmdb::purge(&attempt),
            Write::Child(key, child, edit) => child.edit(&attempt, key, edit),
        }
    }

    fn commit_one(&mut self, change: &Change) {
        self.births += u64::from(change.row.is_some());
        let is_new = self.committed().get(&change.place, &change.key).is_none();
        self.store.apply(change);
        if change.place.table.table().full == "system/vdom" {
            let vdom: Vdom = Arc::from(change.key.to_string());
            match change.row {
                None => self.store.remove_vdom(&vdom),
                Some(_) if is_new => self.predefine_vdom(&vdom),
                Some(_) => {}
            }
        }
    }

    /// Makes the changes of a transaction everybody's, or none of them: then it stays open.
    pub(crate) fn commit(&mut self, id: u64, now: Duration) -> Result<(), CmdbError> {
        self.transactions.expire(now);
        let open = self.transactions.take(id)?;
        if let Err(error) = self.can_commit(&open) {
            self.transactions.put_back(open);
            return Err(error);
        }
        self.changes += u64::from(!open.lines.is_empty());
        self.store.commit(open.delta);
        Ok(())
    }

    /// The tables of the transaction were locked, but those that they refer to, and are referred to from, were not.
    fn can_commit(&self, open: &Open) -> Result<(), CmdbError> {
        let view = View::within(&self.store, &open.delta);
        for place in open.delta.places() {
            let vdom = place.vdom.clone().unwrap_or_else(|| Arc::from("root"));
            let attempt = Attempt {
                view,
                table: place.table,
                vdom: &vdom,
                limits: &self.limits,
                seed: &self.seed,
                births: self.births,
            };
            for (key, held) in open.delta.touched(place).into_iter().flatten() {
                cmdb::still_holds(&attempt, key, held.as_ref().map(|(_, row)| &**row))?;
            }
        }
        Ok(())
    }

    /// The table called `path/name`.
    pub(crate) fn table(full: &str) -> Result<TableId, CmdbError> {
        catalogue().find(full).ok_or(CmdbError::NoSuchTable)
    }
}
