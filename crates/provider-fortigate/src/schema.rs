//! The kinds of this plugin, the tables of FortiOS that they stand in, and the rules of their fields.

use vertskommune_core::schema::{Change, Comparison, Concern, FieldRule, KindRules, Schema};

use crate::{marks, shadow};

/// How a kind stands in FortiOS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// The kind.
    pub(crate) kind: &'static str,
    /// Its table, by the path of the REST API.
    pub(crate) path: &'static str,
    /// The attribute by which a row is addressed.
    pub(crate) mkey: &'static str,
    /// The attribute that carries the mark, and how long it may be; schedules have none.
    pub(crate) comment: Option<(&'static str, usize)>,
    /// The attributes that we set, with how each is read.
    pub(crate) attributes: &'static [(&'static str, Form)],
    /// Attributes that are only read.
    pub(crate) shown: &'static [&'static str],
    /// Whether it is one table for all virtual firewalls.
    pub(crate) is_global: bool,
    /// Whether it is changed within a transaction. Interfaces cannot be, and zones go with them.
    pub(crate) batched: bool,
}

/// The field that says in which virtual firewall a row stands. Only interfaces have it as an attribute.
pub(crate) const VDOM: &str = "vdom";
/// Where a row stands that belongs to the device and to no virtual firewall. FortiOS lets none be called so.
pub(crate) const GLOBAL: &str = "global";

/// How an attribute is written by FortiOS, and what it is for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A text or a number, as it is.
    Plain,
    /// Names of other objects, `[{"name": …}]`, in any order.
    Names,
    /// The same with the key `interface-name`.
    Interfaces,
    /// Words with spaces between them, in any order.
    Words,
    /// A list of ranges, `[{"range": …}]`, of which we write one.
    Range,
    /// Set when the row is made, and not to be changed.
    Fixed,
}

use Form::{Fixed, Interfaces, Names, Plain, Range, Words};

/// All tables, in the order in which rows of one need those of another.
pub(crate) const TABLES: &[Table] = &[
    // A virtual firewall itself has no comment; each has properties of its name, which come and go with it.
    Table {
        kind: marks::VIRTUAL_FIREWALL,
        path: "system/vdom-property",
        mkey: "name",
        comment: Some(("description", 127)),
        attributes: &[],
        shown: &[],
        is_global: true,
        batched: false,
    },
    Table {
        kind: marks::LINK,
        path: "system/vdom-link",
        mkey: "name",
        comment: None,
        attributes: &[("type", Fixed)],
        shown: &[],
        is_global: true,
        batched: false,
    },
    Table {
        kind: marks::INTERFACE,
        path: "system/interface",
        mkey: "name",
        comment: Some(("description", 255)),
        attributes: &[
            (VDOM, Fixed),
            ("interface", Fixed),
            ("vlanid", Fixed),
            ("ip", Plain),
            ("allowaccess", Words),
        ],
        shown: &[],
        is_global: true,
        batched: false,
    },
    // Made with its link, in the virtual firewall of the device's own administration.
    Table {
        kind: marks::LINK_END,
        path: "system/interface",
        mkey: "name",
        comment: Some(("description", 255)),
        attributes: &[(VDOM, Plain), ("ip", Plain), ("allowaccess", Words)],
        shown: &[],
        is_global: true,
        batched: false,
    },
    Table {
        kind: marks::ZONE,
        path: "system/zone",
        mkey: "name",
        comment: Some(("description", 127)),
        attributes: &[("interface", Interfaces), ("intrazone", Plain)],
        shown: &[],
        is_global: false,
        batched: false,
    },
    Table {
        kind: marks::ADDRESS,
        path: "firewall/address",
        mkey: "name",
        comment: Some(("comment", 255)),
        attributes: &[
            ("type", Plain),
            ("subnet", Plain),
            ("start-ip", Plain),
            ("end-ip", Plain),
            ("fqdn", Plain),
        ],
        shown: &[],
        is_global: false,
        batched: true,
    },
    Table {
        kind: marks::ADDRESS_GROUP,
        path: "firewall/addrgrp",
        mkey: "name",
        comment: Some(("comment", 255)),
        attributes: &[("member", Names)],
        shown: &[],
        is_global: false,
        batched: true,
    },
    Table {
        kind: marks::SERVICE,
        path: "firewall.service/custom",
        mkey: "name",
        comment: Some(("comment", 255)),
        attributes: &[("protocol", Plain), ("tcp-portrange", Words), ("udp-portrange", Words)],
        shown: &[],
        is_global: false,
        batched: true,
    },
    Table {
        kind: marks::SERVICE_GROUP,
        path: "firewall.service/group",
        mkey: "name",
        comment: Some(("comment", 255)),
        attributes: &[("member", Names)],
        shown: &[],
        is_global: false,
        batched: true,
    },
    Table {
        kind: marks::SCHEDULE,
        path: "firewall.schedule/recurring",
        mkey: "name",
        comment: None,
        attributes: &[("day", Words), ("start", Plain), ("end", Plain)],
        shown: &[],
        is_global: false,
        batched: true,
    },
    Table {
        kind: marks::VIP,
        path: "firewall/vip",
        mkey: "name",
        comment: Some(("comment", 255)),
        attributes: &[
            ("extintf", Plain),
            ("extip", Plain),
            ("mappedip", Range),
            ("portforward", Plain),
            ("protocol", Plain),
            ("extport", Plain),
            ("mappedport", Plain),
        ],
        shown: &[],
        is_global: false,
        batched: true,
    },
    Table {
        kind: marks::ROUTE,
        path: "router/static",
        mkey: "seq-num",
        comment: Some(("comment", 255)),
        attributes: &[("dst", Plain), ("gateway", Plain), ("device", Plain)],
        shown: &[],
        is_global: false,
        batched: true,
    },
    Table {
        kind: marks::POLICY,
        path: "firewall/policy",
        mkey: "policyid",
        comment: Some(("comments", 1023)),
        attributes: &[
            ("name", Plain),
            ("srcintf", Names),
            ("dstintf", Names),
            ("srcaddr", Names),
            ("srcaddr-negate", Plain),
            ("dstaddr", Names),
            ("dstaddr-negate", Plain),
            ("service", Names),
            ("action", Plain),
            ("nat", Plain),
            ("ippool", Plain),
            ("poolname", Names),
            ("schedule", Plain),
            ("logtraffic", Plain),
            ("status", Plain),
            ("utm-status", Plain),
            ("av-profile", Plain),
            ("ips-sensor", Plain),
            ("webfilter-profile", Plain),
            ("application-list", Plain),
            ("ssl-ssh-profile", Plain),
        ],
        shown: shadow::CONDITIONS,
        is_global: false,
        batched: true,
    },
];

/// Attributes that FortiOS has only where another one has this value: kind, attributes, the other one and its value.
const ONLY: &[(&str, &[&str], &str, &str)] = &[
    (marks::ADDRESS, &["subnet"], "type", "ipmask"),
    (marks::ADDRESS, &["start-ip", "end-ip"], "type", "iprange"),
    (marks::ADDRESS, &["fqdn"], "type", "fqdn"),
    (marks::SERVICE, &["tcp-portrange", "udp-portrange"], "protocol", "TCP/UDP/SCTP"),
    (marks::VIP, &["protocol", "extport", "mappedport"], "portforward", "enable"),
    (marks::POLICY, INSPECTION, "action", "accept"),
];
/// What says how the traffic of a rule that lets it through is inspected.
const INSPECTION: &[&str] =
    &["utm-status", "av-profile", "ips-sensor", "webfilter-profile", "application-list", "ssl-ssh-profile"];

impl Table {
    /// Whether we set this attribute.
    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|(name, _)| *name == attribute)
    }

    /// The attributes that we read.
    pub(crate) fn read(&self) -> Vec<&'static str> {
        let set = self.attributes.iter().map(|(name, _)| *name);
        let comment = self.comment.map(|(name, _)| name);
        let mut all: Vec<&str> = Vec::new();
        for name in set.chain(comment).chain(self.shown.iter().copied()).chain([self.mkey]) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// The attribute and its value on which it depends whether there is this one.
    pub(crate) fn only(&self, attribute: &str) -> Option<(&'static str, &'static str)> {
        let rule = ONLY.iter().find(|(kind, names, ..)| *kind == self.kind && names.contains(&attribute))?;
        Some((rule.2, rule.3))
    }
}

/// The tables as they are read: one of two kinds is read once, and those of virtual firewalls only where tenants may have
/// their own.
pub(crate) fn sources(dedicated: bool) -> impl Iterator<Item = &'static Table> {
    let is_first = |at: usize, path: &str| !TABLES.iter().take(at).any(|table| table.path == path);
    let is_read = move |kind: &str| dedicated || !matches!(kind, marks::VIRTUAL_FIREWALL | marks::LINK);
    let read = move |(at, table): &(usize, &Table)| is_first(*at, table.path) && is_read(table.kind);
    TABLES.iter().enumerate().filter(read).map(|(_, table)| table)
}

/// The table of a kind.
pub(crate) fn table(kind: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.kind == kind)
}

/// The schema, which is the same for every FortiGate.
pub(crate) fn schema() -> Schema {
    let mut kinds: std::collections::BTreeMap<_, _> =
        TABLES.iter().map(|table| (table.kind.into(), rules(table))).collect();
    let order =
        KindRules { fields: vec![FieldRule::new("sequence", Change::Mutable)], ..KindRules::default() };
    kinds.insert(marks::ORDER.into(), order);
    Schema { concern: Concern::Firewall, kinds }
}

/// The rules of the fields of a table.
pub(crate) fn rules(table: &Table) -> KindRules {
    let fields = table.attributes.iter().map(|(name, form)| match form {
        Fixed => FieldRule::new(*name, Change::Immutable).remedy(remedy(name)),
        Names | Interfaces | Words => FieldRule::new(*name, Change::Mutable).compared(Comparison::Unordered),
        Plain | Range => FieldRule::new(*name, Change::Mutable),
    });
    let vdom = (!table.has(VDOM)).then(|| FieldRule::new(VDOM, Change::Immutable));
    KindRules { holds_data: false, fields: fields.chain(vdom).collect(), outputs: Vec::new() }
}

/// What to do where FortiOS does not take another value: it keeps a VLAN's id and port from its creation on (-522).
fn remedy(attribute: &str) -> &'static str {
    match attribute {
        "vlanid" => {
            "add a network of another name with this VLAN and a cidr of its own, move there what is in this one, and then \
             take this one away"
        }
        "interface" => {
            "write the former one in spec.settings.parent of the HostProvider, or move the tenant to new networks"
        }
        _ => "",
    }
}
