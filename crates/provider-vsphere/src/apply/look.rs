//! Finding the things that a step is about, and the values that only other things give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use serde_json::{Value as Json, json};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{ResourceId, ResourceKey, TenantName};
use vertskommune_core::resource::Value;
use vertskommune_provider::ProviderError;
use vsphere_client::{FaultClass, Mor, Object, PortConnection, Scope, Select};

use super::{Act, Stop, not_sent, refused};
use crate::layout::Paths;
use crate::marks::{self, FOLDER, NETWORK, POOL, SERVER, portgroup_name};
use crate::observe::facts;
use crate::rows::{
    FOLDER_PATHS, Folder, POOL_PATHS, PORTGROUP_PATHS, Pool, Portgroup, RULE_PATHS, Vm, full, is_gone,
    unreadable,
};

/// Objects in one answer of a read ahead.
const AHEAD: u32 = 100;

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

    /// Reads in one call where these things were last seen, and these objects besides.
    pub(super) async fn read_ahead<'b>(
        &self,
        things: impl IntoIterator<Item = &'b ResourceId>,
        objects: &[&Mor],
    ) -> Result<(), Stop> {
        let known = things.into_iter().flat_map(|id| self.whereabouts(id));
        let all: BTreeSet<Mor> = objects.iter().copied().cloned().chain(known).collect();
        let all: Vec<Mor> = all.into_iter().collect();
        let full = full();
        let select = [
            Select { kind: "VirtualMachine", paths: &full },
            Select { kind: "Folder", paths: FOLDER_PATHS },
            Select { kind: "ResourcePool", paths: POOL_PATHS },
            Select { kind: "DistributedVirtualPortgroup", paths: PORTGROUP_PATHS },
            Select { kind: &self.session.layout.cluster.kind, paths: RULE_PATHS },
        ];
        let mut read = BTreeMap::new();
        let outcome = self.session.client.retrieve(Scope::Objects(&all), &select, AHEAD, |object| {
            read.insert(object.mor.clone(), object);
        });
        match outcome.await {
            // Some servers refuse the whole read for one that is gone: then each is read alone.
            Err(error) if error.class() == Some(FaultClass::Gone) => return Ok(()),
            outcome => outcome?,
        }
        *self.ahead() = read;
        Ok(())
    }

    /// What was read ahead, each to be used once: who looks a second time, looks anew.
    fn ahead(&self) -> MutexGuard<'_, BTreeMap<Mor, Object>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The things that the step's fields refer to.
    pub(super) fn referred(&self) -> impl Iterator<Item = &ResourceId> {
        self.step.fields.values().filter_map(|value| match value {
            Value::After { resource, .. } => Some(resource),
            Value::Known(_) | Value::Secret(_) => None,
        })
    }

    fn whereabouts(&self, id: &ResourceId) -> Vec<Mor> {
        self.vsphere.hint(|inventory, ground| Some(inventory.whereabouts(ground, id))).unwrap_or_default()
    }

    /// Properties of an object; none where it is gone.
    pub(super) async fn read(&self, mor: &Mor, paths: &[&str]) -> Result<Option<Object>, Stop> {
        let ahead = self.ahead().remove(mor);
        let object = match ahead {
            Some(object) => Some(object),
            None => self.session.client.read(mor, paths).await?,
        };
        let Some(object) = object else { return Ok(None) };
        if let Some(why) = unreadable(&object) {
            return Err(Stop::Failed(ProviderError::NoSight(why)));
        }
        Ok(Some(object).filter(|object| !is_gone(object)))
    }

    /// The tenant's folder.
    pub(super) async fn folder_of(&self, tenant: &TenantName) -> Result<Option<(Mor, Folder)>, Stop> {
        let known = self.known_folder(tenant).await?;
        // One that has its name leaves no room for another.
        if known.as_ref().is_some_and(|(_, folder)| folder.name == tenant.as_str()) {
            return Ok(known);
        }
        match self.find(&self.paths().folder(tenant)).await? {
            Some(mor) => self.folder_at(mor).await,
            None => Ok(known),
        }
    }

    /// The tenant's folder where it was last seen, whatever its name is now.
    pub(super) async fn known_folder(&self, tenant: &TenantName) -> Result<Option<(Mor, Folder)>, Stop> {
        match self.whereabouts(&self.places(FOLDER, tenant)).pop() {
            Some(mor) => self.folder_at(mor).await,
            None => Ok(None),
        }
    }

    async fn folder_at(&self, mor: Mor) -> Result<Option<(Mor, Folder)>, Stop> {
        let folder = self.read(&mor, FOLDER_PATHS).await?.map(|object| Folder::read(&object));
        let root = &self.session.layout.root_folder;
        Ok(folder.filter(|folder| folder.parent.as_ref() == Some(root)).map(|folder| (mor, folder)))
    }

    /// The tenant's pool.
    pub(super) async fn pool_of(&self, tenant: &TenantName) -> Result<Option<(Mor, Pool)>, Stop> {
        let known = self.known_pool(tenant).await?;
        if known.as_ref().is_some_and(|(_, pool)| pool.name == tenant.as_str()) {
            return Ok(known);
        }
        match self.find(&self.paths().pool(tenant)).await? {
            Some(mor) => self.pool_at(mor).await,
            None => Ok(known),
        }
    }

    /// The tenant's pool where it was last seen, whatever its name is now.
    pub(super) async fn known_pool(&self, tenant: &TenantName) -> Result<Option<(Mor, Pool)>, Stop> {
        match self.whereabouts(&self.places(POOL, tenant)).pop() {
            Some(mor) => self.pool_at(mor).await,
            None => Ok(None),
        }
    }

    async fn pool_at(&self, mor: Mor) -> Result<Option<(Mor, Pool)>, Stop> {
        let pool = self.read(&mor, POOL_PATHS).await?.map(|object| Pool::read(&object));
        let root = &self.session.layout.root_pool;
        Ok(pool.filter(|pool| pool.parent.as_ref() == Some(root)).map(|pool| (mor, pool)))
    }

    /// A tenant's folder or pool, which has its name.
    pub(super) fn places(&self, kind: &str, tenant: &TenantName) -> ResourceId {
        ResourceId::new(tenant, &self.step.resource.provider, ResourceKey::new(kind, tenant.as_str()))
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
        let mut known = None;
        for mor in self.whereabouts(id) {
            let row = self.read(&mor, PORTGROUP_PATHS).await?.map(|object| Portgroup::read(&object));
            known = row.filter(|row| row.description == mark).map(|row| (mor, row)).or(known);
        }
        if known.as_ref().is_some_and(|(_, row)| row.name == name) {
            return Ok(known);
        }
        // Before one that was renamed by hand counts the one that has the name.
        Ok(self.portgroup_named(&name).await?.filter(|(_, row)| row.description == mark).or(known))
    }

    /// The VM that carries the mark of a server.
    pub(super) async fn server_of(&self, id: &ResourceId) -> Result<Option<Vm>, Stop> {
        let mark = marks::mark(&self.vsphere.installation, id).to_string();
        let known = self.whereabouts(id);
        let by_path = match known[..] {
            [] => self.find(&self.paths().server(&id.tenant, &id.key.name)).await?,
            _ => None,
        };
        for mor in known.into_iter().chain(by_path) {
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
            FOLDER => Ok(self.folder_of(&id.tenant).await?.ok_or_else(missing)?.0.to_string()),
            POOL => Ok(self.pool_of(&id.tenant).await?.ok_or_else(missing)?.0.to_string()),
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
