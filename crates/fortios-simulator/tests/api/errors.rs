//! What is refused, and how.

use serde_json::{Value, json};

use crate::peer::{Peer, policy};

const ADDRESS: &str = "cmdb/firewall/address";
const GROUP: &str = "cmdb/firewall/addrgrp";
const POLICY: &str = "cmdb/firewall/policy";
const INTERFACE: &str = "cmdb/system/interface";

type Row = (&'static str, String, Value, u16, i64, &'static str);

async fn check(peer: &Peer, rows: Vec<Row>) {
    for (method, path, body, status, error, reason) in rows {
        let answer = peer.call(method, &path, &body).await;
        assert_eq!((answer.status, answer.error()), (status, error), "{reason}: {}", answer.body);
        assert_eq!(answer.body["http_status"], status, "{reason}: the envelope says the status, too");
        assert_eq!(answer.body["status"], "error", "{reason}");
        if method != "GET" {
            assert_eq!(answer.body["revision_changed"], false, "{reason}");
        }
        if status == 500 {
            let words = answer.body["cli_error"].as_str().unwrap();
            assert!(words.ends_with(&format!("Command fail. Return code {error}\n")), "{reason}: {words}");
        }
    }
}

#[tokio::test]
async fn names_and_references() {
    let peer = Peer::start().await;
    peer.address("a").await;
    let group = |member: &str| json!({"name": "g", "member": [{"name": member}]});
    peer.post(GROUP, group("a")).await.well("group");
    peer.policy(5).await;
    let with = |name: &str, value: Value| {
        let mut body = policy(0);
        body[name] = value;
        body
    };
    let rows: Vec<Row> = vec![
        ("GET", format!("{ADDRESS}/b"), json!(null), 404, -3, "missing"),
        ("PUT", format!("{ADDRESS}/b"), json!({"comment": "x"}), 404, -3, "missing"),
        ("DELETE", format!("{ADDRESS}/b"), json!(null), 404, -3, "missing"),
        ("GET", format!("{POLICY}/x"), json!(null), 404, -3, "a key that is no number"),
        ("POST", ADDRESS.into(), json!({"name": "a"}), 500, -5, "duplicate"),
        ("POST", ADDRESS.into(), json!({"name": "g"}), 500, -5, "groups and addresses share their names"),
        ("POST", POLICY.into(), policy(5), 500, -5, "duplicate number"),
        ("DELETE", format!("{ADDRESS}/a"), json!(null), 500, -23, "in use by a group"),
        ("DELETE", format!("{ADDRESS}/all"), json!(null), 500, -23, "in use by a policy"),
        ("POST", GROUP.into(), json!({"name": "h", "member": [{"name": "x"}]}), 500, -651, "missing member"),
        ("PUT", format!("{GROUP}/g"), group("g"), 500, -651, "a group of itself"),
        ("POST", GROUP.into(), json!({"name": "h", "member": []}), 500, -56, "a group of nothing"),
        ("POST", POLICY.into(), with("srcaddr", json!([{"name": "x"}])), 500, -651, "missing address"),
        ("POST", POLICY.into(), with("schedule", json!("x")), 500, -3, "missing name that is no list"),
        ("POST", POLICY.into(), with("av-profile", json!("x")), 500, -3, "missing profile"),
        ("POST", POLICY.into(), with("srcintf", json!([])), 500, -56, "a policy from nowhere"),
        ("PUT", format!("{POLICY}/0"), json!({}), 405, 0, "there is no policy 0"),
        ("POST", "cmdb/system/global".into(), json!({}), 405, 0, "a single object is not made"),
        ("DELETE", "cmdb/system/global".into(), json!(null), 405, 0, "nor taken away"),
        ("GET", "cmdb/firewall/nothing".into(), json!(null), 404, 0, "no such table"),
        ("GET", format!("{ADDRESS}?vdom=nowhere"), json!(null), 403, -37, "no such VDOM, or no right to it"),
        ("GET", format!("{ADDRESS}?filter=name"), json!(null), 400, 0, "a filter without operator"),
        ("PUT", format!("{POLICY}/5?action=move"), json!(null), 400, 0, "a move to nowhere"),
        ("PUT", format!("{POLICY}/5?action=move&after=9"), json!(null), 404, -3, "beside nothing"),
        ("PUT", format!("{ADDRESS}/a?action=move&after=all"), json!(null), 400, 0, "addresses have no order"),
    ];
    check(&peer, rows).await;
}

#[tokio::test]
async fn values() {
    let peer = Peer::start().await;
    let address = |name: &str, value: Value| {
        let mut body = json!({"name": "v"});
        body[name] = value;
        body
    };
    let rows: Vec<Row> = vec![
        ("POST", ADDRESS.into(), address("type", json!("house")), 500, -651, "no such word"),
        ("POST", ADDRESS.into(), address("subnet", json!("10.0.0.0/40")), 500, -651, "no such network"),
        ("POST", ADDRESS.into(), address("color", json!(33)), 500, -651, "out of range"),
        ("POST", ADDRESS.into(), address("comment", json!("x".repeat(256))), 500, -651, "too long"),
        (
            "POST",
            ADDRESS.into(),
            address("name", json!("x".repeat(80))),
            500,
            -651,
            "a name that is too long",
        ),
        ("POST", ADDRESS.into(), address("comment", json!("á".repeat(128))), 500, -651, "too long in bytes"),
        ("POST", ADDRESS.into(), address("name", json!("<x>")), 500, -173, "signs that no name has"),
        ("POST", ADDRESS.into(), address("comment", json!("the \"old\" one")), 500, -173, "nor a comment"),
        ("POST", ADDRESS.into(), address("uuid", json!("x")), 500, -651, "no UUID"),
        ("POST", ADDRESS.into(), json!({"comment": "x"}), 500, -56, "no name"),
        ("POST", ADDRESS.into(), json!([1]), 400, 0, "no object"),
        (
            "POST",
            ADDRESS.into(),
            json!({"name": "v", "type": "fqdn"}),
            500,
            -56,
            "a host name without a name",
        ),
    ];
    check(&peer, rows).await;
    assert_eq!(peer.get("cmdb/firewall/address/v").await.status, 404, "nothing of it was kept");
}

#[tokio::test]
async fn interfaces_zones_and_routes() {
    let peer = Peer::start().await;
    let vlan = |name: &str, vlanid: u16, ip: &str| json!({"name": name, "vdom": "root", "type": "vlan", "interface": "port2", "vlanid": vlanid, "ip": ip});
    peer.post(INTERFACE, vlan("v1", 10, "10.1.0.1/24")).await.well("VLAN");
    peer.post(INTERFACE, vlan("v2", 11, "10.2.0.1/24")).await.well("VLAN");
    peer.post("cmdb/system/zone", json!({"name": "z", "interface": [{"interface-name": "v1"}]}))
        .await
        .well("zone");
    peer.policy(5).await;
    let mut from_v1 = policy(0);
    from_v1["srcintf"] = json!([{"name": "v1"}]);
    let zone = |interface: &str| json!({"name": "z2", "interface": [{"interface-name": interface}]});
    let rows: Vec<Row> = vec![
        ("POST", INTERFACE.into(), vlan("v3", 12, "10.1.0.200/28"), 500, -54, "the network of v1"),
        ("POST", INTERFACE.into(), vlan("v3", 10, "10.3.0.1/24"), 500, -7, "the VLAN of v1"),
        ("POST", INTERFACE.into(), vlan("v3", 4095, "10.3.0.1/24"), 500, -651, "no such VLAN"),
        ("POST", INTERFACE.into(), vlan("v3-and-far-too-long", 12, ""), 500, -651, "15 characters"),
        ("PUT", format!("{INTERFACE}/v1"), json!({"vlanid": 12}), 500, -522, "its VLAN stays"),
        ("PUT", format!("{INTERFACE}/v1"), json!({"interface": "port1"}), 500, -522, "and its parent"),
        ("DELETE", format!("{INTERFACE}/v1"), json!(null), 500, -23, "in a zone"),
        ("DELETE", format!("{INTERFACE}/port3"), json!(null), 500, -7, "a port of the device"),
        ("POST", "cmdb/system/zone".into(), zone("v1"), 500, -651, "in another zone"),
        ("POST", "cmdb/system/zone".into(), zone("port1"), 500, -651, "named by a policy"),
        ("POST", POLICY.into(), from_v1, 500, -651, "named by its zone only"),
        ("POST", "cmdb/router/static".into(), json!({"dst": "10.9.0.0/16"}), 500, -56, "a route to nowhere"),
    ];
    check(&peer, rows).await;
    peer.put("cmdb/system/settings", json!({"allow-subnet-overlap": "enable"})).await.well("settings");
    peer.post(INTERFACE, vlan("v3", 12, "10.1.0.200/28")).await.well("an overlap that is allowed");
}

#[tokio::test]
async fn a_table_that_is_full() {
    let peer = Peer::start().await;
    let used = peer.get(ADDRESS).await.results().len();
    peer.order(&format!("limit?table=firewall/address&rows={}", used + 1)).await;
    peer.address("last").await;
    check(&peer, vec![("POST", ADDRESS.into(), json!({"name": "more"}), 500, -4, "no room")]).await;
}
