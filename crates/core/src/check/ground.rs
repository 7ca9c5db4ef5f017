//! One tenant against the host's ground.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Finding, FindingReason};
use crate::host::{Ground, Host};
use crate::names::ProviderName;
use crate::tenant::{Compute, ValidatedTenant};

/// All that the host does not grant to this tenant.
pub(super) fn check(tenant: &ValidatedTenant, hosts: &BTreeMap<ProviderName, Host>) -> Vec<Finding> {
    let Some(compute) = &tenant.compute else { return Vec::new() };
    let Some(host) = hosts.get(&compute.provider) else { return vec![unknown_provider(compute, hosts)] };
    let mut findings = networks(tenant, host);
    findings.extend(servers(tenant, host));
    findings
}

fn unknown_provider(compute: &Compute, hosts: &BTreeMap<ProviderName, Host>) -> Finding {
    let known: Vec<_> = hosts.keys().map(ProviderName::as_str).collect();
    let known = if known.is_empty() {
        "none is defined".to_owned()
    } else {
        format!("there is {}", known.join(", "))
    };
    Finding::blocking(
        "spec.compute.provider".to_owned(),
        FindingReason::UnknownProvider,
        format!("there is no HostProvider {}: {known}", compute.provider),
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
