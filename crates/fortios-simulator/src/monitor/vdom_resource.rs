//! `system/vdom-resource`: how full a VDOM is.

use serde_json::{Value as Json, json};

use super::Question;
use crate::config::Config;
use crate::store::Place;
use crate::sync::read;

/// FortiOS' name of a resource, and the table whose rows it counts.
const RESOURCES: &[(&str, Option<&str>)] = &[
    ("session", None),
    ("ipsec-phase1", None),
    ("ipsec-phase2", None),
    ("ipsec-phase1-interface", None),
    ("ipsec-phase2-interface", None),
    ("dialup-tunnel", None),
    ("firewall-policy", Some("firewall/policy")),
    ("firewall-address", Some("firewall/address")),
    ("firewall-addrgrp", Some("firewall/addrgrp")),
    ("custom-service", Some("firewall.service/custom")),
    ("service-group", Some("firewall.service/group")),
    ("onetime-schedule", Some("firewall.schedule/onetime")),
    ("recurring-schedule", Some("firewall.schedule/recurring")),
    ("user", None),
    ("user-group", None),
    ("sslvpn", None),
    ("proxy", None),
    ("log-disk-quota", None),
];

pub(crate) fn resources(question: &Question<'_>) -> Json {
    let config = read(&question.device.config);
    let mut told = json!({"cpu": 0, "memory": 0, "setup_rate": 0, "is_deletable": false});
    for (id, (resource, table)) in RESOURCES.iter().enumerate() {
        let table = table.and_then(|table| Config::table(table).ok());
        let used = table.map_or(0, |table| config.committed().len(&Place::of(table, question.vdom)));
        let max = table.map_or(0, |table| {
            let limit = table.table().limit;
            config.limits.get(table.table().full).copied().unwrap_or(limit)
        });
        told[*resource] = json!({
            "id": id,
            "custom_max": 0,
            "min_custom_value": used.max(1),
            "max_custom_value": max,
            "guaranteed": 0,
            "min_guaranteed_value": 0,
            "max_guaranteed_value": max,
            "global_max": max,
            "current_usage": used,
            "usage_percent": (used * 100).checked_div(max).unwrap_or(0),
        });
    }
    told
}
