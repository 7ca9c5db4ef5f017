//! Alerts: each is silent while all is well, fires when its cause is made with the lab's real peers and held for as long as it asks for,
//! and clears after the remedy that its runbook names. Prometheus' own code judges what the running controller has answered; only its
//! clock is counted, since some alerts wait for days. What cannot be made cheaply is in `told`.

mod causes;
mod files;
mod told;
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
    watch
        .is_well(&["vertskommune_leader 1", "vertskommune_ready 1", "vertskommune_tenants{ready=\"True\"} 2"])
        .await;
    watch.is_silent_while_all_is_well();

    causes::the_controller_is_gone(&mut watch, &mut stage).await;
    causes::an_endpoint_is_not_seen(&mut watch, &stage).await;
    causes::an_endpoint_is_not_looked_at(&mut watch);
    causes::credentials_are_refused(&mut watch, &stage).await;
    causes::something_drifts(&mut watch, &stage).await;
    causes::a_server_is_lost(&mut watch, &stage).await;
    causes::a_manifest_collides(&mut watch, &stage).await;
    causes::a_step_fails_again_and_again(&mut watch, &stage).await;
    causes::a_pass_hangs(&mut watch, &stage).await;
    causes::the_cluster_refuses_what_passes_write(&mut watch, &stage).await;
    causes::a_destruction_waits(&mut watch, &stage).await;
    causes::the_api_server_is_not_heard(&mut watch, &mut stage).await;
    causes::two_lead(&mut watch);
    told::backups_and_trusts(&mut watch, &stage).await;

    watch.has_seen_all();
}
