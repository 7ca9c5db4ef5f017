//! What is done with many tenants, whatever the system: an engine, all applied, all planned.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::{TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::plan::Plan;
use vertskommune_engine::{Engine, Settings, World};
use vertskommune_provider::Plugins;
use vertskommune_provider::context::Always;
use vertskommune_provider::secrets::FolderSecrets;

/// Runs this program with other arguments. The last line that it prints is its result.
pub(crate) fn run<T: DeserializeOwned>(arguments: &[&str]) -> anyhow::Result<T> {
    let mut run = Command::new(std::env::current_exe()?).args(arguments).stdout(Stdio::piped()).spawn()?;
    let output = BufReader::new(run.stdout.take().context("its output")?);
    let lines: Vec<String> = output.lines().collect::<Result<_, _>>()?;
    ensure!(run.wait()?.success(), "the run of {arguments:?} failed");
    Ok(serde_json::from_str(lines.last().context("a result")?)?)
}

/// An engine for the hosts of this world, with the secrets of a folder.
pub(crate) fn engine(world: &World, plugins: Plugins, secrets: &Path) -> anyhow::Result<Engine> {
    let engine = Engine::new(Settings {
        installation: "bench".into(),
        holder: "bench".to_owned(),
        plugins,
        secrets: Arc::new(FolderSecrets::new(secrets)),
        permit: Arc::new(Always),
        now: Timestamp::now,
    });
    let wrong = engine.configure(world.hosts());
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(engine)
}

/// Brings all tenants to their end, so many at once.
pub(crate) async fn apply(
    engine: &Engine,
    world: &World,
    provider: &ProviderName,
    at_once: usize,
) -> anyhow::Result<()> {
    let done = AtomicUsize::new(0);
    let all = stream::iter(world.tenants().keys().map(Ok::<_, anyhow::Error>));
    all.try_for_each_concurrent(at_once, async |tenant| {
        converge(engine, world, provider, tenant).await?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(100) {
            eprintln!("  {done} tenants");
        }
        Ok(())
    })
    .await
}

/// Brings one tenant to its end.
pub(crate) async fn converge(
    engine: &Engine,
    world: &World,
    provider: &ProviderName,
    tenant: &TenantName,
) -> anyhow::Result<()> {
    for _ in 0..200 {
        let report = engine.pass(world, tenant).await.context("a plan")?;
        if let Some(failure) = report.failure() {
            bail!("{failure:?}");
        }
        if report.plan.is_empty() {
            ensure!(report.plan.findings.is_empty(), "{:?}", report.plan.findings);
            return Ok(());
        }
        if !report.changed_anything() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            engine.observe_tenants(provider, world, &BTreeSet::from([tenant.clone()])).await;
        }
    }
    let plan = engine.plan(world, tenant);
    bail!("{tenant} does not come to an end: {plan:#?}")
}

/// Plans all tenants, after a sweep or without, and finds nothing to do.
pub(crate) async fn plan(engine: &Engine, world: &World, sweep: bool) -> anyhow::Result<()> {
    if sweep {
        engine.observe(world).await;
    }
    let plans = world.tenants().keys().map(|tenant| engine.plan(world, tenant));
    let left = plans.flatten().find(|plan: &Plan| !plan.is_empty());
    ensure!(left.is_none(), "there is something left to do: {left:#?}");
    Ok(())
}
