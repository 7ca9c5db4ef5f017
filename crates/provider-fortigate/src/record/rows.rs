//! The rows of our tables in a configuration, as the REST API would give them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use vertskommune_core::names::Installation;

use super::text::Section;
use crate::client::{Row, Rows};
use crate::entry::Entry;
use crate::schema::{Form, TABLES, Table};
use crate::tables::{Known, Read};

/// By kind: what an attribute is where nothing is set, as the device itself tells it.
pub(super) type Defaults = BTreeMap<&'static str, Row>;

/// All our tables in these virtual firewalls.
pub(super) fn read(
    whole: &Section,
    vdoms: &[&str],
    installation: &Installation,
    defaults: &Defaults,
) -> Result<Read, String> {
    let unset = Row::new();
    let mut all = Read::new();
    for table in TABLES {
        let name = table.path.replace(['/', '.'], " ");
        let defaults = defaults.get(table.kind).unwrap_or(&unset);
        let mut known = Known::new();
        for vdom in vdoms {
            let rows = parts(whole, vdom)?.into_iter().filter_map(|part| part.tables.get(&name));
            let rows = rows.flat_map(Section::rows);
            let entry = |row: Row| {
                Entry::read(table, vdom, installation, &row).map(Arc::new).map_err(|it| it.to_string())
            };
            let rows: Result<Vec<_>, String> =
                rows.map(|(key, section)| row(table, key, section, defaults).and_then(entry)).collect();
            known.insert((*vdom).to_owned(), Arc::new(Rows { rows: rows?, ..Rows::default() }));
            // One table for all of them, which each would tell again.
            if table.is_global {
                break;
            }
        }
        all.insert(table.kind, Ok(known));
    }
    Ok(all)
}

/// Where tables stand: in the virtual firewall's part and in the global one, or directly where there is but one.
fn parts<'a>(whole: &'a Section, vdom: &str) -> Result<Vec<&'a Section>, String> {
    let missing = || format!("it says nothing of the virtual firewall {vdom}");
    let Some(vdoms) = whole.tables.get("vdom") else {
        return if whole.tables.is_empty() { Err(missing()) } else { Ok(vec![whole]) };
    };
    // It is named once before all others, without anything in it.
    let vdom = vdoms.row(vdom).filter(|part| !part.tables.is_empty()).ok_or_else(missing)?;
    Ok(std::iter::once(vdom).chain(whole.tables.get("global")).collect())
}

fn row(table: &Table, key: &str, section: &Section, defaults: &Row) -> Result<Row, String> {
    let mut row = Row::new();
    let comment = table.comment.map(|(name, _)| (name, Form::Plain));
    for (name, form) in table.attributes.iter().copied().chain(comment) {
        let set = section.set.get(name).cloned();
        let within = || Some(section.tables.get(name)?.rows().map(|(key, _)| key.to_owned()).collect());
        let default = defaults.get(name);
        match set.or_else(within) {
            Some(values) => {
                row.insert(name.to_owned(), value(form, &values, default));
            }
            None => row.extend(default.map(|default| (name.to_owned(), default.clone()))),
        }
    }
    let is_set = |name: &str| section.set.contains_key(name);
    let meant: Vec<String> =
        row.keys().filter(|name| is_set(name) || applies(table, name, &row)).cloned().collect();
    row.retain(|name, _| meant.contains(name));
    let number = || key.parse::<u64>().map_err(|_| format!("{key} is no number of a row of {}", table.path));
    let key = if table.mkey == "name" { json!(key) } else { json!(number()?) };
    row.insert(table.mkey.to_owned(), key);
    Ok(row)
}

/// What FortiOS has only where another attribute says so.
fn applies(table: &Table, name: &str, row: &Row) -> bool {
    let Some((decides, value)) = table.only(name) else { return true };
    row.get(decides).and_then(Json::as_str) == Some(value)
}

fn value(form: Form, values: &[String], default: Option<&Json>) -> Json {
    let rows = |key: &str| values.iter().map(|value| json!({ key: value })).collect();
    match form {
        Form::Names => rows("name"),
        Form::Interfaces => rows("interface-name"),
        Form::Range => rows("range"),
        Form::Plain | Form::Fixed | Form::Words => {
            let text = values.join(" ");
            let number = default.filter(|it| it.is_number()).and_then(|_| text.parse::<i64>().ok());
            number.map_or_else(|| json!(text), Json::from)
        }
    }
}
