//! `firewall service category`, `custom` and `group`

use serde_json::json;

use super::firewall_service_predefined as predefined;
use crate::schema::attribute::{
    Attribute, choice, formatted, number, off, reference, rows, text, text_or, uuid,
};
use crate::schema::format::Format;
use crate::schema::table::Table;

const CUSTOM_NAME: &str = "firewall.service/custom";
const GROUP_NAME: &str = "firewall.service/group";

pub(crate) const CATEGORY: Table =
    Table::list("firewall.service/category", CATEGORY_ATTRIBUTES).limit(512).ordered().predefined(|| {
        let row = |(name, comment)| json!({"name": name, "comment": comment});
        predefined::CATEGORIES.iter().copied().map(row).collect()
    });

pub(crate) const CUSTOM: Table = Table::list(CUSTOM_NAME, CUSTOM_ATTRIBUTES)
    .limit(10_240)
    .ordered()
    .shares_names_with(&[GROUP_NAME])
    .predefined(predefined::services);

pub(crate) const GROUP: Table = Table::list(GROUP_NAME, GROUP_ATTRIBUTES)
    .limit(4_000)
    .ordered()
    .shares_names_with(&[CUSTOM_NAME])
    .predefined(predefined::groups);

const CATEGORY_ATTRIBUTES: &[Attribute] =
    &[text("name", 63), uuid(), text("comment", 255), off("fabric-object")];

const PROTOCOLS: &[&str] = &[
    "TCP/UDP/UDP-Lite/SCTP",
    "TCP/UDP/SCTP",
    "ICMP",
    "ICMP6",
    "IP",
    "HTTP",
    "FTP",
    "CONNECT",
    "SOCKS-TCP",
    "SOCKS-UDP",
    "ALL",
];
const PORTS: &[&str] = &["TCP/UDP/SCTP", "TCP/UDP/UDP-Lite/SCTP"];
const HELPERS: &[&str] = &[
    "auto", "disable", "ftp", "tftp", "ras", "h323", "tns", "mms", "sip", "pptp", "rtsp", "dns-udp",
    "dns-tcp", "pmap", "rsh", "dcerpc", "mgcp",
];

const CUSTOM_ATTRIBUTES: &[Attribute] = &[
    text("name", 79),
    uuid(),
    off("proxy"),
    reference("category", &["firewall.service/category"]),
    choice("protocol", "TCP/UDP/SCTP", PROTOCOLS),
    choice("helper", "auto", HELPERS),
    formatted("iprange", Format::Range, "0.0.0.0"),
    text("fqdn", 255),
    number("protocol-number", 0, 254, 0).only("protocol", &["IP", "ICMP", "ICMP6"]),
    number("icmptype", 0, 4_294_967_295, -1).only("protocol", &["ICMP", "ICMP6"]),
    number("icmpcode", 0, 255, -1).only("protocol", &["ICMP", "ICMP6"]),
    formatted("tcp-portrange", Format::Ports, "").only("protocol", PORTS),
    formatted("udp-portrange", Format::Ports, "").only("protocol", PORTS),
    formatted("udplite-portrange", Format::Ports, "").only("protocol", PORTS),
    formatted("sctp-portrange", Format::Ports, "").only("protocol", PORTS),
    number("tcp-halfclose-timer", 0, 86_400, 0),
    number("tcp-halfopen-timer", 0, 86_400, 0),
    number("tcp-timewait-timer", 0, 300, 0),
    number("tcp-rst-timer", 5, 300, 0),
    number("udp-idle-timer", 0, 86_400, 0),
    text_or("session-ttl", 15, "0"),
    choice("check-reset-range", "default", &["disable", "strict", "default"]),
    text("comment", 255),
    number("color", 0, 32, 0),
    choice("app-service-type", "disable", &["disable", "app-id", "app-category"]),
    rows("app-category", &[number("id", 0, 4_294_967_295, 0)]),
    rows("application", &[number("id", 0, 4_294_967_295, 0)]),
    off("fabric-object"),
];

const GROUP_ATTRIBUTES: &[Attribute] = &[
    text("name", 79),
    uuid(),
    off("proxy"),
    rows("member", &[reference("name", &[CUSTOM_NAME, GROUP_NAME])]).required(),
    text("comment", 255),
    number("color", 0, 32, 0),
    off("fabric-object"),
];
