//! `spec.firewall`: what the firewall of the host lets through for one municipality, as the platform team writes it.

// The derive of KubeSchema repeats every type inside a function, where `pub` reaches nothing.
#![allow(unreachable_pub)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// The firewall of a municipality.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Firewall {
    /// Name of the HostProvider that it stands on. It cannot change. Example: fortigate-main.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    #[x_kube(validation = rules::FIREWALL_PROVIDER_IMMUTABLE)]
    pub provider: String,
    /// Shared: a zone of its own in the host's virtual firewall. Dedicated: a virtual firewall (VDOM) of its own,
    /// linked to the host's; the licence limits how many there can be. It cannot change.
    #[serde(default)]
    #[x_kube(validation = rules::VDOM_IMMUTABLE)]
    pub vdom: Vdom,
    /// What stands on the firewall already for the networks and servers and is taken over, after a migration by hand for
    /// instance. Everything else says `adopt` on its own entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// Rule sets of the host's catalogue with their versions, in the order in which their rules stand before those
    /// below. Example: [municipality-baseline@3].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 3, max = 70), regex(pattern = rules::TEMPLATE)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub rule_sets: Vec<String>,
    /// Address objects besides the networks and servers, which rules name as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_OBJECTS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub addresses: Vec<Address>,
    /// Groups of addresses, networks and servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_OBJECTS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub address_groups: Vec<Group>,
    /// Services besides those that the firewall knows by itself, such as HTTPS and SMB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_OBJECTS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub services: Vec<Service>,
    /// Groups of services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_OBJECTS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub service_groups: Vec<Group>,
    /// Times of the week at which a rule holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub schedules: Vec<Schedule>,
    /// Servers that are reached from outside, each by an address that the HostProvider grants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub published: Vec<Published>,
    /// Networks that are reached by a router of the municipality's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub routes: Vec<Route>,
    /// Rules, the first that fits counts. What none of them lets through is not let through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_RULES))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub rules: Vec<FirewallRule>,
}

/// What stands on the firewall for networks and servers and is taken over. Taking over writes our mark into the comment
/// and nothing else; what would then change is shown as steps of their own. Each keeps the name that it has there.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Adopt {
    /// The zone that holds the interfaces of the networks, by its name. Example: ibestad-zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 35))]
    pub zone: Option<String>,
    /// What stands there for networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_NETWORKS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub networks: Vec<AdoptNetwork>,
    /// What stands there for servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_SERVERS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub servers: Vec<AdoptServer>,
}

/// What stands on the firewall for a network: its interface, its address object, or both.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::ADOPTS_SOMETHING)]
pub struct AdoptNetwork {
    /// Name of one of spec.networks. Example: servers.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub name: String,
    /// Its VLAN interface, by its name. VLAN and parent must be the network's own already. Example: vlan1310.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub interface: Option<String>,
    /// Its address object, by its name. Example: NET-ibestad-servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 79))]
    pub address: Option<String>,
}

/// What stands on the firewall for a server.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptServer {
    /// Name of one of spec.servers, one with a single address. Example: ibe-fs01.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub name: String,
    /// Its address object, by its name. Example: IBE-FS01.
    #[schemars(length(min = 1, max = 79))]
    pub address: String,
}

/// What a rule set of the catalogue gives: the part of a firewall that means the same for every municipality.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fragment {
    /// As in a Tenant.
    pub addresses: Vec<Address>,
    /// As in a Tenant.
    pub address_groups: Vec<Group>,
    /// As in a Tenant.
    pub services: Vec<Service>,
    /// As in a Tenant.
    pub service_groups: Vec<Group>,
    /// As in a Tenant.
    pub schedules: Vec<Schedule>,
    /// As in a Tenant.
    pub rules: Vec<FirewallRule>,
}

impl Fragment {
    /// The first of it that would take something over, for people.
    pub(crate) fn adopts(&self) -> Option<String> {
        let addresses = self.addresses.iter().map(|it| ("address", &it.name, &it.adopt));
        let groups = self.address_groups.iter().map(|it| ("address group", &it.name, &it.adopt));
        let services = self.services.iter().map(|it| ("service", &it.name, &it.adopt));
        let service_groups = self.service_groups.iter().map(|it| ("service group", &it.name, &it.adopt));
        let rules = self.rules.iter().map(|it| ("rule", &it.id, &it.adopt));
        let mut all = addresses.chain(groups).chain(services).chain(service_groups).chain(rules);
        all.find(|(.., adopt)| adopt.is_some()).map(|(what, name, _)| format!("{what} {name}"))
    }
}

/// Whether a municipality shares the host's virtual firewall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum Vdom {
    /// A zone of its own in the host's.
    #[default]
    Shared,
    /// One of its own.
    Dedicated,
}

/// An address object: exactly one of cidr, range and fqdn.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::ADDRESS_IS_ONE)]
pub struct Address {
    /// Name, a DNS label of at most 32 characters; not that of a network or server. Example: fagsystem-supplier.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub name: String,
    /// A network or one address. Within the municipality's networks, or outside of all that the host gives to tenants.
    /// Example: 198.51.100.0/28.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 43))]
    pub cidr: Option<String>,
    /// The first and the last address. Example: 10.13.10.50-10.13.10.60.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 79))]
    pub range: Option<String>,
    /// The name of a host whose addresses DNS gives. Example: updates.example.no.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub fqdn: Option<String>,
    /// An existing address object to take over instead of making one, by its name.
    /// Taking over writes our mark into its comment and nothing else; what would then change is shown as steps of their
    /// own. It keeps the name that it has there. Example: H-fagsystem-supplier.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 79))]
    pub adopt: Option<String>,
    /// What it is for, shown on the firewall.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 120))]
    pub comment: String,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    /// Name, a DNS label of at most 32 characters. Example: suppliers.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub name: String,
    /// Names of its members: of addresses, networks and servers, or of services.
    #[schemars(length(min = 1, max = 128), inner(length(min = 1, max = 79)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub members: Vec<String>,
    /// An existing group to take over instead of making one, by its name.
    /// Taking over writes our mark into its comment and nothing else; what would then change is shown as steps of their
    /// own. It keeps the name that it has there. Example: G-suppliers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 79))]
    pub adopt: Option<String>,
    /// What it is for, shown on the firewall.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 120))]
    pub comment: String,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::SERVICE_HAS_PORTS)]
pub struct Service {
    /// Name, a DNS label of at most 32 characters. Example: fagsystem.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub name: String,
    /// TCP ports and ranges of them. Example: "8443" and "9000-9010".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 11), regex(pattern = rules::PORTS)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub tcp: Vec<String>,
    /// UDP ports and ranges of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 11), regex(pattern = rules::PORTS)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub udp: Vec<String>,
    /// An existing service to take over instead of making one, by its name.
    /// Taking over writes our mark into its comment and nothing else; what would then change is shown as steps of their
    /// own. It keeps the name that it has there. Example: TCP-8443.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 79))]
    pub adopt: Option<String>,
    /// What it is for, shown on the firewall.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 120))]
    pub comment: String,
}

/// Times that come again every week, by the firewall's own clock. An existing one cannot be taken over: FortiOS gives
/// schedules no comment that could carry our mark, so one of another name is made beside it.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Name, a DNS label of at most 16 characters. Example: office-hours.
    #[schemars(length(min = 1, max = 16), regex(pattern = rules::LABEL))]
    pub name: String,
    /// Days of the week. Example: [Monday, Tuesday].
    #[schemars(length(min = 1, max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Day>,
    /// When it begins. Example: "07:00".
    #[schemars(length(max = 5), regex(pattern = rules::TIME_OF_DAY))]
    pub start: String,
    /// When it ends; on the next day where that lies before the start. Example: "17:00".
    #[schemars(length(max = 5), regex(pattern = rules::TIME_OF_DAY))]
    pub end: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[allow(missing_docs)] // Days of the week; a text here would make the schema a choice of constants.
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
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Published {
    /// Name, a DNS label of at most 32 characters; rules name it in `to`. Example: citizen-portal.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub name: String,
    /// The address by which it is reached, one of those that the HostProvider grants. Example: 203.0.113.10.
    #[schemars(length(min = 7, max = 15))]
    #[x_kube(validation = rules::ADDRESS)]
    pub external: String,
    /// Name of the server; its first address with which it stands in a network. Example: ibe-app01.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub server: String,
    /// The one port that is passed on; the whole address where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PortForward>,
    /// An existing virtual IP to take over instead of making one, by its name.
    /// Taking over writes our mark into its comment and nothing else; what would then change is shown as steps of their
    /// own. It keeps the name that it has there. Example: VIP-portal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 79))]
    pub adopt: Option<String>,
    /// What it is for, shown on the firewall.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 120))]
    pub comment: String,
}

/// A port that is passed on.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortForward {
    /// Its protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// The port outside. Example: 443.
    #[schemars(range(min = 1, max = 65535))]
    pub external: i32,
    /// The port of the server; the same as outside where it is left out. Example: 8443.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub internal: Option<i32>,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    TCP,
    /// UDP.
    UDP,
}

/// A network behind a router.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Name, a DNS label of at most 32 characters. Example: water-works.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub name: String,
    /// The network that is reached. It must not overlap what the host gives to tenants. Example: 192.168.40.0/24.
    #[schemars(length(min = 1, max = 43))]
    #[x_kube(validation = rules::CIDR, validation = rules::CIDR_HOST_BITS)]
    pub to: String,
    /// The router, an address in one of spec.networks. Example: 10.13.10.254.
    #[schemars(length(min = 1, max = 39))]
    #[x_kube(validation = rules::ADDRESS)]
    pub via: String,
    /// An existing static route to take over instead of making one, by its sequence number.
    /// Taking over writes our mark into its comment and nothing else; what would then change is shown as steps of their
    /// own. Example: "12".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10), regex(pattern = rules::ID))]
    pub adopt: Option<String>,
    /// What it is for, shown on the firewall.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 120))]
    pub comment: String,
}

// The derive of KubeSchema brings a `Rule` of its own.
/// A rule.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirewallRule {
    /// What it is known by, a DNS label of at most 32 characters. Example: clients-to-files.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub id: String,
    /// Where the traffic comes from: names of networks, servers, addresses and groups, raw addresses, the word
    /// internet, or a place of the host's (host:NAME for all of it, host:NAME/OBJECT for one address object). All of
    /// them on one side of the firewall. Example: [clients].
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 160)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub from: Vec<String>,
    /// Where it goes, written as in `from`, or names of published servers. Example: [ibe-fs01].
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 160)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub to: Vec<String>,
    /// Services: those above, or such as the firewall knows by itself. Example: [SMB, HTTPS].
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 79)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub services: Vec<String>,
    /// Whether it lets the traffic pass.
    #[serde(default)]
    pub action: Action,
    /// What is logged: all sessions, what a security profile finds, or nothing.
    #[serde(default)]
    pub log: Log,
    /// Whether the source is hidden behind an address of the host's. Defaults to true for what goes to the internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat: Option<bool>,
    /// One of spec.firewall.schedules; always where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = rules::LABEL))]
    pub schedule: Option<String>,
    /// Security profiles that the HostProvider offers, by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Profiles>,
    /// Set to false to keep the rule without effect.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub enabled: bool,
    /// An existing policy to take over instead of making one, by its id or name.
    /// Taking over writes our mark into its comment and nothing else; what would then change is shown as steps of their
    /// own. Example: "117".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 35))]
    pub adopt: Option<String>,
    /// What it is for, shown on the firewall.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 400))]
    pub comment: String,
}

/// What becomes of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It passes.
    #[default]
    Accept,
    /// It does not.
    Deny,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Log {
    /// Every session.
    All,
    /// What a security profile finds.
    #[default]
    Security,
    /// Nothing.
    None,
}

/// Security profiles by their names on the firewall.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profiles {
    /// Virus scanning.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 47))]
    pub antivirus: Option<String>,
    /// Intrusion prevention.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 47))]
    pub ips: Option<String>,
    /// Filtering of web addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 47))]
    pub web_filter: Option<String>,
    /// Control of applications.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 47))]
    pub application_control: Option<String>,
    /// Inspection of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 47))]
    pub ssl_inspection: Option<String>,
}

fn yes() -> bool {
    true
}
