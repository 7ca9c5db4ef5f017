//! The controller: watches the manifests in a cluster and converges the real systems toward them.
//!
//! It is a thin shell around [`vertskommune_engine::Engine`], as the command line is another, and the only crate with a
//! kube client. What stands here is what only a cluster needs: watches, finalizers, the leader lease, status, events
//! and metrics. No choice about a real system is made here, and nothing that this process remembers is needed: kill it
//! at any moment, and the next one goes on.
//!
//! Read [`reconcile`] first: it is the whole in one function.

mod announce;
mod catalogue;
pub mod client;
mod cluster;
mod endpoints;
mod health;
mod hosts;
mod lead;
mod lease;
mod measured;
mod memory;
mod metrics;
mod moving;
mod objects;
pub mod reconcile;
mod requeue;
mod secrets;
mod snapshot;
mod tenants;
pub mod told;
mod traffic;
pub mod watches;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use vertskommune_api::{HostProvider, RuleSet, Tenant};
use vertskommune_core::error::with_causes;
use vertskommune_core::names::Installation;
use vertskommune_provider::Plugins;

pub use cluster::{Access, ChangeError, Cluster};
use health::Health;
pub use lease::Timing;
use lease::{InCluster, Keeper, LeasePermit};
use metrics::Metrics;
pub use objects::WriteError;
pub use snapshot::Snapshot;
use traffic::Traffic;

/// The name under which we write to objects, and that of the lease.
pub(crate) const MANAGER: &str = "vertskommune";

/// What the controller is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this installation; it stands in every mark.
    pub installation: Installation,
    /// The namespace of the controller, with its lease and the Secrets of the HostProviders.
    pub namespace: String,
    /// The name of this process in the lease. No two processes that run at once may share it; one that comes in
    /// place of another should, since it then need not wait: the name of the pod is both.
    pub identity: String,
    /// Who holds our claim in the real systems: the same for all replicas in a cluster. The uid of the namespace
    /// `kube-system`, which is the cluster's, where it is left out.
    pub holder: Option<String>,
    /// A folder with a folder for each Secret that is mounted; what is not there is read in the cluster.
    pub secrets: Option<PathBuf>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served, if at all.
    pub listen: Option<SocketAddr>,
    /// How long the lease lives.
    pub lease: Timing,
    /// How many tenants are reconciled at once.
    pub concurrency: u16,
    /// How often everything is looked at, to check on what noticed changes.
    pub sweep: Duration,
    /// The shortest pause between two writes of mere progress to a tenant's status.
    pub progress: Duration,
    /// How long what is under way may take when the process is asked to stop.
    pub grace: Duration,
}

impl Config {
    /// The usual intervals, for this installation in this namespace.
    pub fn new(
        installation: Installation,
        namespace: impl Into<String>,
        identity: impl Into<String>,
    ) -> Self {
        Self {
            installation,
            namespace: namespace.into(),
            identity: identity.into(),
            holder: None,
            secrets: None,
            listen: None,
            lease: Timing::default(),
            concurrency: 32,
            sweep: Duration::from_mins(10),
            progress: Duration::from_secs(10),
            grace: Duration::from_secs(20),
        }
    }
}

/// Why the controller has ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster is configured.
    #[error("no cluster is configured: set KUBECONFIG, or run in a pod")]
    Infer(#[source] Box<kube::config::InferConfigError>),
    /// The kubeconfig that is named cannot be used.
    #[error("the kubeconfig cannot be used: see --kubeconfig and --context")]
    Kubeconfig(#[source] Box<kube::config::KubeconfigError>),
    /// The configuration of the cluster cannot be used.
    #[error("the configuration of the cluster cannot be used")]
    Client(#[source] Box<kube::Error>),
    /// The cluster cannot be asked for its manifests.
    #[error("{0}")]
    Ask(String),
    /// The address for health and metrics is taken.
    #[error("{address} cannot be listened at")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    /// The lease was lost: another process leads, or the API server did not answer. Start again to follow.
    #[error("the leader lease was lost: {0}")]
    LeaseLost(String),
    /// A fault in the program; the log says where.
    #[error("a part of the controller broke off")]
    Broken,
}

/// Runs the controller in the cluster that the environment names, until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not begin, or that it has lost the lease. The process should end then, and be started anew.
pub async fn run(config: Config, plugins: Plugins) -> Result<(), Error> {
    let cluster = kube::Config::infer().await.map_err(|error| Error::Infer(Box::new(error)))?;
    let stop = CancellationToken::new();
    on_signal(stop.clone()).map_err(Error::Signals)?;
    run_in(cluster, config, plugins, stop).await
}

/// Runs the controller in that cluster until `stop` is cancelled.
///
/// # Errors
/// Why it could not begin, or that it has lost the lease.
pub async fn run_in(
    cluster: kube::Config,
    config: Config,
    plugins: Plugins,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (health, metrics) = (Arc::new(Health::default()), Metrics::new());

    // Whoever asks how we are is answered first.
    if let Some(address) = config.listen {
        let served = health::serve(address, health.clone(), metrics.clone()).await;
        served.map_err(|source| Error::Listen { address, source })?;
    }

    // The cluster, and our kinds in it.
    let client = connect(&cluster, &metrics, &health)?;
    let Some(holder) = stop.run_until_cancelled(prepare(&client, &config, &health)).await else {
        return Ok(());
    };

    // Of all replicas one leads.
    let permit = Arc::new(LeasePermit::default());
    let leases = InCluster { api: Api::namespaced(client.clone(), &config.namespace), name: MANAGER };
    let mut keeper =
        Keeper::new(leases, MANAGER, &config.identity, config.lease, permit.clone(), health.clone());
    tracing::info!(identity = %config.identity, "waiting for the leader lease");
    if stop.run_until_cancelled(keeper.acquire()).await.is_none() {
        // It may have become ours at that moment.
        keeper.release().await;
        return Ok(());
    }
    tracing::info!(identity = %config.identity, "leading");
    metrics.leading(true);

    // It leads until it is told to stop, or has lost the lease.
    let leader = lead::Leader { client, config, plugins, permit, metrics, holder };
    let ended = CancellationToken::new();
    let mut leading = AbortOnDropHandle::new(tokio::spawn(leader.run(stop, ended.clone())));
    tokio::select! {
        fenced = keeper.keep() => {
            tracing::error!(why = %fenced, "the leader lease was lost");
            ended.cancel();
            leading.abort();
            // Nothing of it runs any more when we say so.
            let _ = leading.await;
            Err(Error::LeaseLost(fenced.to_string()))
        }
        result = &mut leading => {
            keeper.release().await;
            result.unwrap_or(Err(Error::Broken))
        }
    }
}

/// A client that notices when the API server has fallen silent.
fn connect(cluster: &kube::Config, metrics: &Metrics, health: &Arc<Health>) -> Result<Client, Error> {
    let traffic = Traffic { metrics: metrics.clone(), health: health.clone() };
    let builder = client::connect(cluster).map_err(|error| Error::Client(Box::new(error)))?;
    Ok(builder.with_layer(&traffic).build())
}

/// Waits until our kinds are there. Gives the holder of our claims.
async fn prepare(client: &Client, config: &Config, health: &Health) -> String {
    let mut pause = Duration::from_secs(1);
    loop {
        let missing = match probe(client, config).await {
            Ok(holder) => {
                health.hindered(None);
                return holder;
            }
            Err(error) => hindrance(&error),
        };
        tracing::warn!(retry_in = ?pause, "{missing}");
        health.hindered(Some(missing));
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(15));
    }
}

async fn probe(client: &Client, config: &Config) -> Result<String, kube::Error> {
    let one = ListParams::default().limit(1);
    Api::<Tenant>::all(client.clone()).list_metadata(&one).await?;
    Api::<HostProvider>::all(client.clone()).list_metadata(&one).await?;
    Api::<RuleSet>::all(client.clone()).list_metadata(&one).await?;
    if let Some(holder) = &config.holder {
        return Ok(holder.clone());
    }
    let namespace = Api::<Namespace>::all(client.clone()).get_metadata("kube-system").await?;
    Ok(namespace.uid().unwrap_or_default())
}

fn hindrance(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            "the kinds of vertskommune.no are not in this cluster: apply \
             crds/ or the output of `vertskommune crd`"
                .to_owned()
        }
        kube::Error::Api(status) if status.code == 403 => {
            format!("the controller's account lacks a right, see deploy/base: {}", status.message)
        }
        error => format!("the API server cannot be asked: {}", with_causes(error)),
    }
}

fn on_signal(stop: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}

/// Waits, but not for longer than that.
pub(crate) async fn at_most(limit: Duration, what: &str, future: impl Future<Output = ()>) {
    if timeout(limit, future).await.is_err() {
        tracing::warn!(?limit, "{what} did not end in time");
    }
}
