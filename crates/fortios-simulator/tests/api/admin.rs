//! The admin port: what it tells and what it breaks.

use serde_json::{Value, json};

use crate::peer::{Peer, TOKEN};

const ADDRESS: &str = "cmdb/firewall/address";

#[tokio::test]
async fn the_journal_has_the_writes_in_their_order() {
    let peer = Peer::start().await;
    peer.address("a").await;
    peer.get(ADDRESS).await;
    peer.post(ADDRESS, json!({"name": "a"})).await;
    let id = peer.begin(60).await;
    peer.within(id, "POST", "cmdb/firewall/policy?vdom=root", crate::peer::policy(0)).await.well("policy");
    peer.finish("commit", id).await.well("commit");
    let journal = peer.admin("GET", "journal", Value::Null).await.body;
    let told: Vec<Value> = journal
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            json!([
                entry["seq"],
                entry["method"],
                entry["path"],
                entry["action"],
                entry["mkey"],
                entry["transaction"],
                entry["outcome"]
            ])
        })
        .collect();
    let expected = [
        json!([1, "POST", "cmdb/firewall/address", null, "a", null, "ok"]),
        json!([2, "POST", "cmdb/firewall/address", null, null, null, "-5"]),
        json!([3, "POST", "cmdb", "transaction-start", null, null, "ok"]),
        json!([4, "POST", "cmdb/firewall/policy", null, "1", id, "ok"]),
        json!([5, "POST", "cmdb", "transaction-commit", null, id, "ok"]),
    ];
    assert_eq!(told, expected);
    let stats = peer.admin("GET", "stats", Value::Null).await.body;
    assert_eq!(stats["calls"]["POST firewall/address"], 2);
    assert_eq!(stats["calls"]["GET firewall/address"], 1);
    assert_eq!(stats["writes"], 5);
    assert!(stats["busyMicros"]["POST firewall/address"].as_u64().unwrap() > 0);
    peer.order("journal/reset").await;
    peer.order("stats/reset").await;
    assert_eq!(peer.admin("GET", "journal", Value::Null).await.body, json!([]));
    assert_eq!(peer.admin("GET", "stats", Value::Null).await.body["writes"], 0);
}

#[tokio::test]
async fn a_write_is_cut_before_or_after_it_is_carried_out() {
    for (at, there, outcome, carried) in
        [("before", 404, "cut-before", Value::Null), ("after", 200, "cut-after", json!("ok"))]
    {
        let peer = Peer::start().await;
        peer.admin("POST", "cut", json!({"write": 2, "at": at})).await.well("cut");
        peer.address("a").await;
        let request = peer.request("POST", &format!("api/v2/{ADDRESS}")).bearer_auth(TOKEN);
        assert!(peer.send(request.json(&json!({"name": "b"}))).await.is_err(), "{at}: no answer");
        assert_eq!(peer.get(&format!("{ADDRESS}/b")).await.status, there, "{at}");
        let entry = &peer.admin("GET", "journal", Value::Null).await.body[1];
        assert_eq!((&entry["outcome"], &entry["carried"]), (&json!(outcome), &carried), "{at}");
        let cut = peer.admin("GET", "cut", Value::Null).await.body;
        assert_eq!((&cut["fired"], &cut["method"]), (&json!(true), &json!("POST cmdb/firewall/address")));
        peer.address("c").await;
    }
}

#[tokio::test]
async fn faults_fit_what_they_name() {
    let peer = Peer::start().await;
    let fault = json!({"method": "POST", "path": "cmdb/firewall/address", "status": 500, "error": -1, "skip": 1, "count": 1});
    peer.admin("POST", "fault", fault).await.well("fault");
    peer.address("passes").await;
    peer.get(ADDRESS).await.well("another method");
    let failed = peer.post(ADDRESS, json!({"name": "fails"})).await;
    assert_eq!((failed.status, failed.error()), (500, -1));
    assert_eq!(peer.get(&format!("{ADDRESS}/fails")).await.status, 404, "it was not carried out");
    peer.address("passes-again").await;
    peer.order("http?code=429&count=2").await;
    for _ in 0..2 {
        let throttled = peer.get(ADDRESS).await;
        assert_eq!(throttled.status, 429);
        assert!(throttled.body.as_str().unwrap().contains("<html>"), "a page, as from a real one");
    }
    peer.get(ADDRESS).await.well("over");
    assert_eq!(peer.admin("POST", "fault", json!({"stat": 500})).await.status, 400, "a wrong order");
    assert_eq!(peer.admin("POST", "nothing", Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_right_is_taken_away_and_given_back() {
    let peer = Peer::start().await;
    peer.post("cmdb/system/vdom", json!({"name": "t1"})).await.well("VDOM");
    peer.order("hide?vdom=t1&table=firewall/address").await;
    for method in ["GET", "POST"] {
        let denied = peer.call(method, &format!("{ADDRESS}?vdom=t1"), &json!({"name": "a"})).await;
        assert_eq!((denied.status, denied.error()), (403, -37), "{method}");
    }
    peer.get("cmdb/firewall/policy?vdom=t1").await.well("another table");
    let all = peer.get(&format!("{ADDRESS}?vdom=*")).await.well("all VDOMs");
    let names: Vec<&Value> = all.body.as_array().unwrap().iter().map(|envelope| &envelope["vdom"]).collect();
    assert_eq!(names, ["root"], "of all VDOMs it is missing without a word");
    peer.admin("DELETE", "hide?vdom=t1&table=firewall/address", Value::Null).await.well("given back");
    peer.get(&format!("{ADDRESS}?vdom=t1")).await.well("seen again");
    peer.order("hide?vdom=root").await;
    assert_eq!(peer.get("cmdb/router/static").await.status, 403, "a whole VDOM");
}

#[tokio::test]
async fn the_port_closes_and_opens() {
    let peer = Peer::start().await;
    peer.get(ADDRESS).await.well("open");
    peer.order("pause").await;
    let refused = peer.send(peer.request("GET", &format!("api/v2/{ADDRESS}")).bearer_auth(TOKEN)).await;
    assert!(refused.is_err(), "an open connection is dropped");
    assert!(std::net::TcpStream::connect(peer.simulator.address).is_err(), "a new one is refused");
    peer.order("resume").await;
    peer.get(ADDRESS).await.well("the same port");
}

#[tokio::test]
async fn a_seed_is_there_from_the_start_or_comes_later() {
    let seed = json!({
        "global": {"system/interface": [
            {"name": "v1", "vdom": "t1", "type": "vlan", "interface": "port2", "vlanid": 10},
            {"name": "port1", "alias": "wan"},
        ], "system/vdom": [{"name": "t1"}]},
        "t1": {"firewall/policy": [{
            "policyid": 3, "srcintf": [{"name": "v1"}], "dstintf": [{"name": "any"}], "srcaddr": [{"name": "seeded"}],
            "dstaddr": [{"name": "all"}], "service": [{"name": "ALL"}], "schedule": "always",
        }], "firewall/address": [{"name": "seeded"}]},
    });
    let peer = Peer::start_with(|options| options.seed = Some(seed)).await;
    assert_eq!(peer.get("cmdb/firewall/policy?vdom=t1").await.column("policyid"), [3]);
    assert_eq!(peer.get("cmdb/system/interface/port1").await.column("alias"), ["wan"]);
    assert_eq!(peer.admin("GET", "journal", Value::Null).await.body, json!([]), "no write of anybody's");
    let more = json!({"t2": {"firewall/address": [{"name": "later"}]}});
    peer.admin("POST", "seed", more).await.well("seed");
    peer.get(&format!("{ADDRESS}/later?vdom=t2")).await.well("later");
    let wrong = json!({"t2": {"firewall/addrgrp": [{"name": "g", "member": [{"name": "x"}]}]}});
    let refused = peer.admin("POST", "seed", wrong).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body["error"].as_str().unwrap().contains("t2: firewall/addrgrp: row 0"));
}

#[tokio::test]
async fn every_answer_is_slower() {
    let peer = Peer::start().await;
    peer.order("delay?ms=60").await;
    let start = std::time::Instant::now();
    peer.get(ADDRESS).await.well("slow");
    assert!(start.elapsed() >= std::time::Duration::from_millis(60));
    let stats = peer.admin("GET", "stats", Value::Null).await.body;
    assert_eq!(stats["calls"]["GET firewall/address"], 1);
}
