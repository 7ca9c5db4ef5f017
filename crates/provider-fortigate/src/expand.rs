//! What a tenant should have on a FortiGate. Pure.
//!
//! What a virtual firewall of its own needs besides stands in `dedicated`.

mod dedicated;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde_json::{Value as Json, json};
use vertskommune_core::domain::Inputs;
use vertskommune_core::firewall::{
    Action, AddressKind, Day, Firewall, Log, Peer, Peers, PortForward, Profiles, Protocol, Rule, Side, Vdom,
    Written,
};
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey};
use vertskommune_core::resource::Resource;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::violation::Violation;

use crate::marks::{
    self, ADDRESS, ADDRESS_GROUP, INTERFACE, ORDER, POLICY, ROUTE, SCHEDULE, SERVICE, SERVICE_GROUP, VIP,
    VIRTUAL_FIREWALL, ZONE,
};
use crate::names::{self, Names};
use crate::schema::{VDOM, table};
use crate::settings::Settings;

/// The resources of a tenant here; none where it has no firewall here.
pub(crate) fn expand(
    inputs: &Inputs,
    provider: &ProviderName,
    settings: &Settings,
) -> Result<Vec<Resource>, Vec<Violation>> {
    let tenant = &inputs.tenant;
    let Some(firewall) = tenant.firewall.as_ref().filter(|firewall| firewall.provider == *provider) else {
        return Ok(Vec::new());
    };
    let is_dedicated = firewall.vdom == Vdom::Dedicated;
    let vdom = if is_dedicated {
        names::vdom(inputs.installation.as_str(), tenant.name.as_str())
    } else {
        settings.vdom.clone()
    };
    let mut expansion = Expansion {
        inputs,
        tenant,
        firewall,
        provider,
        settings,
        names: Names::new(tenant.name.as_str(), firewall),
        vdom,
        is_dedicated,
        made: Vec::new(),
        wrong: Vec::new(),
    };
    expansion.not_offered();
    if is_dedicated {
        expansion.not_told_apart();
        expansion.virtual_firewall();
    }
    expansion.networks();
    expansion.addresses();
    expansion.services();
    expansion.published();
    expansion.routes();
    if is_dedicated {
        expansion.host_objects();
    }
    expansion.rules();
    if is_dedicated {
        expansion.transit();
    }
    if expansion.wrong.is_empty() { Ok(expansion.made) } else { Err(expansion.wrong) }
}

struct Expansion<'a> {
    inputs: &'a Inputs,
    tenant: &'a ValidatedTenant,
    firewall: &'a Firewall,
    provider: &'a ProviderName,
    settings: &'a Settings,
    names: Names<'a>,
    /// The virtual firewall in which the tenant's rules stand.
    vdom: String,
    /// Whether that is one of its own.
    is_dedicated: bool,
    made: Vec<Resource>,
    wrong: Vec<Violation>,
}

impl Expansion<'_> {
    fn id(&self, kind: &str, name: &str) -> ResourceId {
        ResourceId::new(&self.tenant.name, self.provider, ResourceKey::new(kind, name))
    }

    /// A resource with its mark, where the tenant's rules stand.
    fn resource(&self, kind: &str, name: &str, origin: &str, comment: &str) -> Resource {
        self.resource_in(&self.vdom, kind, name, origin, comment)
    }

    /// A resource with its mark, in this virtual firewall.
    fn resource_in(&self, vdom: &str, kind: &str, name: &str, origin: &str, comment: &str) -> Resource {
        let id = self.id(kind, name);
        let mark = marks::mark(&self.inputs.installation, &self.tenant.name, &id.key);
        let mut resource = Resource::new(id, origin).with(VDOM, vdom);
        if self.is_dedicated && vdom == self.vdom {
            resource.after.insert(self.id(VIRTUAL_FIREWALL, "tenant"));
        }
        if let Some((attribute, most)) = table(kind).and_then(|table| table.comment) {
            resource = resource.with(attribute, marks::comment(&mark, comment, most));
        }
        resource
    }

    fn wrong(&mut self, field: &str, message: String) {
        self.wrong.push(Violation::new(field, message));
    }

    /// What the manifest asks for and this host does not give.
    fn not_offered(&mut self) {
        if self.is_dedicated && self.settings.dedicated.is_none() {
            let message = format!("{} has no virtual firewalls of tenants' own: write Shared", self.provider);
            self.wrong("spec.firewall.vdom", message);
        }
        for (index, network) in
            self.tenant.networks.iter().enumerate().filter(|(_, it)| it.cidr.addr().is_ipv6())
        {
            let message = format!(
                "network {} is of IPv6, which {} does not serve yet: write IPv4",
                network.name, self.provider
            );
            self.wrong(&format!("spec.networks[{index}].cidr"), message);
        }
        for published in &self.firewall.published {
            if !self.settings.external.iter().any(|net| net.contains(&published.external)) {
                let granted: Vec<_> = self.settings.external.iter().map(ToString::to_string).collect();
                let message = format!(
                    "{} is not among the addresses that {} lets tenants publish: {}",
                    published.external,
                    self.provider,
                    if granted.is_empty() { "none".to_owned() } else { granted.join(", ") }
                );
                self.wrong.push(Violation::new(format!("{}.external", published.written.origin), message));
            }
        }
        for rule in &self.firewall.rules {
            for (field, peers) in [("from", &rule.from), ("to", &rule.to)] {
                self.place(&format!("{}.{field}", rule.written.origin), peers);
            }
            self.profiles(rule);
        }
    }

    fn place(&mut self, field: &str, peers: &Peers) {
        let Side::Host(name) = &peers.side else { return };
        let Some(place) = self.settings.places.get(name) else {
            let known: Vec<_> = self.settings.places.keys().map(String::as_str).collect();
            let message = format!("{} has no place {name}: there is {}", self.provider, known.join(", "));
            return self.wrong(field, message);
        };
        let unknown = peers.members.iter().find_map(|peer| match peer {
            Peer::Host(object) if !place.addresses.contains_key(object) => Some(object),
            _ => None,
        });
        if let Some(object) = unknown {
            let known: Vec<_> = place.addresses.keys().map(String::as_str).collect();
            let message =
                format!("{object} is not among what rules may name of {name}: {}", known.join(", "));
            self.wrong(field, message);
        }
    }

    fn profiles(&mut self, rule: &Rule) {
        let named = &rule.profiles;
        let all = [
            &named.antivirus,
            &named.ips,
            &named.web_filter,
            &named.application_control,
            &named.ssl_inspection,
        ];
        let all: Vec<&String> = all.into_iter().flatten().collect();
        let inborn = self.settings.dedicated.as_ref().filter(|_| self.is_dedicated).map(|it| &it.profiles);
        for name in all.iter().filter(|name| inborn.is_some_and(|inborn| !inborn.contains(**name))) {
            let message = format!(
                "{name} is no security profile that every virtual firewall of {} has from its birth: choose one of \
                 settings.dedicated.profiles, or vdom: Shared",
                self.provider
            );
            self.wrong.push(Violation::new(format!("{}.profiles", rule.written.origin), message));
        }
        let unknown = all.into_iter().filter(|name| !self.settings.profiles.contains(*name));
        for name in unknown {
            let known: Vec<_> = self.settings.profiles.iter().map(String::as_str).collect();
            let message =
                format!("{name} is no security profile that {} offers: {}", self.provider, known.join(", "));
            self.wrong.push(Violation::new(format!("{}.profiles", rule.written.origin), message));
        }
    }

    fn networks(&mut self) {
        let zone = self.resource(ZONE, "tenant", "spec.networks", &self.tenant.display_name);
        let mut zone = self.names.zone().of(zone).with("intrazone", "deny");
        let mut members = Vec::new();
        for (index, network) in self.tenant.networks.iter().enumerate() {
            let origin = format!("spec.networks[{index}]");
            let Some(gateway) = network.gateway else {
                self.wrong(
                    &origin,
                    format!("network {} has no gateway, which the firewall is: write one", network.name),
                );
                continue;
            };
            let name = self.names.interface(&network.name);
            let comment = format!("{} of {}", network.name, self.tenant.display_name);
            let interface = self.resource(INTERFACE, &network.name, &origin, &comment);
            let interface = name
                .of(interface)
                .with("interface", self.settings.parent.clone())
                .with("vlanid", network.vlan)
                .with("ip", with_mask(gateway, network.cidr))
                .with("allowaccess", json!(["ping"]));
            zone.after.insert(interface.id.clone());
            members.push(Json::String(name.name));
            self.made.push(interface);
        }
        self.made.push(zone.with("interface", members));
    }

    fn addresses(&mut self) {
        for (index, network) in self.tenant.networks.iter().enumerate() {
            let origin = format!("spec.networks[{index}]");
            let what = AddressKind::Network(network.cidr);
            self.address(&network.name, &what, &origin, "");
        }
        for (index, server) in self.tenant.servers.iter().enumerate() {
            let origin = format!("spec.servers[{index}]");
            let addresses: Vec<(&str, IpAddr)> = server
                .interfaces
                .iter()
                .filter_map(|interface| Some((interface.network.as_str(), interface.address?)))
                .collect();
            match addresses.as_slice() {
                [] => {}
                [(_, address)] => {
                    self.address(&server.name, &AddressKind::Network((*address).into()), &origin, "");
                }
                several => {
                    let mut parts = Vec::new();
                    for (network, address) in several {
                        let part = format!("{}.{network}", server.name);
                        self.address(&part, &AddressKind::Network((*address).into()), &origin, "");
                        parts.push(part);
                    }
                    self.group(&server.name, &parts, &origin, "");
                }
            }
        }
        for address in &self.firewall.addresses {
            self.address(&address.name, &address.what, &address.written.origin, &address.written.comment);
        }
        for group in &self.firewall.address_groups {
            self.group(&group.name, &group.members, &group.written.origin, &group.written.comment);
        }
    }

    fn address(&mut self, name: &str, what: &AddressKind, origin: &str, comment: &str) {
        let address = self.resource(ADDRESS, name, origin, comment);
        let address = self.names.address(name).of(address);
        self.stand_for(address, what);
    }

    fn stand_for(&mut self, address: Resource, what: &AddressKind) {
        let address = match what {
            AddressKind::Network(net) => {
                address.with("type", "ipmask").with("subnet", with_mask(net.network(), *net))
            }
            AddressKind::Range(first, last) => address
                .with("type", "iprange")
                .with("start-ip", first.to_string())
                .with("end-ip", last.to_string()),
            AddressKind::Fqdn(fqdn) => address.with("type", "fqdn").with("fqdn", fqdn.clone()),
        };
        self.made.push(address);
    }

    fn group(&mut self, name: &str, members: &[String], origin: &str, comment: &str) {
        let group = self.resource(ADDRESS_GROUP, name, origin, comment);
        let mut group = self.names.address(name).of(group);
        group.after.extend(members.iter().filter_map(|member| self.address_id(member)));
        let members: Vec<_> = members.iter().map(|member| json!(self.names.address(member).name)).collect();
        self.made.push(group.with("member", members));
    }

    /// What a name of an address, network, server or group is here.
    fn address_id(&self, name: &str) -> Option<ResourceId> {
        let ids = [self.id(ADDRESS, name), self.id(ADDRESS_GROUP, name)];
        ids.into_iter().find(|id| self.made.iter().any(|made| made.id == *id))
    }

    fn services(&mut self) {
        for service in &self.firewall.services {
            let Written { origin, comment, .. } = &service.written;
            let made = self.resource(SERVICE, &service.name, origin, comment);
            let made = self
                .names
                .service(&service.name)
                .of(made)
                .with("protocol", "TCP/UDP/SCTP")
                .with("tcp-portrange", ports(&service.tcp))
                .with("udp-portrange", ports(&service.udp));
            self.made.push(made);
        }
        for group in &self.firewall.service_groups {
            let Written { origin, comment, .. } = &group.written;
            let made = self.resource(SERVICE_GROUP, &group.name, origin, comment);
            let mut made = self.names.service(&group.name).of(made);
            made.after.extend(group.members.iter().filter_map(|member| self.service_id(member)));
            let members: Vec<_> =
                group.members.iter().map(|member| json!(self.service_name(member))).collect();
            self.made.push(made.with("member", members));
        }
        for schedule in &self.firewall.schedules {
            let made = self
                .resource(SCHEDULE, &names::schedule_key(&schedule.name), &schedule.written.origin, "")
                .with("name", self.schedule_name(&schedule.name))
                .with("day", schedule.days.iter().map(|day| json!(day_name(*day))).collect::<Vec<_>>())
                .with("start", time(schedule.start))
                .with("end", time(schedule.end));
            self.made.push(made);
        }
    }

    fn schedule_name(&self, name: &str) -> String {
        names::schedule(self.inputs.installation.as_str(), self.tenant.name.as_str(), name)
    }

    fn service_id(&self, name: &str) -> Option<ResourceId> {
        let ids = [self.id(SERVICE, name), self.id(SERVICE_GROUP, name)];
        ids.into_iter().find(|id| self.made.iter().any(|made| made.id == *id))
    }

    /// A service of the tenant's own by our name for it, or one that FortiOS knows by itself.
    fn service_name(&self, name: &str) -> String {
        match self.service_id(name) {
            Some(_) => self.names.service(name).name,
            None => name.to_owned(),
        }
    }

    fn published(&mut self) {
        for published in &self.firewall.published {
            let Written { origin, comment, .. } = &published.written;
            // Packets from the internet arrive in the host's virtual firewall, wherever the server's rules stand.
            let vip = self.resource_in(&self.settings.vdom, VIP, &published.name, origin, comment);
            let vip = self
                .names
                .address(&published.name)
                .of(vip)
                .with("extintf", self.settings.internet.clone())
                .with("extip", published.external.to_string())
                .with("mappedip", published.internal.to_string());
            self.made.push(match published.port {
                None => vip.with("portforward", "disable"),
                Some(PortForward { protocol, external, internal }) => vip
                    .with("portforward", "enable")
                    .with("protocol", if protocol == Protocol::Tcp { "tcp" } else { "udp" })
                    .with("extport", external.to_string())
                    .with("mappedport", internal.to_string()),
            });
        }
    }

    fn routes(&mut self) {
        for route in &self.firewall.routes {
            let mut made = self
                .resource(ROUTE, &route.name, &route.written.origin, &route.written.comment)
                .with("dst", with_mask(route.to.network(), route.to))
                .with("gateway", route.via.to_string())
                .with("device", self.names.interface(&route.network).name);
            made.permits.adopt.clone_from(&route.written.adopt);
            made.after.insert(self.id(INTERFACE, &route.network));
            self.made.push(made);
        }
    }

    fn rules(&mut self) {
        let policies = self.firewall.rules.iter().map(|rule| self.policy(rule)).collect();
        self.in_order("policies", policies);
    }

    /// These policies, and the order of that name in which they stand.
    fn in_order(&mut self, order: &str, policies: Vec<Resource>) {
        let mut before: Option<ResourceId> = None;
        let mut sequence = Vec::new();
        for mut policy in policies {
            // Each stands on the one above it, so that plans and steps keep their order.
            policy.after.extend(before.replace(policy.id.clone()));
            sequence.push(Json::String(policy.id.key.name.clone()));
            self.made.push(policy);
        }
        if let Some(last) = before {
            let mut order =
                Resource::new(self.id(ORDER, order), "spec.firewall.rules").with("sequence", sequence);
            order.after.insert(last);
            self.made.push(order);
        }
    }

    fn policy(&self, rule: &Rule) -> Resource {
        let tenant = self.tenant.name.as_str();
        let (from, to) = (self.peers(&rule.from), self.peers(&rule.to));
        let mut needs: BTreeSet<ResourceId> = from.needs.into_iter().chain(to.needs).collect();
        needs.extend(rule.services.iter().filter_map(|service| self.service_id(service)));
        let schedule = rule.schedule.as_ref().map(|name| {
            needs.insert(self.id(SCHEDULE, &names::schedule_key(name)));
            self.schedule_name(name)
        });
        let services: BTreeSet<String> =
            rule.services.iter().map(|service| self.service_name(service)).collect();
        // Whose virtual firewall is its own is hidden where it leaves the host's.
        let nat = rule.nat && !self.is_dedicated;
        let pool = self.settings.ip_pool.as_ref().filter(|_| nat && rule.to.side == Side::Internet);
        let mut policy = self
            .resource(POLICY, &rule.id, &rule.written.origin, &rule.written.comment)
            .with("name", names::policy(tenant, &rule.id))
            .with("srcintf", json!([self.interface(&rule.from.side)]))
            .with("dstintf", json!([self.interface(&rule.to.side)]))
            .with("srcaddr", json!(from.names))
            .with("srcaddr-negate", on(from.are_all_but))
            .with("dstaddr", json!(to.names))
            .with("dstaddr-negate", on(to.are_all_but))
            .with("service", json!(services))
            .with("action", if rule.action == Action::Accept { "accept" } else { "deny" })
            .with("schedule", schedule.unwrap_or_else(|| "always".to_owned()))
            .with("status", on(rule.enabled))
            .with("logtraffic", log(rule))
            .with("nat", on(nat))
            .with("ippool", on(pool.is_some()))
            .with("poolname", json!(pool.into_iter().collect::<Vec<_>>()));
        policy.after.extend(needs);
        policy.permits.adopt.clone_from(&rule.written.adopt);
        // A rule that denies has nothing to inspect, and FortiOS then has none of these attributes.
        if rule.action == Action::Deny { policy } else { Self::inspected(policy, &rule.profiles) }
    }

    fn inspected(policy: Resource, named: &Profiles) -> Resource {
        let profiles = BTreeMap::from([
            ("av-profile", &named.antivirus),
            ("ips-sensor", &named.ips),
            ("webfilter-profile", &named.web_filter),
            ("application-list", &named.application_control),
        ]);
        let inspects = profiles.values().any(|name| name.is_some());
        let policy = policy.with("utm-status", if inspects { "enable" } else { "disable" }).with(
            "ssl-ssh-profile",
            named.ssl_inspection.clone().unwrap_or_else(|| "no-inspection".to_owned()),
        );
        profiles.into_iter().fold(policy, |policy, (attribute, name)| {
            policy.with(attribute, name.clone().unwrap_or_default())
        })
    }

    /// What these peers are on the device where the tenant's rules stand.
    fn peers(&self, peers: &Peers) -> Named {
        let mut needs = BTreeSet::new();
        if self.is_dedicated && peers.side != Side::Tenant {
            return self.beyond_the_link(peers);
        }
        if peers.side == Side::Tenant {
            needs.insert(self.id(ZONE, "tenant"));
        }
        let names = peers.members.iter().map(|peer| match peer {
            Peer::Any => "all".to_owned(),
            Peer::Host(object) => object.clone(),
            Peer::Published(name) if self.is_dedicated => {
                let key = dedicated::published(name);
                needs.insert(self.id(ADDRESS, &key));
                names::object(self.tenant.name.as_str(), &key)
            }
            Peer::Published(name) => {
                needs.insert(self.id(VIP, name));
                self.names.address(name).name
            }
            Peer::Network(name) | Peer::Server(name) | Peer::Address(name) | Peer::Group(name) => {
                needs.extend(self.address_id(name));
                self.names.address(name).name
            }
        });
        let names = names.collect();
        Named { names, needs, are_all_but: false }
    }

    fn interface(&self, side: &Side) -> String {
        match side {
            Side::Tenant => self.names.zone().name,
            _ if self.is_dedicated => names::tenant_end(&self.link()),
            side => self.host_interface(side),
        }
    }

    /// The interface of the host's behind which a side lies.
    fn host_interface(&self, side: &Side) -> String {
        match side {
            Side::Host(name) => {
                self.settings.places.get(name).map(|place| place.interface.clone()).unwrap_or_default()
            }
            Side::Internet | Side::Tenant => self.settings.internet.clone(),
        }
    }
}

/// Whom a policy names on one side.
#[derive(Default)]
struct Named {
    names: BTreeSet<String>,
    /// What must be there first.
    needs: BTreeSet<ResourceId>,
    /// Whether all others are meant.
    are_all_but: bool,
}

fn on(is: bool) -> &'static str {
    if is { "enable" } else { "disable" }
}

/// An address with the mask of its network, as FortiOS writes it.
fn with_mask(address: IpAddr, net: IpNet) -> String {
    match net {
        IpNet::V4(_) => format!("{address} {}", net.netmask()),
        IpNet::V6(_) => format!("{address}/{}", net.prefix_len()),
    }
}

fn ports(ports: &[RangeInclusive<u16>]) -> Vec<Json> {
    let one = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => json!(first.to_string()),
        (first, last) => json!(format!("{first}-{last}")),
    };
    ports.iter().map(one).collect()
}

fn log(rule: &Rule) -> &'static str {
    match (rule.log, rule.action) {
        (Log::All, _) => "all",
        (Log::Security, Action::Accept) => "utm",
        (Log::Security, Action::Deny) | (Log::None, _) => "disable",
    }
}

fn time(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn day_name(day: Day) -> &'static str {
    match day {
        Day::Monday => "monday",
        Day::Tuesday => "tuesday",
        Day::Wednesday => "wednesday",
        Day::Thursday => "thursday",
        Day::Friday => "friday",
        Day::Saturday => "saturday",
        Day::Sunday => "sunday",
    }
}
