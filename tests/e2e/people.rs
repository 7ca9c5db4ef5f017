//! What people ask and say by `kubectl vertskommune`: why a tenant waits, what it has, what has happened, and their words.

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{condition, is_ready, reason, server_name, tenant};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_see_why_a_tenant_waits_and_set_it_going() {
    let Some(stage) = Stage::set(1).await else { return };
    stage.onboard([1]).await;
    stage.settled(1).await;
    nothing_hinders_what_has_converged(&stage);
    what_is_there_is_a_tree(&stage);
    a_request_is_answered(&stage);
    suspended_until_resumed(&stage).await;
    what_files_would_change_is_told_without_applying_them(&stage);
    a_collision_is_told_with_what_would_help(&stage).await;
    a_destruction_waits_for_the_word_that_is_shown(&stage).await;
    refused_credentials_are_told_once_and_by_the_endpoint(&stage).await;
}

/// Runs the plugin. What it must end with, and what it wrote.
fn kubectl(stage: &Stage, code: i32, arguments: &[&str]) -> String {
    let (found, out, err) = stage.cluster.plugin(arguments).unwrap();
    println!("$ kubectl vertskommune {}\n{out}{err}", arguments.join(" "));
    assert_eq!(found, Some(code), "{arguments:?}: {out}{err}");
    out
}

fn json_of(stage: &Stage, code: i32, arguments: &[&str]) -> Json {
    serde_json::from_str(&kubectl(stage, code, &[arguments, &["-o", "json"]].concat())).unwrap()
}

fn reasons(stage: &Stage, name: &str) -> Vec<String> {
    let why = json_of(stage, 2, &["why", name]);
    let hindrances = why["hindrances"].as_array().unwrap().iter();
    hindrances.map(|it| it["reason"].as_str().unwrap().to_owned()).collect()
}

fn nothing_hinders_what_has_converged(stage: &Stage) {
    let text = kubectl(stage, 0, &["why", "t0001"]);
    assert!(text.starts_with("tenant t0001  nothing hinders it\n"), "{text}");
    kubectl(stage, 1, &["why", "t0009"]);
    let history = json_of(stage, 0, &["history", "t0001"]);
    let told: Vec<&str> =
        history.as_array().unwrap().iter().map(|it| it["reason"].as_str().unwrap()).collect();
    for reason in ["Applied", "Converged", "LastChanged"] {
        assert!(told.contains(&reason), "{reason}: {told:?}");
    }
    let times: Vec<&str> = history.as_array().unwrap().iter().map(|it| it["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let top = kubectl(stage, 0, &["top"]);
    assert!(top.lines().any(|line| line.starts_with("t0001   True    2/2 ")), "{top}");
}

fn what_is_there_is_a_tree(stage: &Stage) {
    let text = kubectl(stage, 0, &["tree", "t0001"]);
    assert!(text.contains("└─ servers on vcenter-main\n"), "{text}");
    let tree = json_of(stage, 0, &["tree", "t0001"]);
    let things = tree["branches"][0]["things"].as_array().unwrap().clone();
    let server = things.iter().find(|it| it["name"] == json!(server_name(1, 1))).unwrap();
    assert_eq!(server["state"], "AsWanted", "{server}");
    assert_ne!(server["identity"], Json::Null, "{server}");
}

fn a_request_is_answered(stage: &Stage) {
    let text = kubectl(stage, 0, &["reconcile", "t0001"]);
    assert!(text.starts_with("tenant t0001: Ready is True: Converged"), "{text}");
    let asked = kubectl(stage, 0, &["reconcile", "t0001", "--no-wait"]);
    assert!(asked.starts_with("tenant t0001: asked for at 20"), "{asked}");
}

async fn suspended_until_resumed(stage: &Stage) {
    kubectl(stage, 0, &["suspend", "t0001"]);
    stage.change(1, &json!({"servers": [tenant(1)["spec"]["servers"][0], {"name": server_name(1, 2), "template": "ubuntu-24.04@1",
        "vcpus": 2, "memory": "4Gi", "disks": [{"name": "data", "size": "11Gi"}], "antiAffinity": "pair",
        "interfaces": tenant(1)["spec"]["servers"][1]["interfaces"]}]}));
    stage.tenant(1, "suspended", |it| reason(it, "Ready") == "Suspended").await;
    assert_eq!(reasons(stage, "t0001"), ["Suspended"]);
    let tree = json_of(stage, 2, &["tree", "t0001"]);
    let things = tree["branches"][0]["things"].as_array().unwrap().clone();
    let server = things.iter().find(|it| it["name"] == json!(server_name(1, 2))).unwrap();
    assert_eq!((&server["state"], &server["reason"]), (&json!("Differs"), &json!("Suspended")));
    stage.hindered(1, "Suspended", "kubectl vertskommune resume t0001").await;
    kubectl(stage, 0, &["resume", "t0001"]);
    stage.settled(1).await;
    stage.unhindered(1).await;
}

fn what_files_would_change_is_told_without_applying_them(stage: &Stage) {
    kubectl(stage, 0, &["diff", "t0001"]);
    let mut next = tenant(2);
    next["spec"]["networks"][0]["vlan"] = json!(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("next.yaml");
    std::fs::write(&file, next.to_string()).unwrap();
    let text = kubectl(stage, 1, &["diff", "t0002", "-f", &file.to_string_lossy()]);
    assert!(text.contains("VLAN 1 is also wanted by t0001"), "{text}");
    assert!(stage.cluster.tenant("t0002").is_err(), "nothing was applied");
}

async fn a_collision_is_told_with_what_would_help(stage: &Stage) {
    let mut next = tenant(2);
    next["spec"]["networks"][0]["vlan"] = json!(1);
    next["spec"]["servers"] = json!([]);
    stage.cluster.apply(&next).unwrap();
    stage.tenant(2, "refused", |it| condition(it, "Stalled") == "True").await;
    let why = json_of(stage, 2, &["why", "t0002"]);
    let first = &why["hindrances"][0];
    assert_eq!((&first["reason"], &first["needsPerson"]), (&json!("Collision"), &json!(true)), "{why:#}");
    assert!(
        first["help"].as_str().unwrap().starts_with("choose another value in the field that is named"),
        "{why:#}"
    );
    // The advice is followed, and it clears.
    stage.hindered(2, "Collision", "choose another value").await;
    stage.change(2, &json!({"networks": [tenant(2)["spec"]["networks"][0]]}));
    stage.settled(2).await;
    stage.unhindered(2).await;
}

async fn a_destruction_waits_for_the_word_that_is_shown(stage: &Stage) {
    let spec = tenant(1)["spec"].clone();
    let compute = json!({"provider": "vcenter-main", "quota": spec["compute"]["quota"], "retireAfter": "1s"});
    stage.change(1, &json!({"compute": compute, "servers": [spec["servers"][0]]}));
    let waits = |it: &Json| {
        let steps = it["status"]["plan"]["steps"].as_array().cloned().unwrap_or_default();
        steps.iter().any(|step| step["waiting"]["reason"] == "ApprovalNeeded")
    };
    stage.tenant(1, "waiting for a word", waits).await;
    assert_eq!(reasons(stage, "t0001"), ["ApprovalNeeded"]);
    let shown = json_of(stage, 2, &["approve", "t0001"]);
    let id = shown[0]["id"].as_str().unwrap().to_owned();
    let help = json_of(stage, 2, &["why", "t0001"])["hindrances"][0]["help"].as_str().unwrap().to_owned();
    assert!(help.ends_with(&format!("kubectl vertskommune approve t0001 {id} --apply")), "{help}");
    kubectl(stage, 2, &["why", "t0001"]);
    kubectl(stage, 2, &["approve", "t0001"]);
    kubectl(stage, 1, &["approve", "t0001", "000000000000", "--apply"]);
    stage.hindered(1, "ApprovalNeeded", &id).await;
    kubectl(stage, 0, &["approve", "t0001", &id, "--apply"]);
    let gone = stage.tenant(1, "without it", |it| is_ready(it) && it["status"]["plan"] == Json::Null).await;
    assert_eq!(gone["status"]["servers"]["total"], 1, "{gone:#}");
    stage.unhindered(1).await;
}

/// The password is wrong, which the HostProvider tells, and not each tenant in its own words.
async fn refused_credentials_are_told_once_and_by_the_endpoint(stage: &Stage) {
    let secret = |password: &str| json!({"stringData": {"password": password}});
    stage.cluster.patch_in_namespace("secret", "vcenter-main", &secret("wrong")).unwrap();
    stage.tenant(1, "blind", |it| reason(it, "Ready") == "CredentialsRefused").await;
    let is_told = |it: &Json| reason(it, "Ready") == "CredentialsRefused";
    stage.cluster.wait_for_host("vcenter-main", "blind", is_told).await.unwrap();
    let why = json_of(stage, 2, &["why", "t0001"]);
    let first = &why["hindrances"][0];
    assert_eq!(first["what"], "HostProvider/vcenter-main", "{why:#}");
    assert_eq!(why["hindrances"].as_array().unwrap().len(), 1, "{why:#}");
    assert!(
        first["help"].as_str().unwrap().starts_with("renew the Secret that HostProvider vcenter-main names"),
        "{why:#}"
    );
    kubectl(stage, 2, &["why", "t0001"]);
    stage.hindered(1, "CredentialsRefused", "renew the Secret").await;
    // The advice is followed, and it clears.
    stage.cluster.apply_host(stage.main()).unwrap();
    stage.settled(1).await;
    stage.unhindered(1).await;
}
