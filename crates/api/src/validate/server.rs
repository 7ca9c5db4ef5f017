//! Servers of a tenant.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vertskommune_core::names::is_label;
use vertskommune_core::tenant::{Disk, Interface, Network, Server};

use super::address;
use super::fields::Fields;
use crate::rules::{MAX_DISKS, MAX_INTERFACES, MAX_SERVERS};
use crate::tenant;

/// Memory comes in steps of that many bytes on vSphere.
const MEMORY_STEP: u64 = 4 << 20;

/// What servers may refer to: the networks as written, and those that could be read.
pub(super) struct Known<'a> {
    /// Every network that the manifest names, readable or not.
    pub(super) names: &'a [tenant::Network],
    /// Those that could be read.
    pub(super) networks: &'a [Network],
}

/// The servers that can be read; what is wrong with the rest is noted.
pub(super) fn servers(written: &[tenant::Server], known: &Known<'_>, fields: &mut Fields) -> Vec<Server> {
    fields.entries("spec.servers", written.len(), MAX_SERVERS);
    let made = written.iter().enumerate().filter_map(|(i, each)| server(each, i, known, fields)).collect();
    let at = |i: usize, field: &str| format!("spec.servers[{i}].{field}");
    let names = written.iter().enumerate().map(|(i, each)| (at(i, "name"), each.name.as_str()));
    fields.unique(names, |name, first| format!("{name:?} is {first} already: choose another name"));
    let guests =
        written.iter().enumerate().map(|(i, each)| (at(i, "computerName"), guest(each).to_ascii_uppercase()));
    // Equal names have been noted above; a computer name that follows from one is no second mistake.
    let guests: Vec<_> =
        first_of_each_name(written).zip(guests).filter_map(|(first, each)| first.then_some(each)).collect();
    fields.unique(guests, |name, first| {
        format!(
            "the guest's name {name} is {first} already (a name counts where there is none): choose another"
        )
    });
    addresses_unique(written, fields);
    adoptions_unique(written, fields);
    made
}

fn server(written: &tenant::Server, index: usize, known: &Known<'_>, fields: &mut Fields) -> Option<Server> {
    let at = |field: &str| format!("spec.servers[{index}].{field}");
    fields.label(&at("name"), &written.name, 63);
    computer_name(written, &at("computerName"), fields);
    fields.template(&at("template"), &written.template);
    let vcpus = fields.number(&at("vcpus"), written.vcpus, 1, 768);
    let memory = memory(written, &at("memory"), fields);
    let disks = disks(&written.disks, &at("disks"), fields);
    fields.entries(&at("interfaces"), written.interfaces.len(), MAX_INTERFACES);
    let interfaces = written.interfaces.iter().enumerate();
    let interfaces = interfaces
        .map(|(i, each)| interface(each, &at(&format!("interfaces[{i}]")), known, fields))
        .collect();
    if let Some(group) = &written.anti_affinity {
        fields.label(&at("antiAffinity"), group, 32);
    }
    if let Some(path) = &written.adopt {
        fields.text(&at("adopt"), path, 512);
    }
    let recreate = written.recreate.as_ref().map(|uuid| uuid.to_ascii_lowercase());
    let well_formed = recreate.as_deref().is_none_or(is_uuid);
    fields.must(
        well_formed,
        &at("recreate"),
        "is no instance UUID: write the one that the status shows as lost",
    );
    let restart_before =
        written.restart_before.as_deref().and_then(|text| fields.time(&at("restartBefore"), text));
    Some(Server {
        name: written.name.clone(),
        computer_name: guest(written).to_owned(),
        template: written.template.clone(),
        vcpus,
        memory: memory?,
        disks,
        interfaces,
        anti_affinity: written.anti_affinity.clone(),
        adopt: written.adopt.clone(),
        recreate,
        restart_before,
    })
}

/// The name that the guest gives itself.
fn guest(written: &tenant::Server) -> &str {
    written.computer_name.as_deref().unwrap_or(&written.name)
}

fn computer_name(written: &tenant::Server, field: &str, fields: &mut Fields) {
    let name = guest(written);
    if name.len() > 15 {
        let message = if written.computer_name.is_some() {
            format!("{name:?} has more than 15 characters, which Windows cannot have: choose a shorter name")
        } else {
            format!(
                "is missing, and {name:?} has more than 15 characters: write a name of at most 15 for the guest"
            )
        };
        fields.wrong(field, message);
    } else if written.computer_name.is_some() || is_label(name) {
        fields.must(
            is_computer_name(name),
            field,
            format!("{name:?} is no computer name: write letters, digits and hyphens, not digits alone"),
        );
    }
}

/// Whether it is a name that Windows can have.
pub(super) fn is_computer_name(name: &str) -> bool {
    let formed = is_label(&name.to_ascii_lowercase()) && name.bytes().any(|c| c.is_ascii_alphabetic());
    formed && name.len() <= 15
}

fn memory(written: &tenant::Server, field: &str, fields: &mut Fields) -> Option<u64> {
    let memory = fields.size(field, &written.memory)?;
    fields.must(
        memory.is_multiple_of(MEMORY_STEP),
        field,
        format!("{} is not a multiple of 4Mi: write one, such as 16Gi", written.memory),
    );
    Some(memory)
}

fn disks(written: &[tenant::Disk], field: &str, fields: &mut Fields) -> Vec<Disk> {
    fields.entries(field, written.len(), MAX_DISKS);
    let names =
        written.iter().enumerate().map(|(i, each)| (format!("{field}[{i}].name"), each.name.as_str()));
    fields.unique(names, |name, first| format!("{name:?} is {first} already: choose another name"));
    let disk = |(i, each): (usize, &tenant::Disk)| {
        fields.label(&format!("{field}[{i}].name"), &each.name, 32);
        let size = fields.size(&format!("{field}[{i}].size"), &each.size);
        if let Some(policy) = &each.storage_policy {
            fields.label(&format!("{field}[{i}].storagePolicy"), policy, 63);
        }
        Some(Disk { name: each.name.clone(), size: size?, storage_policy: each.storage_policy.clone() })
    };
    written.iter().enumerate().filter_map(disk).collect()
}

fn interface(written: &tenant::Interface, field: &str, known: &Known<'_>, fields: &mut Fields) -> Interface {
    let exists = known.names.iter().any(|network| network.name == written.network);
    let names = known.names.iter().map(|network| network.name.as_str()).collect::<Vec<_>>().join(", ");
    let choice = if names.is_empty() { "there are none".to_owned() } else { format!("there are {names}") };
    fields.must(
        exists,
        &format!("{field}.network"),
        format!(
            "{:?} is none of spec.networks ({choice}): add the network or correct the name",
            written.network
        ),
    );
    let address = written.address.as_deref().and_then(|text| {
        let field = format!("{field}.address");
        let address = fields.take(&field, address::address(text))?;
        if let Some(network) = known.networks.iter().find(|network| network.name == written.network) {
            fields.take(&field, address_in(network, &address));
        }
        Some(address)
    });
    Interface { network: written.network.clone(), address }
}

fn address_in(network: &Network, address: &IpAddr) -> Result<(), String> {
    address::usable(&network.cidr, address)?;
    match network.gateway {
        Some(gateway) if gateway == *address => {
            Err(format!("{address} is the gateway of network {}: write another", network.name))
        }
        _ => Ok(()),
    }
}

fn addresses_unique(written: &[tenant::Server], fields: &mut Fields) {
    let entries = written.iter().enumerate().flat_map(|(i, server)| {
        server.interfaces.iter().enumerate().filter_map(move |(n, interface)| {
            let address: IpAddr = interface.address.as_deref()?.parse().ok()?;
            Some((format!("spec.servers[{i}].interfaces[{n}].address"), address))
        })
    });
    fields.unique(entries, |address, first| {
        format!("{address} is {first} already: give each interface its own")
    });
}

fn adoptions_unique(written: &[tenant::Server], fields: &mut Fields) {
    let entries = written.iter().enumerate();
    let entries = entries
        .filter_map(|(i, server)| Some((format!("spec.servers[{i}].adopt"), server.adopt.as_deref()?)));
    fields.unique(entries, |path, first| {
        format!("{path:?} is {first} already: a machine can be only one server")
    });
}

/// For each server whether no earlier one has its name.
fn first_of_each_name(written: &[tenant::Server]) -> impl Iterator<Item = bool> {
    let mut seen = BTreeSet::new();
    written.iter().map(move |server| seen.insert(server.name.as_str()))
}

fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12]) && text.bytes().all(|c| c == b'-' || c.is_ascii_hexdigit())
}
