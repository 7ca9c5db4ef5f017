//! The controller against a real API server, with an in-memory system behind it.

mod support;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::time::{Instant, sleep};
use vertskommune_api::conditions::{check, find};
use vertskommune_controller::Error;
use vertskommune_provider::ProviderError;

use support::{Lab, eventually, install, stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_come_to_ready_with_few_writes_and_then_there_are_none() {
    let Some(stage) = stage().await else { return };
    let controller = stage.controller("a").await;
    stage.host("main").await;
    for number in 1..=3 {
        stage.tenant(number).await;
    }
    for number in 1..=3 {
        let tenant = stage.ready(&format!("t{number}"), "True").await;
        assert_eq!(tenant.finalizers(), ["vertskommune.no/tenant"]);
        let status = tenant.status.unwrap();
        check::all(&status.conditions, tenant.metadata.generation);
        assert_eq!(status.servers.unwrap().summary, "3/3");
        assert_eq!(status.message.as_deref(), Some("Converged"));
    }
    assert_eq!(stage.system.things().len(), 3 * 5);
    let host = stage.host_ready("main", "True").await;
    eventually("the HostProvider is held", async || {
        (stage.hosts().get("main").await.ok()?.finalizers() == ["vertskommune.no/host-provider"])
            .then_some(())
    })
    .await;
    assert_eq!(host.status.unwrap().reachable.as_deref(), Some("True"));
    assert_eq!(controller.get("/readyz").await.unwrap().0, 200);
    assert_eq!(controller.metric("tenants", &["ready=\"True\""]).await, 3);

    let of_tenants =
        controller.metric("kubernetes_requests_total", &["verb=\"patch\"", "resource=\"tenants"]).await;
    println!("writes for 3 tenants: {of_tenants}; all: {}", controller.writes().await);
    assert!(of_tenants <= 15, "{of_tenants} writes for 3 tenants");

    let (before, journal) = (controller.writes().await, stage.system.journal().len());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(controller.writes().await, before, "a quiet time makes no write");
    assert_eq!(stage.system.journal().len(), journal);

    eventually("events tell what was made", async || {
        let events: Api<Event> = Api::namespaced(stage.client.clone(), "default");
        let events = events.list(&ListParams::default()).await.ok()?;
        let of = |event: &&Event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some("t1");
        let notes: Vec<_> = events.items.iter().filter(of).filter_map(|event| event.note.clone()).collect();
        notes.iter().any(|note| note.contains("server/t1-s1")).then_some(())
    })
    .await;
    controller.stop().await.unwrap();

    // Another process takes all of it as it is.
    let journal = stage.system.journal().len();
    let next = stage.controller("b").await;
    eventually("it leads", async || (next.metric("reconciles_total", &["ok"]).await >= 3).then_some(()))
        .await;
    assert_eq!(
        (next.writes().await, stage.system.journal().len()),
        (0, journal),
        "a restart changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_is_refused_stops_only_itself() {
    let Some(stage) = stage().await else { return };
    let _controller = stage.controller("a").await;
    stage.host("main").await;
    let broken = stage
        .tenant_with(1, |tenant| {
            // What CEL cannot tell, or does not.
            tenant["spec"]["maintenance"] = json!({ "windows": [
                { "schedule": "99 99 * * *", "duration": "4h" },
                { "schedule": "0 22 * * TUE", "duration": "4h", "timeZone": "Europe/Harstad" },
            ]});
        })
        .await;
    let greedy = stage.tenant_with(2, |tenant| tenant["spec"]["networks"][0]["vlan"] = json!(4)).await;
    let _holder = stage.tenant(3).await;
    let fine = stage.tenant(5).await;

    let tenant = stage.ready(&broken, "False").await;
    let status = tenant.status.unwrap();
    check::all(&status.conditions, tenant.metadata.generation);
    let message = &find(&status.conditions, "Stalled").expect("Stalled").message;
    assert!(message.contains("windows[0]") && message.contains("windows[1]"), "{message}");
    assert_eq!(tenant.metadata.finalizers, None, "nothing was made, so nothing is held");

    stage.ready(&fine, "True").await;
    let tenant = stage.ready(&greedy, "False").await;
    let message = tenant.status.unwrap().message.unwrap();
    assert!(message.contains("t3"), "{message}");

    stage.patch(&broken, json!({ "spec": { "maintenance": null } })).await;
    stage.ready(&broken, "True").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_healed_and_what_is_suspended_is_left_alone() {
    let Some(stage) = stage().await else { return };
    let _controller = stage.controller("a").await;
    stage.host("main").await;
    let name = stage.tenant(1).await;
    stage.ready(&name, "True").await;
    let drift = || {
        stage.system.by_hand(|things| {
            let server = things.values_mut().find(|thing| thing.fields.contains_key("memory")).unwrap();
            server.fields.insert("memory", 1);
        });
        Instant::now()
    };
    let healed = || stage.system.things().values().all(|thing| thing.fields.get("memory") != Some(&json!(1)));

    let begun = drift();
    eventually("it is healed", async || healed().then_some(())).await;
    println!("healed after {:?}", begun.elapsed());
    stage.ready(&name, "True").await;

    stage.patch(&name, json!({ "spec": { "suspend": true } })).await;
    stage.ready(&name, "True").await;
    drift();
    let tenant = eventually("it is shown", async || {
        let tenant = stage.tenants().get(&name).await.ok()?;
        let held = find(&tenant.status.as_ref()?.conditions, "UpToDate")?.status == "False";
        held.then_some(tenant)
    })
    .await;
    check::all(&tenant.status.unwrap().conditions, tenant.metadata.generation);
    assert!(!healed());
    stage.patch(&name, json!({ "spec": { "suspend": false } })).await;
    eventually("it is healed", async || healed().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_look_is_answered() {
    let Some(stage) = stage().await else { return };
    let _controller = stage.controller("a").await;
    stage.host("main").await;
    let name = stage.tenant(1).await;
    stage.ready(&name, "True").await;
    let reads = stage.system.reads();
    let asked = json!({ "metadata": { "annotations": { "reconcile.fluxcd.io/requestedAt": "2026-11-23T01:00:00Z" } } });
    stage.patch(&name, asked).await;
    eventually("it is answered", async || {
        let status = stage.tenants().get(&name).await.ok()?.status?;
        (status.last_handled_reconcile_at.as_deref() == Some("2026-11-23T01:00:00Z")).then_some(())
    })
    .await;
    assert!(stage.system.reads() > reads, "after a fresh look");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_tenant_follows_its_policy() {
    let Some(stage) = stage().await else { return };
    let _controller = stage.controller("a").await;
    stage.host("main").await;
    let kept = stage.tenant(1).await;
    let removed = stage
        .tenant_with(2, |tenant| {
            tenant["metadata"]["annotations"] = json!({ "vertskommune.no/confirm-removal": "t2" });
            tenant["spec"]["deletionPolicy"] = json!({ "servers": "Remove" });
            tenant["spec"]["compute"]["retireAfter"] = json!("0s");
        })
        .await;
    stage.ready(&kept, "True").await;
    stage.ready(&removed, "True").await;

    stage.tenants().delete(&kept, &DeleteParams::default()).await.unwrap();
    let gone = async |name: &str| {
        eventually(&format!("{name} is gone"), async || {
            stage.tenants().get_opt(name).await.ok()?.is_none().then_some(())
        })
        .await;
    };
    gone(&kept).await;
    assert_eq!(stage.system.things().len(), 10, "what is retained stays");

    stage.tenants().delete(&removed, &DeleteParams::default()).await.unwrap();
    let ids = eventually("the servers wait for a word", async || {
        let plan = stage.tenants().get(&removed).await.ok()?.status?.plan?;
        let waiting = plan.steps.iter().filter(|step| {
            step.class == "destroy"
                && step.waiting.as_ref().is_some_and(|wait| wait.reason == "ApprovalNeeded")
        });
        let ids: Vec<_> = waiting.map(|step| step.id.clone()).collect();
        (ids.len() == 3).then_some(ids)
    })
    .await;
    assert!(stage.tenants().get(&removed).await.is_ok(), "it stays while anything of it is there");
    let word = json!({ "metadata": { "annotations": { "vertskommune.no/allow-destroy": ids.join(",") } } });
    stage.patch(&removed, word).await;
    gone(&removed).await;
    assert_eq!(stage.system.things().len(), 5, "all of it is removed, and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_use_stays() {
    let Some(stage) = stage().await else { return };
    let _controller = stage.controller("a").await;
    let secrets: Api<Secret> = Api::default_namespaced(stage.client.clone());
    for name in ["used", "unused"] {
        let secret = json!({ "metadata": { "name": name }, "stringData": { "password": "hunter2" } });
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }
    stage.host_with("main", |host| host["spec"]["credentials"] = json!({ "secretName": "used" })).await;
    stage.firewall().await;
    for version in [1, 2] {
        stage.rule_set(version).await;
    }
    let name = stage.tenant_with(1, |tenant| tenant["spec"]["firewall"] = pinning(1)).await;
    stage.ready(&name, "True").await;
    eventually("the Secret is held", async || {
        (secrets.get("used").await.ok()?.finalizers() == ["vertskommune.no/secret"]).then_some(())
    })
    .await;
    eventually("the RuleSet is held", async || {
        let set = stage.rule_sets().get("baseline-v1").await.ok()?;
        (set.finalizers() == ["vertskommune.no/rule-set"]).then_some(())
    })
    .await;
    assert!(secrets.get("unused").await.unwrap().finalizers().is_empty());
    assert!(stage.rule_sets().get("baseline-v2").await.unwrap().finalizers().is_empty());

    // Pruned by GitOps, they stay until the tenant is gone.
    secrets.delete("used", &DeleteParams::default()).await.unwrap();
    stage.hosts().delete("main", &DeleteParams::default()).await.unwrap();
    stage.rule_sets().delete("baseline-v1", &DeleteParams::default()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(stage.hosts().get_opt("main").await.unwrap().is_some());
    assert!(secrets.get_opt("used").await.unwrap().is_some());
    assert!(stage.rule_sets().get_opt("baseline-v1").await.unwrap().is_some());
    stage.ready(&name, "True").await;

    // Or until it pins another version.
    stage.patch(&name, json!({ "spec": { "firewall": pinning(2) } })).await;
    eventually("the first version is gone and the second is held", async || {
        let second = stage.rule_sets().get("baseline-v2").await.ok()?;
        let gone = stage.rule_sets().get_opt("baseline-v1").await.ok()?.is_none();
        (gone && second.finalizers() == ["vertskommune.no/rule-set"]).then_some(())
    })
    .await;
    stage.tenants().delete(&name, &DeleteParams::default()).await.unwrap();
    eventually("both are gone, and nothing holds the second version", async || {
        let host = stage.hosts().get_opt("main").await.ok()?;
        let secret = secrets.get_opt("used").await.ok()?;
        let free = stage.rule_sets().get("baseline-v2").await.ok()?.finalizers().is_empty();
        (host.is_none() && secret.is_none() && free).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_of_a_tenants_agent_stays_while_its_trust_does() {
    let Some(stage) = stage().await else { return };
    let controller = stage.controller("a").await;
    let secrets: Api<Secret> = Api::default_namespaced(stage.client.clone());
    for (name, owner) in [("t1-dc", "t1"), ("t2-dc", "t1"), ("agreed", "t3")] {
        let secret = json!({
            "metadata": { "name": name, "labels": { "vertskommune.no/tenant": owner } }, "stringData": { "id_ed25519": "k" },
        });
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }
    stage.host("main").await;
    stage.directory().await;
    let trust = |number: usize, side: serde_json::Value| {
        json!({
            "provider": "directory", "domain": format!("t{number}.test"),
            "domainSid": "S-1-5-21-1-2-3", "access": [{ "usersOf": "tenant", "servicesOf": "host" }],
            "domainControllers": [format!("dc.t{number}.test")], "dnsServers": ["10.0.0.5"], "partnerSide": side,
        })
    };
    let agent = |secret: &str| {
        json!({
            "mode": "Agent", "endpoint": "ssh://root@10.0.0.5", "identity": "ssh-ed25519 AAAA", "secretRef": secret,
        })
    };
    let manual = json!({ "mode": "Manual", "secretRef": "agreed" });
    for (number, side) in [(1, agent("t1-dc")), (2, agent("t2-dc")), (3, manual)] {
        stage.tenant_with(number, |tenant| tenant["spec"]["directory"] = trust(number, side)).await;
    }
    let is_held = async |name: &str| !secrets.get(name).await.unwrap().finalizers().is_empty();
    eventually("the Secret is held", async || is_held("t1-dc").await.then_some(())).await;
    for name in ["t1", "t2", "t3"] {
        stage.ready(name, "True").await;
    }
    assert!(!is_held("t2-dc").await, "it is another tenant's, which a manifest alone cannot hold");
    assert!(!is_held("agreed").await, "it was read at the creation");

    // Each has its figure, and nothing is known of a trust here.
    let (_, metrics) = controller.get("/metrics").await.unwrap();
    for name in ["t1", "t2", "t3"] {
        let figure = format!("vertskommune_directory_trust_valid{{tenant=\"{name}\"}} 0");
        assert!(metrics.contains(&figure), "{metrics}");
    }

    secrets.delete("t1-dc", &DeleteParams::default()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(secrets.get_opt("t1-dc").await.unwrap().is_some(), "its trust stands");
    stage.tenants().delete("t1", &DeleteParams::default()).await.unwrap();
    eventually("it goes with its tenant", async || {
        secrets.get_opt("t1-dc").await.ok()?.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_set_that_is_gone_takes_nothing_from_the_firewall() {
    let Some(stage) = stage().await else { return };
    let controller = stage.controller("a").await;
    stage.host("main").await;
    stage.firewall().await;
    stage.rule_set(1).await;
    let name = stage.tenant_with(1, |tenant| tenant["spec"]["firewall"] = pinning(1)).await;
    stage.ready(&name, "True").await;
    let rules = stage.firewall.things();
    assert_eq!(rules.len(), 1);

    // By force: our finalizer does not stop a person.
    eventually("the RuleSet is held", async || {
        (!stage.rule_sets().get("baseline-v1").await.ok()?.finalizers().is_empty()).then_some(())
    })
    .await;
    stage.rule_sets().delete("baseline-v1", &DeleteParams::default()).await.unwrap();
    let forced = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    stage.rule_sets().patch("baseline-v1", &PatchParams::default(), &forced).await.unwrap();
    let refused = async || {
        let tenant = stage.ready(&name, "False").await;
        let status = tenant.status.unwrap();
        check::all(&status.conditions, tenant.metadata.generation);
        let message = status.message.unwrap();
        assert!(message.contains("\"baseline@1\" is not in the host's catalogue"), "{message}");
    };
    refused().await;
    assert_eq!(stage.firewall.things(), rules);
    controller.stop().await.unwrap();

    // A process that has never seen the RuleSet leaves it all as it is, too.
    let next = stage.controller("b").await;
    eventually("it leads", async || (next.metric("reconciles_total", &["ok"]).await > 0).then_some(())).await;
    refused().await;
    assert_eq!(stage.firewall.things(), rules);

    stage.rule_set(1).await;
    stage.ready(&name, "True").await;
    assert_eq!(stage.firewall.things(), rules);
}

/// A firewall that pins a version of the set `baseline`.
fn pinning(version: i32) -> serde_json::Value {
    json!({ "provider": "firewall", "ruleSets": [format!("baseline@{version}")] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_sight_is_told_and_comes_back_by_itself() {
    let Some(stage) = stage().await else { return };
    let controller = stage.controller("a").await;
    stage.host("main").await;
    let name = stage.tenant(1).await;
    stage.ready(&name, "True").await;
    let journal = stage.system.journal().len();

    stage
        .system
        .set_blind(Some(ProviderError::Unreachable { endpoint: "main".into(), why: "no route".into() }));
    let tenant = stage.ready(&name, "Unknown").await;
    check::all(&tenant.status.unwrap().conditions, tenant.metadata.generation);
    let host = stage.host_ready("main", "False").await;
    let status = host.status.unwrap();
    check::all(&status.conditions, host.metadata.generation);
    assert_eq!(status.reachable.as_deref(), Some("False"));
    assert!(status.last_observed.is_some(), "the last sight is told");
    assert_eq!(controller.metric("endpoint_seen", &["provider=\"main\""]).await, 0);

    stage.system.set_blind(None);
    stage.ready(&name, "True").await;
    stage.host_ready("main", "True").await;
    assert_eq!(stage.system.journal().len(), journal, "nothing was done about it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_and_the_next_takes_over() {
    let Some(stage) = stage().await else { return };
    let first = stage.controller("a").await;
    stage.host("main").await;
    let name = stage.tenant(1).await;
    stage.ready(&name, "True").await;
    let second = stage.controller("b").await;
    eventually("the follower is ready", async || (second.get("/readyz").await?.0 == 200).then_some(())).await;
    assert_eq!(second.metric("leader ", &[]).await, 0);
    assert_eq!(second.metric("reconciles_total", &[]).await, 0, "a follower does not reconcile");

    let begun = Instant::now();
    first.stop().await.unwrap();
    let stopped = begun.elapsed();
    eventually("it leads", async || (second.metric("leader ", &[]).await == 1).then_some(())).await;
    println!("stopped after {stopped:?}, taken over after {:?}", begun.elapsed());
    assert!(begun.elapsed() < stopped + Duration::from_millis(1500));
    let next = stage.tenant(2).await;
    stage.ready(&next, "True").await;

    // Somebody takes the lease by force.
    let leases: Api<Lease> = Api::default_namespaced(stage.client.clone());
    let theft = json!({ "spec": { "holderIdentity": "thief" } });
    leases.patch("vertskommune", &PatchParams::default(), &Patch::Merge(theft)).await.unwrap();
    let error = second.end().await.unwrap_err();
    assert!(matches!(error, Error::LeaseLost(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_its_kinds() {
    let Some(stage) = stage().await else { return };
    let Some(lab) = Lab::start().await else { return };
    let cluster = lab.cluster().await;
    let controller = stage.controller_in(cluster.clone(), "a").await;
    eventually("it says what is missing", async || {
        let (code, text) = controller.get("/readyz").await?;
        (code == 503 && text.contains("vertskommune crd")).then_some(())
    })
    .await;
    install(&Client::try_from(cluster).unwrap()).await;
    eventually("it is ready", async || (controller.get("/readyz").await?.0 == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_deploy_base_are_enough() {
    let Some(stage) = stage().await else { return };
    let files = ["namespace", "vertskommune"].map(|file| format!("deploy/base/{file}.yaml"));
    stage.kubectl_apply(&files.each_ref().map(String::as_str)).await;
    let mut cluster = stage.cluster.clone();
    cluster.auth_info.impersonate = Some("system:serviceaccount:vertskommune-system:vertskommune".to_owned());
    let controller = stage.controller_of(cluster, "vertskommune-system", "a").await;
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), "vertskommune-system");
    let secret = json!({ "metadata": { "name": "used" }, "stringData": { "password": "hunter2" } });
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    stage.host_with("main", |host| host["spec"]["credentials"] = json!({ "secretName": "used" })).await;
    stage.firewall().await;
    stage.rule_set(1).await;
    let name = stage.tenant_with(1, |tenant| tenant["spec"]["firewall"] = pinning(1)).await;
    stage.ready(&name, "True").await;
    eventually("the RuleSet is held", async || {
        (!stage.rule_sets().get("baseline-v1").await.ok()?.finalizers().is_empty()).then_some(())
    })
    .await;
    eventually("events are taken", async || {
        let created =
            controller.metric("kubernetes_requests_total", &["\"create\"", "\"events\"", "\"201\""]).await;
        (created > 0).then_some(())
    })
    .await;
    stage.tenants().delete(&name, &DeleteParams::default()).await.unwrap();
    stage.hosts().delete("main", &DeleteParams::default()).await.unwrap();
    stage.rule_sets().delete("baseline-v1", &DeleteParams::default()).await.unwrap();
    secrets.delete("used", &DeleteParams::default()).await.unwrap();
    eventually("all is let go", async || {
        let host = stage.hosts().get_opt("main").await.ok()?;
        let secret = secrets.get_opt("used").await.ok()?;
        let set = stage.rule_sets().get_opt("baseline-v1").await.ok()?;
        (host.is_none() && secret.is_none() && set.is_none()).then_some(())
    })
    .await;
    assert_eq!(
        controller.metric("kubernetes_requests_total", &["code=\"403\""]).await,
        0,
        "nothing was forbidden"
    );
}
