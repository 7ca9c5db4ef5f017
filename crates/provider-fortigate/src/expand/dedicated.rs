//! A virtual firewall of a tenant's own, and its way through the host's.
//!
//! The tenant's rules stand in its own virtual firewall, in their order. All that is not the tenant's lies behind one
//! interface there, the end of the link, so on which side somebody is, is told by addresses: a place has the networks that
//! the host says, and the internet is all the rest.
//!
//! The host's virtual firewall judges nothing anew. For each side and direction that a rule opens it has one policy, which
//! passes what the tenant's let through, and sees to it that those who have a place's addresses come from there. Since a
//! packet has to pass both, neither of them opens anything alone, in whatever order they are changed.
//!
//! The link has no addresses: FortiOS routes into a link of type ppp by its interface alone, so there is nothing to share
//! out among tenants.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::json;
use vertskommune_core::firewall::{Action, AddressKind, Peer, Peers, Profiles, Rule, Side};
use vertskommune_core::resource::Resource;

use super::{Expansion, Named, on, with_mask};
use crate::marks::{ADDRESS, LINK, LINK_END, POLICY, ROUTE, TRANSIT, VIP, VIRTUAL_FIREWALL, ZONE};
use crate::names;
use crate::schema::GLOBAL;

/// No address.
const NONE: &str = "0.0.0.0 0.0.0.0";

/// The rules that open one direction of one side of the host's: outward or inward.
type Crossings<'a> = BTreeMap<(Side, bool), Vec<&'a Rule>>;

/// The key of a published server's own address.
pub(super) fn published(name: &str) -> String {
    format!("published:{name}")
}

/// The key of an object of a place's.
fn object_key(place: &str, object: &str) -> String {
    format!("host:{place}:{object}")
}

/// The key of a place's network.
fn key_of(place: &str, net: Ipv4Net) -> String {
    format!("net:{place}:{}-{}", net.addr(), net.prefix_len())
}

impl<'a> Expansion<'a> {
    /// The name of the link.
    pub(super) fn link(&self) -> String {
        names::link(self.inputs.installation.as_str(), self.tenant.name.as_str())
    }

    /// What could not be told apart behind one link.
    pub(super) fn not_told_apart(&mut self) {
        let places = self.settings.places.iter();
        for name in places.filter(|(_, place)| place.networks.is_empty()).map(|(name, _)| name) {
            let message = format!(
                "{} does not say which networks lie in {name}, so those there could not be told from the internet: the \
                 host has to write settings.places.{name}.networks, or choose Shared",
                self.provider
            );
            self.wrong("spec.firewall.vdom", message);
        }
        for address in self.firewall.addresses.iter().filter(|it| it.side == Side::Internet) {
            let message = match &address.what {
                AddressKind::Fqdn(name) => Some(format!(
                    "{name} may mean an address of the host's own, which a virtual firewall of its own could not tell \
                     from the internet: write addresses, or vdom: Shared"
                )),
                AddressKind::Network(net) => self.touched(net.network(), net.broadcast()),
                AddressKind::Range(first, last) => self.touched(*first, *last),
            };
            if let Some(message) = message {
                self.wrong(&address.written.origin, message);
            }
        }
        self.ways_in();
        for ((side, outward), rules) in self.crossings() {
            let with = |nat: bool| rules.iter().find(|rule| rule.nat == nat);
            if let (Some(hidden), Some(plain)) = (with(true), with(false)) {
                let (to, side) = (if outward { "to" } else { "from" }, name_of(&side));
                let message = format!(
                    "rule {} {to} {side} has NAT and rule {} has not: with a virtual firewall of its own write the same \
                     for all of them",
                    hidden.id, plain.id
                );
                self.wrong(&format!("{}.nat", hidden.written.origin), message);
            }
        }
    }

    /// What is said of an address on the internet that a place has.
    fn touched(&self, first: IpAddr, last: IpAddr) -> Option<String> {
        let (IpAddr::V4(first), IpAddr::V4(last)) = (first, last) else { return None };
        let mut nets =
            self.settings.places.iter().flat_map(|(name, it)| it.networks.iter().map(move |net| (name, net)));
        let (name, net) = nets.find(|(_, net)| net.network() <= last && first <= net.broadcast())?;
        Some(format!(
            "has addresses of {net}, which lies in {name} and not on the internet: write host:{name}/…"
        ))
    }

    /// A packet for a published server and one for its own address look the same behind the link.
    fn ways_in(&mut self) {
        let is_published = |rule: &&Rule| rule.to.members.iter().any(|it| matches!(it, Peer::Published(_)));
        let rules = self.firewall.rules.iter();
        for rule in rules.clone().filter(is_published).filter(|rule| rule.from.side != Side::Internet) {
            let message = "names a published server, which only the internet reaches by its outer address: name the server";
            self.wrong(&format!("{}.to", rule.written.origin), message.to_owned());
        }
        let opens =
            |rule: &&Rule| rule.enabled && rule.action == Action::Accept && rule.from.side == Side::Internet;
        let direct = |rule: &&Rule| !rule.to.members.iter().all(|it| matches!(it, Peer::Published(_)));
        let (mut published, mut direct) =
            (rules.clone().filter(opens).filter(is_published), rules.filter(opens).filter(direct));
        if let (Some(published), Some(direct)) = (published.next(), direct.next()) {
            let message = format!(
                "lets the internet reach servers by their own addresses, and rule {} by a published one: with a virtual \
                 firewall of its own publish all of them, or choose Shared",
                published.id
            );
            self.wrong(&format!("{}.to", direct.written.origin), message);
        }
        self.one_server_twice();
    }

    /// Nor can two published addresses of one server be told apart there: what one rule says of the one holds for the other.
    fn one_server_twice(&mut self) {
        let names = |rule: &Rule, name: &str| {
            rule.to.members.iter().any(|it| matches!(it, Peer::Published(named) if named == name))
        };
        let (rules, published) = (&self.firewall.rules, &self.firewall.published);
        let pairs = published.iter().flat_map(|one| published.iter().map(move |other| (one, other)));
        let mut wrong = Vec::new();
        for (one, other) in
            pairs.filter(|(one, other)| one.internal == other.internal && one.name != other.name)
        {
            let is_used = rules.iter().any(|rule| names(rule, &other.name));
            let alone = rules.iter().find(|rule| names(rule, &one.name) && !names(rule, &other.name));
            wrong.extend(alone.filter(|_| is_used).map(|rule| (rule, &one.name, &other.name)));
        }
        for (rule, one, other) in wrong {
            let message = format!(
                "names {one} and not {other}, which is the same server: with a virtual firewall of its own name both in \
                 the same rules, or choose Shared"
            );
            self.wrong(&format!("{}.to", rule.written.origin), message);
        }
    }

    /// The virtual firewall, the link, and the zone at the host's end of it.
    pub(super) fn virtual_firewall(&mut self) {
        const ORIGIN: &str = "spec.firewall.vdom";
        let (name, link) = (&self.tenant.display_name, self.link());
        let vdom = self
            .resource_in(GLOBAL, VIRTUAL_FIREWALL, "tenant", ORIGIN, name)
            .with("name", self.vdom.clone());
        let mut made = self
            .resource_in(GLOBAL, LINK, "tenant", ORIGIN, "")
            .with("name", link.clone())
            .with("type", "ppp");
        made.after.insert(vdom.id.clone());
        let end = |name: &str, interface: String, vdom: &str, comment: String| {
            let mut end = self
                .resource_in(vdom, LINK_END, name, ORIGIN, &comment)
                .with("name", interface)
                .with("ip", NONE)
                .with("allowaccess", json!([]));
            end.after.insert(made.id.clone());
            end
        };
        let (transit, home) = (&self.settings.vdom, &self.vdom);
        let ends = [
            end("host", names::host_end(&link), transit, format!("to {home} of {name}")),
            end("tenant", names::tenant_end(&link), home, format!("to {transit}")),
        ];
        let mut zone = self
            .resource_in(transit, ZONE, &format!("{TRANSIT}tenant"), ORIGIN, name)
            .with("name", names::zone(self.tenant.name.as_str()))
            .with("intrazone", "deny")
            .with("interface", json!([names::host_end(&link)]));
        zone.after.insert(ends[0].id.clone());
        self.made.extend([vdom, made]);
        self.made.extend(ends);
        self.made.push(zone);
    }

    /// Objects for what the tenant's rules name beyond the link.
    pub(super) fn host_objects(&mut self) {
        let rules = &self.firewall.rules;
        let all = rules.iter().flat_map(|rule| [(rule, "from", &rule.from), (rule, "to", &rule.to)]);
        let mut nets: BTreeMap<String, IpNet> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (rule, field, peers) in all {
            for peer in &peers.members {
                match (&peers.side, peer) {
                    (Side::Host(place), Peer::Host(object)) => match self.address_of(place, object) {
                        Some(net) => drop(nets.insert(object_key(place, object), net.into())),
                        None => wrong.push((format!("{}.{field}", rule.written.origin), place, object)),
                    },
                    (Side::Tenant, Peer::Published(name)) => {
                        let found = self.firewall.published.iter().find(|it| it.name == *name);
                        nets.extend(found.map(|it| (published(name), IpAddr::V4(it.internal).into())));
                    }
                    (Side::Tenant, _) => {}
                    (side, Peer::Any) => {
                        nets.extend(self.nets_of(side).map(|(place, net)| (key_of(place, net), net.into())));
                    }
                    _ => {}
                }
            }
        }
        for (field, place, object) in wrong {
            let message = format!(
                "{object} has no address that a virtual firewall of its own could be told: the host has to write it in \
                 settings.places.{place}.addresses, or choose Shared"
            );
            self.wrong(&field, message);
        }
        for (key, net) in nets {
            let address = self
                .resource(ADDRESS, &key, "spec.firewall.rules", "")
                .with("name", names::object(self.tenant.name.as_str(), &key));
            self.stand_for(address, &AddressKind::Network(net));
        }
    }

    fn address_of(&self, place: &str, object: &str) -> Option<Ipv4Net> {
        *self.settings.places.get(place)?.addresses.get(object)?
    }

    /// The networks of a place; for the internet those of all places, which it is without.
    fn nets_of(&self, side: &Side) -> impl Iterator<Item = (&'a str, Ipv4Net)> + use<'a> {
        let place = match side {
            Side::Host(place) => Some(place.clone()),
            Side::Internet | Side::Tenant => None,
        };
        let places =
            self.settings.places.iter().filter(move |(name, _)| place.as_ref().is_none_or(|it| it == *name));
        places.flat_map(|(name, place)| place.networks.iter().map(move |net| (name.as_str(), *net)))
    }

    /// What peers beyond the link are in the tenant's own virtual firewall.
    pub(super) fn beyond_the_link(&self, peers: &Peers) -> Named {
        if peers.members.contains(&Peer::Any) {
            return self.whoever(&peers.side, "");
        }
        let mut named = Named::default();
        for peer in &peers.members {
            match (&peers.side, peer) {
                (Side::Host(place), Peer::Host(object)) => {
                    let key = object_key(place, object);
                    named.names.insert(names::object(self.tenant.name.as_str(), &key));
                    named.needs.insert(self.id(ADDRESS, &key));
                }
                (_, Peer::Address(name) | Peer::Group(name)) => {
                    named.names.insert(self.names.address(name).name);
                    named.needs.extend(self.address_id(name));
                }
                _ => {}
            }
        }
        named.needs.insert(self.id(LINK_END, "tenant"));
        named
    }

    /// Whoever is on a side, by addresses; `prefix` says in which virtual firewall they are named.
    fn whoever(&self, side: &Side, prefix: &str) -> Named {
        let mut named = Named { are_all_but: *side == Side::Internet, ..Named::default() };
        for (place, net) in self.nets_of(side) {
            let key = format!("{prefix}{}", key_of(place, net));
            named.names.insert(names::object(self.tenant.name.as_str(), &key));
            named.needs.insert(self.id(ADDRESS, &key));
        }
        if named.names.is_empty() {
            named = Named { names: ["all".to_owned()].into(), ..Named::default() };
        }
        named
    }

    /// What rules that hold let through the link.
    fn crossings(&self) -> Crossings<'a> {
        let mut crossings = Crossings::new();
        for rule in self.firewall.rules.iter().filter(|rule| rule.enabled && rule.action == Action::Accept) {
            match (&rule.from.side, &rule.to.side) {
                (Side::Tenant, Side::Tenant) => {}
                (Side::Tenant, side) => crossings.entry((side.clone(), true)).or_default().push(rule),
                (side, _) => crossings.entry((side.clone(), false)).or_default().push(rule),
            }
        }
        crossings
    }

    /// The way through the host's virtual firewall: routes both ways, and policies for what the tenant's let through.
    pub(super) fn transit(&mut self) {
        let networks = self.tenant.networks.iter().enumerate();
        let networks = networks.map(|(i, it)| (it.name.clone(), it.cidr, format!("spec.networks[{i}]")));
        let routes = self.firewall.routes.iter();
        let routes = routes.map(|it| (format!("route:{}", it.name), it.to, it.written.origin.clone()));
        let reached: Vec<(String, IpNet, String)> = networks.chain(routes).collect();
        let link = self.link();
        let default =
            self.route(&self.vdom, "link:default", "spec.firewall.vdom", NONE, names::tenant_end(&link));
        self.made.push(default);
        let mut theirs = Named::default();
        for (name, net, origin) in &reached {
            let key = format!("{TRANSIT}{name}");
            let dst = with_mask(net.network(), *net);
            self.made.push(self.route(&self.settings.vdom, &key, origin, &dst, names::host_end(&link)));
            let name = names::object(self.tenant.name.as_str(), &key);
            let address =
                self.resource_in(&self.settings.vdom, ADDRESS, &key, origin, "").with("name", name.clone());
            theirs.names.insert(name);
            theirs.needs.insert(address.id.clone());
            self.stand_for(address, &AddressKind::Network(*net));
        }
        let crossings = self.crossings();
        let mut nets: BTreeMap<String, IpNet> = BTreeMap::new();
        for (side, _) in crossings.keys() {
            nets.extend(
                self.nets_of(side)
                    .map(|(place, net)| (format!("{TRANSIT}{}", key_of(place, net)), net.into())),
            );
        }
        for (key, net) in nets {
            let address = self
                .resource_in(&self.settings.vdom, ADDRESS, &key, "spec.firewall.rules", "")
                .with("name", names::object(self.tenant.name.as_str(), &key));
            self.stand_for(address, &AddressKind::Network(net));
        }
        self.transit_policies(&crossings, &theirs);
    }

    fn route(&self, vdom: &str, key: &str, origin: &str, dst: &str, device: String) -> Resource {
        let mut route = self
            .resource_in(vdom, ROUTE, key, origin, "")
            .with("dst", dst)
            .with("gateway", "0.0.0.0")
            .with("device", device);
        let end = if vdom == self.vdom { "tenant" } else { "host" };
        route.after.insert(self.id(LINK_END, end));
        route
    }

    fn transit_policies(&mut self, crossings: &Crossings<'_>, theirs: &Named) {
        let policies = crossings.iter();
        let policies =
            policies.map(|((side, outward), rules)| self.transit_policy(side, *outward, rules, theirs));
        let policies = policies.collect();
        self.in_order("transit", policies);
    }

    fn transit_policy(&self, side: &Side, outward: bool, rules: &[&Rule], theirs: &Named) -> Resource {
        let (tenant, transit) = (self.tenant.name.as_str(), &self.settings.vdom);
        let (word, there) = (if outward { "out" } else { "in" }, self.whoever(side, TRANSIT));
        let key = format!("{TRANSIT}{word}:{}", name_of(side));
        let members = rules.iter().flat_map(|rule| &rule.to.members);
        let vips: Vec<&str> = members
            .filter_map(|peer| match peer {
                Peer::Published(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let published = Named {
            names: vips.iter().map(|name| self.names.address(name).name).collect(),
            needs: vips.iter().map(|name| self.id(VIP, name)).collect(),
            are_all_but: false,
        };
        let theirs = if vips.is_empty() { theirs } else { &published };
        let (zone, interface) = (names::zone(tenant), self.host_interface(side));
        let ((from, to), (src, dst)) = if outward {
            ((&zone, &interface), (theirs, &there))
        } else {
            ((&interface, &zone), (&there, theirs))
        };
        let nat = rules.iter().any(|rule| rule.nat);
        let pool = self.settings.ip_pool.as_ref().filter(|_| nat && outward && *side == Side::Internet);
        let mut policy = self
            .resource_in(transit, POLICY, &key, "spec.firewall.rules", &format!("judged in {}", self.vdom))
            .with("name", names::policy(tenant, &key))
            .with("srcintf", json!([from]))
            .with("dstintf", json!([to]))
            .with("srcaddr", json!(src.names))
            .with("srcaddr-negate", on(src.are_all_but))
            .with("dstaddr", json!(dst.names))
            .with("dstaddr-negate", on(dst.are_all_but))
            .with("service", json!(["ALL"]))
            .with("action", "accept")
            .with("schedule", "always")
            .with("status", "enable")
            .with("logtraffic", "disable")
            .with("nat", on(nat))
            .with("ippool", on(pool.is_some()))
            .with("poolname", json!(pool.into_iter().collect::<Vec<_>>()));
        policy.after.extend(src.needs.iter().chain(&dst.needs).cloned());
        policy.after.insert(self.id(ZONE, &format!("{TRANSIT}tenant")));
        Self::inspected(policy, &Profiles::default())
    }
}

/// What people call a side of the host's.
fn name_of(side: &Side) -> &str {
    match side {
        Side::Internet => "internet",
        Side::Host(place) => place,
        Side::Tenant => "the tenant",
    }
}
