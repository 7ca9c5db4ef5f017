//! What goes by by itself, what comes of people's hands in vCenter, and what comes to an end: one after the other.

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{server, server_name, tenant, tenant_name};

use super::{clears, first_server, newcomer, of_host, path};
use crate::stage::Stage;

const FOR_EVER: &str = "2100-01-01T00:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_names_what_passes_and_what_ends() {
    let Some(mut stage) = Stage::set_without_controller(1).await else { return };
    nobody_has_looked_yet(&mut stage).await;
    clones_take_their_time(&mut stage).await;
    an_answer_is_lost(&stage).await;
    somebody_else_is_at_it(&stage).await;
    a_guest_does_not_go_down(&stage).await;
    a_folder_is_in_use(&stage).await;
    all_of_it_vanishes(&stage).await;
    a_mark_is_there_twice(&stage).await;
    more_is_destroyed_than_the_budget_allows(&stage).await;
    a_tenant_leaves(&stage).await;
}

async fn nobody_has_looked_yet(stage: &mut Stage) {
    stage.cluster.apply(&tenant(1)).unwrap();
    stage.hindered(1, "Pending", "wait for the controller's first pass").await;
    stage.hindered(1, "NotYetObserved", "wait for the first look").await;
    stage.restart();
    clears(stage, 1).await;
}

async fn clones_take_their_time(stage: &mut Stage) {
    of_host(stage, &json!({"budget": {"concurrency": 1}}));
    stage.main().admin("POST", "/clone-time?ms=20000", Json::Null).await.unwrap();
    stage.cluster.apply(&tenant(2)).unwrap();
    stage.in_the_journal(("CloneVM_Task", &server_name(2, 1)), |_| true).await;
    stage.main().admin("POST", "/clone-time?ms=0", Json::Null).await.unwrap();
    newcomer(stage, 6, |_| {});
    stage.hindered(6, "BudgetExhausted", "it follows when others have ended").await;
    // The next controller cannot know whose clone that is.
    stage.restart();
    stage.hindered(2, "MaybeInProgress", "it is looked at again until the operation has ended").await;
    of_host(stage, &json!({"budget": {"concurrency": 8}}));
    clears(stage, 2).await;
    clears(stage, 6).await;
}

async fn an_answer_is_lost(stage: &Stage) {
    stage.forget_writes().await;
    stage.main().admin("POST", "/cut", json!({"write": 2, "at": "after"})).await.unwrap();
    stage.cluster.apply(&tenant(3)).unwrap();
    stage.ready(3).await;
    stage.cluster.told_by_an_event(&tenant_name(3), "OutcomeUnknown").await;
    clears(stage, 3).await;
}

async fn somebody_else_is_at_it(stage: &Stage) {
    stage.forget_writes().await;
    stage.main().admin("POST", "/task-delay", json!({"ReconfigVm": 15_000})).await.unwrap();
    let note = ["vm.change", "-vm", &path(1, 1), "-annotation", "by hand"];
    let mut theirs = stage.cluster.lab.govc_command(stage.main(), &note).unwrap().spawn().unwrap();
    stage.in_the_journal(("ReconfigVM_Task", &server_name(1, 1)), |_| true).await;
    stage.main().admin("POST", "/task-delay", json!({"ReconfigVm": 0})).await.unwrap();
    // It has been seen by then.
    stage.cluster.ask("tenant", &tenant_name(1)).await.unwrap();
    first_server(stage, 1, "disks", &json!([{"name": "data", "size": "12Gi"}]));
    stage.hindered(1, "TaskRunning", "its step runs when the task has ended").await;
    assert!(theirs.wait().unwrap().success());
    clears(stage, 1).await;
}

async fn a_guest_does_not_go_down(stage: &Stage) {
    let name = server_name(1, 1);
    stage.main().admin("POST", &format!("/guest?vm={name}&deaf=true"), Json::Null).await.unwrap();
    // Both are of one group, of which one goes down at a time.
    let servers = [(1, "12Gi"), (2, "10Gi")].map(|(index, size)| {
        let mut smaller = server(1, index);
        // A disk never shrinks.
        smaller["disks"][0]["size"] = json!(size);
        (smaller["vcpus"], smaller["restartBefore"]) = (json!(1), json!(FOR_EVER));
        smaller
    });
    stage.change(1, &json!({ "servers": servers }));
    stage.hindered(1, "InProgress", "the system is at work").await;
    stage.hindered(1, "OneAtATime", "it follows when the other of its group is back").await;
    // As it stands after the quarter of an hour in which it is asked again and again.
    let asked = "vertskommune.restarting=restart 2026-01-01T00:00:00Z 45";
    stage.govc(&["vm.change", "-vm", &path(1, 1), "-e", asked]);
    stage.hindered(1, "GuestShutdownPending", &format!("shut the guest of {name} down by hand")).await;
    stage.main().admin("POST", &format!("/guest?vm={name}&deaf=false"), Json::Null).await.unwrap();
    stage.govc(&["vm.power", "-s", &path(1, 1)]);
    clears(stage, 1).await;
}

async fn a_folder_is_in_use(stage: &Stage) {
    newcomer(stage, 4, |spec| {
        spec["servers"] = json!([]);
        spec["deletionPolicy"] = json!({"servers": "Remove"});
    });
    clears(stage, 4).await;
    let name = tenant_name(4);
    let (folder, printer) = (format!("/DC0/vm/Tenants/{name}"), format!("/DC0/vm/Tenants/{name}/printer"));
    let place = ["vm.create", "-folder", &folder, "-pool", "/DC0/host/DC0_C0/Resources"];
    stage
        .govc(&[&place[..], &["-ds", "LocalDS_0", "-net", "drift-servers", "-on=false", "printer"]].concat());
    take_away_with_servers(stage, &name);
    // All that is ours goes first.
    let held = |it: &Json| it["status"]["plan"].to_string().contains("objects in it");
    stage.tenant(4, "held by what is not ours", held).await;
    stage.hindered(4, "InUse", "remove what still uses it").await;
    stage.govc(&["vm.destroy", &printer]);
    stage.cluster.left(&name).await;
}

async fn all_of_it_vanishes(stage: &Stage) {
    newcomer(stage, 5, |spec| spec["servers"] = json!([]));
    clears(stage, 5).await;
    let name = tenant_name(5);
    // So that nothing is made anew while the rest still stands.
    stage.change(5, &json!({"suspend": true}));
    let things = stage.references(5);
    assert_eq!(things.len(), 3, "{things:?}");
    for thing in things {
        stage.govc(&["object.destroy", &thing]);
    }
    stage.cluster.ask("hostprovider", "vcenter-main").await.unwrap();
    stage.hindered(5, "AllVanished", "check the account's rights on vcenter-main").await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(5);
    let word = format!("vertskommune.no/accept-loss={soon:.0}");
    let annotate = ["annotate", "tenant", &name, "--field-manager=by-hand", &word];
    stage.cluster.lab.kubectl(&annotate, "").unwrap();
    stage.not_hindered_by(5, "AllVanished").await;
    stage.change(5, &json!({"suspend": false}));
    clears(stage, 5).await;
}

async fn a_mark_is_there_twice(stage: &Stage) {
    let place =
        ["-folder", "/DC0/vm/Tenants/t0002", "-pool", "/DC0/host/DC0_C0/Resources", "-ds", "LocalDS_0"];
    stage.govc(&[&["vm.clone", "-vm", &path(2, 1)], &place[..], &["-on=false", "twin"]].concat());
    let mark = stage.vm(&path(2, 1))["extraConfig"]["vertskommune.mark"].as_str().unwrap().to_owned();
    stage.govc(&[
        "vm.change",
        "-vm",
        "/DC0/vm/Tenants/t0002/twin",
        "-e",
        &format!("vertskommune.mark={mark}"),
    ]);
    stage.hindered(2, "Ambiguous", "remove our mark from all but one").await;
    stage.govc(&["vm.change", "-vm", "/DC0/vm/Tenants/t0002/twin", "-e", "vertskommune.mark="]);
    clears(stage, 2).await;
}

async fn more_is_destroyed_than_the_budget_allows(stage: &Stage) {
    of_host(stage, &json!({"budget": {"destructiveStepsPerHour": 1}}));
    stage.change(2, &json!({"compute": {"retireAfter": "1s"}, "servers": []}));
    let approve = "kubectl vertskommune approve t0002 ";
    stage.hindered(2, "ApprovalNeeded", approve).await;
    approve_all(stage, 2, 2).await;
    let release = "set spec.destructionReleasedUntil of HostProvider vcenter-main";
    stage.hindered(2, "DestructionHalted", release).await;
    of_host(stage, &json!({"destructionReleasedUntil": FOR_EVER}));
    clears(stage, 2).await;
}

async fn a_tenant_leaves(stage: &Stage) {
    stage.change(3, &json!({"deletionPolicy": {"servers": "Remove"}, "compute": {"retireAfter": "1s"}}));
    let name = tenant_name(3);
    take_away_with_servers(stage, &name);
    stage.hindered(3, "Leaving", "it goes when all is removed").await;
    approve_all(stage, 3, 2).await;
    stage.cluster.left(&name).await;
}

/// Deletes a manifest whose servers go with it, which takes a word of its own.
fn take_away_with_servers(stage: &Stage, name: &str) {
    let word = format!("vertskommune.no/confirm-removal={name}");
    stage.cluster.lab.kubectl(&["annotate", "tenant", name, &word], "").unwrap();
    stage.cluster.lab.kubectl(&["delete", "tenant", name, "--wait=false"], "").unwrap();
}

/// Waits until so many steps wait for a word, and gives it for each.
async fn approve_all(stage: &Stage, number: u16, count: usize) {
    let name = tenant_name(number);
    let waiting = |tenant: &Json| -> Vec<String> {
        let steps = tenant["status"]["plan"]["steps"].as_array().into_iter().flatten();
        let named =
            steps.filter(|it| it["class"] == "destroy" && it["waiting"]["reason"] == "ApprovalNeeded");
        named.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let tenant = stage.tenant(number, "waiting for words", |it| waiting(it).len() == count).await;
    let ids = waiting(&tenant);
    let ids = ids.iter().map(String::as_str);
    let arguments: Vec<&str> = ["approve", &name].into_iter().chain(ids).chain(["--apply"]).collect();
    let (code, out, err) = stage.cluster.plugin(&arguments).unwrap();
    assert_eq!(code, Some(0), "{out}{err}");
}
