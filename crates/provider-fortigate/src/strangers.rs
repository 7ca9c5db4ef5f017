//! What in a virtual firewall of a tenant's own is somebody else's: with it that would be gone. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use vertskommune_core::names::TenantName;

use crate::entry::{Attributes as _, Entry};
use crate::marks::INTERFACE;
use crate::names;
use crate::observe::View;
use crate::schema::{TABLES, Table, VDOM};

/// How many are named.
const NAMED: usize = 5;

/// What every virtual firewall has from its birth, by table and name: as it stands in the host's, where that still has it.
pub(crate) struct Strangers<'a> {
    view: &'a View<'a>,
    inborn: BTreeMap<(&'static str, &'a str), &'a Arc<Entry>>,
    links: &'a BTreeMap<String, TenantName>,
    /// By the virtual firewall in which they stand.
    interfaces: BTreeMap<&'a str, Vec<&'a Entry>>,
}

impl<'a> Strangers<'a> {
    pub(crate) fn new(view: &'a View<'a>, links: &'a BTreeMap<String, TenantName>) -> Self {
        let named = TABLES.iter().filter(|table| !table.is_global && table.mkey == "name");
        let rows = named.flat_map(|table| {
            view.rows_of(table.kind, view.transit)
                .map(move |row| ((table.kind, row.present.identity.as_str()), row))
        });
        let mut interfaces: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for row in view.all_rows(INTERFACE) {
            interfaces.entry(row.text(VDOM)).or_default().push(row);
        }
        Self { view, inborn: rows.collect(), links, interfaces }
    }

    /// What stands in a virtual firewall, was not there from its birth, and has no mark of ours.
    pub(crate) fn within(&self, vdom: &str) -> Vec<String> {
        let tables = TABLES.iter().filter(|table| !table.is_global);
        let rows = tables.flat_map(|table| {
            let strange = move |row: &&Arc<Entry>| !self.is_ours(table, row) && !self.is_inborn(table, row);
            self.view.rows_of(table.kind, vdom).filter(strange).map(|row| told(table, row))
        });
        let strange = |row: &&&Entry| {
            let name = row.present.identity.as_str();
            // FortiOS gives a virtual firewall tunnels of its own, such as `ssl.NAME`.
            let inborn = name.split_once('.').is_some_and(|(_, of)| of == vdom);
            row.mark.is_none()
                && !inborn
                && !name.strip_suffix(['0', '1']).is_some_and(|link| self.links.contains_key(link))
        };
        let interfaces = self.interfaces.get(vdom).into_iter().flatten().filter(strange);
        let interfaces = interfaces.map(|row| format!("{INTERFACE} {}", row.present.identity));
        interfaces.chain(rows).take(NAMED).collect()
    }

    fn is_ours(&self, table: &Table, row: &Entry) -> bool {
        match table.comment {
            Some(_) => row.mark.is_some(),
            None => names::read_schedule(self.view.installation.as_str(), &row.present.identity).is_some(),
        }
    }

    fn is_inborn(&self, table: &Table, row: &Arc<Entry>) -> bool {
        // It is the same but for where it stands.
        fn fields(entry: &Entry) -> impl Iterator<Item = (&str, &Json)> {
            entry.present.fields.iter().filter(|(name, _)| *name != VDOM)
        }
        let born = self.inborn.get(&(table.kind, row.present.identity.as_str()));
        born.is_some_and(|born| fields(born).eq(fields(row)))
    }
}

fn told(table: &Table, row: &Entry) -> String {
    let name = match row.text("name") {
        name if table.mkey != "name" && !name.is_empty() => format!(" ({name})"),
        _ => String::new(),
    };
    format!("{} {}{name}", table.kind, row.present.identity)
}
