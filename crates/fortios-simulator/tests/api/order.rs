//! The order of policies.

use serde_json::Value;

use crate::peer::Peer;

#[tokio::test]
async fn policies_are_moved() {
    let peer = Peer::start().await;
    for id in 1..=4 {
        peer.policy(id).await;
    }
    let rows = [
        ("4?action=move&before=1", [4, 1, 2, 3], true, "to the front"),
        ("4?action=move&after=2", [1, 2, 4, 3], true, "into the middle"),
        ("1?action=move&after=3", [2, 4, 3, 1], true, "to the end"),
        ("3?action=move&before=1", [2, 4, 3, 1], false, "where it is"),
        ("2?action=move&before=2", [2, 4, 3, 1], false, "beside itself"),
    ];
    for (path, expected, changed, reason) in rows {
        let answer = peer.put(&format!("cmdb/firewall/policy/{path}"), Value::Null).await.well(reason);
        assert_eq!(answer.body["action"], "move", "{reason}");
        assert_eq!(answer.body["revision_changed"], changed, "{reason}");
        assert_eq!(peer.policies().await, expected, "{reason}");
    }
}

#[tokio::test]
async fn the_room_between_two_policies_is_never_used_up() {
    let peer = Peer::start().await;
    for id in 1..=3 {
        peer.policy(id).await;
    }
    // Each move halves a gap; there is room for 64.
    for turn in 0..200 {
        let (moved, other) = if turn % 2 == 0 { (3, 2) } else { (2, 3) };
        let path = format!("cmdb/firewall/policy/{moved}?action=move&before={other}");
        peer.put(&path, Value::Null).await.well("move");
        assert_eq!(peer.policies().await, [1, moved, other]);
    }
}
