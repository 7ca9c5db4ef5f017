//! Twenty thousand policies in one VDOM: no write costs more because of the others.

use serde_json::{Value, json};

use crate::peer::{Peer, policy};

/// Microseconds that the simulator itself took for one kind of request.
async fn busy(peer: &Peer, name: &str) -> u64 {
    peer.admin("GET", "stats", Value::Null).await.body["busyMicros"][name].as_u64().unwrap()
}

#[tokio::test]
async fn writes_do_not_slow_down_with_the_table() {
    let peer = Peer::start().await;
    let few = time_of_writes(&peer, 0).await;
    let rows: Vec<Value> = (1_001..=21_000).map(policy).collect();
    peer.admin("POST", "seed", json!({"root": {"firewall/policy": rows}})).await.well("seed");
    peer.order("stats/reset").await;
    let many = time_of_writes(&peer, 30_000).await;
    // What is in proportion to the table would be hundreds of times slower; other work on the machine is not.
    assert!(many < 20 * few + 200_000, "few: {few} µs, many: {many} µs");
    let page = peer.get("cmdb/firewall/policy?format=policyid&start=10000&count=2").await.well("page");
    assert_eq!(page.results().len(), 2);
    assert_eq!(page.body["size"], 20_200);
}

/// A hundred policies, each moved to the front.
async fn time_of_writes(peer: &Peer, first: i64) -> u64 {
    for id in first + 1..=first + 100 {
        peer.policy(id).await;
        let front =
            peer.get("cmdb/firewall/policy?format=policyid&count=1").await.column("policyid")[0].clone();
        peer.put(&format!("cmdb/firewall/policy/{id}?action=move&before={front}"), Value::Null)
            .await
            .well("move");
    }
    busy(peer, "POST firewall/policy").await + busy(peer, "PUT firewall/policy").await
}
