//! Child tables by path: `/cmdb/firewall/addrgrp/X/member/Y`. A write to one is an update of its row.

use serde_json::{Map, Value as Json};

use super::check;
use super::error::CmdbError;
use super::write::{Attempt, Outcome, finish};
use crate::schema::{Attribute, Kind, TableId};
use crate::store::Position;
use crate::value::{Fields, Key, Value};

/// A child table of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    place: u16,
    /// The attributes of its rows; the first is the key.
    pub attributes: &'static [Attribute],
}

/// What is to be done with the rows of a child table.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// A new row at the end.
    Add(Json),
    /// New values for a row.
    Set(String, Map<String, Json>),
    /// One row less.
    Remove(String),
    /// No rows any more.
    Clear,
}

impl Child {
    /// The child table of that name.
    pub(crate) fn of(table: TableId, name: &str) -> Result<Self, CmdbError> {
        match table.table().attribute(name) {
            Some((place, Attribute { kind: Kind::Rows(attributes), .. })) => Ok(Self { place, attributes }),
            _ => Err(CmdbError::NoSuchTable),
        }
    }

    /// The rows of `fields` in this child table.
    pub(crate) fn rows<'a>(&self, fields: &'a Fields) -> &'a [Fields] {
        match fields.get(self.place) {
            Some(Value::Rows(rows)) => rows,
            _ => &[],
        }
    }

    /// The place of the row with that key among `rows`.
    pub(crate) fn find(rows: &[Fields], key: &str) -> Option<usize> {
        rows.iter().position(|row| match row.get(0) {
            Some(Value::Text(text)) => &**text == key,
            Some(Value::Number(number)) => number.to_string() == key,
            _ => false,
        })
    }

    /// Changes the child table of the row `key`.
    pub(crate) fn edit(&self, attempt: &Attempt<'_>, key: &Key, edit: &Edit) -> Result<Outcome, CmdbError> {
        let row = attempt.view.get(&attempt.place(), key).ok_or(CmdbError::NotFound)?;
        let mut rows = self.rows(&row.fields).to_vec();
        self.change(&mut rows, edit)?;
        let mut fields = row.fields.clone();
        if rows.is_empty() {
            fields.unset(self.place);
        } else {
            fields.set(self.place, Value::Rows(rows));
        }
        finish(attempt, key.clone(), fields, &[self.place], Some(row), Position::Keep)
    }

    fn change(&self, rows: &mut Vec<Fields>, edit: &Edit) -> Result<(), CmdbError> {
        let key = self.attributes.first().ok_or(CmdbError::NoSuchTable)?;
        match edit {
            Edit::Add(json) => {
                let row = check::child(key, self.attributes, json)?;
                if rows.iter().any(|other| other.get(0) == row.get(0)) {
                    return Err(CmdbError::Duplicate);
                }
                rows.push(row);
            }
            Edit::Set(name, body) => {
                let found = Self::find(rows, name).ok_or(CmdbError::NotFound)?;
                check::lay_over(&mut rows[found], self.attributes, body)?;
            }
            Edit::Remove(name) => {
                let found = Self::find(rows, name).ok_or(CmdbError::NotFound)?;
                rows.remove(found);
            }
            Edit::Clear => rows.clear(),
        }
        Ok(())
    }
}
