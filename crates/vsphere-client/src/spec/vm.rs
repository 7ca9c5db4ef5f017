//! Virtual machines: where they lie, what they have, and how they are cloned.

use std::collections::BTreeMap;
use std::fmt;

use crate::device::{write_change, write_profile};
use crate::xml::Body;
use crate::{Customization, DeviceChange, Mor};

/// How a VM is cloned. The clone is not powered on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CloneSpec {
    /// Where it comes to lie.
    pub location: Location,
    /// What differs from the source.
    pub config: VmConfig,
    /// How its guest is set up, if by vCenter.
    pub customization: Option<Customization>,
}

/// Where a VM lies. What is none stays as it is, or is chosen by vCenter.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Location {
    /// The datastore of its files.
    pub datastore: Option<Mor>,
    /// Its resource pool. A clone of a template needs one.
    pub pool: Option<Mor>,
    /// Its host.
    pub host: Option<Mor>,
    /// The id of its storage policy.
    pub profile_id: Option<String>,
}

/// A VM's settings. What is none or empty stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VmConfig {
    /// `config.changeVersion` as it was read: vCenter answers `ConcurrentAccess` when the VM
    /// changed since. The simulator does not look at it.
    pub change_version: Option<String>,
    /// Its name, also when it is cloned: the name that counts there is the clone's own.
    pub name: Option<String>,
    /// The version of its hardware, such as `vmx-19`.
    pub version: Option<String>,
    /// Its UUID within vCenter. No guard: two VMs may have the same.
    pub instance_uuid: Option<String>,
    /// What its guest is, such as `ubuntu64Guest`.
    pub guest_id: Option<String>,
    /// The notes that people see.
    pub annotation: Option<String>,
    /// The name of the datastore where a VM's files lie that is made.
    pub files_on: Option<String>,
    /// Virtual CPUs.
    pub cpus: Option<u32>,
    /// Cores in each socket that the guest sees.
    pub cores_per_socket: Option<u32>,
    /// Memory in MB.
    pub memory_mb: Option<u64>,
    /// Whether CPUs can be added while it runs; changed only while it is off.
    pub cpu_hot_add: Option<bool>,
    /// Whether memory can be added while it runs; changed only while it is off.
    pub memory_hot_add: Option<bool>,
    /// Changes to its hardware.
    pub devices: Vec<DeviceChange>,
    /// Settings by key.
    pub extra_config: ExtraConfig,
    /// `bios` or `efi`.
    pub firmware: Option<String>,
    /// Whether it starts signed software alone; only with `efi`.
    pub secure_boot: Option<bool>,
}

/// Settings of `config.extraConfig` by key. An empty value removes the key. Prints keys only, as
/// `guestinfo.userdata` and kin may hold passwords.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ExtraConfig(pub BTreeMap<String, String>);

impl fmt::Debug for ExtraConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for ExtraConfig {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        ExtraConfig(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl CloneSpec {
    pub(crate) fn write(&self, b: &mut Body) {
        b.element("spec", |b| {
            self.location.write(b, "location");
            b.value("template", false);
            self.config.write(b, "config");
            if let Some(customization) = &self.customization {
                customization.write(b);
            }
            b.value("powerOn", false);
        });
    }
}

impl Location {
    /// Writes a `VirtualMachineRelocateSpec`.
    pub(crate) fn write(&self, b: &mut Body, name: &str) {
        b.element(name, |b| {
            b.option_mor("datastore", self.datastore.as_ref())
                .option_mor("pool", self.pool.as_ref())
                .option_mor("host", self.host.as_ref());
            write_profile(b, self.profile_id.as_deref());
        });
    }
}

impl VmConfig {
    /// Writes a `VirtualMachineConfigSpec`.
    pub(crate) fn write(&self, b: &mut Body, name: &str) {
        b.element(name, |b| {
            b.option("changeVersion", self.change_version.as_ref())
                .option("name", self.name.as_ref())
                .option("version", self.version.as_ref())
                .option("instanceUuid", self.instance_uuid.as_ref())
                .option("guestId", self.guest_id.as_ref())
                .option("annotation", self.annotation.as_ref());
            if let Some(datastore) = &self.files_on {
                // vCenter chooses folder and file.
                b.element("files", |b| {
                    b.value("vmPathName", format!("[{datastore}]"));
                });
            }
            b.option("numCPUs", self.cpus)
                .option("numCoresPerSocket", self.cores_per_socket)
                .option("memoryMB", self.memory_mb)
                .option("memoryHotAddEnabled", self.memory_hot_add)
                .option("cpuHotAddEnabled", self.cpu_hot_add);
            for device in &self.devices {
                write_change(b, device);
            }
            for (key, value) in &self.extra_config.0 {
                b.typed("extraConfig", "OptionValue", |b| {
                    b.value("key", key).any("value", "xsd:string", value);
                });
            }
            if let Some(secure) = self.secure_boot {
                b.element("bootOptions", |b| {
                    b.value("efiSecureBootEnabled", secure);
                });
            }
            b.option("firmware", self.firmware.as_ref());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_config_prints_no_values() {
        let extra: ExtraConfig = [("guestinfo.userdata", "hunter2")].into_iter().collect();
        assert_eq!(format!("{extra:?}"), "{\"guestinfo.userdata\"}");
    }
}
