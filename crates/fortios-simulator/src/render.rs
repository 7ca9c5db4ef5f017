//! Rows as JSON, written straight into a buffer: a list of twenty thousand policies has four million attributes.

use std::collections::BTreeSet;
use std::io::Write as _;

use crate::schema::{Attribute, Kind, TableId, catalogue};
use crate::value::{Fields, Key, Row, Value, default_text};

/// What of a row is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// The places of these attributes; all where there is none.
    pub(crate) places: Option<BTreeSet<u16>>,
    /// Without what reads as its default.
    pub without_defaults: bool,
}

/// Appends one row of `table`.
pub(crate) fn row(out: &mut Vec<u8>, table: TableId, row: &Row, selection: &Selection) {
    let defaults = catalogue().defaults(table);
    let described = table.table();
    let mut set = row.fields.iter().peekable();
    out.push(b'{');
    let start = out.len();
    for (place, attribute) in (0..).zip(described.attributes) {
        let value = set.next_if(|(held, _)| *held == place).map(|(_, value)| value);
        let is_key = place == 0 && described.key().is_some();
        let wanted = selection.places.as_ref().is_none_or(|places| places.contains(&place));
        if wanted
            && (value.is_some() || !selection.without_defaults)
            && applies(table, attribute, &row.fields)
        {
            separate(out, start);
            match value {
                Some(value) => member(out, attribute, value),
                None => out.extend_from_slice(&defaults[usize::from(place)]),
            }
        }
        if is_key {
            separate(out, start);
            origin_key(out, &row.key);
        }
    }
    out.push(b'}');
}

/// Whether the attribute exists, given the others.
fn applies(table: TableId, attribute: &Attribute, fields: &Fields) -> bool {
    let Some(condition) = attribute.only else { return true };
    let Some((place, decides)) = table.table().attribute(condition.attribute) else { return true };
    let value = fields.text(place).unwrap_or_else(|| default_text(decides));
    condition.values.contains(&value)
}

/// `"name":value` of an attribute that nobody has set.
pub(crate) fn unset(attribute: &'static Attribute) -> Vec<u8> {
    let mut out = Vec::new();
    name(&mut out, attribute.name);
    unset_value(&mut out, attribute);
    out
}

/// The rows of a child table, as a list.
pub(crate) fn children(out: &mut Vec<u8>, attributes: &'static [Attribute], rows: &[Fields]) {
    out.push(b'[');
    for (count, row) in rows.iter().enumerate() {
        if count > 0 {
            out.push(b',');
        }
        nested(out, attributes, row, true);
    }
    out.push(b']');
}

/// A JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[start..at]);
        start = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => drop(write!(out, "\\u{byte:04x}")),
        }
    }
    out.extend_from_slice(&text.as_bytes()[start..]);
    out.push(b'"');
}

/// `"name":`
pub(crate) fn name(out: &mut Vec<u8>, text: &str) {
    string(out, text);
    out.push(b':');
}

fn member(out: &mut Vec<u8>, attribute: &'static Attribute, held: &Value) {
    name(out, attribute.name);
    value(out, attribute, held);
}

fn value(out: &mut Vec<u8>, attribute: &'static Attribute, value: &Value) {
    match (value, attribute.kind) {
        (_, Kind::Secret { .. }) => string(out, MASK),
        (Value::Text(text), _) => string(out, text),
        (Value::Number(number), _) => drop(write!(out, "{number}")),
        (Value::Rows(rows), Kind::Rows(attributes)) => children(out, attributes, rows),
        (Value::Record(fields), Kind::Record(attributes)) => nested(out, attributes, fields, false),
        (Value::Rows(_) | Value::Record(_), _) => out.extend_from_slice(b"null"),
    }
}

/// What stands for a secret that is set.
pub(crate) const MASK: &str = "ENC XXXX";

fn unset_value(out: &mut Vec<u8>, attribute: &'static Attribute) {
    match attribute.kind {
        Kind::Number { default, .. } => drop(write!(out, "{default}")),
        Kind::Rows(_) => out.extend_from_slice(b"[]"),
        Kind::Record(attributes) => nested(out, attributes, &Fields::default(), false),
        _ => string(out, default_text(attribute)),
    }
}

fn nested(out: &mut Vec<u8>, attributes: &'static [Attribute], fields: &Fields, keyed: bool) {
    out.push(b'{');
    let start = out.len();
    for (place, attribute) in (0..).zip(attributes) {
        separate(out, start);
        name(out, attribute.name);
        let held = fields.get(place);
        match held {
            Some(held) => value(out, attribute, held),
            None => unset_value(out, attribute),
        }
        if keyed && place == 0 {
            out.push(b',');
            name(out, "q_origin_key");
            match held {
                Some(held) => value(out, attribute, held),
                None => unset_value(out, attribute),
            }
        }
    }
    out.push(b'}');
}

fn origin_key(out: &mut Vec<u8>, key: &Key) {
    name(out, "q_origin_key");
    match key {
        Key::Number(number) => drop(write!(out, "{number}")),
        Key::Text(text) => string(out, text),
    }
}

fn separate(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b',');
    }
}
