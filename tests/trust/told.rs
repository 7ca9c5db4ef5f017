//! What people are told of a trust: its status by the plan, and by `why` each problem with what would help.

use jiff::Timestamp;
use serde_json::json;
use vertskommune_api::Tenant;
use vertskommune_api::conditions::{DIRECTORY_READY, find};
use vertskommune_api::status::{Outcome, StatusInput, status};
use vertskommune_api::why::{Asker, Hindrance, why};
use vertskommune_core::plan::Plan;
use vertskommune_core::reason::Reason;

/// Every problem that the status tells is told by `why` as well, with an advice for it; and nothing of a trust that works.
pub(crate) fn why_says_the_same(plan: &Plan) {
    let input = StatusInput {
        generation: Some(1),
        requested_at: None,
        outcome: Outcome::Planned(plan),
        changed: false,
        underway: &[],
        failed: &[],
    };
    let status = status(None, &input, Timestamp::now());
    let manifest = json!({
        "metadata": {"name": "ibestad", "generation": 1},
        "spec": {"displayName": "Ibestad", "networks": [], "servers": []},
    });
    let mut tenant: Tenant = serde_json::from_value(manifest).unwrap();
    let condition = find(&status.conditions, DIRECTORY_READY).unwrap().clone();
    let problems = status.directory.iter().flat_map(|directory| &directory.problems);
    let mut words: Vec<String> = problems.map(|problem| problem.reason.clone()).collect();
    if condition.status != "True" {
        words.push(condition.reason);
    }
    tenant.status = Some(status);
    let told = why(&tenant, &[], Asker { program: "vertskommune", namespace: "vertskommune-system" });
    let of_trust: Vec<&Hindrance> = told.iter().filter(|it| it.what == DIRECTORY_READY).collect();
    if words.is_empty() {
        assert!(of_trust.is_empty(), "it works: {of_trust:#?}");
    }
    for word in words {
        let hindrance =
            told.iter().find(|it| it.reason == word).unwrap_or_else(|| panic!("{word}: {told:#?}"));
        assert!(Reason::of(&word).is_some(), "{word} has no advice");
        eprintln!("why: {word}: {}", hindrance.help);
    }
}
