//! The shape of answers as published captures of real devices have it: names and types, nothing of their content.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::peer::Peer;

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

// Names of a policy's attributes in captures of 6.2 and 6.4 (fortigate_exporter), without those that 7.4's reference
// has no more.
/// Attributes with text.
const TEXTS: &[&str] = &[
    "name",
    "uuid",
    "internet-service",
    "internet-service-src",
    "reputation-direction",
    "rtp-nat",
    "action",
    "send-deny-packet",
    "firewall-session-dirty",
    "status",
    "schedule",
    "schedule-timeout",
    "tos",
    "tos-mask",
    "tos-negate",
    "anti-replay",
    "tcp-session-without-syn",
    "geoip-anycast",
    "utm-status",
    "inspection-mode",
    "profile-type",
    "profile-group",
    "profile-protocol-options",
    "ssl-ssh-profile",
    "av-profile",
    "webfilter-profile",
    "dnsfilter-profile",
    "ips-sensor",
    "application-list",
    "logtraffic",
    "logtraffic-start",
    "capture-packet",
    "auto-asic-offload",
    "wanopt",
    "traffic-shaper",
    "nat",
    "permit-any-host",
    "fixedport",
    "ippool",
    "session-ttl",
    "inbound",
    "outbound",
    "natip",
    "match-vip",
    "diffserv-forward",
    "diffservcode-forward",
    "comments",
    "label",
    "global-label",
    "auth-cert",
    "srcaddr-negate",
    "dstaddr-negate",
    "service-negate",
    "timeout-send-rst",
    "captive-portal-exempt",
    "dsri",
    "vlan-filter",
];
/// Attributes with a number.
const NUMBERS: &[&str] =
    &["policyid", "q_origin_key", "reputation-minimum", "vlan-cos-fwd", "vlan-cos-rev", "tcp-mss-sender"];
/// Attributes with rows of their own.
const LISTS: &[&str] = &[
    "srcintf",
    "dstintf",
    "srcaddr",
    "dstaddr",
    "srcaddr6",
    "dstaddr6",
    "internet-service-group",
    "internet-service-custom",
    "rtp-addr",
    "service",
    "poolname",
    "custom-log-fields",
    "groups",
    "users",
    "fsso-groups",
];

#[tokio::test]
async fn a_policy_has_what_a_real_one_has() {
    let peer = Peer::start().await;
    peer.policy(1).await;
    let all = peer.get("cmdb/firewall/policy?vdom=*").await.well("policies").body;
    let envelope = &all[0];
    let row = &envelope["results"][0];
    let kinds = [(TEXTS, json!("")), (NUMBERS, json!(0)), (LISTS, json!([]))];
    for (name, like) in kinds.iter().flat_map(|(names, like)| names.iter().map(move |name| (name, like))) {
        let same = std::mem::discriminant(&row[*name]) == std::mem::discriminant(like);
        assert!(same, "{name} is {}", row[*name]);
    }
    let envelope_names = [
        "http_method",
        "revision",
        "results",
        "vdom",
        "path",
        "name",
        "status",
        "http_status",
        "serial",
        "version",
        "build",
    ];
    assert!(names(envelope).is_superset(&BTreeSet::from(envelope_names)), "{:?}", names(envelope));
    assert_eq!(envelope["revision"].as_str().unwrap().len(), 32);
    assert_eq!(names(&row["srcintf"][0]), BTreeSet::from(["name", "q_origin_key"]));
    let one = peer.get("cmdb/firewall/policy/1").await;
    assert!(one.body["results"].is_array(), "one row is a list of one");
    assert!(one.body["mkey"].is_number(), "a number stays a number");
    let single = peer.get("cmdb/system/global").await;
    assert!(single.body["results"].is_object(), "a single object is none");
}

#[tokio::test]
async fn writes_and_the_monitor_have_envelopes_of_their_own() {
    let peer = Peer::start().await;
    let written = peer.post("cmdb/firewall/address", json!({"name": "a"})).await.body;
    let expected = [
        "http_method",
        "revision",
        "revision_changed",
        "old_revision",
        "mkey",
        "status",
        "http_status",
        "vdom",
        "path",
        "name",
        "serial",
        "version",
        "build",
    ];
    assert_eq!(names(&written), BTreeSet::from(expected));
    let time = peer.get("monitor/system/time?vdom=root").await.body;
    let expected =
        ["http_method", "results", "vdom", "path", "name", "action", "status", "serial", "version", "build"];
    assert_eq!(names(&time), BTreeSet::from(expected));
    assert!(time["results"]["time"].is_number());
    let resources = peer.get("monitor/system/vdom-resource").await.body;
    let policy = &resources["results"]["firewall-policy"];
    let expected = [
        "id",
        "custom_max",
        "min_custom_value",
        "max_custom_value",
        "guaranteed",
        "min_guaranteed_value",
        "max_guaranteed_value",
        "global_max",
        "current_usage",
        "usage_percent",
    ];
    assert_eq!(names(policy), BTreeSet::from(expected));
}
