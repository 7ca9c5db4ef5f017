//! Drift: what somebody changes by hand, with a client that is not ours, is seen at once. Names and folders are healed;
//! power, sizes and lost servers are shown, and what has no mark of ours stays as it is to the last byte.

use std::time::Instant;

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{condition, is_ready, message, reason, server, server_name};
use vertskommune_tests::inventory::Inventory;

use crate::stage::{Stage, in_words, since};

const FOLDER: &str = "/DC0/vm/Tenants/t0001";
const SERVER: &str = "/DC0/vm/Tenants/t0001/t0001-srv01";
/// A machine that somebody made by hand in the tenant's own folder.
const STRANGER: &str = "/DC0/vm/Tenants/t0001/t0001-tool";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_by_hand_is_seen_and_healed_or_shown() {
    let Some(stage) = Stage::set(1).await else { return };
    stage.onboard([1, 2]).await;
    let neighbour = stage.things(2);
    make_a_stranger(&stage);
    let strange = strangers(&stage);

    names_and_folders_are_healed(&stage).await;
    power_is_shown(&stage).await;
    sizes_are_shown_while_it_runs_and_healed_while_it_is_off(&stage).await;
    a_lost_server_is_made_anew_by_a_word_alone(&stage).await;
    a_server_without_its_mark_is_left_alone(&stage).await;

    assert_eq!(strangers(&stage), strange, "what has no mark of ours was touched");
    assert_eq!(stage.things(2), neighbour, "another tenant was touched");
}

async fn names_and_folders_are_healed(stage: &Stage) {
    let before = stage.things(1);
    let name = server_name(1, 1);
    let by_hand: [(&str, &[&str], (&str, &str)); 3] = [
        ("renamed", &["object.rename", SERVER, "by-hand"], ("Rename_Task", &name)),
        ("moved", &["object.mv", SERVER, "/DC0/vm/Drift"], ("MoveIntoFolder_Task", "t0001")),
        (
            "moved to another tenant",
            &["object.mv", SERVER, "/DC0/vm/Tenants/t0002"],
            ("MoveIntoFolder_Task", "t0001"),
        ),
    ];
    for (what, govc, healing) in by_hand {
        stage.forget_writes().await;
        let begun = Instant::now();
        stage.govc(govc);
        let healed = stage.carried_out(healing).await;
        let (seen, healed) = (healed.seen - begun, healed.done - begun);
        println!("drift: {what} seen after {}, healed after {}", in_words(seen), in_words(healed));
        stage.settled(1).await;
        assert_eq!(stage.things(1), before, "{what}: healed is as it was");
        assert_eq!(stage.writes().await.len(), 2, "{what}: one write by hand, one of ours");
    }
}

async fn power_is_shown(stage: &Stage) {
    stage.forget_writes().await;
    let begun = Instant::now();
    stage.govc(&["vm.power", "-off", SERVER]);
    let shown = stage.tenant(1, "shown as powered off", |it| says(it, "power is off, not on")).await;
    println!("drift: powered off seen after {}", since(begun));
    assert!(is_ready(&shown), "an operator may switch a server off: {shown:#}");
    assert_eq!(reason(&shown, "UpToDate"), "Drifted");
    assert_eq!(stage.writes().await, ["PowerOffVM_Task t0001-srv01"], "power is only shown");
    let begun = Instant::now();
    stage.govc(&["vm.power", "-on", SERVER]);
    stage.settled(1).await;
    println!("drift: powered on seen after {}", since(begun));
}

async fn sizes_are_shown_while_it_runs_and_healed_while_it_is_off(stage: &Stage) {
    stage.forget_writes().await;
    let begun = Instant::now();
    stage.govc(&["vm.change", "-vm", SERVER, "-c", "4"]);
    let shown = stage.tenant(1, "shown as resized", |it| says(it, "vcpus is 4, not 2")).await;
    println!("drift: resized seen after {}", since(begun));
    assert!(is_ready(&shown) && condition(&shown, "UpToDate") == "False", "{shown:#}");
    assert_eq!(stage.writes().await, ["ReconfigVM_Task t0001-srv01"], "a restart is not worth it");
    // Once it is off, no restart is needed; and it stays off, as its operator wants.
    let begun = Instant::now();
    stage.govc(&["vm.power", "-off", SERVER]);
    stage.tenant(1, "resized back", |it| says(it, "power is off, not on")).await;
    println!("drift: resized healed {} after it was switched off", since(begun));
    let vm = stage.vm(SERVER);
    assert_eq!((&vm["cpus"], &vm["power"]), (&json!(2), &json!("poweredOff")), "{vm:#}");
    stage.govc(&["vm.power", "-on", SERVER]);
    stage.settled(1).await;
}

async fn a_lost_server_is_made_anew_by_a_word_alone(stage: &Stage) {
    let before = stage.things(1);
    let uuid = identity(&stage.vm(SERVER));
    stage.forget_writes().await;
    let begun = Instant::now();
    stage.govc(&["vm.destroy", SERVER]);
    let lost = stage.tenant(1, "Lost", |it| reason(it, "Ready") == "Lost").await;
    println!("drift: deleted seen after {}", since(begun));
    let advice = format!("recreate: {uuid}");
    assert!(message(&lost, "Ready").contains(&advice), "{lost:#}");
    assert_eq!(lost["status"]["servers"]["summary"], "1/2");
    stage.cluster.ask("tenant", "t0001").await.unwrap();
    let ours = stage.writes().await.into_iter().filter(|write| !is_by_hand(write)).collect::<Vec<_>>();
    assert!(ours.is_empty(), "it is not silently cloned anew: {ours:?}");

    let begun = Instant::now();
    stage.change(1, &recreate(&uuid));
    stage.settled(1).await;
    println!("drift: deleted made anew {} after the word", since(begun));
    let anew = identity(&stage.vm(SERVER));
    assert_ne!(anew, uuid, "a successor is not the one that was lost");
    assert_eq!(stage.things(1), before);

    // The permission was for that accident and not for the next.
    stage.govc(&["vm.destroy", SERVER]);
    let lost = stage.tenant(1, "Lost again", |it| reason(it, "Ready") == "Lost").await;
    assert!(message(&lost, "Ready").contains(&anew), "{lost:#}");
    assert_eq!(stage.vm(SERVER), Json::Null);
    stage.change(1, &recreate(&anew));
    stage.settled(1).await;
}

async fn a_server_without_its_mark_is_left_alone(stage: &Stage) {
    stage.govc(&["vm.change", "-vm", SERVER, "-e", "vertskommune.mark="]);
    let shown = stage.tenant(1, "in somebody else's hands", |it| condition(it, "Ready") == "False").await;
    println!("drift: without its mark a server is {}", reason(&shown, "Ready"));
    stage.forget_writes().await;
    let before = stage.vm(SERVER);
    // Even where the manifest asks for another size.
    stage.change(1, &json!({"servers": [larger(), server(1, 2)]}));
    stage.cluster.ask("tenant", "t0001").await.unwrap();
    assert_eq!(
        (stage.vm(SERVER), stage.writes().await),
        (before, Vec::new()),
        "without a mark it is not ours"
    );
    stage.change(1, &json!({"servers": [server(1, 1), server(1, 2)]}));
    stage.govc(&["vm.change", "-vm", SERVER, "-e", "vertskommune.mark=lab/t0001/server/t0001-srv01"]);
    stage.settled(1).await;
}

fn make_a_stranger(stage: &Stage) {
    let pool = "/DC0/host/DC0_C0/Resources/Drift";
    let place = ["vm.create", "-folder", FOLDER, "-pool", pool, "-ds", "LocalDS_0", "-net", "drift-servers"];
    stage.govc(&[&place[..], &["-on=false", "t0001-tool"]].concat());
}

/// All that is not ours, and the stranger.
fn strangers(stage: &Stage) -> (String, String) {
    (Inventory::of(stage.inventory()).foreign, stage.vm(STRANGER).to_string())
}

fn says(tenant: &Json, text: &str) -> bool {
    is_ready(tenant) && tenant["status"]["message"].as_str().is_some_and(|message| message.contains(text))
}

fn identity(vm: &Json) -> String {
    vm["instanceUuid"].as_str().unwrap().to_owned()
}

/// What govc does to delete a machine.
fn is_by_hand(write: &str) -> bool {
    ["PowerOffVM_Task", "Destroy_Task"].contains(&write.split(' ').next().unwrap_or_default())
}

fn recreate(uuid: &str) -> Json {
    let mut first = server(1, 1);
    first["recreate"] = json!(uuid);
    json!({"servers": [first, server(1, 2)]})
}

fn larger() -> Json {
    let mut first = server(1, 1);
    first["vcpus"] = json!(4);
    first
}
