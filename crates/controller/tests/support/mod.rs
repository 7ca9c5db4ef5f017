//! A real API server with our kinds, an in-memory system behind it, and the controller between them.
// Each test program uses its part of this.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use vertskommune_api::{HostProvider, RuleSet, Tenant, conditions, crds};
use vertskommune_controller::{Config, Error, run_in};
use vertskommune_provider::Plugins;
use vertskommune_provider::testing::{MemoryPlugin, MemorySystem};

/// A lab for all tests of a program, one after the other.
static LAB: OnceCell<Option<Lab>> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

/// An API server. It ends with this process.
pub struct Lab {
    pub kubeconfig: PathBuf,
    /// The lab's programs, kubectl among them.
    pub bin: PathBuf,
    _starter: Child,
    _state: tempfile::TempDir,
}

impl Lab {
    /// Starts one, without our kinds. `None` where there is none to start.
    pub async fn start() -> Option<Lab> {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/lab"));
        let (up, pins) = (root.join("up"), root.join("build"));
        // Where the whole lab is built, `up` finds its parts.
        if std::env::var_os("VERTSKOMMUNE_LAB_BIN").is_none() {
            let built =
                Command::new(&pins).args(["--print-path", "kubernetes", "etcd", "starter"]).output().await;
            let built = built.ok().filter(|built| built.status.success())?;
            let bin = PathBuf::from(String::from_utf8_lossy(&built.stdout).trim());
            if !bin.join("kube-apiserver").exists() {
                eprintln!("skipped: the lab is not built, run tests/lab/build");
                return None;
            }
        }
        let state = tempfile::tempdir().unwrap();
        let mut starter = Command::new(&up)
            .args(["--no-vcenter", "--until-eof", "--state"])
            .arg(state.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(starter.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let lab: Value = serde_json::from_str(&line).expect("the lab did not start");
        let kubeconfig = lab["kubeconfig"].as_str().unwrap().into();
        let bin = lab["bin"].as_str().unwrap().into();
        Some(Lab { kubeconfig, bin, _starter: starter, _state: state })
    }

    pub async fn cluster(&self) -> kube::Config {
        let config = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap()
    }
}

/// One test's turn at the lab, which is empty when it begins.
pub struct Stage {
    pub cluster: kube::Config,
    pub client: Client,
    pub system: Arc<MemorySystem>,
    pub firewall: Arc<MemorySystem>,
    pub room: Arc<MemorySystem>,
    pub directory: Arc<MemorySystem>,
    lab: &'static Lab,
    _turn: MutexGuard<'static, ()>,
}

/// The lab, emptied. `None` where there is none.
pub async fn stage() -> Option<Stage> {
    let turn = TURN.lock().await;
    let lab = LAB
        .get_or_init(async || {
            let lab = Lab::start().await?;
            install(&Client::try_from(lab.cluster().await).unwrap()).await;
            Some(lab)
        })
        .await
        .as_ref();
    let Some(lab) = lab else {
        eprintln!("skipped: there is no lab");
        return None;
    };
    let cluster = lab.cluster().await;
    // A client of its own: the tasks of a client belong to the test that made it.
    let client = Client::try_from(cluster.clone()).unwrap();
    empty(&client).await;
    let [system, firewall, room, directory] = ["system-1", "firewall-1", "room-1", "directory-1"]
        .map(|identity| Arc::new(MemorySystem::new(identity)));
    Some(Stage { cluster, client, system, firewall, room, directory, lab, _turn: turn })
}

/// Puts our kinds in.
pub async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds::crds() {
        api.create(&PostParams::default(), &crd).await.unwrap();
    }
    eventually("our kinds are served", async || {
        let tenants = Api::<Tenant>::all(client.clone()).list(&ListParams::default()).await.ok()?;
        Api::<HostProvider>::all(client.clone()).list(&ListParams::default()).await.ok()?;
        Some(tenants)
    })
    .await;
}

async fn empty(client: &Client) {
    wipe(&Api::<PartialObjectMeta<Tenant>>::all(client.clone())).await;
    wipe(&Api::<PartialObjectMeta<HostProvider>>::all(client.clone())).await;
    wipe(&Api::<PartialObjectMeta<RuleSet>>::all(client.clone())).await;
    wipe(&Api::<PartialObjectMeta<Secret>>::default_namespaced(client.clone())).await;
    wipe(&Api::<PartialObjectMeta<Lease>>::default_namespaced(client.clone())).await;
}

async fn wipe<K>(api: &Api<PartialObjectMeta<K>>)
where
    PartialObjectMeta<K>:
        kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    K: Clone + std::fmt::Debug,
{
    for object in api.list(&ListParams::default()).await.unwrap() {
        let free = json!({ "metadata": { "finalizers": null } });
        let name = object.name_any();
        let _ = api.patch(&name, &PatchParams::default(), &Patch::Merge(free)).await;
        let _ = api.delete(&name, &DeleteParams::default()).await;
    }
}

impl Stage {
    pub fn tenants(&self) -> Api<Tenant> {
        Api::all(self.client.clone())
    }

    pub fn hosts(&self) -> Api<HostProvider> {
        Api::all(self.client.clone())
    }

    pub fn rule_sets(&self) -> Api<RuleSet> {
        Api::all(self.client.clone())
    }

    /// A controller that runs until it is dropped or stopped.
    pub async fn controller(&self, identity: &str) -> Running {
        self.controller_in(self.cluster.clone(), identity).await
    }

    pub async fn controller_in(&self, cluster: kube::Config, identity: &str) -> Running {
        self.controller_of(cluster, "default", identity).await
    }

    pub async fn controller_of(&self, cluster: kube::Config, namespace: &str, identity: &str) -> Running {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let mut config = Config::new("test".into(), namespace, identity);
        config.listen = Some(([127, 0, 0, 1], port).into());
        let memory = MemoryPlugin::default()
            .with("memory://main", self.system.clone())
            .with("memory://firewall", self.firewall.clone())
            .with("memory://room", self.room.clone())
            .with("memory://directory", self.directory.clone());
        let plugins = Plugins::default().with(memory);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run_in(cluster, config, plugins, stop.clone()));
        let running = Running { port, stop, task };
        eventually("it answers", async || running.get("/healthz").await).await;
        running
    }

    /// Applies files of the repository with kubectl.
    pub async fn kubectl_apply(&self, files: &[&str]) {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
        let mut kubectl = Command::new(self.lab.bin.join("kubectl"));
        kubectl.arg("--kubeconfig").arg(&self.lab.kubeconfig).arg("apply");
        for file in files {
            kubectl.arg("-f").arg(format!("{root}{file}"));
        }
        let done = kubectl.output().await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub async fn host(&self, name: &str) {
        self.host_with(name, |_| {}).await;
    }

    pub async fn host_with(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut host = json!({
            "apiVersion": "vertskommune.no/v1alpha1", "kind": "HostProvider", "metadata": { "name": name },
            "spec": {
                "plugin": "memory", "endpoint": "memory://main", "identity": "system-1",
                "budget": { "concurrency": 16, "requestsPerSecond": 1000, "destructiveStepsPerHour": 50 },
                "tenants": {
                    "vlans": ["1-4094"], "networks": ["10.0.0.0/8"], "namePrefixes": ["t"], "templates": ["debian@1"],
                },
            },
        });
        change(&mut host);
        self.hosts().create(&PostParams::default(), &serde_json::from_value(host).unwrap()).await.unwrap();
    }

    /// An endpoint of the name `firewall`, on which rules stand.
    pub async fn firewall(&self) {
        self.host_with("firewall", |host| {
            host["spec"]["endpoint"] = json!("memory://firewall");
            host["spec"]["identity"] = json!("firewall-1");
            host["spec"]["settings"] = json!({ "concern": "Firewall" });
        })
        .await;
    }

    /// An endpoint of the name `directory`, with trusts.
    pub async fn directory(&self) {
        self.host_with("directory", |host| {
            host["spec"]["endpoint"] = json!("memory://directory");
            host["spec"]["identity"] = json!("directory-1");
            host["spec"]["settings"] = json!({ "concern": "Directory" });
        })
        .await;
    }

    /// Servers on `main`, and a second room for their backups that does two at once.
    pub async fn two_rooms(&self) {
        self.host_with("main", |host| host["spec"]["site"] = json!("east")).await;
        self.host_with("room", |host| {
            host["spec"]["endpoint"] = json!("memory://room");
            host["spec"]["identity"] = json!("room-1");
            host["spec"]["site"] = json!("west");
            host["spec"]["budget"]["concurrency"] = json!(2);
            host["spec"]["settings"] = json!({ "concern": "Backup", "secret": true });
        })
        .await;
    }

    /// A version of the set `baseline`, with one rule.
    pub async fn rule_set(&self, version: i32) {
        let set = json!({
            "apiVersion": "vertskommune.no/v1alpha1", "kind": "RuleSet",
            "metadata": { "name": format!("baseline-v{version}") },
            "spec": {
                "name": "baseline", "version": version,
                "template": "rules: [{id: dns, from: [servers], to: [internet], services: [DNS]}]",
            },
        });
        self.rule_sets().create(&PostParams::default(), &serde_json::from_value(set).unwrap()).await.unwrap();
    }

    pub async fn tenant(&self, number: usize) -> String {
        self.tenant_with(number, |_| {}).await
    }

    /// A tenant with a network and three servers that collides with no other number.
    pub async fn tenant_with(&self, number: usize, change: impl FnOnce(&mut Value)) -> String {
        let mut tenant = tenant(number);
        change(&mut tenant);
        let tenant: Tenant = serde_json::from_value(tenant).unwrap();
        self.tenants().create(&PostParams::default(), &tenant).await.unwrap();
        tenant.name_any()
    }

    pub async fn patch(&self, name: &str, patch: Value) {
        self.tenants().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Waits until `Ready` of the tenant is as said, for its present generation.
    pub async fn ready(&self, name: &str, expected: &str) -> Tenant {
        eventually(&format!("{name} is Ready={expected}"), async || {
            let tenant = self.tenants().get(name).await.ok()?;
            let current = tenant.status.as_ref()?.observed_generation == tenant.metadata.generation;
            (current && ready(&tenant).as_deref() == Some(expected)).then_some(tenant)
        })
        .await
    }

    pub async fn host_ready(&self, name: &str, expected: &str) -> HostProvider {
        eventually(&format!("{name} is Ready={expected}"), async || {
            let host = self.hosts().get(name).await.ok()?;
            let conditions = &host.status.as_ref()?.conditions;
            (conditions::find(conditions, "Ready")?.status == expected).then_some(host)
        })
        .await
    }
}

pub fn tenant(number: usize) -> Value {
    let server = |index: usize| {
        json!({
            "name": format!("t{number}-s{index}"), "template": "debian@1", "vcpus": 2, "memory": "4Gi",
            "disks": [{ "name": "data", "size": "20Gi" }],
            "interfaces": [{ "network": "servers" }],
        })
    };
    json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": { "name": format!("t{number}") },
        "spec": {
            "displayName": format!("Kommune {number}"),
            "networks": [{
                "name": "servers", "vlan": 1 + number,
                "cidr": format!("10.{}.{}.0/24", number / 256, number % 256),
            }],
            "compute": {
                "provider": "main",
                "quota": { "vcpus": 64, "memory": "64Gi", "storage": "1Ti" },
            },
            "servers": [server(1), server(2), server(3)],
        },
    })
}

pub fn ready(tenant: &Tenant) -> Option<String> {
    let conditions = &tenant.status.as_ref()?.conditions;
    conditions::find(conditions, "Ready").map(|ready| ready.status.clone())
}

/// A controller that runs.
pub struct Running {
    port: u16,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Asks it to stop and waits for its end.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop.cancel();
        (&mut self.task).await.unwrap()
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Result<(), Error> {
        timeout(Duration::from_secs(60), &mut self.task).await.expect("it ends").unwrap()
    }

    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        Some((code, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// The sum of a metric over all label sets that hold each of these.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let (_, text) = self.get("/metrics").await.expect("metrics");
        let lines = text.lines().filter(|line| {
            line.starts_with(&format!("vertskommune_{name}"))
                && labels.iter().all(|label| line.contains(label))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Writes of objects, leases and events aside.
    pub async fn writes(&self) -> u64 {
        let mut writes = 0;
        for verb in ["create", "update", "patch", "delete"] {
            let verb = format!("verb=\"{verb}\"");
            writes += self.metric("kubernetes_requests_total", &[&verb]).await;
            for aside in ["resource=\"leases\"", "resource=\"events\""] {
                writes -= self.metric("kubernetes_requests_total", &[&verb, aside]).await;
            }
        }
        writes
    }
}

/// Waits until it holds, and fails after half a minute.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_in(Duration::from_secs(30), what, &mut probe).await
}

pub async fn eventually_in<T>(limit: Duration, what: &str, probe: &mut impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
