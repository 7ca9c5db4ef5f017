use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use vertskommune_api::TenantStatus;
use vertskommune_api::conditions::{DIRECTORY_READY, PROTECTED, READY, Truth};
use vertskommune_api::tenant::BackupStatus;
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey};
use vertskommune_core::observation::Blindness;
use vertskommune_core::plan::{Plan, PlannedStep};
use vertskommune_core::step::{Class, Step, Wait};
use vertskommune_engine::{EndpointHealth, Health};

use super::*;

#[test]
fn a_tenant_with_a_backup_has_figures_of_its_own_until_it_is_gone() {
    let (metrics, tenant) = (Metrics::new(), TenantName::from("ibestad"));
    let at = |second| Some(Time(jiff::Timestamp::from_second(second).unwrap()));
    let mut conditions =
        vertskommune_api::conditions::Conditions::new(&[], Some(1), jiff::Timestamp::UNIX_EPOCH);
    conditions.set(PROTECTED, true, "FreshAndProven", "All is well");
    let backup = BackupStatus { last_backup: at(1_764_000_000), last_proof: None, ..BackupStatus::default() };
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
    let mut all = vertskommune_api::conditions::Conditions::new(&[], Some(1), jiff::Timestamp::UNIX_EPOCH);
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
            "vertskommune_tenant_condition{{tenant=\"ibestad\",condition=\"{condition}\",status=\"{status}\",reason=\"Word\"}} 1"
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
    metrics.planned(&tenant, Some(&plan(&[None, Some(Wait::Word), Some(Wait::Suspended), Some(Wait::Word)])));
    let text = metrics.text();
    assert!(
        text.contains("vertskommune_waiting_steps{tenant=\"ibestad\",reason=\"ApprovalNeeded\"} 2"),
        "{text}"
    );
    assert!(text.contains("vertskommune_waiting_steps{tenant=\"ibestad\",reason=\"Suspended\"} 1"), "{text}");
    metrics.planned(&tenant, Some(&plan(&[Some(Wait::Suspended)])));
    let text = metrics.text();
    assert!(!text.contains("ApprovalNeeded") && text.contains("Suspended"), "{text}");
    assert!(text.contains("vertskommune_differences_shown{tenant=\"ibestad\"} 0"), "{text}");
    metrics.planned(&tenant, None);
    assert!(!metrics.text().contains("ibestad"), "{}", metrics.text());
}

#[tokio::test(start_paused = true)]
async fn a_pass_is_told_while_it_is_asked_for_and_while_it_is_under_way() {
    let (metrics, tenant) = (Metrics::new(), TenantName::from("ibestad"));
    let told = |figures: [(&str, &str); 3]| {
        let text = metrics.text();
        for (figure, value) in figures {
            assert!(text.contains(&format!("vertskommune_{figure} {value}\n")), "{figure} {value}: {text}");
        }
    };
    let all = |queued, active, oldest| {
        [("queue_depth", queued), ("reconciles_active", active), ("reconcile_oldest_age_seconds", oldest)]
    };
    told(all("0", "0", "0.0"));
    metrics.queued(&tenant);
    metrics.queued(&tenant);
    told(all("1", "0", "0.0"));
    let first = metrics.reconciling(&tenant);
    tokio::time::advance(Duration::from_secs(90)).await;
    let second = metrics.reconciling(&TenantName::from("dyroy"));
    metrics.queued(&tenant);
    told(all("1", "2", "90.0"));
    drop(first);
    metrics.not_there(&tenant);
    told(all("0", "1", "0.0"));
    drop(second);
    told(all("0", "0", "0.0"));
}

#[test]
fn why_an_endpoint_is_not_seen_is_told_for_as_long_as_it_is_not() {
    let (metrics, provider) = (Metrics::new(), ProviderName::from("vcenter-main"));
    let reasons = |metrics: &Metrics| -> Vec<String> {
        let text = metrics.text();
        text.lines()
            .filter(|line| line.starts_with("vertskommune_endpoint_blind{"))
            .map(ToOwned::to_owned)
            .collect()
    };
    let health = |health| EndpointHealth { health, version: String::new(), observed_at: None };
    let blind = |why: Blindness| health(Health::Blind(why));
    metrics.endpoint(&provider, None, &blind(Blindness::CredentialsRefused));
    metrics.endpoint(&provider, None, &blind(Blindness::NotYetObserved));
    let line = |reason: &str| {
        format!("vertskommune_endpoint_blind{{provider=\"vcenter-main\",reason=\"{reason}\"}} 1")
    };
    assert_eq!(reasons(&metrics), [line("NotYetObserved")]);
    metrics.endpoint(&provider, None, &health(Health::Seen));
    assert_eq!(reasons(&metrics), Vec::<String>::new());
    metrics.endpoint(&provider, None, &blind(Blindness::CredentialsRefused));
    metrics.no_endpoint(&provider);
    assert_eq!(reasons(&metrics), Vec::<String>::new());
}

#[test]
fn calls_that_are_put_off_are_counted_by_their_provider() {
    let (metrics, provider) = (Metrics::new(), ProviderName::from("fortigate-main"));
    let busy = vertskommune_provider::ProviderError::Throttled { retry_after: None };
    metrics.called(&provider, "look", busy.word(), None);
    metrics.called(&provider, "look", "Ok", None);
    let text = metrics.text();
    assert!(
        text.contains("vertskommune_provider_throttles_total{provider=\"fortigate-main\"} 1\n"),
        "{text}"
    );
}
