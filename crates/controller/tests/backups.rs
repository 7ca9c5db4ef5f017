//! Backups through the controller: taken when they are due, told by the status, ended in good order, with the rights of
//! `deploy/base`.

mod support;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;
use vertskommune_api::Tenant;
use vertskommune_api::conditions::{check, find};
use vertskommune_provider::ProviderError;

use support::{Stage, eventually, stage};

/// A window in which it is every tenant's turn now, whatever its spread.
fn backup(tenant: &mut Value) {
    let opens = Timestamp::now() - SignedDuration::from_mins(25);
    let start = opens.to_zoned(jiff::tz::TimeZone::UTC).strftime("%H:%M").to_string();
    tenant["spec"]["backup"] = json!({
        "provider": "room", "window": { "start": start, "duration": "40m", "timeZone": "Etc/UTC" },
        "retention": { "daily": 14 },
    });
}

async fn message(stage: &Stage, name: &str) -> Option<String> {
    stage.tenants().get(name).await.ok()?.status?.message
}

/// Waits until the tenant is protected, or is not.
async fn protected(stage: &Stage, name: &str, expected: &str) -> Tenant {
    eventually(&format!("{name} is Protected={expected}"), async || {
        let tenant = stage.tenants().get(name).await.ok()?;
        let found = find(&tenant.status.as_ref()?.conditions, "Protected")?.status == expected;
        found.then_some(tenant)
    })
    .await
}

fn snapshots(stage: &Stage) -> usize {
    stage.system.things().values().filter(|thing| thing.backup).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_gets_its_backup_and_its_proof_with_the_rights_of_deploy_base() {
    let Some(stage) = stage().await else { return };
    let files = ["namespace", "vertskommune"].map(|file| format!("deploy/base/{file}.yaml"));
    stage.kubectl_apply(&files.each_ref().map(String::as_str)).await;
    let mut cluster = stage.cluster.clone();
    cluster.auth_info.impersonate = Some("system:serviceaccount:vertskommune-system:vertskommune".to_owned());
    let controller = stage.controller_of(cluster.clone(), "vertskommune-system", "a").await;
    stage.two_rooms().await;
    let name = stage.tenant_with(1, backup).await;
    let status = protected(&stage, &name, "True").await.status.unwrap();
    check::all(&status.conditions, Some(1));
    let known = status.backup.unwrap();
    assert!(known.last_backup.is_some() && known.last_proof.is_some(), "{known:?}");
    eventually("the line rests", async || (message(&stage, &name).await? == "Converged").then_some(())).await;
    let begun = stage.room.transfers_begun();
    assert_eq!(begun.len(), 6, "{begun:?}");
    assert!(stage.room.transfers_running().1 <= 2, "as many at once as the budget says");
    assert_eq!(snapshots(&stage), 0);
    for (name, labels, expected) in [
        ("transfers_total", &["work=\"backup\"", "result=\"done\""][..], 3),
        ("transfers_total", &["work=\"proof\"", "result=\"done\""], 3),
        ("transferred_bytes_total", &["work=\"backup\""], 6 * 40_000),
        ("backup_stored_bytes_total", &[], 6 * 40_000),
    ] {
        // What it did is counted a moment after the look that ends it.
        let counted = async || (controller.metric(name, labels).await >= expected).then_some(());
        eventually(&format!("{name} {labels:?}"), counted).await;
        assert_eq!(controller.metric(name, labels).await, expected, "{name} {labels:?}");
    }

    // What opens the repository was written before it, and the controller has no right to take it away.
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), "vertskommune-system");
    let made = secrets.get("backup-t1").await.unwrap();
    assert_eq!(made.metadata.labels.unwrap()["vertskommune.no/tenant"], "t1");
    assert_eq!(made.data.unwrap()["password"].0, b"canary-r3p0");
    let ours: Api<Secret> = Api::namespaced(Client::try_from(cluster).unwrap(), "vertskommune-system");
    let refused = ours.delete("backup-t1", &DeleteParams::default()).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");
    assert_eq!(
        controller.metric("kubernetes_requests_total", &["code=\"403\""]).await,
        0,
        "nothing was forbidden"
    );
    let (_, metrics) = controller.get("/metrics").await.unwrap();
    assert!(!metrics.contains("canary-r3p0"));
    let status = serde_json::to_string(&stage.tenants().get(&name).await.unwrap().status).unwrap();
    assert!(!status.contains("canary-r3p0"), "{status}");

    // Another process finds it done, and does nothing.
    controller.stop().await.unwrap();
    let next = stage.controller("b").await;
    eventually("it has passed", async || (next.metric("reconciles_total", &["ok"]).await > 0).then_some(()))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.room.transfers_begun(), begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_and_what_runs_ends_with_the_process_and_is_taken_up_by_the_next() {
    let Some(stage) = stage().await else { return };
    let controller = stage.controller("a").await;
    stage.two_rooms().await;
    stage.room.hold_transfers(true);
    let name = stage.tenant_with(1, backup).await;
    eventually("it is told how far they are", async || {
        let line = message(&stage, &name).await?;
        (line.starts_with("Backing up t1-s") && line.ends_with("%), 1 more")).then_some(())
    })
    .await;
    let tenant = stage.ready(&name, "True").await;
    check::all(&tenant.status.unwrap().conditions, Some(1));
    assert_eq!(snapshots(&stage), 2);

    // A person's word ends it.
    stage.patch(&name, json!({ "spec": { "suspend": true } })).await;
    eventually("it ends", async || (stage.room.transfers_running().0 == 0).then_some(())).await;
    stage.patch(&name, json!({ "spec": { "suspend": false } })).await;
    eventually("it is begun again", async || (stage.room.transfers_running().0 == 2).then_some(())).await;

    let begun = Instant::now();
    controller.stop().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!((stage.room.transfers_running().0, snapshots(&stage)), (0, 0), "all was given back");
    stage.room.hold_transfers(false);
    let _next = stage.controller("b").await;
    protected(&stage, &name, "True").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_and_what_is_damaged_is_an_event_and_a_refused_manifest_begins_nothing() {
    let Some(stage) = stage().await else { return };
    let controller = stage.controller("a").await;
    stage.two_rooms().await;
    stage.room.fail_transfers(Some(ProviderError::Capacity("the second room is full".to_owned())));
    let name = stage.tenant_with(1, backup).await;
    let told = async |reason: &str, says: &str| {
        eventually(&format!("an event {reason}"), async || {
            let events: Api<Event> = Api::namespaced(stage.client.clone(), "default");
            let events = events.list(&ListParams::default()).await.ok()?.items;
            let found = |event: &Event| {
                event.reason.as_deref() == Some(reason)
                    && event.note.as_ref().is_some_and(|note| note.contains(says))
            };
            events.iter().any(found).then_some(())
        })
        .await;
    };
    told("BackupFailed", "t1-s1: no room: the second room is full").await;
    eventually("each has been tried", async || {
        (controller.metric("transfers_total", &["result=\"failed\""]).await >= 3).then_some(())
    })
    .await;
    assert_eq!(stage.ready(&name, "True").await.metadata.generation, Some(1), "Ready does not wait for it");
    let tenant = protected(&stage, &name, "False").await;
    let said = find(&tenant.status.unwrap().conditions, "BackupReady").cloned().unwrap();
    assert_eq!((said.status.as_str(), said.reason.as_str()), ("False", "BackupFailed"));
    assert!(said.message.contains("no room: the second room is full"), "{}", said.message);

    // What it asks for now is not known, so nothing is begun when the pause is over or the room is well again.
    stage.patch(&name, json!({ "spec": { "maintenance": { "windows": [{ "schedule": "99 99 * * *", "duration": "4h" }] } } })).await;
    stage.ready(&name, "False").await;
    stage.room.fail_transfers(None);
    controller.stop().await.unwrap();
    let begun = stage.room.transfers_begun().len();
    let next = stage.controller("b").await;
    eventually("it has passed", async || (next.metric("reconciles_total", &["ok"]).await > 0).then_some(()))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.room.transfers_begun().len(), begun);

    stage.room.spoil(true);
    stage.patch(&name, json!({ "spec": { "maintenance": null } })).await;
    told("BackupDamaged", "did not come back as it was").await;
    assert!(next.metric("transfers_total", &["result=\"damaged\""]).await > 0);
    eventually("the status names it", async || {
        let status = stage.tenants().get(&name).await.ok()?.status?;
        let said = find(&status.conditions, "Protected")?;
        (said.status == "False" && said.reason == "CorruptionFound").then_some(())
    })
    .await;
}
