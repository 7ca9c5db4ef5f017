//! What keeps a VM's disks from being exported by a snapshot.

use std::fmt;

use crate::{Backing, Device};

/// A reason why an export does not hold all of a VM. Those of a disk name it by its label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Obstacle {
    /// The VM has a virtual TPM, whose secrets no export holds.
    Tpm,
    /// The VM's files are encrypted.
    EncryptedVm,
    /// The disk is encrypted.
    EncryptedDisk(String),
    /// The disk is a LUN of the storage.
    RawDevice(String),
    /// Snapshots leave the disk out.
    Independent(String),
    /// Several VMs write to the disk.
    Shared(String),
    /// The disk lies in a form that this client does not know.
    UnknownBacking(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Tpm => f.write_str("the VM has a vTPM, and a copy without its keys would not start"),
            Obstacle::EncryptedVm => f.write_str("the VM is encrypted, and vSphere exports no encrypted VM"),
            Obstacle::EncryptedDisk(disk) => {
                write!(f, "{disk} is encrypted, and vSphere exports no encrypted disk")
            }
            Obstacle::RawDevice(disk) => write!(f, "{disk} is a LUN (RDM), which no export holds"),
            Obstacle::Independent(disk) => {
                write!(f, "{disk} is independent, and snapshots leave it out: make it dependent")
            }
            Obstacle::Shared(disk) => {
                write!(f, "{disk} is shared with other VMs, and no snapshot can be taken")
            }
            Obstacle::UnknownBacking(disk) => write!(f, "{disk} lies in a form that is not known here"),
        }
    }
}

/// What keeps a VM with these devices from being exported whole, sorted; nothing if all is well.
/// `is_encrypted` tells whether its property `config.keyId` has a value.
pub fn export_obstacles(devices: &[Device], is_encrypted: bool) -> Vec<Obstacle> {
    let mut found = vec![];
    if is_encrypted {
        found.push(Obstacle::EncryptedVm);
    }
    for device in devices {
        let disk = match device {
            Device::Disk(disk) => disk,
            Device::Other { kind, .. } if &**kind == "VirtualTPM" => {
                found.push(Obstacle::Tpm);
                continue;
            }
            _ => continue,
        };
        let label = || disk.label.clone();
        match disk.backing() {
            Backing::Flat | Backing::SeSparse => {}
            Backing::RawDevice => found.push(Obstacle::RawDevice(label())),
            Backing::Other => found.push(Obstacle::UnknownBacking(label())),
        }
        if disk.mode.starts_with("independent") {
            found.push(Obstacle::Independent(label()));
        }
        if disk.encrypted {
            found.push(Obstacle::EncryptedDisk(label()));
        }
        if disk.shared {
            found.push(Obstacle::Shared(label()));
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices;
    use crate::xml::parse;

    fn device(backing: &str, fields: &str) -> Vec<Device> {
        let text = format!(
            "<val xmlns:x='u'><VirtualDevice x:type='VirtualDisk'><key>2000</key><deviceInfo><label>Hard disk 1</label>\
             </deviceInfo><backing x:type='{backing}'>{fields}</backing></VirtualDevice></val>"
        );
        devices(&parse(&text).unwrap()).collect()
    }

    #[test]
    fn each_obstacle_is_named() {
        let flat = "VirtualDiskFlatVer2BackingInfo";
        let disk = || "Hard disk 1".to_owned();
        for (backing, fields, expected) in [
            (flat, "<diskMode>persistent</diskMode><changeId>52/3</changeId>", vec![]),
            ("VirtualDiskSeSparseBackingInfo", "<diskMode>persistent</diskMode>", vec![]),
            (flat, "<diskMode>independent_persistent</diskMode>", vec![Obstacle::Independent(disk())]),
            (flat, "<diskMode>independent_nonpersistent</diskMode>", vec![Obstacle::Independent(disk())]),
            (flat, "<keyId><keyId>k</keyId></keyId>", vec![Obstacle::EncryptedDisk(disk())]),
            (flat, "<sharing>sharingMultiWriter</sharing>", vec![Obstacle::Shared(disk())]),
            (flat, "<sharing>sharingNone</sharing>", vec![]),
            ("VirtualDiskRawDiskMappingVer1BackingInfo", "", vec![Obstacle::RawDevice(disk())]),
            ("VirtualDiskRawDiskVer2BackingInfo", "", vec![Obstacle::RawDevice(disk())]),
            ("VirtualDiskLocalPMemBackingInfo", "", vec![Obstacle::UnknownBacking(disk())]),
            (
                "VirtualDiskRawDiskMappingVer1BackingInfo",
                "<diskMode>independent_persistent</diskMode>",
                vec![Obstacle::RawDevice(disk()), Obstacle::Independent(disk())],
            ),
        ] {
            assert_eq!(export_obstacles(&device(backing, fields), false), expected, "{backing} {fields}");
        }
        let tpm = [Device::Other { key: 11_000, kind: "VirtualTPM".into() }];
        assert_eq!(export_obstacles(&tpm, true), [Obstacle::Tpm, Obstacle::EncryptedVm]);
    }
}
