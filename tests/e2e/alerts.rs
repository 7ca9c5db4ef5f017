//! Alerts: each is silent while all is well, fires when its cause is made with the lab's real peers and held for as long as it asks for,
//! and clears after the remedy that its runbook names (`vertskommune_tests::alerts`). Those of backups fire in `reasons::backups` and those
//! of trusts in `tests/trust`, where their causes are made.

mod causes;
mod files;
mod waits;
mod watch;

use crate::stage::Stage;
use watch::Watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alert_fires_at_its_cause_and_clears_after_the_remedy() {
    let Some(mut stage) = Stage::set(1).await else { return };
    let Some(mut watch) = Watch::of(&mut stage) else { return };
    stage.onboard([1, 2]).await;
    stage.settled(1).await;
    stage.settled(2).await;
    watch.well = watch
        .tells(&["vertskommune_leader 1", "vertskommune_ready 1", "vertskommune_tenants{ready=\"True\"} 2"])
        .await;
    watch.alerts.are_silent_while_all_is_well(&watch.well);

    causes::the_controller_is_gone(&mut watch, &mut stage).await;
    causes::an_endpoint_is_not_seen(&watch, &stage).await;
    causes::an_endpoint_is_not_looked_at(&watch);
    causes::credentials_are_refused(&watch, &stage).await;
    causes::something_drifts(&watch, &stage).await;
    causes::a_server_is_lost(&watch, &stage).await;
    causes::a_manifest_collides(&watch, &stage).await;
    causes::a_step_fails_again_and_again(&watch, &stage).await;
    causes::a_pass_hangs(&watch, &stage).await;
    causes::the_cluster_refuses_what_passes_write(&mut watch, &stage).await;
    causes::a_destruction_waits(&mut watch, &stage).await;
    causes::the_api_server_is_not_heard(&mut watch, &mut stage).await;
    causes::two_lead(&watch);
    waits::wake_nobody(&watch, &stage).await;
}
