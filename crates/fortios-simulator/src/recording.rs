//! A table as it was after each write that changed anything, by order of the admin port: whether every state on a way is
//! one that may be seen is asked afterwards.

use serde_json::Value as Json;

use crate::cmdb::Query;
use crate::config::Config;
use crate::store::Place;

/// A table that is recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    place: Place,
    /// Writes that had changed something when it was last recorded.
    changes: u64,
    /// Its rows after each change, each a JSON list.
    tables: Vec<Json>,
}

impl Recording {
    /// Begins with the table as it is.
    pub(crate) fn new(place: Place, config: &Config) -> Self {
        let mut recording = Self { place, changes: config.changes(), tables: Vec::new() };
        recording.add(config);
        recording
    }

    /// Takes the table as it is now, where something has changed.
    pub(crate) fn note(&mut self, config: &Config) {
        if self.changes != config.changes() {
            self.changes = config.changes();
            self.add(config);
        }
    }

    /// The table after each change, the first as it was at the beginning.
    pub(crate) fn tables(&self) -> &[Json] {
        &self.tables
    }

    fn add(&mut self, config: &Config) {
        let rows = config.committed().list(&self.place);
        let page = Query::default().page(self.place.table, rows.iter().copied(), rows.len());
        // What is rendered is JSON.
        self.tables.extend(serde_json::from_slice::<Json>(&page.results));
    }
}
