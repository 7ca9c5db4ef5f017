//! What is ours keeps the name under which it stands, whatever the manifest calls it. FortiOS knows a row by its name, so
//! another name would be another row beside the one that is in use. Where `adopt` was taken out or changed, or somebody
//! renamed an object by hand, the difference is shown, and all that refers to it goes on using the name that stands.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value as Json;
use vertskommune_core::difference::{Difference, Shown, What};
use vertskommune_core::resource::Value;

use crate::marks::{ADDRESS, ADDRESS_GROUP, INTERFACE, POLICY, ROUTE, SERVICE, SERVICE_GROUP, VIP, ZONE};
use crate::schema::table;

/// Things of one of these share their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Interfaces,
    Addresses,
    Services,
}

/// The names that stand, by what the manifest would call them.
type Names = BTreeMap<(Space, String), String>;

/// The differences with the names that stand, and what is shown of those.
pub(super) fn kept(differences: &[Difference]) -> (Cow<'_, [Difference]>, Vec<Shown>) {
    let (mut names, mut shown) = (Names::new(), Vec::new());
    for difference in differences {
        if let Some((key, stands)) = renamed(difference) {
            shown.push(Shown {
                id: difference.id.clone(),
                field: "name".to_owned(),
                from: Some(Json::String(stands.clone())),
                to: Value::known(key.1.clone()),
            });
            names.insert(key, stands);
        }
    }
    if names.is_empty() {
        return (Cow::Borrowed(differences), shown);
    }
    (differences.iter().filter_map(|it| with_names(it.clone(), &names)).collect(), shown)
}

/// What the manifest would call it, and the name under which it stands, where that is another one.
fn renamed(difference: &Difference) -> Option<((Space, String), String)> {
    let What::Changed(changes) = &difference.what else { return None };
    let kind = difference.id.key.kind.as_str();
    let space = table(kind).filter(|table| table.mkey == "name").and_then(|_| space_of(kind))?;
    let change = changes.iter().find(|change| change.field == "name")?;
    let wanted = change.to.as_known()?.as_str()?.to_owned();
    Some(((space, wanted), difference.present.as_ref()?.identity.clone()))
}

fn space_of(kind: &str) -> Option<Space> {
    match kind {
        INTERFACE | ZONE => Some(Space::Interfaces),
        ADDRESS | ADDRESS_GROUP | VIP => Some(Space::Addresses),
        SERVICE | SERVICE_GROUP => Some(Space::Services),
        _ => None,
    }
}

/// What a field refers to, or is.
fn space_in(kind: &str, field: &str) -> Option<Space> {
    match (kind, field) {
        (_, "name") if kind != POLICY => space_of(kind),
        (ZONE, "interface") | (ROUTE, "device") | (POLICY, "srcintf" | "dstintf") => Some(Space::Interfaces),
        (ADDRESS_GROUP, "member") | (POLICY, "srcaddr" | "dstaddr") => Some(Space::Addresses),
        (SERVICE_GROUP, "member") | (POLICY, "service") => Some(Space::Services),
        _ => None,
    }
}

/// The difference with the names that stand; `None` where nothing is left of it.
fn with_names(mut difference: Difference, names: &Names) -> Option<Difference> {
    let kind = difference.id.key.kind.clone();
    for (field, value) in difference.desired.iter_mut().flat_map(|desired| &mut desired.fields) {
        replace(kind.as_str(), field, value, names);
    }
    if let What::Changed(changes) = &mut difference.what {
        for change in changes.iter_mut() {
            replace(kind.as_str(), &change.field, &mut change.to, names);
        }
        let same = |from: Option<&Json>, to: &Value| match (from, to.as_known()) {
            (Some(Json::Array(from)), Some(Json::Array(to))) => sorted(from) == sorted(to),
            (from, to) => from == to,
        };
        changes.retain(|change| {
            space_in(kind.as_str(), &change.field).is_none() || !same(change.from.as_ref(), &change.to)
        });
        if changes.is_empty() {
            return None;
        }
    }
    Some(difference)
}

fn replace(kind: &str, field: &str, value: &mut Value, names: &Names) {
    let Some(space) = space_in(kind, field) else { return };
    let stands = |name: &mut Json| {
        if let Some(stands) = name.as_str().and_then(|name| names.get(&(space, name.to_owned()))) {
            *name = Json::String(stands.clone());
        }
    };
    match value {
        Value::Known(Json::Array(list)) => list.iter_mut().for_each(stands),
        Value::Known(name) => stands(name),
        Value::Secret(_) | Value::After { .. } => {}
    }
}

fn sorted(list: &[Json]) -> Vec<&str> {
    let mut names: Vec<&str> = list.iter().filter_map(Json::as_str).collect();
    names.sort_unstable();
    names
}
