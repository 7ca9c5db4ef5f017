//! `firewall ippool`

use crate::schema::attribute::{Attribute, choice, formatted, number, off, on, reference, text};
use crate::schema::format::Format;
use crate::schema::table::Table;

pub(crate) const IPPOOL: Table = Table::list("firewall/ippool", ATTRIBUTES).limit(5_000);

const ATTRIBUTES: &[Attribute] = &[
    text("name", 79),
    choice("type", "overload", &["overload", "one-to-one", "fixed-port-range", "port-block-allocation"]),
    formatted("startip", Format::Address, "0.0.0.0").required(),
    formatted("endip", Format::Address, "0.0.0.0").required(),
    number("startport", 1024, 65_535, 5117),
    number("endport", 1024, 65_535, 65_533),
    formatted("source-startip", Format::Address, "0.0.0.0"),
    formatted("source-endip", Format::Address, "0.0.0.0"),
    number("block-size", 64, 4096, 128),
    number("port-per-user", 32, 60_417, 0),
    number("num-blocks-per-user", 1, 128, 8),
    number("pba-timeout", 3, 86_400, 30),
    number("pba-interim-log", 600, 86_400, 0),
    off("permit-any-host"),
    on("arp-reply"),
    reference("arp-intf", &["system/interface"]),
    reference("associated-interface", &["system/interface"]),
    text("comments", 255),
    off("nat64"),
    on("add-nat64-route"),
    off("subnet-broadcast-in-ippool"),
];
