//! Batch transactions: which are open, until when, and which tables they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cmdb::CmdbError;
use crate::store::{Delta, Place, Vdom};

/// How long a transaction may take when its start does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The open transactions.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: BTreeMap<u64, Open>,
    last: u64,
}

/// An open transaction.
#[derive(Debug)]
pub(crate) struct Open {
    /// What the header `X-TRANSACTION-ID` carries.
    pub id: u64,
    /// The VDOM in which it was started.
    pub vdom: Vdom,
    /// When it is given up.
    pub expires: Duration,
    /// Its changes.
    pub delta: Delta,
    /// The same as commands, for `transaction-show`.
    pub lines: Vec<String>,
}

impl Transactions {
    /// Opens a transaction; its number.
    pub(crate) fn start(&mut self, vdom: &Vdom, timeout: Option<Duration>, now: Duration) -> u64 {
        self.expire(now);
        self.last += 1;
        let expires = now + timeout.unwrap_or(DEFAULT_TIMEOUT);
        let open =
            Open { id: self.last, vdom: vdom.clone(), expires, delta: Delta::default(), lines: Vec::new() };
        self.open.insert(self.last, open);
        self.last
    }

    /// Gives up what has taken too long.
    pub(crate) fn expire(&mut self, now: Duration) {
        self.open.retain(|_, open| open.expires > now);
    }

    /// Gives a transaction up.
    pub(crate) fn abort(&mut self, id: u64, now: Duration) -> Result<(), CmdbError> {
        self.expire(now);
        self.take(id).map(drop)
    }

    /// The transaction of that number.
    pub(crate) fn get(&self, id: u64) -> Result<&Open, CmdbError> {
        self.open.get(&id).ok_or(CmdbError::NoSuchTransaction(id))
    }

    /// All that are open.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// The transaction, other than `own`, that holds a table.
    pub(crate) fn holder(&self, place: &Place, own: Option<u64>) -> Option<u64> {
        self.open.values().find(|open| Some(open.id) != own && open.delta.touches(place)).map(|open| open.id)
    }

    pub(crate) fn take(&mut self, id: u64) -> Result<Open, CmdbError> {
        self.open.remove(&id).ok_or(CmdbError::NoSuchTransaction(id))
    }

    pub(crate) fn put_back(&mut self, open: Open) {
        self.open.insert(open.id, open);
    }
}
