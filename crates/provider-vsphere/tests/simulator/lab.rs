//! A vCenter simulator of its own for each test, and the ways around our code: govc, the inventory, the admin port.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::names::Installation;
use vertskommune_core::windows::Maintenance;
use vertskommune_provider::secrets::{FolderSecrets, SecretStore};
use vertskommune_provider::testing::Cut;
use vertskommune_provider::testing::conformance::{Peer, Things};
use vertskommune_provider::{Plugin as _, Provider};
use vertskommune_provider_vsphere::VspherePlugin;

const USER: &str = "vertskommune@vsphere.local";
const PASSWORD: &str = "not-a-secret";

/// A running simulator.
pub(crate) struct VCenter {
    child: Child,
    _out: BufReader<ChildStdout>,
    bin: PathBuf,
    files: tempfile::TempDir,
    ready: Ready,
    client: reqwest::Client,
    skip: AtomicUsize,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
    admin: String,
    instance_uuid: String,
}

impl VCenter {
    /// A new one; none, with a word, where the lab's binaries are not built.
    pub(crate) fn start() -> Option<Arc<Self>> {
        let Some(bin) = std::env::var_os("VERTSKOMMUNE_LAB_BIN").map(PathBuf::from) else {
            println!(
                "skipped: VERTSKOMMUNE_LAB_BIN names no folder with the lab's binaries (tests/lab/build)"
            );
            return None;
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let files = tempfile::tempdir().unwrap();
        let ca = files.path().join("ca.pem");
        let mut child = Command::new(bin.join("vcenter-simulator"))
            .args(["-password", PASSWORD, "-user", USER, "-hosts", "40", "-ca-out"])
            .arg(&ca)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap();
        std::fs::create_dir(files.path().join("vcenter")).unwrap();
        std::fs::write(files.path().join("vcenter/username"), USER).unwrap();
        std::fs::write(files.path().join("vcenter/password"), PASSWORD).unwrap();
        let client = reqwest::Client::builder().build().unwrap();
        Some(Arc::new(Self { child, _out: out, bin, files, ready, client, skip: AtomicUsize::new(0) }))
    }

    pub(crate) fn settings() -> Json {
        json!({
            "datacenter": "DC0", "cluster": "DC0_C0", "switch": "DVS0", "folder": "Tenants",
            "resourcePool": "Tenants", "datastores": ["LocalDS_0", "LocalDS_1"],
            "storagePolicies": {"ssd-san": {"datastores": ["LocalDS_1"]}},
            "templates": [
                {"name": "ubuntu@1", "path": "Templates/ubuntu-24.04",
                 "guest": {"kind": "cloud-init", "data": "#cloud-config\nhostname: {{ computerName }}\n"}},
                {"name": "windows@2", "path": "Templates/windows-server-2022",
                 "guest": {"kind": "windows", "data": "<unattend>{{ computerName }}</unattend>"}},
            ],
        })
    }

    /// The host with a change of the test's own.
    pub(crate) fn host_with(&self, change: impl FnOnce(&mut Host)) -> Host {
        let mut host = Host {
            name: "vcenter-main".into(),
            plugin: "vsphere".to_owned(),
            endpoint: self.ready.url.clone(),
            identity: self.ready.instance_uuid.clone(),
            ca: Some(std::fs::read_to_string(self.files.path().join("ca.pem")).unwrap()),
            credentials: Some("vcenter".to_owned()),
            site: None,
            mode: Mode::Manage,
            budget: Budget { concurrency: 16, requests_per_second: 1000, destructive_steps_per_hour: 50 },
            ground: Ground::default(),
            destruction_released_until: None,
            maintenance: Maintenance::default(),
            settings: Self::settings(),
        };
        change(&mut host);
        host
    }

    pub(crate) fn provider_of(installation: &str, host: &Host) -> Arc<dyn Provider> {
        VspherePlugin.provider(&installation.into(), host).unwrap()
    }

    /// A client without our plugin.
    pub(crate) async fn client(&self) -> vsphere_client::Client {
        let ca = std::fs::read(self.files.path().join("ca.pem")).unwrap();
        let config = vsphere_client::Config::new(self.ready.url.as_str(), USER, PASSWORD.into(), ca);
        vsphere_client::Client::connect(config).await.unwrap()
    }

    /// Runs govc: a client that shares no code with ours.
    pub(crate) fn govc(&self, arguments: &[&str]) -> String {
        let done = self.tool("govc").args(arguments).output().unwrap();
        assert!(done.status.success(), "govc {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(self.bin.join(name));
        tool.env("GOVC_URL", &self.ready.url)
            .env("GOVC_USERNAME", USER)
            .env("GOVC_PASSWORD", PASSWORD)
            .env("GOVC_TLS_CA_CERTS", self.files.path().join("ca.pem"))
            .env("GOVC_PERSIST_SESSION", "false");
        tool
    }

    /// The whole inventory, as none of our code sees it.
    pub(crate) fn inventory(&self) -> Json {
        let done = self.tool("inventory").output().unwrap();
        assert!(done.status.success(), "inventory: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// A VM of the inventory by its path.
    pub(crate) fn vm(&self, path: &str) -> Json {
        let inventory = self.inventory();
        let vms = inventory["vms"].as_array().unwrap();
        vms.iter().find(|vm| vm["path"] == path).cloned().unwrap_or_default()
    }

    pub(crate) async fn admin(&self, method: reqwest::Method, path: &str, body: Option<Json>) -> Json {
        let mut request = self.client.request(method, format!("{}{path}", self.ready.admin));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    pub(crate) async fn post(&self, path: &str) {
        self.admin(reqwest::Method::POST, path, None).await;
    }

    /// Calls by method since the last reset.
    pub(crate) async fn calls(&self) -> Json {
        self.admin(reqwest::Method::GET, "/stats", None).await["calls"].take()
    }

    async fn writes(&self) -> Vec<String> {
        let journal = self.admin(reqwest::Method::GET, "/journal", None).await;
        let text = |entry: &Json, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        // What only lives in a session changes nothing.
        let entries = journal.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|e| format!("{} {} {}", text(e, "method"), text(e, "name"), text(e, "outcome")))
            .collect()
    }
}

impl Drop for VCenter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A vCenter with what the conformance suite does to it.
#[derive(Clone)]
pub(crate) struct TestPeer(pub(crate) Arc<VCenter>);

impl Peer for TestPeer {
    fn host(&self) -> Host {
        self.0.host_with(|_| {})
    }

    fn installation(&self) -> Installation {
        "nord".into()
    }

    fn provider(&self) -> Arc<dyn Provider> {
        VCenter::provider_of("nord", &self.host())
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(FolderSecrets::new(self.0.files.path()))
    }

    fn journal(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(self.0.writes())
    }

    fn reset(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.admin(reqwest::Method::DELETE, "/cut", None).await;
            self.0.post("/journal/reset").await;
            self.0.post("/stats/reset").await;
            self.0.skip.store(0, Ordering::Relaxed);
        })
    }

    fn cut(&self, nth: usize, cut: Cut) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let at = match cut {
                Cut::Before => "before",
                Cut::After => "after",
            };
            self.0.post("/journal/reset").await;
            self.0.admin(reqwest::Method::POST, "/cut", Some(json!({"write": nth, "at": at}))).await;
        })
    }

    fn things(&self) -> BoxFuture<'_, Things> {
        Box::pin(async {
            let all = things(&self.0.inventory()).into_iter();
            let (ours, others): (Vec<_>, Vec<_>) = all.partition(|(_, thing)| is_ours(thing));
            let ours = ours.into_iter().map(|(kind, thing)| format!("{kind} {}", lasting(kind, thing)));
            let mut ours: Vec<_> = ours.collect();
            ours.sort();
            let others = others.into_iter().filter(|(_, thing)| !is_root(thing));
            let others: Vec<_> = others.map(|(kind, thing)| format!("{kind} {thing}")).collect();
            Things { ours, foreign: others.join("\n") }
        })
    }

    fn clear(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            for (kind, thing) in things(&self.0.inventory()).into_iter().rev() {
                let path = thing["path"].as_str().unwrap_or_default();
                match kind {
                    _ if !is_ours(&thing) => {}
                    "vms" => drop(self.0.govc(&["vm.destroy", path])),
                    "rules" => {
                        let name = thing["name"].as_str().unwrap_or_default();
                        self.0.govc(&["cluster.rule.remove", "-cluster", "DC0_C0", "-name", name]);
                    }
                    "portGroups" => {
                        // The inventory's paths of port groups lack the name.
                        let name = thing["name"].as_str().unwrap_or_default();
                        self.0.govc(&["object.destroy", &format!("/DC0/network/{name}")]);
                    }
                    _ => drop(self.0.govc(&["object.destroy", path])),
                }
            }
        })
    }
}

/// Everything, in an order in which it can be destroyed backwards.
fn things(inventory: &Json) -> Vec<(&'static str, Json)> {
    ["folders", "pools", "portGroups", "vms", "rules"]
        .into_iter()
        .flat_map(|kind| {
            inventory[kind].as_array().cloned().unwrap_or_default().into_iter().map(move |t| (kind, t))
        })
        .collect()
}

fn is_ours(thing: &Json) -> bool {
    let text = |field: &str| thing[field].as_str().unwrap_or_default();
    let below = |root: &str| text("path").strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    below("/DC0/vm/Tenants")
        || below("/DC0/host/DC0_C0/Resources/Tenants")
        || text("description").starts_with("nord/")
        || text("name").starts_with("vertskommune/")
        || thing["extraConfig"]["vertskommune.mark"].is_string()
}

/// The folder that bears our claim, and the pool that counts what is below.
fn is_root(thing: &Json) -> bool {
    ["/DC0/vm/Tenants", "/DC0/host/DC0_C0/Resources/Tenants"].iter().any(|root| thing["path"] == *root)
}

/// A thing without what vCenter chooses anew each time.
fn lasting(kind: &str, mut thing: Json) -> String {
    for field in ["ref", "uuid", "host", "key", "ruleUuid"] {
        if let Some(fields) = thing.as_object_mut() {
            fields.remove(field);
        }
    }
    if kind == "vms" {
        for nic in thing["nics"].as_array_mut().into_iter().flatten() {
            nic["mac"].take();
        }
        if let Some(extra) = thing["extraConfig"].as_object_mut() {
            // Disks' UUIDs, and a time.
            extra.remove("vertskommune.disks");
            if let Some(retired) = extra.get_mut("vertskommune.retired") {
                *retired = json!("then");
            }
        }
        for disk in thing["disks"].as_array_mut().into_iter().flatten() {
            disk["file"].take();
            disk["uuid"].take();
        }
    }
    thing.to_string()
}
