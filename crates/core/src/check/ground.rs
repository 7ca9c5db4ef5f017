//! One tenant against the host's ground and its own quota.

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
    let mut findings = quota(tenant, compute);
    match hosts.get(&compute.provider) {
        Some(host) => {
            findings.extend(networks(tenant, host));
            findings.extend(servers(tenant, host));
        }
        None => findings.push(unknown_provider(compute, hosts)),
    }
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

fn quota(tenant: &ValidatedTenant, compute: &Compute) -> Vec<Finding> {
    let quota = compute.quota;
    let storage = |disks: &[crate::tenant::Disk]| disks.iter().map(|disk| disk.size).sum::<u64>();
    let vcpus: u64 = tenant.servers.iter().map(|server| u64::from(server.vcpus)).sum();
    let memory: u64 = tenant.servers.iter().map(|server| server.memory).sum();
    let disks: u64 = tenant.servers.iter().map(|server| storage(&server.disks)).sum();
    let gib = |bytes: u64| format!("{} GiB", bytes.div_ceil(1 << 30));
    [
        ("vcpus", vcpus, u64::from(quota.vcpus), vcpus.to_string(), quota.vcpus.to_string()),
        ("memory", memory, quota.memory, gib(memory), gib(quota.memory)),
        ("storage", disks, quota.storage, gib(disks), gib(quota.storage)),
    ]
    .into_iter()
    .filter(|(_, used, limit, ..)| used > limit)
    .map(|(what, _, _, used, limit)| {
        Finding::blocking(
            format!("spec.compute.quota.{what}"),
            FindingReason::QuotaExceeded,
            format!("the servers use {used} together and the quota is {limit}: raise the quota or use less"),
        )
    })
    .collect()
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
