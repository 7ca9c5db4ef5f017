//! `firewall addrgrp`

use crate::schema::attribute::{Attribute, choice, number, off, reference, rows, text, uuid};
use crate::schema::table::Table;

pub(crate) const ADDRGRP: Table =
    Table::list("firewall/addrgrp", ATTRIBUTES).limit(33_192).shares_names_with(&["firewall/address"]);

const MEMBERS: &[&str] = &["firewall/address", "firewall/addrgrp"];

const ATTRIBUTES: &[Attribute] = &[
    text("name", 79),
    choice("type", "default", &["default", "folder"]),
    choice("category", "default", &["default", "ztna-ems-tag", "ztna-geo-tag"]),
    uuid(),
    rows("member", &[reference("name", MEMBERS)]).required(),
    text("comment", 255),
    off("exclude"),
    rows("exclude-member", &[reference("name", MEMBERS)]),
    number("color", 0, 32, 0),
    rows("tagging", &[text("name", 63), reference("category", &[]), rows("tags", &[text("name", 79)])]),
    off("allow-routing"),
    off("fabric-object"),
];
