//! The peers of a crash test, and one run on them: the work, cut at one write or whole, and what stands in the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vertskommune_provider::testing::Cut;
use vertskommune_tests::estate::{Cluster, Controller, condition, is_ready, tenant_name};
use vertskommune_tests::inventory::Inventory;
use vertskommune_tests::lab::{Lab, VCenter};

/// Where a run is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Point {
    Kubernetes(usize, Cut),
    VCenter(usize, Cut),
}

/// How the controller dies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// It runs in this process and is dropped between two instructions, with all that it remembers.
    Dropped,
    /// It is a process of its own and gets SIGKILL.
    Killed,
}

/// One kind of work that a crash may interrupt.
pub(crate) struct Scenario {
    /// What stands before the work begins; where that is nothing, a cluster and a vCenter that have never seen us.
    pub(crate) before: Option<fn(u16) -> Json>,
    /// What orders the work.
    pub(crate) order: Order,
}

pub(crate) enum Order {
    /// A manifest is applied, and reality becomes as it says.
    Apply(fn(u16) -> Json),
    /// The manifest is deleted, with an operator's word for each step that needs one, and the tenant is gone.
    Delete,
}

/// What came of a run.
pub(crate) struct Run {
    /// The journals' writes.
    pub(crate) kubernetes: Vec<String>,
    pub(crate) vcenter: usize,
    /// Whether it came by the point at which it was to be cut.
    pub(crate) visited: bool,
    /// What belongs to the tenant in the end.
    pub(crate) tenant: BTreeMap<String, Vec<Json>>,
    /// What is ours and belongs to no tenant that should have it.
    pub(crate) orphans: Vec<String>,
    pub(crate) doubles: Vec<String>,
    /// Whether everything that is not ours is there to the last byte as before.
    pub(crate) foreign_is_whole: bool,
}

/// The peers, and the next tenant's number: every run has a tenant of its own, so nothing need be cleared.
pub(crate) struct Stage {
    cluster: Cluster,
    lab: Lab,
    next: u16,
}

impl Stage {
    pub(crate) async fn set() -> Option<Self> {
        let cluster = Cluster::start().await?;
        let lab = Lab::start(&["--no-kubernetes"])?;
        let stage = Self { cluster, lab, next: 1 };
        stage.cluster.apply_host(stage.vcenter()).unwrap();
        Some(stage)
    }

    /// One run of the scenario, cut at that point if one is named.
    pub(crate) async fn run(&mut self, scenario: &Scenario, point: Option<Point>, death: Death) -> Run {
        let number = self.next;
        self.next += 1;
        let name = tenant_name(number);
        match scenario.before {
            Some(before) => self.prepare(&name, &before(number)).await,
            None => self.renew(),
        }
        let before = self.inventory();
        self.reset().await;
        if let Some(point) = point {
            self.arm(point).await;
        }
        match scenario.order {
            Order::Apply(manifest) => self.cluster.apply(&manifest(number)).unwrap(),
            Order::Delete => {
                self.cluster.lab.kubectl(&["delete", "tenant", &name, "--wait=false"], "").unwrap();
            }
        }
        let (visited, controller) = self.work(scenario, &name, point, death).await;
        // What a stopping controller writes is no part of the work.
        let kubernetes = self.cluster.proxy.journal();
        let vcenter = self.vcenter().journal().await.unwrap().len();
        controller.stop().await;
        let after = self.inventory();
        let run = Run {
            kubernetes,
            vcenter,
            visited,
            tenant: after.of_tenant(&name),
            orphans: after.others_than(&name).difference(&before.others_than(&name)).cloned().collect(),
            doubles: after.doubles().into_iter().map(str::to_owned).collect(),
            foreign_is_whole: after.foreign == before.foreign,
        };
        self.let_go(&name);
        run
    }

    /// Brings a tenant to where the work begins.
    async fn prepare(&self, name: &str, manifest: &Json) {
        self.reset().await;
        self.cluster.apply(manifest).unwrap();
        let controller = self.cluster.controller().unwrap();
        self.cluster.wait_for(name, "Ready", is_ready).await.unwrap();
        controller.stop().await;
    }

    /// A vCenter and a cluster that have never seen us, so that what is written once for a host is written again.
    fn renew(&mut self) {
        self.lab = Lab::start(&["--no-kubernetes"]).unwrap();
        self.cluster.proxy.reset();
        self.cluster.clear().unwrap();
        self.cluster.apply_host(self.vcenter()).unwrap();
    }

    /// Lets a controller work until it is done; at the point it dies, and another goes on.
    async fn work(
        &self,
        scenario: &Scenario,
        name: &str,
        point: Option<Point>,
        death: Death,
    ) -> (bool, Controller) {
        let begin = || match death {
            Death::Dropped => self.cluster.controller(),
            Death::Killed => self.cluster.process(),
        };
        let mut controller = begin().unwrap();
        let mut visited = false;
        let start = Instant::now();
        loop {
            let done = self.is_done(scenario, name).await;
            // What the last write wrote may be seen before its answer has come to where it is cut.
            if done && !visited && matches!(point, Some(Point::Kubernetes(_, Cut::After))) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            // The last write of all may be the one that is cut.
            if let Some(point) = point.filter(|_| !visited)
                && self.is_cut(point).await
            {
                visited = true;
                controller.kill();
                self.reset().await;
                controller = begin().unwrap();
                continue;
            }
            if done {
                return (visited, controller);
            }
            let tenant = self.cluster.find(name).await.unwrap();
            assert!(start.elapsed() < Duration::from_secs(120), "{point:?} {death:?}: {tenant:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether the work is done. Gives the operator's word where the tenant waits for one.
    async fn is_done(&self, scenario: &Scenario, name: &str) -> bool {
        let tenant = self.cluster.find(name).await.unwrap();
        match (&scenario.order, tenant) {
            (Order::Apply(_), Some(tenant)) => is_ready(&tenant) && condition(&tenant, "UpToDate") == "True",
            (Order::Apply(_), None) => false,
            (Order::Delete, Some(tenant)) => {
                self.allow(&tenant, name);
                false
            }
            (Order::Delete, None) => true,
        }
    }

    /// Allows every destructive step that the status shows.
    fn allow(&self, tenant: &Json, name: &str) {
        let steps = tenant["status"]["plan"]["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let destructive = steps.iter().filter(|step| step["class"] == "destroy");
        let ids: Vec<&str> = destructive.filter_map(|step| step["id"].as_str()).collect();
        let known = tenant["metadata"]["annotations"]["vertskommune.no/allow-destroy"].as_str();
        let known = known.unwrap_or_default();
        if ids.iter().all(|id| known.contains(id)) {
            return;
        }
        let known = known.split(',').filter(|id| !id.is_empty());
        let all: std::collections::BTreeSet<&str> = known.chain(ids).collect();
        let all = all.into_iter().collect::<Vec<_>>().join(",");
        let annotation = format!("vertskommune.no/allow-destroy={all}");
        // The tenant may go while we speak.
        let _ = self.cluster.lab.kubectl(&["annotate", "--overwrite", "tenant", name, &annotation], "");
    }

    /// Takes the manifest away; its things stay and order nothing.
    fn let_go(&self, name: &str) {
        let free = r#"{"metadata":{"finalizers":null}}"#;
        let _ = self.cluster.lab.kubectl(&["patch", "tenant", name, "--type=merge", "-p", free], "");
        let _ = self.cluster.lab.kubectl(&["delete", "tenant", name, "--ignore-not-found"], "");
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

    /// Mends what was cut and empties the journals.
    async fn reset(&self) {
        self.cluster.proxy.reset();
        self.vcenter().admin("DELETE", "/cut", Json::Null).await.unwrap();
        self.vcenter().admin("POST", "/journal/reset", Json::Null).await.unwrap();
    }

    fn vcenter(&self) -> &VCenter {
        &self.lab.peers.vcenters[0]
    }

    fn inventory(&self) -> Inventory {
        Inventory::of(self.lab.inventory(self.vcenter()).unwrap())
    }
}
