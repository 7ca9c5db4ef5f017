//! What becomes of what is written.

use serde_json::{Value, json};

use crate::peer::{Peer, policy};

#[tokio::test]
async fn values_are_read_as_fortios_writes_them() {
    let peer = Peer::start().await;
    let rows = [
        ("subnet", json!("10.0.0.0/24"), json!("10.0.0.0 255.255.255.0"), "a prefix becomes a mask"),
        ("color", json!("7"), json!(7), "a number is a number"),
        ("comment", json!("\\x\n\u{1}å"), json!("\\x\n\u{1}å"), "text stays as it is"),
        ("allow-routing", json!("enable"), json!("enable"), "a word"),
        ("no-such-attribute", json!("x"), Value::Null, "what is not known is passed over"),
        (
            "uuid",
            json!("0F8FAD5B-D9CB-469F-A165-70867728950E"),
            json!("0f8fad5b-d9cb-469f-a165-70867728950e"),
            "kept",
        ),
    ];
    for (count, (attribute, given, expected, reason)) in rows.into_iter().enumerate() {
        let name = format!("a{count}");
        peer.post("cmdb/firewall/address", json!({"name": name, attribute: given})).await.well(reason);
        let read = peer.get(&format!("cmdb/firewall/address/{name}")).await.well(reason);
        assert_eq!(read.results()[0][attribute], expected, "{reason}");
    }
    let access = json!({"allowaccess": "ssh ping"});
    peer.put("cmdb/system/interface/port5", access).await.well("access");
    let read = peer.get("cmdb/system/interface/port5").await;
    assert_eq!(read.results()[0]["allowaccess"], "ping ssh", "several words have an order of their own");
}

#[tokio::test]
async fn the_order_of_members_is_kept() {
    let peer = Peer::start().await;
    for name in ["c", "a", "b"] {
        peer.address(name).await;
    }
    let members = json!([{"name": "c"}, {"name": "a"}, {"name": "b"}]);
    peer.post("cmdb/firewall/addrgrp", json!({"name": "g", "member": members})).await.well("group");
    let read = peer.get("cmdb/firewall/addrgrp/g").await;
    let names: Vec<&Value> =
        read.results()[0]["member"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["c", "a", "b"]);
}

#[tokio::test]
async fn the_same_again_changes_nothing() {
    let peer = Peer::start().await;
    let path = "cmdb/firewall/address/a";
    let made = peer.post("cmdb/firewall/address", json!({"name": "a", "subnet": "10.0.0.0/24"})).await;
    assert_eq!(made.body["revision_changed"], true);
    assert_ne!(made.body["revision"], made.body["old_revision"]);
    let same = peer.put(path, json!({"subnet": "10.0.0.0 255.255.255.0", "color": 0})).await;
    assert_eq!((same.status, &same.body["revision_changed"]), (200, &json!(false)));
    assert_eq!(same.body["revision"], made.body["revision"]);
    peer.put(path, json!({"color": 3})).await.well("another color");
    let back = peer.put(path, json!({"color": 0})).await;
    assert_eq!(back.body["revision"], made.body["revision"], "the same content has the same revision");
}

#[tokio::test]
async fn numbers_are_given_where_none_is_asked_for() {
    let peer = Peer::start().await;
    peer.policy(7).await;
    let mut without = policy(0);
    without.as_object_mut().unwrap().remove("policyid");
    assert_eq!(peer.post("cmdb/firewall/policy", without).await.body["mkey"], 8, "the next");
    assert_eq!(peer.post("cmdb/firewall/policy", policy(0)).await.body["mkey"], 9, "0 asks for the next");
}

#[tokio::test]
async fn secrets_are_never_given_back() {
    let peer = Peer::start().await;
    let body = json!({"name": "second", "password": "very-secret", "accprofile": "super_admin"});
    peer.post("cmdb/system/admin", body).await.well("admin");
    for path in ["cmdb/system/admin", "cmdb/system/api-user", "monitor/system/config/backup?scope=global"] {
        let text = peer.get(path).await.body.to_string();
        assert!(text.contains("ENC "), "{path}");
        assert!(!text.contains("very-secret") && !text.contains(crate::peer::TOKEN), "{path}");
    }
    let masked = peer.put("cmdb/system/admin/second", json!({"password": "ENC XXXX"})).await;
    assert_eq!(masked.body["revision_changed"], false, "what is masked and sent back is no new secret");
}

#[tokio::test]
async fn a_purge_leaves_what_is_in_use() {
    let peer = Peer::start().await;
    peer.address("used").await;
    peer.address("free").await;
    peer.post("cmdb/firewall/addrgrp", json!({"name": "g", "member": [{"name": "used"}]}))
        .await
        .well("group");
    peer.delete("cmdb/firewall/address").await.well("purge");
    assert_eq!(peer.get("cmdb/firewall/address").await.column("name"), ["used"]);
}

#[tokio::test]
async fn a_copy_has_an_identity_of_its_own() {
    let peer = Peer::start().await;
    let mut original = policy(1);
    original["name"] = json!("only-one");
    peer.post("cmdb/firewall/policy", original).await.well("policy");
    let copy = peer.post("cmdb/firewall/policy/1?action=clone&nkey=12", Value::Null).await.well("clone");
    assert_eq!(copy.body["mkey"], 12);
    let both = peer.get("cmdb/firewall/policy").await;
    assert_eq!(both.column("policyid"), [1, 12]);
    assert_eq!(both.column("name"), ["only-one", ""], "names of policies are unique");
    assert_ne!(both.results()[0]["uuid"], both.results()[1]["uuid"]);
    assert_eq!(both.results()[0]["service"], both.results()[1]["service"]);
}

#[tokio::test]
async fn bodies_of_every_kind_are_read() {
    let peer = Peer::start().await;
    let wrapped = json!({"json": {"name": "wrapped"}});
    peer.post("cmdb/firewall/address", wrapped).await.well("wrapped");
    let request =
        peer.request("POST", "api/v2/cmdb/firewall/address/?vdom=root").bearer_auth(crate::peer::TOKEN);
    let request = request.header("content-type", "text/plain").body(r#"{"name":"a/b c"}"#);
    peer.send(request).await.unwrap().well("another content type, and a slash at the end");
    peer.get("cmdb/firewall/address/a%2Fb%20c").await.well("a key with a slash");
    let request =
        peer.request("DELETE", "api/v2/cmdb/firewall/address/a%2Fb%20c").bearer_auth(crate::peer::TOKEN);
    peer.send(request.body("null")).await.unwrap().well("a body of null");
}

#[tokio::test]
async fn the_same_flags_give_the_same_uuids() {
    let (one, other) = (Peer::start().await, Peer::start().await);
    let uuid = async |peer: &Peer| {
        peer.address("a").await;
        peer.get("cmdb/firewall/address/a").await.results()[0]["uuid"].clone()
    };
    let first = uuid(&one).await;
    assert_eq!(first, uuid(&other).await);
    one.delete("cmdb/firewall/address/a").await.well("delete");
    assert_ne!(first, uuid(&one).await, "made again it is another");
}
