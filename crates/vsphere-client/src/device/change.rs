//! The changes to a VM's hardware that can be asked for. There is none that removes a disk.

use super::{Nic, PortConnection, VirtualDisk};
use crate::xml::Body;

/// One change to a VM's hardware, in a clone, an import or a reconfiguration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// Adds a controller for disks, of a VM that is made.
    AddController(NewController),
    /// Adds an empty disk.
    AddDisk(NewDisk),
    /// Makes a disk larger.
    GrowDisk(DiskGrowth),
    /// Adds a network card.
    AddNic(NewNic),
    /// Connects a network card elsewhere.
    EditNic(NicEdit),
    /// Unplugs a network card, which stays where it was connected. [`DeviceChange::EditNic`] plugs it in again.
    UnplugNic(Nic),
    /// Takes a network card away.
    RemoveNic(Nic),
}

/// A controller of disks to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewController {
    /// Negative, and unique within the request; vCenter gives the real one.
    pub key: i32,
    /// Its type, such as `ParaVirtualSCSIController`.
    pub kind: Box<str>,
    /// Its number among the controllers of its sort.
    pub bus_number: i32,
}

impl NewController {
    /// The types that can be made anew. IDE's are in every VM from the start, and are named by their keys.
    pub const KINDS: [&str; 6] = [
        "ParaVirtualSCSIController",
        "VirtualLsiLogicSASController",
        "VirtualLsiLogicController",
        "VirtualBusLogicController",
        "VirtualAHCIController",
        "VirtualNVMEController",
    ];
}

/// A disk to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDisk {
    /// Negative, and unique within the request; vCenter gives the real one.
    pub key: i32,
    /// The controller that it hangs on.
    pub controller_key: i32,
    /// Its place at the controller: free, and not 7 at a SCSI controller.
    pub unit_number: i32,
    /// Its size in bytes, a multiple of 1024.
    pub capacity_bytes: u64,
    /// Whether it takes only the space that is written.
    pub thin: bool,
    /// The name of the datastore; none for the one of the VM.
    pub datastore_name: Option<String>,
    /// The id of its storage policy; none for the datastore's default.
    pub profile_id: Option<String>,
}

/// A disk and the size that it grows to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskGrowth {
    /// The disk as it was read.
    pub disk: VirtualDisk,
    /// The new size in bytes, a multiple of 1024 and larger than the old one.
    pub capacity_bytes: u64,
}

/// A network card to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNic {
    /// Negative, and unique within the request; vCenter gives the real one.
    pub key: i32,
    /// What the guest sees.
    pub kind: NicKind,
    /// Where it is connected.
    pub port: PortConnection,
    /// Whether it is plugged in, now and when the VM starts.
    pub plugged: bool,
    /// Its hardware address; none for one that vCenter chooses.
    pub mac: Option<String>,
}

/// What sort of network card the guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NicKind {
    /// The paravirtual card.
    #[default]
    Vmxnet3,
    /// An emulated card, for guests without VMware's driver.
    E1000e,
    /// An older emulated card.
    E1000,
}

impl NicKind {
    /// The kind that vSphere calls by this name; none for one that is not made here.
    pub fn named(name: &str) -> Option<NicKind> {
        [NicKind::Vmxnet3, NicKind::E1000e, NicKind::E1000].into_iter().find(|kind| kind.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            NicKind::Vmxnet3 => "VirtualVmxnet3",
            NicKind::E1000e => "VirtualE1000e",
            NicKind::E1000 => "VirtualE1000",
        }
    }
}

/// A network card and where it is connected from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicEdit {
    /// The card as it was read, of the template in a clone.
    pub nic: Nic,
    /// The new connection.
    pub port: PortConnection,
    /// What happens to its hardware address.
    pub mac: Mac,
}

/// What happens to a network card's hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// It stays, as in every reconfiguration.
    Keep,
    /// vCenter gives a new one, as in every clone.
    Assign,
}

/// Writes one `VirtualDeviceConfigSpec`.
pub(crate) fn write_change(b: &mut Body, change: &DeviceChange) {
    b.element("deviceChange", |b| match change {
        DeviceChange::AddController(controller) => {
            b.value("operation", "add").typed("device", &controller.kind, |b| {
                b.value("key", controller.key).value("busNumber", controller.bus_number);
                if controller.kind.contains("SCSI") || controller.kind.contains("Logic") {
                    b.value("sharedBus", "noSharing");
                }
            });
        }
        DeviceChange::AddDisk(disk) => write_new_disk(b, disk),
        DeviceChange::GrowDisk(growth) => write_growth(b, growth),
        DeviceChange::AddNic(nic) => write_new_nic(b, nic),
        DeviceChange::EditNic(edit) => write_nic_edit(b, edit),
        DeviceChange::UnplugNic(nic) => write_unplugged(b, nic),
        DeviceChange::RemoveNic(nic) => {
            b.value("operation", "remove").typed("device", &nic.kind, |b| {
                b.value("key", nic.key);
            });
        }
    });
}

fn write_new_disk(b: &mut Body, disk: &NewDisk) {
    b.value("operation", "add").value("fileOperation", "create").typed("device", "VirtualDisk", |b| {
        b.value("key", disk.key).typed("backing", "VirtualDiskFlatVer2BackingInfo", |b| {
            // vCenter chooses folder and file. The field `datastore` is not read in requests.
            let place = disk.datastore_name.as_ref().map_or(String::new(), |name| format!("[{name}]"));
            b.value("fileName", place).value("diskMode", "persistent").value("thinProvisioned", disk.thin);
        });
        b.value("controllerKey", disk.controller_key).value("unitNumber", disk.unit_number);
        write_capacity(b, disk.capacity_bytes);
    });
    write_profile(b, disk.profile_id.as_deref());
}

fn write_growth(b: &mut Body, growth: &DiskGrowth) {
    let disk = &growth.disk;
    b.value("operation", "edit").typed("device", "VirtualDisk", |b| {
        b.value("key", disk.key);
        if matches!(&*disk.backing, "VirtualDiskFlatVer2BackingInfo" | "VirtualDiskSeSparseBackingInfo") {
            b.typed("backing", &disk.backing, |b| {
                b.value("fileName", &disk.file_name).value("diskMode", &disk.mode);
            });
        }
        b.value("controllerKey", disk.controller_key).value("unitNumber", disk.unit_number);
        write_capacity(b, growth.capacity_bytes);
    });
}

/// Both, as a server that looks at one of them ignores a change of the other.
fn write_capacity(b: &mut Body, bytes: u64) {
    b.value("capacityInKB", bytes / 1024).value("capacityInBytes", bytes);
}

/// Writes the storage policy of a disk or a VM, if there is one.
pub(crate) fn write_profile(b: &mut Body, id: Option<&str>) {
    if let Some(id) = id {
        b.typed("profile", "VirtualMachineDefinedProfileSpec", |b| {
            b.value("profileId", id);
        });
    }
}

fn write_new_nic(b: &mut Body, nic: &NewNic) {
    b.value("operation", "add").typed("device", nic.kind.name(), |b| {
        b.value("key", nic.key);
        write_connection(b, Some(&nic.port), nic.plugged);
        let address_type = if nic.mac.is_some() { "manual" } else { "assigned" };
        b.value("addressType", address_type).option("macAddress", nic.mac.as_ref());
    });
}

fn write_nic_edit(b: &mut Body, edit: &NicEdit) {
    let nic = &edit.nic;
    b.value("operation", "edit").typed("device", &nic.kind, |b| {
        b.value("key", nic.key);
        write_connection(b, Some(&edit.port), true);
        b.option("controllerKey", nic.controller_key).option("unitNumber", nic.unit_number);
        match edit.mac {
            Mac::Keep => {
                b.option("addressType", nic.address_type.as_ref()).option("macAddress", nic.mac.as_ref());
            }
            Mac::Assign => {
                b.value("addressType", "assigned");
            }
        }
    });
}

fn write_unplugged(b: &mut Body, nic: &Nic) {
    b.value("operation", "edit").typed("device", &nic.kind, |b| {
        b.value("key", nic.key);
        write_connection(b, nic.port.as_ref(), false);
        b.option("controllerKey", nic.controller_key).option("unitNumber", nic.unit_number);
        b.option("addressType", nic.address_type.as_ref()).option("macAddress", nic.mac.as_ref());
    });
}

/// A card without a distributed port keeps its backing unsaid.
fn write_connection(b: &mut Body, port: Option<&PortConnection>, plugged: bool) {
    if let Some(port) = port {
        b.typed("backing", "VirtualEthernetCardDistributedVirtualPortBackingInfo", |b| {
            b.element("port", |b| {
                b.value("switchUuid", &port.switch_uuid).value("portgroupKey", &port.portgroup_key);
            });
        });
    }
    b.element("connectable", |b| {
        b.value("startConnected", plugged).value("allowGuestControl", true).value("connected", plugged);
    });
}
