//! Addresses, services, groups and schedules of one part of a firewall.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use vertskommune_core::firewall::{Address, AddressKind, Day, Firewall, Group, Schedule, Service, Side};

use super::scope::Scope;
use super::{most, note, side_of};
use crate::tenant::firewall as written;
use crate::validate::address;
use crate::validate::fields::Fields;

/// Adds the objects of a part. Rules come after, and may name them.
pub(super) fn add(made: &mut Firewall, scope: &Scope<'_>, fields: &mut Fields) {
    let part = scope.part;
    let lists = [
        ("addresses", part.addresses.len()),
        ("addressGroups", part.address_groups.len()),
        ("services", part.services.len()),
        ("serviceGroups", part.service_groups.len()),
        ("schedules", part.schedules.len()),
    ];
    for (list, count) in lists {
        fields.entries(&scope.at(list), count, most());
    }
    for (i, each) in part.addresses.iter().enumerate() {
        let address = address_object(each, &scope.at(&format!("addresses[{i}]")), scope, made, fields);
        made.addresses.extend(address);
    }
    for (i, each) in part.address_groups.iter().enumerate() {
        let group = address_group(each, &scope.at(&format!("addressGroups[{i}]")), scope, made, fields);
        made.address_groups.extend(group);
    }
    for (i, each) in part.services.iter().enumerate() {
        let service = service(each, &scope.at(&format!("services[{i}]")), scope, fields);
        made.services.push(service);
    }
    for (i, each) in part.service_groups.iter().enumerate() {
        let group = service_group(each, &scope.at(&format!("serviceGroups[{i}]")), scope, made, fields);
        made.service_groups.push(group);
    }
    for (i, each) in part.schedules.iter().enumerate() {
        let schedule = schedule(each, &scope.at(&format!("schedules[{i}]")), scope, fields);
        made.schedules.push(schedule);
    }
    let services = part.services.iter().enumerate();
    let services = services.map(|(i, it)| (scope.at(&format!("services[{i}].name")), it.name.as_str()));
    let groups = part.service_groups.iter().enumerate();
    let groups = groups.map(|(i, it)| (scope.at(&format!("serviceGroups[{i}].name")), it.name.as_str()));
    fields.unique(services.chain(groups), |name, first| {
        format!("{name:?} is {first} already: choose another name")
    });
    let schedules = part.schedules.iter().enumerate();
    let schedules = schedules.map(|(i, it)| (scope.at(&format!("schedules[{i}].name")), it.name.as_str()));
    fields.unique(schedules, |name, first| format!("{name:?} is {first} already: choose another name"));
}

fn address_object(
    written: &written::Address,
    field: &str,
    scope: &Scope<'_>,
    made: &Firewall,
    fields: &mut Fields,
) -> Option<Address> {
    fields.label(&format!("{field}.name"), &written.name, 32);
    let what = match (&written.cidr, &written.range, &written.fqdn) {
        (Some(cidr), None, None) => {
            let cidr =
                cidr.parse::<IpAddr>().map_or_else(|_| address::range(cidr), |single| Ok(single.into()));
            AddressKind::Network(fields.take(&format!("{field}.cidr"), cidr)?)
        }
        (None, Some(range), None) => {
            let (first, last) = fields.take(&format!("{field}.range"), ends(range))?;
            AddressKind::Range(first, last)
        }
        (None, None, Some(fqdn)) => {
            let formed = fqdn.len() <= 253
                && fqdn.contains('.')
                && fqdn.split('.').all(vertskommune_core::names::is_label);
            fields.must(
                formed,
                &format!("{field}.fqdn"),
                format!("{fqdn:?} is no host name: write it in full"),
            );
            AddressKind::Fqdn(fqdn.clone())
        }
        _ => {
            fields.wrong(field, "has none or several of cidr, range and fqdn: write exactly one");
            return None;
        }
    };
    let side = match &what {
        AddressKind::Network(net) => side_of((net.network(), net.broadcast()), scope.known, &made.routes),
        AddressKind::Range(first, last) => side_of((*first, *last), scope.known, &made.routes),
        AddressKind::Fqdn(_) => Ok(Side::Internet),
    };
    let side = fields.take(field, side)?;
    let written_at = note(field, &written.comment, written.adopt.as_ref());
    Some(Address { name: scope.own_name(&written.name), what, side, written: written_at })
}

fn ends(text: &str) -> Result<(IpAddr, IpAddr), String> {
    let wrong = || {
        format!("{text:?} is no range: write the first and the last address, such as 10.13.10.50-10.13.10.60")
    };
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let (first, last) = (address::address(first.trim())?, address::address(last.trim())?);
    if first > last || first.is_ipv4() != last.is_ipv4() {
        return Err(wrong());
    }
    Ok((first, last))
}

fn address_group(
    written: &written::Group,
    field: &str,
    scope: &Scope<'_>,
    made: &Firewall,
    fields: &mut Fields,
) -> Option<Group> {
    fields.label(&format!("{field}.name"), &written.name, 32);
    let mut members: Vec<(Side, String)> = Vec::new();
    for (i, name) in written.members.iter().enumerate() {
        let at = format!("{field}.members[{i}]");
        members.extend(fields.take(&at, member(name, scope, made)));
    }
    let (side, first) = members.first()?.clone();
    if let Some((_, other)) = members.iter().find(|(it, _)| *it != side) {
        let message =
            format!("has {first} and {other} on different sides of the firewall: make a group for each");
        fields.wrong(format!("{field}.members"), message);
    }
    let mut members: Vec<String> = members.into_iter().map(|(_, name)| name).collect();
    members.sort();
    members.dedup();
    let written_at = note(field, &written.comment, written.adopt.as_ref());
    Some(Group { name: scope.own_name(&written.name), members, side, written: written_at })
}

fn member(name: &str, scope: &Scope<'_>, made: &Firewall) -> Result<(Side, String), String> {
    if let Some(own) = scope.own(name) {
        return own.map(|(side, _)| (side, name.to_owned()));
    }
    for name in [scope.own_name(name), name.to_owned()] {
        if let Some(address) = made.addresses.iter().find(|it| it.name == name) {
            return Ok((address.side.clone(), name));
        }
        if let Some(group) = made.address_groups.iter().find(|it| it.name == name) {
            return Ok((group.side.clone(), name));
        }
    }
    Err(format!(
        "{name:?} is no network, server, address or earlier group: add it, or write groups after their members"
    ))
}

fn service(written: &written::Service, field: &str, scope: &Scope<'_>, fields: &mut Fields) -> Service {
    fields.label(&format!("{field}.name"), &written.name, 32);
    let ports = |list: &[String], name: &str, fields: &mut Fields| -> Vec<RangeInclusive<u16>> {
        let each = list.iter().enumerate();
        each.filter_map(|(i, text)| fields.take(&format!("{field}.{name}[{i}]"), ports_of(text))).collect()
    };
    let (tcp, udp) = (ports(&written.tcp, "tcp", fields), ports(&written.udp, "udp", fields));
    fields.must(
        !written.tcp.is_empty() || !written.udp.is_empty(),
        field,
        "has no ports: write some in tcp or udp",
    );
    let written_at = note(field, &written.comment, written.adopt.as_ref());
    Service { name: scope.own_name(&written.name), tcp, udp, written: written_at }
}

/// One port or a range of them.
fn ports_of(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong =
        || format!("{text:?} is no port: write one from 1 to 65535, or two of them such as 9000-9010");
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last { Err(wrong()) } else { Ok(first..=last) }
}

fn service_group(
    written: &written::Group,
    field: &str,
    scope: &Scope<'_>,
    made: &Firewall,
    fields: &mut Fields,
) -> Group {
    fields.label(&format!("{field}.name"), &written.name, 32);
    let members = scope.services(&written.members, &format!("{field}.members"), made, fields);
    let written_at = note(field, &written.comment, written.adopt.as_ref());
    Group { name: scope.own_name(&written.name), members, side: Side::Tenant, written: written_at }
}

fn schedule(written: &written::Schedule, field: &str, scope: &Scope<'_>, fields: &mut Fields) -> Schedule {
    fields.label(&format!("{field}.name"), &written.name, 16);
    fields.must(!written.days.is_empty(), &format!("{field}.days"), "is empty: name at least one day");
    let mut days: Vec<Day> = written.days.iter().map(|day| day_of(*day)).collect();
    days.sort_unstable();
    days.dedup();
    let start = fields.take(&format!("{field}.start"), minutes(&written.start));
    let end = fields.take(&format!("{field}.end"), minutes(&written.end));
    let written_at = note(field, "", None);
    // A time that cannot be read has been noted; the rules that name the schedule are not wrong besides.
    let (start, end) = (start.unwrap_or_default(), end.unwrap_or_default());
    Schedule { name: scope.own_name(&written.name), days, start, end, written: written_at }
}

fn day_of(day: written::Day) -> Day {
    match day {
        written::Day::Monday => Day::Monday,
        written::Day::Tuesday => Day::Tuesday,
        written::Day::Wednesday => Day::Wednesday,
        written::Day::Thursday => Day::Thursday,
        written::Day::Friday => Day::Friday,
        written::Day::Saturday => Day::Saturday,
        written::Day::Sunday => Day::Sunday,
    }
}

/// Minutes after midnight.
fn minutes(text: &str) -> Result<u16, String> {
    let wrong = || format!("{text:?} is no time of day: write hours and minutes, such as 07:00");
    let (hours, minutes) = text.split_once(':').filter(|_| text.len() == 5).ok_or_else(wrong)?;
    match (hours.parse::<u16>(), minutes.parse::<u16>()) {
        (Ok(hours), Ok(minutes)) if hours < 24 && minutes < 60 => Ok(hours * 60 + minutes),
        _ => Err(wrong()),
    }
}
