//! A VM's virtual hardware: reading its devices, and the changes that a client may ask for.

mod change;

pub use change::{DeviceChange, DiskGrowth, Mac, NewController, NewDisk, NewNic, NicEdit, NicKind};
pub(crate) use change::{write_change, write_profile};

use crate::{Element, Mor};

/// One device of `config.hardware.device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A disk.
    Disk(VirtualDisk),
    /// A network card.
    Nic(Nic),
    /// A controller that disks hang on.
    Controller(Controller),
    /// Anything else.
    Other {
        /// Its key.
        key: i32,
        /// Its type.
        kind: Box<str>,
    },
}

/// A virtual disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualDisk {
    /// Unique within the VM, and the same for the life of the disk.
    pub key: i32,
    /// What people see, such as `Hard disk 1`.
    pub label: String,
    /// The key of its controller.
    pub controller_key: i32,
    /// Its place at the controller.
    pub unit_number: i32,
    /// Its size in bytes.
    pub capacity_bytes: u64,
    /// Where it lies, as `[datastore] folder/name.vmdk`.
    pub file_name: String,
    /// The datastore of the file.
    pub datastore: Option<Mor>,
    /// Such as `persistent`.
    pub mode: String,
    /// Whether it takes only the space that is written; none when the backing does not tell.
    pub thin: Option<bool>,
    /// Whether there is a snapshot below it, with which it cannot grow.
    pub has_parent: bool,
    /// The disk's own UUID.
    pub uuid: Option<String>,
    /// What the disk had changed to when it was read, where vSphere tracks its changes.
    pub change_id: Option<String>,
    /// Whether a key is needed to read it.
    pub encrypted: bool,
    /// Whether several VMs may write to it.
    pub shared: bool,
    /// The type of the backing.
    pub(crate) backing: Box<str>,
}

/// In what form a disk lies on its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A file, thick or thin.
    Flat,
    /// A file in blocks, as under a snapshot on VMFS 6.
    SeSparse,
    /// A LUN of the storage, itself or through a mapping file (RDM).
    RawDevice,
    /// Another one.
    Other,
}

impl VirtualDisk {
    /// In what form it lies on its storage.
    pub fn backing(&self) -> Backing {
        match &*self.backing {
            "VirtualDiskFlatVer2BackingInfo" => Backing::Flat,
            "VirtualDiskSeSparseBackingInfo" => Backing::SeSparse,
            kind if kind.starts_with("VirtualDiskRawDisk") => Backing::RawDevice,
            _ => Backing::Other,
        }
    }
}

/// A virtual network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Unique within the VM, and the same for the life of the card.
    pub key: i32,
    /// What people see, such as `Network adapter 1`.
    pub label: String,
    /// Its type, such as `VirtualVmxnet3`.
    pub kind: Box<str>,
    /// The key of its controller.
    pub controller_key: Option<i32>,
    /// Its place at the controller.
    pub unit_number: Option<i32>,
    /// Its hardware address.
    pub mac: Option<String>,
    /// Who chose the address: `assigned` (vCenter), `generated` (the host) or `manual`.
    pub address_type: Option<String>,
    /// The distributed port group that it is connected to.
    pub port: Option<PortConnection>,
    /// The network of a standard switch that it is connected to.
    pub network: Option<Mor>,
    /// Whether it is connected when the VM starts.
    pub start_connected: Option<bool>,
}

/// A controller of disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Unique within the VM.
    pub key: i32,
    /// Its type, such as `ParaVirtualSCSIController`.
    pub kind: Box<str>,
    /// Its number among the controllers of its sort.
    pub bus_number: i32,
    /// Whether it is SCSI: then unit 7 is its own and 0 to 15 are there.
    pub is_scsi: bool,
}

/// A distributed port group, as a network card names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConnection {
    /// The switch's property `uuid`.
    pub switch_uuid: String,
    /// The port group's property `key`.
    pub portgroup_key: String,
}

/// The devices in the value of `config.hardware.device`.
pub fn devices(value: &Element) -> impl Iterator<Item = Device> + '_ {
    value.children.iter().filter_map(read)
}

fn read(device: &Element) -> Option<Device> {
    let key = int(device, "key")?;
    let kind = &*device.kind;
    let label = device.text_at("deviceInfo.label").unwrap_or_default().to_owned();
    Some(if kind == "VirtualDisk" {
        Device::Disk(read_disk(device, key, label))
    } else if is_nic(device) {
        Device::Nic(read_nic(device, key, label))
    } else if let Some(bus_number) = int(device, "busNumber") {
        let is_scsi = device.get("hotAddRemove").is_some() || device.get("sharedBus").is_some();
        Device::Controller(Controller { key, kind: kind.into(), bus_number, is_scsi })
    } else {
        Device::Other { key, kind: kind.into() }
    })
}

fn int(element: &Element, path: &str) -> Option<i32> {
    element.int_at(path).and_then(|n| i32::try_from(n).ok())
}

/// By the fields that only a network card has, as there are many types of them.
fn is_nic(device: &Element) -> bool {
    device.get("macAddress").is_some() || device.get("addressType").is_some()
}

fn read_disk(device: &Element, key: i32, label: String) -> VirtualDisk {
    let bytes = device.int_at("capacityInBytes").filter(|b| *b > 0);
    let bytes = bytes.or_else(|| device.int_at("capacityInKB").map(|kb| kb.saturating_mul(1024)));
    let backing = device.get("backing");
    let text = |path: &str| backing.and_then(|b| b.text_at(path)).map(str::to_owned);
    VirtualDisk {
        key,
        label,
        controller_key: int(device, "controllerKey").unwrap_or(0),
        unit_number: int(device, "unitNumber").unwrap_or(0),
        capacity_bytes: bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0),
        file_name: text("fileName").unwrap_or_default(),
        datastore: backing.and_then(|b| b.get("datastore")).and_then(Element::mor),
        mode: text("diskMode").unwrap_or_default(),
        thin: backing.and_then(|b| b.bool_at("thinProvisioned")),
        has_parent: backing.is_some_and(|b| b.get("parent").is_some()),
        uuid: text("uuid"),
        change_id: text("changeId").filter(|id| !id.is_empty()),
        encrypted: backing.is_some_and(|b| b.get("keyId").is_some()),
        shared: text("sharing").is_some_and(|sharing| sharing == "sharingMultiWriter"),
        backing: backing.map(|b| b.kind.clone()).unwrap_or_default(),
    }
}

fn read_nic(device: &Element, key: i32, label: String) -> Nic {
    let text = |path: &str| device.text_at(path).filter(|t| !t.is_empty()).map(str::to_owned);
    let switch_uuid = text("backing.port.switchUuid");
    let portgroup_key = text("backing.port.portgroupKey");
    Nic {
        key,
        label,
        kind: device.kind.clone(),
        controller_key: int(device, "controllerKey"),
        unit_number: int(device, "unitNumber"),
        mac: text("macAddress"),
        address_type: text("addressType"),
        port: switch_uuid
            .zip(portgroup_key)
            .map(|(switch_uuid, portgroup_key)| PortConnection { switch_uuid, portgroup_key }),
        network: device.at("backing.network").and_then(Element::mor),
        start_connected: device.bool_at("connectable.startConnected"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse;

    #[test]
    fn devices_are_told_apart() {
        let value = parse(
            "<val xmlns:x='u'><VirtualDevice x:type='ParaVirtualSCSIController'><key>1000</key><busNumber>0</busNumber>\
             <hotAddRemove>true</hotAddRemove><sharedBus>noSharing</sharedBus></VirtualDevice>\
             <VirtualDevice x:type='VirtualDisk'><key>2000</key><backing x:type='VirtualDiskFlatVer2BackingInfo'>\
             <fileName>[ds] a/a.vmdk</fileName><diskMode>persistent</diskMode><thinProvisioned>true</thinProvisioned>\
             </backing><controllerKey>1000</controllerKey><unitNumber>0</unitNumber><capacityInKB>1024</capacityInKB>\
             </VirtualDevice><VirtualDevice x:type='VirtualVmxnet3'><key>4000</key><backing><port><switchUuid>s</switchUuid>\
             <portgroupKey>p</portgroupKey></port></backing><macAddress>00:50:56:00:00:01</macAddress></VirtualDevice>\
             <VirtualDevice x:type='VirtualCdrom'><key>3000</key></VirtualDevice></val>",
        )
        .unwrap();
        let found: Vec<Device> = devices(&value).collect();
        assert!(matches!(&found[0], Device::Controller(c) if c.is_scsi && c.key == 1000));
        assert!(matches!(&found[1], Device::Disk(d) if d.capacity_bytes == 1 << 20 && d.thin == Some(true)));
        assert!(matches!(&found[2], Device::Nic(n) if n.port.as_ref().unwrap().portgroup_key == "p"));
        assert!(matches!(&found[3], Device::Other { key: 3000, .. }));
    }
}
