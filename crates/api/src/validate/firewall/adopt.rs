//! What a firewall takes over of what stands there already: each thing once, and named as it can be named there.

use vertskommune_core::firewall::Adopted;

use super::{Known, at};
use crate::rules::{MAX_NETWORKS, MAX_SERVERS};
use crate::tenant::firewall as written;
use crate::validate::fields::Fields;

/// One that is to be taken over: the field, the kind of thing, its name or id, and how long that can be.
type Named<'a> = (String, &'static str, &'a String, usize);

/// What is taken over for networks and servers. What the entries name is checked with it.
pub(super) fn adopt(written: &written::Firewall, known: &Known<'_>, fields: &mut Fields) -> Adopted {
    let nothing = written::Adopt::default();
    let adopt = written.adopt.as_ref().unwrap_or(&nothing);
    let named: Vec<Named<'_>> = of_networks_and_servers(adopt).chain(of_entries(written)).collect();
    for (field, _, name, most) in &named {
        fields.text(field, name, *most);
    }
    for (i, route) in written.routes.iter().enumerate() {
        let formed = route.adopt.as_deref().is_none_or(is_id);
        fields.must(
            formed,
            &at(&format!("routes[{i}].adopt")),
            "is no sequence number of a static route: write the number of its row, such as \"12\"",
        );
    }
    let each_once = named.iter().map(|(field, kind, name, _)| (field.clone(), (*kind, name.as_str())));
    fields.unique(each_once, |(kind, name), first| {
        format!("{kind} {name:?} is {first} already: one thing can be only one entry")
    });
    networks(&adopt.networks, known, fields);
    servers(&adopt.servers, known, fields);
    let of_network = adopt.networks.iter().map(|it| (it.name.clone(), it.address.as_ref()));
    let of_server = adopt.servers.iter().map(|it| (it.name.clone(), Some(&it.address)));
    let interfaces = adopt.networks.iter().map(|it| (it.name.clone(), it.interface.as_ref()));
    Adopted {
        zone: adopt.zone.clone(),
        interfaces: interfaces.filter_map(|(name, it)| Some((name, it?.clone()))).collect(),
        addresses: of_network.chain(of_server).filter_map(|(name, it)| Some((name, it?.clone()))).collect(),
    }
}

fn of_networks_and_servers(adopt: &written::Adopt) -> impl Iterator<Item = Named<'_>> {
    let zone = adopt.zone.iter().map(|it| (at("adopt.zone"), "zone", it, 35));
    let networks = adopt.networks.iter().enumerate().flat_map(|(i, it)| {
        let field = move |name| at(&format!("adopt.networks[{i}].{name}"));
        let interface = it.interface.iter().map(move |it| (field("interface"), "interface", it, 15));
        interface.chain(it.address.iter().map(move |it| (field("address"), "address", it, 79)))
    });
    let servers = adopt.servers.iter().enumerate();
    let servers =
        servers.map(|(i, it)| (at(&format!("adopt.servers[{i}].address")), "address", &it.address, 79));
    zone.chain(networks).chain(servers)
}

fn of_entries(written: &written::Firewall) -> impl Iterator<Item = Named<'_>> {
    fn list<'a>(
        name: &'static str,
        kind: &'static str,
        most: usize,
        all: impl Iterator<Item = &'a Option<String>>,
    ) -> impl Iterator<Item = Named<'a>> {
        let named = all.enumerate().filter_map(|(i, it)| Some((i, it.as_ref()?)));
        named.map(move |(i, it)| (at(&format!("{name}[{i}].adopt")), kind, it, most))
    }
    list("addresses", "address", 79, written.addresses.iter().map(|it| &it.adopt))
        .chain(list("addressGroups", "address group", 79, written.address_groups.iter().map(|it| &it.adopt)))
        .chain(list("services", "service", 79, written.services.iter().map(|it| &it.adopt)))
        .chain(list("serviceGroups", "service group", 79, written.service_groups.iter().map(|it| &it.adopt)))
        .chain(list("published", "virtual IP", 79, written.published.iter().map(|it| &it.adopt)))
        .chain(list("routes", "route", 10, written.routes.iter().map(|it| &it.adopt)))
        .chain(list("rules", "policy", 35, written.rules.iter().map(|it| &it.adopt)))
}

fn networks(written: &[written::AdoptNetwork], known: &Known<'_>, fields: &mut Fields) {
    fields.entries(&at("adopt.networks"), written.len(), MAX_NETWORKS);
    let field = |i: usize| at(&format!("adopt.networks[{i}]"));
    names_once(written.iter().map(|it| it.name.as_str()), field, fields);
    for (i, each) in written.iter().enumerate() {
        fields.must(
            each.interface.is_some() || each.address.is_some(),
            &field(i),
            "names nothing that stands on the firewall: write interface, address or both",
        );
        fields.must(
            known.networks.iter().any(|it| it.name == each.name),
            &format!("{}.name", field(i)),
            format!("{:?} is none of spec.networks: correct the name", each.name),
        );
    }
}

fn servers(written: &[written::AdoptServer], known: &Known<'_>, fields: &mut Fields) {
    fields.entries(&at("adopt.servers"), written.len(), MAX_SERVERS);
    let field = |i: usize| at(&format!("adopt.servers[{i}]"));
    names_once(written.iter().map(|it| it.name.as_str()), field, fields);
    for (i, each) in written.iter().enumerate() {
        let server = known.servers.iter().find(|it| it.name == each.name);
        let addresses = server.map(|it| it.interfaces.iter().filter(|it| it.address.is_some()).count());
        let message = match addresses {
            Some(1) => continue,
            None => format!("{:?} is none of spec.servers: correct the name", each.name),
            Some(count) => format!(
                "{} has {count} fixed addresses, and only a server with one is one address object: leave it out",
                each.name
            ),
        };
        fields.wrong(format!("{}.name", field(i)), message);
    }
}

fn names_once<'a>(
    names: impl Iterator<Item = &'a str>,
    field: impl Fn(usize) -> String,
    fields: &mut Fields,
) {
    let names: Vec<_> = names.enumerate().map(|(i, name)| (format!("{}.name", field(i)), name)).collect();
    fields.unique(names, |name, first| format!("{name:?} is {first} already: write one entry for it"));
}

/// A number as a firewall gives it to a row.
fn is_id(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit()) && !text.starts_with('0')
}
