//! The shape of answers as published captures of real devices have it: names and types, nothing of their content.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::peer::Peer;

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_policy_has_what_a_real_one_has() {
    let peer = Peer::start().await;
    peer.policy(1).await;
    let all = peer.get("cmdb/firewall/policy?vdom=*").await.well("policies").body;
    let envelope = &all[0];
    let row = &envelope["results"][0];
    // In captures of 6.2 and 6.4 (fortigate_exporter) and not among what 7.4's reference has no more.
    let expected = [
        ("policyid", json!(0)),
        ("q_origin_key", json!(0)),
        ("name", json!("")),
        ("uuid", json!("")),
        ("srcintf", json!([])),
        ("dstintf", json!([])),
        ("srcaddr", json!([])),
        ("dstaddr", json!([])),
        ("srcaddr6", json!([])),
        ("dstaddr6", json!([])),
        ("internet-service", json!("")),
        ("internet-service-group", json!([])),
        ("internet-service-custom", json!([])),
        ("internet-service-src", json!("")),
        ("reputation-minimum", json!(0)),
        ("reputation-direction", json!("")),
        ("rtp-nat", json!("")),
        ("rtp-addr", json!([])),
        ("action", json!("")),
        ("send-deny-packet", json!("")),
        ("firewall-session-dirty", json!("")),
        ("status", json!("")),
        ("schedule", json!("")),
        ("schedule-timeout", json!("")),
        ("service", json!([])),
        ("tos", json!("")),
        ("tos-mask", json!("")),
        ("tos-negate", json!("")),
        ("anti-replay", json!("")),
        ("tcp-session-without-syn", json!("")),
        ("geoip-anycast", json!("")),
        ("utm-status", json!("")),
        ("inspection-mode", json!("")),
        ("profile-type", json!("")),
        ("profile-group", json!("")),
        ("profile-protocol-options", json!("")),
        ("ssl-ssh-profile", json!("")),
        ("av-profile", json!("")),
        ("webfilter-profile", json!("")),
        ("dnsfilter-profile", json!("")),
        ("ips-sensor", json!("")),
        ("application-list", json!("")),
        ("logtraffic", json!("")),
        ("logtraffic-start", json!("")),
        ("capture-packet", json!("")),
        ("auto-asic-offload", json!("")),
        ("wanopt", json!("")),
        ("traffic-shaper", json!("")),
        ("nat", json!("")),
        ("permit-any-host", json!("")),
        ("fixedport", json!("")),
        ("ippool", json!("")),
        ("poolname", json!([])),
        ("session-ttl", json!("")),
        ("vlan-cos-fwd", json!(0)),
        ("vlan-cos-rev", json!(0)),
        ("inbound", json!("")),
        ("outbound", json!("")),
        ("natip", json!("")),
        ("match-vip", json!("")),
        ("diffserv-forward", json!("")),
        ("diffservcode-forward", json!("")),
        ("tcp-mss-sender", json!(0)),
        ("comments", json!("")),
        ("label", json!("")),
        ("global-label", json!("")),
        ("auth-cert", json!("")),
        ("custom-log-fields", json!([])),
        ("groups", json!([])),
        ("users", json!([])),
        ("fsso-groups", json!([])),
        ("srcaddr-negate", json!("")),
        ("dstaddr-negate", json!("")),
        ("service-negate", json!("")),
        ("timeout-send-rst", json!("")),
        ("captive-portal-exempt", json!("")),
        ("dsri", json!("")),
        ("vlan-filter", json!("")),
    ];
    for (name, like) in &expected {
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
