//! `system accprofile`, `system admin` and `system api-user`

use serde_json::json;

use crate::schema::attribute::{
    Attribute, choice, formatted, number, off, record, reference, reference_or, rows, secret, text,
};
use crate::schema::format::Format;
use crate::schema::table::Table;

pub(crate) const ACCPROFILE: Table =
    Table::list("system/accprofile", PROFILE_ATTRIBUTES).global().no_transactions().limit(64).predefined(
        || {
            vec![
                all_groups("super_admin", "global", "read-write"),
                all_groups("prof_admin", "vdom", "read-write"),
                all_groups("super_admin_readonly", "global", "read"),
            ]
        },
    );

pub(crate) const ADMIN: Table =
    Table::list("system/admin", ADMIN_ATTRIBUTES).global().no_transactions().limit(500);

pub(crate) const API_USER: Table =
    Table::list("system/api-user", API_USER_ATTRIBUTES).global().no_transactions().limit(500);

const RIGHTS: &[&str] = &["none", "read", "read-write"];
/// With a right for each part of the group.
const OF_PARTS: &[&str] = &["none", "read", "read-write", "custom"];
const GROUPS: &[&str] = &[
    "secfabgrp",
    "ftviewgrp",
    "authgrp",
    "sysgrp",
    "netgrp",
    "loggrp",
    "fwgrp",
    "vpngrp",
    "utmgrp",
    "wanoptgrp",
    "wifi",
];

fn all_groups(name: &str, scope: &str, right: &str) -> serde_json::Value {
    let mut row = json!({"name": name, "scope": scope});
    for group in GROUPS {
        row[*group] = json!(right);
    }
    row
}

const PROFILE_ATTRIBUTES: &[Attribute] = &[
    text("name", 35),
    choice("scope", "vdom", &["vdom", "global"]),
    text("comments", 255),
    choice("secfabgrp", "none", RIGHTS),
    choice("ftviewgrp", "none", RIGHTS),
    choice("authgrp", "none", RIGHTS),
    choice("sysgrp", "none", RIGHTS),
    choice("netgrp", "none", OF_PARTS),
    choice("loggrp", "none", RIGHTS),
    choice("fwgrp", "none", OF_PARTS),
    choice("vpngrp", "none", RIGHTS),
    choice("utmgrp", "none", RIGHTS),
    choice("wanoptgrp", "none", RIGHTS),
    choice("wifi", "none", RIGHTS),
    record(
        "netgrp-permission",
        &[
            choice("cfg", "none", RIGHTS),
            choice("packet-capture", "none", RIGHTS),
            choice("route-cfg", "none", RIGHTS),
        ],
    ),
    record(
        "fwgrp-permission",
        &[
            choice("policy", "none", RIGHTS),
            choice("address", "none", RIGHTS),
            choice("service", "none", RIGHTS),
            choice("schedule", "none", RIGHTS),
            choice("others", "none", RIGHTS),
        ],
    ),
    off("admintimeout-override"),
    number("admintimeout", 1, 480, 10),
];

const ADMIN_ATTRIBUTES: &[Attribute] = &[
    text("name", 64),
    off("wildcard"),
    off("remote-auth"),
    text("remote-group", 35),
    secret("password", 128),
    off("peer-auth"),
    formatted("trusthost1", Format::Network, "0.0.0.0 0.0.0.0"),
    formatted("trusthost2", Format::Network, "0.0.0.0 0.0.0.0"),
    formatted("trusthost3", Format::Network, "0.0.0.0 0.0.0.0"),
    reference("accprofile", &["system/accprofile"]),
    off("allow-remove-admin-session"),
    text("comments", 255),
    rows("vdom", &[reference("name", &["system/vdom"])]),
    choice("two-factor", "disable", &["disable", "fortitoken", "fortitoken-cloud", "email", "sms"]),
    text("email-to", 63),
    off("force-password-change"),
    off("guest-auth"),
];

const API_USER_ATTRIBUTES: &[Attribute] = &[
    text("name", 35),
    text("comments", 255),
    secret("api-key", 128),
    reference_or("accprofile", "", &["system/accprofile"]),
    rows("vdom", &[reference("name", &["system/vdom"])]),
    text("schedule", 35),
    text("cors-allow-origin", 269),
    off("peer-auth"),
    text("peer-group", 35),
    rows(
        "trusthost",
        &[
            number("id", 0, 4_294_967_295, 0),
            choice("type", "ipv4-trusthost", &["ipv4-trusthost", "ipv6-trusthost"]),
            formatted("ipv4-trusthost", Format::Network, "0.0.0.0 0.0.0.0"),
            text("ipv6-trusthost", 43),
        ],
    ),
];
