//! VMs that are made with disks of which we send the bytes.

use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use vsphere_client::{
    Client, DeviceChange, Import, LeaseError, LeaseTimeouts, NewController, NewDisk, VmConfig,
};

use crate::lab::{Estate, Lab, always, done, estate};
use crate::scene::{hex, secs, vm_named};

const NAME: &str = "restored";
const SIZES: [u64; 2] = [9 << 20, (3 << 20) + 1024];

struct Scene {
    lab: Lab,
    client: Arc<Client>,
    estate: Estate,
}

impl Scene {
    async fn set(flags: &[&str]) -> Option<Scene> {
        let lab = Lab::start(flags)?;
        let client = lab.client().await;
        let estate = estate(&client).await;
        Some(Scene { lab, client, estate })
    }

    fn config(&self) -> VmConfig {
        let controller = NewController { key: -1, kind: "ParaVirtualSCSIController".into(), bus_number: 0 };
        let disk = |(number, size): (i32, u64)| {
            DeviceChange::AddDisk(NewDisk {
                key: -10 - number,
                controller_key: -1,
                unit_number: number,
                capacity_bytes: size,
                thin: true,
                datastore_name: Some(self.estate.datastore.1.clone()),
                profile_id: None,
            })
        };
        VmConfig {
            name: Some(NAME.into()),
            version: Some("vmx-19".into()),
            guest_id: Some("ubuntu64Guest".into()),
            annotation: Some("made by a test".into()),
            files_on: Some(self.estate.datastore.1.clone()),
            cpus: Some(2),
            cores_per_socket: Some(2),
            memory_mb: Some(1024),
            devices: [DeviceChange::AddController(controller)]
                .into_iter()
                .chain((0..).zip(SIZES).map(disk))
                .collect(),
            extra_config: [("a.key", "a value")].into_iter().collect(),
            firmware: Some("efi".into()),
            secure_boot: Some(true),
            ..VmConfig::default()
        }
    }

    async fn open(&self) -> Result<Import, LeaseError> {
        // A slow host takes nothing for a second while what has arrived is taken out of its buffers.
        let timeouts = LeaseTimeouts { ready: secs(20), silence: secs(5) };
        let (pool, folder) = (&self.estate.pool, &self.estate.tenants);
        let lease = self.client.writer(&always).import_vm(pool, folder, &self.config()).await?;
        Import::open(self.client.clone(), lease, timeouts).await
    }

    async fn order(&self, order: Json) {
        self.lab.admin("DELETE", "/export", "").await;
        self.lab.admin("POST", "/export", &order.to_string()).await;
    }

    /// Whether the VM is there, as soon as nothing is under way any more.
    async fn is_there(&self) -> bool {
        let found = self.client.find_by_inventory_path(&format!("DC0/vm/Tenants/{NAME}")).await;
        found.unwrap().is_some()
    }

    async fn gone(&self) {
        for _ in 0..500 {
            if !self.is_there().await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the VM is still there");
    }
}

/// What is written to a disk: noise, text and emptiness.
fn content(size: u64) -> Vec<u8> {
    let mut state = size;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    };
    let piece = |number: u64| number / (200 << 10) % 3;
    (0..size)
        .map(|at| {
            if piece(at) == 0 {
                next()
            } else if piece(at) == 1 {
                b'a'
            } else {
                0
            }
        })
        .collect()
}

/// Writes a disk whole, unless it breaks.
async fn write(import: &Import, disk: usize) -> Result<String, LeaseError> {
    let upload = import.upload(&import.disks()[disk]).await?;
    let whole = move || {
        let bytes = content(SIZES[disk]);
        let mut disk = vmdk::Writer::new(upload, bytes.len() as u64, "disk.vmdk").unwrap();
        let broken = |error: std::io::Error| LeaseError::within(&error).unwrap().clone();
        disk.write_all(&bytes).map_err(broken)?;
        let upload = disk.finish().map_err(|error| broken(std::io::Error::from(error)))?;
        upload.finish().map(|()| hex(&Sha256::digest(&bytes)))
    };
    tokio::task::spawn_blocking(whole).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_is_made_with_every_byte_of_its_disks() {
    let Some(scene) = Scene::set(&[]).await else { return };
    let import = scene.open().await.unwrap();
    let places: Vec<_> = import.disks().iter().map(|disk| disk.place.unit_number).collect();
    assert_eq!((places, &*import.disks()[0].place.controller), (vec![0, 1], "ParaVirtualSCSIController"));
    let vm = import.vm().clone();
    let busy = scene.client.writer(&always).power_on(&vm).await.unwrap_err();
    assert!(busy.to_string().contains("TaskInProgress"), "{busy}");
    let mut sums = vec![];
    for disk in 0..SIZES.len() {
        sums.push(json!(write(&import, disk).await.unwrap()));
    }
    import.complete().await.unwrap();
    let disks = scene.lab.admin("GET", &format!("/disks?vm={NAME}"), "").await;
    let disks: Json = serde_json::from_str(&disks).unwrap();
    let there: Vec<_> = disks.as_array().unwrap().iter().map(|disk| disk["sha256"].clone()).collect();
    assert_eq!(there, sums);
    assert_eq!(vm_named(&scene.client, NAME).await, vm);
    let read =
        ["config.annotation", "config.firmware", "config.extraConfig[\"a.key\"].value", "runtime.powerState"];
    let object = scene.client.read(&vm, &read).await.unwrap().unwrap();
    let texts: Vec<_> = read.iter().map(|path| object.text(path)).collect();
    assert_eq!(texts, [Some("made by a test"), Some("efi"), Some("a value"), Some("poweredOff")]);
    done(&scene.client, scene.client.writer(&always).power_on(&vm).await).await;
    // Its name is taken from now on.
    let taken = scene.open().await.unwrap_err();
    assert!(matches!(&taken, LeaseError::Failed(fault) if &*fault.kind == "DuplicateName"), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_leaves_no_vm() {
    type Expected = fn(&LeaseError) -> bool;
    let Some(scene) = Scene::set(&[]).await else { return };
    let cases: [(Json, Expected); 4] = [
        (json!({"cut_after": 1_500_000}), |e| matches!(e, LeaseError::Broken { bytes: 1.., .. })),
        (json!({"stall_after": 500_000}), |e| matches!(e, LeaseError::Silent { .. })),
        (json!({"code": 503}), |e| {
            matches!(e, LeaseError::Http { status: 503, .. } | LeaseError::Broken { .. })
        }),
        (json!({"thumbprint": "wrong"}), |e| matches!(e, LeaseError::Untrusted { .. })),
    ];
    for (order, expected) in cases {
        scene.order(order.clone()).await;
        let import = scene.open().await.unwrap();
        let error = write(&import, 0).await.unwrap_err();
        assert!(expected(&error), "{order}: {error:?}");
        import.abort().await.unwrap();
        assert!(!scene.is_there().await, "{order}");
    }
    scene.order(json!({"fault": "NoDiskSpace"})).await;
    let failed = scene.open().await.unwrap_err();
    assert!(matches!(&failed, LeaseError::Failed(fault) if &*fault.kind == "NoDiskSpace"), "{failed:?}");
    assert!(!scene.is_there().await);
    // A writer that nobody finishes has written no disk.
    scene.lab.admin("DELETE", "/export", "").await;
    let import = scene.open().await.unwrap();
    drop(import.upload(&import.disks()[0]).await.unwrap());
    drop(import);
    scene.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lives_as_long_as_a_slow_upload_and_no_longer() {
    let Some(scene) = Scene::set(&["-lease-timeout=1s"]).await else { return };
    scene.order(json!({"rate": 2_000_000})).await;
    let import = scene.open().await.unwrap();
    write(&import, 0).await.unwrap();
    let fault = json!({"method": "HttpNfcLeaseProgress", "type": "HostCommunication", "message": "busy"});
    scene.lab.admin("POST", "/fault", &fault.to_string()).await;
    let error = write(&import, 0).await.unwrap_err();
    assert!(matches!(error, LeaseError::LeaseExpired), "{error:?}");
    scene.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_at_the_end_leaves_the_vm() {
    let Some(scene) = Scene::set(&[]).await else { return };
    for at in ["before", "after"] {
        let import = scene.open().await.unwrap();
        let vm = import.vm().clone();
        scene.lab.admin("POST", "/journal/reset", "").await;
        scene.lab.admin("POST", "/cut", &json!({"write": 0, "at": at}).to_string()).await;
        import.complete().await.unwrap();
        let cut: Json = serde_json::from_str(&scene.lab.admin("GET", "/cut", "").await).unwrap();
        assert_eq!((&cut["fired"], &cut["method"]), (&json!(true), &json!("HttpNfcLeaseComplete")));
        assert!(scene.is_there().await, "{at}");
        done(&scene.client, scene.client.writer(&always).destroy(&vm).await).await;
    }
    // One that has ended otherwise is not taken for complete.
    let import = scene.open().await.unwrap();
    scene.lab.admin("POST", "/leases/expire", "").await;
    let error = import.complete().await.unwrap_err();
    assert!(matches!(error, LeaseError::LeaseExpired), "{error:?}");
    scene.gone().await;
    let import = scene.open().await.unwrap();
    scene.lab.admin("POST", "/leases/expire", "").await;
    let error = write(&import, 0).await.unwrap_err();
    assert!(matches!(error, LeaseError::LeaseExpired), "{error:?}");
}
