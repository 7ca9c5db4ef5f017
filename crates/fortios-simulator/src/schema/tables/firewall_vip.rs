//! `firewall vip` and `firewall vipgrp`

use crate::schema::attribute::{
    Attribute, choice, formatted, number, off, on, reference, reference_and, rows, text, uuid,
};
use crate::schema::format::Format;
use crate::schema::table::Table;

pub(crate) const VIP: Table =
    Table::list("firewall/vip", ATTRIBUTES).limit(10_000).shares_names_with(&["firewall/vipgrp"]);

pub(crate) const VIPGRP: Table =
    Table::list("firewall/vipgrp", GROUP_ATTRIBUTES).limit(5_000).shares_names_with(&["firewall/vip"]);

const TYPES: &[&str] =
    &["static-nat", "load-balance", "server-load-balance", "dns-translation", "fqdn", "access-proxy"];
const SERVICES: &[&str] = &["firewall.service/custom", "firewall.service/group"];

const ATTRIBUTES: &[Attribute] = &[
    text("name", 79),
    number("id", 0, 65_535, 0),
    uuid(),
    text("comment", 255),
    choice("type", "static-nat", TYPES),
    choice("server-type", "", &["http", "https", "imaps", "pop3s", "smtps", "ssl", "tcp", "udp", "ip", ""])
        .only("type", &["server-load-balance"]),
    number("dns-mapping-ttl", 0, 604_800, 0),
    choice(
        "ldb-method",
        "static",
        &["static", "round-robin", "weighted", "least-session", "least-rtt", "first-alive", "http-host"],
    ),
    rows("src-filter", &[text("range", 79)]),
    rows("service", &[reference("name", SERVICES)]),
    formatted("extip", Format::Range, "0.0.0.0"),
    rows("extaddr", &[reference("name", &["firewall/address", "firewall/addrgrp"])]),
    on("nat44"),
    off("nat46"),
    on("add-nat46-route"),
    rows("mappedip", &[formatted("range", Format::Range, "")]),
    reference("mapped-addr", &["firewall/address"]),
    reference_and("extintf", &["any"], &["system/interface"]),
    on("arp-reply"),
    choice("persistence", "none", &["none", "http-cookie", "ssl-session-id"]),
    off("nat-source-vip"),
    off("portforward"),
    on("status"),
    choice("protocol", "tcp", &["tcp", "udp", "sctp", "icmp"]),
    formatted("extport", Format::Port, "0-65535").only("portforward", &["enable"]),
    formatted("mappedport", Format::Port, "0-65535").only("portforward", &["enable"]),
    number("gratuitous-arp-interval", 5, 8_640_000, 0),
    rows("srcintf-filter", &[reference("interface-name", &["system/interface"])]),
    choice("portmapping-type", "1-to-1", &["1-to-1", "m-to-n"]),
    rows("realservers", REAL_SERVERS),
    off("http-redirect"),
    off("http-multiplex"),
    off("http-ip-header"),
    text("http-ip-header-name", 35),
    off("outlook-web-access"),
    off("weblogic-server"),
    off("websphere-server"),
    reference("ssl-certificate", &[]),
    choice("ssl-mode", "half", &["half", "full"]),
    rows("monitor", &[text("name", 47)]),
    number("max-embryonic-connections", 0, 100_000, 1000),
    number("color", 0, 32, 0),
    text("ipv6-mappedip", 79),
    text("ipv6-mappedport", 31),
    choice("one-click-gslb-server", "disable", &["disable", "enable"]),
    text("gslb-hostname", 35),
    text("gslb-domain-name", 255),
    rows("gslb-public-ips", &[number("index", 0, 255, 0), formatted("ip", Format::Address, "0.0.0.0")]),
];

const REAL_SERVERS: &[Attribute] = &[
    number("id", 0, 4_294_967_295, 0),
    choice("type", "ip", &["ip", "address"]),
    reference("address", &["firewall/address"]),
    formatted("ip", Format::Address, "0.0.0.0"),
    number("port", 1, 65_535, 0),
    choice("status", "active", &["active", "standby", "disable"]),
    number("weight", 1, 255, 1),
    number("holddown-interval", 30, 65_535, 300),
    choice("healthcheck", "vip", &["disable", "enable", "vip"]),
    text("http-host", 63),
    number("max-connections", 0, 2_147_483_647, 0),
];

const GROUP_ATTRIBUTES: &[Attribute] = &[
    text("name", 79),
    uuid(),
    reference_and("interface", &["any"], &["system/interface"]).required(),
    number("color", 0, 32, 0),
    text("comments", 255),
    rows("member", &[reference("name", &["firewall/vip"])]).required(),
];
