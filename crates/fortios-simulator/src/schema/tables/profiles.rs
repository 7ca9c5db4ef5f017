//! Security profiles, as far as policies name them, and the log settings that clients read

use serde_json::json;

use crate::schema::attribute::{Attribute, choice, off, on, reference, text};
use crate::schema::table::Table;

pub(crate) const ANTIVIRUS: Table =
    Table::list("antivirus/profile", ANTIVIRUS_ATTRIBUTES).limit(500).predefined(|| {
        vec![
            json!({"name": "default", "comment": "Scan files and block viruses."}),
            json!({"name": "wifi-default"}),
        ]
    });

pub(crate) const IPS_SENSOR: Table = Table::list("ips/sensor", IPS_ATTRIBUTES).limit(500).predefined(|| {
    vec![
        json!({"name": "default", "comment": "Prevent critical attacks."}),
        json!({"name": "all_default"}),
        json!({"name": "high_security", "block-malicious-url": "enable"}),
        json!({"name": "protect_client"}),
    ]
});

pub(crate) const WEBFILTER: Table =
    Table::list("webfilter/profile", WEBFILTER_ATTRIBUTES).limit(500).predefined(|| {
        vec![json!({"name": "default", "comment": "Default web filtering."}), json!({"name": "monitor-all"})]
    });

pub(crate) const APPLICATION_LIST: Table =
    Table::list("application/list", APPLICATION_ATTRIBUTES).limit(500).predefined(|| {
        vec![
            json!({"name": "default", "comment": "Monitor all applications."}),
            json!({"name": "block-high-risk"}),
        ]
    });

pub(crate) const SSL_SSH: Table =
    Table::list("firewall/ssl-ssh-profile", SSL_ATTRIBUTES).limit(500).predefined(|| {
        vec![
            json!({"name": "certificate-inspection", "comment": "Read-only SSL handshake inspection profile."}),
            json!({"name": "deep-inspection", "comment": "Read-only deep inspection profile."}),
            json!({"name": "custom-deep-inspection", "comment": "Customizable deep inspection profile."}),
            json!({"name": "no-inspection", "comment": "Read-only profile that does no inspection."}),
        ]
    });

pub(crate) const PROTOCOL_OPTIONS: Table =
    Table::list("firewall/profile-protocol-options", PROTOCOL_ATTRIBUTES)
        .limit(500)
        .predefined(|| vec![json!({"name": "default", "comment": "All default services."})]);

pub(crate) const PROFILE_GROUP: Table = Table::list("firewall/profile-group", GROUP_ATTRIBUTES).limit(500);

pub(crate) const LOG_SETTING: Table = Table::single("log/setting", LOG_ATTRIBUTES);

const ANTIVIRUS_ATTRIBUTES: &[Attribute] = &[
    text("name", 47),
    text("comment", 255),
    reference("replacemsg-group", &[]),
    choice("feature-set", "flow", &["flow", "proxy"]),
    choice("scan-mode", "default", &["default", "legacy"]),
    on("av-virus-log"),
    on("extended-log"),
];

const IPS_ATTRIBUTES: &[Attribute] = &[
    text("name", 47),
    text("comment", 255),
    reference("replacemsg-group", &[]),
    off("block-malicious-url"),
    choice("scan-botnet-connections", "disable", &["disable", "block", "monitor"]),
    off("extended-log"),
];

const WEBFILTER_ATTRIBUTES: &[Attribute] = &[
    text("name", 47),
    text("comment", 255),
    choice("feature-set", "flow", &["flow", "proxy"]),
    reference("replacemsg-group", &[]),
    choice("post-action", "normal", &["normal", "block"]),
    off("log-all-url"),
    on("web-content-log"),
    on("web-url-log"),
    off("extended-log"),
];

const APPLICATION_ATTRIBUTES: &[Attribute] = &[
    text("name", 47),
    text("comment", 255),
    reference("replacemsg-group", &[]),
    off("extended-log"),
    choice("other-application-action", "pass", &["pass", "block"]),
    on("app-replacemsg"),
    off("other-application-log"),
    choice("unknown-application-action", "pass", &["pass", "block"]),
    on("deep-app-inspection"),
];

const SSL_ATTRIBUTES: &[Attribute] = &[
    text("name", 47),
    text("comment", 255),
    off("allowlist"),
    choice("server-cert-mode", "re-sign", &["re-sign", "replace"]),
    off("use-ssl-server"),
    text("caname", 35),
    on("ssl-anomaly-log"),
];

const PROTOCOL_ATTRIBUTES: &[Attribute] = &[
    text("name", 47),
    text("comment", 255),
    off("oversize-log"),
    off("switching-protocols-log"),
    on("rpc-over-http"),
];

const GROUP_ATTRIBUTES: &[Attribute] = &[
    text("name", 47),
    reference("profile-protocol-options", &["firewall/profile-protocol-options"]),
    reference("ssl-ssh-profile", &["firewall/ssl-ssh-profile"]),
    reference("av-profile", &["antivirus/profile"]),
    reference("webfilter-profile", &["webfilter/profile"]),
    reference("ips-sensor", &["ips/sensor"]),
    reference("application-list", &["application/list"]),
];

const LOG_ATTRIBUTES: &[Attribute] = &[
    off("resolve-ip"),
    on("resolve-port"),
    off("log-user-in-upper"),
    on("fwpolicy-implicit-log"),
    off("fwpolicy6-implicit-log"),
    on("extended-log"),
    off("local-in-allow"),
    on("local-in-deny-unicast"),
    off("local-in-deny-broadcast"),
    off("local-out"),
    off("daemon-log"),
    off("neighbor-event"),
    off("brief-traffic-format"),
    off("user-anonymize"),
    off("expolicy-implicit-log"),
    off("log-policy-comment"),
];
