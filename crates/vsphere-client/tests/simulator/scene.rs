//! A VM with a snapshot, and what is asked of both again and again.

use std::fmt::Write as _;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use vsphere_client::{
    Client, Device, DeviceChange, Download, Export, Fault, LeaseError, LeaseTimeouts, Mor, NewDisk,
    NewSnapshot, Select, VmConfig,
};

use crate::lab::{Lab, always, done, finish, hardware};

pub(crate) const VM: &str = "legacy-fs01";
pub(crate) const MARK: &str = "vertskommune/ibestad/run-1";

/// A lab with a VM of two disks and a snapshot of it.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) client: Arc<Client>,
    pub(crate) vm: Mor,
    pub(crate) snapshot: Mor,
}

impl Scene {
    pub(crate) async fn set(flags: &[&str]) -> Option<Scene> {
        let lab = Lab::start(flags)?;
        let client = lab.client().await;
        let vm = vm_named(&client, VM).await;
        let disk = NewDisk {
            key: -1,
            controller_key: controller(&client, &vm).await,
            unit_number: 3,
            capacity_bytes: 5 << 20,
            thin: true,
            datastore_name: Some("LocalDS_0".into()),
            profile_id: None,
        };
        let config = VmConfig { devices: vec![DeviceChange::AddDisk(disk)], ..VmConfig::default() };
        done(&client, client.writer(&always).reconfigure_vm(&vm, &config).await).await;
        let snapshot = take(&client, &vm, false).await.unwrap();
        Some(Scene { lab, client, vm, snapshot })
    }

    pub(crate) async fn order(&self, order: Json) {
        self.lab.admin("DELETE", "/export", "").await;
        self.lab.admin("POST", "/export", &order.to_string()).await;
    }

    pub(crate) async fn ask(&self, path: &str) -> Json {
        serde_json::from_str(&self.lab.admin("GET", path, "").await).unwrap()
    }

    pub(crate) async fn open(&self) -> Result<Export, LeaseError> {
        self.open_within(LeaseTimeouts { ready: secs(20), silence: secs(20) }).await
    }

    pub(crate) async fn open_within(&self, timeouts: LeaseTimeouts) -> Result<Export, LeaseError> {
        let lease = self.client.writer(&always).export_snapshot(&self.snapshot).await?;
        Export::open(self.client.clone(), lease, timeouts).await
    }

    /// The hash of each disk in the snapshot, by its device key.
    pub(crate) async fn originals(&self) -> Vec<(i64, String)> {
        let disks = self.ask(&format!("/disks?snapshot={}", self.snapshot.id)).await;
        let read = |disk: &Json| (disk["key"].as_i64().unwrap(), disk["sha256"].as_str().unwrap().to_owned());
        disks.as_array().unwrap().iter().map(read).collect()
    }

    /// Waits until the last lease has ended, and tells how.
    pub(crate) async fn ended(&self) -> String {
        let until = Instant::now() + secs(20);
        loop {
            let leases = self.ask("/leases").await;
            if let Some(ended) = leases.as_array().unwrap().last().unwrap()["ended"].as_str() {
                return ended.to_owned();
            }
            assert!(Instant::now() < until, "the lease does not end: {leases}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) async fn vm_named(client: &Client, name: &str) -> Mor {
    let root = client.service().await.unwrap().root_folder;
    let mut found = vec![];
    let select = [Select { kind: "VirtualMachine", paths: &["name"] }];
    client
        .list(&root, &select, 100, |o| {
            if o.text("name") == Some(name) {
                found.push(o.mor);
            }
        })
        .await
        .unwrap();
    found.remove(0)
}

pub(crate) async fn controller(client: &Client, vm: &Mor) -> i32 {
    let devices = hardware(client, vm).await;
    devices.iter().find_map(|d| if let Device::Disk(d) = d { Some(d.controller_key) } else { None }).unwrap()
}

pub(crate) async fn take(client: &Client, vm: &Mor, quiesce: bool) -> Result<Mor, Fault> {
    let snapshot = NewSnapshot { name: "vertskommune".into(), description: MARK.into(), quiesce };
    let task = client.writer(&always).create_snapshot(vm, &snapshot).await.unwrap();
    finish(client, task).await.map(|made| made.unwrap().mor().unwrap())
}

/// Reads a disk to its end, and returns its hash.
pub(crate) async fn read(download: Download) -> std::io::Result<String> {
    let read = move || {
        let mut disk = vmdk::Reader::new(download)?;
        let (mut hash, mut piece, mut length) = (Sha256::new(), vec![0; 1 << 20], 0);
        loop {
            let count = disk.read(&mut piece)?;
            if count == 0 {
                assert_eq!(length, disk.capacity());
                return Ok(hex(&hash.finalize()));
            }
            length += count as u64;
            hash.update(&piece[..count]);
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// As [`read`], of a download that must fail.
pub(crate) async fn broken(export: &Export) -> LeaseError {
    let error = match export.download(&export.disks()[0]).await {
        Ok(download) => read(download).await.unwrap_err(),
        Err(error) => return error,
    };
    LeaseError::within(&error).unwrap_or_else(|| panic!("{error:?}")).clone()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
