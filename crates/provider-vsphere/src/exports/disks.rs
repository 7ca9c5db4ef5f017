//! What a backup calls the disks of a machine, and which of them cannot be given out. Pure.

use std::collections::{BTreeMap, BTreeSet};

use vertskommune_core::backup::facts::{Hindrance, Obstacle};
use vsphere_client::{Device, Obstacle as Found, export_obstacles};

use crate::rows::Vm;

/// What of a machine can be given out.
pub(super) struct Given {
    /// The names of its disks by their keys, without those that cannot.
    pub(super) names: BTreeMap<i32, String>,
    /// What cannot, and why.
    pub(super) obstacles: Vec<Obstacle>,
}

impl Given {
    /// By the machine's devices, and whether its files are encrypted.
    pub(super) fn of(vm: &Vm, hardware: &[Device], is_encrypted: bool) -> Self {
        let mut names = names(vm);
        let found = export_obstacles(hardware, is_encrypted);
        let obstacles: Vec<_> = found.iter().map(|found| obstacle(found, vm, &names)).collect();
        names.retain(|_, name| !obstacles.iter().any(|it| it.disk.as_ref() == Some(name)));
        Self { names, obstacles }
    }
}

/// Whether one of these hinders the machine as a whole.
pub(super) fn hinders_all(obstacles: &[Obstacle]) -> bool {
    obstacles.iter().any(|obstacle| obstacle.disk.is_none())
}

/// The names of a machine's disks by their keys.
fn names(vm: &Vm) -> BTreeMap<i32, String> {
    let named = vm.named_disks().into_iter().map(|(name, disk)| (disk.key, name)).collect();
    all_named(vm.disks.iter().map(|disk| disk.key), named)
}

/// The manifest's names, and `system`, `system-2` and so on for what came with the template.
fn all_named(keys: impl Iterator<Item = i32>, mut names: BTreeMap<i32, String>) -> BTreeMap<i32, String> {
    let taken: BTreeSet<String> = names.values().cloned().collect();
    let system = |number: usize| match number {
        1 => "system".to_owned(),
        number => format!("system-{number}"),
    };
    let mut free = (1..).map(system).filter(|name| !taken.contains(name));
    for key in keys {
        names.entry(key).or_insert_with(|| free.next().unwrap_or_default());
    }
    names
}

fn obstacle(found: &Found, vm: &Vm, names: &BTreeMap<i32, String>) -> Obstacle {
    let (label, why) = match found {
        Found::Tpm | Found::EncryptedVm => (None, Hindrance::Encrypted),
        Found::EncryptedDisk(label) => (Some(label), Hindrance::Encrypted),
        Found::RawDevice(label) => (Some(label), Hindrance::RawDeviceMapping),
        Found::Independent(label) => (Some(label), Hindrance::IndependentDisk),
        Found::Shared(label) => (Some(label), Hindrance::SharedDisk),
        Found::UnknownBacking(label) => (Some(label), Hindrance::ExportRefused),
        _ => (None, Hindrance::ExportRefused),
    };
    let disk = label.and_then(|label| vm.disks.iter().find(|disk| disk.label == *label));
    let disk = disk.and_then(|disk| names.get(&disk.key)).cloned();
    Obstacle { disk, why, detail: Some(found.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_disk_has_a_name_of_its_own() {
        for (count, named, expected, why) in [
            (1, None, "system", "the template's alone"),
            (3, Some((2002, "data")), "system system-2 data", "a template of two"),
            (2, Some((2000, "data")), "data system", "whatever comes first"),
            (2, Some((2001, "system")), "system-2 system", "the manifest's name goes before"),
            (3, Some((2001, "system-2")), "system system-2 system-3", "likewise"),
        ] {
            let by_manifest =
                named.iter().map(|(key, name): &(i32, &str)| (*key, (*name).to_owned())).collect();
            let found: Vec<_> = all_named(2000..2000 + count, by_manifest).into_values().collect();
            assert_eq!(found.join(" "), expected, "{why}");
        }
    }
}
