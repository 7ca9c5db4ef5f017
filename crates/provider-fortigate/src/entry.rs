//! An entry of one of our tables as it is kept: what counts of it, in the form in which it is compared, and whose it is.
//!
//! There are a hundred thousand of them, so each is small, and an observation shares what is kept here.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{Installation, Mark};
use vertskommune_core::observation::Present;

use crate::client::{Error, Keep, Row};
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
    pub(crate) fn read<'de, D: Deserializer<'de>>(
        table: &'static Table,
        vdom: &str,
        installation: &Installation,
        row: D,
    ) -> Result<Self, D::Error> {
        let Parts { mut fields, shown } = Parts::read(table, row)?;
        let identity = identity(fields.get(table.mkey).or_else(|| shown.get(table.mkey)));
        let comment = table.comment.and_then(|(comment, _)| fields.get(comment)).and_then(Json::as_str);
        let mark = marks::read(comment.unwrap_or_default(), installation);
        let mut outputs = Facts::new();
        if table.kind == POLICY
            && let Some(mark) = mark.as_ref().filter(|mark| mark.key.kind.as_str() == POLICY)
        {
            outputs.insert(NAME, fields.get("name").and_then(Json::as_str).unwrap_or_default());
            canonical(&mut fields, mark);
        }
        if !fields.contains_key(VDOM) {
            fields.insert(VDOM, vdom);
        }
        let id = shown.get("policyid").and_then(Json::as_u64).unwrap_or_default();
        let present = Arc::new(Present { fields, outputs, identity, ..Present::default() });
        Ok(Self { present, shown, mark, id })
    }

    /// The names that an attribute lists.
    pub(crate) fn names<'a>(&'a self, attribute: &str) -> impl Iterator<Item = &'a str> {
        let list = self.attribute(attribute).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str)
    }
}

/// Keeps rows of a table as entries.
#[derive(Clone)]
pub(crate) struct Entries {
    pub(crate) table: &'static Table,
    pub(crate) installation: Installation,
}

impl Keep for Entries {
    type Kept = Arc<Entry>;

    fn keep<'de, D: Deserializer<'de>>(&self, vdom: &str, row: D) -> Result<Self::Kept, D::Error> {
        Entry::read(self.table, vdom, &self.installation, row).map(Arc::new)
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
pub(crate) fn identity(mkey: Option<&Json>) -> String {
    match mkey {
        Some(Json::String(name)) => name.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The attributes that we set, each in the form in which it is compared.
pub(crate) fn facts(table: &'static Table, row: &Row) -> Result<Facts, Error> {
    let broken = |error| Error::Protocol(format!("a row of {} of another form: {error}", table.path));
    Parts::read(table, row).map(|parts| parts.fields).map_err(broken)
}

/// What counts of a row.
struct Parts {
    /// The attributes that we set, the comment, and the name where the row is addressed by it.
    fields: Facts,
    /// What else is asked for, where it is set.
    shown: Facts,
}

impl Parts {
    fn read<'de, D: Deserializer<'de>>(table: &'static Table, row: D) -> Result<Self, D::Error> {
        row.deserialize_map(OfTable(table))
    }
}

/// Reads a row of a table as it comes: there are many, so nothing is made of what does not count.
struct OfTable(&'static Table);

impl<'de> Visitor<'de> for OfTable {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {}", self.0.path)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut row: A) -> Result<Parts, A::Error> {
        let (mut fields, mut shown) = (Vec::with_capacity(self.0.attributes.len() + 2), Vec::new());
        while let Some(attribute) = row.next_key_seed(Attribute(self.0))? {
            match attribute {
                Some((name, Some(form))) => fields.push((name, row.next_value_seed(form)?)),
                Some((name, None)) => {
                    let value: Json = row.next_value()?;
                    shown.extend(is_set(&value).then_some((name, value)));
                }
                None => drop(row.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Parts { fields: fields.into_iter().collect(), shown: shown.into_iter().collect() })
    }
}

/// Which attribute of a table a name means: one that is compared, in this form, or one that is only shown.
struct Attribute(&'static Table);

impl<'de> DeserializeSeed<'de> for Attribute {
    type Value = Option<(&'static str, Option<Form>)>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Attribute {
    type Value = Option<(&'static str, Option<Form>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an attribute")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let table = self.0;
        let plain = |it: &'static str| (it == name).then_some((it, Some(Form::Plain)));
        let set = table.attributes.iter().find(|(it, _)| *it == name).map(|(it, form)| (*it, Some(*form)));
        let compared = set
            .or_else(|| table.comment.and_then(|(comment, _)| plain(comment)))
            .or_else(|| plain(table.mkey).filter(|_| table.mkey == "name"));
        let shown = || table.shown.iter().copied().chain([table.mkey]).find(|it| *it == name);
        Ok(compared.or_else(|| shown().map(|it| (it, None))))
    }
}

impl<'de> DeserializeSeed<'de> for Form {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Json, D::Error> {
        Ok(match self {
            Self::Plain | Self::Fixed => Json::deserialize(value)?,
            Self::Names => list(Vec::<Name>::deserialize(value)?.into_iter().map(|it| it.name)),
            Self::Interfaces => list(Vec::<Interface>::deserialize(value)?.into_iter().map(|it| it.name)),
            Self::Range => {
                let first = Vec::<Range>::deserialize(value)?.into_iter().next();
                first.map_or(Json::Null, |it| it.range.into())
            }
            Self::Words => {
                let words = Json::deserialize(value)?;
                words.as_str().unwrap_or_default().split_whitespace().map(Json::from).collect()
            }
        })
    }
}

fn list(names: impl Iterator<Item = String>) -> Json {
    names.map(Json::String).collect()
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(rename = "interface-name")]
    name: String,
}

#[derive(Deserialize)]
struct Range {
    range: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::marks::{ADDRESS, ZONE};

    fn entry(kind: &str, row: &Json) -> Entry {
        Entry::read(crate::schema::table(kind).unwrap(), "root", &"nord".into(), row).unwrap()
    }

    #[test]
    fn only_a_policy_goes_by_the_first_of_its_names() {
        let names: Vec<String> = names::policies("ibestad", "dns").take(2).collect();
        let mark = "nord/ibestad/policy/dns";
        let policy = entry(POLICY, &json!({"policyid": 7, "name": names[1], "comments": mark}));
        assert_eq!((policy.text("name"), policy.id()), (names[0].as_str(), 7));
        assert_eq!(policy.present.outputs.get(NAME), Some(&json!(names[1])));
        // Somebody copied the comment to something that is none, or gave a policy the comment of something else.
        let address = entry(ADDRESS, &json!({"name": names[1], "comment": mark}));
        assert_eq!(address.text("name"), names[1]);
        let other = json!({"policyid": 8, "name": names[1], "comments": "nord/ibestad/address/dns"});
        assert_eq!(entry(POLICY, &other).text("name"), names[1]);
    }

    #[test]
    fn of_a_row_is_kept_what_counts_in_the_form_in_which_it_is_compared() {
        let row = json!({
            "name": "zone.ibestad", "q_origin_key": "zone.ibestad", "intrazone": "deny", "tagging": [],
            "interface": [{"interface-name": "ibe-1310", "q_origin_key": "ibe-1310"}], "description": "by hand",
        });
        let zone = entry(ZONE, &row);
        let fields = json!({
            "name": "zone.ibestad", "intrazone": "deny", "interface": ["ibe-1310"], "description": "by hand", "vdom": "root",
        });
        assert_eq!(serde_json::to_value(&zone.present.fields).unwrap(), fields);
        assert_eq!((zone.present.identity.as_str(), &zone.mark), ("zone.ibestad", &None));
    }

    #[test]
    fn what_is_no_list_of_names_is_never_taken_for_an_empty_one() {
        let table = crate::schema::table(ZONE).unwrap();
        for odd in [json!("ibe-1310"), json!([{"name": "ibe-1310"}]), json!({"interface-name": "ibe-1310"})] {
            let row = json!({"name": "zone.ibestad", "interface": odd});
            assert!(Entry::read(table, "root", &"nord".into(), &row).is_err(), "{row}");
        }
    }
}
