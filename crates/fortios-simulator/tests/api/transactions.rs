//! Batch transactions: nobody else sees them, all of it or nothing comes of them, and they hold their tables.

use fortios_simulator::Firmware;
use serde_json::{Value, json};

use crate::peer::{Peer, policy};

const ADDRESS: &str = "cmdb/firewall/address";
const GROUP: &str = "cmdb/firewall/addrgrp";
const POLICY: &str = "cmdb/firewall/policy";

#[tokio::test]
async fn all_of_it_becomes_visible_at_once() {
    let peer = Peer::start().await;
    let id = peer.begin(60).await;
    let group = json!({"name": "g", "member": [{"name": "a"}]});
    let mut allow = policy(1);
    allow["dstaddr"] = json!([{"name": "g"}]);
    for (path, body) in [(ADDRESS, json!({"name": "a"})), (GROUP, group), (POLICY, allow)] {
        let written = peer.within(id, "POST", path, body).await.well(path);
        assert_eq!(written.body["revision_changed"], false, "{path}: not yet");
        assert!(!written.body["mkey"].is_null(), "{path}");
    }
    assert_eq!(peer.get(&format!("{ADDRESS}/a")).await.status, 404, "a read does not see it");
    assert_eq!(peer.policies().await, [0_i64; 0]);
    let shown = peer.get(&format!("cmdb?action=transaction-show&transaction-id={id}")).await.well("show");
    assert_eq!(shown.results()[..2], [json!("config firewall address"), json!("edit \"a\"")]);
    let listed = peer.get("cmdb?action=transaction-list").await.well("list");
    assert_eq!(listed.column("transaction-id"), [id]);
    let before = peer.get(POLICY).await.body["revision"].clone();
    peer.finish("commit", id).await.well("commit");
    assert_eq!(peer.policies().await, [1]);
    assert_ne!(peer.get(POLICY).await.body["revision"], before);
    assert_eq!(peer.delete(&format!("{ADDRESS}/a")).await.error(), -23, "references came along");
    assert_eq!(peer.finish("commit", id).await.status, 500, "a transaction is committed once");
}

#[tokio::test]
async fn nothing_comes_of_one_that_is_aborted_or_late() {
    let peer = Peer::start().await;
    peer.address("kept").await;
    for how in ["abort", "timeout"] {
        let id = peer.begin(30).await;
        peer.within(id, "DELETE", &format!("{ADDRESS}/kept"), Value::Null).await.well("delete");
        peer.within(id, "POST", ADDRESS, json!({"name": "new"})).await.well("create");
        if how == "abort" {
            peer.finish("abort", id).await.well("abort");
        } else {
            peer.order("clock?advance=31").await;
            let late = peer.within(id, "POST", ADDRESS, json!({"name": "late"})).await;
            assert_eq!((late.status, late.error()), (500, -3), "{how}");
            assert_eq!(peer.finish("commit", id).await.status, 500, "{how}");
        }
        peer.get(&format!("{ADDRESS}/kept")).await.well(how);
        assert_eq!(peer.get(&format!("{ADDRESS}/new")).await.status, 404, "{how}");
        peer.put(&format!("{ADDRESS}/kept"), json!({"comment": how})).await.well("the table is free again");
    }
}

#[tokio::test]
async fn a_table_is_held_from_the_first_write_on() {
    let peer = Peer::start().await;
    let (one, other) = (peer.begin(60).await, peer.begin(60).await);
    peer.within(one, "POST", ADDRESS, json!({"name": "a"})).await.well("the first");
    let locked = peer.within(other, "POST", ADDRESS, json!({"name": "b"})).await;
    assert_eq!((locked.status, locked.error()), (500, -7), "another transaction");
    assert_eq!(peer.post(ADDRESS, json!({"name": "b"})).await.error(), -7, "a write of its own");
    peer.get(ADDRESS).await.well("reads go on");
    peer.within(other, "POST", POLICY, policy(1)).await.well("another table");
    peer.finish("commit", one).await.well("commit");
    peer.within(other, "POST", ADDRESS, json!({"name": "b"})).await.well("free again");
    peer.finish("commit", other).await.well("commit");
    assert_eq!(peer.policies().await, [1]);
}

#[tokio::test]
async fn a_bad_write_fails_at_once_and_the_rest_stays() {
    let peer = Peer::start().await;
    let id = peer.begin(60).await;
    peer.within(id, "POST", ADDRESS, json!({"name": "a"})).await.well("good");
    let bad = peer.within(id, "POST", GROUP, json!({"name": "g", "member": [{"name": "x"}]})).await;
    assert_eq!((bad.status, bad.error()), (500, -651));
    assert_eq!(
        peer.within(id, "POST", ADDRESS, json!({"name": "a"})).await.error(),
        -5,
        "it sees its own rows"
    );
    peer.finish("commit", id).await.well("commit");
    peer.get(&format!("{ADDRESS}/a")).await.well("the good one");
}

#[tokio::test]
async fn what_was_taken_away_meanwhile_stops_the_commit() {
    let peer = Peer::start().await;
    peer.address("a").await;
    let id = peer.begin(60).await;
    peer.within(id, "POST", GROUP, json!({"name": "g", "member": [{"name": "a"}]})).await.well("group");
    peer.delete(&format!("{ADDRESS}/a")).await.well("its table is not held");
    assert_eq!(peer.finish("commit", id).await.error(), -651);
    assert_eq!(peer.get(&format!("{GROUP}/g")).await.status, 404, "nothing of it");
    peer.address("a").await;
    peer.finish("commit", id).await.well("it stayed open");
}

#[tokio::test]
async fn some_tables_are_not_for_transactions() {
    let peer = Peer::start().await;
    let id = peer.begin(60).await;
    let rows = [
        ("POST", "cmdb/system/vdom", json!({"name": "t1"})),
        ("POST", "cmdb/system/vdom-link", json!({"name": "l"})),
        ("POST", "cmdb/system/interface", json!({"name": "v", "interface": "port2", "vlanid": 10})),
        ("PUT", "cmdb/system/global", json!({"hostname": "x"})),
    ];
    for (method, path, body) in rows {
        let refused = peer.within(id, method, path, body).await;
        assert_eq!((refused.status, refused.error()), (500, -7), "{path}");
    }
}

#[tokio::test]
async fn policies_are_moved_within_one() {
    let peer = Peer::start().await;
    for id in [1, 2, 3] {
        peer.policy(id).await;
    }
    let id = peer.begin(60).await;
    for (number, other) in [(10, 2), (11, 2), (3, 11)] {
        if number >= 10 {
            peer.within(id, "POST", POLICY, policy(number)).await.well("create");
        }
        let path = format!("{POLICY}/{number}?action=move&before={other}");
        peer.within(id, "PUT", &path, Value::Null).await.well("move");
    }
    peer.within(id, "DELETE", &format!("{POLICY}/1"), Value::Null).await.well("delete");
    assert_eq!(peer.policies().await, [1, 2, 3]);
    peer.finish("commit", id).await.well("commit");
    assert_eq!(peer.policies().await, [10, 3, 11, 2], "each right before the other, pending ones too");
}

#[tokio::test]
async fn moves_can_be_refused_and_old_versions_have_none() {
    let peer = Peer::start_with(|options| options.moves_in_transactions = false).await;
    peer.policy(1).await;
    peer.policy(2).await;
    let id = peer.begin(60).await;
    let path = format!("{POLICY}/2?action=move&before=1");
    assert_eq!(peer.within(id, "PUT", &path, Value::Null).await.error(), -7);
    peer.put(&path, Value::Null).await.well("outside it can");

    let old = Peer::start_with(|options| options.identity.firmware = Firmware::new(7, 2, 8)).await;
    let refused = old.post("cmdb?action=transaction-start", json!({"timeout": 60})).await;
    assert_eq!(refused.status, 404);
    assert_eq!(refused.body["version"], "v7.2.8");
}
