//! `system ha`

use crate::schema::attribute::{
    Attribute, choice, formatted, number, off, on, record, reference, rows, secret, text, text_or,
};
use crate::schema::format::Format;
use crate::schema::table::Table;

pub(crate) const HA: Table = Table::single("system/ha", ATTRIBUTES).global().no_transactions();

const ATTRIBUTES: &[Attribute] = &[
    number("group-id", 0, 1_023, 0),
    text("group-name", 32),
    choice("mode", "standalone", &["standalone", "a-a", "a-p"]),
    off("sync-packet-balance"),
    secret("password", 128),
    secret("key", 16),
    text("hbdev", 255),
    off("unicast-hb"),
    text("session-sync-dev", 255),
    number("route-ttl", 5, 3_600, 10),
    number("route-wait", 0, 3_600, 0),
    number("route-hold", 0, 3_600, 10),
    number("multicast-ttl", 5, 3_600, 600),
    off("load-balance-all"),
    on("sync-config"),
    off("encryption"),
    off("authentication"),
    number("hb-interval", 1, 20, 2),
    number("hb-lost-threshold", 1, 60, 20),
    number("hello-holddown", 5, 300, 20),
    on("gratuitous-arps"),
    number("arps", 1, 60, 5),
    number("arps-interval", 1, 20, 8),
    off("session-pickup"),
    off("session-pickup-connectionless"),
    off("session-pickup-expectation"),
    off("session-pickup-nat"),
    off("session-pickup-delay"),
    off("link-failed-signal"),
    on("uninterruptible-upgrade"),
    off("standalone-mgmt-vdom"),
    off("ha-mgmt-status"),
    rows(
        "ha-mgmt-interfaces",
        &[
            number("id", 0, 4_294_967_295, 0),
            reference("interface", &["system/interface"]),
            formatted("dst", Format::Network, "0.0.0.0 0.0.0.0"),
            formatted("gateway", Format::Address, "0.0.0.0"),
            text_or("gateway6", 39, "::"),
        ],
    ),
    text_or("ha-eth-type", 4, "8890"),
    text_or("hc-eth-type", 4, "8891"),
    text_or("l2ep-eth-type", 4, "8893"),
    number("ha-uptime-diff-margin", 1, 65_535, 300),
    off("override"),
    number("priority", 0, 255, 128),
    number("override-wait-time", 0, 3_600, 0),
    text("monitor", 255),
    text("pingserver-monitor-interface", 255),
    number("pingserver-failover-threshold", 0, 50, 0),
    text("vdom", 255),
    record(
        "secondary-vcluster",
        &[
            number("vcluster-id", 0, 255, 1),
            on("override"),
            number("priority", 0, 255, 128),
            text("monitor", 255),
            text("vdom", 255),
        ],
    ),
    off("ha-direct"),
    off("ssd-failover"),
    off("memory-compatible-mode"),
];
