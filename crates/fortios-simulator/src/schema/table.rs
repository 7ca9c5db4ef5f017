//! What one table of the CMDB is: where it lives, how its rows are named, what they may hold.

use super::attribute::{Attribute, Kind};

/// One table, as its file declares it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// `firewall.service`
    pub path: &'static str,
    /// `custom`
    pub name: &'static str,
    /// `firewall.service/custom`
    pub full: &'static str,
    /// One for the device, or one for each VDOM.
    pub scope: Scope,
    /// A list of rows or a single object.
    pub shape: Shape,
    /// All attributes in the order in which they are shown; the first of a list's is its key.
    pub attributes: &'static [Attribute],
    /// How many rows fit in one VDOM.
    pub limit: usize,
    /// Whether a batch transaction may write it.
    pub transactions: bool,
    /// Whether `action=move` means something: only where the order does.
    pub ordered: bool,
    /// Other tables in which a name may not be taken either.
    pub shares_names_with: &'static [&'static str],
    /// Attributes besides the key of which no two rows have the same.
    pub unique: &'static [&'static str],
    /// What a new VDOM, or a new device, has in it: JSON rows.
    pub predefined: fn() -> Vec<serde_json::Value>,
}

/// Where a table lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Once for the device.
    Global,
    /// Once for each VDOM.
    Vdom,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Rows with a key.
    List,
    /// One object.
    Single,
}

impl Table {
    /// A list of rows in each VDOM. `full` is `path/name`.
    pub(crate) const fn list(full: &'static str, attributes: &'static [Attribute]) -> Self {
        let (path, name) = halves(full);
        Self {
            path,
            name,
            full,
            scope: Scope::Vdom,
            shape: Shape::List,
            attributes,
            limit: usize::MAX,
            transactions: true,
            ordered: false,
            shares_names_with: &[],
            unique: &[],
            predefined: Vec::new,
        }
    }

    /// One object in each VDOM.
    pub(crate) const fn single(full: &'static str, attributes: &'static [Attribute]) -> Self {
        let mut table = Self::list(full, attributes);
        table.shape = Shape::Single;
        table
    }

    /// Once for the device, not for each VDOM.
    pub(crate) const fn global(mut self) -> Self {
        self.scope = Scope::Global;
        self
    }

    /// At most so many rows in a VDOM.
    pub(crate) const fn limit(mut self, rows: usize) -> Self {
        self.limit = rows;
        self
    }

    /// Refused in a batch transaction.
    pub(crate) const fn no_transactions(mut self) -> Self {
        self.transactions = false;
        self
    }

    /// Rows can be moved.
    pub(crate) const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// A name taken in one of these tables is taken here too.
    pub(crate) const fn shares_names_with(mut self, tables: &'static [&'static str]) -> Self {
        self.shares_names_with = tables;
        self
    }

    /// No two rows have the same there.
    pub(crate) const fn unique(mut self, attributes: &'static [&'static str]) -> Self {
        self.unique = attributes;
        self
    }

    /// Rows that are there from the start.
    pub(crate) const fn predefined(mut self, rows: fn() -> Vec<serde_json::Value>) -> Self {
        self.predefined = rows;
        self
    }

    /// The key's attribute; `None` of a single object.
    pub(crate) fn key(&self) -> Option<&'static Attribute> {
        match self.shape {
            Shape::List => self.attributes.first(),
            Shape::Single => None,
        }
    }

    /// Whether keys are JSON numbers, and given by the device where the client gives none.
    pub(crate) fn has_number_key(&self) -> bool {
        self.key().is_some_and(|key| matches!(key.kind, Kind::Number { .. }))
    }

    /// The attribute of that name and its place.
    pub(crate) fn attribute(&self, name: &str) -> Option<(u16, &'static Attribute)> {
        find(self.attributes, name)
    }
}

/// The attribute of that name and its place among `attributes`.
pub(crate) fn find(attributes: &'static [Attribute], name: &str) -> Option<(u16, &'static Attribute)> {
    let index = attributes.iter().position(|attribute| attribute.name == name)?;
    Some((u16::try_from(index).ok()?, &attributes[index]))
}

/// Splits at the slash, in a constant.
const fn halves(full: &'static str) -> (&'static str, &'static str) {
    let bytes = full.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'/' {
            let (path, rest) = full.split_at(at);
            let (_, name) = rest.split_at(1);
            return (path, name);
        }
        at += 1;
    }
    (full, "")
}
