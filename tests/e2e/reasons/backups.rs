//! What keeps a tenant from being protected, by disks of the vCenter and a second room that are as they are told to be.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use vertskommune_tests::alerts::{Alerts, Case, without_others};
use vertskommune_tests::estate::{Cluster, server, server_name, tenant_name};

use crate::backup::{Scene, backed_up_from};

/// In the vCenter's hand and in the room's there is a tenant for each.
const SAME_ROOM: u16 = 1;
const TOO_LONG: u16 = 2;
const NOBODY: u16 = 3;
const OTHERS_JOB: u16 = 4;
const OBSTACLES: u16 = 5;
const NIGHTS: u16 = 6;

/// How long somebody else's work on a repository may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// In seconds.
const DAY: u32 = 24 * 3600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_names_what_keeps_a_tenant_from_being_protected() {
    let Some(mut scene) = Scene::set_with(&[]).await else { return };
    let Some(alerts) = Alerts::of_the_lab() else { return };
    scene.restart();
    // While the others are made.
    for number in [OBSTACLES, NIGHTS] {
        scene.cluster.apply(&small(number)).unwrap();
    }
    what_cannot_be_as_it_is_written(&scene).await;
    another_products_job(&scene, &alerts).await;
    what_is_yet_to_come(&scene, &alerts).await;
    a_clock_that_is_wrong(&scene).await;
    what_lies_there_is_lost_or_damaged(&scene, &alerts).await;
    what_is_of_another_version(&scene).await;
    what_has_no_snapshot(&scene).await;
}

/// With one server, whose night is not now.
fn small(number: u16) -> Json {
    let mut tenant = backed_up_from(number, Timestamp::now() + SignedDuration::from_hours(12));
    tenant["spec"]["servers"] = json!([server(number, 1)]);
    tenant
}

fn change(scene: &Scene, number: u16, spec: &Json) {
    scene.cluster.patch("tenant", &tenant_name(number), &json!({ "spec": spec })).unwrap();
}

/// Changes there are noticed within half a minute by themselves.
fn look_at_the_room(cluster: &Cluster) {
    cluster.request("hostprovider", "second-room").unwrap();
}

/// What the controller tells of a tenant that is or is not protected for this reason, as if there were no other.
async fn told(scene: &Scene, number: u16, reason: &str) -> String {
    let name = tenant_name(number);
    let is_it = |line: &str| {
        let of_it = line.starts_with(&format!(
            "vertskommune_tenant_condition{{tenant=\"{name}\",condition=\"Protected\""
        ));
        of_it && line.ends_with(&format!("reason=\"{reason}\"}} 1"))
    };
    let told = scene.metrics.tells_that(reason, |text| text.lines().any(is_it)).await;
    without_others(&told, &name)
}

/// As people ask for it: `kubectl vertskommune reconcile TENANT --backup`.
fn back_up_now(cluster: &Cluster, number: u16) {
    let (code, out, err) = cluster.plugin(&["reconcile", &tenant_name(number), "--backup"]).unwrap();
    assert_eq!(code, Some(0), "{out}{err}");
}

async fn what_cannot_be_as_it_is_written(scene: &Scene) {
    let cluster = &scene.cluster;
    let found = cluster.lab.kubectl(&["get", "hostprovider", "second-room", "-o", "json"], "").unwrap();
    let found: Json = serde_json::from_str(&found).unwrap();
    for (name, site, settings) in [
        ("same-room", json!("server-room-1"), found["spec"]["settings"].clone()),
        ("broken-room", json!("server-room-2"), json!({})),
    ] {
        let mut spec = found["spec"].clone();
        (spec["site"], spec["settings"]) = (site, settings);
        let metadata = json!({ "name": name });
        let host = json!({"apiVersion": found["apiVersion"], "kind": "HostProvider", "metadata": metadata, "spec": spec});
        cluster.apply(&host).unwrap();
    }
    for (number, provider) in [(SAME_ROOM, "same-room"), (TOO_LONG, "second-room"), (NOBODY, "broken-room")] {
        let mut tenant = small(number);
        tenant["spec"]["backup"]["provider"] = json!(provider);
        if number == TOO_LONG {
            tenant["spec"]["servers"][0]["disks"][0]["size"] = json!("400Gi");
        }
        cluster.apply(&tenant).unwrap();
    }
    let [same_room, too_long, nobody] = [SAME_ROOM, TOO_LONG, NOBODY].map(tenant_name);
    cluster.hindered(&same_room, "SameSite", "name a backup provider in another room").await;
    // Backups do not move, and there are none yet.
    change(scene, SAME_ROOM, &json!({ "backup": null }));
    cluster.apply(&small(SAME_ROOM)).unwrap();
    look_at_the_room(cluster);
    cluster.not_hindered_by(&same_room, "SameSite").await;

    cluster.hindered(&too_long, "BackupWindowTooShort", "a longer duration").await;
    change(scene, TOO_LONG, &json!({"backup": {"window": {"duration": "8h"}}}));
    cluster.not_hindered_by(&too_long, "BackupWindowTooShort").await;

    cluster.hindered(&nobody, "NoProvider", "name a HostProvider of the plugin backup that is Ready").await;
    cluster.hindered(&nobody, "NotSupported", "a version or plugin that can").await;
    let settings = json!({"spec": {"settings": found["spec"]["settings"]}});
    cluster.patch("hostprovider", "broken-room", &settings).unwrap();
    cluster.not_hindered_by(&nobody, "NotSupported").await;
    cluster.not_hindered_by(&nobody, "NoProvider").await;
    for name in [same_room, too_long, nobody] {
        cluster.lab.kubectl(&["delete", "tenant", &name, "--timeout=60s"], "").unwrap();
    }
    // They are all one room, which only one may have for long.
    for name in ["same-room", "broken-room"] {
        cluster.lab.kubectl(&["delete", "hostprovider", name, "--timeout=60s"], "").unwrap();
    }
}

async fn another_products_job(scene: &Scene, alerts: &Alerts) {
    let (cluster, name, job) = (&scene.cluster, tenant_name(OTHERS_JOB), "nightly");
    let mut watched = small(OTHERS_JOB);
    watched["spec"]["backup"] = json!({
        "provider": "second-room", "mode": "External", "external": {"job": job}, "proof": {"what": "OneDiskPerServer"},
    });
    cluster.apply(&watched).unwrap();
    cluster.hindered(&name, "NoJobStatus", "its post-job script runs as in deploy/second-room").await;
    let leave = |told: &Json| {
        let status =
            json!({"version": 1, "job": job, "servers": {server_name(OTHERS_JOB, 1): told}}).to_string();
        let output = scene.room.job_status(&status).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        look_at_the_room(cluster);
    };
    let ago = |hours: i64| Timestamp::now() - SignedDuration::from_hours(hours);
    let proven = |hours: i64| json!({"at": ago(hours), "outcome": "intact"});
    let well = json!({"lastGood": ago(3), "proof": proven(3)});
    leave(&well);
    cluster.unhindered(&name).await;
    let protected = told(scene, OTHERS_JOB, "FreshAndProven").await;

    let file = scene.room.place.root.join(".external/lab/nightly.json");
    scene.room.inside(&format!("echo '{{' >{}", file.display())).unwrap();
    look_at_the_room(cluster);
    let cases = [
        ("JobStatusUnreadable", "write what deploy/second-room/job-status writes", None),
        ("BackupTooOld", "see why none was taken", Some(json!({"lastGood": ago(72), "proof": proven(3)}))),
        ("ProofTooOld", "see why none was made", Some(json!({"lastGood": ago(3), "proof": proven(900)}))),
        ("ClockAhead", "set the clocks right", Some(json!({"lastGood": ago(-48), "proof": proven(3)}))),
        (
            "JobReports",
            "see the log of that job",
            Some(json!({"lastGood": ago(3), "proof": proven(3), "obstacle": "no snapshot"})),
        ),
    ];
    for (reason, advice, status) in cases {
        if let Some(status) = status {
            leave(&status);
        }
        cluster.hindered(&name, reason, advice).await;
        // What is too old is told at night as well.
        let too_old = ["BackupTooOld", "ProofTooOld"].contains(&reason);
        let cause = if too_old { Some(told(scene, OTHERS_JOB, reason).await) } else { None };
        leave(&well);
        cluster.unhindered(&name).await;
        if let Some(cause) = cause {
            let after = told(scene, OTHERS_JOB, "FreshAndProven").await;
            alerts.fire(&protected, &Case::of(&["VertskommuneTenantNotProtected"], cause, after));
        }
    }
}

async fn what_is_yet_to_come(scene: &Scene, alerts: &Alerts) {
    let (cluster, name) = (&scene.cluster, tenant_name(NIGHTS));
    cluster.hindered(&name, "NoBackupYet", "the next backup window brings it").await;
    let none_yet = told(scene, NIGHTS, "NoBackupYet").await;
    // So slowly that there is a middle.
    scene.vcenter().admin("POST", "/export", json!({"rate": 500_000, "max": 1})).await.unwrap();
    back_up_now(cluster, NIGHTS);
    scene.is_read().await;
    // It has been seen by then.
    cluster.ask("tenant", &name).await.unwrap();
    let mut first = server(NIGHTS, 1);
    first["disks"][0]["size"] = json!("12Gi");
    change(scene, NIGHTS, &json!({"servers": [first]}));
    cluster.hindered(&name, "BackupRunning", "its step runs when the backup has ended").await;
    scene.vcenter().admin("DELETE", "/export", Json::Null).await.unwrap();
    cluster.hindered(&name, "NeverProven", "the proof follows the first backup").await;
    cluster.unhindered(&name).await;
    // A newcomer's windows pass, and none brings a backup.
    let after = told(scene, NIGHTS, "FreshAndProven").await;
    let before = without_others(&after, "");
    let case = Case::of(&["VertskommuneTenantNotProtected"], none_yet, after);
    alerts.fire(&before, &Case { longer: 2 * DAY, ..case });
}

/// A backup and a proof that both fail: the agent tells another time than ours from now on.
async fn a_clock_that_is_wrong(scene: &Scene) {
    let (cluster, name) = (&scene.cluster, tenant_name(NIGHTS));
    scene.room.tell_tomorrow(true).unwrap();
    back_up_now(cluster, NIGHTS);
    cluster.hindered(&name, "BackupFailed", "mend what the message names").await;
    cluster.hindered(&name, "ProofFailed", "mend what the message names").await;
    scene.room.tell_tomorrow(false).unwrap();
    back_up_now(cluster, NIGHTS);
    cluster.unhindered(&name).await;
}

async fn what_lies_there_is_lost_or_damaged(scene: &Scene, alerts: &Alerts) {
    let (cluster, name) = (&scene.cluster, tenant_name(NIGHTS));
    // The same one back again, since the next backup brings others.
    let packs = format!("find {}/data -type f -size +1M | sort | head -1", scene.repository(NIGHTS));
    let pack = scene.room.inside(&packs).unwrap();
    let flip = || scene.room.flip_bit(pack.trim(), 500_000).unwrap();
    scene.room.order("keep").unwrap();
    flip();
    back_up_now(cluster, NIGHTS);
    cluster.hindered(&name, "CorruptionFound", "look at the disks of the second room").await;
    cluster.told_by_an_event(&name, "BackupDamaged").await;
    flip();
    back_up_now(cluster, NIGHTS);
    cluster.unhindered(&name).await;

    // Whoever has the tenant's credentials can do that.
    let before = told(scene, NIGHTS, "FreshAndProven").await;
    let gone = format!("cd {} && rm -rf config keys snapshots index data", scene.repository(NIGHTS));
    scene.room.inside(&gone).unwrap();
    look_at_the_room(cluster);
    cluster.hindered(&name, "RepositoryLost", "the keeper puts its copy back").await;
    let cause = told(scene, NIGHTS, "RepositoryLost").await;
    scene.room.order("keep").unwrap();
    look_at_the_room(cluster);
    cluster.unhindered(&name).await;
    let after = told(scene, NIGHTS, "FreshAndProven").await;
    alerts.fire(&before, &Case::of(&["VertskommuneBackupsLost"], cause, after));
}

/// Runs that in the room. While the controller has the repository locked, nobody else gets in.
async fn once_unlocked(scene: &Scene, script: &str) -> String {
    let begun = Instant::now();
    loop {
        match scene.room.inside(script) {
            Ok(said) => return said,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A newer version wrote down what this one has no word for.
async fn what_is_of_another_version(scene: &Scene) {
    let (cluster, name) = (&scene.cluster, tenant_name(NIGHTS));
    let restic = format!(
        "RESTIC_PASSWORD={} restic --quiet --no-cache --repo {}",
        scene.password(NIGHTS),
        scene.repository(NIGHTS)
    );
    let listed = once_unlocked(scene, &format!("{restic} snapshots --json")).await;
    let listed: Vec<Json> = serde_json::from_str(&listed).unwrap();
    // What a run came to stands with its configuration.
    let tells = |it: &&Json| {
        it["tags"].as_array().unwrap().iter().any(|tag| tag.as_str().unwrap().starts_with("seconds="))
    };
    let last = listed.iter().filter(tells).max_by_key(|it| it["time"].as_str().unwrap()).unwrap();
    let id = last["id"].as_str().unwrap();
    // What root writes there the account could not read.
    let repository = scene.repository(NIGHTS);
    let given = format!("chown --recursive --reference={repository}/config {repository}");
    once_unlocked(scene, &format!("{restic} tag --add obstacle=OnTheMoon {id} && {given}")).await;
    look_at_the_room(cluster);
    cluster.hindered(&name, "Other", "update vertskommune to a version that knows this word").await;
    back_up_now(cluster, NIGHTS);
    cluster.unhindered(&name).await;
}

async fn what_has_no_snapshot(scene: &Scene) {
    let (cluster, name) = (&scene.cluster, tenant_name(OBSTACLES));
    let servers: Vec<Json> = (1..=7).map(|index| server(OBSTACLES, index)).collect();
    let at = |index: u16| server_name(OBSTACLES, index);
    change(scene, OBSTACLES, &json!({ "servers": servers }));
    let is_made = |it: &Json| it["status"]["servers"]["summary"] == "7/7";
    cluster.wait_for(&name, "of seven servers", is_made).await.unwrap();
    let vcenter = scene.vcenter();
    let order = async |path: &str, body: Json| drop(vcenter.admin("POST", path, body).await.unwrap());
    let data = scene.ask(&format!("/disks?vm={}", at(1))).await[1]["key"].clone();
    order("/obstacle", json!({"vm": at(1), "disk": data, "rdm": "physicalMode"})).await;
    order("/obstacle", json!({"vm": at(2), "disk": data, "mode": "independent_persistent"})).await;
    order("/obstacle", json!({"vm": at(3), "tpm": true})).await;
    order("/obstacle", json!({"vm": at(4), "disk": data, "sharing": "sharingMultiWriter"})).await;
    order(&format!("/quiesce?vm={}", at(5)), Json::Null).await;
    let refused =
        |method: &str, name: String| json!({"method": method, "object": name, "type": "NotSupported"});
    order("/fault", refused("CreateSnapshot_Task", at(6))).await;
    order("/export", json!({"vm": at(7), "fault": "NotSupported"})).await;
    back_up_now(cluster, OBSTACLES);
    for (reason, advice) in [
        ("NotEverythingCanBeBackedUp", "exclude what is named in spec.backup"),
        ("RawDeviceMapping", "exclude the disk in spec.backup"),
        ("IndependentDisk", "set the disk's mode to dependent"),
        ("Encrypted", "exclude the server in spec.backup"),
        ("SharedDisk", "exclude the disk in spec.backup"),
        ("QuiesceFailed", "see in the guest why it does not hold still"),
        ("SnapshotRefused", "see in vSphere why no snapshot can be taken"),
        ("ExportRefused", "give the account the right VApp.Export"),
    ] {
        cluster.hindered(&name, reason, advice).await;
    }
    let exclude = json!([format!("{}/data", at(1)), at(3), format!("{}/data", at(4))]);
    change(scene, OBSTACLES, &json!({"backup": {"servers": {"exclude": exclude}}}));
    order("/obstacle", json!({"vm": at(2), "disk": data, "mode": "persistent"})).await;
    for path in ["/quiesce", "/fault", "/export"] {
        vcenter.admin("DELETE", path, Json::Null).await.unwrap();
    }
    back_up_now(cluster, OBSTACLES);
    cluster.unhindered(&name).await;
}
