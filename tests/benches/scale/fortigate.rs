//! The engine and the FortiGate plugin against the FortiOS simulator, a process of its own, without any Kubernetes.
//!
//! A device is slow and a simulator is not, so its answers take [`LATENCY`] longer while something is timed. What it
//! costs us is then told by the time in which the device had nothing of ours to answer.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use fortios_simulator::{Firmware, Options, Simulator};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vertskommune_api::{Catalogue, validate_host, validate_tenant};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_engine::{Changed, Engine, World};
use vertskommune_provider::Plugins;
use vertskommune_provider_fortigate::FortigatePlugin;
use vertskommune_tests::manifests::tenant_name;
use vertskommune_tests::measure::{mebibytes, memory, print, processor, seconds, times};

use crate::fleet;

/// Tenants that are applied at once.
const AT_ONCE: usize = 32;
/// Calls at once that the host allows.
const CALLS: usize = 8;
/// Rules of a tenant.
const RULES: u16 = 20;
/// By how much each answer of the device is slower while something is timed.
const LATENCY: Duration = Duration::from_millis(40);
/// Makes all without that latency, as is quicker where only the looks are of interest.
const QUICKLY: &str = "BENCH_QUICKLY";
/// First looks of which the one in the middle counts, by its time over the device's: each is short, and much else happens on a
/// machine.
const FIRST_LOOKS: usize = 9;
const TOKEN: &str = "bench";

/// What one run measured.
#[derive(Serialize, Deserialize)]
struct Row {
    way: String,
    count: usize,
    /// From nothing, at the latency or without.
    apply: Timed,
    slowly: bool,
    /// The first look of an engine that knows nothing.
    cold: Timed,
    /// A look at what has not changed.
    again: Timed,
    /// The empty plans of all, from what is known.
    plan: Timed,
    /// One wait for changes in which nothing changes.
    quiet: Timed,
    /// One rule of one tenant, planned, written and looked at again.
    change: Timed,
    /// KiB, resident and the most that ever was.
    memory: (u64, u64),
}

#[derive(Serialize, Deserialize)]
struct Timed {
    time: Duration,
    /// In which the device had something of ours to answer.
    device: Duration,
    /// Processor time of this process, and of the simulator.
    ours: Duration,
    simulator: Duration,
    calls: u64,
}

/// Runs this program once for each size and way, and prints the table.
pub(crate) fn table(most: usize) -> anyhow::Result<()> {
    println!("## FortiGate: the engine and the FortiGate plugin\n");
    let sizes =
        [("shared", 10), ("shared", 100), ("shared", 1000), ("single writes", 100), ("dedicated", 100)];
    let mut rows: Vec<Row> = Vec::new();
    for (way, count) in sizes.into_iter().filter(|(_, count)| *count <= most) {
        rows.push(fleet::run(&["fortigate", way, &count.to_string()])?);
    }
    println!(
        "\n{RULES} rules a tenant, {} ms a request. Target: time over the device's own at most 1.1.\n",
        LATENCY.as_millis()
    );
    let cells = |it: &Timed| [seconds(it.time), times(it.time, it.device), it.calls.to_string()];
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let each = row.apply.calls / u64::try_from(row.count).unwrap_or(1);
            let head = [row.way.clone(), row.count.to_string()];
            let apply = cells(&row.apply);
            let mark = if row.slowly { "" } else { " (no latency)" };
            let apply = [format!("{}{mark}", apply[0]), apply[1].clone(), each.to_string()];
            let looks = [&row.cold, &row.again, &row.quiet, &row.change].map(cells).concat();
            let tail = [seconds(row.plan.time), mebibytes(row.memory.0)];
            head.into_iter().chain(apply).chain(looks).chain(tail).collect()
        })
        .collect();
    let heads = [
        "way",
        "tenants",
        "from nothing",
        "over device",
        "requests a tenant",
        "first look",
        "over device",
        "requests",
        "look again",
        "over device",
        "requests",
        "quiet pass",
        "over device",
        "requests",
        "one rule",
        "over device",
        "requests",
        "plans of all",
        "memory",
    ];
    print(&heads, &table);
    println!();
    Ok(())
}

/// A device, in a process of its own until its input ends. Its first line says where it is.
pub(crate) async fn peer(vdoms: usize) -> anyhow::Result<()> {
    let firmware = match std::env::var("BENCH_FIRMWARE").as_deref() {
        Ok("7.2.8") => Firmware::new(7, 2, 8),
        _ => Firmware::new(7, 4, 8),
    };
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/fortigate/seed.json");
    let mut options = Options {
        token: Some(TOKEN.to_owned()),
        vdom_limit: vdoms,
        seed: Some(serde_json::from_str(&std::fs::read_to_string(seed)?)?),
        ..Options::default()
    };
    options.identity.firmware = firmware;
    let simulator = Simulator::start(&options).await?;
    let serial = options.identity.serial;
    println!(
        "{}",
        json!({"url": simulator.url(), "admin": simulator.admin_url(), "ca": simulator.authority, "serial": serial})
    );
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}

/// The device of a run. It ends with this.
struct Device {
    child: Child,
    url: String,
    admin: String,
    ca: String,
    serial: String,
    http: reqwest::Client,
}

impl Device {
    fn start(way: &str, count: usize) -> anyhow::Result<Self> {
        let firmware = if way == "single writes" { "7.2.8" } else { "7.4.8" };
        let mut child = Command::new(std::env::current_exe()?)
            .args(["fortigate-peer", &(count + 10).to_string()])
            .env("BENCH_FIRMWARE", firmware)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        let told: Json = serde_json::from_str(&line).context("where the device is")?;
        let text = |field: &str| told[field].as_str().map(str::to_owned).context("a text");
        let (url, admin, ca, serial) = (text("url")?, text("admin")?, text("ca")?, text("serial")?);
        Ok(Self { child, url, admin, ca, serial, http: vertskommune_tests::lab::http_client(None)? })
    }

    async fn admin(&self, method: &str, path: &str) -> anyhow::Result<Json> {
        let request = self.http.request(method.parse()?, format!("{}/{path}", self.admin));
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    async fn latency(&self, latency: Duration) -> anyhow::Result<()> {
        self.admin("POST", &format!("delay?ms={}", latency.as_millis())).await.map(drop)
    }

    async fn timed(&self, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Timed> {
        self.admin("POST", "stats/reset").await?;
        let process = self.child.id().to_string();
        let (ours, simulator, begun) = (processor("self")?, processor(&process)?, Instant::now());
        work.await?;
        let time = begun.elapsed();
        let stats = self.admin("GET", "stats").await?;
        let calls: BTreeMap<String, u64> = serde_json::from_value(stats["calls"].clone())?;
        Ok(Timed {
            time,
            device: Duration::from_micros(stats["openMicros"].as_u64().context("a time")?),
            ours: processor("self")?.saturating_sub(ours),
            simulator: processor(&process)?.saturating_sub(simulator),
            calls: calls.values().sum(),
        })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Its end is all that is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One run. Its result is one line of JSON.
pub(crate) async fn row(way: &str, count: usize) -> anyhow::Result<()> {
    let device = Device::start(way, count)?;
    // Each tenant has a zone, of which the simulated model allows 500.
    device.admin("POST", &format!("limit?table=system/zone&rows={}", count + 10)).await?;
    let secrets = tempfile::tempdir()?;
    std::fs::create_dir(secrets.path().join("fortigate-main"))?;
    std::fs::write(secrets.path().join("fortigate-main/token"), TOKEN)?;
    let mut world = world(&device, way, count)?;
    let new = |world: &World| -> anyhow::Result<Engine> {
        fleet::engine(world, Plugins::default().with(FortigatePlugin), secrets.path())
    };
    let first = new(&world)?;
    let slowly = std::env::var_os(QUICKLY).is_none();
    device.latency(if slowly { LATENCY } else { Duration::ZERO }).await?;
    eprintln!("{count} tenants, {way}: applying");
    let apply = device
        .timed(async {
            first.observe(&world).await;
            fleet::apply(&first, &world, &provider(), AT_ONCE).await
        })
        .await?;
    eprintln!("{count} tenants, {way}: applied in {}, {} requests", seconds(apply.time), apply.calls);
    first.release_claims().await;
    drop(first);
    device.latency(LATENCY).await?;
    let look = async |engine: &Engine| {
        engine.observe(&world).await;
        Ok(())
    };
    let mut engine = new(&world)?;
    let mut looks = vec![device.timed(look(&engine)).await?];
    while looks.len() < FIRST_LOOKS {
        engine = new(&world)?;
        looks.push(device.timed(look(&engine)).await?);
    }
    let over_device = |look: &Timed| look.time.div_duration_f64(look.device);
    looks.sort_by(|one, other| over_device(one).total_cmp(&over_device(other)));
    let cold = looks.swap_remove(FIRST_LOOKS / 2);
    let again = device.timed(look(&engine)).await?;
    let plan = device.timed(fleet::plan(&engine, &world, false)).await?;
    ensure!(engine.watch(&provider(), &world).await == Changed::All, "a watch begins with a sweep");
    let quiet = device
        .timed(async {
            let provider = provider();
            let wait = engine.watch(&provider, &world);
            match tokio::time::timeout(Duration::from_secs(5), wait).await {
                Ok(changed) if changed != Changed::Nothing => {
                    bail!("somebody changed something: {changed:?}")
                }
                _ => Ok(()),
            }
        })
        .await?;
    let name = TenantName::from(tenant_name(1).as_str());
    let changed = validate(&tenant(1, way, true))?;
    world.insert(changed, false);
    let change = device.timed(fleet::converge(&engine, &world, &provider(), &name)).await?;
    let memory = memory("self")?;
    let row = Row { way: way.to_owned(), count, apply, slowly, cold, again, plan, quiet, change, memory };
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}

fn provider() -> ProviderName {
    "fortigate-main".into()
}

fn world(device: &Device, way: &str, count: usize) -> anyhow::Result<World> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenants/host/fortigate-main.yaml");
    let mut host: Json = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    host["spec"]["endpoint"] = json!(device.url);
    host["spec"]["identity"] = json!(device.serial);
    host["spec"]["caBundle"] = json!(device.ca);
    // The simulator is to be the limit, and not what a host allows.
    host["spec"]["budget"] = json!({"concurrency": CALLS, "requestsPerSecond": 1000});
    host["spec"]["tenants"] = json!({"vlans": ["1-4094"], "networks": ["10.0.0.0/8"], "namePrefixes": ["t"]});
    if way == "dedicated" {
        host["spec"]["settings"]["dedicated"] = json!({});
        host["spec"]["settings"]["places"]["services"]["networks"] = json!(["10.13.0.0/24"]);
        host["spec"]["settings"]["places"]["services"]["addresses"] = json!({"host-backup": "10.13.0.40"});
    }
    let host = validate_host(&serde_json::from_value(host)?);
    let host = host.map_err(|violations| anyhow::anyhow!("{violations:?}"))?;
    let mut world = World::new([(provider(), host)].into());
    for number in 1..=u16::try_from(count)? {
        world.insert(validate(&tenant(number, way, false))?, false);
    }
    Ok(world)
}

fn validate(tenant: &Json) -> anyhow::Result<vertskommune_core::tenant::ValidatedTenant> {
    let tenant = validate_tenant(&serde_json::from_value(tenant.clone())?, &Catalogue::default());
    tenant.map_err(|violations| anyhow::anyhow!("{violations:?}"))
}

/// A municipality with two networks, some objects and twenty rules; one rule of it is otherwise after a change.
fn tenant(number: u16, way: &str, changed: bool) -> Json {
    let net = format!("10.{}.{}", number / 256, number % 256);
    let rule = |index: u16| {
        let (from, to) = match index % 4 {
            0 => (json!(["clients"]), json!(["servers"])),
            1 => (json!(["servers"]), json!(["host:services/host-backup"])),
            2 => (json!(["clients"]), json!(["internet"])),
            _ => (json!(["supplier"]), json!(["case-system"])),
        };
        let services = if changed && index == 7 { json!(["HTTPS", "SSH"]) } else { json!(["HTTPS", "web"]) };
        let nat = index % 4 == 2;
        json!({"id": format!("rule-{index:02}"), "from": from, "to": to, "services": services, "action": "accept", "nat": nat})
    };
    let network = |name: &str, vlan: u16, begin: u16| {
        json!({
            "name": name, "vlan": vlan, "cidr": format!("{net}.{begin}/25"), "gateway": format!("{net}.{}", begin + 1),
        })
    };
    json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": {"name": tenant_name(number)},
        "spec": {
            "displayName": format!("Kommune {number}"),
            "networks": [network("clients", 2 * number, 0), network("servers", 2 * number + 1, 128)],
            "firewall": {
                "provider": "fortigate-main",
                "vdom": if way == "dedicated" { "Dedicated" } else { "Shared" },
                "addresses": [
                    {"name": "case-system", "cidr": format!("{net}.130/32")},
                    {"name": "supplier", "cidr": format!("198.51.100.{}/32", number % 256)},
                ],
                "services": [{"name": "web", "tcp": ["8080-8081"]}],
                "rules": (0..RULES).map(rule).collect::<Vec<_>>(),
            },
        },
    })
}
