//! GitOps with Flux's own kustomize-controller, by the files of deploy/gitops/flux: what a commit brings, what a bad one harms, and that
//! nothing real is lost by Git, neither by what is removed there nor by a cluster that is made anew from it.

mod argocd;
mod files;

use std::time::Instant;

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{
    ACCOUNT, Cluster, Controller, NAMESPACE, condition, is_ready, message, reason,
};
use vertskommune_tests::flux::{FLUX, Flux, has_applied};
use vertskommune_tests::inventory::Inventory;

use crate::stage::{Stage, since};
use files::{Files, release};

/// The tenants of the example.
const TENANTS: [&str; 2] = ["ibestad", "dyroy"];

/// A cluster in which all comes by Flux, but the Secret.
struct Scene {
    stage: Stage,
    flux: Flux,
    files: Files,
}

impl Scene {
    /// Sets it up with the example committed, or says that it is skipped.
    async fn set() -> Option<Self> {
        let mut stage = Stage::empty(1).await?;
        let files = Files::of_the_example(stage.main());
        stage.cluster.apply_credentials(stage.main()).unwrap();
        let flux = Flux::start(&stage.cluster).await.unwrap();
        stage.restart();
        Some(Self { stage, flux, files })
    }

    /// Commits the files as they are now.
    async fn commit(&self) -> String {
        self.flux.commit(&self.stage.cluster, FLUX, self.files.folder()).await.unwrap()
    }

    async fn applied(&self, kustomization: &str, revision: &str) -> Json {
        self.flux.applied(&self.stage.cluster, kustomization, revision).await.unwrap()
    }

    async fn kustomization(&self, name: &str, what: &str, is: impl Fn(&Json) -> bool) -> Json {
        self.flux.wait_for(&self.stage.cluster, name, what, is).await.unwrap()
    }

    /// Changes a Kustomization as the program `flux` does, which is not undone as what kubectl writes is.
    fn change_kustomization(&self, name: &str, change: &Json) {
        let change = change.to_string();
        let patch = ["patch", "kustomization", name, "-n", FLUX, "--field-manager=flux"];
        let patch = [&patch[..], &["--type=merge", "-p", &change]].concat();
        self.stage.cluster.lab.kubectl(&patch, "").unwrap();
    }

    fn tenant(&self, name: &str) -> Json {
        self.stage.cluster.tenant(name).unwrap()
    }

    fn display_name(&self, tenant: &str) -> Json {
        self.tenant(tenant)["spec"]["displayName"].clone()
    }
}

/// Has Flux set up a cluster from the example, with all that is of this project, and waits until all is Ready.
async fn all_is_brought(cluster: &Cluster, flux: &Flux, files: &Files) -> String {
    let begun = Instant::now();
    Flux::bootstrap(cluster, "./clusters/nord").unwrap();
    let revision = flux.commit(cluster, FLUX, files.folder()).await.unwrap();
    let release = flux.commit(cluster, "vertskommune", release().path()).await.unwrap();
    flux.applied(cluster, "vertskommune-kinds", &release).await.unwrap();
    the_pods_run(cluster).await;
    flux.applied(cluster, ACCOUNT, &release).await.unwrap();
    flux.applied(cluster, "host", &revision).await.unwrap();
    for tenant in TENANTS {
        flux.applied(cluster, &format!("tenant-{tenant}"), &revision).await.unwrap();
        let tenant = cluster.tenant(tenant).unwrap();
        assert_eq!(condition(&tenant, "Ready"), "True", "Flux waits for the tenant itself: {tenant:#}");
    }
    flux.applied(cluster, FLUX, &revision).await.unwrap();
    println!("gitops: from the first commit to Ready after {}", since(begun));
    revision
}

/// Nothing in the lab runs pods: what would be told of them is told here, once Flux has applied the example's image.
async fn the_pods_run(cluster: &Cluster) {
    let path = format!("apps/v1/namespaces/{NAMESPACE}/deployments/{ACCOUNT}");
    let example = |it: &Json| {
        it["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/vertskommune:0.1.0"
    };
    let deployment = cluster.wait_for_object(&path, "the example's", example).await.unwrap();
    let (replicas, generation) = (&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]);
    let holds = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason});
    let status = json!({"status": {
        "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": replicas, "availableReplicas": replicas,
        "conditions": [
            holds("Available", "MinimumReplicasAvailable"), holds("Progressing", "NewReplicaSetAvailable"),
        ],
    }});
    let tell =
        ["patch", "deployment", ACCOUNT, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p"];
    cluster.lab.kubectl(&[&tell[..], &[&status.to_string()]].concat(), "").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_becomes_real_and_nothing_real_is_lost_by_git() {
    let Some(mut scene) = Scene::set().await else { return };
    all_is_brought(&scene.stage.cluster, &scene.flux, &scene.files).await;
    a_request_to_us_outlives_the_next_commit(&mut scene).await;
    what_is_suspended_stays_as_it_is(&mut scene).await;
    a_request_to_flux_undoes_what_was_changed_by_hand(&scene).await;
    what_is_removed_from_git_stays_in_reality(&mut scene).await;
    a_cluster_made_anew_takes_all_back(scene).await;
}

/// Flux takes away what kubectl wrote, by whatever verb, and leaves what others wrote and Git does not name.
async fn a_request_to_us_outlives_the_next_commit(scene: &mut Scene) {
    const ASKED: &str = "reconcile.fluxcd.io/requestedAt";
    let asked = |tenant: &Json| tenant["metadata"]["annotations"][ASKED].clone();
    let (code, _, said) = scene.stage.cluster.plugin(&["reconcile", "ibestad"]).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let before = scene.tenant("ibestad");
    assert_ne!(asked(&before), Json::Null);
    // Patched by kubectl, and answered.
    scene.stage.cluster.ask("tenant", "dyroy").await.unwrap();

    for tenant in TENANTS {
        scene.files.rename(tenant, "Second commit");
    }
    let revision = scene.commit().await;
    for tenant in TENANTS {
        scene.applied(&format!("tenant-{tenant}"), &revision).await;
    }
    let after = scene.tenant("ibestad");
    assert_eq!(after["spec"]["displayName"], "Second commit");
    assert_eq!(asked(&after), asked(&before), "what our own program wrote");
    assert_eq!(after["status"]["lastHandledReconcileAt"], asked(&before));
    assert_eq!(asked(&scene.tenant("dyroy")), Json::Null, "what kubectl wrote");
}

async fn what_is_suspended_stays_as_it_is(scene: &mut Scene) {
    let before = scene.display_name("dyroy");
    scene.change_kustomization("tenant-dyroy", &json!({"spec": {"suspend": true}}));
    for tenant in TENANTS {
        scene.files.rename(tenant, "Third commit");
    }
    let revision = scene.commit().await;
    scene.applied("tenant-ibestad", &revision).await;
    assert_eq!(scene.display_name("ibestad"), "Third commit");
    assert_eq!(scene.display_name("dyroy"), before, "its Kustomization is suspended");
    let dyroy = scene.tenant("dyroy");
    assert_eq!(condition(&dyroy, "Ready"), "True", "and the controller goes on: {dyroy:#}");

    scene.change_kustomization("tenant-dyroy", &json!({"spec": {"suspend": null}}));
    scene.applied("tenant-dyroy", &revision).await;
    assert_eq!(scene.display_name("dyroy"), "Third commit");
}

async fn a_request_to_flux_undoes_what_was_changed_by_hand(scene: &Scene) {
    let by_hand = json!({"spec": {"displayName": "By hand"}});
    scene.stage.cluster.patch("tenant", "dyroy", &by_hand).unwrap();
    let now = jiff::Timestamp::now().to_string();
    let ask = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": now}}});
    scene.change_kustomization("tenant-dyroy", &ask);
    let answered = |it: &Json| it["status"]["lastHandledReconcileAt"] == json!(now);
    let answered = scene.kustomization("tenant-dyroy", "answered", answered).await;
    assert_eq!(condition(&answered, "Ready"), "True", "{answered:#}");
    assert_eq!(scene.display_name("dyroy"), "Third commit", "as it is in Git");
}

async fn what_is_removed_from_git_stays_in_reality(scene: &mut Scene) {
    let before = vms(&scene.stage);
    let removed = scene.files.remove("dyroy");
    scene.stage.forget_writes().await;
    let revision = scene.commit().await;
    scene.applied(FLUX, &revision).await;
    let cluster = &scene.stage.cluster;
    cluster.wait_for("dyroy", "gone", Json::is_null).await.unwrap();
    scene.kustomization("tenant-dyroy", "gone", Json::is_null).await;
    println!("gitops: a pruned tenant's writes to vCenter: {:?}", scene.stage.writes().await);
    assert_eq!(vms(&scene.stage), before, "a Tenant that retains its servers is pruned without them");

    // It comes back by a revert, and takes what is there.
    scene.files.put_back(removed);
    scene.stage.forget_writes().await;
    let revision = scene.commit().await;
    scene.applied("tenant-dyroy", &revision).await;
    assert_eq!(vms(&scene.stage), before, "nothing is made a second time");
    assert_eq!(scene.stage.writes().await, Vec::<String>::new());
}

async fn a_cluster_made_anew_takes_all_back(scene: Scene) {
    let Scene { mut stage, flux, files } = scene;
    assert!(stage.cluster.hold_verdicts().unwrap() > 0);
    let before = Inventory::of(stage.inventory());
    stage.end();
    drop(flux);
    stage.forget_writes().await;

    // Another etcd: nothing is there but what Flux brings, and the Secret.
    let Some(cluster) = Cluster::start().await else { return };
    cluster.apply_credentials(stage.main()).unwrap();
    let flux = Flux::start(&cluster).await.unwrap();
    let _controller: Controller = cluster.controller_from("lab", "cluster-2").unwrap();
    all_is_brought(&cluster, &flux, &files).await;
    assert_eq!(Inventory::of(stage.inventory()), before, "the same, and no double");
    assert_eq!(Inventory::of(stage.inventory()).doubles(), Vec::<&str>::new());
    let writes = stage.writes().await;
    println!("gitops: writes to vCenter by the cluster made anew, claims aside: {}", writes.len());
    assert_eq!(writes, Vec::<String>::new());
}

/// All VMs, to the last byte.
fn vms(stage: &Stage) -> Json {
    let vms = stage.inventory()["vms"].clone();
    assert!(vms.as_array().is_some_and(|vms| !vms.is_empty()), "there are VMs");
    vms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_manifest_stops_itself_alone() {
    let Some(mut scene) = Scene::set().await else { return };
    // One that the API server takes and we refuse, and one that the API server refuses.
    scene.files.add("salangen", |spec| spec["servers"][0]["name"] = json!("sal-fs01"));
    scene.files.add("gratangen", |spec| spec["servers"][0]["interfaces"][0]["network"] = json!("nowhere"));
    let revision = all_is_brought(&scene.stage.cluster, &scene.flux, &scene.files).await;

    let failed = |it: &Json| condition(it, "Ready") == "False" && reason(it, "Ready").ends_with("Failed");
    let ours = scene.kustomization("tenant-salangen", "failed", failed).await;
    println!("gitops: refused by us: {}", message(&ours, "Ready"));
    assert_eq!(reason(&ours, "Ready"), "HealthCheckFailed", "{ours:#}");
    assert!(message(&ours, "Ready").contains("Tenant/salangen status: 'Failed'"), "{ours:#}");
    let salangen = scene.tenant("salangen");
    assert_eq!(condition(&salangen, "Stalled"), "True", "{salangen:#}");

    let theirs = scene.kustomization("tenant-gratangen", "failed", failed).await;
    println!("gitops: refused by the API server: {}", message(&theirs, "Ready"));
    assert_eq!(reason(&theirs, "Ready"), "ReconciliationFailed", "{theirs:#}");
    assert!(message(&theirs, "Ready").contains("Tenant/gratangen dry-run failed"), "{theirs:#}");
    assert_eq!(scene.stage.cluster.find("gratangen").await.unwrap(), None);

    all_in_one_are_stopped_by_one(&mut scene).await;
    what_would_take_servers_is_not_pruned(&mut scene, &revision).await;
}

/// Why each tenant has a Kustomization of its own: Flux tries all objects of one before it applies any.
async fn all_in_one_are_stopped_by_one(scene: &mut Scene) {
    scene.files.add_manifest("all/bardu", "bardu", |_| {});
    scene.files.add_manifest("all/lavangen", "lavangen", |spec| spec["networks"][0]["vlan"] = json!(9999));
    let revision = scene.commit().await;
    scene
        .stage
        .cluster
        .apply(&json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "all", "namespace": FLUX},
            "spec": {
                "sourceRef": {"kind": "GitRepository", "name": FLUX}, "path": "./all",
                "prune": true, "wait": true, "interval": "10m",
            },
        }))
        .unwrap();
    let refused = |it: &Json| {
        reason(it, "Ready") == "ReconciliationFailed" && it["status"]["lastAttemptedRevision"] == revision
    };
    let all = scene.kustomization("all", "refused", refused).await;
    println!("gitops: all in one Kustomization: {}", message(&all, "Ready"));
    assert!(message(&all, "Ready").contains("Tenant/lavangen dry-run failed"), "{all:#}");
    assert_eq!(scene.stage.cluster.find("bardu").await.unwrap(), None, "the good one waits as well");

    // One that the API server takes and we refuse holds up none of them, but Flux tells of the good ones no more than of it.
    scene.files.change_at("all/lavangen", |spec| {
        spec["networks"][0]["vlan"] = json!(1340);
        spec["servers"][0]["name"] = json!("lav-fs01");
    });
    let revision = scene.commit().await;
    let failed = |it: &Json| {
        reason(it, "Ready") == "HealthCheckFailed" && it["status"]["lastAttemptedRevision"] == revision
    };
    let all = scene.kustomization("all", "failed", failed).await;
    assert!(message(&all, "Ready").contains("Tenant/lavangen status: 'Failed'"), "{all:#}");
    scene.stage.cluster.wait_for("bardu", "Ready", is_ready).await.unwrap();

    // The others go on all the while.
    for tenant in TENANTS {
        scene.applied(&format!("tenant-{tenant}"), &revision).await;
    }
}

/// The API server's policy holds up a removal in Git that would take servers with it, and Flux tells so.
async fn what_would_take_servers_is_not_pruned(scene: &mut Scene, first: &str) {
    scene.files.change("dyroy", |spec| spec["deletionPolicy"] = json!({"servers": "Remove"}));
    let revision = scene.commit().await;
    assert_ne!(revision, first);
    scene.applied("tenant-dyroy", &revision).await;
    scene.files.empty("dyroy");
    let revision = scene.commit().await;
    let held =
        |it: &Json| reason(it, "Ready") == "PruneFailed" && it["status"]["lastAttemptedRevision"] == revision;
    let held = scene.kustomization("tenant-dyroy", "held up", held).await;
    println!("gitops: a removal that would take servers: {}", message(&held, "Ready"));
    assert!(message(&held, "Ready").contains("confirm-removal=dyroy"), "{held:#}");
    assert!(!has_applied(&held, &revision));
    assert_eq!(scene.tenant("dyroy")["metadata"]["deletionTimestamp"], Json::Null);
}
