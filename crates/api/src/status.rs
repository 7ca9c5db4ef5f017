//! The status of a Tenant, from what the plan says of it. A report: nothing is decided here, and nothing reads it back
//! but since when a condition holds.

mod backup;
mod directory;

use jiff::Timestamp;
use vertskommune_core::names::Kind;
use vertskommune_core::observation::Blindness;
use vertskommune_core::plan::{Plan, PlannedStep, Tally};
use vertskommune_core::reason::Reason;
use vertskommune_core::render;
use vertskommune_core::schema::Concern;
use vertskommune_core::step::Wait;
use vertskommune_core::transfer::{Failed, Underway};
use vertskommune_core::violation::Violation;

use crate::conditions::{
    BACKUP_READY, Conditions, DIRECTORY_READY, FIREWALL_READY, ONBOARDED, PROTECTED, READY, SERVERS_READY,
    Truth, UP_TO_DATE, cut, find, whole_second,
};
use crate::tenant::{Counts, PlanStatus, StepStatus, TenantStatus, WaitingStatus};
use crate::{REQUESTED_AT, Tenant};

/// The most characters of the line that `kubectl get` shows.
pub const MAX_LINE: usize = 160;
/// The most steps that a status lists; `vertskommune plan` shows all.
pub const MAX_STEPS: usize = 20;

/// What a pass found out about one tenant.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// `metadata.generation` of the manifest that the pass read.
    pub generation: Option<i64>,
    /// The annotation `reconcile.fluxcd.io/requestedAt` that the pass read, see [`requested_at`].
    pub requested_at: Option<&'a str>,
    /// What came of it.
    pub outcome: Outcome<'a>,
    /// Whether the pass changed something in the real world.
    pub changed: bool,
    /// What is being moved for the tenant meanwhile.
    pub underway: &'a [Underway],
    /// What of that failed the last time it was tried.
    pub failed: &'a [Failed],
}

/// What came of a pass.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The manifest was refused.
    Refused(&'a [Violation]),
    /// There is a plan; what has been done of it is seen in the next one.
    Planned(&'a Plan),
}

/// The request that the manifest carries to look at it now.
pub fn requested_at(tenant: &Tenant) -> Option<&str> {
    tenant.metadata.annotations.as_ref()?.get(REQUESTED_AT).map(String::as_str)
}

/// The status after a pass. Equal to `previous` where there is nothing new to write.
pub fn status(previous: Option<&TenantStatus>, input: &StatusInput<'_>, now: Timestamp) -> TenantStatus {
    let before = previous.cloned().unwrap_or_default();
    if says_nothing_new(&before, input) {
        return before;
    }
    let mut conditions = Conditions::new(&before.conditions, input.generation, now);
    let (message, servers, firewall, backup, directory, plan) = match input.outcome {
        Outcome::Refused(violations) => {
            let message = refused(violations);
            say_refused(&mut conditions, &message, &before);
            (message, before.servers, before.firewall, before.backup, before.directory, None)
        }
        Outcome::Planned(plan) => {
            say_planned(&mut conditions, plan);
            let firewall =
                plan.concerns.contains_key(&Concern::Firewall).then(|| counts(tally(plan, "policy")));
            let backup = backup::say(&mut conditions, plan, input.failed, &before);
            let directory = directory::say(&mut conditions, plan, &before);
            let servers = Some(counts(tally(plan, "server")));
            (
                render::status_line_meanwhile(plan, input.underway),
                servers,
                firewall,
                backup,
                directory,
                plan_status(plan),
            )
        }
    };
    TenantStatus {
        observed_generation: input.generation,
        last_handled_reconcile_at: input.requested_at.map(ToOwned::to_owned),
        conditions: conditions.finish(),
        message: Some(cut(&message, MAX_LINE)),
        servers,
        firewall,
        backup,
        directory,
        plan,
        last_changed: if input.changed { Some(whole_second(now)) } else { before.last_changed },
    }
}

/// Whether the change from one status to the next is a transition, which is written at once, and not mere progress,
/// which is written now and then.
pub fn is_transition(previous: Option<&TenantStatus>, next: &TenantStatus) -> bool {
    fn heads(status: &TenantStatus) -> impl Iterator<Item = (&str, &str, &str)> {
        status.conditions.iter().map(|it| (it.type_.as_str(), it.status.as_str(), it.reason.as_str()))
    }
    previous.is_none_or(|previous| {
        previous.observed_generation != next.observed_generation
            || previous.last_handled_reconcile_at != next.last_handled_reconcile_at
            || !heads(previous).eq(heads(next))
    })
}

/// After a start nothing has been looked at yet. That is no news: what was reported before still stands.
fn says_nothing_new(before: &TenantStatus, input: &StatusInput<'_>) -> bool {
    let Outcome::Planned(plan) = input.outcome else { return false };
    let blind =
        !plan.doubts.is_empty() && plan.doubts.iter().all(|doubt| doubt.why == Blindness::NotYetObserved);
    let current = before.observed_generation == input.generation && !before.conditions.is_empty();
    blind && current && !plan.findings.iter().any(|finding| finding.blocks)
}

fn refused(violations: &[Violation]) -> String {
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    match all.len() {
        0 => "Refused: the manifest is wrong".to_owned(),
        1 => format!("Refused: {}", all[0]),
        count => format!("Refused ({count} violations): {}", all.join("; ")),
    }
}

/// A refused manifest says nothing of what is there, which is still shown.
fn say_refused(conditions: &mut Conditions<'_>, message: &str, before: &TenantStatus) {
    conditions.set(READY, false, Reason::Refused.word(), message);
    conditions.stalled(Reason::Refused.word(), message);
    let said = |kind: &&str| find(&before.conditions, kind).is_some();
    let others = [BACKUP_READY, PROTECTED, DIRECTORY_READY, ONBOARDED].into_iter().filter(said);
    for kind in [SERVERS_READY, UP_TO_DATE].into_iter().chain(others) {
        let message = "The manifest was refused, so nothing is compared with it";
        conditions.set(kind, Truth::Unknown, Reason::Refused.word(), message);
    }
}

fn say_planned(conditions: &mut Conditions<'_>, plan: &Plan) {
    let line = render::status_line(plan);
    let converged = plan.is_converged();
    let reason = if converged { Reason::Converged.word() } else { hindrance(plan) };
    let truth = if plan.doubts.is_empty() { converged.into() } else { Truth::Unknown };
    conditions.set(READY, truth, reason, &line);
    match course(plan) {
        Course::Resting => {}
        Course::Moving => conditions.reconciling(reason, &line),
        Course::Stuck => conditions.stalled(reason, &line),
    }
    say_servers(conditions, plan);
    say_firewall(conditions, plan);
    say_up_to_date(conditions, plan);
}

/// Whether a tenant gets on by itself.
enum Course {
    /// There is nothing to do, or a person has said that nothing is to be done.
    Resting,
    /// Something is done, or tried again.
    Moving,
    /// Nothing goes on until a person changes something.
    Stuck,
}

fn course(plan: &Plan) -> Course {
    let held = |step: &PlannedStep| matches!(step.wait, Some(Wait::Suspended | Wait::ObserveOnly));
    let moves = |step: &PlannedStep| match &step.wait {
        None => true,
        Some(Wait::Unknown(blindness)) => !needs_person(blindness),
        Some(
            Wait::Suspended | Wait::ObserveOnly | Wait::Refused | Wait::DestructionHalted { .. } | Wait::GuestShutdown
            // It follows the step that it waits for.
            | Wait::After(_) | Wait::Together(_) | Wait::Group { .. },
        ) => false,
        Some(_) => !step.is_deferred(),
    };
    let moving = !plan.progress.is_empty()
        || plan.steps.iter().any(moves)
        || plan.doubts.iter().any(|doubt| !needs_person(&doubt.why));
    let asked =
        !plan.refusals.is_empty() || !plan.doubts.is_empty() || plan.findings.iter().any(|it| it.blocks);
    match () {
        () if plan.is_converged() => Course::Resting,
        () if moving => Course::Moving,
        () if !asked && plan.steps.iter().any(held) => Course::Resting,
        () => Course::Stuck,
    }
}

/// Whether sight comes back only when a person mends something.
fn needs_person(blindness: &Blindness) -> bool {
    match blindness {
        Blindness::Misidentified { .. }
        | Blindness::CredentialsRefused
        | Blindness::NoSight(_)
        | Blindness::Refuses { .. }
        | Blindness::AllVanished
        | Blindness::Ambiguous(_) => true,
        Blindness::NotYetObserved
        | Blindness::Unreachable(_)
        | Blindness::Incomplete(_)
        | Blindness::MaybeInProgress(_) => false,
    }
}

/// What keeps a plan from being converged, as a word; in the order in which [`render::status_line`] tells it.
fn hindrance(plan: &Plan) -> &'static str {
    if let Some(finding) = plan.findings.iter().find(|finding| finding.blocks) {
        finding.reason.word()
    } else if let Some(refusal) = plan.refusals.first() {
        refusal.reason.word()
    } else if let Some(doubt) = plan.doubts.first() {
        doubt.why.word()
    } else if !plan.progress.is_empty() || plan.ready().next().is_some() {
        Reason::Progressing.word()
    } else {
        plan.steps.iter().find_map(|step| step.wait.as_ref()).map_or(Reason::Progressing.word(), Wait::word)
    }
}

fn tally(plan: &Plan, kind: &str) -> Tally {
    plan.tallies.get(&Kind::from(kind)).copied().unwrap_or_default()
}

fn counts(tally: Tally) -> Counts {
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    Counts {
        ready: number(tally.ready),
        total: number(tally.total),
        summary: format!("{}/{}", tally.ready, tally.total),
    }
}

fn say_servers(conditions: &mut Conditions<'_>, plan: &Plan) {
    let tally = tally(plan, "server");
    let message = format!("{} of {} servers are as the manifest says", tally.ready, tally.total);
    match plan.doubts.iter().find(|doubt| doubt.id.key.kind.as_str() == "server") {
        Some(doubt) => {
            let message = format!("{message}; {} is unknown: {}", doubt.id.key.name, doubt.why);
            conditions.set(SERVERS_READY, Truth::Unknown, doubt.why.word(), &message);
        }
        None if tally.ready == tally.total => {
            conditions.set(SERVERS_READY, true, Reason::AllReady.word(), &message);
        }
        None => conditions.set(SERVERS_READY, false, Reason::NotAllReady.word(), &message),
    }
}

/// Rules are counted, but addresses, services and interfaces belong to it as well.
fn say_firewall(conditions: &mut Conditions<'_>, plan: &Plan) {
    let Some(part) = plan.concerns.get(&Concern::Firewall) else { return };
    let rules = tally(plan, "policy");
    let message = format!("{} of {} rules are as the manifest says", rules.ready, rules.total);
    match &part.doubt {
        Some(doubt) => {
            let message = format!("{message}; {} is unknown: {}", doubt.id.key, doubt.why);
            conditions.set(FIREWALL_READY, Truth::Unknown, doubt.why.word(), &message);
        }
        None if part.tally.ready == part.tally.total => {
            conditions.set(FIREWALL_READY, true, Reason::AllReady.word(), &message);
        }
        None => conditions.set(FIREWALL_READY, false, Reason::NotAllReady.word(), &message),
    }
}

fn say_up_to_date(conditions: &mut Conditions<'_>, plan: &Plan) {
    let line = render::capital(&render::headline(plan));
    let settled = plan.is_empty() && !plan.findings.iter().any(|finding| finding.blocks);
    match plan.doubts.first() {
        Some(doubt) => conditions.set(UP_TO_DATE, Truth::Unknown, doubt.why.word(), &line),
        None if settled && plan.shown.is_empty() => {
            conditions.set(UP_TO_DATE, true, Reason::UpToDate.word(), &line);
        }
        None if settled => conditions.set(UP_TO_DATE, false, Reason::Drifted.word(), &line),
        None if plan.is_converged() => conditions.set(UP_TO_DATE, false, Reason::Deferred.word(), &line),
        None => conditions.set(UP_TO_DATE, false, Reason::Outdated.word(), &line),
    }
}

fn plan_status(plan: &Plan) -> Option<PlanStatus> {
    let steps = || plan.steps.iter().take(MAX_STEPS).map(step_status);
    (!plan.steps.is_empty()).then(|| PlanStatus {
        digest: plan.digest.clone(),
        total: i32::try_from(plan.steps.len()).unwrap_or(i32::MAX),
        steps: steps().collect(),
    })
}

fn step_status(planned: &PlannedStep) -> StepStatus {
    let waiting = |wait: &Wait| WaitingStatus {
        reason: wait.word().to_owned(),
        message: cut(&wait.to_string(), MAX_LINE),
    };
    StepStatus {
        id: planned.id.short().to_owned(),
        summary: cut(&format!("{}: {}", planned.step.resource.key, planned.step.summary), MAX_LINE),
        class: planned.step.class.to_string(),
        waiting: planned.wait.as_ref().map(waiting),
    }
}

#[cfg(test)]
mod tests;
