//! The plugin of the in-memory system: folders, networks and servers, with nothing left out of the contract. With the
//! setting `concern: Firewall` it is a firewall instead, with one thing for each rule, and with `concern: Backup` a second
//! room, with one repository for each tenant, into which backups are taken. With the setting `file` the system outlives the
//! process, and with `secret: true` a tenant's repository has a secret of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_core::difference::{Difference, What};
use vertskommune_core::domain::{Domain, Inputs, Proposal};
use vertskommune_core::facts::Facts;
use vertskommune_core::firewall::Rule;
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, Kind, Mark, ProviderName, ResourceId, ResourceKey};
use vertskommune_core::observation::{Blindness, Busy, Capacity, Foreign, Observation, Present, Scope, Seen};
use vertskommune_core::resource::{Fields, Resource, Value};
use vertskommune_core::schema::{Change, Concern, FieldRule, KindRules, Schema};
use vertskommune_core::step::{Class, Refusal, RefusalReason, Step, Wait};
use vertskommune_core::tenant::{Server, ValidatedTenant};
use vertskommune_core::transfer::Due;
use vertskommune_core::violation::Violation;

use super::moving;
use super::system::{MemorySystem, Thing, identity};
use crate::{
    Applied, Changes, Checked, Claim, Ctx, Exports, Imports, Plugin, Provider, ProviderError, Transfers,
};

/// Makes providers of in-memory systems. A system lives as long as the plugin; its endpoint is its name.
#[derive(Default)]
pub struct MemoryPlugin {
    systems: Mutex<BTreeMap<String, Arc<MemorySystem>>>,
}

impl MemoryPlugin {
    /// A plugin that knows this system under that endpoint.
    #[must_use]
    pub fn with(self, endpoint: &str, system: Arc<MemorySystem>) -> Self {
        self.systems.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint.to_owned(), system);
        self
    }
}

impl Plugin for MemoryPlugin {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn provider(
        &self,
        installation: &Installation,
        host: &Host,
    ) -> Result<Arc<dyn Provider>, Vec<Violation>> {
        let mut systems = self.systems.lock().unwrap_or_else(PoisonError::into_inner);
        let system = systems
            .entry(host.endpoint.clone())
            .or_insert_with(|| {
                let identity = host.identity.clone();
                Arc::new(match host.settings.get("file").and_then(Json::as_str) {
                    Some(file) => MemorySystem::in_file(identity, file.into()),
                    None => MemorySystem::new(identity),
                })
            })
            .clone();
        Ok(Arc::new(Memory::new(installation, host, system)))
    }
}

/// The provider of one in-memory system.
pub struct Memory {
    installation: Installation,
    pub(super) host: Host,
    schema: Schema,
    pub(super) system: Arc<MemorySystem>,
    seen_revision: Mutex<Option<u64>>,
}

impl Memory {
    /// A provider for this system.
    pub fn new(installation: &Installation, host: &Host, system: Arc<MemorySystem>) -> Self {
        Self {
            installation: installation.clone(),
            host: host.clone(),
            schema: schema(host),
            system,
            seen_revision: Mutex::new(None),
        }
    }

    fn mark(&self, id: &ResourceId) -> Mark {
        Mark { installation: self.installation.clone(), tenant: id.tenant.clone(), key: id.key.clone() }
    }
}

fn schema(host: &Host) -> Schema {
    let plain = KindRules { outputs: vec!["ref".to_owned()], ..KindRules::default() };
    let server = KindRules {
        holds_data: true,
        outputs: vec!["ref".to_owned()],
        fields: vec![
            FieldRule::new("template", Change::CreateOnly),
            FieldRule::new("vcpus", Change::Mutable).by_policy(),
            FieldRule::new("memory", Change::Mutable).by_policy(),
            FieldRule::new("disks.*.size", Change::GrowOnly).by_policy(),
            FieldRule::new("power", Change::ShownOnly),
        ],
    };
    let rule = KindRules::default();
    let repository = KindRules { holds_data: true, ..KindRules::default() };
    let kinds = [
        ("folder", plain.clone()),
        ("network", plain),
        ("server", server),
        ("rule", rule),
        ("repository", repository),
        ("trust", KindRules::default()),
    ];
    Schema {
        concern: match host.settings.get("concern").and_then(Json::as_str) {
            Some("Firewall") => Concern::Firewall,
            Some("Backup") => Concern::Backup,
            Some("Directory") => Concern::Directory,
            _ => Concern::Servers,
        },
        kinds: kinds.into_iter().map(|(kind, rules)| (Kind::from(kind), rules)).collect(),
    }
}

impl Domain for Memory {
    fn name(&self) -> &ProviderName {
        &self.host.name
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn expand(&self, inputs: &Inputs) -> Result<Vec<Resource>, Vec<Violation>> {
        let tenant = &inputs.tenant;
        match self.schema.concern {
            Concern::Firewall => return Ok(self.rules(tenant)),
            Concern::Backup => return Ok(self.repository(tenant).into_iter().collect()),
            Concern::Directory => return Ok(self.trust(tenant).into_iter().collect()),
            Concern::Servers => {}
        }
        if tenant.compute.as_ref().is_none_or(|compute| compute.provider != self.host.name) {
            return Ok(Vec::new());
        }
        let id = |kind: &str, name: &str| {
            ResourceId::new(&tenant.name, &self.host.name, ResourceKey::new(kind, name))
        };
        let folder = id("folder", tenant.name.as_str());
        let mut resources = vec![Resource::new(folder.clone(), "metadata.name")];
        for (index, network) in tenant.networks.iter().enumerate() {
            let mut resource = Resource::new(id("network", &network.name), format!("spec.networks[{index}]"))
                .with("vlan", network.vlan);
            resource.after.insert(folder.clone());
            resources.push(resource);
        }
        for (index, server) in tenant.servers.iter().enumerate() {
            resources.push(expand_server(tenant, index, server, &folder, &id));
        }
        Ok(resources)
    }

    fn steps(&self, differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal {
        let mut proposal = Proposal::default();
        // Backwards, so that what stands on something goes before it.
        let (gone, wanted): (Vec<_>, Vec<_>) =
            differences.iter().partition(|difference| difference.desired.is_none());
        for difference in wanted.into_iter().chain(gone.into_iter().rev()) {
            match propose(difference, seen, now) {
                Ok(step) => proposal.steps.push(step),
                Err(refusal) => proposal.refusals.push(*refusal),
            }
        }
        proposal
    }

    fn due(&self, tenant: &ValidatedTenant, seen: &Observation, now: Timestamp) -> Due {
        match self.schema.concern {
            Concern::Backup => moving::due(&self.installation, tenant, seen, now),
            Concern::Servers | Concern::Firewall | Concern::Directory => Due::default(),
        }
    }
}

impl Memory {
    fn repository(&self, tenant: &ValidatedTenant) -> Option<Resource> {
        let backup = tenant.backup.as_ref().filter(|backup| backup.provider == self.host.name)?;
        backup.window()?;
        let key = ResourceKey::new("repository", tenant.name.as_str());
        Some(Resource::new(ResourceId::new(&tenant.name, &self.host.name, key), "spec.backup"))
    }

    fn trust(&self, tenant: &ValidatedTenant) -> Option<Resource> {
        let directory = tenant.directory.as_ref().filter(|directory| directory.provider == self.host.name)?;
        let key = ResourceKey::new("trust", &*directory.domain);
        let trust = Resource::new(ResourceId::new(&tenant.name, &self.host.name, key), "spec.directory");
        Some(trust.with("direction", directory.direction().to_string()))
    }

    fn rules(&self, tenant: &ValidatedTenant) -> Vec<Resource> {
        let firewall = tenant.firewall.iter().filter(|firewall| firewall.provider == self.host.name);
        let rule = |rule: &Rule| {
            let id = ResourceId::new(&tenant.name, &self.host.name, ResourceKey::new("rule", &*rule.id));
            Resource::new(id, &rule.written.origin).with("services", rule.services.clone())
        };
        firewall.flat_map(|firewall| firewall.rules.iter().map(rule)).collect()
    }
}

fn expand_server(
    tenant: &ValidatedTenant,
    index: usize,
    server: &Server,
    folder: &ResourceId,
    id: &dyn Fn(&str, &str) -> ResourceId,
) -> Resource {
    let mut resource = Resource::new(id("server", &server.name), format!("spec.servers[{index}]"))
        .with("name", server.name.clone())
        .with_output("folder", folder, "ref")
        .with("template", server.template.clone())
        .with("vcpus", server.vcpus)
        .with("memory", server.memory)
        .with("power", "on");
    for disk in &server.disks {
        resource = resource.with(format!("disks.{}.size", disk.name), disk.size);
    }
    for (at, interface) in server.interfaces.iter().enumerate() {
        if tenant.network(&interface.network).is_some() {
            let network = id("network", &interface.network);
            resource = resource.with_output(format!("interfaces.{at}.network"), &network, "ref");
        }
    }
    resource.permits.adopt.clone_from(&server.adopt);
    resource.permits.recreate.clone_from(&server.recreate);
    resource.permits.restart_before = server.restart_before;
    resource.group.clone_from(&server.anti_affinity);
    resource
}

/// The one step that closes a difference.
fn propose(difference: &Difference, seen: &Observation, now: Timestamp) -> Result<Step, Box<Refusal>> {
    let (id, key) = (&difference.id, &difference.id.key);
    let step = |operation: &str, class, summary: String| {
        let mut step = Step::new(id, operation, class, now);
        step.summary = summary;
        step
    };
    Ok(match (&difference.what, &difference.desired) {
        (What::Missing, Some(desired)) => {
            let stranger = seen.foreign.iter().find(|foreign| {
                foreign.tenant == id.tenant && foreign.kind == key.kind && foreign.name == key.name
            });
            match (stranger, &desired.permits.adopt) {
                (Some(stranger), None) => return Err(Box::new(not_ours(desired, stranger))),
                (Some(_), Some(_)) => step("adopt", Class::Adopt, format!("take over {}", key.name)),
                (None, _) => {
                    let mut step = step("create", Class::Create, format!("create {}", key.name));
                    step.fields.clone_from(&desired.fields);
                    step.after.clone_from(&desired.after);
                    if key.kind.as_str() == "server" {
                        step.uses.insert("memory".to_owned(), number(&desired.fields, "memory"));
                    }
                    step
                }
            }
        }
        (What::Changed(changes), _) => {
            // Here too processors can only be taken away from what is switched off.
            let shrinks = changes.iter().any(|change| {
                change.field == "vcpus"
                    && change.from.as_ref().and_then(Json::as_u64)
                        > change.to.as_known().and_then(Json::as_u64)
            });
            let class = if shrinks { Class::Restart } else { Class::Change };
            let fields: Vec<_> = changes.iter().map(|change| change.field.as_str()).collect();
            let mut step = step("change", class, format!("change {}", fields.join(", ")));
            for change in changes {
                step.fields.insert(change.field.clone(), change.to.clone());
                step.expects.insert(change.field.clone(), change.from.clone().unwrap_or_default());
            }
            step
        }
        (What::Unretire, _) => step("unretire", Class::Change, format!("bring {} back", key.name)),
        (What::Retire, _) => step("retire", Class::Retire, format!("shut {} down and keep it", key.name)),
        (What::Remove, _) if key.kind.as_str() == "server" => {
            step("destroy", Class::Destroy, format!("destroy {} with its data", key.name))
        }
        (What::Remove, _) => {
            let mut step = step("remove", Class::Remove, format!("remove {}", key.name));
            step.blocked = user(id, seen).map(|by| Wait::InUse { by });
            step
        }
        (What::Forget | What::Missing, _) => {
            step("forget", Class::Remove, format!("forget that {} was lost", key.name))
        }
    })
}

/// What still stands on a folder or a network.
fn user(id: &ResourceId, seen: &Observation) -> Option<String> {
    let things = seen.seen.get(&id.tenant)?;
    let mut others = things.keys().filter(|key| **key != id.key);
    let found = match id.key.kind.as_str() {
        "folder" => others.next(),
        _ => others.find(|key| key.kind.as_str() == "server"),
    };
    found.map(ToString::to_string)
}

fn not_ours(desired: &Resource, stranger: &Foreign) -> Refusal {
    Refusal {
        resource: desired.id.clone(),
        field: desired.origin.clone(),
        reason: RefusalReason::NotOurs,
        message: format!(
            "{} is there and is not ours: choose another name, or set adopt: {}",
            stranger.path, stranger.path
        ),
    }
}

fn number(fields: &Fields, field: &str) -> u64 {
    fields.get(field).and_then(Value::as_known).and_then(Json::as_u64).unwrap_or_default()
}

/// Where a thing of ours lies.
pub(super) fn path(id: &ResourceId) -> String {
    match id.key.kind.as_str() {
        "folder" => format!("{}/", id.key.name),
        kind => format!("{}/{kind}/{}", id.tenant, id.key.name),
    }
}

impl Memory {
    fn observe_now(&self, scope: &Scope) -> Result<Observation, ProviderError> {
        let revision = self.system.revision();
        let seen = self.system.read(scope)?;
        if self.system.identity != self.host.identity {
            return Err(ProviderError::Misidentified {
                expected: self.host.identity.clone(),
                found: self.system.identity.clone(),
            });
        }
        let mut observation = Observation::empty(&self.host.name);
        "1.0".clone_into(&mut observation.version);
        observation.capacity.insert("memory".to_owned(), Capacity { free: 1 << 50, total: 1 << 50 });
        for tenant in &seen.hidden {
            observation.coverage.tenants.insert(tenant.clone(), Blindness::NoSight(format!("{tenant}/")));
        }
        let ours = |mark: &Mark| mark.installation == self.installation && scope.includes(&mark.tenant);
        for (mark, identity) in seen.born.iter().filter(|(mark, _)| ours(mark)) {
            let lost = Seen::Lost { identity: identity.clone() };
            observation.seen.entry(mark.tenant.clone()).or_default().insert(mark.key.clone(), lost);
        }
        for (path, thing) in &seen.things {
            match &thing.mark {
                Some(mark) if ours(mark) => {
                    let present = Seen::Present(Arc::new(present(path, thing)));
                    observation
                        .seen
                        .entry(mark.tenant.clone())
                        .or_default()
                        .insert(mark.key.clone(), present);
                }
                Some(mark) if mark.installation == self.installation => {}
                _ => observation
                    .foreign
                    .extend(foreign(path, thing).filter(|foreign| scope.includes(&foreign.tenant))),
            }
        }
        observation.backups = seen.backups;
        observation.trusts = seen.trusts;
        if scope.tenants.is_none() {
            observation.jobs = seen.jobs;
            *self.seen_revision.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision);
        }
        Ok(observation)
    }

    /// What opens a repository is there before the repository is.
    async fn secret(&self, step: &Step, ctx: &Ctx) -> Result<(), ProviderError> {
        let wanted = self.host.settings.get("secret").and_then(Json::as_bool) == Some(true);
        if !wanted || step.operation != "create" {
            return Ok(());
        }
        ctx.permit()?;
        let tenant = &step.resource.tenant;
        let entries = BTreeMap::from([("password".to_owned(), b"canary-r3p0".to_vec())]);
        let made = ctx.secrets.create(&format!("backup-{tenant}"), tenant, entries).await;
        made.map(drop).map_err(|error| ProviderError::Refused(error.to_string()))
    }

    fn apply_one(&self, step: &Step, ctx: &Ctx) -> Applied {
        if let Err(error) = ctx.permit() {
            return Applied::NotSent(error.to_string());
        }
        let mark = self.mark(&step.resource);
        let path = path(&step.resource);
        let there = match self.system.thing(&path) {
            Ok(there) => there,
            Err(error) => return Applied::Failed(error),
        };
        let ours = there.as_ref().is_some_and(|thing| thing.mark.as_ref() == Some(&mark));
        match (step.operation.as_str(), &there) {
            ("create", Some(_)) if ours => return Applied::Done,
            ("create" | "forget", None) => {}
            ("adopt", Some(thing)) if thing.mark.is_none() => {}
            ("change" | "retire" | "unretire" | "destroy" | "remove", Some(thing)) if ours => {
                let expected =
                    |(field, value): (&str, &Json)| thing.fields.get(field).unwrap_or(&Json::Null) == value;
                if !step.expects.iter().all(expected) {
                    return Applied::NotSent("it is not as the plan expects any more".to_owned());
                }
            }
            ("destroy" | "remove", None) => return Applied::Done,
            _ => return Applied::Failed(ProviderError::Refused(format!("{path} is not ours"))),
        }
        let fields = resolve(&step.fields);
        let result = self.system.write(format!("{} {path}", step.operation), |things, born| {
            change(step, &mark, &path, fields, things, born);
            Some(step.resource.tenant.clone())
        });
        match result {
            Ok(()) => Applied::Done,
            Err(ProviderError::Timeout(why)) => Applied::Unknown(why),
            Err(error) => Applied::Failed(error),
        }
    }
}

/// What a write does to the system.
fn change(
    step: &Step,
    mark: &Mark,
    path: &str,
    fields: BTreeMap<String, Json>,
    things: &mut BTreeMap<String, Thing>,
    born: &mut BTreeMap<Mark, String>,
) {
    match step.operation.as_str() {
        "destroy" | "remove" => {
            things.remove(path);
            born.remove(mark);
            return;
        }
        "forget" => {
            born.remove(mark);
            return;
        }
        _ => {}
    }
    let thing = things.entry(path.to_owned()).or_default();
    match step.operation.as_str() {
        "retire" => thing.retired_at = Some(step.planned_at),
        "unretire" => thing.retired_at = None,
        "adopt" => thing.mark = Some(mark.clone()),
        _ => {
            thing.mark = Some(mark.clone());
            thing.applied.extend(fields.clone());
            thing.fields.extend(fields);
        }
    }
    if mark.key.kind.as_str() == "server" {
        born.insert(mark.clone(), identity(path));
    }
}

/// What others give is found by where they lie.
fn resolve(fields: &Fields) -> BTreeMap<String, Json> {
    let resolve = |value: &Value| match value {
        Value::Known(value) => value.clone(),
        Value::Secret(secret) => serde_json::to_value(secret).unwrap_or_default(),
        Value::After { resource, .. } => json!(path(resource)),
    };
    fields.iter().map(|(field, value)| (field.clone(), resolve(value))).collect()
}

fn present(path: &str, thing: &Thing) -> Present {
    Present {
        fields: thing.fields.clone(),
        applied: thing.applied.clone(),
        outputs: Facts::from([("ref", json!(path))]),
        identity: identity(path),
        busy: thing.snapshot.then_some(Busy::Snapshot).or(thing.backup.then_some(Busy::Backup)),
        retired_at: thing.retired_at,
        notices: thing.notices.clone(),
        ..Present::default()
    }
}

/// A thing without our mark, where it stands in the place of one of ours.
fn foreign(path: &str, thing: &Thing) -> Option<Foreign> {
    let mut parts = path.split('/');
    let (tenant, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Foreign {
        tenant: tenant.into(),
        kind: kind.into(),
        name: name.to_owned(),
        path: path.to_owned(),
        identity: identity(path),
        mark: thing.mark.as_ref().map(Mark::to_string),
        present: present(path, thing),
    })
}

impl Provider for Memory {
    fn observe<'a>(
        &'a self,
        scope: &'a Scope,
        _: &'a Ctx,
    ) -> BoxFuture<'a, Result<Observation, ProviderError>> {
        Box::pin(async move { self.observe_now(scope) })
    }

    fn changed<'a>(&'a self, _: &'a Ctx) -> BoxFuture<'a, Result<Changes, ProviderError>> {
        Box::pin(async move {
            let since = *self.seen_revision.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(since) = since else { return Ok(Changes::Anything) };
            let (now, changes) = self.system.changed_since(since).await;
            *self.seen_revision.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            Ok(changes)
        })
    }

    fn apply<'a>(&'a self, steps: &'a [Step], ctx: &'a Ctx) -> BoxFuture<'a, Vec<Applied>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for step in steps {
                let secret = self.secret(step, ctx).await;
                answers.push(secret.map_or_else(Applied::Failed, |()| self.apply_one(step, ctx)));
                if answers.last() != Some(&Applied::Done) {
                    break;
                }
            }
            answers
        })
    }

    fn preflight<'a>(&'a self, _: &'a Ctx) -> BoxFuture<'a, Vec<Checked>> {
        let result = if self.system.identity == self.host.identity {
            Ok(self.system.identity.clone())
        } else {
            Err(format!("found {}, pinned is {}", self.system.identity, self.host.identity))
        };
        Box::pin(async move { vec![Checked { what: "identity".to_owned(), result }] })
    }

    fn exports(&self) -> Option<&dyn Exports> {
        (self.schema.concern == Concern::Servers).then_some(self as &dyn Exports)
    }

    fn imports(&self) -> Option<&dyn Imports> {
        (self.schema.concern == Concern::Servers).then_some(self as &dyn Imports)
    }

    fn transfers(&self) -> Option<&dyn Transfers> {
        (self.schema.concern == Concern::Backup).then_some(self as &dyn Transfers)
    }

    fn claim<'a>(&'a self, claim: &'a Claim, ctx: &'a Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            ctx.permit()?;
            self.system.set_claim(claim, Timestamp::now())
        })
    }
}
