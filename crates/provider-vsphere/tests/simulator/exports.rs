//! Servers given out for a backup: their disks byte for byte, and no snapshot of ours left whatever happens.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use vertskommune_core::backup::facts::{Hindrance, Obstacle};
use vertskommune_core::observation::Busy;
use vertskommune_core::step::Wait;
use vertskommune_provider::context::{Always, Never};
use vertskommune_provider::testing::Cut;
use vertskommune_provider::testing::conformance::Peer as _;
use vertskommune_provider::{Ctx, Export, ExportError, Provider, ProviderError, Wanted};
use vsphere_client::NewSnapshot;

use crate::lab::{TestPeer, VCenter};
use crate::tenant::{self, small};
use crate::{ctx, drive};

const VM: &str = "dyr-fs01";
const PATH: &str = "/DC0/vm/Tenants/dyroy/dyr-fs01";

/// A vCenter with a server of a system disk and a data disk.
struct Scene {
    peer: TestPeer,
    provider: Arc<dyn Provider>,
    ctx: Ctx,
    run: String,
}

impl Scene {
    async fn set(peer: TestPeer, run: &str) -> Self {
        drive(&peer, small()).converge().await;
        let (provider, ctx) = (peer.provider(), ctx(&peer, Arc::new(Always)));
        Self { provider, ctx, peer, run: format!("20261128T2215{run}Z") }
    }

    fn vcenter(&self) -> &VCenter {
        &self.peer.0
    }

    fn wanted(&self) -> Wanted {
        Wanted { tenant: "dyroy".into(), server: VM.to_owned(), run: self.run.clone() }
    }

    async fn export(&self) -> Result<Box<dyn Export>, ExportError> {
        self.provider.exports().unwrap().export(&self.wanted(), &self.fresh()).await
    }

    /// Of its own deadline: a test does many things, on a machine that may be busy.
    fn fresh(&self) -> Ctx {
        Ctx { deadline: tokio::time::Instant::now() + Duration::from_mins(1), ..self.ctx.clone() }
    }

    /// Why a server is not given out, without what vCenter said of it.
    async fn hindered(&self) -> Vec<(Option<String>, Hindrance)> {
        match self.export().await.map(drop) {
            Err(ExportError::Hindered(obstacles)) => words(&obstacles),
            other => panic!("{other:?}"),
        }
    }

    async fn tidy(&self) -> Result<usize, ProviderError> {
        self.provider.exports().unwrap().tidy(&"dyroy".into(), &self.fresh()).await
    }

    async fn ask(&self, path: &str) -> Json {
        self.vcenter().admin(Method::GET, path, None).await
    }

    async fn order(&self, path: &str, body: Json) {
        self.vcenter().admin(Method::POST, path, Some(body)).await;
    }

    /// The descriptions of all snapshots that there are.
    async fn snapshots(&self) -> Vec<String> {
        let all = self.ask("/snapshots").await;
        let text = |it: &Json| it["description"].as_str().unwrap_or_default().to_owned();
        all.as_array().unwrap().iter().map(text).collect()
    }

    /// How the last lease ended.
    async fn ended(&self) -> Json {
        self.ask("/leases").await.as_array().unwrap().last().unwrap()["ended"].clone()
    }

    async fn take(&self, description: &str) {
        self.take_of(PATH, description).await;
    }

    async fn take_of(&self, path: &str, description: &str) {
        let client = self.vcenter().client().await;
        let vm = client.find_by_inventory_path(path.trim_start_matches('/')).await.unwrap().unwrap();
        let new = NewSnapshot { name: "one".to_owned(), description: description.to_owned(), quiesce: false };
        let _ = client.writer(&|| Ok(())).create_snapshot(&vm, &new).await.unwrap();
        self.until(|all| all.iter().any(|it| it == description)).await;
    }

    /// Waits until such a call has come.
    async fn until_write(&self, method: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.peer.journal().await.iter().any(|write| write.starts_with(method)) {
            assert!(Instant::now() < until, "no {method}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until(&self, is_so: impl Fn(&[String]) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let all = self.snapshots().await;
            if is_so(&all) {
                return;
            }
            assert!(Instant::now() < until, "{all:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

macro_rules! scene {
    ($run:literal) => {
        Scene::set(peer!(), $run).await
    };
}

fn words(obstacles: &[Obstacle]) -> Vec<(Option<String>, Hindrance)> {
    obstacles.iter().map(|it| (it.disk.clone(), it.why)).collect()
}

/// Reads a disk to its end: its length and its hash.
async fn read(export: &dyn Export, disk: &str) -> std::io::Result<(u64, String)> {
    let mut disk = export.read(disk).await.map_err(std::io::Error::other)?;
    let whole = move || {
        let (mut hash, mut length, mut piece) = (Sha256::new(), 0, vec![0; 1 << 20]);
        loop {
            match disk.read(&mut piece)? {
                0 => break,
                count => {
                    hash.update(&piece[..count]);
                    length += count as u64;
                }
            }
        }
        Ok((length, hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))))
    };
    tokio::task::spawn_blocking(whole).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_disk_comes_byte_for_byte_and_nothing_stays() {
    let scene = scene!("01");
    let export = scene.export().await.unwrap();
    let taken = scene.ask("/snapshots").await;
    assert_eq!(taken[0]["description"], format!("vertskommune backup nord/dyroy/dyr-fs01 {}", scene.run));
    assert_eq!(taken[0]["quiesced"], true, "it runs");
    let snapshot = taken[0]["snapshot"].as_str().unwrap().to_owned();
    let originals = scene.ask(&format!("/disks?snapshot={snapshot}")).await;
    // What is written meanwhile is not in it.
    scene.vcenter().post(&format!("/disks/change?vm={VM}&grains=5")).await;
    let named: Vec<_> = export.disks().iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!((named, export.obstacles()), (vec!["system", "data"], &[][..]));
    for (disk, original) in export.disks().iter().zip(originals.as_array().unwrap()) {
        let (length, hash) = read(export.as_ref(), &disk.name).await.unwrap();
        assert_eq!(
            (length, json!(length), json!(hash)),
            (disk.bytes, original["bytes"].clone(), original["sha256"].clone())
        );
    }
    export.close(true).await.unwrap();
    assert_eq!((scene.ended().await, scene.snapshots().await), (json!("completed"), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_has_what_a_restore_needs_and_no_secret() {
    let scene = scene!("02");
    let secret = "guestinfo.userdata=first-password";
    scene.vcenter().govc(&[
        "vm.change",
        "-vm",
        PATH,
        "-e",
        secret,
        "-annotation",
        "password: first-password",
    ]);
    let export = scene.export().await.unwrap();
    let configuration = export.configuration().clone();
    export.close(false).await.unwrap();
    assert!(!configuration.to_string().contains("first-password"), "{configuration:#}");
    let machine = &configuration["machine"];
    let hardware = (&machine["vcpus"], &machine["memory"], &machine["power"]);
    assert_eq!(hardware, (&json!(4), &json!(4_u64 << 30), &json!("on")), "{configuration:#}");
    assert!(machine["guestId"].is_string() && machine["hardwareVersion"].is_string(), "{configuration:#}");
    let data = &configuration["disks"][1];
    assert_eq!((&data["name"], &data["bytes"]), (&json!("data"), &json!(16 << 20)), "{configuration:#}");
    assert!(data["controller"]["kind"].is_string() && data["unit"].is_number(), "{configuration:#}");
    assert_eq!(configuration["interfaces"][0]["network"], "dyroy-servers", "{configuration:#}");
    assert_eq!(configuration["takenFrom"]["quiesced"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_on_a_server_is_waited_for_as_what_it_is() {
    let scene = scene!("03");
    let mut drive = drive(&scene.peer, small());
    let export = scene.export().await.unwrap();
    let plan = drive.look().await;
    assert!(plan.is_empty(), "a server that is as it should be stays so: {plan:#?}");
    drive.tenant.servers[0].disks.push(tenant::disk("more", 1, None));
    let plan = drive.look().await;
    assert_eq!(plan.steps[0].wait, Some(Wait::Busy(Busy::Backup)), "{plan:#?}");
    // With somebody else's beside it, somebody has to look.
    scene.take("before the patch").await;
    assert_eq!(drive.look().await.steps[0].wait, Some(Wait::Busy(Busy::Snapshot)));
    export.close(true).await.unwrap();
    assert_eq!(scene.snapshots().await, ["before the patch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_an_error_and_leaves_nothing() {
    let scene = scene!("04");
    let orders = [
        json!({"cut_after": 1_500_000, "max": 1}),
        json!({"truncate_after": 1_500_000, "max": 1}),
        json!({"code": 503, "max": 1}),
    ];
    for order in orders {
        scene.order("/export", order.clone()).await;
        let export = scene.export().await.unwrap();
        let error = read(export.as_ref(), "system").await.unwrap_err();
        export.close(false).await.unwrap();
        assert_eq!(
            (scene.ended().await, scene.snapshots().await),
            (json!("aborted"), vec![]),
            "{order}: {error}"
        );
    }
    scene.order("/export", json!({"fault": "FileFault", "max": 1})).await;
    assert_eq!(scene.hindered().await, [(None, Hindrance::ExportRefused)]);
    scene.order("/export", json!({"fault": "TaskInProgress", "max": 1})).await;
    let error = scene.export().await.map(drop).unwrap_err();
    assert!(matches!(error, ExportError::Failed(ProviderError::Conflict(_))), "{error:?}");
    assert_eq!(scene.snapshots().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_ends_the_stream_and_the_snapshot_goes_all_the_same() {
    let scene = scene!("05");
    scene.vcenter().post("/lease-timeout?s=1").await;
    scene.order("/export", json!({"rate": 1_000_000})).await;
    let export = scene.export().await.unwrap();
    let expires = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        scene.vcenter().post("/sessions/expire").await;
    };
    let (read, ()) = tokio::join!(read(export.as_ref(), "system"), expires);
    assert!(read.is_err(), "{read:?}");
    export.close(false).await.unwrap();
    assert_eq!(scene.snapshots().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_rest_is_named_and_one_that_is_off_need_not() {
    let scene = scene!("06");
    scene.vcenter().post(&format!("/quiesce?vm={VM}")).await;
    assert_eq!(scene.hindered().await, [(None, Hindrance::QuiesceFailed)]);
    assert_eq!(scene.snapshots().await, [""; 0]);
    scene.vcenter().govc(&["vm.power", "-off", "-force", PATH]);
    let export = scene.export().await.unwrap();
    assert_eq!(scene.ask("/snapshots").await[0]["quiesced"], false);
    export.close(true).await.unwrap();
    assert_eq!(scene.snapshots().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_snapshot_holds_is_named_and_the_rest_comes() {
    let scene = scene!("07");
    let disks = scene.ask(&format!("/disks?vm={VM}")).await;
    let data = disks[1]["key"].clone();
    scene.order("/obstacle", json!({"vm": VM, "disk": data, "mode": "independent_persistent"})).await;
    let export = scene.export().await.unwrap();
    assert_eq!(words(export.obstacles()), [(Some("data".to_owned()), Hindrance::IndependentDisk)]);
    assert_eq!(export.disks().iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>(), ["system"]);
    assert!(export.read("data").await.is_err());
    assert_eq!(export.configuration()["disks"].as_array().unwrap().len(), 2);
    export.close(true).await.unwrap();
    scene.order("/obstacle", json!({"vm": VM, "disk": data, "rdm": "physicalMode"})).await;
    let export = scene.export().await.unwrap();
    let rdm = (Some("data".to_owned()), Hindrance::RawDeviceMapping);
    assert!(words(export.obstacles()).contains(&rdm), "{:?}", export.obstacles());
    export.close(true).await.unwrap();
    scene.vcenter().post("/journal/reset").await;
    scene.order("/obstacle", json!({"vm": VM, "tpm": true})).await;
    assert!(scene.hindered().await.contains(&(None, Hindrance::Encrypted)));
    assert_eq!(scene.peer.journal().await, [""; 0], "no snapshot is taken for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_permit_nothing_is_taken_and_nothing_removed() {
    let mut scene = scene!("08");
    scene.take("vertskommune backup nord/dyroy/dyr-fs01 20261101T000000Z").await;
    scene.ctx.permit = Arc::new(Never);
    let error = scene.export().await.map(drop).unwrap_err();
    assert!(matches!(error, ExportError::Failed(ProviderError::NotPermitted(_))), "{error:?}");
    assert!(matches!(scene.tidy().await, Err(ProviderError::NotPermitted(_))));
    assert_eq!(scene.snapshots().await.len(), 1);
    // A process that stops ends in good order what it has begun, and begins nothing.
    scene.ctx.permit = Arc::new(Always);
    let export = scene.export().await.unwrap();
    scene.ctx.cancel.cancel();
    export.close(false).await.unwrap();
    assert_eq!(scene.snapshots().await, [""; 0]);
    let error = scene.export().await.map(drop).unwrap_err();
    assert!(matches!(error, ExportError::Failed(ProviderError::NotPermitted(_))), "{error:?}");
    assert_eq!(scene.snapshots().await, [""; 0]);
}

/// Counts what exports warn of.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().ends_with("::exports")
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_ours_and_left_is_tidied_away() {
    let scene = scene!("09");
    let strangers = [
        "before the patch",
        "vertskommune backup sor/dyroy/dyr-fs01 20261101T000000Z",
        "vertskommune backup nord/ibestad/dyr-fs01 20261101T000000Z",
        "vertskommune backup nord/dyroy/dyr-fs01",
    ];
    for stranger in strangers {
        scene.take(stranger).await;
    }
    let export = scene.export().await.unwrap();
    scene.take("vertskommune backup nord/dyroy/dyr-fs01 20261101T000000Z").await;
    let warnings = Warnings::default();
    let logs = tracing::subscriber::set_default(warnings.clone());
    assert_eq!(scene.tidy().await, Ok(1));
    assert_eq!(scene.tidy().await, Ok(0));
    drop(logs);
    assert_eq!(
        warnings.0.load(Ordering::Relaxed),
        1,
        "what was removed is logged here, and nothing of nothing"
    );
    let mut left = scene.snapshots().await;
    left.retain(|it| !strangers.contains(&it.as_str()));
    assert_eq!(left, [format!("vertskommune backup nord/dyroy/dyr-fs01 {}", scene.run)], "an open one stays");
    let (_, hash) = read(export.as_ref(), "data").await.unwrap();
    assert_eq!(hash.len(), 64, "and can still be read");
    let again = scene.export().await.map(drop).unwrap_err();
    assert!(matches!(again, ExportError::Failed(ProviderError::Conflict(_))), "{again:?}");
    // One that nobody closes goes by itself.
    drop(export);
    scene.until(|all| all.len() == strangers.len()).await;
    assert_eq!(scene.ended().await, "aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_write_leaves_nothing_that_is_not_found() {
    let scene = scene!("10");
    let mut visited = 0;
    for nth in 0.. {
        let mut fired = false;
        for cut in [Cut::Before, Cut::After] {
            scene.peer.cut(nth, cut).await;
            // The process that dies has a provider of its own, and knows nothing afterwards.
            let dying = Scene {
                provider: scene.peer.provider(),
                peer: scene.peer.clone(),
                ctx: ctx(&scene.peer, Arc::new(Always)),
                run: format!("20261128T23{nth:02}{:02}Z", u8::from(cut == Cut::After)),
            };
            if let Ok(export) = dying.export().await {
                let _ = read(export.as_ref(), "data").await;
                let _ = export.close(true).await;
            }
            fired |= scene.vcenter().admin(Method::GET, "/cut", None).await["fired"] == true;
            scene.peer.reset().await;
            assert_eq!(scene.snapshots().await, [""; 0], "{nth} {cut:?}: one lost answer leaves nothing");
            let until = Instant::now() + Duration::from_secs(10);
            loop {
                // A later process: as the engine does, again after an error that passes.
                match scene.tidy().await {
                    Ok(_) => break,
                    Err(error) => assert!(Instant::now() < until, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            scene.until(<[String]>::is_empty).await;
        }
        if !fired {
            break;
        }
        visited += 1;
    }
    assert!(visited >= 4, "snapshot, lease, its end and removal are writes: {visited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_vcenter_has_forgotten_leaves_no_snapshot() {
    let scene = scene!("11");
    let export = scene.export().await.unwrap();
    scene.vcenter().post("/tasks/forget").await;
    export.close(true).await.unwrap();
    assert_eq!(scene.snapshots().await, [""; 0]);
    // The same where nobody has seen its end.
    scene.order("/task-delay", json!({"CreateSnapshotEx": 1000})).await;
    let forgets = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        scene.ctx.cancel.cancel();
        for _ in 0..100 {
            scene.vcenter().post("/tasks/forget").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (export, ()) = tokio::join!(scene.export(), forgets);
    let error = export.map(drop).unwrap_err();
    assert!(matches!(error, ExportError::Failed(ProviderError::NotPermitted(_))), "{error:?}");
    assert_eq!(scene.snapshots().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vcenter_that_is_away_at_the_end_keeps_no_snapshot() {
    let scene = scene!("12");
    let export = scene.export().await.unwrap();
    scene.vcenter().post("/pause").await;
    let closing = tokio::spawn(export.close(false));
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.vcenter().post("/resume").await;
    closing.await.unwrap().unwrap();
    assert_eq!(scene.snapshots().await, [""; 0]);
    // One that starts anew knows no session, and answers with a status for a while.
    let export = scene.export().await.unwrap();
    scene.vcenter().post("/sessions/expire").await;
    scene.vcenter().post("/http?code=503&count=3").await;
    export.close(false).await.unwrap();
    assert_eq!(scene.snapshots().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_machine_that_is_stuck_does_not_keep_the_others_from_being_tidied() {
    let scene = scene!("13");
    let mut drive = drive(&scene.peer, small());
    drive.tenant.servers.push(tenant::second());
    drive.converge().await;
    scene.take("vertskommune backup nord/dyroy/dyr-fs01 20261101T000000Z").await;
    let other = "vertskommune backup nord/dyroy/dyr-app01 20261101T000000Z";
    scene.take_of("/DC0/vm/Tenants/dyroy/dyr-app01", other).await;
    let fault = json!({"method": "RemoveSnapshot_Task", "type": "FileFault", "in_task": true, "max": 1});
    scene.order("/fault", fault).await;
    let stuck = scene.tidy().await;
    assert!(matches!(stuck, Err(ProviderError::Refused(_))), "{stuck:?}");
    assert_eq!(scene.snapshots().await.len(), 1);
    assert_eq!(scene.tidy().await, Ok(1));
    assert_eq!(scene.snapshots().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_machine_that_is_off_is_at_rest_by_itself() {
    let scene = scene!("14");
    let power = |how: &str| drop(scene.vcenter().govc(&["vm.power", how, "-force", PATH]));
    power("-suspend");
    assert_eq!(scene.hindered().await, [(None, Hindrance::QuiesceFailed)]);
    // One that is started while its snapshot is taken.
    power("-off");
    scene.peer.reset().await;
    scene.order("/task-delay", json!({"CreateSnapshotEx": 2000})).await;
    let starts = async {
        scene.until_write("CreateSnapshot_Task").await;
        power("-on");
    };
    let (hindered, ()) = tokio::join!(scene.hindered(), starts);
    assert_eq!(hindered, [(None, Hindrance::QuiesceFailed)]);
    assert_eq!(scene.snapshots().await, [""; 0]);
    // One that is started while what another export has left is removed.
    power("-off");
    scene.order("/task-delay", json!({"CreateSnapshotEx": 0, "RemoveSnapshot": 2000})).await;
    scene.take("vertskommune backup nord/dyroy/dyr-fs01 20261101T000000Z").await;
    scene.peer.reset().await;
    let starts = async {
        scene.until_write("RemoveSnapshot_Task").await;
        power("-on");
    };
    let (export, ()) = tokio::join!(scene.export(), starts);
    let export = export.unwrap();
    assert_eq!(scene.ask("/snapshots").await[0]["quiesced"], true);
    assert_eq!(export.configuration()["machine"]["power"], "on");
    export.close(false).await.unwrap();
    assert_eq!(scene.snapshots().await, [""; 0]);
}
