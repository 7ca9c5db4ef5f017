//! `firewall address`

use serde_json::json;

use crate::schema::attribute::{
    Attribute, choice, formatted, number, off, options, reference, rows, text, uuid,
};
use crate::schema::format::Format;
use crate::schema::table::Table;

pub(crate) const ADDRESS: Table = Table::list("firewall/address", ATTRIBUTES)
    .limit(113_192)
    .shares_names_with(&["firewall/addrgrp"])
    .predefined(|| {
        vec![
            json!({"name": "none", "subnet": "0.0.0.0 255.255.255.255"}),
            json!({"name": "all"}),
            json!({"name": "FIREWALL_AUTH_PORTAL_ADDRESS"}),
            json!({"name": "FABRIC_DEVICE", "comment": "IPv4 addresses of Fabric Devices."}),
            json!({"name": "SSLVPN_TUNNEL_ADDR1", "type": "iprange",
                   "start-ip": "10.212.134.200", "end-ip": "10.212.134.210"}),
            json!({"name": "login.microsoftonline.com", "type": "fqdn", "fqdn": "login.microsoftonline.com"}),
            json!({"name": "wildcard.google.com", "type": "fqdn", "fqdn": "*.google.com"}),
        ]
    });

const TYPES: &[&str] = &[
    "ipmask",
    "iprange",
    "fqdn",
    "geography",
    "wildcard",
    "dynamic",
    "interface-subnet",
    "mac",
    "route-tag",
];
const SUB_TYPES: &[&str] = &[
    "sdn",
    "clearpass-spt",
    "fsso",
    "rsso",
    "ems-tag",
    "fortivoice-tag",
    "fortinac-tag",
    "swc-tag",
    "device-identification",
];

const ATTRIBUTES: &[Attribute] = &[
    text("name", 79),
    uuid(),
    formatted("subnet", Format::Network, "0.0.0.0 0.0.0.0").only("type", &["ipmask", "interface-subnet"]),
    choice("type", "ipmask", TYPES),
    number("route-tag", 1, 4_294_967_295, 0).only("type", &["route-tag"]),
    choice("sub-type", "sdn", SUB_TYPES),
    choice(
        "clearpass-spt",
        "unknown",
        &["unknown", "healthy", "quarantine", "checkup", "transient", "infected"],
    ),
    rows("macaddr", &[text("macaddr", 127)]),
    formatted("start-ip", Format::Address, "0.0.0.0").only("type", &["iprange"]),
    formatted("end-ip", Format::Address, "0.0.0.0").only("type", &["iprange"]),
    text("fqdn", 255).only("type", &["fqdn"]),
    text("country", 2),
    text("wildcard-fqdn", 255),
    number("cache-ttl", 0, 86_400, 0),
    formatted("wildcard", Format::Host, "0.0.0.0 0.0.0.0").only("type", &["wildcard"]),
    reference("sdn", &[]),
    rows("fsso-group", &[text("name", 511)]),
    rows("sso-attribute-value", &[text("name", 511)]),
    reference("interface", &["system/interface"]),
    text("tenant", 35),
    text("organization", 35),
    text("epg-name", 255),
    text("subnet-name", 255),
    text("sdn-tag", 15),
    text("policy-group", 15),
    choice("obj-type", "ip", &["ip", "mac"]),
    text("obj-tag", 255),
    text("tag-detection-level", 15),
    text("tag-type", 63),
    text("hw-vendor", 35),
    text("hw-model", 35),
    text("os", 35),
    text("sw-version", 35),
    text("comment", 255),
    reference("associated-interface", &["system/interface", "system/zone"]),
    number("color", 0, 32, 0),
    text("filter", 2047),
    choice("sdn-addr-type", "private", &["private", "public", "all"]),
    off("node-ip-only"),
    text("obj-id", 255),
    rows("list", &[text("ip", 35), text("obj-id", 127), text("net-id", 127)]),
    rows("tagging", &[text("name", 63), reference("category", &[]), rows("tags", &[text("name", 79)])]),
    off("allow-routing"),
    off("fabric-object"),
    options("passive-fqdn-learning", "enable", &["disable", "enable"]),
];
