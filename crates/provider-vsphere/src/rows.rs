//! What is kept of vCenter's objects: typed rows, read from property lists.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value as Json;
use vertskommune_core::facts::Facts;
use vsphere_client::{
    Allocation, Device, Element, FaultClass, Mor, Nic, Object, Select, Shares, VirtualDisk, devices,
    snapshots,
};

use crate::order::Order;

/// `config.extraConfig["key"].value` of our keys.
pub(crate) const MARK: &str = "config.extraConfig[\"vertskommune.mark\"].value";
const APPLIED: &str = "config.extraConfig[\"vertskommune.applied\"].value";
const DISKS: &str = "config.extraConfig[\"vertskommune.disks\"].value";
const RETIRED: &str = "config.extraConfig[\"vertskommune.retired\"].value";
const RESTARTING: &str = "config.extraConfig[\"vertskommune.restarting\"].value";

/// The tree of a VM's snapshots.
const SNAPSHOTS: &str = "snapshot.rootSnapshotList";

/// What is read of every VM of the datacenter: 10,000 of them come in a second and 10 MB.
pub(crate) const SLIM: &[&str] = &[
    "name",
    "parent",
    "resourcePool",
    "runtime.host",
    "runtime.powerState",
    "config.template",
    "config.instanceUuid",
    "config.changeVersion",
    "config.hardware.memoryMB",
    SNAPSHOTS,
    MARK,
];

/// What is read besides of ours.
const MORE: &[&str] = &[
    "config.hardware.numCPU",
    "config.hardware.device",
    "config.cpuHotAddEnabled",
    "config.memoryHotAddEnabled",
    APPLIED,
    DISKS,
    RETIRED,
    RESTARTING,
];

/// What is read of a VM of ours.
pub(crate) fn full() -> Vec<&'static str> {
    SLIM.iter().chain(MORE).copied().collect()
}

pub(crate) const FOLDER_PATHS: &[&str] = &["name", "parent", "customValue", "childEntity"];
pub(crate) const POOL_PATHS: &[&str] =
    &["name", "parent", "config.cpuAllocation", "config.memoryAllocation", "vm", "resourcePool"];
pub(crate) const PORTGROUP_PATHS: &[&str] = &[
    "name",
    "key",
    "vm",
    "config.description",
    "config.configVersion",
    "config.defaultPortConfig",
    "config.distributedVirtualSwitch",
];
/// Of the cluster.
pub(crate) const RULE_PATHS: &[&str] = &["configurationEx"];

/// What the sweep selects of all kinds that tenants have things of.
pub(crate) const SWEEP: &[Select<'static>] = &[
    Select { kind: "VirtualMachine", paths: SLIM },
    Select { kind: "Folder", paths: FOLDER_PATHS },
    Select { kind: "ResourcePool", paths: POOL_PATHS },
    Select { kind: "DistributedVirtualPortgroup", paths: PORTGROUP_PATHS },
];

/// A VM as it lies in the inventory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slim {
    pub(crate) mor: Mor,
    pub(crate) name: String,
    pub(crate) parent: Option<Mor>,
    pub(crate) pool: Option<Mor>,
    pub(crate) host: Option<Mor>,
    pub(crate) powered_on: bool,
    /// One that is suspended is neither.
    pub(crate) powered_off: bool,
    pub(crate) template: bool,
    pub(crate) instance_uuid: String,
    pub(crate) change_version: String,
    pub(crate) memory_mb: u64,
    /// The descriptions of its snapshots.
    pub(crate) snapshots: Vec<String>,
    pub(crate) mark: Option<String>,
    /// Why something of it could not be read.
    pub(crate) unreadable: Option<String>,
}

/// A VM of ours, or one that is to be adopted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vm {
    pub(crate) slim: Slim,
    pub(crate) cpus: u32,
    pub(crate) cpu_hot_add: bool,
    pub(crate) memory_hot_add: bool,
    pub(crate) disks: Vec<VirtualDisk>,
    pub(crate) controllers: Vec<i32>,
    pub(crate) nics: Vec<Nic>,
    pub(crate) applied: Facts,
    /// The manifest's names of disks: their UUID, or their place where they have none yet. None on a VM that we did not
    /// make and never gave a disk.
    pub(crate) disk_names: Option<BTreeMap<String, String>>,
    pub(crate) retired: Option<Timestamp>,
    pub(crate) order: Option<Order>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Folder {
    pub(crate) name: String,
    pub(crate) parent: Option<Mor>,
    pub(crate) children: Vec<Mor>,
    /// Values of custom fields by their keys.
    pub(crate) custom: BTreeMap<i32, String>,
}

/// A resource pool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) parent: Option<Mor>,
    pub(crate) shares: String,
    pub(crate) limits: String,
    pub(crate) children: usize,
}

/// A distributed port group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Portgroup {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) description: String,
    pub(crate) config_version: String,
    pub(crate) vlan: Json,
    pub(crate) switch: Option<Mor>,
    pub(crate) vms: usize,
}

/// Why a property of the object could not be read, if that is for want of a right. A key of `extraConfig` that is not
/// there may come as a fault of another sort, and is just absent.
pub(crate) fn unreadable(object: &Object) -> Option<String> {
    object.missing.iter().find_map(|missing| {
        (missing.fault.class() == FaultClass::Permission)
            .then(|| format!("{} of {}: {}", missing.path, object.mor, missing.fault.kind))
    })
}

/// Whether the object is gone.
pub(crate) fn is_gone(object: &Object) -> bool {
    object.missing.iter().any(|missing| missing.fault.class() == FaultClass::Gone)
        || object.properties.is_empty()
}

impl Slim {
    pub(crate) fn read(object: &Object) -> Self {
        let text = |path| object.text(path).unwrap_or_default().to_owned();
        Self {
            mor: object.mor.clone(),
            name: text("name"),
            parent: object.mor("parent"),
            pool: object.mor("resourcePool"),
            host: object.mor("runtime.host"),
            powered_on: object.text("runtime.powerState") == Some("poweredOn"),
            powered_off: object.text("runtime.powerState") == Some("poweredOff"),
            template: object.bool("config.template").unwrap_or(false),
            instance_uuid: text("config.instanceUuid"),
            change_version: text("config.changeVersion"),
            memory_mb: unsigned(object, "config.hardware.memoryMB"),
            snapshots: object
                .get(SNAPSHOTS)
                .map(snapshots)
                .unwrap_or_default()
                .into_iter()
                .map(|it| it.description)
                .collect(),
            mark: object.text(MARK).filter(|mark| !mark.is_empty()).map(str::to_owned),
            unreadable: unreadable(object),
        }
    }
}

impl Vm {
    pub(crate) fn read(object: &Object) -> Self {
        let (mut disks, mut nics, mut controllers) = (Vec::new(), Vec::new(), Vec::new());
        for device in object.get("config.hardware.device").into_iter().flat_map(devices) {
            match device {
                Device::Disk(disk) => disks.push(disk),
                Device::Nic(nic) => nics.push(nic),
                Device::Controller(controller) if controller.is_scsi => controllers.push(controller.key),
                Device::Controller(_) | Device::Other { .. } => {}
            }
        }
        disks.sort_by_key(|disk| disk.key);
        nics.sort_by_key(|nic| nic.key);
        let record = |path| object.text(path).filter(|text| !text.is_empty());
        Self {
            slim: Slim::read(object),
            cpus: u32::try_from(unsigned(object, "config.hardware.numCPU")).unwrap_or_default(),
            cpu_hot_add: object.bool("config.cpuHotAddEnabled").unwrap_or(false),
            memory_hot_add: object.bool("config.memoryHotAddEnabled").unwrap_or(false),
            disks,
            controllers,
            nics,
            // A record that somebody spoilt is as none: then a difference counts as the manifest's.
            applied: record(APPLIED).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            disk_names: record(DISKS).map(|text| serde_json::from_str(text).unwrap_or_default()),
            retired: record(RETIRED).and_then(|text| text.parse().ok()),
            order: record(RESTARTING).and_then(Order::read),
        }
    }

    /// Whether the full row holds for a VM that has just been seen.
    pub(crate) fn is_current(&self, slim: &Slim) -> bool {
        !slim.change_version.is_empty() && self.slim.change_version == slim.change_version
    }

    /// The disk of a name in the manifest.
    pub(crate) fn disk(&self, name: &str) -> Option<&VirtualDisk> {
        match &self.disk_names {
            Some(names) => {
                let known = names.get(name)?;
                self.disks.iter().find(|disk| disk.uuid.as_ref() == Some(known) || place(disk) == *known)
            }
            // An adopted VM: its disks but the first are called as vCenter labels them.
            None => self.disks.iter().skip(1).find(|disk| labelled(disk) == name),
        }
    }

    /// The names of its disks.
    pub(crate) fn named_disks(&self) -> BTreeMap<String, &VirtualDisk> {
        match &self.disk_names {
            Some(names) => names.keys().filter_map(|name| Some((name.clone(), self.disk(name)?))).collect(),
            None => self.disks.iter().skip(1).map(|disk| (labelled(disk), disk)).collect(),
        }
    }

    /// The record of disk names, by UUID wherever a disk has one.
    pub(crate) fn lasting_disk_names(&self) -> BTreeMap<String, String> {
        let lasting = |disk: &VirtualDisk| disk.uuid.clone().unwrap_or_else(|| place(disk));
        self.named_disks().into_iter().map(|(name, disk)| (name, lasting(disk))).collect()
    }

    /// Whether the names of its disks are kept in a way that outlives a move of the disk.
    pub(crate) fn keeps_disk_names(&self) -> bool {
        self.disk_names.as_ref().is_none_or(|names| *names == self.lasting_disk_names())
    }
}

/// Where a disk hangs: known before it is made, but not for ever.
pub(crate) fn place(disk: &VirtualDisk) -> String {
    format!("{}:{}", disk.controller_key, disk.unit_number)
}

fn labelled(disk: &VirtualDisk) -> String {
    disk.label.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

impl Folder {
    /// One that was just made.
    pub(crate) fn new(name: &str, parent: &Mor) -> Self {
        let parent = Some(parent.clone());
        Self { name: name.to_owned(), parent, children: Vec::new(), custom: BTreeMap::new() }
    }

    pub(crate) fn read(object: &Object) -> Self {
        let values = object.get("customValue").map(|values| values.children.as_slice()).unwrap_or_default();
        let value = |value: &Element| {
            Some((i32::try_from(value.int_at("key")?).ok()?, value.text_at("value")?.to_owned()))
        };
        Self {
            name: object.text("name").unwrap_or_default().to_owned(),
            parent: object.mor("parent"),
            children: object.mors("childEntity"),
            custom: values.iter().filter_map(value).collect(),
        }
    }
}

impl Pool {
    /// One that was just made, with shares and limits as vCenter gives them.
    pub(crate) fn new(name: &str, parent: &Mor) -> Self {
        let (shares, limits) = ("normal".to_owned(), "none".to_owned());
        Self { name: name.to_owned(), parent: Some(parent.clone()), shares, limits, children: 0 }
    }

    pub(crate) fn read(object: &Object) -> Self {
        let allocation = |path| object.get(path).and_then(Allocation::read).unwrap_or_default();
        let (cpu, memory) = (allocation("config.cpuAllocation"), allocation("config.memoryAllocation"));
        let word = |shares| match shares {
            Shares::Low => "low".to_owned(),
            Shares::Normal => "normal".to_owned(),
            Shares::High => "high".to_owned(),
            Shares::Custom(number) => number.to_string(),
        };
        let (cpu_word, memory_word) = (word(cpu.shares), word(memory.shares));
        let shares =
            if cpu_word == memory_word { cpu_word } else { format!("cpu {cpu_word}, memory {memory_word}") };
        let limits = [("cpu", cpu.limit, "MHz"), ("memory", memory.limit, "MB")];
        let limits: Vec<_> = limits
            .into_iter()
            .filter_map(|(what, limit, unit)| limit.map(|limit| format!("{what} {limit} {unit}")))
            .collect();
        Self {
            name: object.text("name").unwrap_or_default().to_owned(),
            parent: object.mor("parent"),
            shares,
            limits: if limits.is_empty() { "none".to_owned() } else { limits.join(", ") },
            children: object.mors("vm").len() + object.mors("resourcePool").len(),
        }
    }
}

impl Portgroup {
    pub(crate) fn read(object: &Object) -> Self {
        let text = |path| object.text(path).unwrap_or_default().to_owned();
        // A trunk or a private VLAN is no number: shown as it is named, and brought back to one.
        let vlan = object.get("config.defaultPortConfig").and_then(|config| config.get("vlan"));
        let vlan = match vlan.map(|vlan| (vlan.int_at("vlanId"), &vlan.kind)) {
            Some((Some(id), _)) => Json::from(id),
            Some((None, kind)) => Json::from(&**kind),
            None => Json::Null,
        };
        Self {
            name: text("name"),
            key: text("key"),
            description: text("config.description"),
            config_version: text("config.configVersion"),
            vlan,
            switch: object.mor("config.distributedVirtualSwitch"),
            vms: object.mors("vm").len(),
        }
    }
}

fn unsigned(object: &Object, path: &str) -> u64 {
    object.int(path).and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::keys;

    #[test]
    fn paths_name_the_keys_that_are_written() {
        for (path, key) in [
            (MARK, keys::MARK),
            (APPLIED, keys::APPLIED),
            (DISKS, keys::DISKS),
            (RETIRED, keys::RETIRED),
            (RESTARTING, keys::RESTARTING),
        ] {
            assert_eq!(path, format!("config.extraConfig[\"{key}\"].value"));
        }
    }
}
