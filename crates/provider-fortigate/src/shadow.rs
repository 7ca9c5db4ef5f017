//! Whether somebody's policy takes all that one of ours is for, standing above it. Pure.
//!
//! Said only where it is sure: what a name stands for is looked up, and what cannot be told in ranges (host names, places of
//! the world, protocols without ports) is itself by its name alone. A policy that asks for more than addresses and ports
//! takes nothing for sure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::entry::{Attributes as _, Entry, is_set};

/// How deep groups may stand in groups.
const DEPTH: usize = 8;
/// Where UDP begins on the axis of ports: TCP has the numbers below.
const UDP: u32 = 0x1_0000;

/// Attributes of a policy that narrow what it takes, beside those that we set.
pub(crate) const CONDITIONS: &[&str] = &[
    "srcaddr-negate",
    "dstaddr-negate",
    "service-negate",
    "internet-service",
    "internet-service-src",
    "users",
    "groups",
];

/// What a list of names stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Set {
    /// Everything.
    all: bool,
    /// From the first to the last of each.
    ranges: Vec<(u32, u32)>,
    /// What is known by its name alone.
    names: BTreeSet<String>,
}

impl Set {
    /// Whether all of the other is in it.
    fn covers(&self, other: &Self) -> bool {
        let has =
            |(from, to): &(u32, u32)| self.ranges.iter().any(|(first, last)| first <= from && to <= last);
        self.all || !other.all && other.names.is_subset(&self.names) && other.ranges.iter().all(has)
    }

    fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.names.extend(other.names);
        self.ranges.extend(other.ranges);
        self.ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::new();
        for (from, to) in std::mem::take(&mut self.ranges) {
            match joined.last_mut() {
                Some((_, last)) if from <= last.saturating_add(1) => *last = to.max(*last),
                _ => joined.push((from, to)),
            }
        }
        self.ranges = joined;
    }

    fn named(name: &str) -> Self {
        Self { names: BTreeSet::from([name.to_owned()]), ..Self::default() }
    }
}

/// The objects that policies name.
#[derive(Default)]
pub(crate) struct Objects<'a> {
    addresses: BTreeMap<&'a str, &'a Entry>,
    services: BTreeMap<&'a str, &'a Entry>,
    published: BTreeSet<&'a str>,
}

impl<'a> Objects<'a> {
    /// From the rows of addresses and their groups, services and their groups, and virtual addresses.
    pub(crate) fn new(
        addresses: impl Iterator<Item = &'a Entry>,
        services: impl Iterator<Item = &'a Entry>,
        published: impl Iterator<Item = &'a Entry>,
    ) -> Self {
        let by_name = |row: &'a Entry| (row.text("name"), row);
        Self {
            addresses: addresses.map(by_name).collect(),
            services: services.map(by_name).collect(),
            published: published.map(|row| row.text("name")).collect(),
        }
    }

    /// Whether every packet of the lower policy is one of the upper.
    pub(crate) fn shadows(&self, upper: &Entry, lower: &Entry) -> bool {
        let same = |attribute: &str| upper.text(attribute) == lower.text(attribute);
        // Asked of every two policies: most have no interface in common.
        ["srcintf", "dstintf"].iter().all(|side| comes_by(upper, lower, side))
            && upper.text("status") == "enable"
            && lower.text("status") == "enable"
            && !CONDITIONS.iter().any(|condition| upper.attribute(condition).is_some_and(is_set))
            && (upper.text("schedule") == "always" || same("schedule"))
            && ["srcaddr", "dstaddr"].iter().all(|side| self.takes(upper, lower, side))
            && self.services(upper).covers(&self.services(lower))
    }

    fn takes(&self, upper: &Entry, lower: &Entry, side: &str) -> bool {
        let addresses = |policy: &Entry| {
            if policy.attribute(&format!("{side}-negate")).is_some_and(is_set) {
                // All but these: only who takes everything takes all of that for sure.
                return Set { all: true, ..Set::default() };
            }
            let mut set = Set::default();
            policy.names(side).for_each(|name| set.add(self.address(name, DEPTH)));
            set
        };
        let (upper, lower) = (addresses(upper), addresses(lower));
        // What is published is taken by those who name it, and not by "all".
        let is_named = |name: &String| !self.published.contains(name.as_str()) || upper.names.contains(name);
        upper.covers(&lower) && lower.names.iter().all(is_named)
    }

    fn address(&self, name: &str, depth: usize) -> Set {
        let Some(row) = self.addresses.get(name).filter(|_| depth > 0) else { return Set::named(name) };
        if row.present.fields.contains_key("member") {
            let mut set = Set::default();
            row.names("member").for_each(|member| set.add(self.address(member, depth - 1)));
            return set;
        }
        let range = match row.text("type") {
            "ipmask" => subnet(row.text("subnet")),
            "iprange" => Some((row.text("start-ip"), row.text("end-ip"))).and_then(|(from, to)| {
                Some((from.parse::<Ipv4Addr>().ok()?.to_bits(), to.parse::<Ipv4Addr>().ok()?.to_bits()))
            }),
            _ => None,
        };
        match range {
            Some((0, u32::MAX)) => Set { all: true, ..Set::default() },
            Some(range) => Set { ranges: vec![range], ..Set::default() },
            None => Set::named(name),
        }
    }

    fn services(&self, policy: &Entry) -> Set {
        let mut set = Set::default();
        policy.names("service").for_each(|name| set.add(self.service(name, DEPTH)));
        set
    }

    fn service(&self, name: &str, depth: usize) -> Set {
        if name == "ALL" {
            return Set { all: true, ..Set::default() };
        }
        let Some(row) = self.services.get(name).filter(|_| depth > 0) else { return Set::named(name) };
        if row.present.fields.contains_key("member") {
            let mut set = Set::default();
            row.names("member").for_each(|member| set.add(self.service(member, depth - 1)));
            return set;
        }
        let tcp = ports(row.names("tcp-portrange"), 0);
        let udp = ports(row.names("udp-portrange"), UDP);
        match (row.text("protocol"), tcp, udp) {
            ("TCP/UDP/SCTP" | "TCP/UDP/UDP-Lite/SCTP", Some(mut tcp), Some(udp))
                if !tcp.is_empty() || !udp.is_empty() =>
            {
                tcp.extend(udp);
                let mut set = Set::default();
                set.add(Set { ranges: tcp, ..Set::default() });
                set
            }
            _ => Set::named(name),
        }
    }
}

/// Whether the upper one has all interfaces of the lower.
fn comes_by(upper: &Entry, lower: &Entry, side: &str) -> bool {
    lower.names(side).all(|name| upper.names(side).any(|it| it == name || it == "any"))
}

/// `10.13.0.0 255.255.0.0`.
fn subnet(text: &str) -> Option<(u32, u32)> {
    let (address, mask) = text.split_once(' ')?;
    let (address, mask) =
        (address.parse::<Ipv4Addr>().ok()?.to_bits(), mask.parse::<Ipv4Addr>().ok()?.to_bits());
    // A mask with holes is no range.
    (mask.leading_ones() + mask.trailing_zeros() == 32).then_some((address & mask, address | !mask))
}

/// `80` and `8000-8100`; nothing where ports of the source are asked for as well.
fn ports<'a>(words: impl Iterator<Item = &'a str>, base: u32) -> Option<Vec<(u32, u32)>> {
    let port = |text: &str| text.parse::<u16>().ok().map(|port| base + u32::from(port));
    let range = |text: &str| match text.split_once('-') {
        Some((from, to)) => Some((port(from)?, port(to)?)),
        None => port(text).map(|port| (port, port)),
    };
    words.map(range).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::marks::{ADDRESS, ADDRESS_GROUP, POLICY, SERVICE, SERVICE_GROUP, VIP};

    fn entry(kind: &str, json: &Json) -> Entry {
        let row = json.as_object().cloned().unwrap_or_default();
        Entry::read(crate::schema::table(kind).unwrap(), "root", &"nord".into(), &row).unwrap()
    }

    fn list(names: &[&str]) -> Json {
        names.iter().map(|name| json!({"name": name})).collect()
    }

    fn policy(change: impl FnOnce(&mut Json)) -> Entry {
        let mut policy = json!({
            "status": "enable", "schedule": "always", "srcintf": list(&["zone.ibestad"]), "dstintf": list(&["port1"]),
            "srcaddr": list(&["clients"]), "dstaddr": list(&["web"]), "service": list(&["HTTPS"]),
        });
        change(&mut policy);
        entry(POLICY, &policy)
    }

    fn world() -> [Vec<Entry>; 3] {
        let mask = |name: &str, subnet: &str| json!({"name": name, "type": "ipmask", "subnet": subnet});
        let tcp = |name: &str, ports: &str| json!({"name": name, "protocol": "TCP/UDP/SCTP", "tcp-portrange": ports});
        let addresses = [
            mask("all", "0.0.0.0 0.0.0.0"),
            mask("clients", "10.13.20.0 255.255.255.0"),
            mask("low", "10.13.20.0 255.255.255.128"),
            mask("high", "10.13.20.128 255.255.255.128"),
            mask("holes", "10.13.0.0 255.0.255.0"),
            json!({"name": "halves", "member": list(&["low", "high"])}),
            json!({"name": "itself", "member": list(&["itself"])}),
            json!({"name": "web", "type": "fqdn", "fqdn": "web.example.no"}),
            json!({"name": "range", "type": "iprange", "start-ip": "10.13.20.9", "end-ip": "10.13.21.9"}),
        ];
        let services = [
            tcp("HTTPS", "443"),
            tcp("web", "80 443-444"),
            tcp("sourced", "443:1024-65535"),
            json!({"name": "PING", "protocol": "ICMP"}),
            json!({"name": "Web Access", "member": list(&["HTTPS", "web"])}),
        ];
        let of = |it: &Json, kind, group| entry(if it["member"].is_null() { kind } else { group }, it);
        [
            addresses.iter().map(|it| of(it, ADDRESS, ADDRESS_GROUP)).collect(),
            services.iter().map(|it| of(it, SERVICE, SERVICE_GROUP)).collect(),
            vec![entry(VIP, &json!({"name": "vip"}))],
        ]
    }

    type Change = fn(&mut Json);

    #[test]
    fn one_shadows_another_where_that_is_sure() {
        let [addresses, services, published] = world();
        let objects = Objects::new(addresses.iter(), services.iter(), published.iter());
        let rows: [(Change, Change, bool, &str); 22] = [
            (|_| {}, |_| {}, true, "the same"),
            (|it| it["status"] = json!("disable"), |_| {}, false, "a disabled one takes nothing"),
            (|it| it["srcintf"] = list(&["any"]), |_| {}, true, "any interface"),
            (|it| it["srcintf"] = list(&["port9"]), |_| {}, false, "another interface"),
            (|it| it["dstaddr"] = list(&["all"]), |_| {}, true, "all takes host names too"),
            (|it| it["srcaddr"] = list(&["halves"]), |_| {}, true, "two halves are the whole"),
            (|it| it["srcaddr"] = list(&["low"]), |_| {}, false, "one half is not"),
            (|it| it["srcaddr"] = list(&["range"]), |it| it["srcaddr"] = list(&["high"]), true, "a range"),
            (|it| it["srcaddr"] = list(&["holes"]), |_| {}, false, "a mask with holes is no range"),
            (|it| it["srcaddr"] = list(&["itself"]), |_| {}, false, "a group in itself"),
            (|it| it["dstaddr"] = list(&["gone"]), |_| {}, false, "what is not there"),
            (
                |it| it["dstaddr"] = list(&["all"]),
                |it| it["dstaddr"] = list(&["vip"]),
                false,
                "all is not what is published",
            ),
            (|it| it["service"] = list(&["ALL"]), |_| {}, true, "all services"),
            (
                |it| it["service"] = list(&["Web Access"]),
                |it| it["service"] = list(&["web"]),
                true,
                "a group of services",
            ),
            (|it| it["service"] = list(&["sourced"]), |_| {}, false, "ports of the source"),
            (
                |it| it["service"] = list(&["web"]),
                |it| it["service"] = list(&["PING"]),
                false,
                "another protocol",
            ),
            (|it| it["srcaddr-negate"] = json!("enable"), |_| {}, false, "the others' addresses"),
            (
                |_| {},
                |it| it["srcaddr-negate"] = json!("enable"),
                false,
                "the lower has the others' addresses",
            ),
            (
                |it| it["srcaddr"] = list(&["all"]),
                |it| it["srcaddr-negate"] = json!("enable"),
                true,
                "all takes the others' addresses too",
            ),
            (|it| it["groups"] = list(&["staff"]), |_| {}, false, "only some users"),
            (|it| it["schedule"] = json!("lunch"), |_| {}, false, "only at times"),
            (
                |it| it["schedule"] = json!("lunch"),
                |it| it["schedule"] = json!("lunch"),
                true,
                "at the same times",
            ),
        ];
        for (upper, lower, expected, why) in rows {
            assert_eq!(objects.shadows(&policy(upper), &policy(lower)), expected, "{why}");
        }
    }

    proptest! {
        #[test]
        fn a_set_covers_another_where_each_member_does(
            one in prop::collection::vec((0_u32..24, 0_u32..6), 0..6), other in prop::collection::vec((0_u32..24, 0_u32..6), 0..4),
        ) {
            let set = |ranges: &[(u32, u32)]| {
                let mut set = Set::default();
                for (from, more) in ranges {
                    set.add(Set { ranges: vec![(*from, from + more)], ..Set::default() });
                }
                set
            };
            let has = |ranges: &[(u32, u32)], at: u32| ranges.iter().any(|(from, more)| (*from..=from + more).contains(&at));
            let expected = (0..32).all(|at| has(&one, at) || !has(&other, at));
            prop_assert_eq!(set(&one).covers(&set(&other)), expected);
        }
    }
}
