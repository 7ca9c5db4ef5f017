//! Snapshots, and the bytes of their disks.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;
use vsphere_client::{
    Device, Error, Export, FaultClass, LeaseDisk, LeaseError, LeaseTimeouts, Mor, Obstacle, export_obstacles,
    snapshots,
};

use crate::lab::{Lab, always, done, estate, hardware};
use crate::scene::{MARK, Scene, VM, broken, read, secs, take, vm_named};

async fn device_key(scene: &Scene, disk: &LeaseDisk) -> i64 {
    let path = "config.hardware.device";
    let object = scene.client.read(&scene.snapshot, &[path]).await.unwrap().unwrap();
    let devices: Vec<Device> = vsphere_client::devices(object.get(path).unwrap()).collect();
    disk.of(&devices).unwrap().key.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_disk_comes_byte_for_byte() {
    let Some(scene) = Scene::set(&[]).await else { return };
    let originals = scene.originals().await;
    assert_eq!(originals.len(), 2);
    // What is written after the snapshot is not in it.
    let vm = &scene.vm.id;
    scene.lab.admin("POST", &format!("/disks/change?vm={vm}&grains=5"), "").await;
    let now = scene.ask(&format!("/disks?vm={vm}")).await;
    assert_ne!(now[0]["sha256"], originals[0].1.as_str());

    let export = scene.open().await.unwrap();
    let mut read_disks = vec![];
    for disk in export.disks() {
        let hash = read(export.download(disk).await.unwrap()).await.unwrap();
        read_disks.push((device_key(&scene, disk).await, hash));
    }
    assert_eq!(read_disks, originals);
    export.complete().await.unwrap();
    assert_eq!(scene.ended().await, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_found_by_its_mark_and_removed() {
    let Some(scene) = Scene::set(&[]).await else { return };
    let second = take(&scene.client, &scene.vm, true).await.unwrap();
    let found = scene.client.snapshots(&scene.vm).await.unwrap();
    let seen: Vec<_> =
        found.iter().map(|s| (&s.mor, s.description.as_str(), s.quiesced, s.parent.clone())).collect();
    assert_eq!(
        seen,
        [(&scene.snapshot, MARK, false, None), (&second, MARK, true, Some(scene.snapshot.clone()))]
    );
    let writer = scene.client.writer(&always);
    done(&scene.client, writer.remove_snapshot(&scene.snapshot).await).await;
    let left = scene.ask("/snapshots").await;
    assert_eq!((left.as_array().unwrap().len(), &left[0]["snapshot"]), (1, &json!(second.id)));
    done(&scene.client, writer.remove_snapshot(&second).await).await;
    assert_eq!(scene.client.snapshots(&scene.vm).await.unwrap(), []);
    assert_eq!(scene.ask("/snapshots").await, json!([]));
    // The same read for many VMs at once.
    let object = scene.client.read(&scene.vm, &["snapshot.rootSnapshotList"]).await.unwrap().unwrap();
    assert!(object.get("snapshot.rootSnapshotList").is_none_or(|value| snapshots(value).is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_is_never_whole() {
    type Expected = fn(&LeaseError) -> bool;
    let Some(scene) = Scene::set(&[]).await else { return };
    let cases: [(serde_json::Value, Expected); 4] = [
        (json!({"cut_after": 1_500_000}), |e| matches!(e, LeaseError::Broken { bytes: 1..=1_500_000, .. })),
        (json!({"stall_after": 1_500_000}), |e| matches!(e, LeaseError::Silent { bytes: 1_500_000, .. })),
        (json!({"code": 503}), |e| matches!(e, LeaseError::Http { status: 503, .. }) && e.is_transient()),
        (json!({"code": 403}), |e| matches!(e, LeaseError::Http { status: 403, .. }) && !e.is_transient()),
    ];
    for (order, expected) in cases {
        scene.order(order.clone()).await;
        let export = scene.open_within(LeaseTimeouts { ready: secs(20), silence: secs(1) }).await.unwrap();
        let error = broken(&export).await;
        assert!(expected(&error), "{order}: {error:?}");
        export.abort().await.unwrap();
        assert_eq!(scene.ended().await, "aborted");
    }
    // An answer that ends early without HTTP's noticing: only the stream itself tells.
    for order in [json!({"truncate_after": 1_500_000}), json!({"truncate_after": 65536})] {
        scene.order(order.clone()).await;
        let export = scene.open().await.unwrap();
        let error = read(export.download(&export.disks()[0]).await.unwrap()).await.unwrap_err();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<vmdk::Error>());
        assert!(matches!(inner, Some(vmdk::Error::Truncated { .. })), "{order}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lives_as_long_as_a_slow_download() {
    let Some(scene) = Scene::set(&["-lease-timeout=1s"]).await else { return };
    scene.order(json!({"rate": 1_500_000})).await;
    let export = scene.open().await.unwrap();
    let begun = Instant::now();
    let hash = read(export.download(&export.disks()[0]).await.unwrap()).await.unwrap();
    assert!(begun.elapsed() > secs(2), "it was not slow");
    assert_eq!(hash, scene.originals().await[0].1);
    let progress = scene.ask("/leases").await[0]["progress"].as_u64().unwrap();
    assert!(progress >= begun.elapsed().as_secs() * 3, "{progress} reports in {:?}", begun.elapsed());
    export.complete().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_is_its_own_error() {
    let Some(scene) = Scene::set(&["-lease-timeout=1s"]).await else { return };
    scene.order(json!({"rate": 1_000_000})).await;
    let export = scene.open().await.unwrap();
    // No report gets through, for a reason that may pass.
    let fault = json!({"method": "HttpNfcLeaseProgress", "type": "HostCommunication", "message": "busy"});
    scene.lab.admin("POST", "/fault", &fault.to_string()).await;
    let error = broken(&export).await;
    assert!(matches!(error, LeaseError::LeaseExpired), "{error:?}");
    assert_eq!(scene.ended().await, "timedout");
    scene.lab.admin("DELETE", "/fault", "").await;
    assert!(matches!(export.complete().await, Err(LeaseError::LeaseExpired)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_an_ended_lease_is_not_taken_for_one_that_refuses() {
    let Some(scene) = Scene::set(&[]).await else { return };
    let export = scene.open().await.unwrap();
    // Before the next report tells it.
    scene.lab.admin("POST", "/leases/expire", "").await;
    let error = broken(&export).await;
    assert!(matches!(error, LeaseError::LeaseExpired), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_takes_its_lease_along() {
    let Some(scene) = Scene::set(&["-lease-timeout=1s"]).await else { return };
    scene.order(json!({"rate": 500_000})).await;
    let export = scene.open().await.unwrap();
    scene.lab.expire_sessions().await;
    let error = broken(&export).await;
    assert!(matches!(error, LeaseError::LeaseExpired), "{error:?}");
    assert!(scene.client.current_time().await.is_ok(), "the client itself goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_aborted() {
    let Some(scene) = Scene::set(&[]).await else { return };
    let export = scene.open().await.unwrap();
    let download = export.download(&export.disks()[0]).await.unwrap();
    drop(export);
    assert_eq!(scene.ended().await, "aborted");
    let error = read(download).await.unwrap_err();
    assert!(LeaseError::within(&error).is_some(), "{error:?}");

    // Also while vSphere still prepares it.
    scene.order(json!({"prepare_ms": 60_000})).await;
    let waited = tokio::time::timeout(Duration::from_millis(200), scene.open()).await;
    assert!(waited.is_err());
    assert_eq!(scene.ended().await, "aborted");
    let slow = scene.open_within(LeaseTimeouts { ready: Duration::from_millis(100), silence: secs(1) }).await;
    assert!(matches!(slow, Err(LeaseError::NotReady { .. })), "{slow:?}");
    assert_eq!(scene.ended().await, "aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_named_certificate_is_accepted() {
    let Some(scene) = Scene::set(&[]).await else { return };
    for order in [json!({"thumbprint": "wrong"}), json!({"thumbprint": "none"})] {
        scene.order(order.clone()).await;
        let export = scene.open().await.unwrap();
        let error = broken(&export).await;
        assert!(matches!(error, LeaseError::Untrusted { .. }), "{order}: {error:?}");
        let leases = scene.ask("/leases").await;
        let disk = &leases.as_array().unwrap().last().unwrap()["disks"][0];
        assert_eq!((&disk["requests"], &disk["sent"]), (&json!(0), &json!(0)), "no request went out");
    }
    // vCenter's own certificate is covered by the CA; a thumbprint that is told must fit all the same.
    scene.order(json!({"through": "vcenter"})).await;
    let export = scene.open().await.unwrap();
    let hash = read(export.download(&export.disks()[0]).await.unwrap()).await.unwrap();
    assert_eq!(hash, scene.originals().await[0].1);
    export.complete().await.unwrap();
    scene.order(json!({"through": "vcenter", "thumbprint": "wrong"})).await;
    let export = scene.open().await.unwrap();
    assert!(matches!(broken(&export).await, LeaseError::Untrusted { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn vsphere_says_no() {
    let Some(scene) = Scene::set(&[]).await else { return };
    scene.order(json!({"fault": "FileLocked", "prepare_ms": 100})).await;
    let refused = scene.open().await.unwrap_err();
    assert!(matches!(&refused, LeaseError::Failed(fault) if &*fault.kind == "FileLocked"), "{refused:?}");

    scene.lab.admin("POST", &format!("/quiesce?vm={VM}"), "").await;
    let fault = take(&scene.client, &scene.vm, true).await.unwrap_err();
    assert!(fault.is_quiesce_failure(), "{fault}");
    take(&scene.client, &scene.vm, false).await.unwrap();
    let gone = Mor::new("VirtualMachineSnapshot", "snapshot-0");
    let error = scene.client.writer(&always).export_snapshot(&gone).await.unwrap_err();
    assert_eq!(error.class(), Some(FaultClass::Gone));
    let refuse = || Err("not the leader".to_owned());
    let error = scene.client.writer(&refuse).export_snapshot(&scene.snapshot).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exported_is_known_before() {
    let Some(scene) = Scene::set(&[]).await else { return };
    let obstacles = async || {
        let paths = ["config.hardware.device", "config.keyId"];
        let object = scene.client.read(&scene.vm, &paths).await.unwrap().unwrap();
        let devices: Vec<Device> = vsphere_client::devices(object.get(paths[0]).unwrap()).collect();
        export_obstacles(&devices, object.get(paths[1]).is_some())
    };
    assert_eq!(obstacles().await, []);
    let disks: Vec<_> = hardware(&scene.client, &scene.vm)
        .await
        .into_iter()
        .filter_map(|device| if let Device::Disk(disk) = device { Some(disk) } else { None })
        .collect();
    let put = async |order: serde_json::Value| scene.lab.admin("POST", "/obstacle", &order.to_string()).await;
    put(json!({"vm": VM, "disk": disks[0].key, "mode": "independent_persistent"})).await;
    assert_eq!(obstacles().await, [Obstacle::Independent(disks[0].label.clone())]);
    let second = take(&scene.client, &scene.vm, false).await.unwrap();
    let lease = scene.client.writer(&always).export_snapshot(&second).await.unwrap();
    let export = Export::open(scene.client.clone(), lease, LeaseTimeouts::default()).await.unwrap();
    assert_eq!(export.disks().len(), 1, "a snapshot leaves an independent disk out");
    export.abort().await.unwrap();
    put(json!({"vm": VM, "disk": disks[1].key, "rdm": "physicalMode"})).await;
    put(json!({"vm": VM, "tpm": true})).await;
    let found = obstacles().await;
    assert_eq!(
        found,
        [
            Obstacle::Tpm,
            Obstacle::EncryptedVm,
            Obstacle::RawDevice(disks[1].label.clone()),
            Obstacle::Independent(disks[0].label.clone()),
        ]
    );
    let estate = estate(&scene.client).await;
    assert_eq!(scene.client.snapshots(&estate.template).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_disk() {
    let Some(lab) = Lab::start(&["-longest-disk=402653184", "-filled-disk=201326592"]) else { return };
    let client = lab.client().await;
    let vm = vm_named(&client, VM).await;
    let snapshot = take(&client, &vm, false).await.unwrap();
    let scene = Scene { lab, client, vm, snapshot };
    let export = scene.open().await.unwrap();
    let before = resident();
    let download = export.download(&export.disks()[0]).await.unwrap();
    let read = move || {
        let mut disk = vmdk::Reader::new(download).unwrap();
        let (mut piece, mut most, mut length) = (vec![0; 1 << 20], 0, 0);
        loop {
            match disk.read(&mut piece).unwrap() {
                0 => return (length, most),
                count => length += count as u64,
            }
            most = most.max(resident());
        }
    };
    let (length, most) = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!(length, 384 << 20);
    // Other tests run beside this one; the disk itself has 192 MiB that are not zero.
    assert!(most < before + (64 << 10), "{before} KiB before, {most} KiB at most");
    export.complete().await.unwrap();
}

/// The memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
