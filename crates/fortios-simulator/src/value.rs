//! Rows: only what differs from the defaults is kept, so that twenty thousand policies fit and compare quickly.

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::schema::{Attribute, Kind, Table};

/// What a row is called within its table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// A number given by the device or the client.
    Number(i64),
    /// A name.
    Text(Arc<str>),
}

impl Key {
    /// The key of a table's single object.
    pub(crate) fn single() -> Self {
        Self::Text(Arc::from(""))
    }

    /// The key as it stands in a path; `None` where the table's keys are numbers and it is none.
    pub(crate) fn parse(table: &Table, text: &str) -> Option<Self> {
        if table.has_number_key() { text.parse().ok().map(Self::Number) } else { Some(Self::from(text)) }
    }

    /// The key as a JSON value: a number stays a number.
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Number(number) => Json::from(*number),
            Self::Text(text) => Json::from(&**text),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// The value of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Any text, in its normal form.
    Text(Arc<str>),
    /// A whole number.
    Number(i64),
    /// The rows of a child table, in the order in which they were given.
    Rows(Vec<Fields>),
    /// A nested object.
    Record(Fields),
}

impl Value {
    /// The text, where it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The attributes that were set, by their place in the schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(u16, Value)>);

impl Fields {
    /// The value at a place, if it was set.
    pub(crate) fn get(&self, place: u16) -> Option<&Value> {
        self.0.binary_search_by_key(&place, |(held, _)| *held).ok().map(|found| &self.0[found].1)
    }

    /// The text at a place, if it was set.
    pub(crate) fn text(&self, place: u16) -> Option<&str> {
        self.get(place).and_then(Value::text)
    }

    /// Sets a value.
    pub(crate) fn set(&mut self, place: u16, value: Value) {
        match self.0.binary_search_by_key(&place, |(held, _)| *held) {
            Ok(found) => self.0[found].1 = value,
            Err(gap) => self.0.insert(gap, (place, value)),
        }
    }

    /// Makes an attribute read as its default again.
    pub(crate) fn unset(&mut self, place: u16) {
        self.0.retain(|(held, _)| *held != place);
    }

    /// What was set, in the order of the schema.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &Value)> {
        self.0.iter().map(|(place, value)| (*place, value))
    }

    /// The texts that lie at the end of a way through nested rows.
    pub(crate) fn texts_at<'a>(&'a self, way: &[u16], found: &mut Vec<&'a str>) {
        let Some((first, rest)) = way.split_first() else { return };
        match self.get(*first) {
            Some(Value::Text(text)) if rest.is_empty() => found.push(text),
            Some(Value::Rows(rows)) => rows.iter().for_each(|row| row.texts_at(rest, found)),
            Some(Value::Record(record)) => record.texts_at(rest, found),
            _ => {}
        }
    }

    fn digest_into(&self, hash: &mut Sha256) {
        for (place, value) in self.iter() {
            hash.update(place.to_le_bytes());
            match value {
                Value::Text(text) => {
                    hash.update(text.len().to_le_bytes());
                    hash.update(text.as_bytes());
                }
                Value::Number(number) => hash.update(number.to_le_bytes()),
                Value::Rows(rows) => rows.iter().for_each(|row| row.digest_into(hash)),
                Value::Record(record) => record.digest_into(hash),
            }
            hash.update([0xff]);
        }
    }
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it is called.
    pub key: Key,
    /// What was set; the key is among it.
    pub fields: Fields,
    digest: u128,
}

impl Row {
    /// A row of these fields.
    pub(crate) fn new(key: Key, fields: Fields) -> Self {
        let mut hash = Sha256::new();
        fields.digest_into(&mut hash);
        let digest = short(hash);
        Self { key, fields, digest }
    }

    /// Changes with the content.
    pub(crate) fn digest(&self) -> u128 {
        self.digest
    }

    /// The text of an attribute, its default where it is not set.
    pub(crate) fn text<'a>(&'a self, table: &'static Table, name: &str) -> &'a str {
        let Some((place, attribute)) = table.attribute(name) else { return "" };
        self.fields.text(place).unwrap_or_else(|| default_text(attribute))
    }

    /// The number of an attribute, its default where it is not set.
    pub(crate) fn number(&self, table: &'static Table, name: &str) -> i64 {
        match table.attribute(name) {
            Some((place, attribute)) => match (self.fields.get(place), attribute.kind) {
                (Some(Value::Number(number)), _) => *number,
                (_, Kind::Number { default, .. }) => default,
                _ => 0,
            },
            None => 0,
        }
    }
}

/// What an unset attribute with a text reads as.
pub(crate) fn default_text(attribute: &'static Attribute) -> &'static str {
    match attribute.kind {
        Kind::Text { default, .. }
        | Kind::Choice { default, .. }
        | Kind::Options { default, .. }
        | Kind::Formatted { default, .. }
        | Kind::Reference { default, .. } => default,
        _ => "",
    }
}

/// The first half of a SHA-256, as long as the MD5 that FortiOS shows.
pub(crate) fn short(hash: Sha256) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize()[..16]);
    u128::from_be_bytes(half)
}
