//! What is counted, for Prometheus. No label ever holds a secret, and none grows without bound but by providers and by
//! tenants with a backup or a trust.

mod endpoint;
mod labels;
mod passes;
mod tenant;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
use vertskommune_core::names::TenantName;
use vertskommune_core::transfer::Work;
use vertskommune_engine::{Ended, Outcome, Transferred};
use vertskommune_provider::{Applied, Moved};

use endpoint::Endpoints;
use labels::{
    ByReady, ByResult, ByTenant, ByWork, ConditionLabels, RequestLabels, StepLabels, TransferLabels,
    WaitLabels,
};
use passes::Passes;
pub(crate) use passes::Underway;
use tenant::Remembered;

/// All that is counted. A copy counts the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    remembered: Arc<Mutex<BTreeMap<TenantName, Remembered>>>,
    leader: Gauge,
    ready: Gauge,
    requests: Family<RequestLabels, Counter>,
    // Passes over tenants.
    passes: Passes,
    queued: Gauge,
    reconciling: Gauge,
    longest: Gauge<f64, AtomicU64>,
    reconciles: Family<ByResult, Counter>,
    durations: Histogram,
    steps: Family<StepLabels, Counter>,
    endpoints: Endpoints,
    // Tenants as they are.
    tenants: Family<ByReady, Gauge>,
    conditions: Family<ConditionLabels, Gauge>,
    waiting: Family<WaitLabels, Gauge>,
    shown: Family<ByTenant, Gauge>,
    protected: Family<ByTenant, Gauge>,
    last_backup: Family<ByTenant, Gauge>,
    last_proof: Family<ByTenant, Gauge>,
    trust: Family<ByTenant, Gauge>,
    // What moves bytes.
    transfers: Family<TransferLabels, Counter>,
    transferred: Family<ByWork, Counter>,
    stored: Counter,
}

/// From a millisecond, a tenant without changes, to a minute and more, a step that ran into its time limit.
fn durations() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 90.0])
}

/// Registers a metric under that name.
fn counted<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// The same for one with a unit, which its name ends with.
fn measured<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, unit: Unit, metric: M) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

impl Metrics {
    pub(crate) const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All of them at nothing. What is counted from the beginning is there, so that its first increase is seen as one.
    pub(crate) fn new() -> Self {
        let metrics = Self::registered();
        for result in ["ok", "error"] {
            drop(metrics.reconciles.get_or_create(&ByResult { result }));
        }
        for work in ["backup", "proof"] {
            drop(metrics.transferred.get_or_create(&ByWork { work }));
            for result in ["done", "damaged", "stopped", "failed"] {
                drop(metrics.transfers.get_or_create(&TransferLabels { work, result }));
            }
        }
        metrics
    }

    fn registered() -> Self {
        let mut registry = Registry::with_prefix("vertskommune");
        let it = &mut registry;
        let (seconds, bytes) = (|| Unit::Seconds, || Unit::Bytes);
        Self {
            remembered: Arc::default(),
            leader: counted(it, "leader", "Whether this process holds the leader lease"),
            ready: counted(
                it,
                "ready",
                "Whether this process hears from the API server: the lease and every watch",
            ),
            requests: counted(it, "kubernetes_requests", "Requests to the API server, watches once"),
            passes: Passes::default(),
            queued: counted(it, "queue_depth", "Tenants whose reconcile is asked for and has not begun"),
            reconciling: counted(it, "reconciles_active", "Reconciles that are under way"),
            longest: measured(
                it,
                "reconcile_oldest_age",
                "How long the oldest reconcile has been under way; 0 where none is",
                seconds(),
                Gauge::default(),
            ),
            reconciles: counted(it, "reconciles", "Reconciles of tenants by their result"),
            durations: measured(
                it,
                "reconcile_duration",
                "How long a reconcile took",
                seconds(),
                durations(),
            ),
            steps: counted(it, "steps", "Steps by what they change, by class, and by what became of them"),
            endpoints: Endpoints::registered(it),
            tenants: counted(it, "tenants", "Tenants by the status of their condition Ready"),
            conditions: counted(
                it,
                "tenant_condition",
                "1 for the status and the reason that a condition of a tenant has now",
            ),
            waiting: counted(it, "waiting_steps", "Steps that wait, by why they do"),
            shown: counted(it, "differences_shown", "Differences that are shown and not healed"),
            protected: counted(
                it,
                "backup_protected",
                "Whether every server of a tenant has a fresh, proven backup (0 where that is not so, or cannot be told)",
            ),
            last_backup: measured(
                it,
                "backup_last_timestamp",
                "When a tenant's last good backups began: the oldest of all its servers",
                seconds(),
                Family::default(),
            ),
            last_proof: measured(
                it,
                "backup_last_proof_timestamp",
                "When a tenant's backups were last proven by restoring them: the oldest that there must be",
                seconds(),
                Family::default(),
            ),
            trust: counted(
                it,
                "directory_trust_valid",
                "Whether a tenant's trust stands on both sides and works (0 where that is not so, or cannot be told)",
            ),
            transfers: counted(it, "transfers", "Backups and proofs by what became of them"),
            transferred: measured(
                it,
                "transferred",
                "Bytes of disks that were backed up or proven",
                bytes(),
                Family::default(),
            ),
            stored: measured(
                it,
                "backup_stored",
                "Bytes that backups have stored anew, before they are compressed",
                bytes(),
                Counter::default(),
            ),
            registry: Arc::new(registry),
        }
    }

    pub(crate) fn text(&self) -> String {
        let (queued, reconciling, oldest) = self.passes.figures();
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.queued.set(count(queued));
        self.reconciling.set(count(reconciling));
        self.longest.set(oldest);
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub(crate) fn reconciled(&self, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ByResult { result }).inc();
        self.durations.observe(took.as_secs_f64());
    }

    pub(crate) fn applied(&self, outcome: &Outcome) {
        let result = match outcome.applied {
            Applied::Done => "done",
            Applied::Started { .. } => "started",
            Applied::NotSent(_) => "not_sent",
            Applied::Unknown(_) => "unknown",
            Applied::Failed(_) => "failed",
        };
        let labels = StepLabels {
            provider: outcome.resource.provider.to_string(),
            kind: outcome.resource.key.kind.to_string(),
            class: outcome.class.to_string(),
            result,
        };
        self.steps.get_or_create(&labels).inc();
    }

    pub(crate) fn transferred(&self, transferred: &Transferred) {
        let work = match transferred.transfer.work {
            Work::Backup => "backup",
            Work::Proof { .. } => "proof",
        };
        let (result, moved) = match &transferred.ended {
            Ended::Done(moved) => ("done", *moved),
            Ended::Damaged(moved, _) => ("damaged", *moved),
            Ended::Stopped(_) => ("stopped", Moved::default()),
            Ended::Failed { .. } => ("failed", Moved::default()),
        };
        self.transfers.get_or_create(&TransferLabels { work, result }).inc();
        self.transferred.get_or_create(&ByWork { work }).inc_by(moved.bytes);
        self.stored.inc_by(moved.stored);
    }

    /// A pass over a tenant is asked for.
    pub(crate) fn queued(&self, tenant: &TenantName) {
        self.passes.ask(tenant);
    }

    /// A pass over a tenant was asked for, and there is no such tenant.
    pub(crate) fn not_there(&self, tenant: &TenantName) {
        self.passes.forget(tenant);
    }

    /// A pass over a tenant has begun.
    pub(crate) fn reconciling(&self, tenant: &TenantName) -> Underway {
        self.passes.begin(tenant)
    }

    pub(crate) fn requested(&self, verb: &'static str, resource: String, code: String) {
        self.requests.get_or_create(&RequestLabels { verb, resource, code }).inc();
    }

    pub(crate) fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    pub(crate) fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }
}

#[cfg(test)]
mod tests;
