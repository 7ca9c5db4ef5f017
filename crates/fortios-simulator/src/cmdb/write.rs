//! Create, update, clone, delete and purge: each looks at the view, and says what would change.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::check;
use super::error::CmdbError;
use super::rules;
use crate::schema::{Kind, Scope, Shape, TableId, catalogue};
use crate::store::{Change, Place, Position, Vdom, View};
use crate::value::{Fields, Key, Row, Value, short};

/// How many rows fit, where it is less than the table says.
pub(crate) type Limits = BTreeMap<String, usize>;

/// What a write needs to know besides its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// The configuration as the writer sees it.
    pub view: View<'a>,
    /// The table.
    pub table: TableId,
    /// The VDOM of the request.
    pub vdom: &'a Vdom,
    /// Smaller limits, and that of the VDOM licence under `system/vdom`.
    pub limits: &'a Limits,
    /// What the UUIDs of this device are made of.
    pub seed: &'a str,
    /// Grows with each row that is made, so that a row made again gets another UUID.
    pub births: u64,
}

/// What a write comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// The row it is about.
    pub key: Option<Key>,
    /// What changes; nothing, where all is as it should be.
    pub changes: Vec<Change>,
}

impl Attempt<'_> {
    pub(crate) fn place(&self) -> Place {
        Place::of(self.table, self.vdom)
    }

    pub(crate) fn change(&self, key: &Key, row: Option<Arc<Row>>, position: Position) -> Change {
        Change { place: self.place(), key: key.clone(), row, position }
    }

    fn outcome(&self, key: Key, changes: Vec<Change>) -> Outcome {
        let key = (self.table.table().shape == Shape::List).then_some(key);
        Outcome { key, changes }
    }
}

/// A new row at the end of the table.
pub(crate) fn create(attempt: &Attempt<'_>, body: &Map<String, Json>) -> Result<Outcome, CmdbError> {
    let table = attempt.table.table();
    if table.shape == Shape::Single {
        return Err(CmdbError::MethodNotAllowed);
    }
    let mut fields = Fields::default();
    let touched = check::lay_over(&mut fields, table.attributes, body)?;
    add(attempt, fields, &touched)
}

/// New values for a row that is there, or for the table's single object.
pub(crate) fn update(
    attempt: &Attempt<'_>,
    key: &Key,
    body: &Map<String, Json>,
) -> Result<Outcome, CmdbError> {
    let table = attempt.table.table();
    let before = attempt.view.get(&attempt.place(), key).cloned();
    let before = match (before, table.shape) {
        (Some(row), _) => row,
        (None, Shape::Single) => Arc::new(Row::new(Key::single(), Fields::default())),
        (None, Shape::List) => return Err(CmdbError::NotFound),
    };
    let mut fields = before.fields.clone();
    let touched = check::lay_over(&mut fields, table.attributes, body)?;
    let renamed = match table.shape {
        Shape::Single => key.clone(),
        Shape::List => given_key(&fields).unwrap_or_else(|| key.clone()),
    };
    if renamed == *key {
        return finish(attempt, key.clone(), fields, &touched, Some(&before), Position::Keep);
    }
    rename(attempt, &before, renamed, fields, &touched)
}

/// A row under a new name. FortiOS lets the references follow; here only a row to which nobody refers has another.
fn rename(
    attempt: &Attempt<'_>,
    before: &Arc<Row>,
    renamed: Key,
    fields: Fields,
    touched: &[u16],
) -> Result<Outcome, CmdbError> {
    let users = attempt.view.users(&attempt.place(), &before.key).len();
    if users > 0 {
        return Err(CmdbError::InUse { count: users });
    }
    if attempt.view.get(&attempt.place(), &renamed).is_some() {
        return Err(CmdbError::Duplicate);
    }
    name_is_free(attempt, &renamed)?;
    let behind = Position::After(before.key.clone());
    let mut outcome = finish(attempt, renamed, fields, touched, None, behind)?;
    outcome.changes.push(attempt.change(&before.key, None, Position::Keep));
    Ok(outcome)
}

/// A copy of a row under another key.
pub(crate) fn clone(attempt: &Attempt<'_>, key: &Key, copy: Option<Key>) -> Result<Outcome, CmdbError> {
    let table = attempt.table.table();
    let row = attempt.view.get(&attempt.place(), key).ok_or(CmdbError::NotFound)?;
    let mut fields = row.fields.clone();
    for (place, attribute) in (0..).zip(table.attributes) {
        let unique = matches!(attribute.kind, Kind::Uuid) || table.unique.contains(&attribute.name);
        if unique || place == 0 {
            fields.unset(place);
        }
    }
    match copy {
        Some(Key::Number(number)) => fields.set(0, Value::Number(number)),
        Some(Key::Text(text)) => fields.set(0, Value::Text(text)),
        None => {}
    }
    add(attempt, fields, &[])
}

fn add(attempt: &Attempt<'_>, mut fields: Fields, touched: &[u16]) -> Result<Outcome, CmdbError> {
    let key = new_key(attempt, &mut fields)?;
    if attempt.view.get(&attempt.place(), &key).is_some() {
        return Err(CmdbError::Duplicate);
    }
    name_is_free(attempt, &key)?;
    has_room(attempt)?;
    assign_uuid(attempt, &mut fields, &key);
    finish(attempt, key, fields, touched, None, Position::Keep)
}

/// One row less.
pub(crate) fn remove(attempt: &Attempt<'_>, key: &Key) -> Result<Outcome, CmdbError> {
    if attempt.table.table().shape == Shape::Single {
        return Err(CmdbError::MethodNotAllowed);
    }
    let place = attempt.place();
    let row = attempt.view.get(&place, key).ok_or(CmdbError::NotFound)?;
    rules::removable(attempt, row)?;
    let goes_with_it = rules::consequences_of_removal(attempt, row);
    let mut users = attempt.view.users(&place, key);
    users.retain(|user| !goes_with_it.iter().any(|gone| gone.place == user.place && gone.key == user.key));
    if !users.is_empty() {
        return Err(CmdbError::InUse { count: users.len() });
    }
    let mut changes = vec![attempt.change(key, None, Position::Keep)];
    changes.extend(goes_with_it);
    Ok(attempt.outcome(key.clone(), changes))
}

/// Every row to which nobody refers: what a DELETE without a key does.
pub(crate) fn purge(attempt: &Attempt<'_>) -> Result<Outcome, CmdbError> {
    if attempt.table.table().shape == Shape::Single {
        return Err(CmdbError::MethodNotAllowed);
    }
    let rows = attempt.view.list(&attempt.place());
    let removals = rows.into_iter().filter_map(|row| remove(attempt, &row.key).ok());
    Ok(Outcome { key: None, changes: removals.flat_map(|outcome| outcome.changes).collect() })
}

/// Checks what only the whole row tells, and makes the change.
pub(crate) fn finish(
    attempt: &Attempt<'_>,
    key: Key,
    fields: Fields,
    touched: &[u16],
    before: Option<&Arc<Row>>,
    position: Position,
) -> Result<Outcome, CmdbError> {
    let table = attempt.table.table();
    for (place, attribute) in (0..).zip(table.attributes) {
        if attribute.required && fields.get(place).is_none() {
            return Err(CmdbError::Required { attribute: attribute.name });
        }
    }
    let row = Arc::new(Row::new(key, fields));
    if before.is_some_and(|before| **before == *row) {
        return Ok(attempt.outcome(row.key.clone(), Vec::new()));
    }
    references_exist(attempt, &row, touched)?;
    rules::check(attempt, &row, before)?;
    let mut changes = vec![attempt.change(&row.key, Some(row.clone()), position)];
    if before.is_none() {
        changes.extend(rules::consequences_of_creation(attempt, &row));
    }
    Ok(attempt.outcome(row.key.clone(), changes))
}

/// Checks anew, when a transaction is committed, what may have changed around it since.
pub(crate) fn still_holds(attempt: &Attempt<'_>, key: &Key, row: Option<&Row>) -> Result<(), CmdbError> {
    match row {
        Some(row) => {
            let set: Vec<u16> = row.fields.iter().map(|(place, _)| place).collect();
            references_exist(attempt, row, &set)
        }
        None => match attempt.view.users(&attempt.place(), key).len() {
            0 => Ok(()),
            count => Err(CmdbError::InUse { count }),
        },
    }
}

/// The names that this request gave must exist; those that were there before were checked then.
fn references_exist(attempt: &Attempt<'_>, row: &Row, touched: &[u16]) -> Result<(), CmdbError> {
    let table = attempt.table.table();
    for place in touched {
        let attribute = &table.attributes[usize::from(*place)];
        let Some(value) = row.fields.get(*place) else { continue };
        match (attribute.kind, value) {
            (Kind::Reference { tables, reserved, .. }, Value::Text(name))
                if !reserved.contains(&&**name) && !exists(attempt, tables, name) =>
            {
                return Err(CmdbError::MissingReference {
                    attribute: attribute.name,
                    name: name.to_string(),
                });
            }
            (Kind::Rows(attributes), Value::Rows(rows)) => {
                rows.iter().try_for_each(|row| members_exist(attempt, attributes, row))?;
            }
            (Kind::Record(attributes), Value::Record(record)) => members_exist(attempt, attributes, record)?,
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn members_exist(
    attempt: &Attempt<'_>,
    attributes: &'static [crate::schema::Attribute],
    row: &Fields,
) -> Result<(), CmdbError> {
    for (place, value) in row.iter() {
        let attribute = &attributes[usize::from(place)];
        let Kind::Reference { tables, reserved, .. } = attribute.kind else { continue };
        let Value::Text(name) = value else { continue };
        if !reserved.contains(&&**name) && !exists(attempt, tables, name) {
            return Err(CmdbError::MissingMember { attribute: attribute.name, name: name.to_string() });
        }
    }
    Ok(())
}

fn exists(attempt: &Attempt<'_>, tables: &[&str], name: &str) -> bool {
    let tables: Vec<TableId> = tables.iter().filter_map(|table| catalogue().find(table)).collect();
    let place = attempt.view.resolve(&tables, attempt.vdom, name);
    place.is_some_and(|place| rules::is_visible(attempt, &place, name))
}

fn given_key(fields: &Fields) -> Option<Key> {
    match fields.get(0)? {
        Value::Number(number) => Some(Key::Number(*number)),
        Value::Text(text) => Some(Key::Text(text.clone())),
        Value::Rows(_) | Value::Record(_) => None,
    }
}

/// The key of a new row: the client's, or for numbers the next one.
fn new_key(attempt: &Attempt<'_>, fields: &mut Fields) -> Result<Key, CmdbError> {
    let table = attempt.table.table();
    match given_key(fields) {
        Some(key) => Ok(key),
        None if table.has_number_key() => {
            let next = match attempt.view.last_key(&attempt.place()) {
                Some(Key::Number(last)) => last + 1,
                _ => 1,
            };
            fields.set(0, Value::Number(next));
            Ok(Key::Number(next))
        }
        None => Err(CmdbError::Required { attribute: table.attributes[0].name }),
    }
}

fn name_is_free(attempt: &Attempt<'_>, key: &Key) -> Result<(), CmdbError> {
    let shared = attempt.table.table().shares_names_with.iter().filter_map(|table| catalogue().find(table));
    for table in shared {
        // A name of a VDOM's table is compared with the device's own, and not with other VDOMs'.
        if attempt.view.get(&Place::of(table, attempt.vdom), key).is_some() {
            return Err(CmdbError::Duplicate);
        }
    }
    Ok(())
}

fn has_room(attempt: &Attempt<'_>) -> Result<(), CmdbError> {
    let table = attempt.table.table();
    let limit = attempt.limits.get(table.full).copied().unwrap_or(table.limit);
    if attempt.view.len(&attempt.place()) >= limit { Err(CmdbError::TableFull) } else { Ok(()) }
}

fn assign_uuid(attempt: &Attempt<'_>, fields: &mut Fields, key: &Key) {
    let table = attempt.table.table();
    let Some((place, _)) = table.attribute("uuid") else { return };
    if fields.get(place).is_some() {
        return;
    }
    let vdom = if table.scope == Scope::Vdom { &**attempt.vdom } else { "" };
    let mut hash = Sha256::new();
    hash.update(format!("{}/{vdom}/{}/{key}/{}", attempt.seed, table.full, attempt.births));
    let id = uuid::Builder::from_custom_bytes(short(hash).to_be_bytes()).into_uuid();
    fields.set(place, Value::Text(Arc::from(id.hyphenated().to_string())));
}
