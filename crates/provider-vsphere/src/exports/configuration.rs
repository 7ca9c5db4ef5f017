//! What is needed to make a machine anew, kept beside its disks.
//!
//! No `extraConfig` and no notes: guests are given their first passwords there, and people write theirs down.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use vertskommune_provider::Wanted;
use vsphere_client::{Device, Mor, Snapshot};

use super::Machine;
use crate::Vsphere;
use crate::link::Session;
use crate::observe::facts;

/// The key that the machine's files are encrypted with.
pub(super) const KEY: &str = "config.keyId";

/// What is read of a machine besides its full row.
pub(super) const CONFIGURATION: &[&str] = &[
    KEY,
    "config.uuid",
    "config.guestId",
    "config.firmware",
    "config.bootOptions.efiSecureBootEnabled",
    "config.version",
    "config.hardware.numCoresPerSocket",
];

impl Vsphere {
    /// The configuration as JSON, of which people read the most and a restore takes the rest.
    pub(super) fn configuration(
        &self,
        session: &Session,
        machine: &Machine,
        wanted: &Wanted,
        snapshot: &Snapshot,
        hardware: &[Device],
        networks: &BTreeMap<String, String>,
    ) -> Json {
        let Machine { vm, object, given } = machine;
        let text = |path| object.text(path);
        let facts = facts(vm, &self.settings);
        let controller = |key: i32| {
            hardware.iter().find_map(|device| match device {
                Device::Controller(controller) if controller.key == key => {
                    Some(json!({"kind": controller.kind, "bus": controller.bus_number}))
                }
                _ => None,
            })
        };
        let disks = hardware.iter().filter_map(|device| match device {
            Device::Disk(disk) => Some(json!({
                "name": given.names.get(&disk.key),
                "label": disk.label,
                "bytes": disk.capacity_bytes,
                "storagePolicy": given.names.get(&disk.key)
                    .and_then(|name| facts.get(&format!("disks.{name}.storagePolicy"))),
                "thin": disk.thin,
                "mode": disk.mode,
                "uuid": disk.uuid,
                "controller": controller(disk.controller_key),
                "unit": disk.unit_number,
                "file": disk.file_name,
            })),
            _ => None,
        });
        json!({
            "format": 1,
            "installation": self.installation.as_str(),
            "tenant": wanted.tenant.as_str(),
            "server": wanted.server,
            "run": wanted.run,
            "takenFrom": {
                "vcenter": self.host.identity,
                "version": session.version,
                "at": snapshot.created,
                "quiesced": snapshot.quiesced,
            },
            "machine": {
                "name": vm.slim.name,
                "instanceUuid": vm.slim.instance_uuid,
                "biosUuid": text("config.uuid"),
                "guestId": text("config.guestId"),
                "firmware": text("config.firmware"),
                "secureBoot": object.bool("config.bootOptions.efiSecureBootEnabled"),
                "hardwareVersion": text("config.version"),
                "vcpus": vm.cpus,
                "coresPerSocket": object.int("config.hardware.numCoresPerSocket"),
                "memory": vm.slim.memory_mb << 20,
                "power": if vm.slim.powered_off { "off" } else { "on" },
            },
            "disks": disks.collect::<Vec<_>>(),
            "interfaces": interfaces(machine, networks),
        })
    }

    /// The names of the port groups that the machine is connected to, by their keys.
    pub(super) async fn networks(&self, session: &Session, machine: &Machine) -> BTreeMap<String, String> {
        let keys: BTreeSet<&String> = machine
            .vm
            .nics
            .iter()
            .filter_map(|nic| nic.port.as_ref())
            .map(|port| &port.portgroup_key)
            .collect();
        let mut networks = BTreeMap::new();
        for key in keys {
            // vCenter's key of a port group is its reference. One that cannot be read is told by it.
            let group = Mor::new("DistributedVirtualPortgroup", key.as_str());
            let read = session.client.read(&group, &["name"]).await.ok().flatten();
            let name = read.as_ref().and_then(|group| group.text("name"));
            networks.extend(name.map(|name| (key.clone(), name.to_owned())));
        }
        networks
    }
}

fn interfaces(machine: &Machine, networks: &BTreeMap<String, String>) -> Vec<Json> {
    let nics = machine.vm.nics.iter().map(|nic| {
        let key = nic.port.as_ref().map(|port| &port.portgroup_key);
        let network = key.map(|key| networks.get(key).unwrap_or(key).clone());
        json!({
            "kind": nic.kind,
            "mac": nic.mac,
            "addressType": nic.address_type,
            "network": network.or_else(|| nic.network.as_ref().map(ToString::to_string)),
        })
    });
    nics.collect()
}
