//! One tenant against the host's ground.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Finding, FindingReason};
use crate::firewall::{AddressKind, Firewall, Side};
use crate::host::{Ground, Host};
use crate::names::ProviderName;
use crate::tenant::ValidatedTenant;

/// All that the host does not grant to this tenant.
pub(super) fn check(tenant: &ValidatedTenant, hosts: &BTreeMap<ProviderName, Host>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, provider, field) in tenant.uses().filter(|(_, provider, _)| !hosts.contains_key(*provider)) {
        findings.push(unknown_provider(field, provider, hosts));
    }
    // Networks lie where the servers are; a tenant without any has them on the firewall alone.
    if let Some(host) = tenant.carriers().next().and_then(|provider| hosts.get(provider)) {
        findings.extend(networks(tenant, host));
    }
    if let Some(host) = tenant.compute.as_ref().and_then(|compute| hosts.get(&compute.provider)) {
        findings.extend(servers(tenant, host));
    }
    findings.extend(tenant.firewall.iter().flat_map(|firewall| outside_addresses(firewall, hosts)));
    findings
}

/// What a tenant says of addresses that are not its own must not be about those that the host gives to others.
fn outside_addresses(firewall: &Firewall, hosts: &BTreeMap<ProviderName, Host>) -> Vec<Finding> {
    let pools: BTreeSet<&IpNet> = hosts.values().flat_map(|host| &host.ground.networks).collect();
    let touches = |first: &IpAddr, last: &IpAddr| {
        pools.iter().copied().find(|pool| pool.network() <= *last && *first <= pool.broadcast())
    };
    let addresses = firewall.addresses.iter().filter(|address| address.side == Side::Internet);
    let addresses = addresses.filter_map(|address| {
        let (first, last) = match &address.what {
            AddressKind::Network(net) => (net.network(), net.broadcast()),
            AddressKind::Range(first, last) => (*first, *last),
            AddressKind::Fqdn(_) => return None,
        };
        Some((&address.written.origin, format!("{first}-{last}"), touches(&first, &last)?))
    });
    let routes = firewall.routes.iter().filter_map(|route| {
        let pool = touches(&route.to.network(), &route.to.broadcast())?;
        Some((&route.written.origin, route.to.to_string(), pool))
    });
    let finding = |(field, what, pool): (&String, String, &IpNet)| {
        let message = format!(
            "{what} lies in {pool}, which the host gives to tenants, and in none of this tenant's networks: it may be \
             somebody else's"
        );
        Finding::blocking(field.clone(), FindingReason::OutsideGround, message)
    };
    addresses.chain(routes).map(finding).collect()
}

fn unknown_provider(field: &str, provider: &ProviderName, hosts: &BTreeMap<ProviderName, Host>) -> Finding {
    let known: Vec<_> = hosts.keys().map(ProviderName::as_str).collect();
    let known = if known.is_empty() {
        "none is defined".to_owned()
    } else {
        format!("there is {}", known.join(", "))
    };
    Finding::blocking(
        field.to_owned(),
        FindingReason::UnknownProvider,
        format!("there is no HostProvider {provider}: {known}"),
    )
}

fn networks(tenant: &ValidatedTenant, host: &Host) -> Vec<Finding> {
    let ground = &host.ground;
    let mut findings = Vec::new();
    let mut outside = |field: String, message: String| {
        findings.push(Finding::blocking(field, FindingReason::OutsideGround, message));
    };
    for (index, network) in tenant.networks.iter().enumerate() {
        let field = |name: &str| format!("spec.networks[{index}].{name}");
        if !ground.vlans.iter().any(|range| range.contains(&network.vlan)) {
            outside(
                field("vlan"),
                format!(
                    "VLAN {} is not among those that {} grants to tenants: {}",
                    network.vlan,
                    host.name,
                    list(ground.vlans.iter().map(|range| format!("{}-{}", range.start(), range.end())))
                ),
            );
        }
        if !ground.networks.iter().any(|pool| pool.contains(&network.cidr)) {
            outside(
                field("cidr"),
                format!(
                    "{} lies in no address pool that {} grants to tenants: {}",
                    network.cidr,
                    host.name,
                    list(ground.networks.iter().map(IpNet::to_string))
                ),
            );
        }
        if let Some((gateway, reserved)) =
            network.gateway.and_then(|gateway| Some((gateway, reserved(ground, gateway)?)))
        {
            outside(
                field("gateway"),
                format!("{gateway} is the host's own ({reserved}): choose another address"),
            );
        }
    }
    findings
}

fn servers(tenant: &ValidatedTenant, host: &Host) -> Vec<Finding> {
    let ground = &host.ground;
    let mut findings = Vec::new();
    let mut outside = |field: String, message: String| {
        findings.push(Finding::blocking(field, FindingReason::OutsideGround, message));
    };
    for (index, server) in tenant.servers.iter().enumerate() {
        if !ground.name_prefixes.iter().any(|prefix| server.name.starts_with(prefix)) {
            outside(
                format!("spec.servers[{index}].name"),
                format!(
                    "{} begins with none of the prefixes that {} grants to tenants: {}",
                    server.name,
                    host.name,
                    list(ground.name_prefixes.iter())
                ),
            );
        }
        if !ground.templates.contains(&server.template) {
            outside(
                format!("spec.servers[{index}].template"),
                format!(
                    "{} is not in the catalogue of {}: {}",
                    server.template,
                    host.name,
                    list(ground.templates.iter())
                ),
            );
        }
        for (at, interface) in server.interfaces.iter().enumerate() {
            if let Some((address, reserved)) =
                interface.address.and_then(|address| Some((address, reserved(ground, address)?)))
            {
                outside(
                    format!("spec.servers[{index}].interfaces[{at}].address"),
                    format!("{address} is the host's own ({reserved}): choose another address"),
                );
            }
        }
    }
    findings
}

fn reserved(ground: &Ground, address: IpAddr) -> Option<&IpNet> {
    ground.reserved.iter().find(|reserved| reserved.contains(&address))
}

fn list(items: impl Iterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<_> = items.map(|item| item.as_ref().to_owned()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
