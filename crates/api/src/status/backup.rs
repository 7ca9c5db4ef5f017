//! What a status says of backup: whether it stands ready, and whether the tenant is protected.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use vertskommune_core::backup::Report;
use vertskommune_core::backup::report::Verdict;
use vertskommune_core::check::FindingReason;
use vertskommune_core::plan::Plan;
use vertskommune_core::reason::Reason;
use vertskommune_core::render;
use vertskommune_core::schema::Concern;
use vertskommune_core::transfer::{Failed, Work};

use crate::conditions::{BACKUP_READY, Conditions, PROTECTED, Truth, find, whole_second};
use crate::tenant::{BackupStatus, ServerBackupStatus, TenantStatus};

/// Says both conditions, where the manifest asks for backup, and what is known of the backups.
pub(super) fn say(
    conditions: &mut Conditions<'_>,
    plan: &Plan,
    failed: &[Failed],
    before: &TenantStatus,
) -> Option<BackupStatus> {
    let report = plan.backup.as_ref()?;
    ready(conditions, plan, failed.iter().rfind(|failed| stands(report, failed)));
    // After a start what was said before stands until the second room has been looked at.
    let said = find(&before.conditions, PROTECTED).filter(|_| report.is_not_yet_observed());
    if let Some(said) = said {
        conditions.set(PROTECTED, said, &said.reason, &said.message);
        return before.backup.clone();
    }
    let truth = match report.verdict {
        Verdict::Protected => Truth::True,
        Verdict::Unprotected => Truth::False,
        Verdict::Unknown => Truth::Unknown,
    };
    conditions.set(PROTECTED, truth, report.word(), &sentence(report));
    // What lies there is not seen, which does not make it nothing.
    let said = before.backup.as_ref().filter(|_| report.knows_nothing());
    Some(said.cloned().unwrap_or_else(|| known(report)))
}

/// Whether nothing came after a failure that makes it a thing of the past.
fn stands(report: &Report, failed: &Failed) -> bool {
    let server = report.servers.iter().find(|server| server.name == failed.transfer.server);
    let last = server.and_then(|server| match &failed.transfer.work {
        Work::Backup => Some(server.last_backup),
        // Where another disk is well that says nothing of this one.
        Work::Proof { disk } => server.restored.get(disk).copied(),
    });
    last.is_some_and(|last| last.is_none_or(|last| last < failed.at))
}

/// Whether accounts, repository and schedule stand, and what is done by it succeeds.
fn ready(conditions: &mut Conditions<'_>, plan: &Plan, failed: Option<&Failed>) {
    let about = |field: &str| field.starts_with("spec.backup");
    let blocked = plan.findings.iter().find(|finding| finding.blocks && about(&finding.field));
    let refused = plan.refusals.iter().find(|refusal| about(&refusal.field));
    let short = plan.findings.iter().find(|it| it.reason == FindingReason::BackupWindowTooShort);
    let part = plan.concerns.get(&Concern::Backup);
    let doubt = part.and_then(|part| part.doubt.as_ref());
    let mut set = |truth: Truth, reason, message: &str| conditions.set(BACKUP_READY, truth, reason, message);
    if let Some(finding) = blocked {
        set(Truth::False, finding.reason.word(), &finding.message);
    } else if let Some(refusal) = refused {
        set(Truth::False, refusal.reason.word(), &refusal.message);
    } else if let Some(doubt) = doubt {
        set(Truth::Unknown, doubt.why.word(), &format!("{} is unknown: {}", doubt.id.key, doubt.why));
    } else if part.is_some_and(|part| part.tally.ready < part.tally.total) {
        set(Truth::False, Reason::NotAllReady.word(), "What backup needs in the second room is not complete");
    } else if let Some(failed) = failed {
        let reason = match failed.transfer.work {
            Work::Backup => Reason::BackupFailed.word(),
            Work::Proof { .. } => Reason::ProofFailed.word(),
        };
        set(Truth::False, reason, &render::capital(&failed.to_string()));
    } else if let Some(finding) = short {
        set(Truth::False, finding.reason.word(), &finding.message);
    } else if part.is_some_and(|part| part.tally.total == 0) {
        let message =
            "Another product takes the backups, so that nothing of ours has to stand in the second room";
        set(Truth::True, Reason::External.word(), message);
    } else if part.is_some() {
        set(
            Truth::True,
            Reason::AllReady.word(),
            "What backup needs in the second room stands, and its schedule fits",
        );
    } else {
        set(
            Truth::Unknown,
            Reason::Pending.word(),
            "The provider says of nothing that backup needs it there",
        );
    }
}

fn sentence(report: &Report) -> String {
    match Reason::of(report.word()) {
        Some(Reason::NothingToBackUp) => "There is no server that is to be backed up".to_owned(),
        Some(Reason::FreshAndProven) => {
            "Every server has a backup in another room that is younger than spec.backup.maxAge, proven by a restore that \
             is younger than spec.backup.proof.maxAge"
                .to_owned()
        }
        _ => report.line(),
    }
}

fn known(report: &Report) -> BackupStatus {
    let problem = |name: &str| {
        let of = report.problems.iter().find(|problem| problem.server.as_deref() == Some(name));
        of.map(|problem| problem.reason.word().to_owned())
    };
    BackupStatus {
        last_backup: time(report.last_backup),
        last_proof: time(report.last_proof),
        size: size(report.bytes),
        servers: report
            .servers
            .iter()
            .map(|server| ServerBackupStatus {
                name: server.name.clone(),
                last_backup: time(server.last_backup),
                last_proof: time(server.last_proof),
                size: size(server.bytes),
                problem: problem(&server.name),
                hindered_by: server.hindered_by.iter().map(|why| why.word().to_owned()).collect(),
            })
            .collect(),
    }
}

fn time(at: Option<Timestamp>) -> Option<Time> {
    at.map(whole_second)
}

fn size(bytes: u64) -> Option<String> {
    (bytes > 0).then(|| render::size(bytes))
}
