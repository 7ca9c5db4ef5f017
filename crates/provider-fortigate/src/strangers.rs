//! What in a virtual firewall of a tenant's own is somebody else's: with it that would be gone. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use vertskommune_core::names::TenantName;

use crate::client::Row;
use crate::marks::{self, INTERFACE};
use crate::names;
use crate::observe::{View, identity};
use crate::schema::{TABLES, Table, VDOM};

/// How many are named.
const NAMED: usize = 5;

/// What every virtual firewall has from its birth, by table and name: as it stands in the host's, where that still has it.
pub(crate) struct Strangers<'a> {
    view: &'a View<'a>,
    inborn: BTreeMap<(&'static str, String), &'a Arc<Row>>,
    links: &'a BTreeMap<String, TenantName>,
}

impl<'a> Strangers<'a> {
    pub(crate) fn new(view: &'a View<'a>, links: &'a BTreeMap<String, TenantName>) -> Self {
        let named = TABLES.iter().filter(|table| !table.is_global && table.mkey == "name");
        let rows = named.flat_map(|table| {
            view.rows_of(table.kind, view.transit).map(move |row| ((table.kind, identity(table, row)), row))
        });
        Self { view, inborn: rows.collect(), links }
    }

    /// What stands in a virtual firewall, was not there from its birth, and has no mark of ours.
    pub(crate) fn within(&self, vdom: &str) -> Vec<String> {
        let tables = TABLES.iter().filter(|table| !table.is_global);
        let rows = tables.flat_map(|table| {
            let strange = move |row: &&Arc<Row>| !self.is_ours(table, row) && !self.is_inborn(table, row);
            self.view.rows_of(table.kind, vdom).filter(strange).map(|row| told(table, row))
        });
        let interfaces = TABLES.iter().filter(|table| table.kind == INTERFACE).flat_map(|table| {
            let strange = move |row: &&Arc<Row>| {
                let name = identity(table, row);
                let text = row.get("description").and_then(Json::as_str).unwrap_or_default();
                // FortiOS gives a virtual firewall tunnels of its own, such as `ssl.NAME`.
                let inborn = name.split_once('.').is_some_and(|(_, of)| of == vdom);
                row.get(VDOM).and_then(Json::as_str) == Some(vdom)
                    && marks::read(text, self.view.installation).is_none()
                    && !inborn
                    && !name.strip_suffix(['0', '1']).is_some_and(|link| self.links.contains_key(link))
            };
            self.view.all_rows(table.kind).filter(strange).map(|row| told(table, row))
        });
        interfaces.chain(rows).take(NAMED).collect()
    }

    fn is_ours(&self, table: &Table, row: &Row) -> bool {
        match table.comment {
            Some((comment, _)) => {
                let text = row.get(comment).and_then(Json::as_str).unwrap_or_default();
                marks::read(text, self.view.installation).is_some()
            }
            None => names::read_schedule(self.view.installation.as_str(), &identity(table, row)).is_some(),
        }
    }

    fn is_inborn(&self, table: &Table, row: &Arc<Row>) -> bool {
        self.inborn.get(&(table.kind, identity(table, row))).is_some_and(|it| **it == *row)
    }
}

fn told(table: &Table, row: &Row) -> String {
    let name = row.get("name").and_then(Json::as_str).filter(|name| table.mkey != "name" && !name.is_empty());
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{} {}{name}", table.kind, identity(table, row))
}
