//! `system vdom`, `system vdom-link` and `system vdom-property`

use serde_json::json;

use crate::schema::attribute::{Attribute, choice, number, reference, rows, text};
use crate::schema::table::Table;

pub(crate) const VDOM: Table = Table::list("system/vdom", VDOM_ATTRIBUTES)
    .global()
    .no_transactions()
    .predefined(|| vec![json!({"name": "root"})]);

pub(crate) const VDOM_LINK: Table =
    Table::list("system/vdom-link", LINK_ATTRIBUTES).global().no_transactions().limit(1_024);

pub(crate) const VDOM_PROPERTY: Table =
    Table::list("system/vdom-property", PROPERTY_ATTRIBUTES).global().no_transactions();

const VDOM_ATTRIBUTES: &[Attribute] = &[
    text("name", 31),
    text("short-name", 11),
    number("vcluster-id", 0, 30, 0),
    number("flag", 0, 4_294_967_295, 0),
];

const LINK_ATTRIBUTES: &[Attribute] = &[
    text("name", 11),
    choice("vcluster", "vcluster1", &["vcluster1", "vcluster2"]),
    choice("type", "ppp", &["ppp", "ethernet"]),
];

const PROPERTY_ATTRIBUTES: &[Attribute] = &[
    reference("name", &["system/vdom"]),
    text("description", 127),
    number("snmp-index", 0, 2_147_483_647, 0),
    rows("session", QUOTA),
    rows("firewall-policy", QUOTA),
    rows("firewall-address", QUOTA),
    rows("firewall-addrgrp", QUOTA),
    rows("custom-service", QUOTA),
    rows("service-group", QUOTA),
];

/// Maximum and guaranteed, as the device writes the pair.
const QUOTA: &[Attribute] =
    &[number("custom-max", 0, 4_294_967_295, 0), number("guaranteed", 0, 4_294_967_295, 0)];
