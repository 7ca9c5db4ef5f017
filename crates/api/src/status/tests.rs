//! One converged plan, one change, and what the status then says; every status is held against the rules of conditions.

mod backup;
mod directory;

use std::collections::BTreeMap;

use vertskommune_core::check::{Finding, FindingReason};
use vertskommune_core::difference::Shown;
use vertskommune_core::names::{ResourceId, ResourceKey};
use vertskommune_core::plan::{Doubt, Part, Progress};
use vertskommune_core::resource::Value;
use vertskommune_core::step::{Class, Refusal, RefusalReason, Step};

use super::*;
use crate::conditions::{RECONCILING, STALLED, check, find};

fn now() -> Timestamp {
    "2026-11-24T12:00:00.5Z".parse().unwrap()
}

fn server() -> ResourceId {
    ResourceId::new(&"ibestad".into(), &"vcenter-main".into(), ResourceKey::new("server", "ibe-fs01"))
}

fn converged() -> Plan {
    Plan {
        tenant: "ibestad".into(),
        digest: "d1".to_owned(),
        steps: vec![],
        refusals: vec![],
        findings: vec![],
        doubts: vec![],
        progress: vec![],
        shown: vec![],
        notices: vec![],
        tallies: BTreeMap::from([(Kind::from("server"), Tally { ready: 12, total: 12 })]),
        concerns: BTreeMap::new(),
        backup: None,
        directory: None,
    }
}

fn step(class: Class, wait: Option<Wait>) -> PlannedStep {
    let mut step = Step::new(&server(), "reconfigure", class, now());
    "set memory to 16Gi".clone_into(&mut step.summary);
    PlannedStep { id: step.id(), step, wait }
}

fn doubt(why: Blindness) -> Doubt {
    Doubt { id: server(), why }
}

fn input(plan: &Plan) -> StatusInput<'_> {
    StatusInput {
        generation: Some(4),
        requested_at: None,
        outcome: Outcome::Planned(plan),
        changed: false,
        underway: &[],
        failed: &[],
    }
}

/// The conditions in short: status and reason of Ready, then those that are there only while true, then UpToDate.
fn short(status: &TenantStatus) -> String {
    let of = |kind: &str| find(&status.conditions, kind);
    let mut parts = vec![of(READY).map(|it| format!("{} {}", it.status, it.reason)).unwrap()];
    parts.extend([RECONCILING, STALLED].into_iter().filter(|kind| of(kind).is_some()).map(ToOwned::to_owned));
    parts.push(of(UP_TO_DATE).map(|it| it.status.clone()).unwrap());
    parts.join(", ")
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn each_state_of_a_plan_has_its_conditions() {
    type Change = fn(&mut Plan);
    let cases: [(&str, Change, &str); 18] = [
        ("nothing to do", |_| {}, "True Converged, True"),
        (
            "a step is done next",
            |it| it.steps.push(step(Class::Create, None)),
            "False Progressing, Reconciling, False",
        ),
        (
            "an operation is under way",
            |it| {
                it.progress.push(Progress {
                    id: server(),
                    operation: "Cloning".to_owned(),
                    percent: Some(62),
                });
            },
            "False Progressing, Reconciling, False",
        ),
        (
            "a restart waits for a window",
            |it| it.steps.push(step(Class::Restart, Some(Wait::MaintenanceWindow { opens: None }))),
            "True Converged, False",
        ),
        (
            "destruction waits for a word",
            |it| it.steps.push(step(Class::Destroy, Some(Wait::Word))),
            "True Converged, False",
        ),
        (
            "a difference is only shown",
            |it| {
                it.shown.push(Shown {
                    id: server(),
                    field: "vcpus".to_owned(),
                    from: None,
                    to: Value::known(4),
                });
            },
            "True Converged, False",
        ),
        (
            "a failed step is tried again",
            |it| {
                it.steps
                    .push(step(Class::Create, Some(Wait::Backoff { until: now(), error: "no".to_owned() })));
            },
            "False RetryLater, Reconciling, False",
        ),
        (
            "there is no room",
            |it| {
                it.steps.push(step(
                    Class::Create,
                    Some(Wait::Capacity { what: "memory".to_owned(), needs: 2, free: 1 }),
                ));
            },
            "False InsufficientCapacity, Reconciling, False",
        ),
        (
            "the tenant is suspended",
            |it| it.steps.push(step(Class::Change, Some(Wait::Suspended))),
            "False Suspended, False",
        ),
        (
            "the provider is only observed",
            |it| it.steps.push(step(Class::Change, Some(Wait::ObserveOnly))),
            "False ObserveOnly, False",
        ),
        (
            "the guest does not shut down",
            |it| it.steps.push(step(Class::Restart, Some(Wait::GuestShutdown))),
            "False GuestShutdownPending, Stalled, False",
        ),
        ("a server is lost", |it| it.refusals.push(lost()), "False Lost, Stalled, False"),
        (
            "a server is lost and another is made",
            |it| {
                it.refusals.push(lost());
                it.steps.push(step(Class::Create, None));
            },
            "False Lost, Reconciling, False",
        ),
        (
            "another tenant has the VLAN",
            |it| it.findings.push(collision()),
            "False Collision, Stalled, False",
        ),
        (
            "the endpoint does not answer",
            |it| it.doubts.push(doubt(Blindness::Unreachable("timeout".to_owned()))),
            "Unknown Unreachable, Reconciling, Unknown",
        ),
        (
            "the endpoint refuses the credentials",
            |it| it.doubts.push(doubt(Blindness::CredentialsRefused)),
            "Unknown CredentialsRefused, Stalled, Unknown",
        ),
        (
            "everything vanished",
            |it| it.doubts.push(doubt(Blindness::AllVanished)),
            "Unknown AllVanished, Stalled, Unknown",
        ),
        (
            "nothing was looked at yet",
            |it| it.doubts.push(doubt(Blindness::NotYetObserved)),
            "Unknown NotYetObserved, Reconciling, Unknown",
        ),
    ];
    for (case, change, expected) in cases {
        let mut plan = converged();
        change(&mut plan);
        let status = status(None, &input(&plan), now());
        check::all(&status.conditions, Some(4));
        assert_eq!(short(&status), expected, "{case}");
    }
}

#[test]
fn a_firewall_has_a_condition_and_a_count_where_the_manifest_has_one() {
    let of = |plan: &Plan| {
        let status = status(None, &input(plan), now());
        check::all(&status.conditions, Some(4));
        let ready = find(&status.conditions, FIREWALL_READY).map(|it| format!("{} {}", it.status, it.reason));
        (ready, status.firewall.map(|counts| counts.summary))
    };
    assert_eq!(of(&converged()), (None, None));
    let with = |ready: u32, doubt: Option<Blindness>| {
        let mut plan = converged();
        plan.tallies.insert(Kind::from("policy"), Tally { ready: 20, total: 31 });
        let id =
            ResourceId::new(&"ibestad".into(), &"fortigate-main".into(), ResourceKey::new("policy", "dns"));
        let doubt = doubt.map(|why| Doubt { id, why });
        plan.concerns.insert(Concern::Firewall, Part { tally: Tally { ready, total: 48 }, doubt });
        plan
    };
    let count = Some("20/31".to_owned());
    for (plan, expected) in [
        (with(48, None), "True AllReady"),
        (with(30, None), "False NotAllReady"),
        (with(48, Some(Blindness::NoSight("firewall/policy".to_owned()))), "Unknown NoSight"),
    ] {
        assert_eq!(of(&plan), (Some(expected.to_owned()), count.clone()));
    }
}

fn lost() -> Refusal {
    let (field, message) = ("spec.servers[0]".to_owned(), "ibe-fs01 is gone".to_owned());
    Refusal { resource: server(), field, reason: RefusalReason::Lost, message }
}

fn collision() -> Finding {
    Finding {
        field: "spec.networks[0].vlan".to_owned(),
        reason: FindingReason::Collision,
        with: Some("dyroy".into()),
        message: "dyroy has 1310".to_owned(),
        blocks: true,
    }
}

#[test]
fn a_refused_manifest_says_all_and_keeps_what_was_known() {
    let plan = converged();
    let before = status(None, &input(&plan), now());
    let violations = [
        Violation::new("spec.networks[0].vlan", "0 is out of range"),
        Violation::new("spec.compute", "is missing"),
    ];
    let refused = StatusInput { generation: Some(5), outcome: Outcome::Refused(&violations), ..input(&plan) };
    let after = status(Some(&before), &refused, now());
    check::all(&after.conditions, Some(5));
    assert_eq!(short(&after), "False Refused, Stalled, Unknown");
    let message =
        "Refused (2 violations): spec.networks[0].vlan: 0 is out of range; spec.compute: is missing";
    assert_eq!(after.message.as_deref(), Some(message));
    assert_eq!(after.servers.map(|servers| servers.summary).as_deref(), Some("12/12"));
}

#[test]
fn the_same_world_gives_the_same_status() {
    let plan = converged();
    let first = status(None, &input(&plan), now());
    let later = now() + jiff::SignedDuration::from_hours(5);
    assert_eq!(status(Some(&first), &input(&plan), later), first);
    // What the API server gives back is what was written.
    let read: TenantStatus = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
    assert_eq!(status(Some(&read), &input(&plan), later), read);
}

#[test]
fn a_start_that_has_not_looked_yet_says_nothing_new() {
    let before = status(None, &input(&converged()), now());
    let mut plan = converged();
    plan.doubts.push(doubt(Blindness::NotYetObserved));
    assert_eq!(status(Some(&before), &input(&plan), now()), before);
    let newer = StatusInput { generation: Some(5), ..input(&plan) };
    assert_eq!(short(&status(Some(&before), &newer, now())), "Unknown NotYetObserved, Reconciling, Unknown");
}

#[test]
fn progress_is_no_transition_and_a_new_state_is() {
    let cloning = |percent| {
        let mut plan = converged();
        plan.progress.push(Progress {
            id: server(),
            operation: "Cloning".to_owned(),
            percent: Some(percent),
        });
        status(None, &input(&plan), now())
    };
    let (some, more, done) = (cloning(10), cloning(20), status(None, &input(&converged()), now()));
    assert_eq!(some.message.as_deref(), Some("Cloning ibe-fs01 on vcenter-main (10%)"));
    assert_ne!(some, more);
    assert!(
        !is_transition(Some(&some), &more) && is_transition(Some(&more), &done) && is_transition(None, &some)
    );
}

#[test]
fn a_request_is_answered_and_a_change_is_dated() {
    let plan = converged();
    let asked = StatusInput { requested_at: Some("2026-11-24T11:59:00Z"), changed: true, ..input(&plan) };
    let status = status(None, &asked, now());
    assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("2026-11-24T11:59:00Z"));
    assert_eq!(status.last_changed.map(|time| time.0.to_string()).as_deref(), Some("2026-11-24T12:00:00Z"));
}

#[test]
fn a_long_plan_is_cut() {
    let mut plan = converged();
    plan.steps = vec![step(Class::Create, None); 500];
    plan.steps[0].step.summary = "ø".repeat(1000);
    let plan = status(None, &input(&plan), now()).plan.unwrap();
    assert_eq!((plan.total, plan.steps.len()), (500, MAX_STEPS));
    assert!(plan.steps.iter().all(|step| step.summary.chars().count() <= MAX_LINE && step.id.len() == 12));
}
