//! What was read of a vCenter, for all tenants: the rows, and whose they are.

use std::collections::{BTreeMap, BTreeSet};

use vertskommune_core::names::{Installation, ResourceKey, TenantName};
use vertskommune_core::observation::Capacity;
use vsphere_client::{AntiAffinityRule, Mor, TaskInfo};

use crate::marks;
use crate::rows::{Folder, Pool, Portgroup, Vm};

/// The rows of all objects that matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) folders: BTreeMap<Mor, Folder>,
    pub(crate) pools: BTreeMap<Mor, Pool>,
    pub(crate) portgroups: BTreeMap<Mor, Portgroup>,
    /// Those with our mark, those that lie in our folders, and those that a tenant names for adoption.
    pub(crate) vms: BTreeMap<Mor, Vm>,
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

impl Inventory {
    /// A tenant's folder. One that was renamed by hand is known by the tenant's servers in it.
    pub(crate) fn folder(&self, ground: Ground<'_>, tenant: &TenantName) -> Option<(&Mor, &Folder)> {
        let below = |folder: &Folder| folder.parent.as_ref() == Some(ground.root_folder);
        let named = self.folders.iter().find(|(_, folder)| below(folder) && folder.name == tenant.as_str());
        named.or_else(|| {
            let mor = self.single_place(ground, tenant, |vm| vm.slim.parent.as_ref())?;
            let (mor, folder) = self.folders.get_key_value(mor)?;
            (below(folder) && !self.is_tenant(ground, &folder.name)).then_some((mor, folder))
        })
    }

    /// A tenant's pool, likewise.
    pub(crate) fn pool(&self, ground: Ground<'_>, tenant: &TenantName) -> Option<(&Mor, &Pool)> {
        let below = |pool: &Pool| pool.parent.as_ref() == Some(ground.root_pool);
        let named = self.pools.iter().find(|(_, pool)| below(pool) && pool.name == tenant.as_str());
        named.or_else(|| {
            let mor = self.single_place(ground, tenant, |vm| vm.slim.pool.as_ref())?;
            let (mor, pool) = self.pools.get_key_value(mor)?;
            (below(pool) && !self.is_tenant(ground, &pool.name)).then_some((mor, pool))
        })
    }

    /// The one place in which all servers of a tenant are; none where they are in several.
    fn single_place<'a>(
        &'a self,
        ground: Ground<'_>,
        tenant: &TenantName,
        place: impl Fn(&'a Vm) -> Option<&'a Mor>,
    ) -> Option<&'a Mor> {
        let of_tenant = |vm: &&Vm| ground.owner(vm).is_some_and(|(owner, _)| owner == *tenant);
        let places: BTreeSet<&Mor> = self.vms.values().filter(of_tenant).filter_map(place).collect();
        let mut places = places.into_iter();
        places.next().filter(|_| places.next().is_none())
    }

    /// Whether a tenant of that name has anything that carries a mark.
    fn is_tenant(&self, ground: Ground<'_>, name: &str) -> bool {
        let owners = self.vms.values().filter_map(|vm| ground.owner(vm));
        let networks = self.portgroups.values().filter_map(|portgroup| ground.portgroup_owner(portgroup));
        owners.chain(networks).any(|(tenant, _)| tenant.as_str() == name)
    }

    /// All tenants that have anything here.
    pub(crate) fn tenants(&self, ground: Ground<'_>) -> BTreeSet<TenantName> {
        let owners = self.vms.values().filter_map(|vm| ground.owner(vm));
        let networks = self.portgroups.values().filter_map(|portgroup| ground.portgroup_owner(portgroup));
        let rules = self
            .common
            .rules
            .iter()
            .filter_map(|rule| marks::read_rule_name(ground.installation, &rule.name));
        let folders =
            self.folders.values().filter(|folder| folder.parent.as_ref() == Some(ground.root_folder));
        let pools = self.pools.values().filter(|pool| pool.parent.as_ref() == Some(ground.root_pool));
        let marked: BTreeSet<TenantName> =
            owners.chain(networks).map(|(tenant, _)| tenant).chain(rules.map(|(tenant, _)| tenant)).collect();
        // A folder or pool that was renamed by hand is its tenant's, not another's of the new name.
        let renamed: BTreeSet<&Mor> = marked
            .iter()
            .flat_map(|tenant| {
                [self.folder(ground, tenant).map(|f| f.0), self.pool(ground, tenant).map(|p| p.0)]
            })
            .flatten()
            .collect();
        let named =
            folders.map(|folder| &folder.name).chain(pools.map(|pool| &pool.name)).map(|n| n.as_str().into());
        let taken = |tenant: &TenantName| {
            let folder = self.folder(ground, tenant).is_none_or(|(mor, _)| renamed.contains(mor));
            let pool = self.pool(ground, tenant).is_none_or(|(mor, _)| renamed.contains(mor));
            folder && pool
        };
        let named: Vec<TenantName> = named.filter(|tenant| !taken(tenant)).collect();
        marked.into_iter().chain(named).collect()
    }

    /// Takes in a later look at some tenants: what was known of them is replaced.
    pub(crate) fn replace(&mut self, ground: Ground<'_>, tenants: &BTreeSet<TenantName>, part: Self) {
        let gone = self.of(ground, tenants);
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

    /// All objects that are known as these tenants'.
    pub(crate) fn of(&self, ground: Ground<'_>, tenants: &BTreeSet<TenantName>) -> BTreeSet<Mor> {
        let mut found = BTreeSet::new();
        for tenant in tenants {
            found.extend(self.folder(ground, tenant).map(|(mor, _)| mor.clone()));
            found.extend(self.pool(ground, tenant).map(|(mor, _)| mor.clone()));
        }
        let is_theirs =
            |owner: Option<(TenantName, ResourceKey)>| owner.is_some_and(|(t, _)| tenants.contains(&t));
        let portgroups = self.portgroups.iter().filter(|(_, row)| is_theirs(ground.portgroup_owner(row)));
        found.extend(portgroups.map(|(mor, _)| mor.clone()));
        let inside = |vm: &Vm| vm.slim.parent.as_ref().is_some_and(|parent| found.contains(parent));
        let vms: Vec<Mor> = self
            .vms
            .iter()
            .filter(|(_, vm)| is_theirs(ground.owner(vm)) || inside(vm))
            .map(|(mor, _)| mor.clone())
            .collect();
        found.extend(vms);
        found.extend(self.adopt.iter().filter(|((t, _), _)| tenants.contains(t)).map(|(_, mor)| mor.clone()));
        found
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
