//! What holds for single tables and cannot be said in the schema: interfaces and their networks, zones, VDOMs,
//! groups that would contain themselves.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::error::CmdbError;
use super::write::Attempt;
use crate::schema::{Table, TableId, catalogue, network};
use crate::store::{Change, Place, Position, Vdom, View};
use crate::value::{Fields, Key, Row, Value};

const INTERFACE: &str = "system/interface";
const ZONE: &str = "system/zone";
const PROPERTY: &str = "system/vdom-property";

/// Checks a row that is about to be written.
pub(crate) fn check(attempt: &Attempt<'_>, row: &Row, before: Option<&Arc<Row>>) -> Result<(), CmdbError> {
    match attempt.table.table().full {
        INTERFACE => interface(attempt, row, before)?,
        ZONE => zone(attempt, row)?,
        "firewall/policy" => policy(attempt, row)?,
        "firewall/addrgrp" | "firewall.service/group" => no_circle(attempt, row)?,
        "firewall/address" => address(attempt, row)?,
        "router/static" => route(row, attempt.table.table())?,
        _ => {}
    }
    unique(attempt, row)
}

/// Whether a VDOM sees a row that is there: of the interfaces only its own.
pub(crate) fn is_visible(attempt: &Attempt<'_>, place: &Place, name: &str) -> bool {
    let table = place.table.table();
    // A table of the device may name any interface; one of a VDOM only those that it has.
    if table.full != INTERFACE || Place::of(attempt.table, attempt.vdom).vdom.is_none() {
        return true;
    }
    let row = attempt.view.get(place, &Key::from(name));
    row.is_some_and(|row| row.text(table, "vdom") == &**attempt.vdom)
}

/// Refuses to remove what FortiOS does not let go.
pub(crate) fn removable(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let table = attempt.table.table();
    match table.full {
        INTERFACE if matches!(row.text(table, "type"), "physical" | "tunnel" | "vdom-link") => {
            Err(CmdbError::Conflict(format!("{} is not a configurable interface", row.key)))
        }
        "system/vdom-link" => {
            let interfaces = id(INTERFACE);
            for end in ends(row) {
                let place = Place { table: interfaces, vdom: None };
                let count = attempt.view.users(&place, &end).len();
                if count > 0 {
                    return Err(CmdbError::InUse { count });
                }
            }
            Ok(())
        }
        "system/vdom" => vdom_is_empty(attempt, row),
        _ => Ok(()),
    }
}

fn vdom_is_empty(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let name = row.key.to_string();
    let users = attempt.view.users(&attempt.place(), &row.key);
    if name == "root" || users.iter().any(|user| user.place.table.table().full != PROPERTY) {
        return Err(CmdbError::VdomInUse);
    }
    Ok(())
}

/// What a new row brings with it: a VDOM has its properties, a link between VDOMs two interfaces.
pub(crate) fn consequences_of_creation(attempt: &Attempt<'_>, row: &Row) -> Vec<Change> {
    match attempt.table.table().full {
        "system/vdom" => vec![properties(row)],
        "system/vdom-link" => two_interfaces(row),
        _ => Vec::new(),
    }
}

fn properties(vdom: &Row) -> Change {
    let table = id(PROPERTY);
    let mut fields = Fields::default();
    fields.set(0, Value::Text(Arc::from(vdom.key.to_string())));
    set(&mut fields, table, "description", &format!("property limits for vdom {}", vdom.key));
    let row = Row::new(vdom.key.clone(), fields);
    Change {
        place: Place { table, vdom: None },
        key: vdom.key.clone(),
        row: Some(Arc::new(row)),
        position: Position::Keep,
    }
}

fn two_interfaces(row: &Row) -> Vec<Change> {
    let interfaces = id(INTERFACE);
    let make = |key: Key| {
        let mut fields = Fields::default();
        fields.set(0, Value::Text(Arc::from(key.to_string())));
        set(&mut fields, interfaces, "type", "vdom-link");
        Change {
            place: Place { table: interfaces, vdom: None },
            key: key.clone(),
            row: Some(Arc::new(Row::new(key, fields))),
            position: Position::Keep,
        }
    };
    ends(row).into_iter().map(make).collect()
}

/// What goes with a row that goes.
pub(crate) fn consequences_of_removal(attempt: &Attempt<'_>, row: &Row) -> Vec<Change> {
    let (table, keys) = match attempt.table.table().full {
        "system/vdom" => (PROPERTY, vec![row.key.clone()]),
        "system/vdom-link" => (INTERFACE, ends(row).to_vec()),
        _ => return Vec::new(),
    };
    let place = Place { table: id(table), vdom: None };
    let gone = |key: Key| Change { place: place.clone(), key, row: None, position: Position::Keep };
    keys.into_iter().map(gone).collect()
}

fn ends(link: &Row) -> [Key; 2] {
    [0, 1].map(|end| Key::from(format!("{}{end}", link.key).as_str()))
}

fn id(table: &'static str) -> TableId {
    catalogue().find(table).unwrap_or_else(|| unreachable!("{table} is in the catalogue"))
}

fn set(fields: &mut Fields, table: TableId, name: &str, text: &str) {
    if let Some((place, _)) = table.table().attribute(name) {
        fields.set(place, Value::Text(Arc::from(text)));
    }
}

fn interface(attempt: &Attempt<'_>, row: &Row, before: Option<&Arc<Row>>) -> Result<(), CmdbError> {
    let table = attempt.table.table();
    if let Some(before) = before {
        let is_vlan = before.text(table, "type") == "vlan" && row.text(table, "type") == "vlan";
        let moved = before.text(table, "interface") != row.text(table, "interface")
            || before.number(table, "vlanid") != row.number(table, "vlanid");
        if is_vlan && moved {
            return Err(CmdbError::VlanStays);
        }
        let fixed =
            ["type", "interface"].into_iter().find(|name| before.text(table, name) != row.text(table, name));
        if let Some(name) = fixed {
            return Err(CmdbError::Conflict(format!("{name} of an interface cannot be changed")));
        }
        if before.text(table, "vdom") != row.text(table, "vdom") {
            let count = attempt.view.users(&attempt.place(), &row.key).len();
            if count > 0 {
                return Err(CmdbError::InUse { count });
            }
        }
    }
    if row.text(table, "type") == "vlan" {
        vlan(attempt, row)?;
    }
    no_overlap(attempt, row)
}

fn vlan(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let table = attempt.table.table();
    let (parent, vlan) = (row.text(table, "interface"), row.number(table, "vlanid"));
    if parent.is_empty() {
        return Err(CmdbError::Required { attribute: "interface" });
    }
    if vlan == 0 {
        return Err(CmdbError::Required { attribute: "vlanid" });
    }
    let taken = others(attempt, row).into_iter().find(|other| {
        other.text(table, "interface") == parent
            && other.text(table, "type") == "vlan"
            && other.number(table, "vlanid") == vlan
    });
    match taken {
        Some(other) => Err(CmdbError::Conflict(format!("VLAN {vlan} on {parent} is {} already", other.key))),
        None => Ok(()),
    }
}

/// Two interfaces of one VDOM with addresses of one network, unless the VDOM allows it.
fn no_overlap(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let table = attempt.table.table();
    let Some(own) = network(row.text(table, "ip")).filter(|(address, _)| !address.is_unspecified()) else {
        return Ok(());
    };
    let vdom = row.text(table, "vdom");
    if setting(attempt.view, vdom, "allow-subnet-overlap") == "enable" {
        return Ok(());
    }
    for other in others(attempt, row).into_iter().filter(|other| other.text(table, "vdom") == vdom) {
        let Some(theirs) = network(other.text(table, "ip")).filter(|(address, _)| !address.is_unspecified())
        else {
            continue;
        };
        if overlap(own, theirs) {
            let (interface, other) = (row.key.to_string(), other.key.to_string());
            return Err(CmdbError::Overlap { interface, other });
        }
    }
    Ok(())
}

fn overlap(one: (Ipv4Addr, Ipv4Addr), other: (Ipv4Addr, Ipv4Addr)) -> bool {
    let mask = one.1.to_bits() & other.1.to_bits();
    one.0.to_bits() & mask == other.0.to_bits() & mask
}

fn others<'a>(attempt: &Attempt<'a>, row: &Row) -> Vec<&'a Arc<Row>> {
    let mut rows = attempt.view.list(&attempt.place());
    rows.retain(|other| other.key != row.key);
    rows
}

fn setting<'a>(view: View<'a>, vdom: &str, name: &str) -> &'a str {
    let settings = id("system/settings");
    let vdom: Vdom = Arc::from(vdom);
    let row = view.single(&Place::of(settings, &vdom));
    row.map_or("disable", |row| row.text(settings.table(), name))
}

/// An interface is in one zone at most, and in none while a policy names it.
fn zone(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let place = Place { table: id(INTERFACE), vdom: None };
    for name in members(attempt.table, row, "interface") {
        let refused = attempt.view.users(&place, &Key::from(name)).into_iter().any(|user| {
            let other_zone = user.place == attempt.place() && user.key != row.key;
            other_zone || user.place.table.table().full == "firewall/policy"
        });
        if refused {
            return Err(CmdbError::MissingMember { attribute: "interface-name", name: name.to_owned() });
        }
    }
    Ok(())
}

/// An interface of a zone is named by its zone only.
fn policy(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let interfaces = Place { table: id(INTERFACE), vdom: None };
    for attribute in ["srcintf", "dstintf"] {
        for name in members(attempt.table, row, attribute) {
            let zone = Place::of(id(ZONE), attempt.vdom);
            let in_zone = attempt.view.refers(&zone, &interfaces, &Key::from(name));
            if in_zone {
                return Err(CmdbError::MissingMember { attribute: "name", name: name.to_owned() });
            }
        }
    }
    Ok(())
}

fn unique(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let table = attempt.table.table();
    for name in table.unique {
        let text = row.text(table, name);
        if !text.is_empty() && attempt.view.is_taken(&attempt.place(), name, text, &row.key) {
            return Err(CmdbError::NameConflict { attribute: (*name).into() });
        }
    }
    Ok(())
}

/// A group that contains itself, at whatever depth.
fn no_circle(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let place = attempt.place();
    let own = row.key.to_string();
    let mut seen = BTreeSet::new();
    let mut open: Vec<String> =
        members(attempt.table, row, "member").into_iter().map(str::to_owned).collect();
    while let Some(name) = open.pop() {
        if name == own {
            return Err(CmdbError::MissingMember { attribute: "name", name });
        }
        if let Some(group) = attempt.view.get(&place, &Key::from(name.as_str())).filter(|_| seen.insert(name))
        {
            open.extend(members(attempt.table, group, "member").into_iter().map(str::to_owned));
        }
    }
    Ok(())
}

fn address(attempt: &Attempt<'_>, row: &Row) -> Result<(), CmdbError> {
    let table = attempt.table.table();
    match row.text(table, "type") {
        "fqdn" if row.text(table, "fqdn").is_empty() => Err(CmdbError::Required { attribute: "fqdn" }),
        "iprange" => {
            let (first, last) = (row.text(table, "start-ip"), row.text(table, "end-ip"));
            let backwards = first.parse::<Ipv4Addr>().ok() > last.parse::<Ipv4Addr>().ok();
            if backwards {
                Err(CmdbError::BadValue { attribute: "end-ip", value: last.into() })
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

fn route(row: &Row, table: &'static Table) -> Result<(), CmdbError> {
    let needs_none = row.text(table, "blackhole") == "enable";
    if row.text(table, "device").is_empty() && !needs_none {
        return Err(CmdbError::Required { attribute: "device" });
    }
    Ok(())
}

/// The keys of a child table.
fn members<'a>(table: TableId, row: &'a Row, attribute: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    if let Some((place, _)) = table.table().attribute(attribute) {
        row.fields.texts_at(&[place, 0], &mut found);
    }
    found
}
