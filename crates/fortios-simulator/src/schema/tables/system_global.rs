//! `system global` and `system central-management`

use crate::schema::attribute::{
    Attribute, choice, formatted, number, off, on, reference_or, secret, text, text_or,
};
use crate::schema::format::Format;
use crate::schema::table::Table;

pub(crate) const GLOBAL: Table = Table::single("system/global", GLOBAL_ATTRIBUTES).global().no_transactions();

pub(crate) const CENTRAL_MANAGEMENT: Table =
    Table::single("system/central-management", CENTRAL_ATTRIBUTES).global().no_transactions();

const GLOBAL_ATTRIBUTES: &[Attribute] = &[
    choice(
        "language",
        "english",
        &["english", "french", "spanish", "portuguese", "japanese", "trach", "simch", "korean"],
    ),
    on("gui-ipv6"),
    off("gui-certificates"),
    text_or("alias", 35, ""),
    on("gui-device-latitude"),
    text("hostname", 35),
    choice("vdom-mode", "multi-vdom", &["no-vdom", "multi-vdom", "split-vdom"]),
    off("long-vdom-name"),
    reference_or("management-vdom", "root", &["system/vdom"]),
    text_or("timezone", 63, "00"),
    number("admintimeout", 1, 480, 5),
    number("admin-port", 1, 65_535, 80),
    number("admin-sport", 1, 65_535, 443),
    number("admin-ssh-port", 1, 65_535, 22),
    number("admin-lockout-threshold", 1, 10, 3),
    number("admin-lockout-duration", 1, 2_147_483_647, 60),
    on("admin-https-redirect"),
    on("admin-concurrent"),
    off("admin-restrict-local"),
    text_or("admin-server-cert", 35, "self-sign"),
    off("rest-api-key-url-query"),
    choice("cfg-save", "automatic", &["automatic", "manual", "revert"]),
    number("cfg-revert-timeout", 10, 4_294_967_295, 600),
    off("revision-image-auto-backup"),
    off("revision-backup-on-logout"),
    on("ip-conflict-detection"),
    off("allow-traffic-redirect"),
    number("remoteauthtimeout", 1, 300, 5),
    number("tcp-halfclose-timer", 1, 86_400, 120),
    number("tcp-halfopen-timer", 1, 86_400, 10),
    number("tcp-timewait-timer", 0, 300, 1),
    number("udp-idle-timer", 1, 86_400, 180),
    on("strong-crypto"),
    off("fds-statistics"),
    number("refresh", 0, 4_294_967_295, 0),
    off("private-data-encryption"),
    choice("switch-controller", "enable", &["disable", "enable"]),
    on("wireless-controller"),
    off("fips-mode"),
];

const CENTRAL_ATTRIBUTES: &[Attribute] = &[
    choice("mode", "normal", &["normal", "backup"]),
    choice("type", "fortiguard", &["fortimanager", "fortiguard", "none"]),
    on("fortigate-cloud-sso-default-profile"),
    choice("schedule-config-restore", "enable", &["enable", "disable"]),
    choice("schedule-script-restore", "enable", &["enable", "disable"]),
    on("allow-push-configuration"),
    on("allow-push-firmware"),
    on("allow-remote-firmware-upgrade"),
    on("allow-monitor"),
    text("serial-number", 255),
    text("fmg", 255),
    formatted("fmg-source-ip", Format::Address, "0.0.0.0"),
    text("vdom", 31),
    choice("enc-algorithm", "high", &["default", "high", "low"]),
    secret("ca-cert", 2_048),
];
