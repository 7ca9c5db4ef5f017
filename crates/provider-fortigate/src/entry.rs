//! An entry of one of our tables as it is kept: what counts of it, in the form in which it is compared, and whose it is.
//!
//! There are a hundred thousand of them, so each is small, and an observation shares what is kept here.

use std::sync::Arc;

use serde_json::Value as Json;
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{Installation, Mark};

use crate::client::Row;
use crate::marks;
use crate::schema::{Form, Table, VDOM};

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The attributes that we set, the comment, the name, and the virtual firewall in which it stands.
    pub(crate) facts: Facts,
    /// What else is asked for, where it is set.
    shown: Facts,
    /// Our mark.
    pub(crate) mark: Option<Mark>,
}

/// What attributes can be asked of.
pub(crate) trait Attributes {
    /// What an attribute is.
    fn attribute(&self, name: &str) -> Option<&Json>;

    /// A text; nothing where it is none.
    fn text(&self, name: &str) -> &str {
        self.attribute(name).and_then(Json::as_str).unwrap_or_default()
    }
}

impl<T: Attributes> Attributes for &T {
    fn attribute(&self, name: &str) -> Option<&Json> {
        (**self).attribute(name)
    }
}

impl<T: Attributes> Attributes for Arc<T> {
    fn attribute(&self, name: &str) -> Option<&Json> {
        (**self).attribute(name)
    }
}

impl Attributes for Row {
    fn attribute(&self, name: &str) -> Option<&Json> {
        self.get(name)
    }
}

impl Attributes for Entry {
    fn attribute(&self, name: &str) -> Option<&Json> {
        self.facts.get(name).or_else(|| self.shown.get(name))
    }
}

impl Entry {
    /// From a row of a table in a virtual firewall.
    pub(crate) fn new(table: &'static Table, vdom: &str, installation: &Installation, row: &Row) -> Self {
        let mut facts = facts(table, row);
        if !facts.contains_key(VDOM) {
            facts.insert(VDOM, vdom);
        }
        let rest = table.shown.iter().chain([&table.mkey]).filter(|name| !facts.contains_key(name));
        let shown = rest.filter_map(|name| Some((*name, row.get(*name)?))).filter(|(_, value)| is_set(value));
        let shown = shown.map(|(name, value)| (name, value.clone())).collect();
        let comment = table.comment.map(|(comment, _)| row.text(comment)).unwrap_or_default();
        Self { facts, shown, mark: marks::read(comment, installation) }
    }

    /// The names that an attribute lists.
    pub(crate) fn names<'a>(&'a self, attribute: &str) -> impl Iterator<Item = &'a str> {
        let list = self.attribute(attribute).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str)
    }
}

/// Whether an attribute says anything: FortiOS tells those that are off or empty too.
pub(crate) fn is_set(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::String(word) => !matches!(word.as_str(), "" | "disable"),
        Json::Array(rows) => !rows.is_empty(),
        _ => true,
    }
}

/// The key by which a row is addressed.
pub(crate) fn identity(table: &Table, row: &impl Attributes) -> String {
    match row.attribute(table.mkey) {
        Some(Json::String(name)) => name.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The attributes that we set, each in the form in which it is compared.
pub(crate) fn facts(table: &'static Table, row: &Row) -> Facts {
    let forms = table.attributes.iter().map(|(name, form)| (*name, *form));
    let comment = table.comment.map(|(name, _)| (name, Form::Plain));
    let name = (table.mkey == "name").then_some(("name", Form::Plain));
    let all = forms.chain(comment).chain(name);
    all.filter_map(|(name, form)| Some((name, read(form, row.get(name)?)))).collect()
}

fn read(form: Form, value: &Json) -> Json {
    let list = |key: &str| -> Json {
        let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().map(|row| row[key].clone()).collect()
    };
    match form {
        Form::Plain | Form::Fixed => value.clone(),
        Form::Names => list("name"),
        Form::Interfaces => list("interface-name"),
        Form::Words => value.as_str().unwrap_or_default().split_whitespace().map(Json::from).collect(),
        Form::Range => list("range")[0].clone(),
    }
}
