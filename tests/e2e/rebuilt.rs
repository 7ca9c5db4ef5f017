//! A rebuilt cluster takes back all that is there and changes none of it. The claim of the old cluster holds it up no
//! longer than it lives, and another installation writes nothing at all.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{condition, message, reason, server, tenant};
use vertskommune_tests::inventory::Inventory;

use crate::stage::{Stage, since};

/// How long the claim of the old cluster lives yet: the two minutes that it has at most are too long for a test.
const LIVES: Duration = Duration::from_secs(10);
/// Where a claim stands.
const ROOT: &str = "/DC0/vm/Tenants";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilt_cluster_takes_everything_back() {
    let Some(mut stage) = Stage::set(1).await else { return };
    stage.onboard([1, 2, 3]).await;
    let before = Inventory::of(stage.inventory());

    all_is_taken_back(&mut stage).await;
    assert_eq!(Inventory::of(stage.inventory()), before);
    the_claim_of_the_old_cluster_ends(&stage).await;
    another_installation_is_refused(&mut stage).await;
}

async fn all_is_taken_back(stage: &mut Stage) {
    stage.end();
    stage.cluster.clear().unwrap();
    stage.forget_writes().await;
    stage.apply_hosts();
    for number in [1, 2, 3] {
        stage.cluster.apply(&tenant(number)).unwrap();
    }
    let begun = Instant::now();
    stage.restart_as("lab", "cluster-2");
    for number in [1, 2, 3] {
        let back = stage.settled(number).await;
        assert_eq!(back["status"]["servers"]["summary"], "2/2");
    }
    println!("rebuilt: 3 tenants of 2 servers taken back after {}", since(begun));
    let writes = stage.writes().await;
    println!("rebuilt: writes to vCenter, claims aside: {}", writes.len());
    assert_eq!(writes, Vec::<String>::new(), "neither creations nor deletions nor anything else");
}

/// The old cluster was killed, so that its claim lives on for a while and then ends by itself.
async fn the_claim_of_the_old_cluster_ends(stage: &Stage) {
    let ends = Timestamp::now() + LIVES;
    let claim = format!("lab, {ends}, cluster-1");
    stage.govc(&["fields.set", "vertskommune.claim", &claim, ROOT]);
    stage.forget_writes().await;
    let begun = Instant::now();
    want_another_server(stage, 1);
    let refused = is_claimed_by(stage, 1, "cluster-1").await;
    println!("rebuilt: held up by the old claim: {}", message(&refused, "Ready"));
    let early = Timestamp::now() < ends;
    assert!(!early || stage.writes().await.is_empty(), "nothing is written while the old claim lives");
    stage.settled(1).await;
    println!("rebuilt: the old claim was to end after {LIVES:?}, the order was done after {}", since(begun));
    assert_eq!(servers(stage, 1), 3);
}

async fn another_installation_is_refused(stage: &mut Stage) {
    stage.restart_as("elsewhere", "cluster-3");
    // One that has nothing yet, so that nothing but the claim is in the way.
    stage.cluster.apply(&tenant(4)).unwrap();
    stage.forget_writes().await;
    let refused = is_claimed_by(stage, 4, "cluster-2").await;
    println!("rebuilt: another installation: {}", message(&refused, "Ready"));
    assert_eq!(servers(stage, 4), 0);
    for number in [1, 2, 3] {
        let stranger = stage.cluster.ask("tenant", &format!("t000{number}")).await.unwrap();
        assert_eq!(condition(&stranger, "Ready"), "False", "what is another's is not taken: {stranger:#}");
    }
    let journal = stage.main().journal().await.unwrap();
    assert_eq!(journal, Vec::<Json>::new(), "not even a claim");

    // The first goes on where it was.
    stage.restart_as("lab", "cluster-2");
    for number in [1, 2, 3, 4] {
        stage.settled(number).await;
    }
}

async fn is_claimed_by(stage: &Stage, number: u16, holder: &str) -> Json {
    let says = format!("{holder} of installation");
    let claimed = |it: &Json| reason(it, "Ready") == "RetryLater" && message(it, "Ready").contains(&says);
    let tenant = stage.tenant(number, &format!("held up by the claim of {holder}"), claimed).await;
    assert_eq!(condition(&tenant, "Ready"), "False", "{tenant:#}");
    tenant
}

fn want_another_server(stage: &Stage, number: u16) {
    stage.change(number, &json!({"servers": [server(number, 1), server(number, 2), server(number, 3)]}));
}

fn servers(stage: &Stage, number: u16) -> usize {
    stage.things(number).keys().filter(|path| path.starts_with("vms ")).count()
}
