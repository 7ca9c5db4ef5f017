//! What people are told of a trust: its status by the plan, and by `why` each problem with what would help.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;
use vertskommune_api::conditions::{DIRECTORY_READY, find};
use vertskommune_api::status::{Outcome, StatusInput, status};
use vertskommune_api::why::{Asker, Hindrance, why};
use vertskommune_api::{Tenant, TenantStatus};
use vertskommune_controller::told::of_statuses;
use vertskommune_core::plan::Plan;
use vertskommune_core::reason::{About, Reason, Who};
use vertskommune_tests::whys::Told;

const ASKER: Asker<'_> = Asker { program: "vertskommune", namespace: "vertskommune-system" };

/// Every problem that the status tells is told by `why` as well, with the advice for it; and nothing of a trust that works.
pub(crate) fn why_says_the_same(plan: &Plan, told: &Told) {
    let status = status_of(plan);
    let manifest = json!({
        "metadata": {"name": "ibestad", "generation": 1},
        "spec": {"displayName": "Ibestad", "networks": [], "servers": []},
    });
    let mut tenant: Tenant = serde_json::from_value(manifest).unwrap();
    tenant.status = Some(status.clone());
    let hindrances = why(&tenant, &[], ASKER);
    let directory = find(&status.conditions, DIRECTORY_READY).unwrap();
    let problems = status.directory.iter().flat_map(|directory| &directory.problems);
    let mut words: Vec<&str> = problems.map(|problem| problem.reason.as_str()).collect();
    if directory.status != "True" && !words.contains(&directory.reason.as_str()) {
        words.push(&directory.reason);
    }
    if words.is_empty() {
        let of_trust: Vec<&Hindrance> = hindrances.iter().filter(|it| it.what == DIRECTORY_READY).collect();
        assert!(of_trust.is_empty(), "it works: {of_trust:#?}");
    }
    let about =
        About { program: ASKER.program, tenant: "ibestad", namespace: ASKER.namespace, ..About::default() };
    for word in words {
        let reason = Reason::of(word).unwrap_or_else(|| panic!("{word} has no advice"));
        if reason.who() == Who::Other && hindrances.iter().any(|it| it.reason != word) {
            continue;
        }
        let hindrance = hindrances.iter().find(|it| it.reason == word);
        let hindrance = hindrance.unwrap_or_else(|| panic!("{word}: {hindrances:#?}"));
        if hindrance.what == DIRECTORY_READY {
            assert_eq!(hindrance.help, reason.advice(&about), "{word}");
        }
        eprintln!("why: {word}: {}", hindrance.help);
    }
    remember(&status.conditions, &hindrances, told);
}

/// What a controller would answer at `/metrics` of such a plan.
pub(crate) fn metrics(plan: &Plan) -> String {
    of_statuses([("ibestad", &status_of(plan))])
}

fn status_of(plan: &Plan) -> TenantStatus {
    let input = StatusInput {
        generation: Some(1),
        requested_at: None,
        outcome: Outcome::Planned(plan),
        changed: false,
        underway: &[],
        failed: &[],
    };
    status(None, &input, Timestamp::now())
}

/// Remembers what was told. What a problem explains that was told before it goes with that one, and is none of its own cause.
fn remember(conditions: &[Condition], hindrances: &[Hindrance], told: &Told) {
    let first = find(conditions, DIRECTORY_READY).map(|it| it.reason.as_str());
    for hindrance in hindrances {
        if hindrance.what != DIRECTORY_READY || Some(hindrance.reason.as_str()) == first {
            told.by_its_cause(&hindrance.reason);
        }
    }
    let unsaid = conditions.iter().filter(|it| it.status != "True");
    for condition in unsaid.filter(|_| !hindrances.is_empty()) {
        told.behind_another(&condition.reason);
    }
    if hindrances.is_empty() {
        told.cleared();
    }
}
