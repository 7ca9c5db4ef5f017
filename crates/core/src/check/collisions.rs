//! Tenants against each other: two must never want the same VLAN, addresses or names.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{Finding, FindingReason};
use crate::names::{ProviderName, TenantName};
use crate::observation::{Observation, Present, Seen};
use crate::tenant::{Network, ValidatedTenant};

type Tenants = BTreeMap<TenantName, ValidatedTenant>;

/// What one tenant claims for itself.
#[derive(Clone, Copy)]
struct Claim<'a> {
    tenant: &'a TenantName,
    field: Field<'a>,
}

/// Where the claim stands in the manifest, and the name by which the real thing would be known.
#[derive(Clone, Copy)]
struct Field<'a> {
    list: &'static str,
    index: usize,
    name: &'static str,
    anchor: &'a str,
}

impl Claim<'_> {
    fn path(&self) -> String {
        format!("spec.{}[{}].{}", self.field.list, self.field.index, self.field.name)
    }
}

/// All collisions, each told to both tenants.
pub(super) fn check(
    tenants: &Tenants,
    observations: &BTreeMap<ProviderName, Observation>,
) -> Vec<(TenantName, Finding)> {
    let held = Held { observations };
    let mut found = Vec::new();
    for (what, claims) in equal_claims(tenants) {
        let holders: BTreeSet<_> =
            claims.iter().filter(|claim| held.holds(claim, &what)).map(|claim| claim.tenant).collect();
        for claim in &claims {
            for other in claims.iter().filter(|other| other.tenant != claim.tenant) {
                found.push(finding(claim, other, &what.to_string(), &holders));
            }
        }
    }
    for (a, b, what) in overlapping_networks(tenants) {
        let holders: BTreeSet<_> =
            [a, b].iter().filter(|claim| held.exists(claim)).map(|c| c.tenant).collect();
        found.push(finding(&a, &b, &what, &holders));
        found.push(finding(&b, &a, &what, &holders));
    }
    found
}

fn finding(
    claim: &Claim<'_>,
    other: &Claim<'_>,
    what: &str,
    holders: &BTreeSet<&TenantName>,
) -> (TenantName, Finding) {
    let holds = holders.contains(claim.tenant);
    let remedy = if holders.contains(other.tenant) && !holds {
        format!("{} has it already, choose another", other.tenant)
    } else if holds && !holders.contains(other.tenant) {
        format!("it stays with this tenant, {} must choose another", other.tenant)
    } else {
        "one of the two must choose another".to_owned()
    };
    let message = format!("{what} is also wanted by {} ({}): {remedy}", other.tenant, other.path());
    let finding = Finding {
        field: claim.path(),
        reason: FindingReason::Collision,
        with: Some(other.tenant.clone()),
        message,
        blocks: !holds,
    };
    (claim.tenant.clone(), finding)
}

/// Something that only one tenant can have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Single {
    Vlan(Option<ProviderName>, u16),
    ServerName(Option<ProviderName>, String),
    ComputerName(String),
}

impl std::fmt::Display for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vlan(_, vlan) => write!(f, "VLAN {vlan}"),
            Self::ServerName(_, name) => write!(f, "the server name {name}"),
            Self::ComputerName(name) => write!(f, "the computer name {name}"),
        }
    }
}

fn equal_claims(tenants: &Tenants) -> BTreeMap<Single, Vec<Claim<'_>>> {
    let mut claims: BTreeMap<Single, Vec<Claim<'_>>> = BTreeMap::new();
    for tenant in tenants.values() {
        let provider = tenant.compute.as_ref().map(|compute| compute.provider.clone());
        let mut claim = |what, list, index, name, anchor| {
            let field = Field { list, index, name, anchor };
            claims.entry(what).or_default().push(Claim { tenant: &tenant.name, field });
        };
        for (index, network) in tenant.networks.iter().enumerate() {
            claim(Single::Vlan(provider.clone(), network.vlan), "networks", index, "vlan", &network.name);
        }
        for (index, server) in tenant.servers.iter().enumerate() {
            // Both systems compare names without regard to case.
            let name = server.name.to_lowercase();
            claim(Single::ServerName(provider.clone(), name), "servers", index, "name", &server.name);
            let name = server.computer_name.to_lowercase();
            claim(Single::ComputerName(name), "servers", index, "computerName", &server.name);
        }
    }
    claims.retain(|_, claims| claims.windows(2).any(|pair| pair[0].tenant != pair[1].tenant));
    claims
}

/// Pairs of networks of different tenants that share addresses. CIDR ranges nest or are disjoint, so in the order of
/// their first address a stack of open ranges finds every pair.
fn overlapping_networks(tenants: &Tenants) -> Vec<(Claim<'_>, Claim<'_>, String)> {
    let mut all: Vec<(IpNet, Claim<'_>)> = tenants
        .values()
        .flat_map(|tenant| {
            tenant.networks.iter().enumerate().map(move |(index, network)| {
                (network.cidr, Claim { tenant: &tenant.name, field: cidr_field(index, network) })
            })
        })
        .collect();
    all.sort_by_key(|(cidr, claim)| (cidr.network(), cidr.prefix_len(), claim.tenant, claim.field.index));
    let mut open: Vec<(IpNet, Claim<'_>)> = Vec::new();
    let mut pairs = Vec::new();
    for (cidr, claim) in all {
        while open.last().is_some_and(|(outer, _)| !outer.contains(&cidr)) {
            open.pop();
        }
        for (outer, other) in open.iter().filter(|(_, other)| other.tenant != claim.tenant) {
            let what = if *outer == cidr { cidr.to_string() } else { format!("{cidr} (within {outer})") };
            pairs.push((*other, claim, what));
        }
        open.push((cidr, claim));
    }
    pairs
}

fn cidr_field(index: usize, network: &Network) -> Field<'_> {
    Field { list: "networks", index, name: "cidr", anchor: &network.name }
}

/// What stands in the real world already.
struct Held<'a> {
    observations: &'a BTreeMap<ProviderName, Observation>,
}

impl Held<'_> {
    fn holds(&self, claim: &Claim<'_>, what: &Single) -> bool {
        match what {
            // A network that is about to change its VLAN exists, but does not hold the new one.
            Single::Vlan(_, vlan) => self.things(claim).any(|present| {
                present.fields.get("vlan").is_none_or(|seen| seen.as_u64() == Some(u64::from(*vlan)))
            }),
            Single::ServerName(..) | Single::ComputerName(_) => self.exists(claim),
        }
    }

    fn exists(&self, claim: &Claim<'_>) -> bool {
        self.things(claim).next().is_some()
    }

    fn things<'b>(&'b self, claim: &Claim<'b>) -> impl Iterator<Item = &'b Present> {
        let anchor = claim.field.anchor;
        self.observations
            .values()
            .filter_map(|observation| observation.seen.get(claim.tenant))
            .flatten()
            .filter(move |(key, _)| key.name == anchor)
            .filter_map(|(_, seen)| match seen {
                Seen::Present(present) => Some(present.as_ref()),
                Seen::InProgress { .. } | Seen::Lost { .. } | Seen::Unknown(_) => None,
            })
    }
}
