//! Rows within rows, by path.

use serde_json::{Value, json};

use crate::peer::Peer;

#[tokio::test]
async fn members_are_added_read_and_taken_away() {
    let peer = Peer::start().await;
    peer.address("a").await;
    peer.address("b").await;
    let member = "cmdb/firewall/addrgrp/g/member";
    peer.post("cmdb/firewall/addrgrp", json!({"name": "g", "member": [{"name": "a"}]})).await.well("group");
    let added = peer.post(member, json!({"name": "b"})).await.well("add");
    assert_eq!(added.body["revision_changed"], true);
    assert_eq!(peer.get(member).await.column("name"), ["a", "b"]);
    let rows: [(&str, String, Value, u16, i64); 5] = [
        ("POST", member.into(), json!({"name": "b"}), 500, -5),
        ("POST", member.into(), json!({"name": "x"}), 500, -651),
        ("DELETE", format!("{member}/x"), Value::Null, 404, -3),
        ("GET", format!("{member}/x"), Value::Null, 404, -3),
        ("GET", "cmdb/firewall/addrgrp/g/comment".into(), Value::Null, 404, 0),
    ];
    for (method, path, body, status, error) in rows {
        let answer = peer.call(method, &path, &body).await;
        assert_eq!((answer.status, answer.error()), (status, error), "{method} {path}");
    }
    assert_eq!(peer.get(&format!("{member}/b")).await.column("q_origin_key"), ["b"]);
    peer.delete(&format!("{member}/a")).await.well("take away");
    assert_eq!(peer.get(member).await.column("name"), ["b"]);
    assert_eq!(peer.delete(&format!("{member}/b")).await.error(), -56, "the last one stays");
    peer.delete("cmdb/firewall/address/a").await.well("nobody refers to it any more");
}
