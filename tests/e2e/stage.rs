//! What the tests of the whole share: a cluster and its vCenters, with a controller that comes and goes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{Cluster, Controller, condition, is_ready, tenant, tenant_name};
use vertskommune_tests::inventory::{Inventory, place};
use vertskommune_tests::lab::VCenter;

/// How long anything may take before a test says that it never came.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, its vCenters and a controller.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    controller: Option<Controller>,
}

impl Stage {
    /// Sets it up with as many vCenters, each described as a HostProvider of its own, or says that it is skipped.
    pub(crate) async fn set(vcenters: u16) -> Option<Self> {
        let mut stage = Self::set_without_controller(vcenters).await?;
        stage.restart();
        Some(stage)
    }

    /// The same without any controller.
    pub(crate) async fn set_without_controller(vcenters: u16) -> Option<Self> {
        let stage = Self::empty(vcenters).await?;
        stage.apply_hosts();
        Some(stage)
    }

    /// The same before anything is described in the cluster.
    pub(crate) async fn empty(vcenters: u16) -> Option<Self> {
        Cluster::start_with(&["--vcenters", &vcenters.to_string()]).await.map(Self::of)
    }

    /// The same in a cluster that is there.
    pub(crate) fn of(cluster: Cluster) -> Self {
        Self { cluster, controller: None }
    }

    pub(crate) fn apply_hosts(&self) {
        for vcenter in &self.cluster.lab.peers.vcenters {
            self.cluster.apply_host(vcenter).unwrap();
        }
    }

    /// The vCenter in which tenants are unless they say otherwise.
    pub(crate) fn main(&self) -> &VCenter {
        &self.cluster.lab.peers.vcenters[0]
    }

    /// The second one.
    pub(crate) fn other(&self) -> &VCenter {
        &self.cluster.lab.peers.vcenters[1]
    }

    pub(crate) fn govc(&self, arguments: &[&str]) {
        self.cluster.lab.govc(self.main(), arguments).unwrap();
    }

    pub(crate) fn inventory(&self) -> Json {
        self.cluster.lab.inventory(self.main()).unwrap()
    }

    pub(crate) fn vm(&self, path: &str) -> Json {
        self.cluster.lab.vm(self.main(), path).unwrap()
    }

    /// What belongs to a tenant in the first vCenter.
    pub(crate) fn things(&self, number: u16) -> std::collections::BTreeMap<String, Vec<Json>> {
        Inventory::of(self.inventory()).of_tenant(&tenant_name(number))
    }

    /// Kills the controller with all that it remembers, and starts another.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.controller = Some(self.cluster.controller().unwrap());
    }

    /// The same for one that answers `/metrics` at this address.
    pub(crate) fn restart_at(&mut self, address: SocketAddr) {
        self.end();
        self.controller = Some(self.cluster.controller_at("controller", address).unwrap());
    }

    /// The same for one of another cluster or installation.
    pub(crate) fn restart_as(&mut self, installation: &str, holder: &str) {
        self.end();
        self.controller = Some(self.cluster.controller_from(installation, holder).unwrap());
    }

    /// Kills the controller.
    pub(crate) fn end(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.kill();
        }
    }

    /// Applies small tenants in the first vCenter and waits until they are Ready.
    pub(crate) async fn onboard(&self, numbers: impl IntoIterator<Item = u16>) {
        for number in numbers {
            self.cluster.apply(&tenant(number)).unwrap();
            self.ready(number).await;
        }
    }

    pub(crate) async fn ready(&self, number: u16) -> Json {
        self.tenant(number, "Ready", is_ready).await
    }

    /// Waits until reality is as the manifest says, with nothing that is only shown.
    pub(crate) async fn settled(&self, number: u16) -> Json {
        self.tenant(number, "up to date", |it| is_ready(it) && condition(it, "UpToDate") == "True").await
    }

    /// Waits until a tenant is as asked for.
    pub(crate) async fn tenant(&self, number: u16, what: &str, is: impl Fn(&Json) -> bool) -> Json {
        self.cluster.wait_for(&tenant_name(number), what, is).await.unwrap()
    }

    /// Waits until that reason is told of a tenant with an advice that says this, and gives what is said of it.
    pub(crate) async fn hindered(&self, number: u16, reason: &str, advice: &str) -> Json {
        self.cluster.hindered(&tenant_name(number), reason, advice).await
    }

    /// Waits until that reason is not told of a tenant any more, whatever else is.
    pub(crate) async fn not_hindered_by(&self, number: u16, reason: &str) {
        self.cluster.not_hindered_by(&tenant_name(number), reason).await;
    }

    /// Waits until nothing hinders a tenant.
    pub(crate) async fn unhindered(&self, number: u16) {
        self.cluster.unhindered(&tenant_name(number)).await;
    }

    /// Changes a tenant's manifest.
    pub(crate) fn change(&self, number: u16, spec: &Json) {
        self.cluster.patch("tenant", &tenant_name(number), &json!({"spec": spec})).unwrap();
    }

    /// Has both peers forget their writes so far.
    pub(crate) async fn forget_writes(&self) {
        for vcenter in &self.cluster.lab.peers.vcenters {
            vcenter.forget_writes().await.unwrap();
        }
    }

    /// All writes since, claims aside, in all vCenters.
    pub(crate) async fn writes(&self) -> Vec<String> {
        let mut writes = Vec::new();
        for vcenter in &self.cluster.lab.peers.vcenters {
            writes.extend(vcenter.writes().await.unwrap());
        }
        writes
    }

    /// Waits until the first vCenter's journal has that many writes, and gives them all.
    pub(crate) async fn written(&self, count: usize) -> Vec<Json> {
        let begun = Instant::now();
        loop {
            let journal = self.main().journal().await.unwrap();
            if journal.len() >= count {
                return journal;
            }
            assert!(begun.elapsed() < PATIENCE, "{count} writes never came, but {}", journal.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the first vCenter's journal has a write of that method and name that has come to its end.
    pub(crate) async fn carried_out(&self, write: (&str, &str)) -> Written {
        let seen = self.in_the_journal(write, |_| true).await;
        let done = self.in_the_journal(write, |entry| entry["task_state"] == "success").await;
        Written { seen, done }
    }

    /// Waits until the first vCenter's journal has a write of that method and name that is as asked for, and gives when.
    pub(crate) async fn in_the_journal(&self, write: (&str, &str), is: impl Fn(&Json) -> bool) -> Instant {
        let begun = Instant::now();
        loop {
            let journal = self.main().journal().await.unwrap();
            let is_it = |entry: &Json| entry["method"] == write.0 && entry["name"] == write.1;
            // The first of them is meant.
            if journal.iter().find(|entry| is_it(entry)).is_some_and(&is) {
                return Instant::now();
            }
            assert!(begun.elapsed() < PATIENCE, "{write:?} never came: {journal:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The references of what is named after a tenant in the first vCenter, beside its servers.
    pub(crate) fn references(&self, number: u16) -> Vec<String> {
        let (inventory, name) = (self.inventory(), tenant_name(number));
        let of_kind = |kind: &str| inventory[kind].as_array().cloned().unwrap_or_default();
        let all = ["portGroups", "pools", "folders"].into_iter().flat_map(of_kind);
        let theirs =
            all.filter(|thing| place(thing).rsplit('/').next().is_some_and(|it| it.starts_with(&name)));
        theirs.map(|thing| thing["ref"].as_str().unwrap().to_owned()).collect()
    }
}

/// When a write was seen in the journal, and when it had come to its end.
pub(crate) struct Written {
    pub(crate) seen: Instant,
    pub(crate) done: Instant,
}

/// Seconds since then, for people.
pub(crate) fn since(begun: Instant) -> String {
    in_words(begun.elapsed())
}

pub(crate) fn in_words(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
