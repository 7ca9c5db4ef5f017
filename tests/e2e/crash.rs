//! The crash test: the connection to the API server or to the vCenter is cut at every write that their own journals
//! know of, before it is carried out and before its answer is read; the controller is dropped there with all that it
//! remembers, and a new one goes on. In the end exactly the same stands as after a run without a crash.
//!
//! A crash after the answer of one write is the same as one before the next, and after the last there is nothing left.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};
use vertskommune_provider::testing::Cut;
use vertskommune_tests::estate::{Cluster, is_ready, tenant, tenant_name};
use vertskommune_tests::inventory::Inventory;
use vertskommune_tests::lab::{Lab, VCenter};

/// Where a run is cut.
#[derive(Clone, Copy, Debug)]
enum Point {
    Kubernetes(usize, Cut),
    VCenter(usize, Cut),
}

/// One kind of work that a crash may interrupt.
struct Scenario {
    /// What stands before the work begins; nothing where that is nothing.
    before: Option<fn(u16) -> Json>,
    /// What orders the work.
    order: Order,
}

enum Order {
    /// A manifest is applied, and the tenant becomes Ready.
    Apply(fn(u16) -> Json),
    /// The manifest is deleted, with an operator's word for each step that needs one, and the tenant is gone.
    Delete,
}

/// The peers of a test, and the next tenant's number: every run has a tenant of its own, so nothing need be cleared.
struct Stage {
    cluster: Cluster,
    lab: Lab,
    next: u16,
}

impl Stage {
    async fn set() -> Option<Self> {
        let cluster = Cluster::start().await?;
        let lab = Lab::start(&["--no-kubernetes"])?;
        let stage = Self { cluster, lab, next: 1 };
        stage.cluster.apply_host(stage.vcenter()).unwrap();
        Some(stage)
    }

    fn vcenter(&self) -> &VCenter {
        &self.lab.peers.vcenters[0]
    }

    fn inventory(&self) -> Inventory {
        Inventory::of(self.lab.inventory(self.vcenter()).unwrap())
    }

    async fn reset(&self) {
        self.cluster.proxy.reset();
        self.vcenter().admin("DELETE", "/cut", Json::Null).await.unwrap();
        self.vcenter().admin("POST", "/journal/reset", Json::Null).await.unwrap();
    }

    async fn arm(&self, point: Point) {
        match point {
            Point::Kubernetes(nth, cut) => self.cluster.proxy.cut(nth, cut),
            Point::VCenter(nth, cut) => {
                let at = if cut == Cut::Before { "before" } else { "after" };
                self.vcenter().admin("POST", "/cut", json!({"write": nth, "at": at})).await.unwrap();
            }
        }
    }

    async fn is_cut(&self, point: Point) -> bool {
        match point {
            Point::Kubernetes(..) => self.cluster.proxy.is_cut(),
            Point::VCenter(..) => {
                self.vcenter().admin("GET", "/cut", Json::Null).await.unwrap()["fired"] == json!(true)
            }
        }
    }

    /// Whether the work is done. Gives the operator's word where the tenant waits for one.
    fn is_done(&self, scenario: &Scenario, name: &str) -> bool {
        let tenant = self.cluster.tenant(name);
        match (&scenario.order, tenant) {
            (Order::Apply(_), Ok(tenant)) => is_ready(&tenant),
            (Order::Apply(_), Err(_)) => false,
            (Order::Delete, Ok(tenant)) => {
                self.allow(&tenant, name);
                false
            }
            (Order::Delete, Err(_)) => true,
        }
    }

    /// Allows every destructive step that the status shows.
    fn allow(&self, tenant: &Json, name: &str) {
        let steps = tenant["status"]["plan"]["steps"].as_array().cloned().unwrap_or_default();
        let destroy: Vec<_> =
            steps.iter().filter(|step| step["class"] == "Destroy" || step["class"] == "destroy").collect();
        let ids: Vec<&str> = destroy.iter().filter_map(|step| step["id"].as_str()).collect();
        let known =
            tenant["metadata"]["annotations"]["vertskommune.no/allow-destroy"].as_str().unwrap_or_default();
        let new: Vec<&str> = ids.into_iter().filter(|id| !known.contains(*id)).collect();
        if !new.is_empty() {
            let all = [known]
                .into_iter()
                .filter(|known| !known.is_empty())
                .chain(new)
                .collect::<Vec<_>>()
                .join(",");
            let annotation = format!("vertskommune.no/allow-destroy={all}");
            // The tenant may go while we speak.
            let _ = self.cluster.lab.kubectl(&["annotate", "--overwrite", "tenant", name, &annotation], "");
        }
    }

    /// One run: what stood before, the work with or without a crash in it, and what stands in the end.
    async fn run(&mut self, scenario: &Scenario, point: Option<Point>) -> Run {
        let number = self.next;
        self.next += 1;
        let name = tenant_name(number);
        self.reset().await;
        if let Some(before) = scenario.before {
            self.cluster.apply(&before(number)).unwrap();
            let controller = self.cluster.controller().unwrap();
            self.cluster.wait_for(&name, "Ready", is_ready).await.unwrap();
            controller.stop().await;
        }
        self.reset().await;
        if let Some(point) = point {
            self.arm(point).await;
        }
        match scenario.order {
            Order::Apply(manifest) => self.cluster.apply(&manifest(number)).unwrap(),
            Order::Delete => {
                let delete = ["delete", "tenant", &name, "--wait=false"];
                self.cluster.lab.kubectl(&delete, "").unwrap();
            }
        }
        let mut controller = self.cluster.controller().unwrap();
        let mut visited = false;
        let start = std::time::Instant::now();
        loop {
            let done = self.is_done(scenario, &name);
            // The last write of all may be the one that is cut.
            if let Some(point) = point.filter(|_| !visited)
                && self.is_cut(point).await
            {
                visited = true;
                controller.kill();
                self.reset().await;
                controller = self.cluster.controller().unwrap();
                continue;
            }
            if done {
                break;
            }
            assert!(
                start.elapsed() < Duration::from_secs(90),
                "{point:?}: {:#?}",
                self.cluster.tenant(&name)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What a stopping controller writes is no part of the work.
        let (kubernetes, vcenter) =
            (self.cluster.proxy.journal(), self.vcenter().journal().await.unwrap().len());
        controller.stop().await;
        let inventory = self.inventory();
        let run = Run {
            kubernetes,
            vcenter,
            visited,
            tenant: inventory.of_tenant(&name),
            doubles: inventory.doubles().into_iter().map(str::to_owned).collect(),
            foreign: inventory.foreign,
        };
        self.let_go(&name);
        run
    }

    /// Takes the manifest away; its things stay and order nothing.
    fn let_go(&self, name: &str) {
        let free = r#"{"metadata":{"finalizers":null}}"#;
        let _ = self.cluster.lab.kubectl(&["patch", "tenant", name, "--type=merge", "-p", free], "");
        let _ = self.cluster.lab.kubectl(&["delete", "tenant", name, "--ignore-not-found"], "");
    }
}

/// What came of a run.
struct Run {
    kubernetes: Vec<String>,
    vcenter: usize,
    visited: bool,
    tenant: BTreeMap<String, Vec<Json>>,
    doubles: Vec<String>,
    foreign: String,
}

/// Runs the scenario once whole and once for each point of its journals.
async fn crash_everywhere(what: &str, scenario: Scenario) {
    let Some(mut stage) = Stage::set().await else { return };
    let foreign = stage.inventory().foreign;
    // What is written once for a host, such as the definition of a custom field, is written here.
    stage.run(&scenario, None).await;
    let whole = stage.run(&scenario, None).await;
    assert_eq!(whole.foreign, foreign, "foreign things were touched");
    let cuts = [Cut::Before, Cut::After];
    let points: Vec<Point> = (0..whole.kubernetes.len())
        .flat_map(|nth| cuts.map(|cut| Point::Kubernetes(nth, cut)))
        .chain((0..whole.vcenter).flat_map(|nth| cuts.map(|cut| Point::VCenter(nth, cut))))
        .collect();
    let mut unvisited = Vec::new();
    for point in &points {
        let run = stage.run(&scenario, Some(*point)).await;
        if !run.visited {
            unvisited.push(*point);
        }
        assert_eq!(run.tenant, whole.tenant, "{what}: after a crash at {point:?}");
        assert_eq!(run.doubles, Vec::<String>::new(), "{what}: doubles after a crash at {point:?}");
        assert_eq!(run.foreign, foreign, "{what}: foreign things after a crash at {point:?}");
    }
    println!(
        "{what}: {} writes to Kubernetes, {} to vCenter; points visited {} of {}; orphans 0, doubles 0, foreign 0",
        whole.kubernetes.len(),
        whole.vcenter,
        points.len() - unvisited.len(),
        points.len(),
    );
    assert!(unvisited.is_empty(), "{what}: never came by {unvisited:?}");
}

fn changed(number: u16) -> Json {
    let mut tenant = tenant(number);
    tenant["spec"]["servers"][0]["disks"] =
        json!([{"name": "data", "size": "20Gi"}, {"name": "logs", "size": "5Gi"}]);
    tenant["spec"]["networks"][0]["vlan"] = json!(4094 - number);
    tenant
}

fn leaving(number: u16) -> Json {
    let mut tenant = tenant(number);
    tenant["spec"]["deletionPolicy"] = json!({"servers": "Remove"});
    tenant["spec"]["compute"]["retireAfter"] = json!("1s");
    tenant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `make crash` runs it"]
async fn a_crash_anywhere_in_an_onboarding() {
    crash_everywhere("onboarding", Scenario { before: None, order: Order::Apply(tenant) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `make crash` runs it"]
async fn a_crash_anywhere_in_a_change() {
    crash_everywhere("change", Scenario { before: Some(tenant), order: Order::Apply(changed) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `make crash` runs it"]
async fn a_crash_anywhere_in_a_removal() {
    crash_everywhere("removal", Scenario { before: Some(leaving), order: Order::Delete }).await;
}
