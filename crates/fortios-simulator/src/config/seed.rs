//! What is there before the first request: the predefined rows, and a configuration that the caller brings.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::{Config, Target, Write};
use crate::cmdb::CmdbError;
use crate::schema::{Scope, Shape, TableId, catalogue};
use crate::store::Vdom;
use crate::value::Key;

/// A seed that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It has not the shape `{vdom or "global": {"path/name": [rows]}}`.
    #[error("{0}: write the seed as an object of VDOMs (or global), of tables, of rows")]
    Shape(String),
    /// A row was refused.
    #[error("{vdom}: {table}: row {row} was refused")]
    Row {
        /// The VDOM.
        vdom: String,
        /// The table.
        table: String,
        /// The row's number, from 0.
        row: usize,
        /// Why.
        source: CmdbError,
    },
}

impl Config {
    pub(crate) fn predefine(&mut self) {
        let root: Vdom = Arc::from("root");
        self.store.add_vdom(&root);
        for table in catalogue().of_scope(Scope::Global) {
            self.predefine_table(table, &root);
        }
    }

    pub(crate) fn predefine_vdom(&mut self, vdom: &Vdom) {
        self.store.add_vdom(vdom);
        for table in catalogue().of_scope(Scope::Vdom) {
            self.predefine_table(table, vdom);
        }
    }

    fn predefine_table(&mut self, table: TableId, vdom: &Vdom) {
        for row in (table.table().predefined)() {
            let Json::Object(body) = row else { continue };
            let target = Target { table, vdom: vdom.clone(), transaction: None };
            let made = self.perform(&target, &Write::Create(body), Duration::ZERO);
            debug_assert!(made.is_ok(), "{}: {made:?}", table.table().full);
        }
    }

    /// Sets attributes of a table's single object.
    pub(crate) fn preset(&mut self, table: &str, attributes: &Json) {
        let (Ok(table), Some(body)) = (Self::table(table), attributes.as_object()) else { return };
        let target = Target { table, vdom: Arc::from("root"), transaction: None };
        let made = self.perform(&target, &Write::Update(Key::single(), body.clone()), Duration::ZERO);
        debug_assert!(made.is_ok(), "{made:?}");
    }

    /// Loads `{"root": {"firewall/address": [{"name": …}]}, "global": {…}}`: the tables in the order in which they
    /// need each other, rows in the order given. A row that is there already is updated.
    pub(crate) fn load(&mut self, seed: &Json) -> Result<(), SeedError> {
        let vdoms = seed.as_object().ok_or_else(|| SeedError::Shape("the seed is no object".into()))?;
        if let Some(device) = vdoms.get("global") {
            self.load_tables("root", device)?;
        }
        for (vdom, tables) in vdoms.iter().filter(|(vdom, _)| *vdom != "global") {
            if self.store.vdom(vdom).is_none() {
                self.load_tables("root", &json!({"system/vdom": [{"name": vdom}]}))?;
            }
            self.load_tables(vdom, tables)?;
        }
        Ok(())
    }

    fn load_tables(&mut self, vdom: &str, tables: &Json) -> Result<(), SeedError> {
        let tables = tables.as_object().ok_or_else(|| SeedError::Shape(vdom.to_owned()))?;
        if let Some(unknown) = tables.keys().find(|name| catalogue().find(name).is_none()) {
            return Err(SeedError::Shape(format!("{vdom}: there is no table {unknown}")));
        }
        // VDOMs before the interfaces in them; else the catalogue's own order has what is named before who names it.
        let (first, rest): (Vec<_>, Vec<_>) =
            catalogue().ids().partition(|id| id.table().full == "system/vdom");
        for table in first.into_iter().chain(rest) {
            let rows: Vec<&Json> = match tables.get(table.table().full) {
                Some(Json::Array(rows)) => rows.iter().collect(),
                Some(one) => vec![one],
                None => continue,
            };
            for (row, body) in rows.into_iter().enumerate() {
                let shape = || SeedError::Shape(format!("{vdom}: {}: row {row}", table.table().full));
                let body = body.as_object().ok_or_else(shape)?;
                self.load_row(table, vdom, body).map_err(|source| SeedError::Row {
                    vdom: vdom.to_owned(),
                    table: table.table().full.to_owned(),
                    row,
                    source,
                })?;
            }
        }
        Ok(())
    }

    fn load_row(&mut self, table: TableId, vdom: &str, body: &Map<String, Json>) -> Result<(), CmdbError> {
        let target = Target { table, vdom: Arc::from(vdom), transaction: None };
        let described = table.table();
        let key = match (described.shape, described.key().and_then(|key| body.get(key.name))) {
            (Shape::Single, _) => Some(Key::single()),
            (Shape::List, Some(Json::String(name))) => Key::parse(described, name),
            (Shape::List, Some(Json::Number(number))) => number.as_i64().map(Key::Number),
            _ => None,
        };
        let there = |key: &Key| {
            let place = crate::store::Place::of(table, &target.vdom);
            described.shape == Shape::Single || self.committed().get(&place, key).is_some()
        };
        let write = match key.filter(there) {
            Some(key) => Write::Update(key, body.clone()),
            None => Write::Create(body.clone()),
        };
        self.perform(&target, &write, Duration::ZERO).map(drop)
    }
}
