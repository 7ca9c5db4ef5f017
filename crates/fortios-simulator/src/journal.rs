//! The writes in order of arrival, and how many requests there were: what a test asks afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

/// One write.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// The path without `/api/v2/`, as it came.
    pub path: String,
    /// `move`, `clone`, `transaction-commit` …
    pub action: Option<String>,
    /// The VDOM that the request named.
    pub vdom: Option<String>,
    /// The row that it was about.
    pub mkey: Option<String>,
    /// The transaction that it was part of.
    pub transaction: Option<u64>,
    /// `ok`, FortiOS' code, `http-503`, `cut-before`, `cut-after` or `running`.
    pub outcome: String,
    /// What came of it when the caller was not told.
    pub carried: Option<String>,
}

/// All writes since the last reset.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
}

impl Journal {
    /// Enters a write that has come; its number.
    pub(crate) fn begin(&mut self, mut entry: Entry) -> u64 {
        entry.seq = self.entries.len() as u64 + 1;
        let seq = entry.seq;
        self.entries.push(entry);
        seq
    }

    /// Says what became of it; nothing, if the journal was reset meanwhile.
    pub(crate) fn end(&mut self, seq: u64, change: impl FnOnce(&mut Entry)) {
        let found = usize::try_from(seq).ok().and_then(|seq| self.entries.get_mut(seq.checked_sub(1)?));
        if let Some(entry) = found {
            change(entry);
        }
    }

    /// The writes in order of arrival.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Forgets them; the next has the number 1 again.
    pub(crate) fn reset(&mut self) {
        self.entries.clear();
    }
}

/// How many requests there were, and the time that the simulator itself took for them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Stats {
    /// By method and table: `GET firewall/policy`.
    pub calls: BTreeMap<String, u64>,
    /// All of them that change something.
    pub writes: u64,
    /// Microseconds by method and table, without ordered delays and without sending.
    #[serde(rename = "busyMicros")]
    pub busy_micros: BTreeMap<String, u64>,
    /// Microseconds in which there was at least one request that had come and whose answer was not sent, ordered delays included.
    #[serde(rename = "openMicros")]
    pub open_micros: u64,
    /// Requests that have come and are not answered.
    #[serde(skip)]
    open: u64,
    #[serde(skip)]
    since: Option<Instant>,
}

impl Stats {
    /// A request has come.
    pub(crate) fn come(&mut self) {
        self.open += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    /// A request is answered.
    pub(crate) fn answered(&mut self) {
        self.open = self.open.saturating_sub(1);
        if let Some(since) = self.since.take_if(|_| self.open == 0) {
            self.open_micros += micros(since.elapsed());
        }
    }

    /// Counts anew.
    pub(crate) fn reset(&mut self) {
        let since = self.since.map(|_| Instant::now());
        *self = Self { open: self.open, since, ..Self::default() };
    }

    /// Counts a request.
    pub(crate) fn count(&mut self, name: &str, is_write: bool, busy: Duration) {
        if let Some(count) = self.calls.get_mut(name) {
            *count += 1;
        } else {
            self.calls.insert(name.to_owned(), 1);
        }
        *self.busy_micros.entry(name.to_owned()).or_default() += micros(busy);
        self.writes += u64::from(is_write);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
