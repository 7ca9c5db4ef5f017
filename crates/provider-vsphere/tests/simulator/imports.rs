//! Machines that are made anew from a backup: byte for byte, nobody's, and never half made.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value as Json, json};
use vertskommune_core::step::RefusalReason;
use vertskommune_provider::context::{Always, Never};
use vertskommune_provider::testing::Cut;
use vertskommune_provider::testing::conformance::Peer as _;
use vertskommune_provider::{Ctx, ExportedDisk, Import, NewServer, Provider, ProviderError, Wanted};
use vsphere_client::{Device, devices};

use crate::lab::{TestPeer, VCenter};
use crate::tenant::small;
use crate::{ctx, drive};

const SERVER: &str = "dyr-fs01";
const NEW: &str = "dyr-fs01-restored";
const FOLDER: &str = "/DC0/vm/Tenants/dyroy";

/// A vCenter with a server of a system disk and a data disk, and what a backup has of it.
struct Scene {
    peer: TestPeer,
    provider: Arc<dyn Provider>,
    ctx: Ctx,
    run: String,
    configuration: Json,
    disks: Vec<(ExportedDisk, Vec<u8>)>,
}

impl Scene {
    async fn set(peer: TestPeer, run: &str) -> Self {
        drive(&peer, small()).converge().await;
        let (provider, ctx) = (peer.provider(), ctx(&peer, Arc::new(Always)));
        // Of its own, since all tests are one process.
        let run = format!("20261127T2215{run}Z");
        let wanted = Wanted { tenant: "dyroy".into(), server: SERVER.to_owned(), run: run.clone() };
        let export = provider.exports().unwrap().export(&wanted, &ctx).await.unwrap();
        let configuration = export.configuration().clone();
        let mut disks = Vec::new();
        for disk in export.disks() {
            let mut from = export.read(&disk.name).await.unwrap();
            let read = move || {
                let mut all = Vec::new();
                from.read_to_end(&mut all).map(|_| all)
            };
            disks.push((disk.clone(), tokio::task::spawn_blocking(read).await.unwrap().unwrap()));
        }
        export.close(true).await.unwrap();
        peer.reset().await;
        Self { peer, provider, ctx, run, configuration, disks }
    }

    /// Another process, which restores this run.
    fn process(&self, run: &str) -> Self {
        Self {
            provider: self.peer.provider(),
            peer: self.peer.clone(),
            ctx: ctx(&self.peer, Arc::new(Always)),
            run: run.to_owned(),
            configuration: self.configuration.clone(),
            disks: self.disks.clone(),
        }
    }

    fn vcenter(&self) -> &VCenter {
        &self.peer.0
    }

    fn wanted(&self, name: &str) -> NewServer {
        NewServer {
            tenant: "dyroy".into(),
            name: name.to_owned(),
            server: SERVER.to_owned(),
            run: self.run.clone(),
            configuration: self.configuration.clone(),
            disks: self.disks.iter().map(|(disk, _)| disk.clone()).collect(),
        }
    }

    async fn import(&self, name: &str) -> Result<Box<dyn Import>, ProviderError> {
        // Of its own deadline: a test does many, on a machine that may be busy.
        let ctx = Ctx { deadline: tokio::time::Instant::now() + Duration::from_mins(1), ..self.ctx.clone() };
        self.provider.imports().unwrap().import(&self.wanted(name), &ctx).await
    }

    /// Writes all disks.
    async fn fill(&self, import: &dyn Import) -> std::io::Result<()> {
        for (disk, bytes) in &self.disks {
            let mut to = import.write(&disk.name).await.map_err(std::io::Error::other)?;
            let bytes = bytes.clone();
            let write = move || {
                for piece in bytes.chunks(700_001) {
                    to.write_all(piece)?;
                }
                to.flush()
            };
            tokio::task::spawn_blocking(write).await.unwrap()?;
        }
        Ok(())
    }

    /// Makes a machine whole.
    async fn restore(&self, name: &str) -> Result<(), ProviderError> {
        let import = self.import(name).await?;
        let written = self.fill(import.as_ref()).await;
        import.close(written.is_ok()).await?;
        written.map_err(|error| ProviderError::Protocol(error.to_string()))
    }

    async fn ask(&self, path: &str) -> Json {
        self.vcenter().admin(Method::GET, path, None).await
    }

    /// Length and hash of each disk of a machine.
    async fn sums(&self, vm: &str) -> Vec<(Json, Json)> {
        let disks = self.ask(&format!("/disks?vm={vm}")).await;
        let sum = |disk: &Json| (disk["bytes"].clone(), disk["sha256"].clone());
        disks.as_array().unwrap().iter().map(sum).collect()
    }

    fn is_whole(&self) -> bool {
        let vm = self.new_vm();
        vm["extraConfig"].is_object() && vm["extraConfig"].get("vertskommune.restoring").is_none()
    }

    fn new_vm(&self) -> Json {
        self.vcenter().vm(&format!("{FOLDER}/{NEW}"))
    }

    /// The machines of the tenant's folder, by their names.
    fn machines(&self) -> Vec<String> {
        let inventory = self.vcenter().inventory();
        let paths = inventory["vms"].as_array().unwrap().iter().filter_map(|vm| vm["path"].as_str());
        let mut names: Vec<_> =
            paths.filter_map(|path| Some(path.strip_prefix(FOLDER)?[1..].to_owned())).collect();
        names.sort();
        names
    }

    fn set_extra(&self, name: &str, value: &str) {
        let (path, pair) = (format!("{FOLDER}/{name}"), format!("vertskommune.restoring={value}"));
        self.vcenter().govc(&["vm.change", "-vm", &path, "-e", &pair]);
    }
}

macro_rules! scene {
    ($run:literal) => {
        Scene::set(peer!(), $run).await
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_comes_back_beside_the_old_one_byte_for_byte() {
    let scene = scene!("01");
    let import = scene.import(NEW).await.unwrap();
    assert_eq!(import.without(), [""; 0]);
    let mark = format!("vertskommune restore nord/dyroy/dyr-fs01 {}", scene.run);
    assert_eq!(scene.new_vm()["extraConfig"]["vertskommune.restoring"], mark.as_str(), "it says what it is");
    scene.fill(import.as_ref()).await.unwrap();
    import.close(true).await.unwrap();

    // The old one was not written to since, so that its disks are what was backed up.
    assert_eq!(scene.sums(NEW).await, scene.sums(SERVER).await);
    let (new, old) = (scene.new_vm(), scene.vcenter().vm(&format!("{FOLDER}/{SERVER}")));
    for same in ["cpus", "memoryMB", "pool"] {
        assert_eq!(new[same], old[same], "{same}: {new:#}");
    }
    assert_eq!((&new["power"], &new["nics"][0]["network"]), (&json!("poweredOff"), &json!("dyroy-servers")));
    for other in ["uuid", "ref"] {
        assert_ne!(new[other], old[other], "{other}");
    }
    assert_ne!(new["nics"][0]["mac"], old["nics"][0]["mac"]);
    let extra = &new["extraConfig"];
    assert!(
        extra.get("vertskommune.restoring").is_none() && extra.get("vertskommune.mark").is_none(),
        "{new:#}"
    );
    let client = scene.vcenter().client().await;
    let vm = client.find_by_inventory_path(&format!("{FOLDER}/{NEW}")[1..]).await.unwrap().unwrap();
    let read = client.read(&vm, &["config.hardware.device", "config.annotation"]).await.unwrap().unwrap();
    let plugged = |device| match device {
        Device::Nic(nic) => nic.start_connected,
        _ => None,
    };
    let plugged: Vec<_> = devices(read.get("config.hardware.device").unwrap()).filter_map(plugged).collect();
    assert_eq!(plugged, [false], "it cannot collide with the old one");
    assert!(read.text("config.annotation").unwrap().contains(&scene.run));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pass_takes_it_for_a_server() {
    let scene = scene!("02");
    let mut drive = drive(&scene.peer, small());
    let import = scene.import(NEW).await.unwrap();
    let plan = drive.look().await;
    assert!(plan.is_empty(), "while it is made: {plan:#?}");
    scene.fill(import.as_ref()).await.unwrap();
    import.close(true).await.unwrap();
    let plan = drive.look().await;
    assert!(plan.is_empty(), "and after: {plan:#?}");
    // One that a manifest names stands in its way, as any stranger does.
    let mut server = drive.tenant.servers[0].clone();
    NEW.clone_into(&mut server.name);
    drive.tenant.servers.push(server);
    let plan = drive.look().await;
    assert_eq!(plan.refusals[0].reason, RefusalReason::NotOurs, "{plan:#?}");
    // A manifest without servers retires the old one and leaves this one alone.
    drive.tenant.servers.clear();
    let plan = drive.look().await;
    assert!(plan.steps.iter().all(|it| it.step.resource.key.name != NEW), "{plan:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_something_has_is_refused_before_anything_is_sent() {
    let scene = scene!("03");
    for name in [SERVER, NEW] {
        if name == NEW {
            scene.restore(NEW).await.unwrap();
            scene.peer.reset().await;
        }
        let error = scene.import(name).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("is there already: choose another name"), "{error}");
        assert_eq!(scene.peer.journal().await, [""; 0], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_no_machine() {
    let scene = scene!("04");
    for (order, why) in [
        (json!({"vm": NEW, "cut_after": 1_500_000, "max": 1}), "broke after"),
        (json!({"vm": NEW, "code": 507, "max": 1}), "HTTP status 507"),
    ] {
        scene.vcenter().admin(Method::POST, "/export", Some(order.clone())).await;
        let import = scene.import(NEW).await.unwrap();
        let error = scene.fill(import.as_ref()).await.unwrap_err();
        assert!(error.to_string().contains(why), "{order}: {error}");
        import.close(false).await.unwrap();
        assert_eq!(scene.machines(), [SERVER], "{order}");
        let leases = scene.ask("/leases").await;
        assert_eq!(leases.as_array().unwrap().last().unwrap()["ended"], "aborted", "{order}");
    }
    let order = json!({"vm": NEW, "fault": "NoDiskSpace", "max": 1});
    scene.vcenter().admin(Method::POST, "/export", Some(order)).await;
    let full = scene.import(NEW).await.map(drop).unwrap_err();
    assert!(matches!(full, ProviderError::Capacity(_)), "{full:?}");
    // One that nobody closes goes by itself.
    let import = scene.import(NEW).await.unwrap();
    drop(import);
    let until = Instant::now() + Duration::from_secs(20);
    while scene.machines().len() > 1 {
        assert!(Instant::now() < until, "{:?}", scene.machines());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_permit_nothing_is_made_and_nothing_removed() {
    let mut scene = scene!("05");
    scene.restore("left").await.unwrap();
    scene.set_extra("left", &format!("vertskommune restore nord/dyroy/dyr-fs01 {}", scene.run));
    scene.ctx.permit = Arc::new(Never);
    let error = scene.import(NEW).await.map(drop).unwrap_err();
    assert!(matches!(error, ProviderError::NotPermitted(_)), "{error:?}");
    assert_eq!(scene.machines(), [SERVER, "left"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_surely_ours_and_unfinished_is_removed() {
    let scene = scene!("06");
    let ours = format!("vertskommune restore nord/dyroy/dyr-fs01 {}", scene.run);
    let rows = [
        ("elsewhere", format!("vertskommune restore sor/dyroy/dyr-fs01 {}", scene.run)),
        ("of-another", format!("vertskommune restore nord/ibestad/dyr-fs01 {}", scene.run)),
        ("in-use", ours.clone()),
        ("a-word", "vertskommune restore".to_owned()),
        ("unfinished", ours.clone()),
    ];
    for (name, _) in &rows {
        scene.restore(name).await.unwrap();
    }
    for (name, mark) in &rows {
        scene.set_extra(name, mark);
    }
    scene.vcenter().govc(&["vm.power", "-on", &format!("{FOLDER}/in-use")]);
    scene.restore(NEW).await.unwrap();
    assert_eq!(scene.machines(), ["a-word", SERVER, NEW, "elsewhere", "in-use", "of-another"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_write_leaves_nothing_that_a_repeat_does_not_find() {
    let scene = scene!("07");
    scene.vcenter().post("/lease-timeout?s=1").await;
    let mut visited = 0;
    for nth in 0.. {
        let mut fired = false;
        for cut in [Cut::Before, Cut::After] {
            scene.peer.cut(nth, cut).await;
            // The process that dies has a provider of its own, and knows nothing afterwards.
            let after = u8::from(cut == Cut::After);
            let died = scene.process(&format!("20261128T23{nth:02}{after:02}Z")).restore(NEW).await;
            fired |= scene.vcenter().admin(Method::GET, "/cut", None).await["fired"] == true;
            scene.peer.reset().await;
            let until = Instant::now() + Duration::from_secs(20);
            loop {
                // A later process, as a person tries again.
                match scene.process(&scene.run).restore(NEW).await {
                    Ok(()) => break,
                    // It became whole with the last write, and only the answer to that was lost.
                    Err(ProviderError::Refused(why))
                        if why.contains("is there already") && scene.is_whole() =>
                    {
                        break;
                    }
                    Err(error) => assert!(Instant::now() < until, "{nth} {cut:?}: {died:?}, then {error}"),
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            assert_eq!(scene.machines(), [SERVER, NEW], "{nth} {cut:?}");
            assert_eq!(scene.sums(NEW).await, scene.sums(SERVER).await, "{nth} {cut:?}");
            scene.vcenter().govc(&["vm.destroy", &format!("{FOLDER}/{NEW}")]);
        }
        if !fired {
            break;
        }
        visited += 1;
    }
    assert!(visited >= 3, "import, end of the lease and release are writes: {visited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_at_the_end_costs_no_machine() {
    let scene = scene!("08");
    for cut in [Cut::Before, Cut::After] {
        let import = scene.import(NEW).await.unwrap();
        scene.fill(import.as_ref()).await.unwrap();
        scene.peer.cut(0, cut).await;
        import.close(true).await.unwrap();
        assert_eq!(scene.ask("/cut").await["method"], "HttpNfcLeaseComplete");
        assert!(scene.is_whole(), "{cut:?}");
        assert_eq!(scene.sums(NEW).await, scene.sums(SERVER).await, "{cut:?}");
        scene.peer.reset().await;
        scene.vcenter().govc(&["vm.destroy", &format!("{FOLDER}/{NEW}")]);
    }
}
