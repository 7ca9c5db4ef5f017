//! Networks of a tenant.

use std::net::IpAddr;

use ipnet::IpNet;
use vertskommune_core::tenant::Network;

use super::address;
use super::fields::Fields;
use crate::rules::MAX_NETWORKS;
use crate::tenant;

/// The networks that can be read; what is wrong with the rest is noted.
pub(super) fn networks(written: &[tenant::Network], fields: &mut Fields) -> Vec<Network> {
    fields.entries("spec.networks", written.len(), MAX_NETWORKS);
    let made = written.iter().enumerate().filter_map(|(i, each)| Some((i, network(each, i, fields)?)));
    let made: Vec<(usize, Network)> = made.collect();
    let names =
        written.iter().enumerate().map(|(i, each)| (format!("spec.networks[{i}].name"), each.name.as_str()));
    fields.unique(names, |name, first| format!("{name:?} is {first} already: choose another name"));
    let vlans = written.iter().enumerate().map(|(i, each)| (format!("spec.networks[{i}].vlan"), each.vlan));
    fields.unique(vlans, |vlan, first| {
        format!("{vlan} is {first} already: give each network a VLAN of its own")
    });
    apart(&made, fields);
    made.into_iter().map(|(_, network)| network).collect()
}

fn network(written: &tenant::Network, index: usize, fields: &mut Fields) -> Option<Network> {
    let at = |field: &str| format!("spec.networks[{index}].{field}");
    fields.label(&at("name"), &written.name, 32);
    let vlan = fields.number(&at("vlan"), written.vlan, 1, 4094);
    let cidr = fields.take(&at("cidr"), address::range(&written.cidr));
    let gateway = written.gateway.as_deref().and_then(|text| gateway(text, cidr, &at("gateway"), fields));
    fields.entries(&at("dns"), written.dns.len(), 8);
    let dns = written.dns.iter().enumerate();
    let dns =
        dns.filter_map(|(i, text)| fields.take(&at(&format!("dns[{i}]")), address::address(text))).collect();
    Some(Network { name: written.name.clone(), vlan, cidr: cidr?, gateway, dns })
}

fn gateway(text: &str, cidr: Option<IpNet>, field: &str, fields: &mut Fields) -> Option<IpAddr> {
    let gateway = fields.take(field, address::address(text))?;
    if let Some(cidr) = cidr {
        fields.take(field, address::usable(&cidr, &gateway));
    }
    Some(gateway)
}

/// No two networks of a tenant share an address.
fn apart(made: &[(usize, Network)], fields: &mut Fields) {
    for (n, (index, network)) in made.iter().enumerate() {
        let overlaps = |other: &&(usize, Network)| {
            other.1.cidr.contains(&network.cidr) || network.cidr.contains(&other.1.cidr)
        };
        if let Some((first, other)) = made[..n].iter().find(overlaps) {
            let message = format!(
                "{} overlaps {} of spec.networks[{first}] ({}): give each network a range of its own",
                network.cidr, other.cidr, other.name
            );
            fields.wrong(format!("spec.networks[{index}].cidr"), message);
        }
    }
}
