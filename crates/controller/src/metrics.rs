//! What is counted, for Prometheus. No label ever holds a secret, and none grows without bound but by providers and by
//! tenants with a backup or a trust.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
use vertskommune_api::TenantStatus;
use vertskommune_api::conditions::{DIRECTORY_READY, PROTECTED, READY, find};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::plan::Plan;
use vertskommune_core::transfer::Work;
use vertskommune_engine::{Ended, EndpointHealth, Health, Outcome, Transferred};
use vertskommune_provider::{Applied, Moved};

/// All that is counted. A copy counts the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    remembered: Arc<Mutex<BTreeMap<TenantName, Remembered>>>,
    leader: Gauge,
    requests: Family<RequestLabels, Counter>,
    // Passes over tenants.
    reconciling: Gauge,
    reconciles: Family<ByResult, Counter>,
    durations: Histogram,
    steps: Family<StepLabels, Counter>,
    // Endpoints.
    seen: Family<ByProvider, Gauge>,
    observed: Family<ByProvider, Gauge>,
    errors: Family<ErrorLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    call_durations: Family<ByCall, Histogram>,
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

/// What was last told of a tenant, to be taken back.
#[derive(Default)]
struct Remembered {
    ready: Option<String>,
    conditions: BTreeMap<String, String>,
    waiting: BTreeSet<&'static str>,
}

/// A pass that goes on until this is dropped.
pub(crate) struct Underway(Gauge);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTenant {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    tenant: String,
    condition: String,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    tenant: String,
    reason: &'static str,
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
    provider: String,
    kind: String,
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
struct CallLabels {
    provider: String,
    call: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCall {
    provider: String,
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    resource: String,
    code: String,
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

    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("vertskommune");
        let it = &mut registry;
        let (seconds, bytes) = (|| Unit::Seconds, || Unit::Bytes);
        Self {
            remembered: Arc::default(),
            leader: counted(it, "leader", "Whether this process holds the leader lease"),
            requests: counted(it, "kubernetes_requests", "Requests to the API server, watches once"),
            reconciling: counted(it, "reconciles_active", "Reconciles that are under way"),
            reconciles: counted(it, "reconciles", "Reconciles of tenants by their result"),
            durations: measured(
                it,
                "reconcile_duration",
                "How long a reconcile took",
                seconds(),
                durations(),
            ),
            steps: counted(it, "steps", "Steps by what they change, by class, and by what became of them"),
            seen: counted(it, "endpoint_seen", "Whether an endpoint was seen at the last look"),
            observed: measured(
                it,
                "endpoint_observed_timestamp",
                "When an endpoint was last seen completely",
                seconds(),
                Family::default(),
            ),
            errors: counted(it, "provider_errors", "Changes to a state in which an endpoint is not seen"),
            calls: counted(
                it,
                "provider_calls",
                "Calls of a provider by their result: Ok, or why they failed",
            ),
            call_durations: measured(
                it,
                "provider_call_duration",
                "How long a call of a provider took",
                seconds(),
                Family::new_with_constructor(durations),
            ),
            tenants: counted(it, "tenants", "Tenants by the status of their condition Ready"),
            conditions: counted(
                it,
                "tenant_condition",
                "1 for the status that a condition of a tenant has now",
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

    /// A pass over a tenant has begun.
    pub(crate) fn reconciling(&self) -> Underway {
        self.reconciling.inc();
        Underway(self.reconciling.clone())
    }

    /// What a tenant's plan has; `None` where there is none: its manifest is refused, or it is gone.
    pub(crate) fn planned(&self, tenant: &TenantName, plan: Option<&Plan>) {
        let mut waiting = BTreeMap::<&'static str, i64>::new();
        for wait in plan.iter().flat_map(|plan| &plan.steps).filter_map(|step| step.wait.as_ref()) {
            *waiting.entry(wait.word()).or_default() += 1;
        }
        let labels = |reason| WaitLabels { tenant: tenant.to_string(), reason };
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let told = &mut all.entry(tenant.clone()).or_default().waiting;
        for reason in told.iter().filter(|reason| !waiting.contains_key(*reason)) {
            self.waiting.remove(&labels(reason));
        }
        for (reason, count) in &waiting {
            self.waiting.get_or_create(&labels(reason)).set(*count);
        }
        *told = waiting.into_keys().collect();
        let shown = plan.map(|plan| i64::try_from(plan.shown.len()).unwrap_or(i64::MAX));
        set(&self.shown, tenant, shown);
    }

    /// What a tenant's status says; `None` where there is no such tenant any more.
    pub(crate) fn reported(&self, tenant: &TenantName, status: Option<&TenantStatus>) {
        let conditions: BTreeMap<String, String> = status
            .iter()
            .flat_map(|status| &status.conditions)
            .map(|it| (it.type_.clone(), it.status.clone()))
            .collect();
        let unknown = || "Unknown".to_owned();
        let ready = status.map(|_| conditions.get(READY).cloned().unwrap_or_else(unknown));
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.entry(tenant.clone()).or_default();
        if before.ready != ready {
            let gauge = |ready: &String| self.tenants.get_or_create_owned(&ByReady { ready: ready.clone() });
            if let Some(before) = &before.ready {
                gauge(before).dec();
            }
            if let Some(now) = &ready {
                gauge(now).inc();
            }
        }
        let labels = |condition: &String, status: &String| ConditionLabels {
            tenant: tenant.to_string(),
            condition: condition.clone(),
            status: status.clone(),
        };
        for (condition, was) in &before.conditions {
            if conditions.get(condition) != Some(was) {
                self.conditions.remove(&labels(condition, was));
            }
        }
        for (condition, is) in &conditions {
            self.conditions.get_or_create(&labels(condition, is)).set(1);
        }
        (before.ready, before.conditions) = (ready, conditions);
        if status.is_none() {
            all.remove(tenant);
        }
        drop(all);
        self.backup(tenant, status);
        let trust = status.and_then(|status| find(&status.conditions, DIRECTORY_READY));
        set(&self.trust, tenant, trust.map(|said| i64::from(said.status == "True")));
    }

    fn backup(&self, tenant: &TenantName, status: Option<&TenantStatus>) {
        let set = |family, value| set(family, tenant, value);
        let said = status.and_then(|status| find(&status.conditions, PROTECTED));
        let known = said.and_then(|_| status?.backup.as_ref());
        let second = |time: &Option<Time>| time.as_ref().map(|time| time.0.as_second());
        set(&self.protected, said.map(|said| i64::from(said.status == "True")));
        set(&self.last_backup, known.and_then(|known| second(&known.last_backup)));
        set(&self.last_proof, known.and_then(|known| second(&known.last_proof)));
    }

    /// A call of a provider has come to its end, with that result and, where that means anything, after so long.
    pub(crate) fn called(
        &self,
        provider: &ProviderName,
        call: &'static str,
        result: &'static str,
        took: Option<Duration>,
    ) {
        let provider = provider.to_string();
        self.calls.get_or_create(&CallLabels { provider: provider.clone(), call, result }).inc();
        if let Some(took) = took {
            self.call_durations.get_or_create(&ByCall { provider, call }).observe(took.as_secs_f64());
        }
    }

    pub(crate) fn endpoint(&self, provider: &ProviderName, before: Option<&Health>, now: &EndpointHealth) {
        let provider = provider.to_string();
        let seen = self.seen.get_or_create_owned(&ByProvider { provider: provider.clone() });
        seen.set(i64::from(now.health == Health::Seen));
        if let Some(at) = now.observed_at {
            let observed = self.observed.get_or_create_owned(&ByProvider { provider: provider.clone() });
            observed.set(at.as_second());
        }
        if let Health::Blind(why) = &now.health
            && before != Some(&now.health)
        {
            self.errors.get_or_create(&ErrorLabels { provider, reason: why.word().to_owned() }).inc();
        }
    }

    pub(crate) fn no_endpoint(&self, provider: &ProviderName) {
        let labels = ByProvider { provider: provider.to_string() };
        self.seen.remove(&labels);
        self.observed.remove(&labels);
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
    use vertskommune_core::names::{ResourceId, ResourceKey};
    use vertskommune_core::plan::PlannedStep;
    use vertskommune_core::step::{Class, Step, Wait};

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
        metrics.reported(&tenant, Some(&status));
        let text = metrics.text();
        assert!(text.contains("vertskommune_backup_protected{tenant=\"ibestad\"} 1"), "{text}");
        let last = "vertskommune_backup_last_timestamp_seconds{tenant=\"ibestad\"} 1764000000";
        assert!(text.contains(last), "{text}");
        assert!(!text.contains("proof_timestamp_seconds{"), "never proven is no time: {text}");
        // The manifest asks for backup no more.
        status.conditions.clear();
        metrics.reported(&tenant, Some(&status));
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
            let status = with(truth.map(|truth| (DIRECTORY_READY, truth)).as_slice());
            metrics.reported(&tenant, Some(&status));
            let text = metrics.text();
            match expected {
                Some(value) => assert!(text.contains(&format!("{figure} {value}\n")), "{reason}: {text}"),
                None => assert!(!text.contains("directory_trust_valid{"), "{reason}: {text}"),
            }
        }
    }

    fn with(conditions: &[(&str, Truth)]) -> TenantStatus {
        let mut all =
            vertskommune_api::conditions::Conditions::new(&[], Some(1), jiff::Timestamp::UNIX_EPOCH);
        for (condition, truth) in conditions {
            all.set(condition, *truth, "Word", "A sentence");
        }
        TenantStatus { conditions: all.finish(), ..TenantStatus::default() }
    }

    #[test]
    fn tenants_are_counted_once_by_their_newest_ready() {
        let metrics = Metrics::new();
        let (a, b) = (TenantName::from("ibestad"), TenantName::from("dyroy"));
        metrics.reported(&a, Some(&with(&[(READY, Truth::False)])));
        metrics.reported(&b, Some(&with(&[(READY, Truth::False)])));
        metrics.reported(&a, Some(&with(&[(READY, Truth::True)])));
        metrics.reported(&b, None);
        let text = metrics.text();
        assert!(text.contains("vertskommune_tenants{ready=\"True\"} 1"), "{text}");
        assert!(text.contains("vertskommune_tenants{ready=\"False\"} 0"), "{text}");
    }

    #[test]
    fn a_condition_has_one_status_at_a_time() {
        let (metrics, tenant) = (Metrics::new(), TenantName::from("ibestad"));
        let lines = |metrics: &Metrics| -> Vec<String> {
            let text = metrics.text();
            text.lines()
                .filter(|line| line.starts_with("vertskommune_tenant_condition{"))
                .map(ToOwned::to_owned)
                .collect()
        };
        let line = |condition: &str, status: &str| {
            format!(
                "vertskommune_tenant_condition{{tenant=\"ibestad\",condition=\"{condition}\",status=\"{status}\"}} 1"
            )
        };
        metrics.reported(&tenant, Some(&with(&[(READY, Truth::False), (PROTECTED, Truth::Unknown)])));
        let mut found = lines(&metrics);
        found.sort();
        assert_eq!(found, [line(PROTECTED, "Unknown"), line(READY, "False")]);
        metrics.reported(&tenant, Some(&with(&[(READY, Truth::True)])));
        assert_eq!(lines(&metrics), [line(READY, "True")]);
        metrics.reported(&tenant, None);
        assert_eq!(lines(&metrics), Vec::<String>::new());
    }

    #[test]
    fn waiting_steps_are_told_by_their_reason_for_as_long_as_they_wait() {
        let (metrics, tenant) = (Metrics::new(), TenantName::from("ibestad"));
        let plan = |waits: &[Option<Wait>]| {
            let id = ResourceId::new(&tenant, &"vcenter".into(), ResourceKey::new("server", "a"));
            let step = Step::new(&id, "create", Class::Create, jiff::Timestamp::UNIX_EPOCH);
            let planned =
                |wait: &Option<Wait>| PlannedStep { id: step.id(), step: step.clone(), wait: wait.clone() };
            Plan {
                tenant: tenant.clone(),
                digest: String::new(),
                steps: waits.iter().map(planned).collect(),
                refusals: Vec::new(),
                findings: Vec::new(),
                doubts: Vec::new(),
                progress: Vec::new(),
                shown: Vec::new(),
                notices: Vec::new(),
                tallies: BTreeMap::new(),
                concerns: BTreeMap::new(),
                backup: None,
                directory: None,
            }
        };
        metrics.planned(
            &tenant,
            Some(&plan(&[None, Some(Wait::Word), Some(Wait::Suspended), Some(Wait::Word)])),
        );
        let text = metrics.text();
        assert!(
            text.contains("vertskommune_waiting_steps{tenant=\"ibestad\",reason=\"ApprovalNeeded\"} 2"),
            "{text}"
        );
        assert!(
            text.contains("vertskommune_waiting_steps{tenant=\"ibestad\",reason=\"Suspended\"} 1"),
            "{text}"
        );
        metrics.planned(&tenant, Some(&plan(&[Some(Wait::Suspended)])));
        let text = metrics.text();
        assert!(!text.contains("ApprovalNeeded") && text.contains("Suspended"), "{text}");
        assert!(text.contains("vertskommune_differences_shown{tenant=\"ibestad\"} 0"), "{text}");
        metrics.planned(&tenant, None);
        assert!(!metrics.text().contains("ibestad"), "{}", metrics.text());
    }
}
