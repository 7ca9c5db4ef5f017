//! What is counted, for Prometheus. No label ever holds a secret, and none grows without bound but by providers and by
//! tenants with a backup or a trust.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use vertskommune_api::TenantStatus;
use vertskommune_api::conditions::{DIRECTORY_READY, PROTECTED, find};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::transfer::Work;
use vertskommune_engine::{Ended, EndpointHealth, Health, Outcome, Transferred};
use vertskommune_provider::{Applied, Moved};

/// All that is counted. A copy counts the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<ByResult, Counter>,
    durations: Histogram,
    steps: Family<StepLabels, Counter>,
    tenants: Family<ByReady, Gauge>,
    ready: Arc<Mutex<BTreeMap<TenantName, String>>>,
    seen: Family<ByProvider, Gauge>,
    errors: Family<ErrorLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    leader: Gauge,
    protected: Family<ByTenant, Gauge>,
    last_backup: Family<ByTenant, Gauge>,
    last_proof: Family<ByTenant, Gauge>,
    trust: Family<ByTenant, Gauge>,
    transfers: Family<TransferLabels, Counter>,
    transferred: Family<ByWork, Counter>,
    stored: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTenant {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransferLabels {
    work: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWork {
    work: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    class: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReady {
    ready: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProvider {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    provider: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    resource: String,
    code: String,
}

impl Metrics {
    pub(crate) const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("vertskommune");
        // From a millisecond, a tenant without changes, to a minute and more, a step that ran into its time limit.
        let buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 90.0];
        let (reconciles, durations) = (Family::default(), Histogram::new(buckets));
        let (steps, tenants, seen) = (Family::default(), Family::default(), Family::default());
        let (errors, requests, leader) = (Family::default(), Family::default(), Gauge::default());
        let add = &mut registry;
        add.register("reconciles", "Reconciles of tenants by their result", Family::clone(&reconciles));
        add.register_with_unit(
            "reconcile_duration",
            "How long a reconcile took",
            Unit::Seconds,
            durations.clone(),
        );
        add.register("steps", "Steps by class and by what became of them", Family::clone(&steps));
        add.register("tenants", "Tenants by the status of their condition Ready", Family::clone(&tenants));
        add.register("endpoint_seen", "Whether an endpoint was seen at the last look", Family::clone(&seen));
        add.register(
            "provider_errors",
            "Changes to a state in which an endpoint is not seen",
            Family::clone(&errors),
        );
        add.register(
            "kubernetes_requests",
            "Requests to the API server, watches once",
            Family::clone(&requests),
        );
        add.register("leader", "Whether this process holds the leader lease", leader.clone());
        let (protected, last_backup, last_proof) = (Family::default(), Family::default(), Family::default());
        add.register(
            "backup_protected",
            "Whether every server of a tenant has a fresh, proven backup (0 where that is not so, or cannot be told)",
            Family::clone(&protected),
        );
        add.register_with_unit(
            "backup_last_timestamp",
            "When a tenant's last good backups began: the oldest of all its servers",
            Unit::Seconds,
            Family::clone(&last_backup),
        );
        add.register_with_unit(
            "backup_last_proof_timestamp",
            "When a tenant's backups were last proven by restoring them: the oldest that there must be",
            Unit::Seconds,
            Family::clone(&last_proof),
        );
        let trust = Family::default();
        add.register(
            "directory_trust_valid",
            "Whether a tenant's trust stands on both sides and works (0 where that is not so, or cannot be told)",
            Family::clone(&trust),
        );
        let (transfers, transferred, stored) = (Family::default(), Family::default(), Counter::default());
        add.register("transfers", "Backups and proofs by what became of them", Family::clone(&transfers));
        add.register_with_unit(
            "transferred",
            "Bytes of disks that were backed up or proven",
            Unit::Bytes,
            Family::clone(&transferred),
        );
        add.register_with_unit(
            "backup_stored",
            "Bytes that backups have stored anew, before they are compressed",
            Unit::Bytes,
            stored.clone(),
        );
        let ready = Arc::default();
        Self {
            registry: Arc::new(registry),
            reconciles,
            durations,
            steps,
            tenants,
            ready,
            seen,
            errors,
            requests,
            leader,
            protected,
            last_backup,
            last_proof,
            trust,
            transfers,
            transferred,
            stored,
        }
    }

    pub(crate) fn text(&self) -> String {
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
        self.steps.get_or_create(&StepLabels { class: outcome.class.to_string(), result }).inc();
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

    /// What a tenant's `Ready` is now; `None` where there is no such tenant any more.
    pub(crate) fn ready(&self, tenant: &TenantName, ready: Option<&str>) {
        let mut of = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let before = of.get(tenant).map(String::as_str);
        if before == ready {
            return;
        }
        let gauge = |ready: &str| self.tenants.get_or_create_owned(&ByReady { ready: ready.to_owned() });
        if let Some(before) = before {
            gauge(before).dec();
        }
        match ready {
            Some(now) => {
                gauge(now).inc();
                of.insert(tenant.clone(), now.to_owned());
            }
            None => {
                of.remove(tenant);
            }
        }
    }

    /// What a tenant's status says of its backups; `None` where there is no such tenant any more.
    pub(crate) fn backup(&self, tenant: &TenantName, status: Option<&TenantStatus>) {
        let set = |family, value| set(family, tenant, value);
        let said = status.and_then(|status| find(&status.conditions, PROTECTED));
        let known = said.and_then(|_| status?.backup.as_ref());
        let second = |time: &Option<Time>| time.as_ref().map(|time| time.0.as_second());
        set(&self.protected, said.map(|said| i64::from(said.status == "True")));
        set(&self.last_backup, known.and_then(|known| second(&known.last_backup)));
        set(&self.last_proof, known.and_then(|known| second(&known.last_proof)));
    }

    /// What a tenant's status says of its trust; `None` where there is no such tenant any more.
    pub(crate) fn directory(&self, tenant: &TenantName, status: Option<&TenantStatus>) {
        let said = status.and_then(|status| find(&status.conditions, DIRECTORY_READY));
        set(&self.trust, tenant, said.map(|said| i64::from(said.status == "True")));
    }

    pub(crate) fn endpoint(&self, provider: &ProviderName, before: Option<&Health>, now: &EndpointHealth) {
        let provider = provider.to_string();
        let seen = self.seen.get_or_create_owned(&ByProvider { provider: provider.clone() });
        seen.set(i64::from(now.health == Health::Seen));
        if let Health::Blind(why) = &now.health
            && before != Some(&now.health)
        {
            self.errors.get_or_create(&ErrorLabels { provider, reason: why.word().to_owned() }).inc();
        }
    }

    pub(crate) fn no_endpoint(&self, provider: &ProviderName) {
        self.seen.remove(&ByProvider { provider: provider.to_string() });
    }

    pub(crate) fn requested(&self, verb: &'static str, resource: String, code: String) {
        self.requests.get_or_create(&RequestLabels { verb, resource, code }).inc();
    }

    pub(crate) fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }
}

/// Sets a figure of a tenant's; one that it has no more goes.
fn set(family: &Family<ByTenant, Gauge>, tenant: &TenantName, value: Option<i64>) {
    let labels = ByTenant { tenant: tenant.to_string() };
    if let Some(value) = value {
        family.get_or_create(&labels).set(value);
    } else {
        family.remove(&labels);
    }
}

#[cfg(test)]
mod tests {
    use vertskommune_api::conditions::Truth;
    use vertskommune_api::tenant::BackupStatus;

    use super::*;

    #[test]
    fn a_tenant_with_a_backup_has_figures_of_its_own_until_it_is_gone() {
        let (metrics, tenant) = (Metrics::new(), TenantName::from("ibestad"));
        let at = |second| Some(Time(jiff::Timestamp::from_second(second).unwrap()));
        let mut conditions =
            vertskommune_api::conditions::Conditions::new(&[], Some(1), jiff::Timestamp::UNIX_EPOCH);
        conditions.set(PROTECTED, true, "FreshAndProven", "All is well");
        let backup =
            BackupStatus { last_backup: at(1_764_000_000), last_proof: None, ..BackupStatus::default() };
        let mut status =
            TenantStatus { conditions: conditions.finish(), backup: Some(backup), ..TenantStatus::default() };
        metrics.backup(&tenant, Some(&status));
        let text = metrics.text();
        assert!(text.contains("vertskommune_backup_protected{tenant=\"ibestad\"} 1"), "{text}");
        let last = "vertskommune_backup_last_timestamp_seconds{tenant=\"ibestad\"} 1764000000";
        assert!(text.contains(last), "{text}");
        assert!(!text.contains("proof_timestamp_seconds{"), "never proven is no time: {text}");
        // The manifest asks for backup no more.
        status.conditions.clear();
        metrics.backup(&tenant, Some(&status));
        assert!(!metrics.text().contains("ibestad"), "{}", metrics.text());
    }

    #[test]
    fn a_trust_counts_as_valid_only_where_that_is_known() {
        let (metrics, tenant) = (Metrics::new(), TenantName::from("ibestad"));
        let figure = "vertskommune_directory_trust_valid{tenant=\"ibestad\"}";
        let rows = [
            (Some(Truth::True), Some(1), "both sides stand and work"),
            (Some(Truth::False), Some(0), "it is troubled"),
            (Some(Truth::Unknown), Some(0), "a directory is not seen"),
            (None, None, "the manifest asks for none"),
        ];
        for (truth, expected, reason) in rows {
            let mut conditions =
                vertskommune_api::conditions::Conditions::new(&[], Some(1), jiff::Timestamp::UNIX_EPOCH);
            if let Some(truth) = truth {
                conditions.set(DIRECTORY_READY, truth, "Word", "A sentence");
            }
            let status = TenantStatus { conditions: conditions.finish(), ..TenantStatus::default() };
            metrics.directory(&tenant, Some(&status));
            let text = metrics.text();
            match expected {
                Some(value) => assert!(text.contains(&format!("{figure} {value}\n")), "{reason}: {text}"),
                None => assert!(!text.contains("ibestad"), "{reason}: {text}"),
            }
        }
    }

    #[test]
    fn tenants_are_counted_once_by_their_newest_ready() {
        let metrics = Metrics::new();
        let (a, b) = (TenantName::from("ibestad"), TenantName::from("dyroy"));
        metrics.ready(&a, Some("False"));
        metrics.ready(&b, Some("False"));
        metrics.ready(&a, Some("True"));
        metrics.ready(&b, None);
        let text = metrics.text();
        assert!(text.contains("vertskommune_tenants{ready=\"True\"} 1"), "{text}");
        assert!(text.contains("vertskommune_tenants{ready=\"False\"} 0"), "{text}");
    }
}
