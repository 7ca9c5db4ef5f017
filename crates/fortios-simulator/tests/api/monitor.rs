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
