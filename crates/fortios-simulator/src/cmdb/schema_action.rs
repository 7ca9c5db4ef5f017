//! `action=schema` and `action=default`: what a table's rows may hold, as JSON.

use serde_json::{Map, Value as Json, json};

use crate::render::{self, Selection};
use crate::schema::{Attribute, Kind, Shape, TableId};
use crate::value::{Fields, Key, Row};

/// The table's description.
pub(crate) fn schema(id: TableId) -> Json {
    let table = id.table();
    let mut described = json!({
        "path": table.path,
        "name": table.name,
        "category": if table.shape == Shape::List { "table" } else { "complex" },
        "children": children(table.attributes),
    });
    if let Some(key) = table.key() {
        described["mkey"] = json!(key.name);
        described["mkey_type"] = json!(if table.has_number_key() { "integer" } else { "string" });
        described["max_table_size_vdom"] = json!(table.limit);
    }
    described
}

/// A row of which nothing is set.
pub(crate) fn default(id: TableId) -> Vec<u8> {
    let mut out = Vec::new();
    let key = if id.table().has_number_key() { Key::Number(0) } else { Key::from("") };
    render::row(&mut out, id, &Row::new(key, Fields::default()), &Selection::default());
    out
}

fn children(attributes: &'static [Attribute]) -> Map<String, Json> {
    attributes.iter().map(|attribute| (attribute.name.to_owned(), describe(attribute))).collect()
}

fn describe(attribute: &'static Attribute) -> Json {
    let mut described = match attribute.kind {
        Kind::Text { max, default } => json!({"type": "string", "size": max, "default": default}),
        Kind::Number { min, max, default } => {
            json!({"type": "integer", "min-value": min, "max-value": max, "default": default})
        }
        Kind::Choice { options, default } | Kind::Options { options, default } => {
            let options: Vec<Json> = options.iter().map(|option| json!({"name": option})).collect();
            let many = matches!(attribute.kind, Kind::Options { .. });
            json!({"type": "option", "options": options, "default": default, "multiple_values": many})
        }
        Kind::Formatted { default, .. } => json!({"type": "string", "default": default}),
        Kind::Reference { tables, default, .. } => {
            let sources: Vec<String> = tables.iter().map(|table| table.replace('/', ".")).collect();
            json!({"type": "string", "datasource": sources, "default": default})
        }
        Kind::Secret { max } => json!({"type": "password", "size": max}),
        Kind::Uuid => json!({"type": "uuid"}),
        Kind::Rows(inner) => {
            json!({"category": "table", "mkey": inner.first().map(|key| key.name), "children": children(inner)})
        }
        Kind::Record(inner) => json!({"category": "complex", "children": children(inner)}),
    };
    described["name"] = json!(attribute.name);
    described["required"] = json!(attribute.required);
    described
}
