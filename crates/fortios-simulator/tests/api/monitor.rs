//! What the monitor tells.

use serde_json::{Value, json};

use crate::peer::Peer;

#[tokio::test]
async fn who_the_device_is() {
    let peer = Peer::start_with(|options| {
        options.identity.hostname = "fw-a".into();
        options.identity.serial = "FGT-A".into();
        options.identity.peers = vec!["FGT-B".into()];
    })
    .await;
    let status = peer.get("monitor/system/status").await.well("status").body;
    assert_eq!(
        (&status["serial"], &status["version"], &status["build"]),
        (&json!("FGT-A"), &json!("v7.4.8"), &json!(2795))
    );
    assert_eq!(status["results"]["hostname"], "fw-a");
    assert_eq!(status.get("http_status"), None, "the monitor says no status where all is well");
    let state = peer.get("monitor/web-ui/state").await.well("state").body;
    assert_eq!(state["results"]["admin"]["name"], "api");
    let members = peer.get("monitor/system/ha-peer").await.well("ha-peer");
    assert_eq!(members.column("serial_no"), ["FGT-A", "FGT-B"]);
    let sums = peer.get("monitor/system/ha-checksums").await.well("ha-checksums");
    assert_eq!(sums.column("serial_no"), ["FGT-A", "FGT-B"]);
    assert_eq!(sums.results()[0]["checksum"], sums.results()[1]["checksum"], "in step");
    peer.address("a").await;
    let later = peer.get("monitor/system/ha-checksums").await;
    let changed = |sum: &str| sums.results()[0]["checksum"][sum] != later.results()[0]["checksum"][sum];
    assert_eq!((changed("root"), changed("global"), changed("all")), (true, false, true));
    for path in ["system/firmware", "license/status/select", "system/time", "system/time/select"] {
        peer.get(&format!("monitor/{path}")).await.well(path);
    }
    assert_eq!(peer.get("monitor/system/nothing").await.status, 404);
}

#[tokio::test]
async fn how_full_it_is_and_who_uses_what() {
    let peer = Peer::start().await;
    peer.policy(5).await;
    let resources = peer.get("monitor/system/vdom-resource?vdom=*").await.well("resources").body;
    assert_eq!(resources[0]["results"]["firewall-policy"]["current_usage"], 1);
    assert_eq!(resources[0]["results"]["firewall-policy"]["global_max"], 201_024);
    let counters = peer.get("monitor/firewall/policy/select?vdom=root").await.well("counters");
    assert_eq!(counters.column("policyid"), [0, 5], "the implicit one first");
    let usage =
        peer.get("monitor/system/object/usage?q_path=firewall&q_name=address&mkey=all").await.well("usage");
    let user = |attribute: &str| json!({"path": "firewall", "name": "policy", "mkey": "5", "attribute": attribute, "vdom": "root"});
    assert_eq!(usage.body["results"]["currently_using"], json!([user("dstaddr"), user("srcaddr")]));
}

#[tokio::test]
async fn revisions_are_kept() {
    let peer = Peer::start().await;
    peer.address("before").await;
    let revisions = "monitor/system/config-revision";
    assert_eq!(peer.get(revisions).await.body["results"]["current_config_unsaved"], true);
    peer.post(&format!("{revisions}/save"), json!({"comments": "first"})).await.well("save");
    peer.address("later").await;
    let kept = peer.get(revisions).await.body["results"].clone();
    assert_eq!(
        (&kept["revisions"][0]["comment"], &kept["current_config_unsaved"]),
        (&json!("first"), &json!(true))
    );
    let id = &kept["revisions"][0]["id"];
    let text = peer.get(&format!("{revisions}/file?config_id={id}")).await.well("file").body;
    let text = text.as_str().unwrap();
    assert!(text.contains("edit \"before\"") && !text.contains("edit \"later\""));
    assert_eq!(peer.get(&format!("{revisions}/file?config_id=9")).await.status, 404);
    peer.admin("POST", &format!("revision?id={id}"), json!("another")).await.well("damage");
    assert_eq!(peer.get(&format!("{revisions}/file?config_id={id}")).await.body, "another");
    assert_eq!(peer.get("monitor/system/config/backup").await.status, 400, "scope is required");
    peer.post("monitor/system/config/backup", json!({"scope": "global", "destination": "file"}))
        .await
        .well("by POST");
    assert_eq!(
        peer.call("GET", &format!("{revisions}/save"), &Value::Null).await.status,
        404,
        "saving is a POST"
    );
}

#[tokio::test]
async fn so_many_revisions_are_kept_and_their_ids_never_come_again() {
    let peer = Peer::start_with(|options| options.revisions = 2).await;
    let revisions = "monitor/system/config-revision";
    let ids = async || {
        let kept = peer.get(&format!("{revisions}?vdom=root")).await.well("list").body;
        let listed = kept["results"]["revisions"].as_array().unwrap().clone();
        listed.iter().map(|it| it["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let save = async |comment: &str| {
        peer.post(&format!("{revisions}/save"), json!({"comments": comment})).await.well(comment);
    };
    for comment in ["first", "second", "third"] {
        save(comment).await;
    }
    assert_eq!(ids().await, [3, 2], "the oldest went");
    assert_eq!(peer.get(&format!("{revisions}/file?config_id=1")).await.status, 404);
    peer.post(&format!("{revisions}/update-comments"), json!({"config_id": 3, "comments": "last"}))
        .await
        .well("3");
    let info = peer.get(&format!("{revisions}/info?config_id=3")).await.well("info").body;
    assert_eq!(info["results"]["comment"], "last");
    assert_eq!(peer.post(&format!("{revisions}/delete"), json!({"config_ids": [3, 9]})).await.status, 404);
    assert_eq!(ids().await, [3, 2], "all or none of them");
    peer.post(&format!("{revisions}/delete"), json!({"config_ids": [3]})).await.well("delete");
    save("fourth").await;
    assert_eq!(ids().await, [4, 2]);
}

#[tokio::test]
async fn without_a_disk_or_a_right_nothing_is_kept() {
    let bare = Peer::start_with(|options| options.revisions = 0).await;
    let revisions = "monitor/system/config-revision";
    let saved = bare.post(&format!("{revisions}/save"), json!({})).await;
    assert_eq!((saved.status, saved.error()), (500, -1));
    assert_eq!(bare.get(revisions).await.well("list").body["results"]["revisions"], json!([]));
    let status = bare.get("monitor/system/status").await.well("status").body;
    assert_eq!(status["results"]["log_disk_status"], "not_available");
    let peer = Peer::start().await;
    peer.post(&format!("{revisions}/save"), json!({})).await.well("save");
    peer.order("hide?table=system/config-revision").await;
    for path in ["", "/file?config_id=1", "/info?config_id=1"] {
        assert_eq!(peer.get(&format!("{revisions}{path}")).await.status, 403, "{path}");
    }
    assert_eq!(peer.post(&format!("{revisions}/save"), json!({})).await.status, 403);
}
