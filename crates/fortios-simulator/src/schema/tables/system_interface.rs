//! `system interface`

use serde_json::{Value, json};

use crate::schema::attribute::{
    Attribute, choice, formatted, number, off, on, options, record, reference, reference_or, rows, secret,
    text, text_or,
};
use crate::schema::format::Format;
use crate::schema::table::Table;

pub(crate) const INTERFACE: Table = Table::list("system/interface", ATTRIBUTES)
    .global()
    .no_transactions()
    .limit(8_192)
    .shares_names_with(&["system/zone"])
    .predefined(ports);

fn ports() -> Vec<Value> {
    let port =
        |number: u8| json!({"name": format!("port{number}"), "type": "physical", "snmp-index": number});
    let mut ports: Vec<Value> = (1..=10).map(port).collect();
    ports[0]["ip"] = json!("192.0.2.1 255.255.255.0");
    ports[0]["allowaccess"] = json!("ping https ssh");
    ports.push(json!({"name": "ssl.root", "type": "tunnel", "alias": "SSL VPN interface", "snmp-index": 11}));
    ports.push(json!({"name": "naf.root", "type": "tunnel", "src-check": "disable", "snmp-index": 12}));
    ports
}

const TYPES: &[&str] = &[
    "physical",
    "vlan",
    "aggregate",
    "redundant",
    "tunnel",
    "vdom-link",
    "loopback",
    "switch",
    "vap-switch",
    "wl-mesh",
    "fext-wan",
    "vxlan",
    "geneve",
    "hard-switch",
    "emac-vlan",
    "ssl",
];
const ACCESS: &[&str] = &[
    "ping",
    "https",
    "ssh",
    "snmp",
    "http",
    "telnet",
    "fgfm",
    "radius-acct",
    "probe-response",
    "fabric",
    "ftm",
    "speed-test",
];

const ATTRIBUTES: &[Attribute] = &[
    text("name", 15),
    reference_or("vdom", "root", &["system/vdom"]).always_exported(),
    number("vrf", 0, 511, 0),
    number("cli-conn-status", 0, 255, 0),
    choice("mode", "static", &["static", "dhcp", "pppoe"]),
    off("dhcp-relay-service"),
    text("dhcp-relay-ip", 255),
    number("distance", 1, 255, 5),
    number("priority", 1, 65_535, 1),
    off("dhcp-relay-request-all-server"),
    formatted("ip", Format::Host, "0.0.0.0 0.0.0.0"),
    options("allowaccess", "", ACCESS),
    off("gwdetect"),
    number("ping-serv-status", 0, 255, 0),
    text("detectserver", 255),
    options("detectprotocol", "ping", &["ping", "tcp-echo", "udp-echo"]),
    number("ha-priority", 1, 50, 1),
    off("fail-detect"),
    options("fail-detect-option", "link-down", &["detectserver", "link-down"]),
    choice("fail-alert-method", "link-down", &["link-failed-signal", "link-down"]),
    off("pptp-client"),
    off("arpforward"),
    off("ndiscforward"),
    off("broadcast-forward"),
    choice("bfd", "global", &["global", "enable", "disable"]),
    off("l2forward"),
    off("icmp-send-redirect"),
    on("icmp-accept-redirect"),
    off("vlanforward"),
    off("stpforward"),
    off("ips-sniffer-mode"),
    off("ident-accept"),
    off("ipmac"),
    off("subst"),
    formatted("macaddr", Format::Mac, "00:00:00:00:00:00"),
    formatted("substitute-dst-mac", Format::Mac, "00:00:00:00:00:00"),
    choice("speed", "auto", &["auto", "10full", "100full", "1000full", "10000full"]),
    choice("status", "up", &["up", "down"]),
    off("netbios-forward"),
    formatted("wins-ip", Format::Address, "0.0.0.0"),
    choice("type", "vlan", TYPES),
    choice("dedicated-to", "none", &["none", "management"]),
    off("ipunnumbered"),
    formatted("management-ip", Format::Host, "0.0.0.0 0.0.0.0"),
    off("mtu-override"),
    number("mtu", 68, 65_535, 1500),
    off("wccp"),
    choice("netflow-sampler", "disable", &["disable", "tx", "rx", "both"]),
    off("sflow-sampler"),
    off("drop-fragment"),
    on("src-check"),
    number("sample-rate", 10, 99_999, 2000),
    number("polling-interval", 1, 255, 20),
    off("explicit-web-proxy"),
    off("explicit-ftp-proxy"),
    number("tcp-mss", 48, 65_535, 0),
    number("inbandwidth", 0, 80_000_000, 0),
    number("outbandwidth", 0, 80_000_000, 0),
    reference("egress-shaping-profile", &[]),
    reference("ingress-shaping-profile", &[]),
    number("disconnect-threshold", 0, 10_000, 0),
    number("spillover-threshold", 0, 16_776_000, 0),
    number("ingress-spillover-threshold", 0, 16_776_000, 0),
    number("weight", 0, 255, 0),
    reference("interface", &["system/interface"]),
    off("external"),
    number("vlanid", 1, 4_094, 0),
    choice("vlan-protocol", "8021q", &["8021q", "8021ad"]),
    off("trunk"),
    number("forward-domain", 0, 2_147_483_647, 0),
    formatted("remote-ip", Format::Host, "0.0.0.0 0.0.0.0"),
    rows("member", &[reference("interface-name", &["system/interface"])]),
    choice("lacp-mode", "active", &["static", "passive", "active"]),
    choice("lacp-speed", "slow", &["slow", "fast"]),
    number("min-links", 1, 32, 1),
    choice("algorithm", "L4", &["L2", "L3", "L4", "NPU-GRE", "Source-MAC"]),
    off("device-identification"),
    off("device-user-identification"),
    choice("lldp-reception", "vdom", &["enable", "disable", "vdom"]),
    choice("lldp-transmission", "vdom", &["enable", "disable", "vdom"]),
    number("estimated-upstream-bandwidth", 0, 4_294_967_295, 0),
    number("estimated-downstream-bandwidth", 0, 4_294_967_295, 0),
    off("monitor-bandwidth"),
    off("vrrp-virtual-mac"),
    rows("vrrp", VRRP),
    text("description", 255),
    text("alias", 25),
    choice("security-mode", "none", &["none", "captive-portal", "802.1X"]),
    off("stp"),
    choice("role", "undefined", &["lan", "wan", "dmz", "undefined"]),
    number("snmp-index", 0, 2_147_483_647, 0),
    off("secondary-IP"),
    rows("secondaryip", SECONDARY),
    on("preserve-session-route"),
    off("auto-auth-extension-device"),
    off("fortilink"),
    rows("tagging", &[text("name", 63), reference("category", &[]), rows("tags", &[text("name", 79)])]),
    choice("ip-managed-by-fortiipam", "inherit-global", &["inherit-global", "enable", "disable"]),
    off("switch-controller-mgmt-vlan"),
    number("swc-first-create", 0, 4_294_967_295, 0),
    number("color", 0, 32, 0),
    secret("password", 128),
    record("ipv6", IPV6),
];

const VRRP: &[Attribute] = &[
    number("vrid", 1, 255, 0),
    choice("version", "2", &["2", "3"]),
    number("vrgrp", 0, 65_535, 0),
    formatted("vrip", Format::Address, "0.0.0.0"),
    number("priority", 1, 255, 100),
    number("adv-interval", 1, 255, 1),
    number("start-time", 1, 255, 3),
    on("preempt"),
    on("accept-mode"),
    on("status"),
];

const SECONDARY: &[Attribute] = &[
    number("id", 0, 4_294_967_295, 0),
    formatted("ip", Format::Host, "0.0.0.0 0.0.0.0"),
    text("secip-relay-ip", 255),
    options("allowaccess", "", ACCESS),
    off("gwdetect"),
    number("ping-serv-status", 0, 255, 0),
    text("detectserver", 255),
    options("detectprotocol", "ping", &["ping", "tcp-echo", "udp-echo"]),
    number("ha-priority", 1, 50, 1),
];

const IPV6: &[Attribute] = &[
    choice("ip6-mode", "static", &["static", "dhcp", "pppoe", "delegated"]),
    choice("nd-mode", "basic", &["basic", "SEND-compatible"]),
    text_or("ip6-address", 43, "::/0"),
    rows("ip6-extra-addr", &[text("prefix", 43)]),
    options("ip6-allowaccess", "", &["ping", "https", "ssh", "snmp", "http", "telnet", "fgfm", "fabric"]),
    off("ip6-send-adv"),
    on("icmp6-send-redirect"),
    off("ip6-manage-flag"),
    off("ip6-other-flag"),
    number("ip6-max-interval", 4, 1_800, 600),
    number("ip6-min-interval", 3, 1_350, 198),
    number("ip6-link-mtu", 1_280, 16_000, 0),
    number("ip6-reachable-time", 0, 3_600_000, 0),
    number("ip6-retrans-time", 0, 4_294_967_295, 0),
    number("ip6-default-life", 0, 9_000, 1_800),
    number("ip6-hop-limit", 0, 255, 0),
    off("autoconf"),
    off("dhcp6-relay-service"),
    off("dhcp6-prefix-delegation"),
];
