//! The machine that a restore makes, by the configuration that an export told and by where the tenant's things lie. Pure.
//!
//! It is another machine than the one that was backed up, which may still run: new identifiers, new hardware addresses, and
//! no network card plugged in.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey};
use vertskommune_core::observation::Capacity;
use vertskommune_provider::{ExportedDisk, NewServer, ProviderError};
use vsphere_client::{
    DeviceChange, ExtraConfig, LeaseDisk, NewController, NewDisk, NewNic, NicKind, PortConnection, VmConfig,
};

use crate::marks::{SERVER, keys};
use crate::observe::datastore;
use crate::placement::place;
use crate::settings::Settings;

/// What is understood of a configuration; see [`exports::configuration`](crate::exports).
const FORMAT: u32 = 1;

/// IDE's controllers are in every machine from the start, with these keys and the following.
const IDE: (&str, i32) = ("VirtualIDEController", 200);

#[derive(Deserialize)]
struct Configuration {
    format: u32,
    machine: Machine,
    disks: Vec<Disk>,
    #[serde(default)]
    interfaces: Vec<Interface>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    guest_id: Option<String>,
    firmware: Option<String>,
    secure_boot: Option<bool>,
    hardware_version: Option<String>,
    vcpus: u32,
    cores_per_socket: Option<u32>,
    memory: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Disk {
    name: Option<String>,
    storage_policy: Option<String>,
    controller: Option<Controller>,
    unit: i32,
}

#[derive(Clone, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Controller {
    kind: String,
    bus: i32,
}

#[derive(Deserialize)]
struct Interface {
    kind: String,
    network: Option<String>,
}

/// The names of the port groups that the machine was on.
pub(super) fn networks(configuration: &Json) -> impl Iterator<Item = &str> {
    let interfaces = configuration.get("interfaces").and_then(Json::as_array);
    interfaces.into_iter().flatten().filter_map(|interface| interface.get("network")?.as_str())
}

/// What a machine is made with besides its configuration.
pub(super) struct Ground<'a> {
    pub(super) provider: &'a ProviderName,
    pub(super) settings: &'a Settings,
    pub(super) switch_uuid: &'a str,
    /// The keys of the tenant's port groups by their names.
    pub(super) networks: &'a BTreeMap<String, String>,
    pub(super) capacity: &'a BTreeMap<String, Capacity>,
    /// What says that it is not whole yet.
    pub(super) mark: &'a str,
}

/// How the machine is made.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: VmConfig,
    /// Where each disk hangs, by its name.
    places: BTreeMap<String, (String, i32, i32)>,
    /// What of the configuration it does without, and why.
    pub(super) without: Vec<String>,
}

impl Plan {
    /// Makes every choice.
    pub(super) fn of(wanted: &NewServer, ground: &Ground<'_>) -> Result<Self, ProviderError> {
        let refused = |why: String| ProviderError::Refused(why);
        let configuration = Configuration::deserialize(&wanted.configuration).map_err(|error| {
            refused(format!("the configuration of the backup is not understood: {error}"))
        })?;
        if configuration.format != FORMAT {
            let found = configuration.format;
            return Err(refused(format!(
                "the configuration of the backup has the format {found}, not {FORMAT}"
            )));
        }
        let Configuration { machine, disks, interfaces, .. } = configuration;
        let mut plan = Self { config: VmConfig::default(), places: BTreeMap::new(), without: Vec::new() };
        let home = plan.disks(wanted, &disks, ground)?;
        plan.cards(&interfaces, ground);
        plan.config = VmConfig {
            name: Some(wanted.name.clone()),
            version: machine.hardware_version,
            guest_id: machine.guest_id,
            annotation: Some(unfinished(wanted)),
            files_on: Some(home),
            cpus: Some(machine.vcpus),
            cores_per_socket: machine.cores_per_socket.filter(|cores| *cores > 0),
            memory_mb: Some(machine.memory >> 20),
            extra_config: ExtraConfig(BTreeMap::from([(keys::RESTORING.to_owned(), ground.mark.to_owned())])),
            secure_boot: machine.secure_boot.filter(|secure| *secure),
            firmware: machine.firmware,
            ..plan.config
        };
        Ok(plan)
    }

    /// The disks with their controllers, and the datastore of the machine's own files.
    fn disks(
        &mut self,
        wanted: &NewServer,
        known: &[Disk],
        ground: &Ground<'_>,
    ) -> Result<String, ProviderError> {
        let id =
            ResourceId::new(&wanted.tenant, ground.provider, ResourceKey::new(SERVER, wanted.name.as_str()));
        let all: u64 = wanted.disks.iter().map(|disk| disk.bytes).sum();
        let store = |candidates: &[String]| {
            let store = place(&id, candidates, all, ground.capacity).map(str::to_owned);
            store.ok_or_else(|| {
                ProviderError::NoSight(format!("none of {} is visible", candidates.join(", ")))
            })
        };
        let home = store(&ground.settings.datastores)?;
        let mut used: BTreeMap<String, u64> = BTreeMap::new();
        let mut controllers: BTreeMap<Controller, i32> = BTreeMap::new();
        for (number, ExportedDisk { name, bytes }) in (0_i32..).zip(&wanted.disks) {
            let missing = |what: &str| {
                ProviderError::Refused(format!("the configuration of the backup does not tell {what} {name}"))
            };
            let disk = known.iter().find(|disk| disk.name.as_ref() == Some(name));
            let disk = disk.ok_or_else(|| missing("the disk"))?;
            let controller = disk.controller.clone().ok_or_else(|| missing("the controller of the disk"))?;
            let controller_key = self.controller(&controller, &mut controllers, name)?;
            let policy = disk.storage_policy.as_ref();
            let candidates = policy.map(|policy| (policy, ground.settings.datastores_of(Some(policy))));
            let store = match candidates {
                None => home.clone(),
                Some((_, Some(candidates))) => store(candidates)?,
                Some((policy, None)) => {
                    self.without.push(format!(
                        "the storage policy {policy} of disk {name}: the HostProvider has none of that name"
                    ));
                    home.clone()
                }
            };
            *used.entry(store.clone()).or_default() += bytes;
            self.config.devices.push(DeviceChange::AddDisk(NewDisk {
                key: -200 - number,
                controller_key,
                unit_number: disk.unit,
                capacity_bytes: *bytes,
                thin: ground.settings.thin,
                datastore_name: Some(store),
                profile_id: None,
            }));
            self.places.insert(name.clone(), (controller.kind, controller.bus, disk.unit));
        }
        for (store, bytes) in used {
            let free = ground.capacity.get(&datastore(&store)).map_or(0, |capacity| capacity.free);
            if free < bytes {
                return Err(ProviderError::Capacity(format!(
                    "{store} has {free} bytes left and the disks have {bytes}: make room, or name another datastore in \
                     the HostProvider"
                )));
            }
        }
        Ok(home)
    }

    /// The key of a controller, which is made with the first disk that hangs on it.
    fn controller(
        &mut self,
        controller: &Controller,
        made: &mut BTreeMap<Controller, i32>,
        disk: &str,
    ) -> Result<i32, ProviderError> {
        if let Some(key) = made.get(controller) {
            return Ok(*key);
        }
        let Controller { kind, bus } = controller;
        let key = if kind == IDE.0 {
            IDE.1 + bus
        } else if NewController::KINDS.contains(&kind.as_str()) {
            let key = -1 - i32::try_from(made.len()).unwrap_or_default();
            let new = NewController { key, kind: kind.as_str().into(), bus_number: *bus };
            self.config.devices.push(DeviceChange::AddController(new));
            key
        } else {
            return Err(ProviderError::Refused(format!(
                "the disk {disk} hung on a {kind}, which is not made here: restore its disks one by one"
            )));
        };
        made.insert(controller.clone(), key);
        Ok(key)
    }

    /// The network cards, none of them plugged in: the server that was backed up may still have the address.
    fn cards(&mut self, interfaces: &[Interface], ground: &Ground<'_>) {
        for (number, interface) in (0_i32..).zip(interfaces) {
            let name = interface.network.as_deref().unwrap_or("none");
            let Some(portgroup_key) = ground.networks.get(name) else {
                self.without.push(format!(
                    "network card {}: it was on {name}, which is no network of the tenant now",
                    number + 1
                ));
                continue;
            };
            let kind = NicKind::named(&interface.kind).unwrap_or_else(|| {
                self.without.push(format!(
                    "network card {}: it was a {}, which is not made here, and is a VirtualVmxnet3 now",
                    number + 1,
                    interface.kind
                ));
                NicKind::Vmxnet3
            });
            self.config.devices.push(DeviceChange::AddNic(NewNic {
                key: -100 - number,
                kind,
                port: PortConnection {
                    switch_uuid: ground.switch_uuid.to_owned(),
                    portgroup_key: portgroup_key.clone(),
                },
                plugged: false,
                mac: None,
            }));
        }
    }

    /// The disks of a lease by their names, if it has all.
    pub(super) fn targets(&self, disks: &[LeaseDisk]) -> Result<BTreeMap<String, LeaseDisk>, ProviderError> {
        let target = |(name, (kind, bus, unit)): (&String, &(String, i32, i32))| {
            let is_it = |disk: &&LeaseDisk| {
                let place = &disk.place;
                (&*place.controller, place.bus_number, place.unit_number) == (kind.as_str(), *bus, *unit)
            };
            let found = disks.iter().find(is_it).cloned().ok_or_else(|| {
                ProviderError::Protocol(format!("the lease has no disk {kind}{bus}:{unit}, which is {name}"))
            })?;
            Ok((name.clone(), found))
        };
        self.places.iter().map(target).collect()
    }
}

/// What people read of the machine while it is not whole.
fn unfinished(wanted: &NewServer) -> String {
    format!(
        "vertskommune restores the backup {} of {} of {} here. If no restore runs, this is what one has left: the next of \
         this tenant removes it.",
        wanted.run, wanted.server, wanted.tenant
    )
}

/// What people read of it from then on.
pub(super) fn finished(wanted: &NewServer) -> String {
    format!(
        "Restored by vertskommune from the backup {} of {} of {}. No manifest has it, so that nothing changes or removes it. \
         Its network cards are not plugged in.",
        wanted.run, wanted.server, wanted.tenant
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(configuration: Json, disks: &[(&str, u64)]) -> NewServer {
        NewServer {
            tenant: "ibestad".into(),
            name: "ibe-fs01-restored".to_owned(),
            server: "ibe-fs01".to_owned(),
            run: "20261128T221500Z".to_owned(),
            configuration,
            disks: disks
                .iter()
                .map(|(name, bytes)| ExportedDisk { name: (*name).to_owned(), bytes: *bytes })
                .collect(),
        }
    }

    fn configuration() -> Json {
        let controller = json!({"kind": "ParaVirtualSCSIController", "bus": 0});
        json!({
            "format": 1,
            "machine": {
                "guestId": "windows2019srv_64Guest", "firmware": "efi", "secureBoot": true, "hardwareVersion": "vmx-19",
                "vcpus": 4, "coresPerSocket": 2, "memory": 8_u64 << 30, "biosUuid": "b", "instanceUuid": "i",
            },
            "disks": [
                {"name": "system", "controller": controller, "unit": 0},
                {"name": "data", "controller": controller, "unit": 1, "storagePolicy": "ssd"},
                {"name": "iso", "controller": {"kind": "VirtualIDEController", "bus": 1}, "unit": 0},
            ],
            "interfaces": [
                {"kind": "VirtualE1000", "mac": "00:50:56:00:00:01", "network": "ibestad-servers"},
                {"kind": "VirtualVmxnet3", "network": "ibestad-gone"},
            ],
        })
    }

    fn plan(wanted: &NewServer, free: u64) -> Result<Plan, ProviderError> {
        let settings = Settings::read(&json!({
            "datacenter": "d", "cluster": "c", "switch": "s", "folder": "f", "resourcePool": "p", "datastores": ["home"],
            "storagePolicies": {"ssd": {"datastores": ["fast"]}},
        }))
        .unwrap();
        let networks = BTreeMap::from([("ibestad-servers".to_owned(), "dvportgroup-1".to_owned())]);
        let room = |name| (datastore(name), Capacity { free, total: 1 << 40 });
        let capacity = BTreeMap::from([room("home"), room("fast")]);
        let provider = ProviderName::from("vcenter");
        let ground = Ground {
            provider: &provider,
            settings: &settings,
            switch_uuid: "switch",
            networks: &networks,
            capacity: &capacity,
            mark: "the mark",
        };
        Plan::of(wanted, &ground)
    }

    #[test]
    fn the_machine_is_as_it_was_and_cannot_be_taken_for_the_old_one() {
        let plan = plan(
            &wanted(configuration(), &[("system", 60 << 30), ("data", 1 << 30), ("iso", 1 << 20)]),
            1 << 40,
        )
        .unwrap();
        let config = &plan.config;
        assert_eq!((config.cpus, config.cores_per_socket, config.memory_mb), (Some(4), Some(2), Some(8192)));
        assert_eq!((config.firmware.as_deref(), config.secure_boot), (Some("efi"), Some(true)));
        assert_eq!((config.files_on.as_deref(), &config.instance_uuid), (Some("home"), &None));
        assert_eq!(
            config.extra_config.0,
            BTreeMap::from([(keys::RESTORING.to_owned(), "the mark".to_owned())])
        );
        let disk = |device: &DeviceChange| match device {
            DeviceChange::AddDisk(disk) => Some((
                disk.controller_key,
                disk.unit_number,
                disk.capacity_bytes,
                disk.datastore_name.clone().unwrap(),
            )),
            _ => None,
        };
        assert_eq!(
            config.devices.iter().filter_map(disk).collect::<Vec<_>>(),
            [
                (-1, 0, 60 << 30, "home".to_owned()),
                (-1, 1, 1 << 30, "fast".to_owned()),
                (201, 0, 1 << 20, "home".to_owned()),
            ]
        );
        let nics: Vec<_> = config
            .devices
            .iter()
            .filter_map(|device| match device {
                DeviceChange::AddNic(nic) => Some(nic),
                _ => None,
            })
            .collect();
        assert!(nics.len() == 1 && !nics[0].plugged && nics[0].mac.is_none(), "{nics:?}");
        assert_eq!(nics[0].kind, NicKind::E1000);
        assert_eq!(
            plan.without,
            ["network card 2: it was on ibestad-gone, which is no network of the tenant now"]
        );
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        type Break = fn(&mut Json);
        let rows: [(Break, &str); 5] = [
            (|it| it["format"] = json!(2), "format 2"),
            (|it| it["machine"]["vcpus"] = json!("four"), "not understood"),
            (|it| it["disks"][0]["name"] = json!("other"), "does not tell the disk system"),
            (|it| it["disks"][0]["controller"] = json!(null), "the controller of the disk system"),
            (|it| it["disks"][0]["controller"]["kind"] = json!("VirtualFloppy"), "hung on a VirtualFloppy"),
        ];
        for (spoil, why) in rows {
            let mut it = configuration();
            spoil(&mut it);
            let error = plan(&wanted(it, &[("system", 1 << 30)]), 1 << 40).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let full = plan(&wanted(configuration(), &[("system", 1 << 30)]), 1 << 20).unwrap_err();
        assert!(matches!(&full, ProviderError::Capacity(why) if why.contains("home has")), "{full:?}");
    }

    #[test]
    fn a_network_card_that_is_not_made_here_is_said() {
        let mut it = configuration();
        it["interfaces"] = json!([{"kind": "VirtualSriovEthernetCard", "network": "ibestad-servers"}]);
        let plan = plan(&wanted(it, &[("data", 1 << 30)]), 1 << 40).unwrap();
        let is_vmxnet3 = |device: &DeviceChange| match device {
            DeviceChange::AddNic(nic) => nic.kind == NicKind::Vmxnet3,
            _ => false,
        };
        assert_eq!(plan.config.devices.iter().filter(|device| is_vmxnet3(device)).count(), 1);
        assert_eq!(
            plan.without,
            [
                "network card 1: it was a VirtualSriovEthernetCard, which is not made here, and is a VirtualVmxnet3 now"
            ]
        );
    }

    #[test]
    fn a_storage_policy_that_is_gone_is_said() {
        let mut it = configuration();
        it["disks"][1]["storagePolicy"] = json!("tape");
        it["interfaces"] = json!([]);
        let plan = plan(&wanted(it, &[("data", 1 << 30)]), 1 << 40).unwrap();
        assert_eq!(
            plan.without,
            ["the storage policy tape of disk data: the HostProvider has none of that name"]
        );
    }
}
