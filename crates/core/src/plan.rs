//! The plan of one tenant: every step, whether it can run, and a typed reason for each that cannot.
//!
//! The plan makes every choice; apply makes none. It is a function of plain data, so the command line, the controller
//! and the tests see the same bytes for the same world.

mod gate;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::backup;
use crate::check::{Finding, FindingReason};
use crate::difference::{Difference, Shown, What, compare};
use crate::directory;
use crate::domain::{Domain, Proposal};
use crate::host::Host;
use crate::names::{Kind, ProviderName, ResourceId, ResourceKey, TenantName};
use crate::observation::{Blindness, Observation, Observations, Present, Seen};
use crate::resource::Resource;
use crate::schema::{Concern, KindRules};
use crate::step::{Refusal, RefusalReason, Step, StepId, Wait, hex};
use crate::tenant::{Deletion, ValidatedTenant};

/// All that a plan is made from.
pub struct Basis<'a> {
    /// The time of the plan.
    pub now: Timestamp,
    /// The tenant.
    pub tenant: &'a ValidatedTenant,
    /// Whether the tenant's manifest is being deleted.
    pub leaving: bool,
    /// What the tenant should have, by provider. Empty where it is leaving and nothing is to stay.
    pub desired: &'a BTreeMap<ProviderName, Vec<Resource>>,
    /// The host's endpoints.
    pub hosts: &'a BTreeMap<ProviderName, Host>,
    /// What the plugins know.
    pub domains: &'a BTreeMap<ProviderName, &'a dyn Domain>,
    /// What was seen.
    pub observations: &'a Observations,
    /// What the check found for this tenant.
    pub findings: &'a [Finding],
    /// Steps that failed and are tried again later.
    pub retries: &'a BTreeMap<StepId, Retry>,
    /// Why all destruction is stopped, if it is.
    pub halted: Option<&'a str>,
}

/// When a failed step is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Not before then.
    pub until: Timestamp,
    /// What failed.
    pub error: String,
}

/// What would be done for a tenant, in order, and what would not, with the reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The tenant.
    pub tenant: TenantName,
    /// The hash of its sorted step ids, waiting ones included.
    pub digest: String,
    /// The steps in their order.
    pub steps: Vec<PlannedStep>,
    /// What the manifest asks for and is not done at all.
    pub refusals: Vec<Refusal>,
    /// What is wrong between this tenant, the others and the host.
    pub findings: Vec<Finding>,
    /// What cannot be told, and why.
    pub doubts: Vec<Doubt>,
    /// Operations of the systems that are under way.
    pub progress: Vec<Progress>,
    /// Differences that are only shown.
    pub shown: Vec<Shown>,
    /// What people should know of and nothing is done about.
    pub notices: Vec<Notice>,
    /// How many of each kind are as they should be.
    pub tallies: BTreeMap<Kind, Tally>,
    /// The same for each concern of the manifest that has a provider here.
    pub concerns: BTreeMap<Concern, Part>,
    /// Whether the tenant is protected, where its manifest asks for backup.
    pub backup: Option<backup::Report>,
    /// What its trust with the host's directory is worth, where its manifest asks for one.
    #[serde(default)]
    pub directory: Option<directory::Report>,
}

/// A step with its id and whether it can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its id.
    pub id: StepId,
    /// What it does.
    pub step: Step,
    /// Why it cannot run now.
    pub wait: Option<Wait>,
}

/// A resource of which it cannot be told whether and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Which one.
    pub id: ResourceId,
    /// Why.
    pub why: Blindness,
}

/// What somebody else did that concerns a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Which one.
    pub id: ResourceId,
    /// One sentence for people.
    pub message: String,
}

/// An operation of a system that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is about.
    pub id: ResourceId,
    /// What is being done, such as `Cloning`.
    pub operation: String,
    /// How far, 0 to 100, where the system tells.
    pub percent: Option<u8>,
}

/// How many of a kind are as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// As they should be, but for differences that are only shown or wait for a window.
    pub ready: u32,
    /// All that the manifest asks for.
    pub total: u32,
}

/// One concern of a manifest, as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How much of it is as it should be.
    pub tally: Tally,
    /// Something of it that cannot be told.
    pub doubt: Option<Doubt>,
}

impl Tally {
    fn count(&mut self, is_ready: bool) {
        self.total += 1;
        self.ready += u32::from(is_ready);
    }
}

impl PlannedStep {
    /// Whether it can run now.
    pub fn is_ready(&self) -> bool {
        self.wait.is_none()
    }

    /// Whether the tenant is usable before it has run: what waits for a window or an operator's word is not urgent.
    pub fn is_deferred(&self) -> bool {
        self.wait.as_ref().is_some_and(Wait::is_deferred)
    }
}

impl Plan {
    /// Whether nothing is left to do, neither now nor later.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
            && self.refusals.is_empty()
            && self.progress.is_empty()
            && self.doubts.is_empty()
    }

    /// Whether our side has converged: all that is left is deferred or shown.
    pub fn is_converged(&self) -> bool {
        self.refusals.is_empty()
            && self.progress.is_empty()
            && self.doubts.is_empty()
            && !self.findings.iter().any(|finding| finding.blocks)
            && self.steps.iter().all(PlannedStep::is_deferred)
    }

    /// The steps that can run now and are allowed, as they are carried out: one by one, or those of a batch together, in
    /// the place of the first of them.
    pub fn turns(&self, allowed: &(dyn Fn(&StepId) -> bool + Sync)) -> Vec<Vec<&PlannedStep>> {
        let mut turns: Vec<Vec<&PlannedStep>> = Vec::new();
        let mut batches: BTreeMap<(&ProviderName, &str), usize> = BTreeMap::new();
        for planned in self.ready().filter(|planned| allowed(&planned.id)) {
            let Some(batch) = &planned.step.batch else {
                turns.push(vec![planned]);
                continue;
            };
            let turn = *batches.entry((&planned.step.resource.provider, batch)).or_insert(turns.len());
            if turn == turns.len() {
                turns.push(Vec::new());
            }
            turns[turn].push(planned);
        }
        turns
    }

    /// The steps that can run now, in their order.
    pub fn ready(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps.iter().filter(|step| step.is_ready())
    }
}

/// Plans one tenant.
pub fn plan(basis: &Basis<'_>) -> Plan {
    let mut draft = Draft::new(basis);
    for (provider, domain) in basis.domains {
        let Some(observation) = basis.observations.get(provider) else { continue };
        let differences = draft.differences(provider, *domain, observation);
        let Proposal { steps, refusals, shown } = domain.steps(&differences, observation, basis.now);
        draft.steps.extend(steps);
        draft.plan.shown.extend(shown);
        draft.plan.refusals.extend(refusals);
    }
    draft.plan.refusals.extend(unserved(basis));
    draft.plan.refusals.extend(order::cycles(basis.desired));
    let steps = order::sort(draft.steps, basis.desired);
    draft.plan.steps = gate::gate(steps, basis);
    (draft.plan.tallies, draft.plan.concerns) = tallies(basis, &draft.plan);
    draft.plan.backup = protection(basis);
    draft.plan.directory = trust(basis);
    draft.plan.digest = digest(&draft.plan.steps);
    draft.plan
}

/// A plan while it is made.
struct Draft<'a> {
    basis: &'a Basis<'a>,
    plan: Plan,
    steps: Vec<Step>,
}

impl<'a> Draft<'a> {
    fn new(basis: &'a Basis<'a>) -> Self {
        let plan = Plan {
            tenant: basis.tenant.name.clone(),
            digest: String::new(),
            steps: Vec::new(),
            refusals: Vec::new(),
            findings: basis.findings.to_vec(),
            doubts: Vec::new(),
            progress: Vec::new(),
            shown: Vec::new(),
            notices: Vec::new(),
            tallies: BTreeMap::new(),
            concerns: BTreeMap::new(),
            backup: None,
            directory: None,
        };
        Self { basis, plan, steps: Vec::new() }
    }

    /// All differences of the tenant in one provider; what is in doubt, under way or only shown is noted on the way.
    fn differences(
        &mut self,
        provider: &ProviderName,
        domain: &dyn Domain,
        observation: &Observation,
    ) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (key, present) in observation.presents(&self.basis.tenant.name) {
            let id = ResourceId::new(&self.basis.tenant.name, provider, key.clone());
            let notice = |message: &String| Notice { id: id.clone(), message: message.clone() };
            self.plan.notices.extend(present.notices.iter().map(notice));
        }
        // A deleted tenant whose things are retained orders nothing. (What is refused is stopped by its gate.)
        let policy = self.basis.tenant.deletion_policy.of(domain.schema().concern);
        if self.basis.leaving && policy == Deletion::Retain {
            return differences;
        }
        let desired = self.basis.desired.get(provider).map(Vec::as_slice).unwrap_or_default();
        for resource in desired {
            let rules = rules(domain, &resource.id.key);
            differences.extend(self.wanted(resource, observation, &rules));
        }
        let wanted: BTreeSet<&ResourceKey> = desired.iter().map(|resource| &resource.id.key).collect();
        let things = observation.seen.get(&self.basis.tenant.name).into_iter().flatten();
        for (key, seen) in things.filter(|(key, _)| !wanted.contains(key)) {
            let id = ResourceId::new(&self.basis.tenant.name, provider, key.clone());
            differences.extend(self.unwanted(id, seen, &rules(domain, key)));
        }
        differences
    }

    fn wanted(
        &mut self,
        resource: &Resource,
        observation: &Observation,
        rules: &KindRules,
    ) -> Option<Difference> {
        let id = &resource.id;
        let difference = |what, present| {
            Some(Difference { id: id.clone(), what, desired: Some(resource.clone()), present })
        };
        match observation.of(&id.tenant, &id.key) {
            None => difference(What::Missing, None),
            Some(Seen::Lost { identity })
                if resource.permits.recreate.as_deref() == Some(identity.as_str()) =>
            {
                difference(What::Missing, None)
            }
            Some(Seen::Lost { identity }) => {
                self.plan.refusals.push(lost(resource, &identity));
                None
            }
            Some(Seen::Unknown(why)) => {
                self.plan.doubts.push(Doubt { id: id.clone(), why });
                None
            }
            Some(Seen::InProgress { operation, percent }) => {
                self.plan.progress.push(Progress { id: id.clone(), operation, percent });
                None
            }
            Some(Seen::Present(present)) if present.retired_at.is_some() => {
                difference(What::Unretire, Some(Arc::unwrap_or_clone(present)))
            }
            Some(Seen::Present(present)) => {
                let changes = self.changed(resource, &present, rules);
                if changes.is_empty() {
                    None
                } else {
                    difference(What::Changed(changes), Some(Arc::unwrap_or_clone(present)))
                }
            }
        }
    }

    fn changed(
        &mut self,
        resource: &Resource,
        present: &Present,
        rules: &KindRules,
    ) -> Vec<crate::difference::FieldChange> {
        let observations = self.basis.observations;
        let look = |id: &ResourceId, output: &str| -> Option<&Json> {
            observations.get(&id.provider)?.present_id(id)?.outputs.get(output)
        };
        let compared = compare(resource, present, rules, self.basis.tenant.drift_policy, &look);
        self.plan.refusals.extend(compared.refusals);
        self.plan.shown.extend(compared.shown);
        compared.changes
    }

    fn unwanted(&mut self, id: ResourceId, seen: &Seen, rules: &KindRules) -> Option<Difference> {
        let (what, present) = match seen {
            Seen::Present(present) if rules.holds_data && present.retired_at.is_none() => {
                (What::Retire, Some(present.as_ref().clone()))
            }
            Seen::Present(present) => (What::Remove, Some(present.as_ref().clone())),
            Seen::Lost { .. } => (What::Forget, None),
            Seen::InProgress { operation, percent } => {
                self.plan.progress.push(Progress { id, operation: operation.clone(), percent: *percent });
                return None;
            }
            Seen::Unknown(why) => {
                self.plan.doubts.push(Doubt { id, why: why.clone() });
                return None;
            }
        };
        Some(Difference { id, what, desired: None, present })
    }
}

fn rules(domain: &dyn Domain, key: &ResourceKey) -> KindRules {
    domain.schema().kinds.get(&key.kind).cloned().unwrap_or_default()
}

fn lost(resource: &Resource, identity: &str) -> Refusal {
    Refusal {
        resource: resource.id.clone(),
        field: resource.origin.clone(),
        reason: RefusalReason::Lost,
        message: format!(
            "{} was made once and is gone, with its data: restore it, or set recreate: {identity} to make an empty \
             successor",
            resource.id.key
        ),
    }
}

/// Backup that the manifest asks for and that nobody takes: of all that is asked for, this would be missed too late.
fn unserved(basis: &Basis<'_>) -> Option<Refusal> {
    let provider = &basis.tenant.backup.as_ref()?.provider;
    // One that there is no HostProvider of is a finding already.
    if basis.leaving || !basis.hosts.contains_key(provider) || basis.domains.contains_key(provider) {
        return None;
    }
    Some(Refusal {
        resource: ResourceId::new(
            &basis.tenant.name,
            provider,
            ResourceKey::new("backup", basis.tenant.name.as_str()),
        ),
        field: "spec.backup.provider".to_owned(),
        reason: RefusalReason::NotSupported,
        message: format!(
            "nothing takes backups on {provider}: its plugin is not in this program or refuses its settings, see the \
             status of the HostProvider"
        ),
    })
}

/// Whether the tenant is protected. Time alone may change it, which neither a step nor the digest ever does.
fn protection(basis: &Basis<'_>) -> Option<backup::Report> {
    let (tenant, backup) = (basis.tenant, basis.tenant.backup.as_ref()?);
    let domain = basis.domains.get(&backup.provider);
    let seen = domain.filter(|domain| domain.schema().concern == Concern::Backup);
    let seen = seen.and_then(|_| basis.observations.get(&backup.provider));
    let mut report =
        backup::report(backup, &tenant.name, &tenant.servers, seen.map(AsRef::as_ref), basis.now);
    if let Some(finding) = basis.findings.iter().find(|it| it.reason == FindingReason::SameSite) {
        report.is_in_the_same_room(&finding.message);
    }
    Some(report)
}

/// What the trust is worth. What its other side does changes it at any time, which neither a step nor the digest ever does.
fn trust(basis: &Basis<'_>) -> Option<directory::Report> {
    let (tenant, wanted) = (basis.tenant, basis.tenant.directory.as_ref()?);
    let domain = basis.domains.get(&wanted.provider);
    let seen = domain.filter(|domain| domain.schema().concern == Concern::Directory);
    let seen = seen.and_then(|_| basis.observations.get(&wanted.provider));
    Some(directory::report(wanted, &tenant.name, seen.map(AsRef::as_ref)))
}

fn digest(steps: &[PlannedStep]) -> String {
    let ids: BTreeSet<&str> = steps.iter().map(|step| step.id.as_str()).collect();
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.as_bytes());
        hash.update(b"\n");
    }
    hex(&hash.finalize())
}

fn tallies(basis: &Basis<'_>, plan: &Plan) -> (BTreeMap<Kind, Tally>, BTreeMap<Concern, Part>) {
    let unready: BTreeSet<&ResourceId> = plan
        .steps
        .iter()
        .filter(|step| !step.is_deferred())
        .map(|step| &step.step.resource)
        .chain(plan.refusals.iter().map(|refusal| &refusal.resource))
        .chain(plan.doubts.iter().map(|doubt| &doubt.id))
        .chain(plan.progress.iter().map(|progress| &progress.id))
        .collect();
    let concern = |provider: &ProviderName| basis.domains.get(provider).map(|domain| domain.schema().concern);
    let mut tallies: BTreeMap<Kind, Tally> = BTreeMap::new();
    let mut concerns: BTreeMap<Concern, Part> = BTreeMap::new();
    for resource in basis.desired.values().flatten() {
        let is_ready = !unready.contains(&resource.id);
        tallies.entry(resource.id.key.kind.clone()).or_default().count(is_ready);
        if let Some(concern) = concern(&resource.id.provider) {
            concerns.entry(concern).or_default().tally.count(is_ready);
        }
    }
    // What another product backs up needs nothing of ours there, and so is complete.
    if let Some(backup) = basis.tenant.backup.as_ref().filter(|it| it.job().is_some() && !basis.leaving)
        && concern(&backup.provider) == Some(Concern::Backup)
    {
        concerns.entry(Concern::Backup).or_default();
    }
    for doubt in &plan.doubts {
        if let Some(concern) = concern(&doubt.id.provider) {
            concerns.entry(concern).or_default().doubt.get_or_insert_with(|| doubt.clone());
        }
    }
    (tallies, concerns)
}
