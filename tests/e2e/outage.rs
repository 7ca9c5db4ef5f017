//! Outages: a vCenter that is gone, forgets its session, fails a clone or is slow holds up its own tenants, with a clear
//! condition; those of another vCenter go on, and everything goes on by itself afterwards.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{
    condition, is_ready, message, of_condition, reason, server_name, tenant, tenant_name,
};

use crate::stage::{Stage, since};

/// How long the vCenter is gone.
const OUTAGE: Duration = Duration::from_secs(10);
/// How often the session is dropped within one onboarding: for ever would leave it no time to work.
const DROPS: u32 = 5;
/// How much slower each answer of a slow vCenter is.
const DELAY: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_holds_up_its_own_tenants_only() {
    let Some(stage) = Stage::set(2).await else { return };
    stage.onboard([1]).await;
    stage.cluster.apply(&elsewhere(2)).unwrap();
    let neighbour = stage.ready(2).await;

    let room_again = a_clone_fails(&stage).await;
    the_vcenter_is_gone(&stage).await;
    its_session_is_dropped(&stage).await;
    its_answers_are_slow(&stage).await;
    the_clone_is_made(&stage, room_again).await;

    let after = stage.ready(2).await;
    let since_when = |tenant: &Json| of_condition(tenant, "Ready", "lastTransitionTime").to_owned();
    assert_eq!(since_when(&after), since_when(&neighbour), "the neighbour was never anything but Ready");
    for number in [1, 3, 5, 7, 9] {
        stage.settled(number).await;
    }
}

async fn the_vcenter_is_gone(stage: &Stage) {
    let begun = Instant::now();
    stage.main().admin("POST", "/pause", Json::Null).await.unwrap();
    let unreachable = |it: &Json| condition(it, "Ready") == "Unknown" && reason(it, "Ready") == "Unreachable";
    let blind = stage.tenant(1, "Unknown", unreachable).await;
    println!("outage: seen after {}: {}", since(begun), message(&blind, "Ready"));
    assert_eq!(reason(&blind, "Reconciling"), "Unreachable", "it is tried again: {blind:#}");
    let host = |it: &Json| it["status"]["reachable"] == "False";
    stage.cluster.wait_for_host("vcenter-main", "unreachable", host).await.unwrap();
    // Newcomers on both sides.
    stage.cluster.apply(&tenant(3)).unwrap();
    onboard_elsewhere(stage, 4).await;
    stage.tenant(3, "Unknown", unreachable).await;
    tokio::time::sleep(OUTAGE.saturating_sub(begun.elapsed())).await;

    let begun = Instant::now();
    stage.main().admin("POST", "/resume", Json::Null).await.unwrap();
    stage.settled(1).await;
    println!("outage: over, and seen {} later", since(begun));
    stage.ready(3).await;
    println!("outage: the newcomer of meanwhile Ready {} later", since(begun));
    let seen = |it: &Json| it["status"]["reachable"] == "True";
    stage.cluster.wait_for_host("vcenter-main", "reachable", seen).await.unwrap();
}

async fn its_session_is_dropped(stage: &Stage) {
    let begun = Instant::now();
    stage.cluster.apply(&tenant(5)).unwrap();
    let mut dropped = 0;
    while dropped < DROPS && !is_ready(&stage.tenant(5, "there", |_| true).await) {
        stage.main().admin("POST", "/sessions/expire", Json::Null).await.unwrap();
        dropped += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stage.ready(5).await;
    println!("session: dropped {dropped} times in an onboarding of {}", since(begun));
    stage.settled(1).await;
}

/// Tells since when there is room again: the clone is tried again later, when the rest has had its turn.
async fn a_clone_fails(stage: &Stage) -> Instant {
    let fault = json!({"method": "CloneVM_Task", "type": "NoDiskSpace", "in_task": true});
    stage.main().admin("POST", "/fault", fault).await.unwrap();
    let begun = Instant::now();
    stage.cluster.apply(&tenant(7)).unwrap();
    let failed = |it: &Json| message(it, "Ready").contains("NoDiskSpace");
    let failed = stage.tenant(7, "failed with the reason", failed).await;
    println!("clone: failed seen after {}: {}", since(begun), message(&failed, "Ready"));
    assert_eq!(condition(&failed, "Ready"), "False", "{failed:#}");
    let told = stage.hindered(7, "RetryLater", "mend what the error names").await;
    stage.cluster.told_by_an_event(&tenant_name(7), "StepFailed").await;
    assert!(told["message"].as_str().unwrap().contains("NoDiskSpace"), "{told:#}");
    onboard_elsewhere(stage, 8).await;
    stage.main().admin("DELETE", "/fault", Json::Null).await.unwrap();
    Instant::now()
}

async fn the_clone_is_made(stage: &Stage, room_again: Instant) {
    stage.ready(7).await;
    stage.unhindered(7).await;
    println!("clone: Ready {} after there was room again", since(room_again));
    let vms = stage.inventory()["vms"].as_array().cloned().unwrap_or_default();
    let count = vms.iter().filter(|vm| vm["name"] == server_name(7, 1).as_str()).count();
    assert_eq!(count, 1, "a failed clone leaves nothing double");
}

async fn its_answers_are_slow(stage: &Stage) {
    stage.main().admin("POST", &format!("/delay?ms={}", DELAY.as_millis()), Json::Null).await.unwrap();
    stage.cluster.apply(&tenant(9)).unwrap();
    let begun = Instant::now();
    let working = |it: &Json| reason(it, "Ready") == "Progressing";
    let slow = stage.tenant(9, "in work", working).await;
    println!("slow: shown after {}: {}", since(begun), message(&slow, "Ready"));
    onboard_elsewhere(stage, 10).await;
    stage.main().admin("POST", "/delay?ms=0", Json::Null).await.unwrap();
    let begun = Instant::now();
    stage.ready(9).await;
    println!("slow: Ready {} after it was fast again", since(begun));
}

async fn onboard_elsewhere(stage: &Stage, number: u16) {
    let begun = Instant::now();
    stage.cluster.apply(&elsewhere(number)).unwrap();
    stage.ready(number).await;
    println!("  meanwhile {} is Ready elsewhere after {}", tenant_name(number), since(begun));
}

/// A tenant in the other vCenter.
fn elsewhere(number: u16) -> Json {
    let mut tenant = tenant(number);
    tenant["spec"]["compute"]["provider"] = json!("vcenter-other");
    tenant
}
