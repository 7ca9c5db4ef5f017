//! An entry of one of our tables as it is kept: what counts of it, in the form in which it is compared, and whose it is.
//!
//! There are a hundred thousand of them, so each is small, and an observation shares what is kept here.

use std::sync::Arc;

use serde_json::Value as Json;
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{Installation, Mark};
use vertskommune_core::observation::Present;

use crate::client::Row;
use crate::marks::{self, POLICY};
use crate::names;
use crate::schema::{Form, Table, VDOM};

/// What a policy is really called, among its outputs: it may have several names.
pub(crate) const NAME: &str = "name";

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The attributes that we set, the comment, the name, and the virtual firewall in which it stands, as an observation
    /// tells them.
    pub(crate) present: Arc<Present>,
    /// What else is asked for, where it is set.
    shown: Facts,
    /// Our mark.
    pub(crate) mark: Option<Mark>,
    /// Of a policy.
    id: u64,
}

/// What attributes can be asked of.
pub(crate) trait Attributes {
    /// What an attribute is.
    fn attribute(&self, name: &str) -> Option<&Json>;

    /// The id of a policy.
    fn id(&self) -> u64 {
        self.attribute("policyid").and_then(Json::as_u64).unwrap_or_default()
    }

    /// A text; nothing where it is none.
    fn text(&self, name: &str) -> &str {
        self.attribute(name).and_then(Json::as_str).unwrap_or_default()
    }
}

impl<T: Attributes> Attributes for &T {
    fn attribute(&self, name: &str) -> Option<&Json> {
        (**self).attribute(name)
    }

    fn id(&self) -> u64 {
        (**self).id()
    }
}

impl<T: Attributes> Attributes for Arc<T> {
    fn attribute(&self, name: &str) -> Option<&Json> {
        (**self).attribute(name)
    }

    fn id(&self) -> u64 {
        (**self).id()
    }
}

impl Attributes for Row {
    fn attribute(&self, name: &str) -> Option<&Json> {
        self.get(name)
    }
}

impl Attributes for Entry {
    fn attribute(&self, name: &str) -> Option<&Json> {
        self.present.fields.get(name).or_else(|| self.shown.get(name))
    }

    fn id(&self) -> u64 {
        self.id
    }
}

impl Entry {
    /// From a row of a table in a virtual firewall.
    pub(crate) fn new(table: &'static Table, vdom: &str, installation: &Installation, row: &Row) -> Self {
        let comment = table.comment.map(|(comment, _)| row.text(comment)).unwrap_or_default();
        let mark = marks::read(comment, installation);
        let mut present =
            Present { fields: facts(table, row), identity: identity(table, row), ..Present::default() };
        if !present.fields.contains_key(VDOM) {
            present.fields.insert(VDOM, vdom);
        }
        if table.kind == POLICY
            && let Some(mark) = mark.as_ref().filter(|mark| mark.key.kind.as_str() == POLICY)
        {
            present.outputs.insert(NAME, row.text("name"));
            canonical(&mut present.fields, mark);
        }
        let fields = &present.fields;
        let rest = table.shown.iter().chain([&table.mkey]).filter(|name| !fields.contains_key(name));
        let shown = rest.filter_map(|name| Some((*name, row.get(*name)?))).filter(|(_, value)| is_set(value));
        let shown = shown.map(|(name, value)| (name, value.clone())).collect();
        Self { present: Arc::new(present), shown, mark, id: row.id() }
    }

    /// The names that an attribute lists.
    pub(crate) fn names<'a>(&'a self, attribute: &str) -> impl Iterator<Item = &'a str> {
        let list = self.attribute(attribute).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str)
    }
}

/// A policy with another of its names is as good as one with its first.
fn canonical(fields: &mut Facts, mark: &Mark) {
    let Some(name) = fields.get("name").and_then(Json::as_str) else { return };
    let (tenant, rule) = (mark.tenant.as_str(), mark.key.name.as_str());
    let first = names::policy(tenant, rule);
    if name != first && names::policies(tenant, rule).any(|it| it == name) {
        fields.insert("name", first);
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
pub(crate) fn identity(table: &Table, row: &Row) -> String {
    match row.get(table.mkey) {
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
