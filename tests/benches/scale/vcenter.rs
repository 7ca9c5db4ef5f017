//! The engine and the vSphere plugin against the vCenter simulator, without any Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::{TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vertskommune_api::{validate_host, validate_tenant};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::plan::Plan;
use vertskommune_engine::{Changed, Engine, Settings, World};
use vertskommune_provider::Plugins;
use vertskommune_provider::context::Always;
use vertskommune_provider::secrets::FolderSecrets;
use vertskommune_provider_vsphere::VspherePlugin;
use vertskommune_tests::estate;
use vertskommune_tests::lab::{Lab, VCenter};

use crate::measure::{kinds, mebibytes, memory, print, seconds};

/// Tenants that are applied at once.
const AT_ONCE: usize = 32;
/// Objects that one page of a sweep holds, as the plugin asks for.
const PAGE: usize = 500;

/// What one run measured.
#[derive(Serialize, Deserialize)]
struct Row {
    count: usize,
    apply: Timed,
    /// A process that has seen nothing yet: login, sweep and plan of all.
    cold: Timed,
    /// The same engine once more.
    again: Timed,
    /// No look at all.
    warm: Timed,
    /// One wait for changes in which nothing changes.
    quiet: Timed,
    /// KiB, resident and the most that ever was, after all of the above.
    memory: (u64, u64),
    /// KiB of an engine that has swept and planned and never applied.
    idle: (u64, u64),
}

#[derive(Serialize, Deserialize)]
struct Timed {
    time: Duration,
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
        let mut run = Command::new(std::env::current_exe()?)
            .args(["vcenter", &count.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(run.stdout.take().context("its output")?);
        let lines: Vec<String> = output.lines().collect::<Result<_, _>>()?;
        ensure!(run.wait()?.success(), "the run with {count} tenants failed");
        rows.push(serde_json::from_str(lines.last().context("a result")?)?);
    }
    report(&rows);
    Ok(())
}

fn report(rows: &[Row]) {
    let Some(first) = rows.first() else { return };
    let per_tenant = |row: &Row| row.apply.time / u32::try_from(row.count).unwrap_or(1);
    let base = rows.iter().find(|row| row.count == 10).unwrap_or(first);
    let growth = |row: &Row| per_tenant(row).as_secs_f64() / per_tenant(base).as_secs_f64();
    let table: Vec<_> = rows
        .iter()
        .map(|row| {
            let requests = row.apply.calls() / u64::try_from(row.count).unwrap_or(1);
            vec![
                row.count.to_string(),
                seconds(row.apply.time),
                seconds(per_tenant(row)),
                format!("{:.2}", growth(row)),
                row.apply.calls().to_string(),
                requests.to_string(),
                mebibytes(row.memory.0),
            ]
        })
        .collect();
    println!("\nApply from nothing, {AT_ONCE} tenants at once:\n");
    let growth = format!("relative to {}", base.count);
    print(
        &["tenants", "time", "per tenant", growth.as_str(), "requests", "per tenant", "memory after"],
        &table,
    );
    let table: Vec<_> = rows
        .iter()
        .map(|row| {
            // Folder, pool, port group and three VMs; the simulator's own besides.
            let pages = (6 * row.count).div_ceil(PAGE);
            vec![
                row.count.to_string(),
                seconds(row.cold.time),
                row.cold.calls().to_string(),
                seconds(row.again.time),
                format!("{} (of {pages})", pages_of(&row.again)),
                row.again.calls().to_string(),
                seconds(row.warm.time),
                row.warm.calls().to_string(),
                row.quiet.calls().to_string(),
                mebibytes(row.idle.0),
            ]
        })
        .collect();
    println!(
        "\nNothing to do. Targets at 1,000 tenants: fresh sweep and plan 5 s, warm plan 1 s, quiet pass 2 requests:\n"
    );
    let heads = [
        "tenants",
        "new process",
        "requests",
        "fresh sweep",
        "pages",
        "requests",
        "warm plan",
        "requests",
        "quiet pass",
        "memory",
    ];
    print(&heads, &table);
    println!("\nRequests by kind:\n");
    for row in rows {
        println!("- {} tenants, apply: {}", row.count, kinds(&row.apply.calls));
        println!("- {} tenants, new process: {}", row.count, kinds(&row.cold.calls));
        println!("- {} tenants, fresh sweep: {}", row.count, kinds(&row.again.calls));
        println!("- {} tenants, quiet pass: {}", row.count, kinds(&row.quiet.calls));
    }
    println!();
}

/// Answers with objects: the first page, and each further one.
fn pages_of(timed: &Timed) -> u64 {
    let of = |method: &str| timed.calls.get(method).copied().unwrap_or_default();
    of("ContinueRetrievePropertiesEx") + 1
}

/// One run. Its result is one line of JSON.
pub(crate) async fn row(count: usize) -> anyhow::Result<()> {
    let lab = Lab::start(&["--no-kubernetes", "--clone-time", "0s"]).context("a lab")?;
    let vcenter = lab.peers.vcenters.first().context("a vCenter")?;
    let secrets = secrets(vcenter)?;
    let bench = Bench { vcenter, secrets, world: world(vcenter, count)? };
    let engine = bench.engine()?;
    engine.observe(&bench.world).await;
    eprintln!("{count} tenants: applying");
    let apply = bench.timed(bench.apply(&engine)).await?;
    eprintln!("{count} tenants: applied in {}, {} requests", seconds(apply.time), apply.calls());

    // All is done: what follows changes nothing.
    let fresh = bench.engine()?;
    let cold = bench.timed(bench.plan(&fresh, true)).await?;
    let idle = memory("self")?;
    let again = bench.timed(bench.plan(&fresh, true)).await?;
    let warm = bench.timed(bench.plan(&fresh, false)).await?;
    eprintln!(
        "{count} tenants: a new process plans in {}, a fresh sweep in {}, from what is known in {}",
        seconds(cold.time),
        seconds(again.time),
        seconds(warm.time)
    );
    // The first call begins the watch.
    ensure!(fresh.watch(&provider(), &bench.world).await == Changed::All, "a watch begins with a sweep");
    let quiet = bench.timed(bench.quiet(&fresh)).await?;
    eprintln!("{count} tenants: a quiet pass of {}, {} requests", seconds(quiet.time), quiet.calls());
    engine.release_claims().await;
    let row = Row { count, apply, cold, again, warm, quiet, memory: memory("self")?, idle };
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}

struct Bench<'a> {
    vcenter: &'a VCenter,
    secrets: tempfile::TempDir,
    world: World,
}

impl Bench<'_> {
    fn engine(&self) -> anyhow::Result<Engine> {
        let engine = Engine::new(Settings {
            installation: "bench".into(),
            holder: "bench".to_owned(),
            plugins: Plugins::default().with(VspherePlugin),
            secrets: Arc::new(FolderSecrets::new(self.secrets.path())),
            permit: Arc::new(Always),
            now: Timestamp::now,
        });
        let wrong = engine.configure(self.world.hosts());
        ensure!(wrong.is_empty(), "{wrong:?}");
        Ok(engine)
    }

    async fn timed(&self, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Timed> {
        self.vcenter.admin("POST", "/stats/reset", Json::Null).await?;
        let begun = Instant::now();
        work.await?;
        let time = begun.elapsed();
        Ok(Timed { time, calls: self.vcenter.calls().await? })
    }

    async fn apply(&self, engine: &Engine) -> anyhow::Result<()> {
        let done = std::sync::atomic::AtomicUsize::new(0);
        let converged = stream::iter(self.world.tenants().keys().map(Ok::<_, anyhow::Error>));
        converged
            .try_for_each_concurrent(AT_ONCE, async |tenant| {
                self.converge(engine, tenant).await?;
                let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                if done.is_multiple_of(100) {
                    eprintln!("  {done} tenants");
                }
                Ok(())
            })
            .await
    }

    async fn converge(&self, engine: &Engine, tenant: &TenantName) -> anyhow::Result<()> {
        for _ in 0..200 {
            let report = engine.pass(&self.world, tenant).await.context("a plan")?;
            if let Some(failure) = report.failure() {
                bail!("{failure:?}");
            }
            if report.plan.is_empty() {
                ensure!(report.plan.findings.is_empty(), "{:?}", report.plan.findings);
                return Ok(());
            }
            if !report.changed_anything() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                engine.observe_tenants(&provider(), &self.world, &BTreeSet::from([tenant.clone()])).await;
            }
        }
        let plan = engine.plan(&self.world, tenant);
        bail!("{tenant} does not come to an end: {plan:#?}")
    }

    /// Plans all tenants, after a sweep or without.
    async fn plan(&self, engine: &Engine, sweep: bool) -> anyhow::Result<()> {
        if sweep {
            engine.observe(&self.world).await;
        }
        let plans = self.world.tenants().keys().map(|tenant| engine.plan(&self.world, tenant));
        let left = plans.flatten().find(|plan: &Plan| !plan.is_empty());
        ensure!(left.is_none(), "there is something left to do: {left:#?}");
        Ok(())
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
        let tenant = validate_tenant(&serde_json::from_value(tenant(number))?);
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
