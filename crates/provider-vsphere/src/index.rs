//! Whose the rows are: one pass over all of them, so that a tenant's are found without looking at the others'.

use std::collections::{BTreeMap, BTreeSet};

use vertskommune_core::names::{ResourceKey, TenantName};
use vsphere_client::{AntiAffinityRule, Mor};

use crate::inventory::{Ground, Inventory};
use crate::marks;
use crate::rows::{Folder, Pool, Portgroup, Vm};

/// The rows by tenant and by place.
pub(crate) struct Index<'a> {
    inventory: &'a Inventory,
    vms: BTreeMap<TenantName, Vec<(ResourceKey, &'a Vm)>>,
    networks: BTreeMap<TenantName, Vec<(ResourceKey, &'a Mor, &'a Portgroup)>>,
    rules: BTreeMap<TenantName, Vec<(String, &'a AntiAffinityRule)>>,
    /// Port groups of our switch without a mark of ours.
    strange: Vec<&'a Portgroup>,
    /// Below our roots, by name.
    folders: BTreeMap<&'a str, (&'a Mor, &'a Folder)>,
    pools: BTreeMap<&'a str, (&'a Mor, &'a Pool)>,
    /// By the folder that they lie in.
    inside: BTreeMap<&'a Mor, Vec<&'a Vm>>,
    /// Our VMs' network cards by the key of the port group.
    attached: BTreeMap<&'a str, usize>,
}

impl<'a> Index<'a> {
    /// The index of an inventory.
    pub(crate) fn of(inventory: &'a Inventory, ground: Ground<'_>) -> Self {
        let below_folder =
            inventory.folders.iter().filter(|(_, row)| row.parent.as_ref() == Some(ground.root_folder));
        let below_pool =
            inventory.pools.iter().filter(|(_, row)| row.parent.as_ref() == Some(ground.root_pool));
        let mut index = Self {
            inventory,
            vms: BTreeMap::new(),
            networks: BTreeMap::new(),
            rules: BTreeMap::new(),
            strange: Vec::new(),
            folders: below_folder.map(|(mor, row)| (row.name.as_str(), (mor, row))).collect(),
            pools: below_pool.map(|(mor, row)| (row.name.as_str(), (mor, row))).collect(),
            inside: BTreeMap::new(),
            attached: BTreeMap::new(),
        };
        for vm in inventory.vms.values() {
            if let Some((tenant, key)) = ground.owner(vm) {
                index.vms.entry(tenant).or_default().push((key, vm));
            }
            if let Some(parent) = &vm.slim.parent {
                index.inside.entry(parent).or_default().push(vm);
            }
            for port in vm.nics.iter().filter_map(|nic| nic.port.as_ref()) {
                *index.attached.entry(port.portgroup_key.as_str()).or_default() += 1;
            }
        }
        for (mor, row) in &inventory.portgroups {
            if let Some((tenant, key)) = ground.portgroup_owner(row) {
                index.networks.entry(tenant).or_default().push((key, mor, row));
            } else if row.switch.as_ref() == Some(ground.switch) {
                index.strange.push(row);
            }
        }
        for rule in &inventory.common.rules {
            if let Some((tenant, group)) = marks::read_rule_name(ground.installation, &rule.name) {
                index.rules.entry(tenant).or_default().push((group, rule));
            }
        }
        index
    }

    /// A tenant's servers, by their marks.
    pub(crate) fn vms(&self, tenant: &TenantName) -> &[(ResourceKey, &'a Vm)] {
        self.vms.get(tenant).map_or(&[], Vec::as_slice)
    }

    /// A tenant's port groups, by their marks.
    pub(crate) fn networks(&self, tenant: &TenantName) -> &[(ResourceKey, &'a Mor, &'a Portgroup)] {
        self.networks.get(tenant).map_or(&[], Vec::as_slice)
    }

    /// A tenant's rules by their groups.
    pub(crate) fn rules(&self, tenant: &TenantName) -> &[(String, &'a AntiAffinityRule)] {
        self.rules.get(tenant).map_or(&[], Vec::as_slice)
    }

    /// Port groups of our switch without a mark of ours.
    pub(crate) fn strange(&self) -> &[&'a Portgroup] {
        &self.strange
    }

    /// The VMs that lie in a folder, whosever they are.
    pub(crate) fn inside(&self, folder: &Mor) -> &[&'a Vm] {
        self.inside.get(folder).map_or(&[], Vec::as_slice)
    }

    /// How many cards of our VMs are connected to a port group.
    pub(crate) fn attached(&self, key: &str) -> usize {
        self.attached.get(key).copied().unwrap_or_default()
    }

    /// A tenant's folder. One that was renamed by hand is known by the tenant's servers in it.
    pub(crate) fn folder(&self, tenant: &TenantName) -> Option<(&'a Mor, &'a Folder)> {
        self.folders.get(tenant.as_str()).copied().or_else(|| {
            let mor = self.single_place(tenant, |vm| vm.slim.parent.as_ref())?;
            let name = &self.inventory.folders.get(mor)?.name;
            self.folders
                .get(name.as_str())
                .copied()
                .filter(|(found, _)| *found == mor && !self.has_marks(name))
        })
    }

    /// A tenant's pool, likewise.
    pub(crate) fn pool(&self, tenant: &TenantName) -> Option<(&'a Mor, &'a Pool)> {
        self.pools.get(tenant.as_str()).copied().or_else(|| {
            let mor = self.single_place(tenant, |vm| vm.slim.pool.as_ref())?;
            let name = &self.inventory.pools.get(mor)?.name;
            self.pools.get(name.as_str()).copied().filter(|(found, _)| *found == mor && !self.has_marks(name))
        })
    }

    /// The one place in which all servers of a tenant are; none where they are in several.
    fn single_place(
        &self,
        tenant: &TenantName,
        place: impl Fn(&'a Vm) -> Option<&'a Mor>,
    ) -> Option<&'a Mor> {
        let places: BTreeSet<&Mor> = self.vms(tenant).iter().filter_map(|(_, vm)| place(vm)).collect();
        let mut places = places.into_iter();
        places.next().filter(|_| places.next().is_none())
    }

    /// Whether a tenant of that name has anything that carries a mark.
    fn has_marks(&self, name: &str) -> bool {
        self.vms.contains_key(name) || self.networks.contains_key(name)
    }

    /// All tenants that have anything here.
    pub(crate) fn tenants(&self) -> BTreeSet<TenantName> {
        let marked: BTreeSet<&TenantName> =
            self.vms.keys().chain(self.networks.keys()).chain(self.rules.keys()).collect();
        // A folder or pool that was renamed by hand is its tenant's, not another's of the new name.
        let of_marked = |tenant: &&TenantName| {
            [self.folder(tenant).map(|(mor, _)| mor), self.pool(tenant).map(|(mor, _)| mor)]
        };
        let claimed: BTreeSet<&Mor> = marked.iter().flat_map(of_marked).flatten().collect();
        let folders =
            self.folders.iter().filter(|(_, (mor, _))| !claimed.contains(mor)).map(|(name, _)| *name);
        let pools = self.pools.iter().filter(|(_, (mor, _))| !claimed.contains(mor)).map(|(name, _)| *name);
        marked
            .iter()
            .map(|tenant| (*tenant).clone())
            .chain(folders.chain(pools).map(TenantName::from))
            .collect()
    }

    /// All objects that are known as these tenants'.
    pub(crate) fn objects(&self, tenants: &BTreeSet<TenantName>) -> BTreeSet<Mor> {
        let mut found = BTreeSet::new();
        for tenant in tenants {
            if let Some((mor, _)) = self.folder(tenant) {
                found.insert(mor.clone());
                found.extend(self.inside(mor).iter().map(|vm| vm.slim.mor.clone()));
            }
            found.extend(self.pool(tenant).map(|(mor, _)| mor.clone()));
            found.extend(self.networks(tenant).iter().map(|(_, mor, _)| (*mor).clone()));
            found.extend(self.vms(tenant).iter().map(|(_, vm)| vm.slim.mor.clone()));
        }
        let adopted = self.inventory.adopt.iter().filter(|((tenant, _), _)| tenants.contains(tenant));
        found.extend(adopted.map(|(_, mor)| mor.clone()));
        found
    }
}
