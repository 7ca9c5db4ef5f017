//! The engine and the vSphere plugin against the vCenter simulator, without any Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vertskommune_api::{Catalogue, validate_host, validate_tenant};
use vertskommune_core::names::ProviderName;
use vertskommune_engine::{Changed, Engine, World};
use vertskommune_provider::Plugins;
use vertskommune_provider_vsphere::VspherePlugin;
use vertskommune_tests::estate;
use vertskommune_tests::lab::{Lab, VCenter};
use vertskommune_tests::measure::{mebibytes, memory, print, processor, seconds, times};

use crate::fleet;

/// Tenants that are applied at once.
const AT_ONCE: usize = 32;
/// Objects that one page of a sweep holds, as the plugin asks for.
const PAGE: usize = 500;

/// What one run measured.
#[derive(Serialize, Deserialize)]
struct Row {
    count: usize,
    apply: Timed,
    /// KiB of the process that applied, resident and the most that ever was.
    memory: (u64, u64),
    looked: Looked,
}

/// What a process measured that only looks.
#[derive(Serialize, Deserialize)]
struct Looked {
    /// Nothing was seen yet: login, sweep and plan of all.
    cold: Timed,
    /// Once more.
    again: Timed,
    /// No look at all.
    warm: Timed,
    /// One wait for changes in which nothing changes.
    quiet: Timed,
    /// KiB, resident and the most that ever was, after all of the above.
    memory: (u64, u64),
}

#[derive(Serialize, Deserialize)]
struct Timed {
    time: Duration,
    /// Processor time of this process, and of the simulator.
    ours: Duration,
    simulator: Duration,
    calls: BTreeMap<String, u64>,
}

impl Timed {
    fn calls(&self) -> u64 {
        self.calls.values().sum()
    }
}

/// Runs this program once for each number of tenants, and prints the tables.
pub(crate) fn table(most: usize) -> anyhow::Result<()> {
    println!("## vCenter: the engine and the vSphere plugin\n");
    let mut rows: Vec<Row> = Vec::new();
    for count in [1, 10, 100, 1000].into_iter().filter(|count| *count <= most) {
        rows.push(fleet::run(&["vcenter", &count.to_string()])?);
    }
    let Some(base) = rows.iter().find(|row| row.count == 10).or(rows.first()) else { return Ok(()) };
    println!("\nApply from nothing, {AT_ONCE} tenants at once; growth relative to {} tenants:\n", base.count);
    print_applied(&rows, base);
    println!(
        "\nNothing to do. Targets at 1,000 tenants: fresh sweep and plan 5 s, warm plan 1 s, quiet pass 2:\n"
    );
    print_looked(&rows);
    println!("\nRequests of an apply by kind, for each tenant:\n");
    print_kinds(&rows, |row| &row.apply, true);
    println!("\nRequests of a fresh sweep by kind:\n");
    print_kinds(&rows, |row| &row.looked.again, false);
    println!();
    Ok(())
}

fn print_applied(rows: &[Row], base: &Row) {
    let each = |row: &Row, time: Duration| time / u32::try_from(row.count).unwrap_or(1);
    let cells = |row: &Row, of: fn(&Timed) -> Duration| {
        let (this, first) = (each(row, of(&row.apply)), each(base, of(&base.apply)));
        [seconds(this), times(this, first)]
    };
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let requests = row.apply.calls() / u64::try_from(row.count).unwrap_or(1);
            let head = [row.count.to_string(), seconds(row.apply.time)];
            let times = [|it: &Timed| it.time, |it: &Timed| it.ours, |it: &Timed| it.simulator];
            let tail = [row.apply.calls().to_string(), requests.to_string(), mebibytes(row.memory.1)];
            head.into_iter().chain(times.into_iter().flat_map(|of| cells(row, of))).chain(tail).collect()
        })
        .collect();
    let heads = [
        "tenants",
        "time",
        "per tenant",
        "growth",
        "our CPU",
        "growth",
        "simulator's CPU",
        "growth",
        "requests",
        "per tenant",
        "most memory",
    ];
    print(&heads, &table);
}

fn print_looked(rows: &[Row]) {
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            // Folder, pool, port group and three VMs; the simulator's own besides.
            let (looked, pages) = (&row.looked, (6 * row.count).div_ceil(PAGE));
            let cpu = |it: &Timed| format!("{} + {}", seconds(it.ours), seconds(it.simulator));
            vec![
                row.count.to_string(),
                seconds(looked.cold.time),
                looked.cold.calls().to_string(),
                seconds(looked.again.time),
                cpu(&looked.again),
                format!("{} (of {pages})", pages_of(&looked.again)),
                looked.again.calls().to_string(),
                seconds(looked.warm.time),
                looked.warm.calls().to_string(),
                looked.quiet.calls().to_string(),
                mebibytes(looked.memory.0),
                mebibytes(looked.memory.1),
            ]
        })
        .collect();
    let heads = [
        "tenants",
        "new process",
        "requests",
        "fresh sweep",
        "CPU ours + simulator's",
        "pages",
        "requests",
        "warm plan",
        "requests",
        "quiet pass",
        "memory",
        "most memory",
    ];
    print(&heads, &table);
}

fn print_kinds(rows: &[Row], of: fn(&Row) -> &Timed, each: bool) {
    let kinds: BTreeSet<&String> = rows.iter().flat_map(|row| of(row).calls.keys()).collect();
    let count = |row: &Row, kind: &String| {
        let calls = of(row).calls.get(kind).copied().unwrap_or_default();
        #[allow(clippy::cast_precision_loss)] // Of a figure for people.
        if each { format!("{:.2}", calls as f64 / row.count as f64) } else { calls.to_string() }
    };
    let table: Vec<Vec<String>> = kinds
        .into_iter()
        .map(|kind| std::iter::once(kind.clone()).chain(rows.iter().map(|row| count(row, kind))).collect())
        .collect();
    let heads: Vec<String> = std::iter::once("request".to_owned())
        .chain(rows.iter().map(|row| format!("{} tenants", row.count)))
        .collect();
    print(&heads.iter().map(String::as_str).collect::<Vec<_>>(), &table);
}

/// Answers with objects: the first page, and each further one.
fn pages_of(timed: &Timed) -> u64 {
    timed.calls.get("ContinueRetrievePropertiesEx").copied().unwrap_or_default() + 1
}

/// One run. Its result is one line of JSON.
pub(crate) async fn row(count: usize) -> anyhow::Result<()> {
    let lab = Lab::start(&["--no-kubernetes", "--clone-time", "0s"]).context("a lab")?;
    let vcenter = lab.peers.vcenters.first().context("a vCenter")?;
    let peer = Peer {
        vcenter: vcenter.clone(),
        process: *lab.peers.pids.get(&vcenter.name).context("its process")?,
    };
    let bench = Bench::new(&peer, count)?;
    let engine = bench.engine()?;
    engine.observe(&bench.world).await;
    eprintln!("{count} tenants: applying");
    let apply = bench.timed(fleet::apply(&engine, &bench.world, &provider(), AT_ONCE)).await?;
    eprintln!("{count} tenants: applied in {}, {} requests", seconds(apply.time), apply.calls());
    let memory = memory("self")?;
    engine.release_claims().await;
    drop(engine);
    // All is done: what follows changes nothing.
    let looked = fleet::run(&["vcenter-look", &count.to_string(), &serde_json::to_string(&peer)?])?;
    println!("{}", serde_json::to_string(&Row { count, apply, memory, looked })?);
    Ok(())
}

/// The part of a run that only looks, in a process of its own.
pub(crate) async fn look(count: usize, peer: &str) -> anyhow::Result<()> {
    let peer: Peer = serde_json::from_str(peer)?;
    let bench = Bench::new(&peer, count)?;
    let engine = bench.engine()?;
    let cold = bench.timed(fleet::plan(&engine, &bench.world, true)).await?;
    let again = bench.timed(fleet::plan(&engine, &bench.world, true)).await?;
    let warm = bench.timed(fleet::plan(&engine, &bench.world, false)).await?;
    eprintln!(
        "{count} tenants: a new process plans in {}, a fresh sweep in {}, from what is known in {}",
        seconds(cold.time),
        seconds(again.time),
        seconds(warm.time)
    );
    // The first call begins the watch.
    ensure!(engine.watch(&provider(), &bench.world).await == Changed::All, "a watch begins with a sweep");
    let quiet = bench.timed(bench.quiet(&engine)).await?;
    eprintln!("{count} tenants: a quiet pass of {}, {} requests", seconds(quiet.time), quiet.calls());
    let looked = Looked { cold, again, warm, quiet, memory: memory("self")? };
    println!("{}", serde_json::to_string(&looked)?);
    Ok(())
}

/// The vCenter that a run is about.
#[derive(Serialize, Deserialize)]
struct Peer {
    vcenter: VCenter,
    process: u32,
}

struct Bench<'a> {
    peer: &'a Peer,
    secrets: tempfile::TempDir,
    world: World,
}

impl<'a> Bench<'a> {
    fn new(peer: &'a Peer, count: usize) -> anyhow::Result<Self> {
        Ok(Self { peer, secrets: secrets(&peer.vcenter)?, world: world(&peer.vcenter, count)? })
    }

    fn engine(&self) -> anyhow::Result<Engine> {
        fleet::engine(&self.world, Plugins::default().with(VspherePlugin), self.secrets.path())
    }

    async fn timed(&self, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Timed> {
        self.peer.vcenter.admin("POST", "/stats/reset", Json::Null).await?;
        let process = self.peer.process.to_string();
        let (ours, simulator, begun) = (processor("self")?, processor(&process)?, Instant::now());
        work.await?;
        Ok(Timed {
            time: begun.elapsed(),
            ours: processor("self")?.saturating_sub(ours),
            simulator: processor(&process)?.saturating_sub(simulator),
            calls: self.peer.vcenter.calls().await?,
        })
    }

    async fn quiet(&self, engine: &Engine) -> anyhow::Result<()> {
        let changed = engine.watch(&provider(), &self.world).await;
        ensure!(changed == Changed::Nothing, "somebody changed something: {changed:?}");
        Ok(())
    }
}

fn provider() -> ProviderName {
    "vcenter-main".into()
}

fn world(vcenter: &VCenter, count: usize) -> anyhow::Result<World> {
    let mut host = estate::host(vcenter)?;
    // The simulator is to be the limit, and not what a host allows.
    host["spec"]["budget"] = json!({"concurrency": AT_ONCE, "requestsPerSecond": 1000});
    let host = validate_host(&serde_json::from_value(host)?);
    let host = host.map_err(|violations| anyhow::anyhow!("{violations:?}"))?;
    let mut world = World::new([(provider(), host)].into());
    for number in 1..=u16::try_from(count)? {
        let tenant = validate_tenant(&serde_json::from_value(tenant(number))?, &Catalogue::default());
        world.insert(tenant.map_err(|violations| anyhow::anyhow!("{violations:?}"))?, false);
    }
    Ok(world)
}

/// The small tenant of the tests, with a third server.
fn tenant(number: u16) -> Json {
    let mut tenant = estate::tenant(number);
    let mut third = tenant["spec"]["servers"][1].clone();
    third["name"] = json!(format!("{}-srv03", estate::tenant_name(number)));
    third["interfaces"][0]["address"] = json!(format!("10.{}.{}.13", number / 256, number % 256));
    if let Some(third) = third.as_object_mut() {
        third.remove("antiAffinity");
    }
    if let Some(servers) = tenant["spec"]["servers"].as_array_mut() {
        servers.push(third);
    }
    tenant
}

fn secrets(vcenter: &VCenter) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("vcenter-main");
    std::fs::create_dir(&secret)?;
    std::fs::write(secret.join("username"), &vcenter.user)?;
    std::fs::copy(&vcenter.password_file, secret.join("password"))?;
    Ok(folder)
}
