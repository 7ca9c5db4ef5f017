//! Causes that are not made here with real peers, since a backup does not grow old within a test, and broken trusts are tested with real
//! domain controllers elsewhere: a tenant's real status gets the condition that such a cause gives it, and the controller's own metrics
//! tell of that.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use vertskommune_api::TenantStatus;
use vertskommune_api::conditions::{Conditions, DIRECTORY_READY, PROTECTED, READY, Truth};
use vertskommune_api::tenant::BackupStatus;
use vertskommune_controller::told::of_statuses;
use vertskommune_core::reason::Reason;

use super::watch::{Case, Watch};
use crate::stage::Stage;

const HOUR: u32 = 3600;
const DAY: u32 = 24 * HOUR;

pub(super) async fn backups_and_trusts(watch: &mut Watch, stage: &Stage) {
    let tenant = stage.settled(1).await;
    let status: TenantStatus = serde_json::from_value(tenant["status"].clone()).unwrap();
    let at = Some(Time(Timestamp::now()));
    let backup = BackupStatus { last_backup: at.clone(), last_proof: at, ..BackupStatus::default() };
    let status = TenantStatus { backup: Some(backup), ..status };
    let status = with(&status, PROTECTED, Truth::True, Reason::FreshAndProven);
    let status = with(&status, DIRECTORY_READY, Truth::True, Reason::Valid);
    let well = of_statuses([("t0001", &status)]);
    watch.keep(&well);
    watch.well.clone_from(&well);
    let told = |kind, truth, reason| of_statuses([("t0001", &with(&status, kind, truth, reason))]);

    let not_protected: &[&str] = &["VertskommuneTenantNotProtected"];
    let broken: &[&str] = &["VertskommuneTrustBroken"];
    let both: &[&str] = &["VertskommuneTrustBroken", "VertskommuneTrustNotValid"];
    let not_valid: &[&str] = &["VertskommuneTrustNotValid"];
    let rows = [
        (not_protected, PROTECTED, Truth::False, Reason::BackupTooOld, 0, "at once"),
        (not_protected, PROTECTED, Truth::False, Reason::ProofTooOld, 0, "at once"),
        (not_protected, PROTECTED, Truth::False, Reason::NoBackupYet, 2 * DAY, "its windows have passed"),
        (
            &["VertskommuneBackupsLost"],
            PROTECTED,
            Truth::False,
            Reason::RepositoryLost,
            0,
            "nothing else tells it",
        ),
        (broken, DIRECTORY_READY, Truth::False, Reason::DnsSilent, 0, "it worked before"),
        (both, DIRECTORY_READY, Truth::False, Reason::ClockSkew, 0, "and for hours"),
        (not_valid, DIRECTORY_READY, Truth::False, Reason::NobodyAllowed, 0, "it shuts out only some"),
        (
            not_valid,
            DIRECTORY_READY,
            Truth::Unknown,
            Reason::Unreachable,
            0,
            "an agent of the tenant's is silent",
        ),
    ];
    for (alerts, kind, truth, reason, longer, why) in rows {
        println!("alerts: {kind} is {truth:?} for {reason:?}: {why}");
        let cause = vec![Some(told(kind, truth, reason))];
        watch.fires(&Case { alerts, cause, moving: &[], longer, after: well.clone() });
    }
    // What a window or a person delays wakes nobody and bothers nobody, however long.
    let waits = [
        (READY, Reason::MaintenanceWindow),
        (READY, Reason::ApprovalNeeded),
        (READY, Reason::Suspended),
        (READY, Reason::ObserveOnly),
        (READY, Reason::SnapshotPresent),
        (PROTECTED, Reason::NoBackupYet),
        (PROTECTED, Reason::NeverProven),
        (DIRECTORY_READY, Reason::WaitingForPartner),
    ];
    let waiting: Vec<(String, TenantStatus)> = waits
        .iter()
        .map(|(kind, reason)| (format!("waits-{reason:?}"), with(&status, kind, Truth::False, *reason)))
        .collect();
    let waiting = of_statuses(waiting.iter().map(|(tenant, status)| (tenant.as_str(), status)));
    watch.is_silent(&well, &waiting, DAY);
}

/// The same status with another condition.
fn with(status: &TenantStatus, kind: &str, truth: Truth, reason: Reason) -> TenantStatus {
    let mut conditions = Conditions::new(&status.conditions, status.observed_generation, Timestamp::now());
    for said in &status.conditions {
        conditions.set(&said.type_, Truth::from(said), &said.reason, &said.message);
    }
    conditions.set(kind, truth, reason.word(), "as a test has it");
    TenantStatus { conditions: conditions.finish(), ..status.clone() }
}
