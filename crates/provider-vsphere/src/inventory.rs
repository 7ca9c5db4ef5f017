//! What was read of a vCenter, for all tenants: the rows, and whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vertskommune_core::names::{Installation, ResourceId, ResourceKey, TenantName};
use vertskommune_core::observation::Capacity;
use vsphere_client::{AntiAffinityRule, Mor, TaskInfo};

use crate::index::Index;
use crate::marks::{self, FOLDER, NETWORK, POOL, SERVER};
use crate::rows::{Folder, Pool, Portgroup, Vm};

/// The rows of all objects that matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) folders: BTreeMap<Mor, Folder>,
    pub(crate) pools: BTreeMap<Mor, Pool>,
    pub(crate) portgroups: BTreeMap<Mor, Portgroup>,
    /// Those with our mark, those that lie in our folders, and those that a tenant names for adoption. A later sweep
    /// shares the rows of those that have not changed.
    pub(crate) vms: BTreeMap<Mor, Arc<Vm>>,
    /// What the tenants' words for adoption led to.
    pub(crate) adopt: BTreeMap<(TenantName, String), Mor>,
    /// What could not be read, by the folder that it lies in.
    pub(crate) unreadable: Vec<(Option<Mor>, String)>,
    pub(crate) common: Common,
}

/// What is read along with every sweep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common {
    pub(crate) rules: Vec<AntiAffinityRule>,
    pub(crate) datastores: BTreeMap<String, Capacity>,
    /// Memory of each host that can run VMs, in bytes.
    pub(crate) hosts: Vec<u64>,
    /// Memory of powered-on VMs in the cluster that are not ours, in bytes.
    pub(crate) foreign_memory: u64,
    /// Tasks that have not ended.
    pub(crate) running: BTreeMap<Mor, TaskInfo>,
}

/// Who we are, and where our things lie: what makes rows ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) root_folder: &'a Mor,
    pub(crate) root_pool: &'a Mor,
    pub(crate) switch: &'a Mor,
}

impl Ground<'_> {
    /// Whose VM it is, by its mark.
    pub(crate) fn owner(&self, vm: &Vm) -> Option<(TenantName, ResourceKey)> {
        marks::ours(self.installation, vm.slim.mark.as_deref()?)
    }

    /// Whose port group it is, by its mark.
    pub(crate) fn portgroup_owner(&self, portgroup: &Portgroup) -> Option<(TenantName, ResourceKey)> {
        let owner = marks::ours(self.installation, &portgroup.description)?;
        (portgroup.switch.as_ref() == Some(self.switch)).then_some(owner)
    }
}

/// Where things were last seen. Only hints where to look.
impl Inventory {
    /// Where a thing of ours was; several places where several carried its mark.
    pub(crate) fn whereabouts(&self, ground: Ground<'_>, id: &ResourceId) -> Vec<Mor> {
        match id.key.kind.as_str() {
            FOLDER => self.folder(ground, &id.tenant).into_iter().cloned().collect(),
            POOL => self.pool(ground, &id.tenant).into_iter().cloned().collect(),
            NETWORK => {
                let mark = marks::mark(ground.installation, id).to_string();
                let marked = self.portgroups.iter().filter(|(_, row)| row.description == mark);
                marked.map(|(mor, _)| mor.clone()).collect()
            }
            SERVER => {
                let mark = marks::mark(ground.installation, id).to_string();
                let marked = self.vms.values().filter(|vm| vm.slim.mark.as_ref() == Some(&mark));
                marked.map(|vm| vm.slim.mor.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A tenant's folder, by its name or, renamed by hand, by the servers in it.
    fn folder<'a>(&'a self, ground: Ground<'_>, tenant: &TenantName) -> Option<&'a Mor> {
        let is_it =
            |row: &Folder| row.name == tenant.as_str() && row.parent.as_ref() == Some(ground.root_folder);
        let named = self.folders.iter().find(|(_, row)| is_it(row)).map(|(mor, _)| mor);
        named.or_else(|| Some(self.index_if_any(ground, tenant)?.folder(tenant)?.0))
    }

    /// A tenant's pool, likewise.
    fn pool<'a>(&'a self, ground: Ground<'_>, tenant: &TenantName) -> Option<&'a Mor> {
        let is_it = |row: &Pool| row.name == tenant.as_str() && row.parent.as_ref() == Some(ground.root_pool);
        let named = self.pools.iter().find(|(_, row)| is_it(row)).map(|(mor, _)| mor);
        named.or_else(|| Some(self.index_if_any(ground, tenant)?.pool(tenant)?.0))
    }

    /// An index costs a pass over everything, and leads a tenant without servers nowhere.
    fn index_if_any<'a>(&'a self, ground: Ground<'_>, tenant: &TenantName) -> Option<Index<'a>> {
        let prefix = format!("{}/{tenant}/", ground.installation);
        let theirs = |vm: &Vm| vm.slim.mark.as_ref().is_some_and(|mark| mark.starts_with(&prefix));
        self.vms.values().any(|vm| theirs(vm)).then(|| Index::of(self, ground))
    }
}

impl Inventory {
    /// Takes in a later look at some tenants: what was known of them is replaced.
    pub(crate) fn replace(&mut self, ground: Ground<'_>, tenants: &BTreeSet<TenantName>, part: Self) {
        let gone = Index::of(self, ground).objects(tenants);
        self.folders.retain(|mor, _| !gone.contains(mor));
        self.pools.retain(|mor, _| !gone.contains(mor));
        self.portgroups.retain(|mor, _| !gone.contains(mor));
        self.vms.retain(|mor, _| !gone.contains(mor));
        self.adopt.retain(|(tenant, _), _| !tenants.contains(tenant));
        self.folders.extend(part.folders);
        self.pools.extend(part.pools);
        self.portgroups.extend(part.portgroups);
        self.vms.extend(part.vms);
        self.adopt.extend(part.adopt);
        self.unreadable = part.unreadable;
        let foreign_memory = self.common.foreign_memory;
        self.common = Common { foreign_memory, ..part.common };
    }

    /// Only these objects, and what these tenants' words for adoption led to.
    pub(crate) fn only(&self, objects: &BTreeSet<Mor>, tenants: &BTreeSet<TenantName>) -> Self {
        fn some<T: Clone>(rows: &BTreeMap<Mor, T>, objects: &BTreeSet<Mor>) -> BTreeMap<Mor, T> {
            objects.iter().filter_map(|mor| Some((mor.clone(), rows.get(mor)?.clone()))).collect()
        }
        Self {
            folders: some(&self.folders, objects),
            pools: some(&self.pools, objects),
            portgroups: some(&self.portgroups, objects),
            vms: some(&self.vms, objects),
            adopt: self
                .adopt
                .iter()
                .filter(|((tenant, _), _)| tenants.contains(tenant))
                .map(|(key, mor)| (key.clone(), mor.clone()))
                .collect(),
            ..Self::default()
        }
    }
}
