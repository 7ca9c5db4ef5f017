//! The API server and its store, paused and killed in the middle of an onboarding: the controller ends where it may not
//! write any more, is started again as a kubelet would, and everything goes on by itself. The real systems are not asked
//! for anything twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde_json::Value as Json;
use vertskommune_tests::estate::{Cluster, Signal, is_ready, of_condition, server_name, tenant, tenant_name};

use crate::stage::{Stage, since};

/// For how long each is paused: longer than a permit lives.
const PAUSE: Duration = Duration::from_secs(12);
/// Slow enough that it happens in the middle of the work.
const DELAY: &str = "/delay?ms=100";
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Blow {
    Paused,
    Killed,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_and_its_store_may_be_paused_and_killed() {
    let Some(cluster) = Cluster::start_with(&["--vcenters", "1", "--restart"]).await else { return };
    let stage = Arc::new(Stage::of(cluster));
    stage.apply_hosts();
    let kubelet = Kubelet::start(stage.clone());
    stage.onboard([1]).await;
    let neighbour = stage.settled(1).await;
    let things = stage.things(1);
    stage.main().admin("POST", DELAY, Json::Null).await.unwrap();

    let blows = [Blow::Paused, Blow::Killed].map(|blow| ["kube-apiserver", "etcd"].map(|peer| (blow, peer)));
    for (number, (blow, peer)) in (2..).zip(blows.into_iter().flatten()) {
        stage.forget_writes().await;
        stage.cluster.apply(&tenant(number)).unwrap();
        stage.written(2).await;
        let begun = Instant::now();
        strike(&stage, peer, blow).await;
        answers(&stage, "t0001", |_| true).await;
        println!("{peer} {blow:?}: the API answers again after {}", since(begun));
        answers(&stage, &tenant_name(number), is_ready).await;
        println!("{peer} {blow:?}: the newcomer Ready after {}", since(begun));
    }

    let after = stage.settled(1).await;
    // A controller that starts while the API server still refuses it Secrets sees nothing for a moment, and says so.
    let since_when = |tenant: &Json| of_condition(tenant, "Ready", "lastTransitionTime").to_owned();
    println!("the neighbour was Ready all the time: {}", since_when(&after) == since_when(&neighbour));
    assert_eq!(stage.things(1), things, "what was there was touched");
    let vms = stage.inventory()["vms"].as_array().cloned().unwrap_or_default();
    for number in 2..=5 {
        for server in [1, 2].map(|index| server_name(number, index)) {
            let count = vms.iter().filter(|vm| vm["name"] == server.as_str()).count();
            assert_eq!(count, 1, "{server}");
        }
    }
    println!("the controller was started {} times", kubelet.starts());
}

async fn strike(stage: &Stage, peer: &str, blow: Blow) {
    let pid = i32::try_from(stage.cluster.lab.peers.pids[peer]).unwrap();
    let send = |signal| kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    match blow {
        Blow::Paused => {
            send(Signal::STOP);
            tokio::time::sleep(PAUSE).await;
            send(Signal::CONT);
        }
        Blow::Killed => send(Signal::KILL),
    }
}

/// Waits until the API server answers with a tenant as asked for. It may answer, and then not again, before it is well.
async fn answers(stage: &Stage, name: &str, is: impl Fn(&Json) -> bool) {
    let begun = Instant::now();
    loop {
        let asked = tokio::time::timeout(Duration::from_secs(2), stage.cluster.find(name)).await;
        if matches!(&asked, Ok(Ok(Some(tenant))) if is(tenant)) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{name} is never so: {asked:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Keeps a controller running, as a pod: the same name each time.
struct Kubelet {
    over: Arc<AtomicBool>,
    starts: Arc<AtomicU32>,
    running: Option<std::thread::JoinHandle<()>>,
}

impl Kubelet {
    fn start(stage: Arc<Stage>) -> Self {
        let (over, starts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (is_over, count) = (over.clone(), starts.clone());
        let running = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let mut pod = stage.cluster.process_named("pod").unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                while !is_over.load(Ordering::Relaxed) && pod.ended().unwrap().is_none() {
                    std::thread::sleep(Duration::from_millis(50));
                }
                // Its first pause before a restart.
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self { over, starts, running: Some(running) }
    }

    fn starts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}
