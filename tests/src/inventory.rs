//! What stands in a vCenter, as a program that shares no code with ours sees it: ours and foreign, told apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

/// An inventory, told apart by where things lie and what they carry.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// Everything in our places or with a mark of ours, by kind and path; several where a path is there twice.
    pub ours: BTreeMap<String, Vec<Json>>,
    /// Everything else, to the last byte.
    pub foreign: String,
}

/// What is drawn by the simulator, or by the hour, and differs from run to run.
const CHANCE: &[&str] =
    &["ref", "uuid", "files", "file", "host", "key", "mac", "vertskommune.retired", "vlan"];
/// Where a VM carries our mark.
const MARK: &str = "vertskommune.mark";
/// The lists of the inventory.
const KINDS: &[&str] = &["folders", "vms", "pools", "portGroups", "rules"];

impl Inventory {
    /// Tells the inventory of a whole vCenter apart.
    pub fn of(mut whole: Json) -> Self {
        let mut ours: BTreeMap<String, Vec<Json>> = BTreeMap::new();
        for kind in KINDS {
            let Some(Json::Array(things)) = whole.get_mut(*kind).map(Json::take) else { continue };
            let (mine, foreign): (Vec<_>, Vec<_>) = things.into_iter().partition(is_ours);
            for mut thing in mine {
                without_chance(&mut thing);
                ours.entry(format!("{kind} {}", place(&thing))).or_default().push(thing);
            }
            whole[*kind] = Json::Array(foreign);
        }
        // The root itself is the host's; what we note on it, such as our claim, is not.
        for folder in whole["folders"].as_array_mut().into_iter().flatten() {
            if let Some(folder) = folder.as_object_mut() {
                folder.remove("customValues");
            }
        }
        Self { ours, foreign: whole.to_string() }
    }

    /// What belongs to one tenant, with its name written as `TENANT` so that two tenants can be compared.
    pub fn of_tenant(&self, tenant: &str) -> BTreeMap<String, Vec<Json>> {
        self.ours
            .iter()
            .filter(|(path, _)| is_of(tenant, path))
            .map(|(path, things)| {
                let things = things.iter().map(|thing| {
                    let text = without_uuids(&thing.to_string().replace(tenant, "TENANT"));
                    serde_json::from_str(&text).unwrap_or_default()
                });
                (path.replace(tenant, "TENANT"), things.collect())
            })
            .collect()
    }

    /// The paths of what is ours and belongs to somebody else than this tenant, or to nobody.
    pub fn others_than(&self, tenant: &str) -> BTreeSet<String> {
        self.ours.keys().filter(|path| !is_of(tenant, path)).cloned().collect()
    }

    /// Paths at which more than one thing stands, and marks that more than one carries.
    pub fn doubles(&self) -> Vec<&str> {
        let paths = self.ours.iter().filter(|(_, things)| things.len() > 1).map(|(path, _)| path.as_str());
        let mut marks = BTreeMap::<&str, usize>::new();
        for mark in self.ours.values().flatten().filter_map(|thing| thing["extraConfig"][MARK].as_str()) {
            *marks.entry(mark).or_default() += 1;
        }
        paths.chain(marks.into_iter().filter(|(_, count)| *count > 1).map(|(mark, _)| mark)).collect()
    }
}

/// Whether a thing at this path belongs to the tenant.
fn is_of(tenant: &str, path: &str) -> bool {
    path.contains(&format!("/{tenant}/"))
        || path.ends_with(&format!("/{tenant}"))
        || path.contains(&format!("{tenant}-"))
}

/// UUIDs follow from the tenant's name; that each is the right one is held elsewhere.
fn without_uuids(text: &str) -> String {
    let is_uuid = |part: &str| {
        part.len() == 36
            && part.char_indices().all(|(at, letter)| match at {
                8 | 13 | 18 | 23 => letter == '-',
                _ => letter.is_ascii_hexdigit(),
            })
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if rest.get(..36).is_some_and(is_uuid) {
            out.push_str("UUID");
            rest = &rest[36..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

/// Where a thing lies, with its name.
#[must_use]
pub fn place(thing: &Json) -> String {
    let part = |name: &str| thing[name].as_str().unwrap_or_default();
    match part("path") {
        "" => part("name").to_owned(),
        // The simulator knows port groups by their configuration's name alone.
        folder if folder.ends_with('/') => format!("{folder}{}", part("name")),
        path => path.to_owned(),
    }
}

fn is_ours(thing: &Json) -> bool {
    let path = thing["path"].as_str().unwrap_or_default();
    let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    below("/DC0/vm/Tenants")
        || below("/DC0/host/DC0_C0/Resources/Tenants")
        || thing["extraConfig"][MARK].is_string()
        || thing["description"].as_str().is_some_and(|text| text.contains("lab/"))
        || thing["name"].as_str().is_some_and(|name| name.starts_with("vertskommune/"))
}

fn without_chance(thing: &mut Json) {
    match thing {
        Json::Object(fields) => {
            // What a guest is told holds addresses, which differ by tenant.
            fields.retain(|name, _| !CHANCE.contains(&name.as_str()) && !name.starts_with("guestinfo."));
            for (name, value) in fields.iter_mut() {
                match value {
                    // Which server was born first is chance.
                    Json::String(text) if name.starts_with("vertskommune.born") => {
                        let mut born: Vec<_> = text.split_whitespace().collect();
                        born.sort_unstable();
                        *text = born.join(" ");
                    }
                    value => without_chance(value),
                }
            }
        }
        Json::Array(things) => things.iter_mut().for_each(without_chance),
        _ => {}
    }
}
