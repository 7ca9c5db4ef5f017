//! Noticing changes: one long poll over the folder of tenants, their networks, their pools and the cluster's rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use vertskommune_core::names::TenantName;
use vertskommune_provider::{Changes, Ctx, ProviderError};
use vsphere_client::{
    AntiAffinityRule, Change, ChangeKind, Element, Error, Mor, Scope, Select, Step, Watch,
    anti_affinity_rules,
};

use crate::Vsphere;
use crate::link::Session;
use crate::marks;

/// How long one poll waits. It keeps the session alive, too.
const WAIT: Duration = Duration::from_secs(30);

/// What is watched of VMs. A change of anything in its settings changes `changeVersion`.
const VM_PATHS: &[&str] = &["name", "parent", "runtime.powerState", "config.changeVersion", "snapshot"];

/// A running watch, with what tells whose a changed object is.
pub(crate) struct Watching {
    watch: Watch,
    generation: u64,
    root: Mor,
    folders: BTreeMap<Mor, (String, Option<Mor>)>,
    parents: BTreeMap<Mor, Mor>,
    rules: Vec<AntiAffinityRule>,
    /// The tasks that vCenter listed last.
    tasks: BTreeSet<Mor>,
    /// A wait has begun and its answer was not taken in.
    is_waiting: bool,
}

impl Vsphere {
    /// Waits until something may have changed. The first call, and the first after the session was lost or a wait broke
    /// off, begin a watch and know nothing of what was before: the answer to a wait that nobody hears any more may have
    /// told of a change, and a second wait beside one that is still under way loses some.
    pub(crate) async fn wait_for_changes(&self, ctx: &Ctx) -> Result<Changes, ProviderError> {
        let mut watching = self.watching.lock().await;
        let session = self.link.session(&self.settings, ctx).await?;
        let is_whole = |it: &Watching| it.generation == session.generation && !it.is_waiting;
        let Some(running) = watching.as_mut().filter(|it| is_whole(it)) else {
            if let Some(broken) = watching.take() {
                // One of an older session died with it, and another one that stays behind dies with this one.
                let _ = broken.watch.close().await;
            }
            *watching = Some(Watching::begin(&session).await.map_err(|error| session.fail(&error))?);
            return Ok(Changes::Anything);
        };
        let left = ctx.deadline.saturating_duration_since(Instant::now());
        let wait = WAIT.min(left.saturating_sub(Duration::from_secs(5))).max(Duration::from_secs(1));
        running.is_waiting = true;
        let changes = tokio::select! {
            changes = running.watch.next(wait) => changes,
            () = ctx.cancel.cancelled() => return Ok(Changes::Tenants(BTreeSet::new())),
        };
        match changes {
            Ok(changes) => {
                let mut tenants = BTreeSet::new();
                let mut tasks = Vec::new();
                for change in &changes.changes {
                    tenants.extend(self.whose(running, change));
                    tasks.extend(running.new_tasks(change));
                }
                tasks.retain(|task| !self.ledger.is_ours(task));
                let moved = somebody_moved(&session, &tasks).await.map_err(|error| session.fail(&error))?;
                running.is_waiting = false;
                Ok(if moved { Changes::Anything } else { Changes::Tenants(tenants) })
            }
            Err(Error::SessionLost) => Ok(Changes::Anything),
            Err(error) => Err(session.fail(&error)),
        }
    }

    /// The tenants that a change may matter to: by its mark as last seen, and by where it was and is.
    fn whose(&self, watching: &mut Watching, change: &Change) -> BTreeSet<TenantName> {
        let mut tenants = watching.take(change);
        let marked = self.hint(|inventory, ground| {
            let vm = inventory.vms.get(&change.object).and_then(|vm| ground.owner(vm));
            let portgroup =
                inventory.portgroups.get(&change.object).and_then(|row| ground.portgroup_owner(row));
            vm.or(portgroup).map(|(tenant, _)| tenant)
        });
        tenants.extend(marked);
        match &*change.object.kind {
            "DistributedVirtualPortgroup" => {
                let description = property(change, "config.description").map(|value| value.text.as_str());
                tenants.extend(
                    description.and_then(|text| marks::ours(&self.installation, text)).map(|(t, _)| t),
                );
            }
            "ResourcePool" => {
                let before =
                    self.hint(|inventory, _| inventory.pools.get(&change.object).map(|p| p.name.clone()));
                let now = property(change, "name").map(|value| value.text.clone());
                tenants.extend(before.into_iter().chain(now).map(TenantName::from));
            }
            "ClusterComputeResource" => tenants.extend(watching.take_rules(&self.installation, change)),
            _ => {}
        }
        tenants
    }
}

/// Whether one of these tasks moves things between folders. vCenter tells of a new `parent` at the thing itself; the
/// simulator only of the task, and at the folder that a thing is moved to, which may be anybody's.
async fn somebody_moved(session: &Session, tasks: &[Mor]) -> Result<bool, Error> {
    let tasks = session.client.tasks(tasks).await?;
    Ok(tasks.values().any(|task| task.description_id.to_lowercase().contains("moveinto")))
}

impl Watching {
    async fn begin(session: &Session) -> Result<Self, Error> {
        let layout = &session.layout;
        let select = [
            Select { kind: "VirtualMachine", paths: VM_PATHS },
            Select { kind: "Folder", paths: &["name", "parent"] },
        ];
        let watch = Watch::below(session.client.clone(), &layout.root_folder, &select).await?;
        let steps = [Step { kind: &layout.switch.kind, path: "portgroup", recursive: false }];
        let networks = ["name", "config.description", "config.configVersion", "config.defaultPortConfig"];
        let select = [Select { kind: "DistributedVirtualPortgroup", paths: &networks }];
        watch.also(Scope::Traverse { from: &layout.switch, steps: &steps }, &select).await?;
        let steps = [Step { kind: "ResourcePool", path: "resourcePool", recursive: false }];
        let select = [Select { kind: "ResourcePool", paths: &["name", "config"] }];
        watch.also(Scope::Traverse { from: &layout.root_pool, steps: &steps }, &select).await?;
        let select = [Select { kind: &layout.cluster.kind, paths: &["configurationEx"] }];
        watch.also(Scope::Objects(std::slice::from_ref(&layout.cluster)), &select).await?;
        let select = [Select { kind: "TaskManager", paths: &["recentTask"] }];
        watch.also(Scope::Objects(std::slice::from_ref(&layout.task_manager)), &select).await?;
        let mut watching = Self {
            watch,
            generation: session.generation,
            root: layout.root_folder.clone(),
            folders: BTreeMap::new(),
            parents: BTreeMap::new(),
            rules: Vec::new(),
            tasks: BTreeSet::new(),
            is_waiting: false,
        };
        // The first answers bring everything as it is, which is no news.
        loop {
            let first = watching.watch.next(Duration::from_secs(1)).await?;
            for change in &first.changes {
                watching.take(change);
                watching.new_tasks(change);
                watching
                    .rules
                    .extend(property(change, "configurationEx").iter().flat_map(|c| anti_affinity_rules(c)));
            }
            if !first.truncated {
                return Ok(watching);
            }
        }
    }

    /// Takes in where an object is now, and names the tenants of where it was and is.
    fn take(&mut self, change: &Change) -> BTreeSet<TenantName> {
        let object = &change.object;
        let mut tenants: BTreeSet<TenantName> = self.tenant_of(object).into_iter().collect();
        let parent = property(change, "parent").and_then(Element::mor);
        match (&*object.kind, change.kind) {
            ("VirtualMachine", ChangeKind::Leave) => drop(self.parents.remove(object)),
            ("VirtualMachine", _) => drop(parent.map(|parent| self.parents.insert(object.clone(), parent))),
            ("Folder", ChangeKind::Leave) => drop(self.folders.remove(object)),
            ("Folder", _) => {
                let known = self.folders.entry(object.clone()).or_default();
                if let Some(name) = property(change, "name") {
                    known.0.clone_from(&name.text);
                }
                known.1 = parent.or(known.1.take());
            }
            _ => {}
        }
        tenants.extend(self.tenant_of(object));
        tenants
    }

    fn tenant_of(&self, object: &Mor) -> Option<TenantName> {
        let folder = self.parents.get(object).unwrap_or(object);
        let (name, parent) = self.folders.get(folder)?;
        (parent.as_ref() == Some(&self.root)).then(|| TenantName::from(name.as_str()))
    }

    /// The tasks that were not listed before.
    fn new_tasks(&mut self, change: &Change) -> Vec<Mor> {
        let Some(recent) = property(change, "recentTask").filter(|_| &*change.object.kind == "TaskManager")
        else {
            return Vec::new();
        };
        let now: BTreeSet<Mor> = recent.mors().collect();
        let new = now.difference(&self.tasks).cloned().collect();
        self.tasks = now;
        new
    }

    /// The tenants of the rules that are not as they were.
    fn take_rules(
        &mut self,
        installation: &vertskommune_core::names::Installation,
        change: &Change,
    ) -> BTreeSet<TenantName> {
        let Some(configuration) = property(change, "configurationEx") else { return BTreeSet::new() };
        let now = anti_affinity_rules(configuration);
        let differ = |a: &[AntiAffinityRule], b: &[AntiAffinityRule]| {
            let names = a.iter().filter(|rule| !b.contains(rule)).map(|rule| rule.name.clone());
            names.collect::<Vec<_>>()
        };
        let names = differ(&now, &self.rules).into_iter().chain(differ(&self.rules, &now));
        let tenants =
            names.filter_map(|name| marks::read_rule_name(installation, &name)).map(|(tenant, _)| tenant);
        let tenants = tenants.collect();
        self.rules = now;
        tenants
    }
}

fn property<'a>(change: &'a Change, path: &str) -> Option<&'a Element> {
    change.properties.iter().find(|(name, _)| &**name == path).and_then(|(_, value)| value.as_ref())
}
