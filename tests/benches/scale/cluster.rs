//! The controller with the in-memory system against a real API server, beside a bare client that makes the same writes.

use std::io::{BufRead as _, BufReader, Write as _, stdin};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::{TryStreamExt as _, stream};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value as Json, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use vertskommune_api::{FINALIZER, HostProvider, Tenant, conditions};
use vertskommune_controller::Config;
use vertskommune_provider::Plugins;
use vertskommune_provider::testing::{MemoryPlugin, MemorySystem};
use vertskommune_tests::lab::{Lab, http_client};
use vertskommune_tests::measure::{mebibytes, memory, print, seconds, times};

const NAMESPACE: &str = "vertskommune-system";
/// The in-memory system.
const ENDPOINT: &str = "memory://main";
const IDENTITY: &str = "system-1";
/// Writes at once, of the controller and of the bare client.
const AT_ONCE: usize = 32;
/// How long nothing happens before and while quiet is measured.
const SETTLED: Duration = Duration::from_secs(15);
const QUIET: Duration = Duration::from_secs(60);
/// How long all of it may take before it is given up.
const PATIENCE: Duration = Duration::from_mins(10);

/// The controller, in this process, until it is killed. Asked by a line, it tells how many KiB the system takes that it
/// manages, which in production is elsewhere.
pub(crate) async fn controller(kubeconfig: &Path, listen: SocketAddr) -> anyhow::Result<()> {
    let mut config = Config::new("bench".into(), NAMESPACE, "bench");
    config.listen = Some(listen);
    let concurrency = config.concurrency;
    ensure!(usize::from(concurrency) == AT_ONCE, "the bare client has to work as the controller does");
    let system = Arc::new(MemorySystem::new(IDENTITY));
    let plugins = Plugins::default().with(MemoryPlugin::default().with(ENDPOINT, system.clone()));
    std::thread::spawn(move || {
        for _ in stdin().lines().map_while(Result::ok) {
            println!("{}", size_of(&system).unwrap_or_default());
        }
    });
    let cluster = cluster(kubeconfig).await?;
    Ok(vertskommune_controller::run_in(cluster, config, plugins, CancellationToken::new()).await?)
}

/// KiB of a system: what copies of all that is in it take, one like the other.
fn size_of(system: &MemorySystem) -> anyhow::Result<u64> {
    let copy = || (system.things(), system.born(), system.journal());
    // What was free already is used up by the first.
    let first = copy();
    let (before, _) = memory("self")?;
    let copies = [copy(), copy(), copy(), copy()];
    let (after, _) = memory("self")?;
    drop((first, copies));
    Ok(after.saturating_sub(before) / 4)
}

/// Runs both and prints the table.
pub(crate) async fn table(count: usize) -> anyhow::Result<()> {
    println!("## Cluster: the controller and the in-memory system, {count} tenants with 3 servers each\n");
    let ours = ours(count).await?;
    let writes = ours.writes / u64::try_from(count)?;
    let bare = bare(count, usize::try_from(writes)?, &ours.status).await?;
    let figure =
        |what: &str, measured: String, target: &str| vec![what.to_owned(), measured, target.to_owned()];
    #[allow(clippy::cast_precision_loss)] // Of a figure for people.
    let per_tenant = ours.writes as f64 / count as f64;
    let rows = [
        figure("writes a tenant", format!("{per_tenant:.2}"), "≤ 5"),
        figure(&format!("bare client, {writes} writes a tenant"), seconds(bare), ""),
        figure("controller, from its lease to all Ready", seconds(ours.leading), ""),
        figure("the same, relative to the bare client", times(ours.leading, bare), "≤ 1.3"),
        figure("controller, from its start to all Ready", seconds(ours.started), ""),
        figure("the same, relative to the bare client", times(ours.started, bare), ""),
        figure("reconciles until then", ours.reconciles.to_string(), ""),
        figure("memory when quiet, with the in-memory system", mebibytes(ours.memory.0), ""),
        figure("of that the in-memory system", mebibytes(ours.system), ""),
        figure("the controller's own memory", mebibytes(ours.memory.0 - ours.system), "≤ 64 MiB"),
        figure("the most memory", mebibytes(ours.memory.1), ""),
        figure("memory without a tenant", mebibytes(ours.empty), ""),
        figure("writes in a quiet minute", ours.quiet_writes.to_string(), "0"),
        figure("reads in a quiet minute, watches begun anew included", ours.quiet_reads.to_string(), ""),
        figure("reconciles in a quiet minute", ours.quiet_reconciles.to_string(), "0"),
    ];
    println!();
    print(&["figure", "measured", "target"], &rows);
    println!();
    Ok(())
}

/// What the controller needed.
struct Ours {
    started: Duration,
    leading: Duration,
    writes: u64,
    reconciles: u64,
    status: Json,
    empty: u64,
    memory: (u64, u64),
    system: u64,
    quiet_writes: u64,
    quiet_reads: u64,
    quiet_reconciles: u64,
}

async fn ours(count: usize) -> anyhow::Result<Ours> {
    let stage = Stage::start().await?;
    // How much it takes with nothing to do.
    let idle = stage.controller()?;
    wait(async || Ok(idle.metric("leader", &[]).await.ok().filter(|leads| *leads == 1))).await?;
    let (empty, _) = idle.memory()?;
    drop(idle);
    stage.kubectl(&["delete", "lease", "-n", NAMESPACE, "--all"])?;

    stage.create(count).await?;
    eprintln!("{count} tenants stand; the controller starts");
    let begun = Instant::now();
    let mut controller = stage.controller()?;
    wait(async || Ok(controller.metric("leader", &[]).await.ok().filter(|leads| *leads == 1))).await?;
    let leads = begun.elapsed();
    let all = u64::try_from(count)?;
    wait(async || {
        let ready = controller.metric("tenants", &["ready=\"True\""]).await?;
        if ready < all {
            return Ok(None);
        }
        let tenants = stage.tenants().list(&ListParams::default()).await?;
        Ok(tenants.iter().all(is_ready).then_some(()))
    })
    .await?;
    let started = begun.elapsed();
    eprintln!("all Ready after {}", seconds(started));
    let (writes, reconciles) =
        (controller.writes(&["tenants"]).await?, controller.metric("reconciles_total", &[]).await?);
    let status = stage.tenants().get("t1").await?.status;

    eprintln!("a quiet minute");
    sleep(SETTLED).await;
    let before = controller.counts().await?;
    sleep(QUIET).await;
    let after = controller.counts().await?;
    let memory = controller.memory()?;
    Ok(Ours {
        started,
        leading: started.saturating_sub(leads),
        writes,
        reconciles,
        status: serde_json::to_value(status)?,
        empty,
        memory,
        system: controller.system()?,
        quiet_writes: after[0] - before[0],
        quiet_reads: after[1] - before[1],
        quiet_reconciles: after[2] - before[2],
    })
}

/// The same writes by a client that does nothing else: the finalizer, and then the status as often as the controller.
async fn bare(count: usize, writes: usize, status: &Json) -> anyhow::Result<Duration> {
    let stage = Stage::start().await?;
    stage.create(count).await?;
    eprintln!("{count} tenants stand; the bare client starts");
    let (api, params) = (stage.tenants(), PatchParams::apply("bare").force());
    let begun = Instant::now();
    stream::iter((1..=count).map(Ok::<_, anyhow::Error>))
        .try_for_each_concurrent(AT_ONCE, async |number| {
            let name = format!("t{number}");
            let mut object = json!({
                "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant",
                "metadata": {"name": name, "finalizers": [FINALIZER]},
            });
            api.patch(&name, &params, &Patch::Apply(&object)).await?;
            object["metadata"] = json!({"name": name});
            for write in 1..writes {
                object["status"] = status.clone();
                // No two alike, or the API server would write nothing.
                object["status"]["message"] = json!(format!("{write} of {writes} for {name}"));
                api.patch_status(&name, &params, &Patch::Apply(&object)).await?;
            }
            Ok(())
        })
        .await?;
    Ok(begun.elapsed())
}

/// An API server with our kinds and the host in it.
struct Stage {
    lab: Lab,
    client: Client,
}

impl Stage {
    async fn start() -> anyhow::Result<Self> {
        let lab = Lab::start(&["--no-vcenter"]).context("a lab")?;
        let kubeconfig = lab.peers.kubeconfig.as_deref().context("a kubeconfig")?;
        let client = Client::try_from(cluster(kubeconfig).await?)?;
        let stage = Self { lab, client };
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds");
        stage.kubectl(&["apply", "--server-side", "-f", crds])?;
        stage.lab.established().await?;
        stage.kubectl(&["create", "namespace", NAMESPACE])?;
        let hosts: Api<HostProvider> = Api::all(stage.client.clone());
        hosts.create(&PostParams::default(), &serde_json::from_value(host())?).await?;
        Ok(stage)
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.lab.kubectl(arguments, "").map(drop)
    }

    fn tenants(&self) -> Api<Tenant> {
        Api::all(self.client.clone())
    }

    async fn create(&self, count: usize) -> anyhow::Result<()> {
        let (api, params) = (self.tenants(), PostParams::default());
        stream::iter((1..=count).map(Ok::<_, anyhow::Error>))
            .try_for_each_concurrent(AT_ONCE, async |number| {
                api.create(&params, &serde_json::from_value(tenant(number))?).await?;
                Ok(())
            })
            .await
    }

    /// This program again, as the controller.
    fn controller(&self) -> anyhow::Result<Controller> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let kubeconfig = self.lab.peers.kubeconfig.as_deref().context("a kubeconfig")?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg("controller")
            .arg(kubeconfig)
            .arg(address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(process.stdout.take().context("its output")?);
        Ok(Controller { process, answers, address, client: http_client(None)? })
    }
}

/// A controller in a process of its own.
struct Controller {
    process: Child,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Controller {
    fn memory(&self) -> anyhow::Result<(u64, u64)> {
        memory(&self.process.id().to_string())
    }

    /// KiB of the system that it manages. It takes memory to tell.
    fn system(&mut self) -> anyhow::Result<u64> {
        writeln!(self.process.stdin.as_mut().context("its input")?)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().parse()?)
    }

    /// The sum of a metric over all label sets that hold each of these.
    async fn metric(&self, name: &str, labels: &[&str]) -> anyhow::Result<u64> {
        let text = self.client.get(format!("http://{}/metrics", self.address)).send().await?.text().await?;
        let name = format!("vertskommune_{name}");
        let lines = text.lines().filter(|line| {
            let found = line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ']));
            found && labels.iter().all(|label| line.contains(label))
        });
        lines.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?)).sum()
    }

    /// Writes of these objects; those of leases and events are of another kind.
    async fn writes(&self, resources: &[&str]) -> anyhow::Result<u64> {
        let mut writes = 0;
        for verb in ["create", "update", "patch", "delete"] {
            let verb = format!("verb=\"{verb}\"");
            for resource in resources {
                let resource = format!("resource=\"{resource}");
                writes += self.metric("kubernetes_requests_total", &[&verb, &resource]).await?;
            }
        }
        Ok(writes)
    }

    /// Writes, reads and reconciles.
    async fn counts(&self) -> anyhow::Result<[u64; 3]> {
        let read = self.metric("kubernetes_requests_total", &["verb=\"read\""]).await?;
        let watch = self.metric("kubernetes_requests_total", &["verb=\"watch\""]).await?;
        let writes = self.writes(&["tenants", "hostproviders", "secrets"]).await?;
        Ok([writes, read + watch, self.metric("reconciles_total", &[]).await?])
    }
}

async fn cluster(kubeconfig: &Path) -> anyhow::Result<kube::Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

async fn wait<T>(mut probe: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            bail!("not within {PATIENCE:?}");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn is_ready(tenant: &Tenant) -> bool {
    let Some(status) = &tenant.status else { return false };
    conditions::find(&status.conditions, conditions::READY).is_some_and(|ready| ready.status == "True")
}

fn host() -> Json {
    json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "HostProvider", "metadata": {"name": "main"},
        "spec": {
            "plugin": "memory", "endpoint": ENDPOINT, "identity": IDENTITY,
            "budget": {"concurrency": AT_ONCE, "requestsPerSecond": 1000},
            "tenants": {
                "vlans": ["1-4094"], "networks": ["10.0.0.0/8"], "namePrefixes": ["t"], "templates": ["debian@1"],
            },
        },
    })
}

fn tenant(number: usize) -> Json {
    let servers: Vec<_> = (1..=3)
        .map(|index| {
            json!({
                "name": format!("t{number}-s{index}"), "template": "debian@1", "vcpus": 2, "memory": "4Gi",
                "disks": [{"name": "data", "size": "20Gi"}],
                "interfaces": [{"network": "servers"}],
            })
        })
        .collect();
    json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": {"name": format!("t{number}")},
        "spec": {
            "displayName": format!("Kommune {number}"),
            "networks": [{
                "name": "servers", "vlan": 1 + number,
                "cidr": format!("10.{}.{}.0/24", number / 256, number % 256),
            }],
            "compute": {"provider": "main", "quota": {"vcpus": 64, "memory": "64Gi", "storage": "1Ti"}},
            "servers": servers,
        },
    })
}
