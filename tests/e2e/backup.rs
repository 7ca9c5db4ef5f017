//! Backups as a whole: what the vCenter's disks hold lies in the second room, taken by the real program and read by the
//! stock one, and a controller that dies in the middle leaves nothing behind.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use vertskommune_tests::alerts::Metrics;
use vertskommune_tests::estate::{
    Cluster, Controller, NAMESPACE, condition, server_name, tenant, tenant_name,
};
use vertskommune_tests::lab::VCenter;
use vertskommune_tests::room::Room;

/// How long a first backup and its proofs may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// A cluster, a vCenter and a second room.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) room: Arc<Room>,
    pub(crate) metrics: Metrics,
    controller: Option<Controller>,
}

impl Scene {
    /// Sets it up, or says that it is skipped.
    async fn set() -> Option<Self> {
        let mut scene = Self::set_with(&[]).await?;
        scene.restart();
        Some(scene)
    }

    /// The same with these options of the lab, and without a controller.
    pub(crate) async fn set_with(options: &[&str]) -> Option<Self> {
        let cluster = Cluster::start_with(&[&["--vcenters", "1"], options].concat()).await?;
        let room = Arc::new(Room::start("ext4", "1G")?);
        let way = room.way().unwrap();
        room.order("keep").unwrap();
        let escrow = room.file("escrow.key");
        assert!(Command::new("age-keygen").arg("-o").arg(&escrow).output().unwrap().status.success());
        let recipient = Command::new("age-keygen").arg("-y").arg(&escrow).output().unwrap().stdout;
        let agent = std::fs::read_to_string(room.file("agent")).unwrap();
        cluster.apply_host(&cluster.lab.peers.vcenters[0]).unwrap();
        cluster
            .apply(&json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "second-room", "namespace": NAMESPACE},
                "stringData": {"id_ed25519": agent},
            }))
            .unwrap();
        cluster
            .apply(&json!({
                "apiVersion": "vertskommune.no/v1alpha1", "kind": "HostProvider", "metadata": {"name": "second-room"},
                "spec": {
                    "plugin": "backup",
                    "endpoint": format!("ssh://127.0.0.1:{}", way.port),
                    "identity": room.place.host_key,
                    "credentials": {"secretName": "second-room"},
                    "site": "server-room-2",
                    "mode": "Manage",
                    "budget": {"concurrency": 2, "requestsPerSecond": 50},
                    "settings": {"escrowRecipient": String::from_utf8(recipient).unwrap().trim()},
                },
            }))
            .unwrap();
        Some(Self { cluster, room, metrics: Metrics::at_a_free_address(), controller: None })
    }

    fn kill(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.kill();
        }
    }

    /// Kills the program where it runs, and starts it anew.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.metrics = Metrics::at_a_free_address();
        self.controller = Some(self.cluster.process_at(self.metrics.0).unwrap());
    }

    async fn stop(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.stop().await;
        }
    }

    pub(crate) fn vcenter(&self) -> &VCenter {
        &self.cluster.lab.peers.vcenters[0]
    }

    pub(crate) async fn ask(&self, path: &str) -> Json {
        self.vcenter().admin("GET", path, Json::Null).await.unwrap()
    }

    async fn protected(&self, number: u16) -> Json {
        let begun = Instant::now();
        loop {
            let tenant = self.cluster.find(&tenant_name(number)).await.unwrap().unwrap_or_default();
            if condition(&tenant, "Protected") == "True" {
                return tenant;
            }
            assert!(begun.elapsed() < PATIENCE, "it is not protected: {tenant:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until `BackupReady` of a tenant is not True and says this.
    async fn told(&self, number: u16, what: &str) {
        let begun = Instant::now();
        loop {
            let tenant = self.cluster.find(&tenant_name(number)).await.unwrap().unwrap_or_default();
            let mut said = tenant["status"]["conditions"].as_array().into_iter().flatten();
            let said = said.find(|it| it["type"] == "BackupReady" && it["status"] != "True");
            if said.is_some_and(|said| said["message"].as_str().unwrap_or_default().contains(what)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "BackupReady does not say {what:?}: {tenant:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until bytes of a disk flow.
    pub(crate) async fn is_read(&self) {
        let begun = Instant::now();
        loop {
            let leases = self.ask("/leases").await;
            let is_reading = |it: &Json| it["disks"][0]["requests"].as_u64().unwrap_or_default() > 0;
            if leases.as_array().unwrap().iter().any(is_reading) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no backup begins: {leases:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no server has a snapshot.
    async fn no_snapshot_stays(&self) {
        let begun = Instant::now();
        while self.ask("/snapshots").await != json!([]) {
            assert!(begun.elapsed() < PATIENCE, "a snapshot stays on a server");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Runs the stock restic in the room on a tenant's repository, with what `password` is: a shell's word.
    fn restic(&self, number: u16, password: &str, arguments: &str, input: &str) -> String {
        let repository = self.repository(number);
        let script = format!(
            "restic --no-cache --no-lock --quiet --repo {repository} --password-file {password} {arguments}"
        );
        let output = self.room.inside_with(&script, input.as_bytes()).unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn repository(&self, number: u16) -> String {
        format!("{}/lab/{}/repository", self.room.place.root.display(), tenant_name(number))
    }

    /// The tenant's own password.
    pub(crate) fn password(&self, number: u16) -> String {
        let name = format!("backup-{}", tenant_name(number));
        let template = "go-template={{.data.password|base64decode}}";
        self.cluster.lab.kubectl(&["get", "secret", &name, "-n", NAMESPACE, "-o", template], "").unwrap()
    }

    /// Every disk of a tenant's servers lies in its repository with the bytes that it has.
    async fn has_all_bytes(&self, number: u16, password: &str, input: &str) {
        let listed = self.restic(number, password, "snapshots --json", input);
        let listed: Vec<Json> = serde_json::from_str(&listed).unwrap();
        for server in [1, 2].map(|index| server_name(number, index)) {
            let disks = self.ask(&format!("/disks?vm={server}")).await;
            for (disk, original) in ["system", "data"].iter().zip(disks.as_array().unwrap()) {
                let path = format!("/{server}/{disk}.raw");
                let snapshot = listed.iter().rfind(|it| it["paths"] == json!([path]));
                let id = snapshot.unwrap_or_else(|| panic!("no {path}: {listed:#?}"))["id"].as_str().unwrap();
                let sum = self.restic(number, password, &format!("dump {id} {path} | sha256sum"), input);
                assert_eq!(sum.split(' ').next(), original["sha256"].as_str(), "{path}");
            }
        }
    }
}

/// A small tenant whose turn has come.
pub(crate) fn backed_up(number: u16) -> Json {
    backed_up_from(number, Timestamp::now() - SignedDuration::from_mins(20))
}

/// A small tenant with this night.
pub(crate) fn backed_up_from(number: u16, start: Timestamp) -> Json {
    let mut tenant = tenant(number);
    tenant["spec"]["backup"] = json!({
        "provider": "second-room",
        "window": {"start": start.strftime("%H:%M").to_string(), "duration": "40m", "timeZone": "Etc/UTC"},
        "retention": {"daily": 7},
        "proof": {"what": "EveryDisk"},
    });
    tenant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_backup_is_proven_and_the_stock_program_has_every_byte() {
    let Some(mut scene) = Scene::set().await else { return };
    scene.cluster.apply(&backed_up(1)).unwrap();
    let tenant = scene.protected(1).await;
    assert_eq!(condition(&tenant, "BackupReady"), "True", "{tenant:#}");
    assert_eq!(scene.ask("/snapshots").await, json!([]), "no snapshot stays on a server");
    scene.stop().await;

    let password = scene.password(1);
    scene.has_all_bytes(1, "/dev/stdin", &password).await;
    scene.restic(1, "/dev/stdin", "check --read-data", &password);
    // The cluster is gone with all its secrets: what is left is the room, and a key in a safe.
    scene.cluster.clear().unwrap();
    let key = scene.room.file("escrow.key");
    let escrow = format!("<(age --decrypt --identity {} {}/escrow.age)", key.display(), scene.repository(1));
    scene.has_all_bytes(1, &escrow, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_dies_in_a_backup_leaves_nothing_and_loses_nothing() {
    let Some(mut scene) = Scene::set().await else { return };
    // So slowly that there is a middle.
    scene.vcenter().admin("POST", "/export", json!({"rate": 1_000_000, "max": 2})).await.unwrap();
    scene.cluster.apply(&backed_up(1)).unwrap();
    scene.is_read().await;
    scene.kill();
    // Its night is over when it comes back: the snapshot goes all the same.
    let later = Timestamp::now() + SignedDuration::from_hours(12);
    scene.cluster.apply(&backed_up_from(1, later)).unwrap();
    scene.restart();
    scene.no_snapshot_stays().await;
    scene.cluster.apply(&backed_up(1)).unwrap();
    scene.is_read().await;
    scene.restart();
    scene.protected(1).await;
    assert_eq!(scene.ask("/snapshots").await, json!([]), "the dead one's snapshots are gone too");
    scene.stop().await;
    let password = scene.password(1);
    assert_eq!(scene.restic(1, "/dev/stdin", "list locks", &password), "");
    scene.restic(1, "/dev/stdin", "check", &password);
    scene.has_all_bytes(1, "/dev/stdin", &password).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_cut_off_or_full_is_told_and_the_backup_is_taken_once_it_is_well_again() {
    let Some(mut scene) = Scene::set().await else { return };
    scene.vcenter().admin("POST", "/export", json!({"rate": 1_000_000, "max": 2})).await.unwrap();
    scene.cluster.apply(&backed_up(1)).unwrap();
    scene.is_read().await;
    scene.room.order("fill").unwrap();
    scene.told(1, "room in the store").await;
    scene.no_snapshot_stays().await;
    scene.room.order("drain").unwrap();
    // The next try, a minute later.
    scene.is_read().await;
    scene.room.order("cut").unwrap();
    scene.told(1, "no answer").await;
    scene.no_snapshot_stays().await;
    scene.room.order("mend").unwrap();
    scene.vcenter().admin("DELETE", "/export", Json::Null).await.unwrap();
    scene.protected(1).await;
    scene.stop().await;
    let password = scene.password(1);
    assert_eq!(scene.restic(1, "/dev/stdin", "list locks", &password), "");
    scene.restic(1, "/dev/stdin", "check --read-data", &password);
    scene.has_all_bytes(1, "/dev/stdin", &password).await;
}
