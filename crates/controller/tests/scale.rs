//! Many tenants: how long and how many writes from applied to Ready, beside a bare client that does the same writes.
//! A benchmark, run by hand: `cargo test --release -p vertskommune-controller --test scale -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)] // Of a benchmark.

mod support;

use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{Instant, sleep};
use vertskommune_api::Tenant;

use support::{Stage, eventually_in, ready, stage};

async fn create(stage: &Stage, count: usize) {
    stream::iter(1..=count).for_each_concurrent(32, async |number| drop(stage.tenant(number).await)).await;
}

/// The same writes by a client that does nothing else.
async fn bare(client: &Client, count: usize) -> Duration {
    let api: Api<Tenant> = Api::all(client.clone());
    let params = PatchParams::apply("bare").force();
    let begun = Instant::now();
    stream::iter(1..=count)
        .for_each_concurrent(32, async |number| {
            let name = format!("t{number}");
            let head = |rest: serde_json::Value| {
                let mut patch = json!({ "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant" });
                patch["metadata"] = json!({ "name": name });
                patch.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
                patch
            };
            let hold = head(json!({ "metadata": { "name": name, "finalizers": ["example.org/bare"] } }));
            api.patch(&name, &params, &Patch::Apply(hold)).await.unwrap();
            for message in ["a", "b"] {
                let status = head(json!({ "status": { "message": message } }));
                api.patch_status(&name, &params, &Patch::Apply(status)).await.unwrap();
            }
        })
        .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark"]
async fn a_thousand_tenants() {
    let count = std::env::var("TENANTS").map_or(1000, |count| count.parse().unwrap());
    {
        let Some(stage) = stage().await else { return };
        create(&stage, count).await;
        println!("a bare client: {:?} for {} writes", bare(&stage.client, count).await, 3 * count);
    }
    let Some(stage) = stage().await else { return };
    stage.host("main").await;
    create(&stage, count).await;
    let begun = Instant::now();
    let controller = stage.controller("a").await;
    eventually_in(Duration::from_secs(300), "all are Ready", &mut async || {
        sleep(Duration::from_millis(200)).await;
        if controller.metric("tenants", &["ready=\"True\""]).await < count as u64 {
            return None;
        }
        let tenants = stage.tenants().list(&ListParams::default()).await.ok()?;
        tenants.iter().all(|tenant| ready(tenant).as_deref() == Some("True")).then_some(())
    })
    .await;
    println!("{count} tenants Ready after {:?}", begun.elapsed());
    let writes =
        controller.metric("kubernetes_requests_total", &["verb=\"patch\"", "resource=\"tenants"]).await;
    println!(
        "{:.2} writes a tenant, {} reconciles",
        writes as f64 / count as f64,
        controller.metric("reconciles_total", &[]).await
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap());
    sleep(Duration::from_secs(5)).await;
    let (before, reconciles) = (controller.writes().await, controller.metric("reconciles_total", &[]).await);
    sleep(Duration::from_secs(60)).await;
    println!(
        "in a quiet minute: {} writes, {} reconciles",
        controller.writes().await - before,
        controller.metric("reconciles_total", &[]).await - reconciles
    );
}
