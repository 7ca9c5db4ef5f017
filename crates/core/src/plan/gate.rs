//! Which steps can run now. Each gate is one rule with one typed reason; the first that is shut names the wait.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Basis, PlannedStep};
use crate::host::{Host, Mode};
use crate::names::{ProviderName, ResourceId};
use crate::observation::{Present, Seen};
use crate::resource::{Permits, Resource, Value};
use crate::step::{Class, Step, Wait};
use crate::windows::Opening;

/// Gives every step its id and, where it cannot run now, the reason.
pub(super) fn gate(steps: Vec<Step>, basis: &Basis<'_>) -> Vec<PlannedStep> {
    let mut gates = Gates::new(basis);
    let mut planned: Vec<PlannedStep> = steps
        .into_iter()
        .map(|step| {
            let wait = gates.wait(&step);
            gates.pass(&step, wait.as_ref());
            PlannedStep { id: step.id(), step, wait }
        })
        .collect();
    hold_batches(&mut planned);
    planned
}

/// What is done together waits together.
fn hold_batches(planned: &mut [PlannedStep]) {
    let mut held: BTreeMap<(ProviderName, String), ResourceId> = BTreeMap::new();
    for planned in planned.iter().filter(|planned| !planned.is_ready()) {
        if let Some(batch) = batch_of(&planned.step) {
            held.entry(batch).or_insert_with(|| planned.step.resource.clone());
        }
    }
    for planned in planned.iter_mut().filter(|planned| planned.is_ready()) {
        let first = batch_of(&planned.step).and_then(|batch| held.get(&batch));
        planned.wait = first.cloned().map(Wait::Together);
    }
}

fn batch_of(step: &Step) -> Option<(ProviderName, String)> {
    Some((step.resource.provider.clone(), step.batch.clone()?))
}

/// What the gates know, and what the steps before have taken.
struct Gates<'a> {
    basis: &'a Basis<'a>,
    resources: BTreeMap<&'a ResourceId, &'a Resource>,
    /// Resources with a step that waits: later steps of the same resource wait too.
    /// Those of a step that is deferred are deferred with it, for the same reason.
    stopped: BTreeMap<ResourceId, Option<Wait>>,
    /// Groups in which a member is being interrupted, by this plan or already.
    interrupted: BTreeMap<String, ResourceId>,
    used: BTreeMap<(ProviderName, String), u64>,
    /// What an earlier step of the same batch makes.
    made: BTreeMap<ResourceId, String>,
    /// Operations under way in a provider, of all tenants: counted at most once for a plan.
    running: RefCell<BTreeMap<ProviderName, usize>>,
}

impl<'a> Gates<'a> {
    fn new(basis: &'a Basis<'a>) -> Self {
        let resources = basis.desired.values().flatten().map(|resource| (&resource.id, resource)).collect();
        let mut gates = Self {
            basis,
            resources,
            stopped: BTreeMap::new(),
            interrupted: BTreeMap::new(),
            used: BTreeMap::new(),
            made: BTreeMap::new(),
            running: RefCell::default(),
        };
        for resource in basis.desired.values().flatten() {
            if let Some(group) = &resource.group
                && gates.present(&resource.id).is_some_and(|present| present.interrupted)
            {
                gates.interrupted.insert(group.clone(), resource.id.clone());
            }
        }
        gates
    }

    fn wait(&self, step: &Step) -> Option<Wait> {
        self.standing_orders(step)
            .or_else(|| self.busy(step))
            .or_else(|| self.stopped.get(&step.resource).cloned().flatten())
            .or_else(|| step.blocked.clone())
            .or_else(|| self.dependency(step))
            .or_else(|| self.retirement(step))
            .or_else(|| self.word(step))
            .or_else(|| self.window(step))
            .or_else(|| self.group(step))
            .or_else(|| self.capacity(step))
            .or_else(|| self.retry(step))
            .or_else(|| self.budget(step))
    }

    fn pass(&mut self, step: &Step, wait: Option<&Wait>) {
        if let Some(wait) = wait {
            let deferred = wait.is_deferred().then(|| wait.clone());
            self.stopped.entry(step.resource.clone()).or_insert(deferred);
            return;
        }
        if let Some(batch) =
            step.batch.as_ref().filter(|_| matches!(step.class, Class::Create | Class::Adopt))
        {
            self.made.insert(step.resource.clone(), batch.clone());
        }
        if step.class == Class::Restart
            && let Some(group) = self.group_of(step)
        {
            self.interrupted.insert(group.to_owned(), step.resource.clone());
        }
        for (what, needs) in &step.uses {
            *self.used.entry((step.resource.provider.clone(), what.clone())).or_default() += needs;
        }
    }

    fn standing_orders(&self, step: &Step) -> Option<Wait> {
        if self.basis.tenant.suspend {
            return Some(Wait::Suspended);
        }
        let host = self.host(step);
        if host.is_none_or(|host| host.mode == Mode::Observe) {
            return Some(Wait::ObserveOnly);
        }
        self.basis.findings.iter().any(|finding| finding.blocks).then_some(Wait::Refused)
    }

    fn busy(&self, step: &Step) -> Option<Wait> {
        self.present(&step.resource)?.busy.clone().map(Wait::Busy)
    }

    /// What the step needs must be there: named by it, by its resource, or by an earlier step of the same resource.
    fn dependency(&self, step: &Step) -> Option<Wait> {
        if self.stopped.contains_key(&step.resource) {
            return Some(Wait::After(step.resource.clone()));
        }
        let named = step.fields.values().filter_map(|value| match value {
            Value::After { resource, .. } => Some(resource),
            Value::Known(_) | Value::Secret(_) => None,
        });
        let in_batch = |id: &&ResourceId| step.batch.is_some() && self.made.get(*id) == step.batch.as_ref();
        let missing = |id: &&ResourceId| self.present(id).is_none() && !in_batch(id);
        named.chain(&step.after).find(missing).cloned().map(Wait::After)
    }

    fn retirement(&self, step: &Step) -> Option<Wait> {
        if step.class != Class::Destroy {
            return None;
        }
        let retired_at = self.present(&step.resource)?.retired_at?;
        let keep = self.basis.tenant.compute.as_ref()?.retire_after;
        let until = retired_at.checked_add(keep).unwrap_or(Timestamp::MAX);
        (self.basis.now < until).then_some(Wait::Retired { until })
    }

    fn word(&self, step: &Step) -> Option<Wait> {
        if step.class != Class::Destroy {
            return None;
        }
        let id = step.id();
        if !self.basis.tenant.allow_destroy.iter().any(|word| id.is_meant_by(word)) {
            return Some(Wait::Word);
        }
        self.basis.halted.map(|why| Wait::DestructionHalted { why: why.to_owned() })
    }

    fn window(&self, step: &Step) -> Option<Wait> {
        if step.class != Class::Restart {
            return None;
        }
        if self
            .permits(step)
            .and_then(|permits| permits.restart_before)
            .is_some_and(|until| self.basis.now < until)
        {
            return None;
        }
        let host = self.host(step)?;
        match host.maintenance.with(&self.basis.tenant.maintenance).opening(self.basis.now) {
            Opening::Open { .. } => None,
            Opening::Opens { at } => Some(Wait::MaintenanceWindow { opens: Some(at) }),
            Opening::Never => Some(Wait::MaintenanceWindow { opens: None }),
        }
    }

    fn group(&self, step: &Step) -> Option<Wait> {
        if step.class != Class::Restart {
            return None;
        }
        let group = self.group_of(step)?;
        let first = self.interrupted.get(group).filter(|first| **first != step.resource)?;
        Some(Wait::Group { group: group.to_owned(), first: first.clone() })
    }

    fn capacity(&self, step: &Step) -> Option<Wait> {
        let observation = self.basis.observations.get(&step.resource.provider)?;
        step.uses.iter().find_map(|(what, needs)| {
            let free = observation.capacity.get(what)?.free;
            let used = self.used.get(&(step.resource.provider.clone(), what.clone())).copied().unwrap_or(0);
            let left = free.saturating_sub(used);
            (*needs > left).then(|| Wait::Capacity { what: what.clone(), needs: *needs, free: left })
        })
    }

    fn retry(&self, step: &Step) -> Option<Wait> {
        let retry = self.basis.retries.get(&step.id())?;
        (self.basis.now < retry.until)
            .then(|| Wait::Backoff { until: retry.until, error: retry.error.clone() })
    }

    /// New things are long operations of the system: no more of them at once than the budget allows.
    fn budget(&self, step: &Step) -> Option<Wait> {
        if step.class != Class::Create {
            return None;
        }
        let provider = &step.resource.provider;
        let observation = self.basis.observations.get(provider)?;
        let count = || {
            let things = observation.seen.values().flat_map(|things| things.values());
            things.filter(|seen| matches!(seen, Seen::InProgress { .. })).count()
        };
        let running = *self.running.borrow_mut().entry(provider.clone()).or_insert_with(count);
        let most = usize::try_from(self.host(step)?.budget.concurrency).unwrap_or(usize::MAX);
        (running >= most).then_some(Wait::Budget { running })
    }

    fn host(&self, step: &Step) -> Option<&'a Host> {
        self.basis.hosts.get(&step.resource.provider)
    }

    fn present(&self, id: &ResourceId) -> Option<&'a Present> {
        self.basis.observations.get(&id.provider)?.present_id(id)
    }

    fn permits(&self, step: &Step) -> Option<&'a Permits> {
        self.resources.get(&step.resource).map(|resource| &resource.permits)
    }

    fn group_of(&self, step: &Step) -> Option<&'a str> {
        self.resources.get(&step.resource)?.group.as_deref()
    }
}
