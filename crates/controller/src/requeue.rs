//! When a tenant is reconciled again without anything having changed: what waits for a time, or for something that
//! nobody tells.

use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use vertskommune_core::observation::Blindness;
use vertskommune_core::plan::Plan;
use vertskommune_core::step::Wait;
use vertskommune_engine::RunReport;

use crate::memory::Due;

/// How often an operation is looked at that the system itself should tell about.
pub(crate) const PROGRESS: Duration = Duration::from_secs(20);
/// How soon a turn in the budget or group of others is tried for.
const TURN: Duration = Duration::from_secs(5);
/// How soon room is looked for again.
const ROOM: Duration = Duration::from_secs(30);
/// The longest that is waited for a time alone.
const FAR: Duration = Duration::from_hours(24);
/// As many passes follow each other at once. A tenant that is not done then has a step that does not hold.
const PASSES: u32 = 20;

/// When to come back.
pub(crate) fn after(
    run: &RunReport,
    due: Due,
    passes: u32,
    retry: Option<Duration>,
    now: Timestamp,
) -> Action {
    let waits = run.plan.steps.iter().filter_map(|step| wait(step.wait.as_ref()?, now));
    let progress = is_under_way(&run.plan).then_some(PROGRESS);
    let report = match due {
        Due::In(rest) => Some(rest),
        Due::Never | Due::Now => None,
    };
    // A backup or a proof grows too old by time alone.
    let aging = run.plan.backup.as_ref().and_then(|report| Some(until(report.changes_at?, now).min(FAR)));
    let pass = (!run.outcomes.is_empty()).then(|| pass(run, passes));
    action(waits.chain(progress).chain(aging).chain(report).chain(pass).chain(retry).min())
}

/// Whether the system is at work for this tenant, or may be by the order of a controller that is no more.
pub(crate) fn is_under_way(plan: &Plan) -> bool {
    !plan.progress.is_empty()
        || plan.doubts.iter().any(|doubt| matches!(doubt.why, Blindness::MaybeInProgress(_)))
}

/// An action that comes back after that time, if any.
pub(crate) fn action(after: Option<Duration>) -> Action {
    after.map_or_else(Action::await_change, Action::requeue)
}

/// After a pass that did something comes another, to do what can be done now and to report.
fn pass(run: &RunReport, passes: u32) -> Duration {
    let sent = run.changed_anything() || run.failure().is_some();
    match passes {
        _ if !sent => Duration::from_secs(1),
        0..=PASSES => Duration::ZERO,
        _ => TURN,
    }
}

fn wait(wait: &Wait, now: Timestamp) -> Option<Duration> {
    match wait {
        Wait::Budget { .. } | Wait::Group { .. } | Wait::InUse { .. } | Wait::GuestShutdown => Some(TURN),
        Wait::InProgress { .. } | Wait::Busy(_) => Some(PROGRESS),
        Wait::Capacity { .. } | Wait::DestructionHalted { .. } => Some(ROOM),
        Wait::MaintenanceWindow { opens: Some(at) }
        | Wait::Retired { until: at }
        | Wait::Backoff { until: at, .. } => Some(until(*at, now)),
        // These end by an event: another step, a look, a manifest.
        Wait::After(_)
        | Wait::Together(_)
        | Wait::MaintenanceWindow { opens: None }
        | Wait::Word
        | Wait::Unknown(_)
        | Wait::Suspended
        | Wait::ObserveOnly
        | Wait::Refused => None,
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    // A little later than the moment itself, and never at once: the plan is made by the same clock.
    let rest = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    rest.saturating_add(Duration::from_millis(50))
}
