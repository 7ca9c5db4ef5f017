//! Making a server: one clone with all that it needs, once.
//!
//! The name in its folder is the only guard against a second clone. So what is there is looked up first, by instance
//! UUID and by name, and a name that turns out to be taken leads to the same question: is it ours?

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use vertskommune_core::facts::Facts;
use vertskommune_core::resource::Value;
use vertskommune_provider::Applied;
use vsphere_client::{
    CloneSpec, DeviceChange, ExtraConfig, Location, Mac, NewDisk, NewNic, NicEdit, NicKind, PortConnection,
    VmConfig,
};

use super::{Act, Outcome, Stop, is_taken, refused};
use crate::guest::{Told, Values};
use crate::marks::keys;
use crate::rows::Vm;

/// The unit of a SCSI controller that is its own.
const RESERVED_UNIT: i32 = 7;

/// Disks that a SCSI controller takes, its own unit included.
const UNITS: i32 = 16;

impl Act<'_> {
    pub(super) async fn clone_server(&self) -> Outcome {
        if let Some(there) = self.already_there().await? {
            return Ok(there);
        }
        let name = self.step.resource.key.name.as_str();
        let template_name = self.text("template").unwrap_or_default();
        let source = self.session.layout.templates.get(template_name).ok_or_else(|| {
            let path =
                self.vsphere.settings.templates.get(template_name).map(|template| template.path.as_str());
            refused(format!(
                "the template {template_name} is not there, look for it at {}",
                path.unwrap_or("(none)")
            ))
        })?;
        self.read_ahead(self.referred(), &[source]).await?;
        let template = self.read_vm(source).await?;
        let template = template.ok_or_else(|| refused(format!("the template {template_name} is gone")))?;
        let folder = self.object("folder").await?;
        let spec = self.spec(&template).await?;
        let writer = self.session.client.writer(&*self.permit);
        match writer.clone_vm(source, &folder, name, &spec).await {
            Ok(task) => {
                self.vsphere.ledger.note(&task.0, self.started());
                Ok(Applied::Started { operation: "Cloning".to_owned() })
            }
            Err(error) if is_taken(&error) => self
                .already_there()
                .await?
                .ok_or_else(|| refused(format!("the name {name} is taken in its folder"))),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the server is there already, or something else in its place.
    async fn already_there(&self) -> Result<Option<Applied>, Stop> {
        let id = &self.step.resource;
        let uuid = self.text("instanceUuid").unwrap_or_default();
        let mut found = self.session.client.find_by_instance_uuid(uuid).await?;
        found.extend(self.find(&self.paths().server(&id.tenant, &id.key.name)).await?);
        let mark = self.mark();
        for mor in &found {
            let Some(vm) = self.read_vm(mor).await? else { continue };
            if vm.slim.mark.as_ref() == Some(&mark) {
                return Ok(Some(Applied::Done));
            }
            if vm.slim.change_version.is_empty() {
                return Ok(Some(Applied::NotSent(format!("{} is being made", vm.slim.name))));
            }
            return Err(refused(format!(
                "there is a machine {} ({uuid}) without our mark: rename it",
                vm.slim.name
            )));
        }
        Ok(None)
    }

    async fn spec(&self, template: &Vm) -> Result<CloneSpec, Stop> {
        let uuid = self.text("instanceUuid").unwrap_or_default();
        let told = self.guest(uuid)?;
        let mut devices = self.cards(template).await?;
        let (disks, names) = self.new_disks(template, self.wanted_disks())?;
        devices.extend(disks);
        let mut extra: BTreeMap<String, String> = told.extra.into_iter().collect();
        extra.insert(keys::MARK.to_owned(), self.mark());
        extra.insert(keys::APPLIED.to_owned(), json!(self.applied()).to_string());
        extra.insert(keys::DISKS.to_owned(), json!(names).to_string());
        let store = self.text("datastore").unwrap_or_default();
        let datastore = self.session.layout.datastores.get(store).cloned();
        let datastore = datastore.ok_or_else(|| refused(format!("the datastore {store} is not there")))?;
        Ok(CloneSpec {
            location: Location {
                datastore: Some(datastore),
                pool: Some(self.object("pool").await?),
                ..Location::default()
            },
            config: VmConfig {
                instance_uuid: Some(uuid.to_owned()),
                cpus: self.number("vcpus").and_then(|cpus| u32::try_from(cpus).ok()),
                memory_mb: self.number("memory").map(|bytes| bytes >> 20),
                devices,
                extra_config: ExtraConfig(extra),
                ..VmConfig::default()
            },
            customization: told.customization,
        })
    }

    fn guest(&self, uuid: &str) -> Result<Told, Stop> {
        let values: Values = serde_json::from_value(self.known("guest").cloned().unwrap_or(Json::Null))
            .map_err(|error| refused(format!("the guest's values are not understood: {error}")))?;
        let template = self.text("template").and_then(|name| self.vsphere.settings.templates.get(name));
        let Some(template) = template else { return Ok(Told::default()) };
        let told = template.guest.tell(&values, uuid);
        told.map_err(|error| refused(format!("the template's guest data cannot be filled: {error}")))
    }

    /// The template's network cards connected to the server's networks, more where it has too few, none too many.
    async fn cards(&self, template: &Vm) -> Result<Vec<DeviceChange>, Stop> {
        let connections: Vec<_> =
            self.connections().await?.into_iter().filter_map(|(_, port)| port).collect();
        let surplus = template.nics.iter().skip(connections.len()).cloned().map(DeviceChange::RemoveNic);
        let card = |(number, port): (i32, PortConnection)| {
            let nic = usize::try_from(number).ok().and_then(|number| template.nics.get(number));
            let Some(nic) = nic.cloned() else {
                let kind = NicKind::default();
                return DeviceChange::AddNic(NewNic {
                    key: -100 - number,
                    kind,
                    port,
                    plugged: true,
                    mac: None,
                });
            };
            DeviceChange::EditNic(NicEdit { nic, port, mac: Mac::Assign })
        };
        let changes: Vec<_> = (0..).zip(connections).map(card).collect();
        Ok(changes.into_iter().chain(surplus).collect())
    }

    /// Name and size of the disks that the step sets.
    pub(super) fn wanted_disks(&self) -> Vec<(String, u64)> {
        let sizes = self.step.fields.iter().filter_map(|(path, value)| {
            let name = path.strip_prefix("disks.")?.strip_suffix(".size")?;
            Some((name.to_owned(), value.as_known()?.as_u64()?))
        });
        sizes.collect()
    }

    /// New disks at the free places of the machine's first SCSI controller, and the places by their names.
    pub(super) fn new_disks(
        &self,
        vm: &Vm,
        wanted: Vec<(String, u64)>,
    ) -> Result<(Vec<DeviceChange>, BTreeMap<String, String>), Stop> {
        if wanted.is_empty() {
            return Ok((Vec::new(), BTreeMap::new()));
        }
        let controller = vm.controllers.first().copied();
        let controller =
            controller.ok_or_else(|| refused("the machine has no SCSI controller for a disk".to_owned()))?;
        let taken = |unit: &i32| {
            vm.disks.iter().any(|disk| disk.controller_key == controller && disk.unit_number == *unit)
        };
        let mut free = (0..UNITS).filter(|unit| *unit != RESERVED_UNIT && !taken(unit));
        let (mut changes, mut names) = (Vec::new(), BTreeMap::new());
        for (number, (name, size)) in (0_i32..).zip(wanted) {
            let unit =
                free.next().ok_or_else(|| refused("the SCSI controller takes no more disks".to_owned()))?;
            let store = self.text(&format!("disks.{name}.datastore")).map(str::to_owned);
            changes.push(DeviceChange::AddDisk(NewDisk {
                key: -200 - number,
                controller_key: controller,
                unit_number: unit,
                capacity_bytes: size,
                thin: self.vsphere.settings.thin,
                datastore_name: store,
                profile_id: None,
            }));
            names.insert(name, format!("{controller}:{unit}"));
        }
        Ok((changes, names))
    }

    /// The record of what this step gives, which tells a changed manifest from drift later on.
    pub(super) fn applied(&self) -> Facts {
        let mut applied = Facts::new();
        for (path, value) in &self.step.fields {
            let is_size = path == "vcpus" || path == "memory";
            let is_disk = path.starts_with("disks.") && !path.ends_with(".datastore");
            match value {
                Value::Known(value) if is_size || is_disk => {
                    applied.insert(path.clone(), value.clone());
                }
                Value::After { resource, .. } if path.starts_with("interfaces.") => {
                    applied.insert(path.clone(), json!(resource.key.name));
                }
                _ => {}
            }
        }
        applied
    }
}
