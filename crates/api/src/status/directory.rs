//! What a status says of the trust: whether it works, why not, and what others have to do for it.

use vertskommune_core::directory::{Direction, Report, Verdict};
use vertskommune_core::plan::Plan;
use vertskommune_core::reason::Reason;
use vertskommune_core::schema::Concern;

use crate::conditions::{Conditions, DIRECTORY_READY, ONBOARDED, Truth, cut, find};
use crate::tenant::{DirectoryStatus, TenantStatus, TrustProblem};

/// The most characters of a problem's message.
const MAX_PROBLEM: usize = 512;

/// Says whether the trust works, where the manifest asks for one, and whether all of the tenant is done.
pub(super) fn say(
    conditions: &mut Conditions<'_>,
    plan: &Plan,
    before: &TenantStatus,
) -> Option<DirectoryStatus> {
    let Some(report) = &plan.directory else {
        onboarded(conditions, plan, Truth::True, "");
        return None;
    };
    // After a start what was said before stands until the directories have been looked at.
    let said = find(&before.conditions, DIRECTORY_READY).filter(|_| report.is_not_yet_observed());
    let (truth, reason, message) = match said {
        Some(said) => (said.into(), said.reason.clone(), said.message.clone()),
        None => told(plan, report),
    };
    conditions.set(DIRECTORY_READY, truth, &reason, &message);
    onboarded(conditions, plan, truth, &message);
    let kept = said.and(before.directory.clone());
    Some(kept.unwrap_or_else(|| known(report, &reason)))
}

fn told(plan: &Plan, report: &Report) -> (Truth, String, String) {
    let about = |field: &str| field.starts_with("spec.directory");
    let say = |truth, reason: &str, message: &str| (truth, reason.to_owned(), message.to_owned());
    if let Some(finding) = plan.findings.iter().find(|it| it.blocks && about(&it.field)) {
        return say(Truth::False, finding.reason.word(), &finding.message);
    }
    let truth = match &report.verdict {
        Verdict::Unknown(..) => Truth::Unknown,
        // What is refused tells more than that nothing stands.
        Verdict::NotMade => match plan.refusals.iter().find(|refusal| about(&refusal.field)) {
            Some(refusal) => return say(Truth::False, refusal.reason.word(), &refusal.message),
            None => Truth::False,
        },
        Verdict::Troubled(_) | Verdict::OurSideOnly => Truth::False,
        Verdict::Valid => {
            let part = plan.concerns.get(&Concern::Directory);
            if part.is_some_and(|part| part.tally.ready < part.tally.total) {
                let message = format!("{}, and not as the manifest says yet: see the plan", report.line());
                return say(Truth::False, Reason::NotAllReady.word(), &message);
            }
            Truth::True
        }
    };
    say(truth, report.word(), &report.line())
}

/// Whether all of it is done: our side, and with `directory` the tenant's.
fn onboarded(conditions: &mut Conditions<'_>, plan: &Plan, directory: Truth, why: &str) {
    match directory {
        _ if !plan.doubts.is_empty() => {
            conditions.set(
                ONBOARDED,
                Truth::Unknown,
                Reason::Unknown.word(),
                "It cannot be told of everything: see Ready",
            );
        }
        _ if !plan.is_converged() => {
            conditions.set(ONBOARDED, false, Reason::NotReady.word(), "Our side is not done: see Ready");
        }
        Truth::True => conditions.set(
            ONBOARDED,
            true,
            Reason::Onboarded.word(),
            "All that the manifest asks for is done",
        ),
        Truth::False => conditions.set(ONBOARDED, false, Reason::DirectoryNotReady.word(), why),
        Truth::Unknown => conditions.set(ONBOARDED, Truth::Unknown, Reason::DirectoryUnknown.word(), why),
    }
}

fn known(report: &Report, reason: &str) -> DirectoryStatus {
    let problems = match &report.verdict {
        Verdict::Troubled(problems) => problems.as_slice(),
        _ => &[],
    };
    DirectoryStatus {
        domain: report.domain.clone(),
        trust_direction: match report.direction {
            Direction::Inbound => "Inbound",
            Direction::Outbound => "Outbound",
            Direction::Both => "Bidirectional",
        }
        .to_owned(),
        trust: reason.to_owned(),
        problems: problems
            .iter()
            .map(|problem| TrustProblem {
                reason: problem.word().to_owned(),
                message: cut(&problem.to_string(), MAX_PROBLEM),
            })
            .collect(),
        partner_commands: report.todo.clone(),
    }
}
