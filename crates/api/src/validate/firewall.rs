//! The firewall of a tenant: its own part and those of the rule sets that it pins, as one.

mod adopt;
mod objects;
mod scope;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use vertskommune_core::firewall::{
    Action, Firewall, Log, Peers, PortForward, Profiles, Protocol, Published, Route, Rule, Side, Vdom,
    Written,
};
use vertskommune_core::names::ProviderName;
use vertskommune_core::tenant::{Network, Server};

use super::address;
use super::fields::Fields;
use crate::rule_set::{Catalogue, Position, Rendered, Values};
use crate::rules::{MAX_OBJECTS, MAX_RULES};
use crate::tenant::firewall as written;

use scope::Scope;

/// The field of the firewall's own part.
const FIELD: &str = "spec.firewall";

/// What a firewall may refer to.
pub(super) struct Known<'a> {
    pub(super) tenant: &'a str,
    pub(super) display_name: &'a str,
    pub(super) networks: &'a [Network],
    pub(super) servers: &'a [Server],
    pub(super) catalogue: &'a Catalogue,
}

/// The firewall that is written; what is wrong with it is noted.
pub(super) fn firewall(written: &written::Firewall, known: &Known<'_>, fields: &mut Fields) -> Firewall {
    fields.label(&at("provider"), &written.provider, 63);
    let mut made = Firewall {
        provider: ProviderName::from(written.provider.as_str()),
        vdom: match written.vdom {
            written::Vdom::Shared => Vdom::Shared,
            written::Vdom::Dedicated => Vdom::Dedicated,
        },
        adopt: adopt::adopt(written, known, fields),
        addresses: Vec::new(),
        address_groups: Vec::new(),
        services: Vec::new(),
        service_groups: Vec::new(),
        schedules: Vec::new(),
        published: published(&written.published, known, fields),
        routes: routes(&written.routes, known, fields),
        rules: Vec::new(),
    };
    names_unique(written, known, fields);
    let sets = rule_sets(&written.rule_sets, known, fields);
    let own = own_part(written);
    for (position, set) in sets.iter().filter(|(_, set)| set.position == Position::Before) {
        part(&mut made, &set.fragment, Some((*position, set.name.as_str())), known, fields);
    }
    part(&mut made, &own, None, known, fields);
    for (position, set) in sets.iter().filter(|(_, set)| set.position == Position::After) {
        part(&mut made, &set.fragment, Some((*position, set.name.as_str())), known, fields);
    }
    made
}

fn at(field: &str) -> String {
    format!("{FIELD}.{field}")
}

fn own_part(written: &written::Firewall) -> written::Fragment {
    written::Fragment {
        addresses: written.addresses.clone(),
        address_groups: written.address_groups.clone(),
        services: written.services.clone(),
        service_groups: written.service_groups.clone(),
        schedules: written.schedules.clone(),
        rules: written.rules.clone(),
    }
}

/// The rule sets that are pinned, each with its place in the list.
fn rule_sets(pins: &[String], known: &Known<'_>, fields: &mut Fields) -> Vec<(usize, Rendered)> {
    fields.entries(&at("ruleSets"), pins.len(), 16);
    let named = pins.iter().enumerate().map(|(i, pin)| {
        (at(&format!("ruleSets[{i}]")), pin.split('@').next().unwrap_or_default().to_owned())
    });
    fields.unique(named, |name, first| format!("{name} is {first} already: pin one version of it"));
    let values = Values {
        tenant: known.tenant,
        display_name: known.display_name,
        networks: known.networks,
        servers: known.servers,
    };
    let mut sets = Vec::new();
    for (i, pin) in pins.iter().enumerate() {
        let field = at(&format!("ruleSets[{i}]"));
        let Some(set) = known.catalogue.get(pin) else {
            fields.wrong(field, no_such_set(pin, known.catalogue));
            continue;
        };
        let rendered = set.render(&values).map_err(|error| format!("{pin} cannot be filled in: {error}"));
        sets.extend(fields.take(&field, rendered).map(|set| (i, set)));
    }
    sets
}

fn no_such_set(pin: &str, catalogue: &Catalogue) -> String {
    if let Some(set) = pin.split('@').next().and_then(|name| catalogue.newest(name)) {
        return format!("{pin:?} is not in the catalogue: the newest is {}", set.pin());
    }
    let names: BTreeSet<&str> = catalogue.sets().map(|set| set.name.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let choice = if names.is_empty() { "which is empty".to_owned() } else { format!("which has {names}") };
    format!("{pin:?} is not in the host's catalogue, {choice}")
}

/// Adds one part: the tenant's own, or that of a rule set (its place in the list, and its name).
fn part(
    made: &mut Firewall,
    part: &written::Fragment,
    set: Option<(usize, &str)>,
    known: &Known<'_>,
    fields: &mut Fields,
) {
    let field = set.map_or_else(|| FIELD.to_owned(), |(place, _)| at(&format!("ruleSets[{place}]")));
    let scope = Scope { field: &field, set: set.map(|(_, name)| name), part, known };
    objects::add(made, &scope, fields);
    fields.entries(&scope.at("rules"), part.rules.len(), MAX_RULES);
    let ids = part
        .rules
        .iter()
        .enumerate()
        .map(|(i, rule)| (scope.at(&format!("rules[{i}].id")), rule.id.as_str()));
    fields.unique(ids, |id, first| format!("{id:?} is {first} already: choose another id"));
    for (i, each) in part.rules.iter().enumerate() {
        let rule = rule(each, &scope.at(&format!("rules[{i}]")), &scope, made, fields);
        made.rules.extend(rule);
    }
}

fn rule(
    written: &written::FirewallRule,
    field: &str,
    scope: &Scope<'_>,
    made: &mut Firewall,
    fields: &mut Fields,
) -> Option<Rule> {
    fields.label(&format!("{field}.id"), &written.id, 32);
    let from = scope.peers(&written.from, &format!("{field}.from"), false, made, fields);
    let to = scope.peers(&written.to, &format!("{field}.to"), true, made, fields);
    let services = scope.services(&written.services, &format!("{field}.services"), made, fields);
    let schedule = written.schedule.as_deref();
    let schedule = schedule.and_then(|name| scope.schedule(name, &format!("{field}.schedule"), made, fields));
    let (from, to) = (from?, to?);
    let outward = to.side == Side::Internet;
    let nat = written.nat.unwrap_or(outward && written.action == written::Action::Accept);
    fields.must(
        !nat || written.action == written::Action::Accept,
        &format!("{field}.nat"),
        "is set on a rule that denies: leave it out",
    );
    both_inside(&from, &to, field, fields);
    let profiles = written.profiles.clone().unwrap_or_default();
    Some(Rule {
        id: scope.own_name(&written.id),
        from,
        to,
        services,
        action: match written.action {
            written::Action::Accept => Action::Accept,
            written::Action::Deny => Action::Deny,
        },
        log: match written.log {
            written::Log::All => Log::All,
            written::Log::Security => Log::Security,
            written::Log::None => Log::None,
        },
        nat,
        schedule,
        profiles: Profiles {
            antivirus: profiles.antivirus,
            ips: profiles.ips,
            web_filter: profiles.web_filter,
            application_control: profiles.application_control,
            ssl_inspection: profiles.ssl_inspection,
        },
        enabled: written.enabled,
        written: note(field, &written.comment, written.adopt.as_ref()),
    })
}

/// A rule of a tenant must be about the tenant: what passes between others is not its to say.
fn both_inside(from: &Peers, to: &Peers, field: &str, fields: &mut Fields) {
    fields.must(
        from.side == Side::Tenant || to.side == Side::Tenant,
        field,
        "is about nothing of this municipality: name one of its networks, servers or addresses in from or to",
    );
}

fn published(written: &[written::Published], known: &Known<'_>, fields: &mut Fields) -> Vec<Published> {
    fields.entries(&at("published"), written.len(), 64);
    let mut made = Vec::new();
    for (i, each) in written.iter().enumerate() {
        let field = |name: &str| at(&format!("published[{i}].{name}"));
        fields.label(&field("name"), &each.name, 32);
        let external: Result<Ipv4Addr, _> = each.external.parse();
        let external = fields.take(
            &field("external"),
            external.map_err(|_| {
                format!("{:?} is no IPv4 address: write one that the host grants", each.external)
            }),
        );
        let internal = fields.take(&field("server"), address_of(&each.server, known));
        let port = each.port.as_ref().map(|port| PortForward {
            protocol: match port.protocol {
                written::Protocol::TCP => Protocol::Tcp,
                written::Protocol::UDP => Protocol::Udp,
            },
            external: fields.number(&field("port.external"), port.external, 1, 65535),
            internal: fields.number(
                &field("port.internal"),
                port.internal.unwrap_or(port.external),
                1,
                65535,
            ),
        });
        // What cannot be read has been noted; the rules that name it are not wrong besides.
        let nowhere = Ipv4Addr::UNSPECIFIED;
        let (external, internal) = (external.unwrap_or(nowhere), internal.unwrap_or(nowhere));
        let written = note(&at(&format!("published[{i}]")), &each.comment, each.adopt.as_ref());
        made.push(Published { name: each.name.clone(), external, internal, port, written });
    }
    let outside = made.iter().map(|it| {
        (
            format!("{}.external", it.written.origin),
            (it.external, it.port.map(|port| (port.protocol, port.external))),
        )
    });
    fields.unique(outside.collect::<Vec<_>>(), |(address, _), first| {
        format!("{address} with this port is {first} already: choose another port")
    });
    made
}

/// The address by which a server is known, the first that is written.
fn address_of(server: &str, known: &Known<'_>) -> Result<Ipv4Addr, String> {
    let found = known.servers.iter().find(|it| it.name == server);
    let found = found.ok_or_else(|| format!("{server:?} is none of spec.servers: correct the name"))?;
    let first = found.interfaces.iter().find_map(|interface| match interface.address {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    });
    first.ok_or_else(|| format!("{server} has no IPv4 address: write one in its interfaces"))
}

fn routes(written: &[written::Route], known: &Known<'_>, fields: &mut Fields) -> Vec<Route> {
    fields.entries(&at("routes"), written.len(), 64);
    let mut made: Vec<Route> = Vec::new();
    for (i, each) in written.iter().enumerate() {
        let field = |name: &str| at(&format!("routes[{i}].{name}"));
        fields.label(&field("name"), &each.name, 32);
        let to = fields.take(&field("to"), address::range(&each.to));
        let via = fields.take(&field("via"), address::address(&each.via));
        let (Some(to), Some(via)) = (to, via) else { continue };
        let overlaps = |network: &&Network| network.cidr.contains(&to) || to.contains(&network.cidr);
        if let Some(network) = known.networks.iter().find(overlaps) {
            fields.wrong(
                field("to"),
                format!("overlaps network {}: it is reached without a route", network.name),
            );
        }
        let Some(network) = known.networks.iter().find(|network| network.cidr.contains(&via)) else {
            fields.wrong(field("via"), format!("{via} lies in none of spec.networks: write a router there"));
            continue;
        };
        let written = note(&at(&format!("routes[{i}]")), &each.comment, each.adopt.as_ref());
        made.push(Route { name: each.name.clone(), to, via, network: network.name.clone(), written });
    }
    let names =
        written.iter().enumerate().map(|(i, it)| (at(&format!("routes[{i}].name")), it.name.as_str()));
    fields.unique(names, |name, first| format!("{name:?} is {first} already: choose another name"));
    made
}

/// Rules name networks, servers, addresses, groups and published servers alike, so each name means one of them.
fn names_unique(written: &written::Firewall, known: &Known<'_>, fields: &mut Fields) {
    // That two networks or two servers have one name has been said.
    let networks: BTreeSet<&str> = known.networks.iter().map(|it| it.name.as_str()).collect();
    let networks = networks.into_iter().map(|name| ("spec.networks".to_owned(), name));
    let servers: BTreeSet<&str> = known.servers.iter().map(|it| it.name.as_str()).collect();
    let servers = servers.into_iter().map(|name| ("spec.servers".to_owned(), name));
    let list = |field: &str, i: usize| at(&format!("{field}[{i}].name"));
    let addresses =
        written.addresses.iter().enumerate().map(|(i, it)| (list("addresses", i), it.name.as_str()));
    let groups = written.address_groups.iter().enumerate();
    let groups = groups.map(|(i, it)| (list("addressGroups", i), it.name.as_str()));
    let published =
        written.published.iter().enumerate().map(|(i, it)| (list("published", i), it.name.as_str()));
    let all = networks.chain(servers).chain(addresses).chain(groups).chain(published);
    fields.unique(all, |name, first| {
        format!("{name:?} is in {first} already, and rules could mean either: choose another name")
    });
    let words =
        written.addresses.iter().map(|it| &it.name).chain(written.address_groups.iter().map(|it| &it.name));
    fields.must(
        words.into_iter().all(|name| name != scope::INTERNET),
        &at("addresses"),
        "names one of its objects internet, which is a word of its own: choose another name",
    );
}

/// Where something is written, what is said of it, and what it takes over.
fn note(field: &str, comment: &str, adopt: Option<&String>) -> Written {
    Written { origin: field.to_owned(), comment: comment.trim().to_owned(), adopt: adopt.cloned() }
}

/// Where an address range lies as seen by a tenant: behind its own networks and routes, or on the internet.
fn side_of(range: (IpAddr, IpAddr), known: &Known<'_>, routes: &[Route]) -> Result<Side, String> {
    let inside = |net: &IpNet| net.contains(&range.0) && net.contains(&range.1);
    let touches = |net: &IpNet| net.network() <= range.1 && range.0 <= net.broadcast();
    let own =
        || known.networks.iter().map(|network| &network.cidr).chain(routes.iter().map(|route| &route.to));
    match (own().any(inside), own().find(|net| touches(net))) {
        (true, _) => Ok(Side::Tenant),
        (false, None) => Ok(Side::Internet),
        (false, Some(net)) => {
            Err(format!("lies partly in {net} and partly outside: write what lies within, or split it"))
        }
    }
}

/// The bound of a list of objects.
fn most() -> u64 {
    MAX_OBJECTS
}
