//! Changing a server in place.

use std::collections::BTreeMap;

use serde_json::json;
use vertskommune_provider::Applied;
use vsphere_client::{
    DeviceChange, DiskGrowth, ExtraConfig, Location, Mac, NewNic, NicEdit, NicKind, VmConfig,
};

use super::{Act, Outcome, Stop, not_sent, refused};
use crate::marks::keys;
use crate::order::Order;
use crate::rows::Vm;

impl Act<'_> {
    /// Writes the mark on a machine that is there, and nothing else.
    pub(super) async fn adopt(&self) -> Outcome {
        let word = self.text("adopt").unwrap_or_default();
        let found = match uuid::Uuid::try_parse(word) {
            Ok(_) => self.session.client.find_by_instance_uuid(word).await?.into_iter().next(),
            Err(_) => self.find(word.trim_start_matches('/')).await?,
        };
        let vm = match found {
            Some(mor) => self.read_vm(&mor).await?,
            None => None,
        };
        let vm = vm.ok_or_else(|| not_sent(format!("there is no machine {word}")))?;
        match &vm.slim.mark {
            Some(mark) if *mark == self.mark() => return Ok(Applied::Done),
            Some(mark) => return Err(refused(format!("{word} carries the mark {mark}"))),
            None => {}
        }
        self.expect(&self.facts(&vm))?;
        let extra = [(keys::MARK, self.mark())];
        self.reconfigure(&vm, VmConfig { extra_config: extra.into_iter().collect(), ..VmConfig::default() })
            .await
    }

    pub(super) async fn rename(&self) -> Outcome {
        let Some(vm) = self.to_change().await? else { return Ok(Applied::Done) };
        let name = self.text("name").unwrap_or_default();
        let task = self.session.client.writer(&*self.permit).rename(&vm.slim.mor, name).await?;
        self.settle(task).await
    }

    pub(super) async fn move_to_folder(&self) -> Outcome {
        let Some(vm) = self.to_change().await? else { return Ok(Applied::Done) };
        let folder = self.object("folder").await?;
        let task =
            self.session.client.writer(&*self.permit).move_into_folder(&folder, &[vm.slim.mor]).await?;
        self.settle(task).await
    }

    /// By relocation and not by `MoveIntoResourcePool`, which the simulator does not have; a pool of the same cluster
    /// moves nothing else.
    pub(super) async fn move_to_pool(&self) -> Outcome {
        let Some(vm) = self.to_change().await? else { return Ok(Applied::Done) };
        let location = Location { pool: Some(self.object("pool").await?), ..Location::default() };
        let task = self.session.client.writer(&*self.permit).relocate_vm(&vm.slim.mor, &location).await?;
        self.settle(task).await
    }

    /// Connects network cards to their networks, adds those that are missing, takes surplus ones away.
    pub(super) async fn connect(&self) -> Outcome {
        let Some(vm) = self.to_change().await? else { return Ok(Applied::Done) };
        let mut devices = Vec::new();
        let mut applied = vm.applied.clone();
        applied.extend(self.applied());
        for (number, port) in self.connections().await? {
            devices.extend(match (vm.nics.get(number), port) {
                (Some(nic), Some(port)) => {
                    Some(DeviceChange::EditNic(NicEdit { nic: nic.clone(), port, mac: Mac::Keep }))
                }
                (None, Some(port)) => {
                    let key = -100 - i32::try_from(devices.len()).unwrap_or_default();
                    Some(DeviceChange::AddNic(NewNic {
                        key,
                        kind: NicKind::default(),
                        port,
                        plugged: true,
                        mac: None,
                    }))
                }
                (Some(nic), None) => {
                    applied.remove(&format!("interfaces.{number}.network"));
                    Some(DeviceChange::RemoveNic(nic.clone()))
                }
                (None, None) => None,
            });
        }
        let extra_config = [(keys::APPLIED, json!(applied).to_string())].into_iter().collect();
        self.reconfigure(&vm, VmConfig { devices, extra_config, ..VmConfig::default() }).await
    }

    /// Adds disks and makes them larger.
    pub(super) async fn disks(&self) -> Outcome {
        let Some(vm) = self.to_change().await? else { return Ok(Applied::Done) };
        let mut growths = Vec::new();
        let mut added = Vec::new();
        for (name, size) in self.wanted_disks() {
            match vm.disk(&name) {
                Some(disk) if disk.capacity_bytes >= size => {}
                Some(disk) => {
                    let growth = DiskGrowth { disk: disk.clone(), capacity_bytes: size };
                    growths.push(DeviceChange::GrowDisk(growth));
                }
                None => added.push((name, size)),
            }
        }
        let mut extra = self.applied_with(&vm);
        if !added.is_empty() {
            let (changes, places) = self.new_disks(&vm, added)?;
            growths.extend(changes);
            let names: BTreeMap<_, _> = vm.lasting_disk_names().into_iter().chain(places).collect();
            extra.insert(keys::DISKS.to_owned(), json!(names).to_string());
        }
        let config = VmConfig { devices: growths, extra_config: ExtraConfig(extra), ..VmConfig::default() };
        self.reconfigure(&vm, config).await
    }

    /// Records which disk is which by what lasts.
    pub(super) async fn name_disks(&self) -> Outcome {
        let vm = self.vm().await?;
        if vm.keeps_disk_names() {
            return Ok(Applied::Done);
        }
        // A disk of the record that is not there would be lost from it.
        let recorded = vm.disk_names.as_ref().map_or(0, BTreeMap::len);
        let names = vm.lasting_disk_names();
        if names.len() < recorded {
            return Err(refused(format!(
                "{} of {recorded} recorded disks are not there",
                recorded - names.len()
            )));
        }
        let extra_config = [(keys::DISKS, json!(names).to_string())].into_iter().collect();
        self.reconfigure(&vm, VmConfig { extra_config, ..VmConfig::default() }).await
    }

    /// CPUs and memory; in a restart of ours the debt of the start is written along.
    pub(super) async fn resize(&self) -> Outcome {
        let Some(vm) = self.to_change().await? else { return Ok(Applied::Done) };
        let cpus = self.number("vcpus").and_then(|cpus| u32::try_from(cpus).ok());
        let memory_mb = self.number("memory").map(|bytes| bytes >> 20);
        let hot_cpus = cpus.is_none_or(|cpus| vm.cpu_hot_add && cpus > vm.cpus);
        let hot_memory = memory_mb.is_none_or(|memory| vm.memory_hot_add && memory > vm.slim.memory_mb);
        if vm.slim.powered_on && !(hot_cpus && hot_memory) {
            return Err(not_sent(format!("{} is on, and this needs it off", vm.slim.name)));
        }
        let mut extra = self.applied_with(&vm);
        if vm.order.is_some() && !vm.slim.powered_on {
            extra.insert(keys::RESTARTING.to_owned(), Order::Start.to_string());
        }
        let config = VmConfig { cpus, memory_mb, extra_config: ExtraConfig(extra), ..VmConfig::default() };
        self.reconfigure(&vm, config).await
    }

    /// The machine, if it is as the step expects it; none where the step is done already.
    async fn to_change(&self) -> Result<Option<Vm>, Stop> {
        self.read_ahead(std::iter::once(&self.step.resource).chain(self.referred()), &[]).await?;
        let vm = self.vm().await?;
        let facts = self.facts(&vm);
        let placement = |path: &String| path.ends_with(".datastore");
        let is_done =
            self.step.fields.keys().any(placement) && self.sizes_hold(&vm) || self.holds(&facts).await?;
        if is_done {
            return Ok(None);
        }
        self.expect(&facts)?;
        Ok(Some(vm))
    }

    /// Where a disk was placed is not asked again once it is there.
    fn sizes_hold(&self, vm: &Vm) -> bool {
        self.wanted_disks()
            .iter()
            .all(|(name, size)| vm.disk(name).is_some_and(|disk| disk.capacity_bytes == *size))
    }

    fn applied_with(&self, vm: &Vm) -> BTreeMap<String, String> {
        let mut applied = vm.applied.clone();
        applied.extend(self.applied());
        BTreeMap::from([(keys::APPLIED.to_owned(), json!(applied).to_string())])
    }

    /// One change of a machine, refused by vCenter if somebody changed it since it was read.
    pub(super) async fn reconfigure(&self, vm: &Vm, config: VmConfig) -> Outcome {
        let config = VmConfig { change_version: Some(vm.slim.change_version.clone()), ..config };
        let task = self.session.client.writer(&*self.permit).reconfigure_vm(&vm.slim.mor, &config).await?;
        self.settle(task).await
    }
}
