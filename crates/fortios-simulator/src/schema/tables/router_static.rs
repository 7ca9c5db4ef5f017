//! `router static`

use crate::schema::attribute::{Attribute, formatted, number, off, on, reference, rows, text};
use crate::schema::format::Format;
use crate::schema::table::Table;

pub(crate) const STATIC: Table = Table::list("router/static", ATTRIBUTES).limit(10_000);

const ATTRIBUTES: &[Attribute] = &[
    number("seq-num", 0, 4_294_967_295, 0),
    on("status"),
    formatted("dst", Format::Network, "0.0.0.0 0.0.0.0"),
    formatted("src", Format::Network, "0.0.0.0 0.0.0.0"),
    formatted("gateway", Format::Address, "0.0.0.0"),
    formatted("preferred-source", Format::Address, "0.0.0.0"),
    number("distance", 1, 255, 10),
    number("weight", 0, 255, 0),
    number("priority", 1, 65_535, 1),
    reference("device", &["system/interface"]),
    text("comment", 255),
    off("blackhole"),
    off("dynamic-gateway"),
    rows("sdwan-zone", &[reference("name", &[])]),
    reference("dstaddr", &["firewall/address", "firewall/addrgrp"]),
    number("internet-service", 0, 4_294_967_295, 0),
    reference("internet-service-custom", &[]),
    off("link-monitor-exempt"),
    number("tag", 0, 4_294_967_295, 0),
    number("vrf", 0, 511, 0),
    off("bfd"),
];
