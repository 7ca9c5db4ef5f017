//! What a FortiGate does with a packet, by its exported configuration: destination NAT, route, the first policy that fits,
//! and through a link into the next virtual firewall. Written from what FortiOS documents, without any code of the plugin.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::peer::{Edit, edits};

/// A packet that opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
    pub(super) is_tcp: bool,
    pub(super) port: u16,
    /// Whether it is sent while schedules hold.
    pub(super) at_work: bool,
}

/// Where a packet leaves the device, to whom, and whether its source is hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) by: String,
    pub(super) to: (Ipv4Addr, u16),
    pub(super) hidden: bool,
}

type Range = (u32, u32);
type Attributes = BTreeMap<String, Vec<String>>;

#[derive(Default)]
struct Firewall {
    zones: BTreeMap<String, String>,
    addresses: BTreeMap<String, Range>,
    groups: BTreeMap<String, Vec<String>>,
    services: BTreeMap<String, Attributes>,
    published: BTreeMap<String, Attributes>,
    policies: Vec<Attributes>,
    /// By prefix: the network, and the interface that leads there.
    routes: Vec<(Range, String)>,
}

/// The whole device.
pub(super) struct Device {
    firewalls: BTreeMap<String, Firewall>,
    /// In which virtual firewall each interface is.
    interfaces: BTreeMap<String, String>,
    links: Vec<String>,
}

impl Device {
    pub(super) fn new(export: &str) -> Self {
        let mut device = Self { firewalls: BTreeMap::new(), interfaces: BTreeMap::new(), links: Vec::new() };
        for Edit { vdom, table, text } in edits(export) {
            let (name, attributes) = read(&text);
            device.take(&vdom, table.trim_start_matches("config "), name, attributes);
        }
        device
    }

    fn take(&mut self, vdom: &str, table: &str, name: String, attributes: Attributes) {
        let first = |attribute: &str| attributes.get(attribute).and_then(|it| it.first()).cloned();
        if table == "system vdom-link" {
            return self.links.push(name);
        }
        if table == "system interface" {
            let vdom = first("vdom").unwrap();
            if let Some(net) = attributes.get("ip") {
                self.firewalls.entry(vdom.clone()).or_default().routes.push((masked(net), name.clone()));
            }
            self.interfaces.insert(name, vdom);
            return;
        }
        let firewall = self.firewalls.entry(vdom.to_owned()).or_default();
        match table {
            "system zone" => {
                let members = attributes.get("interface").cloned().unwrap_or_default();
                firewall.zones.extend(members.into_iter().map(|member| (member, name.clone())));
            }
            "firewall address" => {
                let range = match (first("start-ip"), first("end-ip")) {
                    (Some(from), Some(to)) => (address(&from), address(&to)),
                    _ => attributes.get("subnet").map_or((0, u32::MAX), |net| masked(net)),
                };
                // A name of DNS is no address here.
                if !attributes.contains_key("fqdn") {
                    firewall.addresses.insert(name, range);
                }
            }
            "firewall addrgrp" | "firewall service group" => {
                firewall.groups.insert(name, attributes.get("member").cloned().unwrap_or_default());
            }
            "firewall service custom" => drop(firewall.services.insert(name, attributes)),
            "firewall vip" => drop(firewall.published.insert(name, attributes)),
            "firewall policy" => firewall.policies.push(attributes),
            "router static" => {
                let net = attributes.get("dst").map_or((0, u32::MAX), |net| masked(net));
                firewall.routes.push((net, first("device").unwrap()));
            }
            _ => {}
        }
    }

    /// What becomes of a packet that comes in by this interface.
    pub(super) fn decide(&self, interface: &str, packet: Packet) -> Option<Passed> {
        let (mut packet, mut interface, mut hidden) = (packet, interface.to_owned(), false);
        loop {
            let firewall = &self.firewalls[&self.interfaces[&interface]];
            let published = firewall.published_at(&interface, packet);
            if let Some((_, to, port)) = published {
                (packet.to, packet.port) = (to, port);
            }
            let out = firewall.route(packet.to)?;
            let policy = firewall.policies.iter().find(|policy| {
                firewall.fits(policy, (&interface, out), packet, published.map(|(name, ..)| name))
            })?;
            if one(policy, "action") != Some("accept") {
                return None;
            }
            hidden |= one(policy, "nat") == Some("enable");
            match self.other_end(out) {
                Some(end) => interface = end,
                None => return Some(Passed { by: out.to_owned(), to: (packet.to, packet.port), hidden }),
            }
        }
    }

    fn other_end(&self, interface: &str) -> Option<String> {
        let link = self.links.iter().find(|link| interface.strip_prefix(link.as_str()).is_some())?;
        Some(if interface.ends_with('0') { format!("{link}1") } else { format!("{link}0") })
    }
}

impl Firewall {
    fn published_at(&self, interface: &str, packet: Packet) -> Option<(&str, Ipv4Addr, u16)> {
        self.published.iter().find_map(|(name, vip)| {
            let to = one(vip, "mappedip")?.parse().ok()?;
            let is_for = one(vip, "extintf")? == interface && one(vip, "extip")?.parse() == Ok(packet.to);
            if one(vip, "portforward") != Some("enable") {
                return is_for.then_some((name.as_str(), to, packet.port));
            }
            let is_tcp = one(vip, "protocol") != Some("udp");
            let port = one(vip, "extport")?.parse() == Ok(packet.port);
            (is_for && port && is_tcp == packet.is_tcp)
                .then(|| Some((name.as_str(), to, one(vip, "mappedport")?.parse().ok()?)))?
        })
    }

    fn route(&self, to: Ipv4Addr) -> Option<&str> {
        let fits = self.routes.iter().filter(|(net, _)| within(*net, to.to_bits()));
        fits.min_by_key(|((from, to), _)| to - from).map(|(_, interface)| interface.as_str())
    }

    fn fits(
        &self,
        policy: &Attributes,
        (from, to): (&str, &str),
        packet: Packet,
        published: Option<&str>,
    ) -> bool {
        let names = |attribute: &str| policy.get(attribute).map(Vec::as_slice).unwrap_or_default();
        let behind = |attribute: &str, interface: &str| {
            let zone = self.zones.get(interface).map_or(interface, String::as_str);
            names(attribute).iter().any(|name| name == "any" || name == zone)
        };
        let meant = |attribute: &str, address: Ipv4Addr| {
            let is_one = names(attribute).iter().any(|name| self.is_at(name, address));
            is_one != (one(policy, &format!("{attribute}-negate")) == Some("enable"))
        };
        // What was sent to a published address is only taken by those who name that.
        let to_whom = || match published {
            Some(name) => names("dstaddr").iter().any(|it| it == name),
            None => meant("dstaddr", packet.to),
        };
        one(policy, "status") != Some("disable")
            && (packet.at_work || one(policy, "schedule") == Some("always"))
            && behind("srcintf", from)
            && behind("dstintf", to)
            && meant("srcaddr", packet.from)
            && to_whom()
            && names("service").iter().any(|name| self.is_service(name, packet))
    }

    fn is_at(&self, name: &str, address: Ipv4Addr) -> bool {
        let members = self.groups.get(name);
        members.is_some_and(|members| members.iter().any(|member| self.is_at(member, address)))
            || self.addresses.get(name).is_some_and(|range| within(*range, address.to_bits()))
    }

    fn is_service(&self, name: &str, packet: Packet) -> bool {
        if let Some(members) = self.groups.get(name) {
            return members.iter().any(|member| self.is_service(member, packet));
        }
        let Some(service) = self.services.get(name) else { return false };
        let ports = service.get(if packet.is_tcp { "tcp-portrange" } else { "udp-portrange" });
        let has = |range: &str| match range.split_once('-') {
            Some((from, to)) => (from.parse().unwrap()..=to.parse().unwrap()).contains(&packet.port),
            None => range.parse() == Ok(packet.port),
        };
        let mut ranges = ports.into_iter().flatten().flat_map(|ranges| ranges.split(' '));
        name == "ALL" || ranges.any(has)
    }
}

fn one<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name)?.first().map(String::as_str)
}

fn within((from, to): Range, address: u32) -> bool {
    (from..=to).contains(&address)
}

fn address(text: &str) -> u32 {
    text.parse::<Ipv4Addr>().unwrap().to_bits()
}

fn masked(net: &[String]) -> Range {
    let (address, mask) = (address(&net[0]), address(&net[1]));
    (address & mask, address | !mask)
}

/// The key and the attributes of an edit, quotes taken off.
fn read(text: &str) -> (String, Attributes) {
    let mut name = String::new();
    let mut attributes = Attributes::new();
    for line in text.lines() {
        let mut words = words(line).into_iter();
        match (words.next().as_deref(), words.next()) {
            (Some("edit"), Some(key)) if name.is_empty() => name = key,
            (Some("set"), Some(attribute)) => drop(attributes.insert(attribute, words.collect())),
            _ => {}
        }
    }
    (name, attributes)
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted, mut word) = (Vec::new(), false, String::new());
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words.push(word);
    words
}
