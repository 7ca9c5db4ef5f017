//! The engine within a command: no cluster and no state file, only manifests, secrets and the real systems.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use futures::future::join_all;
use jiff::Timestamp;
use vertskommune_api::manifest::{Origin, Problem};
use vertskommune_controller::Cluster;
use vertskommune_core::check::FindingReason;
use vertskommune_core::names::{Installation, ProviderName, TenantName};
use vertskommune_core::plan::Plan;
use vertskommune_core::violation::Violation;
use vertskommune_engine::{Engine, Settings, World};
use vertskommune_provider::context::Never;
use vertskommune_provider::secrets::{FolderSecrets, SecretStore};
use vertskommune_provider::{Permit, Plugins};

use crate::arguments::{InCluster, MaybeInstallation, Source};
use crate::manifests::{self, Manifests};
use crate::plugins::plugins;
use crate::{output, progress};

/// An engine with all that the manifests say.
pub(crate) struct Embedded {
    pub(crate) engine: Engine,
    pub(crate) world: World,
    pub(crate) installation: Installation,
    /// All that is wrong with the manifests. What is not touched by it goes on.
    pub(crate) problems: Vec<Problem>,
    /// Tenants of which nothing is carried out because of it.
    refused: BTreeSet<TenantName>,
    /// Those of them whose own manifests may be right, but not that of their endpoint.
    held_up: BTreeSet<TenantName>,
    /// The endpoints that are refused.
    pub(crate) refused_hosts: BTreeSet<ProviderName>,
}

/// Manifests with the secrets that they name.
pub(crate) struct Ground {
    pub(crate) manifests: Manifests,
    pub(crate) secrets: Arc<dyn SecretStore>,
}

/// Reads what the command line names.
pub(crate) async fn read(source: &Source) -> anyhow::Result<Ground> {
    if source.cluster {
        let cluster = source.access.connect().await?;
        return read_cluster(&cluster, &source.namespace.namespace, None).await;
    }
    ensure!(
        !source.access.is_named(),
        "--context and --kubeconfig need --cluster: no cluster is read without it"
    );
    let manifests = manifests::read(&source.files)?;
    Ok(Ground { manifests, secrets: Arc::new(FolderSecrets::new(&source.secrets)) })
}

/// Reads a cluster, with these files laid over it as if they had been applied.
async fn read_cluster(
    cluster: &Cluster,
    namespace: &str,
    over: Option<manifests::Files>,
) -> anyhow::Result<Ground> {
    let snapshot = progress::during("reading the cluster", cluster.snapshot(namespace)).await?;
    let read = manifests::of_cluster(snapshot.tenants, snapshot.hosts, snapshot.rule_sets);
    let read = match over {
        Some(files) => manifests::laid_over(read, files.parse()),
        None => read,
    };
    Ok(Ground { manifests: manifests::validate(read), secrets: snapshot.secrets })
}

impl Embedded {
    /// One that only looks, with the manifests of a cluster and these files laid over them.
    pub(crate) async fn in_cluster(
        named: &InCluster,
        installation: &MaybeInstallation,
        over: Option<manifests::Files>,
    ) -> anyhow::Result<Self> {
        let namespace = &named.namespace.namespace;
        let cluster = named.access.connect().await?;
        let installation = installation.find(&cluster, namespace).await?;
        let ground = read_cluster(&cluster, namespace, over).await?;
        Ok(Self::new(ground, &installation, Arc::new(Never), plugins()))
    }

    /// An engine that has seen nothing yet.
    pub(crate) fn new(
        ground: Ground,
        installation: &Installation,
        permit: Arc<dyn Permit>,
        plugins: Plugins,
    ) -> Self {
        let Ground { mut manifests, secrets } = ground;
        let engine = Engine::new(Settings {
            installation: installation.clone(),
            // The same whenever a command runs on this machine, so that none waits for the claim of one that crashed.
            holder: format!("cli:{}", machine()),
            plugins,
            secrets,
            permit,
            now: Timestamp::now,
        });
        configure(&engine, &mut manifests);
        let hosts = manifests.hosts.iter().map(|(name, host)| (name.clone(), host.object.clone())).collect();
        let mut world = World::new(hosts);
        let mut refused: BTreeSet<TenantName> = manifests.refused.keys().cloned().collect();
        let mut held_up = BTreeSet::new();
        for (name, tenant) in &manifests.tenants {
            if manifests.is_held_up(&tenant.object) {
                held_up.insert(name.clone());
            }
            world.insert(tenant.object.clone(), manifests.leaving.contains(name));
        }
        refused.extend(held_up.iter().cloned());
        Self {
            engine,
            world,
            installation: installation.clone(),
            problems: manifests.problems,
            refused,
            held_up,
            refused_hosts: manifests.refused_hosts,
        }
    }

    /// Tells what is wrong with the manifests, beside the results.
    pub(crate) fn show_problems(&self) {
        for problem in &self.problems {
            output::note(problem);
        }
        for tenant in &self.held_up {
            output::note(format_args!("nothing is done for {tenant}: its HostProvider is refused"));
        }
    }

    /// The tenants of these names, or all. Those whose manifests are refused are left out, unless they are named.
    pub(crate) fn choose(&self, names: &[TenantName]) -> anyhow::Result<BTreeSet<TenantName>> {
        if names.is_empty() {
            let tenants = self.world.tenants().keys();
            return Ok(tenants.filter(|name| !self.refused.contains(*name)).cloned().collect());
        }
        for name in names {
            if self.refused.contains(name) {
                bail!("the manifest of {name} is refused: mend what is listed above");
            }
            if self.world.tenant(name).is_none() {
                let known: Vec<_> = self.world.tenants().keys().map(TenantName::as_str).collect();
                bail!("there is no tenant {name}: there is {}", known.join(", "));
            }
        }
        Ok(names.iter().cloned().collect())
    }

    /// Adds an operator's words for steps that destroy data.
    pub(crate) fn allow_destroy(&mut self, tenants: &BTreeSet<TenantName>, words: &[String]) {
        for name in tenants.iter().filter(|_| !words.is_empty()) {
            if let Some(mut tenant) = self.world.tenant(name).cloned() {
                tenant.allow_destroy.extend(words.iter().map(|word| word.to_ascii_lowercase()));
                let leaving = self.world.is_leaving(name);
                self.world.insert(tenant, leaving);
            }
        }
    }

    /// Looks at everything, all endpoints at once.
    pub(crate) async fn observe(&self) {
        let looks = self.world.hosts().keys().map(|provider| self.engine.observe_one(provider, &self.world));
        let names: Vec<_> = self.world.hosts().keys().map(ProviderName::as_str).collect();
        progress::during(&format!("observing {}", names.join(", ")), join_all(looks)).await;
    }

    /// The plan of a tenant, from what was last seen.
    pub(crate) fn plan(&self, tenant: &TenantName) -> Option<Plan> {
        self.engine.plan(&self.world, tenant)
    }

    /// The plans of these tenants, from what was last seen.
    pub(crate) fn plans(&self, tenants: &BTreeSet<TenantName>) -> Vec<Plan> {
        tenants.iter().filter_map(|tenant| self.plan(tenant)).collect()
    }
}

/// Makes the endpoints; one whose settings its plugin does not take is refused like one with a wrong field.
fn configure(engine: &Engine, manifests: &mut Manifests) {
    let hosts = manifests.hosts.iter().map(|(name, host)| (name.clone(), host.object.clone()));
    for (name, violations) in engine.configure(&hosts.collect::<BTreeMap<_, _>>()) {
        let origin = manifests.hosts.remove(&name).map_or_else(Origin::default, |host| host.origin);
        manifests.problems.extend(violations.into_iter().map(|violation| origin.problem(violation)));
        manifests.refused_hosts.insert(name);
    }
}

/// All that is wrong with manifests, by the same calls that plan: what an engine finds that has seen nothing.
pub(crate) fn problems(manifests: Manifests) -> Vec<Problem> {
    let sound = manifests.sound();
    // Nothing is observed, so neither is asked for anything.
    let secrets = Arc::new(FolderSecrets::new(""));
    let ground = Ground { manifests, secrets };
    let mut embedded = Embedded::new(ground, &Installation::from("validate"), Arc::new(Never), plugins());
    for part in sound.values() {
        embedded.world.insert(part.tenant.clone(), false);
    }
    let mut problems = std::mem::take(&mut embedded.problems);
    for (name, part) in &sound {
        let held_up = part.tenant.providers().any(|provider| embedded.refused_hosts.contains(provider));
        for finding in embedded.plan(name).into_iter().flat_map(|plan| plan.findings) {
            // Of an endpoint that is there and refused, the endpoint's own problems tell.
            if !(held_up && finding.reason == FindingReason::UnknownProvider) {
                let violation = Violation::new(part.field(&finding.field), finding.message);
                problems.push(part.origin.problem(violation));
            }
        }
    }
    problems
}

/// The name of this machine.
pub(crate) fn machine() -> String {
    // What Linux tells without a call; elsewhere the shell's own variable.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => "unknown-machine".to_owned(),
        name => name.to_owned(),
    }
}

/// Runs the async part of a command.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // What still blocks, such as a look at a system that does not answer, does not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
