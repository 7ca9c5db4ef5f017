//! What a window or a person delays wakes nobody and bothers nobody, however long: a tenant's real status gets the condition of each such
//! wait, and the controller's own metrics tell of that.

use jiff::Timestamp;
use vertskommune_api::TenantStatus;
use vertskommune_api::conditions::{Conditions, DIRECTORY_READY, PROTECTED, READY, Truth};
use vertskommune_controller::told::of_statuses;
use vertskommune_core::reason::Reason;

use super::watch::Watch;
use crate::stage::Stage;

const DAY: u32 = 24 * 3600;

pub(super) async fn wake_nobody(watch: &Watch, stage: &Stage) {
    let tenant = stage.settled(1).await;
    let status: TenantStatus = serde_json::from_value(tenant["status"].clone()).unwrap();
    let status = with(&status, PROTECTED, Truth::True, Reason::FreshAndProven);
    let status = with(&status, DIRECTORY_READY, Truth::True, Reason::Valid);
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
    watch.alerts.are_silent(&of_statuses([("t0001", &status)]), &waiting, DAY);
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
