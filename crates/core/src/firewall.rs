//! A tenant's firewall as its manifest and the rule sets that it pins describe it: objects, and rules in their order.
//!
//! What stands here is free of any firewall's own terms. A plugin turns it into the objects of its system; what a name
//! refers to was settled by validation, so that nothing here refers to what the tenant does not have.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::names::ProviderName;

/// The firewall of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// The `HostProvider` that it stands on.
    pub provider: ProviderName,
    /// Whether the tenant has a virtual firewall of its own.
    pub vdom: Vdom,
    /// What stands on the firewall for the tenant's networks and servers and is taken over.
    pub adopt: Adopted,
    /// Address objects, by their names within the tenant.
    pub addresses: Vec<Address>,
    /// Groups of addresses.
    pub address_groups: Vec<Group>,
    /// Services besides those that the firewall knows by itself.
    pub services: Vec<Service>,
    /// Groups of services.
    pub service_groups: Vec<Group>,
    /// Times at which a rule holds.
    pub schedules: Vec<Schedule>,
    /// What is reached from outside, by an address of the host's.
    pub published: Vec<Published>,
    /// Networks behind a router of the tenant's.
    pub routes: Vec<Route>,
    /// All rules, the first that fits counts.
    pub rules: Vec<Rule>,
}

/// What stands on the firewall for networks and servers, which have no entry of their own there, and is taken over. Each
/// by its name on the firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The zone of all networks.
    pub zone: Option<String>,
    /// The interface of a network, by the network's name.
    pub interfaces: BTreeMap<String, String>,
    /// The address object of a network or server, by the name of that.
    pub addresses: BTreeMap<String, String>,
}

impl Firewall {
    /// What is to be taken over, each by its name or id on the firewall.
    pub fn adoptions(&self) -> impl Iterator<Item = &String> {
        let Adopted { zone, interfaces, addresses } = &self.adopt;
        let named = zone.iter().chain(interfaces.values()).chain(addresses.values());
        let written = (self.addresses.iter().map(|it| &it.written))
            .chain(self.address_groups.iter().map(|it| &it.written))
            .chain(self.services.iter().map(|it| &it.written))
            .chain(self.service_groups.iter().map(|it| &it.written))
            .chain(self.published.iter().map(|it| &it.written))
            .chain(self.routes.iter().map(|it| &it.written))
            .chain(self.rules.iter().map(|it| &it.written));
        named.chain(written.filter_map(|it| it.adopt.as_ref()))
    }
}

/// Whether a tenant shares the host's virtual firewall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vdom {
    /// It has a zone of its own in one that it shares with others.
    #[default]
    Shared,
    /// It has one of its own, linked to the host's.
    Dedicated,
}

/// Where something is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The field of the manifest, such as `spec.firewall.rules[0]`, or that of the tenant's `ruleSets` entry.
    pub origin: String,
    /// What the manifest says about it, for those who read the firewall.
    pub comment: String,
    /// What stands on the firewall already and is taken over as this, by its name or id there.
    pub adopt: Option<String>,
}

/// An address object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Its name within the tenant, unique among addresses and address groups.
    pub name: String,
    /// What it stands for.
    pub what: AddressKind,
    /// On which side of the firewall it lies.
    pub side: Side,
    /// Where it is written.
    pub written: Written,
}

/// What an address object stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressKind {
    /// A network or one address; the host bits are zero.
    Network(IpNet),
    /// All addresses from the first to the last.
    Range(IpAddr, IpAddr),
    /// The addresses that DNS gives for a name.
    Fqdn(String),
}

/// On which side of the firewall something lies, which decides by what interface it is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Side {
    /// Behind the tenant's own networks.
    Tenant,
    /// The internet.
    Internet,
    /// A place of the host's, by its name in the `HostProvider`.
    Host(String),
}

/// A group of addresses or of services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name within the tenant.
    pub name: String,
    /// The names of its members within the tenant; for services also those that the firewall knows by itself.
    pub members: Vec<String>,
    /// For addresses: on which side of the firewall all of them lie.
    pub side: Side,
    /// Where it is written.
    pub written: Written,
}

/// A service of the tenant's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name within the tenant.
    pub name: String,
    /// TCP ports of the destination.
    pub tcp: Vec<RangeInclusive<u16>>,
    /// UDP ports of the destination.
    pub udp: Vec<RangeInclusive<u16>>,
    /// Where it is written.
    pub written: Written,
}

/// Times that come again every week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name within the tenant.
    pub name: String,
    /// Days of the week.
    pub days: Vec<Day>,
    /// Minutes after midnight at which it begins, by the firewall's own clock.
    pub start: u16,
    /// Minutes after midnight at which it ends; the next day's where it lies before the start.
    pub end: u16,
    /// Where it is written.
    pub written: Written,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "days of the week")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A server that is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its name within the tenant, unique among addresses, groups and published services.
    pub name: String,
    /// The address by which it is reached; the host grants it.
    pub external: Ipv4Addr,
    /// The server's own address.
    pub internal: Ipv4Addr,
    /// The one port that is passed on; all where there is none.
    pub port: Option<PortForward>,
    /// Where it is written.
    pub written: Written,
}

/// A port that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortForward {
    /// Its protocol.
    pub protocol: Protocol,
    /// The port outside.
    pub external: u16,
    /// The port of the server.
    pub internal: u16,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "their own names")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A network behind a router of the tenant's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name within the tenant.
    pub name: String,
    /// The network that is reached.
    pub to: IpNet,
    /// The router, an address in one of the tenant's networks.
    pub via: IpAddr,
    /// That network.
    pub network: String,
    /// Where it is written.
    pub written: Written,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id within the tenant; those of a rule set begin with the set's name and a dot.
    pub id: String,
    /// Where traffic comes from: all on one side of the firewall.
    pub from: Peers,
    /// Where it goes: all on one side.
    pub to: Peers,
    /// Services by their names: the tenant's own, or such as the firewall knows by itself. Never empty.
    pub services: Vec<String>,
    /// What becomes of the traffic.
    pub action: Action,
    /// What is logged of it.
    pub log: Log,
    /// Whether the source's address is hidden behind one of the host's.
    pub nat: bool,
    /// One of the tenant's schedules; always where there is none.
    pub schedule: Option<String>,
    /// Security profiles of the host's catalogue, by their names on the firewall.
    pub profiles: Profiles,
    /// Whether it holds at all.
    pub enabled: bool,
    /// Where it is written.
    pub written: Written,
}

/// Who a rule is about, all on one side of the firewall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// On which side they lie.
    pub side: Side,
    /// Who they are; never empty.
    pub members: Vec<Peer>,
}

/// One that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    /// Whoever is on that side.
    Any,
    /// A network of the tenant.
    Network(String),
    /// A server of the tenant, with all its addresses.
    Server(String),
    /// An address object of the tenant.
    Address(String),
    /// A group of address objects.
    Group(String),
    /// A published server, by its outer address.
    Published(String),
    /// An address object of the host's, by its name on the firewall, as the `HostProvider` lists it.
    Host(String),
}

/// What becomes of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// It passes.
    #[default]
    Accept,
    /// It does not.
    Deny,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Log {
    /// Every session.
    All,
    /// What a security profile found.
    #[default]
    Security,
    /// Nothing.
    None,
}

/// Security profiles, by their names on the firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profiles {
    /// Virus scanning.
    pub antivirus: Option<String>,
    /// Intrusion prevention.
    pub ips: Option<String>,
    /// Filtering of web addresses.
    pub web_filter: Option<String>,
    /// Control of applications.
    pub application_control: Option<String>,
    /// Inspection of TLS.
    pub ssl_inspection: Option<String>,
}

impl Profiles {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
