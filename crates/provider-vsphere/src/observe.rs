//! What the rows mean: present, absent, lost, in progress or unknown. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{ProviderName, ResourceKey, TenantName};
use vertskommune_core::observation::{
    Blindness, Busy, Capacity, Foreign, Observation, Present, Seen, Things,
};
use vsphere_client::{AntiAffinityRule, Mor};

use crate::born::{self, Born};
use crate::index::Index;
use crate::inventory::{Ground, Inventory};
use crate::ledger::Ledger;
use crate::marks::{self, ANTI_AFFINITY, FOLDER, NETWORK, POOL, REF, SERVER, portgroup_name};
use crate::rows::{Portgroup, Vm};
use crate::settings::Settings;

/// What an observation is made from.
pub(crate) struct View<'a> {
    pub(crate) provider: &'a ProviderName,
    pub(crate) ground: Ground<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) inventory: &'a Inventory,
    pub(crate) ledger: &'a Ledger,
    /// Names of custom fields by their keys.
    pub(crate) fields: BTreeMap<i32, String>,
    /// The references of our templates.
    pub(crate) templates: BTreeSet<&'a Mor>,
    pub(crate) version: &'a str,
}

impl<'a> View<'a> {
    /// The observation of these tenants, or of all that have anything.
    pub(crate) fn observation(&self, tenants: Option<&BTreeSet<TenantName>>) -> Observation {
        let mut observation = Observation::empty(self.provider);
        self.version.clone_into(&mut observation.version);
        observation.capacity = self.capacity();
        if let Some(clone) = self.stray_clone() {
            observation.coverage.kinds.insert(SERVER.into(), Blindness::MaybeInProgress(clone));
        }
        let index = Index::of(self.inventory, self.ground);
        let tenants = tenants.cloned().unwrap_or_else(|| index.tenants());
        for tenant in &tenants {
            let mut things = self.things(tenant, &index);
            if let Some(blindness) = self.gap(tenant, &index, &things) {
                things = hide_rules(&things, &blindness);
                observation.coverage.tenants.insert(tenant.clone(), blindness);
            }
            if !things.is_empty() {
                observation.seen.insert(tenant.clone(), things);
            }
            observation.foreign.extend(self.foreign(tenant, &index));
        }
        observation
    }

    fn things(&self, tenant: &TenantName, index: &Index<'a>) -> Things {
        let mut things: BTreeMap<ResourceKey, Seen> = BTreeMap::new();
        let own = |kind: &str| ResourceKey::new(kind, tenant.as_str());
        let mut recorded = Born::new();
        if let Some((mor, folder)) = index.folder(tenant) {
            let children = folder.children.len();
            let fields = [("name", json!(folder.name)), ("children", json!(children))];
            things.insert(own(FOLDER), present(mor, fields, &mor.to_string()));
            let named = folder
                .custom
                .iter()
                .filter_map(|(key, v)| Some((self.fields.get(key)?.as_str(), v.as_str())));
            recorded = born::read(named);
        }
        if let Some((mor, pool)) = index.pool(tenant) {
            let fields = [
                ("name", json!(pool.name)),
                ("shares", json!(pool.shares)),
                ("limits", json!(pool.limits)),
                ("children", json!(pool.children)),
            ];
            things.insert(own(POOL), present(mor, fields, &mor.to_string()));
        }
        for (key, mor, row) in index.networks(tenant) {
            if key.kind.as_str() == NETWORK {
                insert(&mut things, key.clone(), network(mor, row, index.attached(&row.key)));
            }
        }
        for (group, rule) in index.rules(tenant) {
            let key = ResourceKey::new(ANTI_AFFINITY, group.as_str());
            insert(&mut things, key, rule_present(rule, index.vms(tenant)));
        }
        for (key, vm) in index.vms(tenant) {
            insert(&mut things, key.clone(), self.server(vm, recorded.get(&key.name)));
        }
        self.clones(tenant, &mut things);
        for (name, uuid) in recorded {
            things.entry(ResourceKey::new(SERVER, name)).or_insert(Seen::Lost { identity: uuid });
        }
        things.into_iter().collect()
    }

    fn server(&self, vm: &Vm, recorded: Option<&String>) -> Seen {
        let present = Present { busy: self.busy(vm), ..self.describe(vm, recorded) };
        Seen::Present(Arc::new(present))
    }

    /// A VM as the contract describes it.
    fn describe(&self, vm: &Vm, recorded: Option<&String>) -> Present {
        let born = recorded.is_some_and(|uuid| *uuid == vm.slim.instance_uuid);
        let mut fields = facts(vm, self.settings);
        fields.insert("born".to_owned(), json!(born));
        if vm.order.is_some() {
            fields.insert("asked".to_owned(), json!(self.ledger.has_asked(&vm.slim.mor)));
        }
        Present {
            fields,
            applied: vm.applied.clone(),
            outputs: Facts::from([(REF, json!(vm.slim.mor.to_string()))]),
            identity: vm.slim.instance_uuid.clone(),
            interrupted: vm.order.is_some(),
            retired_at: vm.retired,
            ..Present::default()
        }
    }

    fn busy(&self, vm: &Vm) -> Option<Busy> {
        let running = self.inventory.common.running.values();
        let mut tasks = running.filter(|task| task.entity.as_ref() == Some(&vm.slim.mor));
        if let Some(task) = tasks.next() {
            let operation = task.name.clone().unwrap_or_else(|| task.description_id.clone());
            return Some(Busy::Task { operation, percent: task.progress });
        }
        let of_backup =
            |description: &String| marks::read_backup_mark(self.ground.installation, description).is_some();
        match &vm.slim.snapshots[..] {
            [] => None,
            all if all.iter().all(of_backup) => Some(Busy::Backup),
            _ => Some(Busy::Snapshot),
        }
    }

    /// Servers that are being cloned on our order.
    fn clones(&self, tenant: &TenantName, things: &mut BTreeMap<ResourceKey, Seen>) {
        for (task, info) in &self.inventory.common.running {
            let Some(started) = self.ledger.of(task).filter(|started| started.resource.tenant == *tenant)
            else {
                continue;
            };
            if started.operation == "create" {
                let seen = Seen::InProgress { operation: "Cloning".to_owned(), percent: info.progress };
                things.insert(started.resource.key, seen);
            }
        }
    }

    /// A clone of one of our templates that this process did not start: before a crash, it may have.
    fn stray_clone(&self) -> Option<String> {
        self.inventory.common.running.iter().find_map(|(task, info)| {
            let of_template = info.entity.as_ref().is_some_and(|entity| self.templates.contains(entity));
            let is_clone = info.description_id.to_lowercase().contains("clone");
            (of_template && is_clone && self.ledger.of(task).is_none()).then(|| format!("{task}, a clone"))
        })
    }

    /// Why what is not among these things may still be there.
    fn gap(&self, tenant: &TenantName, index: &Index<'a>, things: &Things) -> Option<Blindness> {
        let folder = index.folder(tenant).map(|(mor, _)| mor);
        let theirs = |place: &Option<Mor>| place.is_none() || place.as_ref() == folder;
        if let Some((_, why)) = self.inventory.unreadable.iter().find(|(place, _)| theirs(place)) {
            return Some(Blindness::NoSight(why.clone()));
        }
        // The folder is made first and removed last.
        let orphan = things.iter().find(|(_, seen)| matches!(seen, Seen::Present(_)))?.0;
        folder.is_none().then(|| {
            Blindness::NoSight(format!(
                "the folder {}/{tenant} is not visible though {orphan} is: give the account its right to read it, or \
                 make the folder anew if it was deleted",
                self.settings.folder
            ))
        })
    }

    /// What stands in this tenant's places, or is named by it for adoption, and does not carry its mark.
    fn foreign(&self, tenant: &TenantName, index: &Index<'a>) -> Vec<Foreign> {
        let folder = index.folder(tenant).map(|(mor, _)| mor);
        let mut found: Vec<Foreign> = Vec::new();
        for vm in folder.map_or(&[][..], |folder| index.inside(folder)) {
            if self.ground.owner(vm).is_none_or(|(owner, _)| owner != *tenant) {
                let path = format!("{}/{tenant}/{}", self.settings.folder, vm.slim.name);
                found.push(self.foreign_vm(tenant, vm, path));
            }
        }
        for ((_, word), mor) in self.inventory.adopt.iter().filter(|((owner, _), _)| owner == tenant) {
            let vm = self.inventory.vms.get(mor);
            found.extend(
                vm.filter(|vm| self.ground.owner(vm).is_none_or(|(owner, _)| owner != *tenant))
                    .map(|vm| self.foreign_vm(tenant, vm, word.clone())),
            );
        }
        let prefix = portgroup_name(tenant, "");
        for row in index.strange().iter().filter(|row| row.name.starts_with(&prefix)) {
            found.push(Foreign {
                tenant: tenant.clone(),
                kind: NETWORK.into(),
                name: row.name.clone(),
                path: row.name.clone(),
                identity: row.key.clone(),
                mark: None,
                present: Present::default(),
            });
        }
        found
    }

    fn foreign_vm(&self, tenant: &TenantName, vm: &Vm, path: String) -> Foreign {
        let mut present = self.describe(vm, None);
        present.busy = self.busy(vm);
        Foreign {
            tenant: tenant.clone(),
            kind: SERVER.into(),
            name: vm.slim.name.clone(),
            path,
            identity: vm.slim.instance_uuid.clone(),
            mark: vm.slim.mark.clone(),
            present,
        }
    }

    /// Free bytes of each datastore, and of memory with one host to spare.
    fn capacity(&self) -> BTreeMap<String, Capacity> {
        let common = &self.inventory.common;
        let mut capacity: BTreeMap<String, Capacity> =
            common.datastores.iter().map(|(name, left)| (datastore(name), *left)).collect();
        let all: u64 = common.hosts.iter().sum();
        let total = all - common.hosts.iter().max().copied().unwrap_or_default();
        // Ours count whether they are on or not: they may be switched on at any time.
        let ours = self.inventory.vms.values().filter(|vm| vm.retired.is_none() && !vm.slim.template);
        let used: u64 = common.foreign_memory + ours.map(|vm| vm.slim.memory_mb << 20).sum::<u64>();
        capacity.insert("memory".to_owned(), Capacity { free: total.saturating_sub(used), total });
        capacity
    }
}

/// A rule names servers, so that it cannot be told how it is while they are not seen.
fn hide_rules(things: &Things, why: &Blindness) -> Things {
    let hide = |(key, seen): (&ResourceKey, &Seen)| {
        let is_rule = key.kind.as_str() == ANTI_AFFINITY;
        (key.clone(), if is_rule { Seen::Unknown(why.clone()) } else { seen.clone() })
    };
    things.iter().map(hide).collect()
}

/// The name of a datastore's free space.
pub(crate) fn datastore(name: &str) -> String {
    format!("datastore {name}")
}

fn insert(things: &mut BTreeMap<ResourceKey, Seen>, key: ResourceKey, seen: Seen) {
    let name = |seen: &Seen| match seen {
        Seen::Present(present) => {
            present.fields.get("name").and_then(Json::as_str).unwrap_or(&present.identity).to_owned()
                + " ("
                + &present.identity
                + ")"
        }
        _ => String::new(),
    };
    let seen = match things.remove(&key) {
        None => seen,
        Some(Seen::Unknown(Blindness::Ambiguous(mut which))) => {
            which.push(name(&seen));
            Seen::Unknown(Blindness::Ambiguous(which))
        }
        Some(other) => Seen::Unknown(Blindness::Ambiguous(vec![name(&other), name(&seen)])),
    };
    things.insert(key, seen);
}

fn present<const N: usize>(mor: &Mor, fields: [(&'static str, Json); N], reference: &str) -> Seen {
    Seen::Present(Arc::new(Present {
        fields: Facts::from(fields),
        outputs: Facts::from([(REF, json!(reference))]),
        identity: mor.to_string(),
        ..Present::default()
    }))
}

/// The simulator does not list machines at the port group, so that ours are counted by their cards.
fn network(mor: &Mor, row: &Portgroup, attached: usize) -> Seen {
    let users = row.vms.max(attached);
    let fields = [("name", json!(row.name)), ("vlan", row.vlan.clone()), ("users", json!(users))];
    present(mor, fields, &row.key)
}

fn rule_present(rule: &AntiAffinityRule, vms: &[(ResourceKey, &Vm)]) -> Seen {
    let mut fields = Facts::from([("enabled", json!(rule.enabled))]);
    for mor in &rule.vms {
        let server = vms.iter().find(|(_, vm)| vm.slim.mor == *mor).map_or(&*mor.id, |(key, _)| &key.name);
        fields.insert(format!("members.{server}"), json!(mor.to_string()));
    }
    // The rule is ours as a whole, by its name: what is in it that the manifest does not name is taken out.
    let applied = fields.clone();
    Seen::Present(Arc::new(Present {
        fields,
        applied,
        outputs: Facts::from([(REF, json!(rule.name))]),
        identity: rule.name.clone(),
        ..Present::default()
    }))
}

/// The fields of a VM, but for what stands in the record on its folder.
pub(crate) fn facts(vm: &Vm, settings: &Settings) -> Facts {
    let reference = |mor: &Option<Mor>| mor.as_ref().map_or(Json::Null, |mor| json!(mor.to_string()));
    let mut fields = Facts::from([
        ("name", json!(vm.slim.name)),
        ("folder", reference(&vm.slim.parent)),
        ("pool", reference(&vm.slim.pool)),
        ("vcpus", json!(vm.cpus)),
        ("memory", json!(vm.slim.memory_mb << 20)),
        ("power", json!(if vm.slim.powered_on { "on" } else { "off" })),
        ("diskNames", json!(if vm.keeps_disk_names() { "kept" } else { "by place" })),
        ("restarting", json!(vm.order.is_some())),
        // For the choice of steps only; no manifest asks for these.
        ("hotAdd.vcpus", json!(vm.cpu_hot_add)),
        ("hotAdd.memory", json!(vm.memory_hot_add)),
    ]);
    if let Some(order) = &vm.order {
        fields.insert("order".to_owned(), json!(order.to_string()));
    }
    for (name, disk) in vm.named_disks() {
        fields.insert(format!("disks.{name}.size"), json!(disk.capacity_bytes));
        if let Some(policy) = policy_of(&disk.file_name, &name, vm, settings) {
            fields.insert(format!("disks.{name}.storagePolicy"), json!(policy));
        }
    }
    for (number, nic) in vm.nics.iter().enumerate() {
        let network = nic.port.as_ref().map(|port| port.portgroup_key.clone());
        let network = network.or_else(|| nic.network.as_ref().map(ToString::to_string));
        fields.insert(format!("interfaces.{number}.network"), json!(network));
    }
    fields
}

/// The storage policy that a disk fulfils: the one that we gave, or the first whose datastores include its own.
fn policy_of(file: &str, name: &str, vm: &Vm, settings: &Settings) -> Option<String> {
    let store = file.strip_prefix('[')?.split_once(']')?.0;
    let fulfils = |policy: &String| {
        settings.policies.get(policy).is_some_and(|stores| stores.iter().any(|s| s == store))
    };
    let given =
        vm.applied.get(&format!("disks.{name}.storagePolicy")).and_then(Json::as_str).map(str::to_owned);
    given.filter(fulfils).or_else(|| settings.policies.keys().find(|policy| fulfils(policy)).cloned())
}
