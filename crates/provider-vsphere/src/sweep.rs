//! Reading vCenter: everything in a constant number of requests and one for each page, or a few tenants again.
//!
//! A sweep has two tiers: a slim read of everything below the datacenter, so that a VM of ours is found wherever
//! somebody moved it, and a full read of those of ours that changed since. Nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vertskommune_core::names::TenantName;
use vertskommune_core::observation::{Capacity, Scope as Look};
use vertskommune_provider::ProviderError;
use vsphere_client::{Mor, Object, Scope, Select, anti_affinity_rules};

use crate::index::Index;
use crate::inventory::{Common, Ground, Inventory};
use crate::layout::Paths;
use crate::ledger::Ledger;
use crate::link::Session;
use crate::rows::{
    FOLDER_PATHS, Folder, POOL_PATHS, PORTGROUP_PATHS, Pool, Portgroup, SWEEP, Slim, Vm, full, is_gone,
    unreadable,
};

/// Objects in one answer: 500 slim rows are some 500 KB, 500 full ones some 4 MB.
const PAGE: u32 = 500;

/// What a sweep is made with.
pub(crate) struct Sweep<'a> {
    pub(crate) session: &'a Session,
    pub(crate) paths: Paths<'a>,
    pub(crate) ground: Ground<'a>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) look: &'a Look,
}

/// What this process made for a tenant and no sweep has shown yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    /// Names of port groups.
    pub(crate) portgroups: BTreeSet<String>,
}

impl Sweep<'_> {
    /// Reads everything. `before` lends the full rows of what has not changed.
    pub(crate) async fn everything(&self, before: &Inventory) -> Result<Inventory, ProviderError> {
        // The tasks first: a clone that ends in between is seen as running or as a VM, never as neither.
        let (mut common, recent) = self.common(&[], &mut |_| {}).await?;
        common.running = self.tasks(&recent).await?;
        let mut rows = Rows::default();
        let mut slims: Vec<Slim> = Vec::new();
        // A view of its own for each sweep: the simulator misses new pools in one that it keeps.
        let read = self.session.client.list(&self.session.layout.datacenter, SWEEP, PAGE, |object| {
            if &*object.mor.kind == "VirtualMachine" {
                slims.push(Slim::read(&object));
            } else {
                rows.take(&object);
            }
        });
        read.await.map_err(|error| self.session.fail(&error))?;
        let adopt = self.adopted(&rows, &slims);
        let (ours, others): (Vec<_>, Vec<_>) =
            slims.into_iter().partition(|slim| self.matters(slim, &rows, &adopt));
        common.foreign_memory = self.memory(others.iter());
        let mut inventory = Inventory { adopt, common, ..rows.into_inventory() };
        // What lies in no folder lies in none of ours.
        let unreadable = |slim: &Slim| Some((Some(slim.parent.clone()?), slim.unreadable.clone()?));
        inventory.unreadable.extend(ours.iter().chain(&others).filter_map(unreadable));
        self.fill(&mut inventory, ours, before).await?;
        // Only the folders of tenants and those above a name for adoption are asked for again.
        let root = self.ground.root_folder;
        for folder in inventory.folders.values_mut().filter(|folder| folder.parent.as_ref() != Some(root)) {
            folder.children = Vec::new();
        }
        Ok(inventory)
    }

    /// Reads what belongs to these tenants.
    pub(crate) async fn of(
        &self,
        tenants: &BTreeSet<TenantName>,
        known: &Inventory,
        noted: &BTreeMap<TenantName, Noted>,
    ) -> Result<Inventory, ProviderError> {
        let mut objects = Index::of(known, self.ground).objects(tenants);
        for tenant in tenants {
            objects.extend(self.look_up(tenant, known, noted.get(tenant)).await?);
        }
        let adopt = self.look_up_adopted(tenants, known).await?;
        objects.extend(adopt.values().cloned());
        let (vms, others): (BTreeSet<Mor>, Vec<Mor>) =
            objects.into_iter().fold(Default::default(), |(mut vms, mut others), mor| {
                if &*mor.kind == "VirtualMachine" {
                    vms.insert(mor)
                } else {
                    others.push(mor);
                    true
                };
                (vms, others)
            });
        let mut rows = Rows::default();
        let (mut common, recent) = self.common(&others, &mut |object| rows.take(&object)).await?;
        common.running = self.tasks(&recent).await?;
        let mut places: BTreeMap<Mor, Option<Mor>> = vms
            .into_iter()
            .map(|vm| (vm.clone(), known.vms.get(&vm).and_then(|row| row.slim.parent.clone())))
            .collect();
        for (folder, row) in &rows.folders {
            let inside = row.children.iter().filter(|child| &*child.kind == "VirtualMachine");
            places.extend(inside.map(|vm| (vm.clone(), Some(folder.clone()))));
        }
        let mut inventory = Inventory { adopt, common, ..rows.into_inventory() };
        self.read_full(&mut inventory, &places).await?;
        Ok(inventory)
    }

    /// Reads the places themselves, what runs out, the rules, and these objects besides, in one call.
    async fn common(
        &self,
        objects: &[Mor],
        others: &mut (dyn FnMut(Object) + Send),
    ) -> Result<(Common, Vec<Mor>), ProviderError> {
        let layout = &self.session.layout;
        let places =
            [&layout.root_folder, &layout.root_pool, &layout.switch, &layout.cluster, &layout.task_manager];
        let all: Vec<Mor> = places
            .into_iter()
            .chain(&layout.hosts)
            .chain(layout.datastores.values())
            .chain(objects)
            .cloned()
            .collect();
        let select = [
            Select { kind: "Folder", paths: FOLDER_PATHS },
            Select { kind: "ResourcePool", paths: POOL_PATHS },
            Select { kind: "DistributedVirtualPortgroup", paths: PORTGROUP_PATHS },
            Select { kind: &layout.switch.kind, paths: &["name"] },
            Select { kind: &layout.cluster.kind, paths: &["name", "configurationEx"] },
            Select { kind: "TaskManager", paths: &["recentTask"] },
            Select { kind: "HostSystem", paths: HOST_PATHS },
            Select {
                kind: "Datastore",
                paths: &["summary.freeSpace", "summary.capacity", "summary.accessible"],
            },
        ];
        let mut seen = BTreeSet::new();
        let (mut common, mut recent) = (Common::default(), Vec::new());
        let read = self.session.client.retrieve(Scope::Objects(&all), &select, PAGE, |object| {
            if is_gone(&object) && unreadable(&object).is_none() {
                return;
            }
            if unreadable(&object).is_none() {
                seen.insert(object.mor.clone());
            }
            match &*object.mor.kind {
                "TaskManager" => recent = object.mors("recentTask"),
                "HostSystem" => common.hosts.extend(host_memory(&object)),
                "Datastore" => self.take_datastore(&mut common, &object),
                _ if object.mor == layout.cluster => {
                    common.rules = object.get("configurationEx").map(anti_affinity_rules).unwrap_or_default();
                }
                _ if object.mor == layout.switch => {}
                _ => others(object),
            }
        });
        read.await.map_err(|error| self.session.fail(&error))?;
        match places.into_iter().find(|place| !seen.contains(*place)) {
            Some(place) => Err(ProviderError::NoSight(format!(
                "{place} is not visible any more, though the settings name it: give the account its right to read it"
            ))),
            None => Ok((common, recent)),
        }
    }

    fn take_datastore(&self, common: &mut Common, object: &Object) {
        let number = |path| object.int(path).and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
        let accessible = object.bool("summary.accessible").unwrap_or(false);
        let free = if accessible { number("summary.freeSpace") } else { 0 };
        let named = self.session.layout.datastores.iter().find(|(_, mor)| **mor == object.mor);
        if let Some((name, _)) = named {
            common.datastores.insert(name.clone(), Capacity { free, total: number("summary.capacity") });
        }
    }

    /// The tasks that have not ended, of all recent ones and those that we started.
    async fn tasks(&self, recent: &[Mor]) -> Result<BTreeMap<Mor, vsphere_client::TaskInfo>, ProviderError> {
        let ours = self.ledger.open();
        let mut tasks = self.session.tasks(recent, &ours).await.map_err(|error| self.session.fail(&error))?;
        self.ledger.settle(&ours, &tasks);
        tasks.retain(|_, info| !info.state.is_final());
        Ok(tasks)
    }

    /// Whether a VM is ours, lies in one of our folders or is to be adopted.
    fn matters(&self, slim: &Slim, rows: &Rows, adopt: &BTreeMap<(TenantName, String), Mor>) -> bool {
        let marked = slim
            .mark
            .as_deref()
            .is_some_and(|mark| crate::marks::ours(self.ground.installation, mark).is_some());
        let folder = slim.parent.as_ref().and_then(|parent| rows.folders.get(parent));
        let inside = folder.is_some_and(|folder| folder.parent.as_ref() == Some(self.ground.root_folder));
        marked || inside || adopt.values().any(|mor| *mor == slim.mor)
    }

    fn memory<'a>(&self, vms: impl Iterator<Item = &'a Slim>) -> u64 {
        let hosts = &self.session.layout.hosts;
        let here = |slim: &&Slim| slim.host.as_ref().is_some_and(|host| hosts.contains(host));
        vms.filter(|slim| slim.powered_on).filter(here).map(|slim| slim.memory_mb << 20).sum()
    }

    /// Fills in the full rows: from before where nothing changed, read anew otherwise.
    async fn fill(
        &self,
        inventory: &mut Inventory,
        ours: Vec<Slim>,
        before: &Inventory,
    ) -> Result<(), ProviderError> {
        let mut changed = BTreeMap::new();
        for slim in ours {
            match before.vms.get(&slim.mor).filter(|vm| vm.is_current(&slim)) {
                Some(vm) if vm.slim == slim => drop(inventory.vms.insert(slim.mor, vm.clone())),
                Some(vm) => {
                    let vm = Vm { slim: slim.clone(), ..Vm::clone(vm) };
                    inventory.vms.insert(slim.mor, Arc::new(vm));
                }
                None => drop(changed.insert(slim.mor, slim.parent)),
            }
        }
        self.read_full(inventory, &changed).await
    }

    /// Reads VMs, each with the folder that it is known to lie in: one that cannot be read does not tell.
    async fn read_full(
        &self,
        inventory: &mut Inventory,
        places: &BTreeMap<Mor, Option<Mor>>,
    ) -> Result<(), ProviderError> {
        let paths = full();
        let vms: Vec<Mor> = places.keys().cloned().collect();
        let select = [Select { kind: "VirtualMachine", paths: &paths }];
        let read = self.session.client.retrieve(Scope::Objects(&vms), &select, PAGE, |object| {
            if let Some(why) = unreadable(&object) {
                let known = || places.get(&object.mor).cloned().flatten();
                inventory.unreadable.push((object.mor("parent").or_else(known), why));
            } else if !is_gone(&object) {
                inventory.vms.insert(object.mor.clone(), Arc::new(Vm::read(&object)));
            }
        });
        read.await.map_err(|error| self.session.fail(&error))
    }

    /// What a tenant's things may be called by, where no sweep has shown them yet.
    async fn look_up(
        &self,
        tenant: &TenantName,
        known: &Inventory,
        noted: Option<&Noted>,
    ) -> Result<Vec<Mor>, ProviderError> {
        let index = Index::of(known, self.ground);
        let mut paths = Vec::new();
        if index.folder(tenant).is_none() {
            paths.push(self.paths.folder(tenant));
        }
        if index.pool(tenant).is_none() {
            paths.push(self.paths.pool(tenant));
        }
        let names = noted.into_iter().flat_map(|noted| &noted.portgroups);
        let unknown = names.filter(|name| !known.portgroups.values().any(|row| row.name == **name));
        paths.extend(unknown.map(|name| self.paths.portgroup(name)));
        let mut found = Vec::new();
        for path in paths {
            found.extend(self.find(&path).await?);
        }
        Ok(found)
    }

    async fn find(&self, path: &str) -> Result<Option<Mor>, ProviderError> {
        self.session.client.find_by_inventory_path(path).await.map_err(|error| self.session.fail(&error))
    }

    /// Where the tenants' words for adoption lead, asked one by one where they are not known yet.
    async fn look_up_adopted(
        &self,
        tenants: &BTreeSet<TenantName>,
        known: &Inventory,
    ) -> Result<BTreeMap<(TenantName, String), Mor>, ProviderError> {
        let mut adopt = BTreeMap::new();
        for (tenant, words) in self.look.adopt.iter().filter(|(tenant, _)| tenants.contains(*tenant)) {
            for word in words {
                let key = (tenant.clone(), word.clone());
                if let Some(mor) = known.adopt.get(&key) {
                    adopt.insert(key, mor.clone());
                    continue;
                }
                let found = if is_uuid(word) {
                    let found = self.session.client.find_by_instance_uuid(word).await;
                    found.map_err(|error| self.session.fail(&error))?.into_iter().next()
                } else {
                    self.find(word.trim_start_matches('/')).await?
                };
                adopt.extend(found.filter(|mor| &*mor.kind == "VirtualMachine").map(|mor| (key, mor)));
            }
        }
        Ok(adopt)
    }

    /// The same, found among what a whole sweep has read.
    fn adopted(&self, rows: &Rows, slims: &[Slim]) -> BTreeMap<(TenantName, String), Mor> {
        let mut adopt = BTreeMap::new();
        let words =
            self.look.adopt.iter().flat_map(|(tenant, words)| words.iter().map(move |word| (tenant, word)));
        for (tenant, word) in words {
            let name = word.rsplit('/').next().unwrap_or_default();
            let is_it = |slim: &&Slim| {
                slim.instance_uuid.eq_ignore_ascii_case(word)
                    || slim.name == name && rows.path(self.paths, slim) == word.trim_start_matches('/')
            };
            if let Some(slim) = slims.iter().find(is_it) {
                adopt.insert((tenant.clone(), word.clone()), slim.mor.clone());
            }
        }
        adopt
    }
}

const HOST_PATHS: &[&str] = &["hardware.memorySize", "runtime.connectionState", "runtime.inMaintenanceMode"];

/// The memory of a host that can run VMs now.
fn host_memory(object: &Object) -> Option<u64> {
    let usable = object.text("runtime.connectionState") == Some("connected")
        && object.bool("runtime.inMaintenanceMode") != Some(true);
    let memory = object.int("hardware.memorySize").and_then(|bytes| u64::try_from(bytes).ok())?;
    usable.then_some(memory)
}

fn is_uuid(word: &str) -> bool {
    uuid::Uuid::try_parse(word).is_ok()
}

/// Folders, pools and port groups while they are read.
#[derive(Default)]
struct Rows {
    folders: BTreeMap<Mor, Folder>,
    pools: BTreeMap<Mor, Pool>,
    portgroups: BTreeMap<Mor, Portgroup>,
    unreadable: Vec<(Option<Mor>, String)>,
}

impl Rows {
    fn take(&mut self, object: &Object) {
        if let Some(why) = unreadable(object) {
            // The folder itself stands for all that would be in it.
            self.unreadable.push((Some(object.mor.clone()), why));
            return;
        }
        match &*object.mor.kind {
            "Folder" => drop(self.folders.insert(object.mor.clone(), Folder::read(object))),
            "ResourcePool" => drop(self.pools.insert(object.mor.clone(), Pool::read(object))),
            "DistributedVirtualPortgroup" => {
                drop(self.portgroups.insert(object.mor.clone(), Portgroup::read(object)));
            }
            _ => {}
        }
    }

    /// The inventory path of a VM.
    fn path(&self, paths: Paths<'_>, slim: &Slim) -> String {
        let mut names = vec![slim.name.as_str()];
        let mut at = slim.parent.as_ref();
        while let Some(folder) = at.and_then(|mor| self.folders.get(mor)) {
            names.push(&folder.name);
            at = folder.parent.as_ref();
        }
        names.push(&paths.0.datacenter);
        names.reverse();
        names.join("/")
    }

    fn into_inventory(self) -> Inventory {
        Inventory {
            folders: self.folders,
            pools: self.pools,
            portgroups: self.portgroups,
            unreadable: self.unreadable,
            ..Inventory::default()
        }
    }
}
