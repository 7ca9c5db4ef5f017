//! Finding the things that a step is about, and the values that only other things give.

use serde_json::{Value as Json, json};
use vertskommune_core::names::ResourceId;
use vertskommune_core::resource::{Facts, Value};
use vertskommune_provider::ProviderError;
use vsphere_client::{Mor, Object, PortConnection};

use super::{Act, Stop, not_sent, refused};
use crate::index::Index;
use crate::layout::Paths;
use crate::marks::{self, FOLDER, NETWORK, POOL, SERVER, portgroup_name};
use crate::observe::facts;
use crate::rows::{
    FOLDER_PATHS, Folder, POOL_PATHS, PORTGROUP_PATHS, Pool, Portgroup, Vm, full, is_gone, unreadable,
};

impl Act<'_> {
    pub(super) fn paths(&self) -> Paths<'_> {
        Paths(&self.vsphere.settings)
    }

    pub(super) fn mark(&self) -> String {
        marks::mark(&self.vsphere.installation, &self.step.resource).to_string()
    }

    pub(super) async fn find(&self, path: &str) -> Result<Option<Mor>, Stop> {
        Ok(self.session.client.find_by_inventory_path(path).await?)
    }

    /// Properties of an object; none where it is gone.
    pub(super) async fn read(&self, mor: &Mor, paths: &[&str]) -> Result<Option<Object>, Stop> {
        let Some(object) = self.session.client.read(mor, paths).await? else { return Ok(None) };
        if let Some(why) = unreadable(&object) {
            return Err(Stop::Failed(ProviderError::NoSight(why)));
        }
        Ok(Some(object).filter(|object| !is_gone(object)))
    }

    /// The tenant's folder.
    pub(super) async fn folder_of(&self, id: &ResourceId) -> Result<Option<(Mor, Folder)>, Stop> {
        let mor = match self.find(&self.paths().folder(&id.tenant)).await? {
            Some(mor) => Some(mor),
            None => self
                .vsphere
                .hint(|inventory, ground| Some(Index::of(inventory, ground).folder(&id.tenant)?.0.clone())),
        };
        let Some(mor) = mor else { return Ok(None) };
        let folder = self.read(&mor, FOLDER_PATHS).await?.map(|object| Folder::read(&object));
        let root = &self.session.layout.root_folder;
        Ok(folder.filter(|folder| folder.parent.as_ref() == Some(root)).map(|folder| (mor, folder)))
    }

    /// The tenant's pool.
    pub(super) async fn pool_of(&self, id: &ResourceId) -> Result<Option<(Mor, Pool)>, Stop> {
        let mor = match self.find(&self.paths().pool(&id.tenant)).await? {
            Some(mor) => Some(mor),
            None => self
                .vsphere
                .hint(|inventory, ground| Some(Index::of(inventory, ground).pool(&id.tenant)?.0.clone())),
        };
        let Some(mor) = mor else { return Ok(None) };
        let pool = self.read(&mor, POOL_PATHS).await?.map(|object| Pool::read(&object));
        let root = &self.session.layout.root_pool;
        Ok(pool.filter(|pool| pool.parent.as_ref() == Some(root)).map(|pool| (mor, pool)))
    }

    /// A port group by its name, whosever it is.
    pub(super) async fn portgroup_named(&self, name: &str) -> Result<Option<(Mor, Portgroup)>, Stop> {
        let Some(mor) = self.find(&self.paths().portgroup(name)).await? else { return Ok(None) };
        let object = self.read(&mor, PORTGROUP_PATHS).await?;
        Ok(object.map(|object| (mor, Portgroup::read(&object))))
    }

    /// The port group that carries the mark of a network.
    pub(super) async fn network_of(&self, id: &ResourceId) -> Result<Option<(Mor, Portgroup)>, Stop> {
        let mark = marks::mark(&self.vsphere.installation, id).to_string();
        let name = portgroup_name(&id.tenant, &id.key.name);
        if let Some(found) = self.portgroup_named(&name).await?.filter(|(_, row)| row.description == mark) {
            return Ok(Some(found));
        }
        // One that was renamed by hand.
        let hint = self.vsphere.hint(|inventory, _| {
            inventory.portgroups.iter().find(|(_, row)| row.description == mark).map(|(mor, _)| mor.clone())
        });
        let Some(mor) = hint else { return Ok(None) };
        let row = self.read(&mor, PORTGROUP_PATHS).await?.map(|object| Portgroup::read(&object));
        Ok(row.filter(|row| row.description == mark).map(|row| (mor, row)))
    }

    /// The VM that carries the mark of a server.
    pub(super) async fn server_of(&self, id: &ResourceId) -> Result<Option<Vm>, Stop> {
        let mark = marks::mark(&self.vsphere.installation, id).to_string();
        let hints = self.vsphere.hint(|inventory, _| {
            let marked = inventory.vms.values().filter(|vm| vm.slim.mark.as_ref() == Some(&mark));
            Some(marked.map(|vm| vm.slim.mor.clone()).collect::<Vec<_>>())
        });
        let by_path = match hints.as_deref() {
            None | Some([]) => self.find(&self.paths().server(&id.tenant, &id.key.name)).await?,
            Some(_) => None,
        };
        for mor in hints.into_iter().flatten().chain(by_path) {
            if let Some(vm) = self.read_vm(&mor).await?.filter(|vm| vm.slim.mark.as_ref() == Some(&mark)) {
                return Ok(Some(vm));
            }
        }
        Ok(None)
    }

    pub(super) async fn read_vm(&self, mor: &Mor) -> Result<Option<Vm>, Stop> {
        Ok(self.read(mor, &full()).await?.map(|object| Vm::read(&object)))
    }

    /// The VM of this step, as it expects it.
    pub(super) async fn vm(&self) -> Result<Vm, Stop> {
        let id = &self.step.resource;
        let vm = self.server_of(id).await?.ok_or_else(|| not_sent(format!("{} is not there", id.key)))?;
        Ok(vm)
    }

    /// What is to be compared with the step's expectations.
    pub(super) fn facts(&self, vm: &Vm) -> Facts {
        let mut facts = facts(vm, &self.vsphere.settings);
        facts.insert("identity".to_owned(), json!(vm.slim.instance_uuid));
        facts
    }

    /// Whether what the step sets is so already.
    pub(super) async fn holds(&self, facts: &Facts) -> Result<bool, Stop> {
        for (path, value) in &self.step.fields {
            let wanted = match value {
                Value::Known(value) => value.clone(),
                Value::After { resource, .. } => json!(self.resolve(resource).await?),
                Value::Secret(_) => return Ok(false),
            };
            if facts.get(path).unwrap_or(&Json::Null) != &wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The output by which others refer to a resource, as it is now.
    pub(super) async fn resolve(&self, id: &ResourceId) -> Result<String, Stop> {
        let missing = || not_sent(format!("waits for {}", id.key));
        match id.key.kind.as_str() {
            FOLDER => Ok(self.folder_of(id).await?.ok_or_else(missing)?.0.to_string()),
            POOL => Ok(self.pool_of(id).await?.ok_or_else(missing)?.0.to_string()),
            NETWORK => Ok(self.network_of(id).await?.ok_or_else(missing)?.1.key),
            SERVER => Ok(self.server_of(id).await?.ok_or_else(missing)?.slim.mor.to_string()),
            kind => Err(refused(format!("a {kind} gives nothing to others"))),
        }
    }

    /// The object that a field of the step refers to.
    pub(super) async fn object(&self, field: &str) -> Result<Mor, Stop> {
        let text = match self.step.fields.get(field) {
            Some(Value::After { resource, .. }) => self.resolve(resource).await?,
            Some(Value::Known(Json::String(text))) => text.clone(),
            _ => return Err(refused(format!("the step does not say which {field}"))),
        };
        text.parse().map_err(|_| refused(format!("{text} is no object")))
    }

    /// The connections that the step's interfaces are to have, by their numbers; none where one is taken away.
    pub(super) async fn connections(&self) -> Result<Vec<(usize, Option<PortConnection>)>, Stop> {
        let mut connections = Vec::new();
        for (path, value) in &self.step.fields {
            let number = path.strip_prefix("interfaces.").and_then(|rest| rest.strip_suffix(".network"));
            let Some(number) = number.and_then(|number| number.parse().ok()) else { continue };
            let connection = match value {
                Value::After { resource, .. } => Some(PortConnection {
                    switch_uuid: self.session.layout.switch_uuid.clone(),
                    portgroup_key: self.resolve(resource).await?,
                }),
                Value::Known(_) | Value::Secret(_) => None,
            };
            connections.push((number, connection));
        }
        connections.sort_by_key(|(number, _)| *number);
        Ok(connections)
    }

    pub(super) fn known(&self, field: &str) -> Option<&Json> {
        self.step.fields.get(field).and_then(Value::as_known)
    }

    pub(super) fn number(&self, field: &str) -> Option<u64> {
        self.known(field).and_then(Json::as_u64)
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.known(field).and_then(Json::as_str)
    }
}
