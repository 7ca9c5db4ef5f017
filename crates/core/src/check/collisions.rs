//! Tenants against each other: two must never want the same VLAN, addresses or names.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::backup::{Night, night};
use super::{Finding, FindingReason};
use crate::firewall::Protocol;
use crate::names::{ProviderName, TenantName};
use crate::observation::{Observations, Present};
use crate::tenant::ValidatedTenant;

/// What all tenants claim, kept so that one tenant's collisions are found without reading the others' manifests.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// Hardly ever more than one of each, in no order.
    claims: BTreeMap<Claimed, Vec<Claim>>,
    /// What is asked of each second room, which has so many places for all.
    nights: BTreeMap<ProviderName, BTreeMap<TenantName, Night>>,
}

/// Something that only one tenant can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claimed {
    Vlan(Option<ProviderName>, u16),
    ServerName(Option<ProviderName>, String),
    ComputerName(String),
    /// A domain that is trusted, by its DNS name and by its NetBIOS name.
    Domain(ProviderName, String),
    Netbios(ProviderName, String),
    /// An address and, where one port of it is published, that port.
    Published(Ipv4Addr, Option<(Protocol, u16)>),
    /// First address and prefix length: in this order a range comes right before all that lie within it.
    Network(IpAddr, u8),
}

/// Who claims it, where in the manifest, and the name by which the real thing would be known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    tenant: TenantName,
    field: String,
    anchor: String,
}

impl Claims {
    /// Takes in what a tenant claims. What it claimed before must have been taken out.
    pub fn insert(&mut self, tenant: &ValidatedTenant) {
        for (what, claim) in claims(tenant) {
            self.claims.entry(what).or_insert_with(|| Vec::with_capacity(1)).push(claim);
        }
        if let Some((room, night)) = night(tenant) {
            self.nights.entry(room.clone()).or_default().insert(tenant.name.clone(), night);
        }
    }

    /// Takes out what a tenant claimed.
    pub fn remove(&mut self, tenant: &ValidatedTenant) {
        for (what, claim) in claims(tenant) {
            if let Some(claimants) = self.claims.get_mut(&what) {
                claimants.retain(|other| *other != claim);
                if claimants.is_empty() {
                    self.claims.remove(&what);
                }
            }
        }
        if let Some(backup) = &tenant.backup
            && let Some(nights) = self.nights.get_mut(&backup.provider)
        {
            nights.remove(&tenant.name);
        }
    }

    /// What the tenants ask of a second room.
    pub(super) fn nights(&self, room: &ProviderName) -> impl Iterator<Item = (&TenantName, &Night)> {
        self.nights.get(room).into_iter().flatten()
    }

    /// The collisions of one tenant with all others.
    pub(super) fn collisions(&self, tenant: &ValidatedTenant, observations: &Observations) -> Vec<Finding> {
        let held = Held { observations };
        let mut findings = Vec::new();
        for (what, claim) in claims(tenant) {
            for (shared, other) in self.others(&what, &tenant.name) {
                findings.push(finding(
                    &claim,
                    other,
                    &shared,
                    held.holds(&claim, &what),
                    held.holds(other, &what),
                ));
            }
        }
        findings
    }

    /// Who else claims it, or for a network any part of it.
    fn others<'a>(&'a self, what: &Claimed, tenant: &TenantName) -> Vec<(String, &'a Claim)> {
        let shared: Vec<&Claimed> = match what {
            Claimed::Network(first, length) => self.overlapping(*first, *length),
            Claimed::Published(address, port) => self.published(*address, *port),
            single => vec![single],
        }
        .into_iter()
        .filter_map(|what| self.claims.get_key_value(what).map(|(key, _)| key))
        .collect();
        shared
            .into_iter()
            .flat_map(|what| self.claims[what].iter().map(move |claim| (what.to_string(), claim)))
            .filter(|(_, claim)| claim.tenant != *tenant)
            .collect()
    }

    /// A whole address and each port of it get in each other's way; two ports do not.
    fn published(&self, address: Ipv4Addr, port: Option<(Protocol, u16)>) -> Vec<&Claimed> {
        let from = Claimed::Published(address, None);
        let to = Claimed::Published(address, Some((Protocol::Udp, u16::MAX)));
        let all = self.claims.range(from..=to).map(|(what, _)| what);
        all.filter(|what| match what {
            Claimed::Published(_, other) => port.is_none() || other.is_none() || *other == port,
            _ => false,
        })
        .collect()
    }

    /// Ranges of addresses nest or are disjoint: those that hold this one are found by its prefixes, those within it
    /// stand right behind it.
    fn overlapping(&self, first: IpAddr, length: u8) -> Vec<&Claimed> {
        let Ok(network) = IpNet::new(first, length) else { return Vec::new() };
        let outer = (0..length).filter_map(|shorter| {
            let outer = IpNet::new(first, shorter).ok()?.trunc();
            self.claims.get_key_value(&Claimed::Network(outer.network(), shorter)).map(|(key, _)| key)
        });
        let from = Claimed::Network(first, length);
        let to = Claimed::Network(network.broadcast(), u8::MAX);
        let inner = self.claims.range(from..=to).map(|(key, _)| key).filter(move |key| {
            matches!(key, Claimed::Network(inner, shorter) if network.contains(inner) && *shorter >= length)
        });
        outer.chain(inner).collect()
    }
}

impl std::fmt::Display for Claimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vlan(_, vlan) => write!(f, "VLAN {vlan} is also wanted by"),
            Self::ServerName(_, name) => write!(f, "the server name {name} is also wanted by"),
            Self::ComputerName(name) => write!(f, "the computer name {name} is also wanted by"),
            Self::Domain(_, name) => write!(f, "the domain {name} is also trusted by"),
            Self::Netbios(_, name) => write!(f, "the NetBIOS name {name} is also that of"),
            Self::Published(address, None) => write!(f, "the address {address} is also published by"),
            Self::Published(address, Some((_, port))) => {
                write!(f, "port {port} of {address} is also published by")
            }
            Self::Network(first, length) => write!(f, "it shares addresses with {first}/{length} of"),
        }
    }
}

fn claims(tenant: &ValidatedTenant) -> Vec<(Claimed, Claim)> {
    let provider = tenant.compute.as_ref().map(|compute| compute.provider.clone());
    let claim =
        |field: String, anchor: &str| Claim { tenant: tenant.name.clone(), field, anchor: anchor.to_owned() };
    // Servers and firewall are reached by one set of switches each.
    let mut carriers: Vec<Option<ProviderName>> = tenant.carriers().cloned().map(Some).collect();
    if carriers.is_empty() {
        carriers.push(None);
    }
    let networks = tenant.networks.iter().enumerate().flat_map(|(index, network)| {
        let field = |name| format!("spec.networks[{index}].{name}");
        let (cidr, name) = (&network.cidr, network.name.as_str());
        let vlan = |carrier: &Option<ProviderName>| {
            (Claimed::Vlan(carrier.clone(), network.vlan), claim(field("vlan"), name))
        };
        let range = (Claimed::Network(cidr.network(), cidr.prefix_len()), claim(field("cidr"), name));
        carriers.iter().map(vlan).chain([range]).collect::<Vec<_>>()
    });
    // Both systems compare names without regard to case.
    let servers = tenant.servers.iter().enumerate().flat_map(|(index, server)| {
        let field = |name| format!("spec.servers[{index}].{name}");
        [
            (
                Claimed::ServerName(provider.clone(), server.name.to_lowercase()),
                claim(field("name"), &server.name),
            ),
            (
                Claimed::ComputerName(server.computer_name.to_lowercase()),
                claim(field("computerName"), &server.name),
            ),
        ]
    });
    let published = tenant.firewall.iter().flat_map(|firewall| &firewall.published).map(|it| {
        let port = it.port.map(|port| (port.protocol, port.external));
        (Claimed::Published(it.external, port), claim(format!("{}.external", it.written.origin), &it.name))
    });
    let domains = tenant.directory.iter().flat_map(|directory| {
        let (provider, domain) = (&directory.provider, &directory.domain);
        [
            (
                Claimed::Domain(provider.clone(), domain.clone()),
                claim("spec.directory.domain".to_owned(), domain),
            ),
            (
                Claimed::Netbios(provider.clone(), directory.netbios.clone()),
                claim("spec.directory.netbiosName".to_owned(), domain),
            ),
        ]
    });
    networks.chain(servers).chain(published).chain(domains).collect()
}

/// A collision never stops those who already hold the thing.
fn finding(claim: &Claim, other: &Claim, what: &str, holds: bool, other_holds: bool) -> Finding {
    let remedy = match (holds, other_holds) {
        (false, true) => format!("{} has it already, choose another", other.tenant),
        (true, false) => format!("it stays with this tenant, {} must choose another", other.tenant),
        _ => "one of the two must choose another".to_owned(),
    };
    Finding {
        field: claim.field.clone(),
        reason: FindingReason::Collision,
        with: Some(other.tenant.clone()),
        message: format!("{what} {} ({}): {remedy}", other.tenant, other.field),
        blocks: !holds,
    }
}

/// What stands in the real world already.
struct Held<'a> {
    observations: &'a Observations,
}

impl Held<'_> {
    fn holds(&self, claim: &Claim, what: &Claimed) -> bool {
        self.things(claim).any(|present| match what {
            // A network that is about to change its VLAN exists, but does not hold the new one.
            Claimed::Vlan(_, vlan) => {
                present.fields.get("vlan").is_none_or(|seen| seen.as_u64() == Some(u64::from(*vlan)))
            }
            Claimed::ServerName(..)
            | Claimed::ComputerName(_)
            | Claimed::Domain(..)
            | Claimed::Netbios(..)
            | Claimed::Published(..)
            | Claimed::Network(..) => true,
        })
    }

    fn things<'b>(&'b self, claim: &'b Claim) -> impl Iterator<Item = &'b Present> {
        self.observations
            .values()
            .flat_map(|observation| observation.presents(&claim.tenant))
            .filter(|(key, _)| key.name == claim.anchor)
            .map(|(_, present)| present)
    }
}
