//! Two controllers at once: one of them writes, whatever is done to their processes, and the other takes over in time.

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use vertskommune_tests::estate::{Controller, Signal, server_name, tenant};

use crate::stage::{Stage, in_words, since};

/// After how many of its writes a leader is stopped, in one round each.
const STOPPED_AFTER: [usize; 3] = [1, 4, 8];
/// Slow enough that a leader is stopped with a request on its way.
const DELAY: &str = "/delay?ms=40";
/// How soon another leads after a kill, and after SIGTERM, on a machine that is busy with other tests. The lease's own
/// tests hold 15 s and 1 s, by a clock that nothing else takes time from.
const AFTER_KILL: Duration = Duration::from_secs(20);
const AFTER_TERM: Duration = Duration::from_secs(3);
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_and_wakes_up_writes_nothing() {
    let Some(stage) = Stage::set_without_controller(1).await else { return };
    stage.main().admin("POST", DELAY, Json::Null).await.unwrap();
    let mut leader = stage.cluster.process_named("replica-0").unwrap();
    leads(&stage, "replica-0").await;
    let (mut by_former, mut by_next) = (0, 0);
    for (number, writes) in (1..).zip(STOPPED_AFTER) {
        let name = format!("replica-{number}");
        let mut next = stage.cluster.process_named(&name).unwrap();
        stage.forget_writes().await;
        stage.cluster.apply(&tenant(number)).unwrap();
        let before = stage.written(writes).await.len();
        leader.signal(Signal::STOP).unwrap();
        let begun = Instant::now();
        leads(&stage, &name).await;
        let taken = begun.elapsed();
        // What the stopped one had sent has arrived by then. It wakes up while the next is at work.
        let arrived = stage.written(0).await.len();
        let of_next = callers(&stage.written(arrived + 1).await[arrived..]);
        let asleep = stage.written(0).await.len();
        leader.signal(Signal::CONT).unwrap();
        assert!(!ends_well(&mut leader).await, "a process that has lost the lease says so");
        stage.ready(number).await;
        let awake = callers(&stage.written(0).await[asleep..]);
        let former = awake.iter().filter(|caller| !of_next.contains(caller)).count();
        println!(
            "stopped after {before} writes: the next led {} later; after it woke up the next wrote {} times, and it {former} times",
            in_words(taken),
            awake.len() - former,
        );
        by_former += former;
        by_next += awake.len() - former;
        assert!(next.ended().unwrap().is_none(), "the next one goes on");
        leader = next;
    }
    println!("writes of former leaders: {by_former} of {}", by_former + by_next);
    assert_eq!(by_former, 0);
    assert!(by_next > 0, "there was nothing to write");
    for (number, _) in (1..).zip(STOPPED_AFTER) {
        nothing_is_double(&stage, number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_leads_soon_after_a_kill_and_at_once_after_sigterm() {
    let Some(stage) = Stage::set_without_controller(1).await else { return };
    let first = stage.cluster.process_named("replica-0").unwrap();
    leads(&stage, "replica-0").await;
    let second = stage.cluster.process_named("replica-1").unwrap();
    stage.cluster.apply(&tenant(1)).unwrap();
    stage.ready(1).await;

    let begun = Instant::now();
    first.kill();
    leads(&stage, "replica-1").await;
    println!("killed: the next led {} later", since(begun));
    assert!(begun.elapsed() <= AFTER_KILL, "{:?}", begun.elapsed());

    let third = stage.cluster.process_named("replica-2").unwrap();
    stage.cluster.apply(&tenant(2)).unwrap();
    stage.ready(2).await;
    let stopping = Instant::now();
    second.stop().await;
    let stopped = stopping.elapsed();
    leads(&stage, "replica-2").await;
    let taken = stopping.elapsed();
    println!(
        "SIGTERM: it ended after {}, and the next led {} after that",
        in_words(stopped),
        in_words(taken.saturating_sub(stopped))
    );
    assert!(taken <= stopped + AFTER_TERM, "{taken:?} after SIGTERM, {stopped:?} of it to end");
    stage.cluster.apply(&tenant(3)).unwrap();
    stage.ready(3).await;
    third.stop().await;
}

/// Waits until the lease is that one's.
async fn leads(stage: &Stage, identity: &str) {
    let begun = Instant::now();
    while stage.cluster.leader().await.unwrap().as_deref() != Some(identity) {
        assert!(begun.elapsed() < PATIENCE, "{identity} does not lead");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// In which session each was written.
fn callers(journal: &[Json]) -> Vec<Json> {
    journal.iter().map(|entry| entry["caller"].clone()).collect()
}

/// Waits until the process has ended. Whether it says that all went well.
async fn ends_well(controller: &mut Controller) -> bool {
    let begun = Instant::now();
    loop {
        if let Some(status) = controller.ended().unwrap() {
            return status.success();
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn nothing_is_double(stage: &Stage, number: u16) {
    let vms = stage.inventory()["vms"].as_array().cloned().unwrap_or_default();
    for server in [1, 2] {
        let name = server_name(number, server);
        let count = vms.iter().filter(|vm| vm["name"] == name.as_str()).count();
        assert_eq!(count, 1, "{name}");
    }
}
