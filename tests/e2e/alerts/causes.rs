//! Causes that are made with the lab's real peers, and their remedies.

use serde_json::{Value as Json, json};
use vertskommune_provider::testing::Cut;
use vertskommune_tests::alerts::{Case, OBSERVED};
use vertskommune_tests::estate::{in_tree, is_ready, reason, server, tenant, tenant_name};

use super::watch::Watch;
use crate::stage::Stage;

const SERVER: &str = "/DC0/vm/Tenants/t0001/t0001-srv01";
/// How long the oldest pass has been under way.
const AGE: &str = "vertskommune_reconcile_oldest_age_seconds";

pub(super) async fn the_controller_is_gone(watch: &mut Watch, stage: &mut Stage) {
    stage.end();
    let cause = loop {
        let answer = watch.scrape().await;
        if answer.is_none() {
            break answer;
        }
    };
    watch.restart(stage);
    let after = watch.tells(&["vertskommune_leader 1", "vertskommune_tenants{ready=\"True\"} 2"]).await;
    watch.fires(&Case {
        alerts: &["VertskommuneDown"],
        cause: vec![cause],
        moving: &[],
        longer: 0,
        after: after.clone(),
    });
    watch.well = after;
}

pub(super) async fn an_endpoint_is_not_seen(watch: &Watch, stage: &Stage) {
    stage.main().admin("POST", "/pause", Json::Null).await.unwrap();
    let blind = "vertskommune_endpoint_blind{provider=\"vcenter-main\",reason=\"Unreachable\"} 1";
    stage.tenant(1, "blind", |it| reason(it, "Ready") == "Unreachable").await;
    let cause = watch.tells(&[blind, "condition=\"Ready\",status=\"Unknown\",reason=\"Unreachable\""]).await;
    stage.main().admin("POST", "/resume", Json::Null).await.unwrap();
    stage.settled(1).await;
    let after =
        watch.tells(&["vertskommune_endpoint_seen{provider=\"vcenter-main\"} 1", "{ready=\"True\"} 2"]).await;
    watch.fires(&Case { moving: &[], ..Case::of(&["VertskommuneEndpointNotSeen"], cause, after) });
}

/// The same scrape, in which the last look only grows older.
pub(super) fn an_endpoint_is_not_looked_at(watch: &Watch) {
    let well = watch.well.clone();
    let case =
        Case { moving: &[], longer: 3600, ..Case::of(&["VertskommuneEndpointNotSeen"], well.clone(), well) };
    watch.fires(&case);
}

pub(super) async fn credentials_are_refused(watch: &Watch, stage: &Stage) {
    let wrong = json!({"stringData": {"password": "wrong"}});
    stage.cluster.patch_in_namespace("secret", "vcenter-main", &wrong).unwrap();
    stage.tenant(1, "blind", |it| reason(it, "Ready") == "CredentialsRefused").await;
    let blind = "vertskommune_endpoint_blind{provider=\"vcenter-main\",reason=\"CredentialsRefused\"} 1";
    let cause =
        watch.tells(&[blind, "condition=\"Stalled\",status=\"True\",reason=\"CredentialsRefused\""]).await;
    stage.cluster.apply_host(stage.main()).unwrap();
    stage.settled(1).await;
    let after =
        watch.tells(&["vertskommune_endpoint_seen{provider=\"vcenter-main\"} 1", "{ready=\"True\"} 2"]).await;
    // Held for longer than a look may be old, it is still told once.
    watch.fires(&Case {
        moving: &[],
        longer: 5400,
        ..Case::of(&["VertskommuneCredentialsRefused"], cause, after)
    });
}

pub(super) async fn something_drifts(watch: &Watch, stage: &Stage) {
    stage.govc(&["vm.power", "-off", SERVER]);
    let cause = watch.tells(&["vertskommune_differences_shown{tenant=\"t0001\"} 1"]).await;
    stage.govc(&["vm.power", "-on", SERVER]);
    stage.settled(1).await;
    let after = watch.tells(&["vertskommune_differences_shown{tenant=\"t0001\"} 0"]).await;
    watch.fires(&Case::of(&["VertskommuneDriftNotHealed"], cause, after));
}

pub(super) async fn a_server_is_lost(watch: &Watch, stage: &Stage) {
    let uuid = stage.vm(SERVER)["instanceUuid"].as_str().unwrap().to_owned();
    stage.govc(&["vm.destroy", SERVER]);
    let cause =
        watch.tells(&["tenant=\"t0001\",condition=\"Ready\",status=\"False\",reason=\"Lost\"} 1"]).await;
    let mut first = server(1, 1);
    first["recreate"] = json!(uuid);
    stage.change(1, &json!({"servers": [first, server(1, 2)]}));
    stage.settled(1).await;
    let after = watch.tells(&["{ready=\"True\"} 2"]).await;
    watch.fires(&Case::of(&["VertskommuneThingsLost"], cause, after));
}

pub(super) async fn a_manifest_collides(watch: &Watch, stage: &Stage) {
    let mut next = tenant(3);
    next["spec"]["networks"][0]["vlan"] = json!(1);
    next["spec"]["servers"] = json!([]);
    stage.cluster.apply(&next).unwrap();
    let stalled = "tenant=\"t0003\",condition=\"Stalled\",status=\"True\",reason=\"";
    let cause = watch.tells(&[stalled]).await;
    stage.change(3, &json!({"networks": [tenant(3)["spec"]["networks"][0]]}));
    stage.settled(3).await;
    let after = watch.tells(&["{ready=\"True\"} 3"]).await;
    watch.fires(&Case::of(&["VertskommuneTenantStalled"], cause, after));
}

pub(super) async fn a_step_fails_again_and_again(watch: &Watch, stage: &Stage) {
    let fault = json!({"method": "CloneVM_Task", "type": "SystemError", "in_task": true});
    stage.main().admin("POST", "/fault", fault).await.unwrap();
    stage.cluster.apply(&tenant(4)).unwrap();
    let fails = "vertskommune_waiting_steps{tenant=\"t0004\",reason=\"RetryLater\"} ";
    let cause = watch
        .tells(&[fails, "tenant=\"t0004\",condition=\"Ready\",status=\"False\",reason=\"RetryLater\"} 1"])
        .await;
    stage.main().admin("DELETE", "/fault", Json::Null).await.unwrap();
    stage.cluster.ask("tenant", "t0004").await.unwrap();
    stage.settled(4).await;
    let after = watch.tells(&["{ready=\"True\"} 4"]).await;
    watch.fires(&Case::of(&["VertskommuneStepsFailing"], cause.clone(), after.clone()));
    watch.fires(&Case::of(&["VertskommuneStepsFailing", "VertskommuneTenantNotReady"], cause, after));
}

/// A vCenter that answers late holds a pass up; for longer than any answer takes, only the replay does.
pub(super) async fn a_pass_hangs(watch: &Watch, stage: &Stage) {
    stage.main().admin("POST", "/delay?ms=1500", Json::Null).await.unwrap();
    ask(stage, 1);
    let is_under_way = |text: &str| {
        let age = text.lines().find_map(|line| line.strip_prefix(AGE)?.trim().parse::<f64>().ok());
        age.is_some_and(|age| age > 0.5)
    };
    let cause = watch.tells_that("a pass that is under way", is_under_way).await;
    stage.main().admin("POST", "/delay?ms=0", Json::Null).await.unwrap();
    let after = watch.tells(&[&format!("{AGE} 0.0")]).await;
    let alerts = &["VertskommuneReconcileStuck"];
    watch.fires(&Case { moving: &[OBSERVED, AGE], longer: 900, ..Case::of(alerts, cause, after) });
}

/// The account loses the right to write what it has found out.
pub(super) async fn the_cluster_refuses_what_passes_write(watch: &mut Watch, stage: &Stage) {
    let errors = |text: &str| {
        let mut lines = text.lines();
        let errors =
            lines.find_map(|line| line.strip_prefix("vertskommune_reconciles_total{result=\"error\"} "));
        errors.map(|errors| errors.parse::<u64>().unwrap())
    };
    watch.well = watch.tells(&["{ready=\"True\"} 4", "vertskommune_queue_depth 0"]).await;
    let before = errors(&watch.well).unwrap();
    let role = stage.cluster.lab.kubectl(&["get", "clusterrole", "vertskommune", "-o", "json"], "").unwrap();
    let mut less: Json = serde_json::from_str(&role).unwrap();
    less["rules"]
        .as_array_mut()
        .unwrap()
        .retain(|rule| !rule["resources"].to_string().contains("tenants/status"));
    stage.cluster.lab.kubectl(&["replace", "-f", "-"], &less.to_string()).unwrap();
    for number in 1..=4 {
        ask(stage, number);
    }
    let cause = watch.tells_that("errors", |text| errors(text).is_some_and(|now| now >= before + 7)).await;
    let base = in_tree("deploy/base");
    stage.cluster.lab.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &base], "").unwrap();
    for number in 1..=4 {
        let name = format!("t{number:04}");
        stage.cluster.ask("tenant", &name).await.unwrap();
    }
    let after = watch.tells(&["{ready=\"True\"} 4"]).await;
    watch.fires(&Case::of(&["VertskommuneReconcilesFailing"], cause, after.clone()));
    watch.well = after;
}

pub(super) async fn a_destruction_waits(watch: &mut Watch, stage: &Stage) {
    let spec = tenant(2)["spec"].clone();
    let compute = json!({"provider": "vcenter-main", "quota": spec["compute"]["quota"], "retireAfter": "1s"});
    stage.change(2, &json!({"compute": compute, "servers": [spec["servers"][0]]}));
    let waits = "vertskommune_waiting_steps{tenant=\"t0002\",reason=\"ApprovalNeeded\"} ";
    let cause = watch.tells(&[waits, "{ready=\"True\"} 4"]).await;
    // The status is written later than it is told, since it is no change of a condition.
    let ids = |it: &Json| -> Vec<String> {
        let steps = it["status"]["plan"]["steps"].as_array().cloned().unwrap_or_default();
        let waiting = steps.iter().filter(|step| step["waiting"]["reason"] == "ApprovalNeeded");
        waiting.map(|step| step["id"].as_str().unwrap().to_owned()).collect()
    };
    let shown = stage.tenant(2, "waiting for a word", |it| !ids(it).is_empty()).await;
    let ids = ids(&shown).join(",");
    let word = json!({"metadata": {"annotations": {"vertskommune.no/allow-destroy": ids}}});
    stage.cluster.patch("tenant", "t0002", &word).unwrap();
    stage.tenant(2, "without it", |it| is_ready(it) && it["status"]["plan"] == Json::Null).await;
    let after = watch.tells_that("nothing that waits", |text| !text.contains("ApprovalNeeded")).await;
    watch.fires(&Case::of(&["VertskommuneApprovalWaits"], cause, after.clone()));
    watch.well = after;
}

/// A controller that starts while the API server does not answer.
pub(super) async fn the_api_server_is_not_heard(watch: &mut Watch, stage: &mut Stage) {
    stage.cluster.proxy.cut(0, Cut::Before);
    ask(stage, 1);
    while !stage.cluster.proxy.is_cut() {
        tokio::task::yield_now().await;
    }
    watch.restart(stage);
    let deaf = watch.tells(&["vertskommune_leader 0", "vertskommune_ready 0"]).await;
    stage.cluster.proxy.reset();
    stage.settled(1).await;
    let after = watch.tells(&["vertskommune_leader 1", "vertskommune_ready 1", "{ready=\"True\"} 4"]).await;
    watch.fires(&Case::of(&["VertskommuneDeaf", "VertskommuneNoLeader"], deaf.clone(), after.clone()));
    // While another leads it waits for the morning.
    let cause = vec![Some(watch.well.clone()), Some(deaf)];
    watch.fires(&Case { alerts: &["VertskommuneDeaf"], cause, moving: &[OBSERVED], longer: 0, after });
}

/// Two processes say what one has said.
pub(super) fn two_lead(watch: &Watch) {
    let well = Some(watch.well.clone());
    let (cause, after) = (vec![well.clone(), well], watch.well.clone());
    watch.fires(&Case { alerts: &["VertskommuneManyLeaders"], cause, moving: &[OBSERVED], longer: 0, after });
}

/// Asks for a look, without waiting for it.
fn ask(stage: &Stage, number: u16) {
    stage.cluster.request("tenant", &tenant_name(number)).unwrap();
}
