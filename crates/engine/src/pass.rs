//! One pass over one tenant: plan it from what was last seen, carry out what can be, look again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vertskommune_core::check::{Finding, FindingReason, short_window};
use vertskommune_core::domain::{Domain, Inputs};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::observation::Observations;
use vertskommune_core::plan::{Basis, Plan, PlannedStep, Retry, plan};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::Concern;
use vertskommune_core::step::{Class, Step, StepId};
use vertskommune_core::tenant::{Deletion, ValidatedTenant};
use vertskommune_provider::{Applied, Ctx, ProviderError};

use crate::claim::Claimed;
use crate::endpoint::Endpoint;
use crate::report::{Outcome, RunReport};
use crate::{Engine, Scopes, World};

/// How long one step may take until it is sent and answered. Tasks of the system are not waited for.
const STEP: Duration = Duration::from_secs(90);

/// How much longer a batch may take for each further step.
const EACH: Duration = Duration::from_secs(1);

/// How often in a row a step may find that something came in its way since its plan. The next look mostly tells what that is;
/// what none tells is told as a failure.
const OVERTAKEN: u32 = 3;

/// Steps that failed, and when they are tried again. Lost with the process, which only means an earlier try.
#[derive(Default)]
pub(crate) struct Retries {
    failed: Mutex<Failed>,
}

/// By tenant and step: how often it was tried again, and when it is tried next; at once where it was only overtaken.
type Failed = BTreeMap<TenantName, BTreeMap<StepId, (u32, Option<Retry>)>>;

impl Engine {
    /// Plans a tenant from what was last seen. `None` where the world has no such tenant.
    pub fn plan(&self, world: &World, tenant: &TenantName) -> Option<Plan> {
        let tenant = world.tenant(tenant)?;
        let (now, endpoints) = (self.now(), self.all());
        if tenant.accept_loss.is_some_and(|until| now < until) {
            for endpoint in endpoints.values() {
                endpoint.accept_loss(&tenant.name);
            }
        }
        let observations: Observations =
            endpoints.iter().map(|(name, endpoint)| (name.clone(), endpoint.observation())).collect();
        let past = world.past(&tenant.name);
        let (desired, mut findings) = match past {
            None => self.expand(world, tenant, &endpoints),
            Some(past) => (BTreeMap::from([(past.provider.clone(), past.resources.clone())]), Vec::new()),
        };
        findings.extend(short_window(tenant, &self.settings.installation, world.hosts(), &observations));
        findings.extend(world.check(tenant, &observations));
        // A record is one provider's: what others hold is neither wanted nor unwanted.
        let concerned = |name: &ProviderName| past.is_none_or(|past| past.provider == *name);
        let domains: BTreeMap<ProviderName, &dyn Domain> = endpoints
            .iter()
            .filter(|(name, _)| concerned(name))
            .map(|(name, endpoint)| (name.clone(), endpoint.provider.as_ref() as &dyn Domain))
            .collect();
        let retries = self.retries.of(&tenant.name);
        let halted = self.halted(world, &endpoints);
        Some(plan(&Basis {
            now,
            tenant,
            leaving: world.is_leaving(&tenant.name),
            desired: &desired,
            hosts: world.hosts(),
            domains: &domains,
            observations: &observations,
            findings: &findings,
            retries: &retries,
            halted: halted.as_deref(),
        }))
    }

    /// Carries out the steps of a plan that can run now, and looks again at what they changed. `allowed` says which
    /// steps may run at all: those of an approved or saved plan, or all.
    pub async fn apply(
        &self,
        world: &(impl Scopes + ?Sized),
        plan: Plan,
        allowed: &(dyn Fn(&StepId) -> bool + Sync),
    ) -> RunReport {
        let mut outcomes: Vec<Outcome> = Vec::new();
        let mut touched: BTreeMap<ProviderName, Arc<Endpoint>> = BTreeMap::new();
        for turn in plan.turns(allowed) {
            let resource = &turn[0].step.resource;
            // The steps of one resource stand in order: what follows a step that is not done is not tried.
            let stopped =
                |outcome: &Outcome| outcome.resource == *resource && outcome.applied != Applied::Done;
            if turn[0].step.batch.is_none() && outcomes.iter().any(stopped) {
                continue;
            }
            let Some(endpoint) = self.endpoint(&resource.provider) else { continue };
            let applied = self.apply_turn(&endpoint, &turn).await;
            touched.insert(resource.provider.clone(), endpoint);
            let last = applied.len().saturating_sub(1);
            for (index, (planned, applied)) in turn.iter().zip(applied).enumerate() {
                // What a batch is given up for tells why the others were not sent.
                if index == last || !matches!(applied, Applied::NotSent(_)) {
                    self.retries.note(&plan.tenant, &planned.id, &applied, self.now());
                }
                outcomes.push(outcome(planned, applied));
            }
        }
        let report = RunReport { plan, outcomes };
        if report.changed_anything() {
            let scope = std::iter::once(report.plan.tenant.clone()).collect();
            for provider in touched.keys() {
                self.observe_tenants(provider, world, &scope).await;
            }
        }
        report
    }

    /// Plans and applies once. `None` where the world has no such tenant.
    pub async fn pass(&self, world: &World, tenant: &TenantName) -> Option<RunReport> {
        let plan = self.plan(world, tenant)?;
        Some(self.apply(world, plan, &|_| true).await)
    }

    /// When the first of the tenant's failed steps is tried again.
    pub fn next_retry(&self, tenant: &TenantName) -> Option<Duration> {
        let now = self.now();
        let first = self.retries.of(tenant).into_values().map(|retry| retry.until).min()?;
        Some(Duration::try_from(first.duration_since(now)).unwrap_or_default())
    }

    /// What a call to this endpoint brings along. Its permit includes our claim.
    pub(crate) fn ctx(&self, endpoint: &Arc<Endpoint>) -> Ctx {
        Ctx {
            deadline: Instant::now() + STEP,
            cancel: self.cancel.clone(),
            secrets: self.settings.secrets.clone(),
            permit: Arc::new(Claimed { permit: self.settings.permit.clone(), endpoint: endpoint.clone() }),
        }
    }

    /// Carries out one step, or a batch of them. One answer for each that was tried.
    #[tracing::instrument(level = "info", skip_all, fields(tenant = %turn[0].step.resource.tenant, step = %turn[0].id, resource = %turn[0].step.resource.key, operation = %turn[0].step.operation))]
    async fn apply_turn(&self, endpoint: &Arc<Endpoint>, turn: &[&PlannedStep]) -> Vec<Applied> {
        let Ok(_turn) = endpoint.budget.acquire().await else {
            return vec![Applied::NotSent("the process is stopping".to_owned())];
        };
        if let Err(error) = self.ensure_claim(endpoint).await {
            return vec![Applied::Failed(error)];
        }
        let destroys = turn.iter().any(|planned| planned.step.class == Class::Destroy);
        if destroys && let Err(why) = endpoint.take_destruction(self.now()) {
            return vec![Applied::NotSent(why)];
        }
        let limit = STEP + EACH * u32::try_from(turn.len() - 1).unwrap_or(u32::MAX);
        let ctx = Ctx { deadline: Instant::now() + limit, ..self.ctx(endpoint) };
        let steps: Vec<Step> = turn.iter().map(|planned| planned.step.clone()).collect();
        let applied = match tokio::time::timeout(limit, endpoint.provider.apply(&steps, &ctx)).await {
            Ok(applied) if applied.is_empty() => vec![Applied::NotSent("not tried".to_owned())],
            Ok(applied) => applied,
            Err(_) => vec![Applied::Unknown("no answer within the time limit".to_owned())],
        };
        for (planned, applied) in turn.iter().zip(&applied) {
            // Its absence will surprise nobody, also where the system takes its time with it.
            let goes = matches!(planned.step.class, Class::Remove | Class::Destroy);
            if goes && matches!(applied, Applied::Done | Applied::Started { .. }) {
                endpoint.forget(&planned.step.resource);
            }
        }
        // What was refused has destroyed nothing, however often it is tried.
        if destroys && !applied.iter().any(Applied::may_have_changed) {
            endpoint.give_back_destruction();
        }
        tracing::info!(steps = turn.len(), applied = ?applied.last(), "applied");
        applied
    }

    /// What the tenant should have, by provider; what a provider's settings do not give is a finding.
    fn expand(
        &self,
        world: &World,
        tenant: &ValidatedTenant,
        endpoints: &BTreeMap<ProviderName, Arc<Endpoint>>,
    ) -> (BTreeMap<ProviderName, Vec<Resource>>, Vec<Finding>) {
        let mut desired = BTreeMap::new();
        let mut findings = Vec::new();
        let inputs = Inputs { installation: self.settings.installation.clone(), tenant: tenant.clone() };
        // What is removed with the manifest is wanted no more.
        let wanted = |endpoint: &Endpoint| {
            let policy = tenant.deletion_policy.of(endpoint.provider.schema().concern);
            !world.is_leaving(&tenant.name) || policy == Deletion::Retain
        };
        for (name, endpoint) in endpoints.iter().filter(|(_, endpoint)| wanted(endpoint)) {
            match endpoint.provider.expand(&inputs) {
                Ok(resources) => {
                    desired.insert(name.clone(), resources);
                }
                Err(violations) => findings.extend(violations.into_iter().map(|violation| Finding {
                    field: violation.field,
                    reason: FindingReason::NotOffered,
                    with: None,
                    message: violation.message,
                    blocks: true,
                })),
            }
        }
        findings.extend(tenant.uses().filter_map(|(concern, provider, field)| {
            let found = endpoints.get(provider)?.provider.schema().concern;
            (found != concern).then(|| of_another_kind(field, provider, concern))
        }));
        (desired, findings)
    }

    /// Why all destruction is stopped, if it is.
    fn halted(&self, world: &World, endpoints: &BTreeMap<ProviderName, Arc<Endpoint>>) -> Option<String> {
        let now = self.now();
        let released =
            |endpoint: &Endpoint| endpoint.host().destruction_released_until.is_some_and(|until| now < until);
        if world.leaving().len() > 1 && !endpoints.values().any(|endpoint| released(endpoint)) {
            let names: Vec<_> = world.leaving().iter().map(TenantName::as_str).collect();
            return Some(format!("several tenants are being deleted at once ({})", names.join(", ")));
        }
        endpoints.values().find_map(|endpoint| endpoint.halted(now))
    }
}

/// A provider that is there and is for something else.
fn of_another_kind(field: &str, provider: &ProviderName, concern: Concern) -> Finding {
    let what = match concern {
        Concern::Servers => "servers",
        Concern::Firewall => "a firewall",
        Concern::Backup => "backup",
        Concern::Directory => "a trust",
    };
    Finding {
        field: field.to_owned(),
        reason: FindingReason::NotOffered,
        with: None,
        message: format!("{provider} does not provide {what}: name a HostProvider whose plugin does"),
        blocks: true,
    }
}

fn outcome(planned: &PlannedStep, applied: Applied) -> Outcome {
    Outcome {
        id: planned.id.clone(),
        resource: planned.step.resource.clone(),
        operation: planned.step.operation.clone(),
        class: planned.step.class,
        summary: planned.step.summary.clone(),
        applied,
    }
}

impl Retries {
    fn of(&self, tenant: &TenantName) -> BTreeMap<StepId, Retry> {
        let failed = self.failed();
        let of_tenant = failed.get(tenant).into_iter().flatten();
        of_tenant.filter_map(|(id, (_, retry))| Some((id.clone(), retry.clone()?))).collect()
    }

    fn note(&self, tenant: &TenantName, id: &StepId, applied: &Applied, now: jiff::Timestamp) {
        let error = match applied {
            Applied::Done | Applied::Started { .. } => {
                let mut failed = self.failed();
                if let Some(of_tenant) = failed.get_mut(tenant) {
                    of_tenant.remove(id);
                    if of_tenant.is_empty() {
                        failed.remove(tenant);
                    }
                }
                return;
            }
            Applied::NotSent(why) => ProviderError::Conflict(why.clone()),
            Applied::Unknown(why) => ProviderError::Timeout(why.clone()),
            Applied::Failed(error) => error.clone(),
        };
        let is_overtaken = matches!(applied, Applied::NotSent(_));
        let mut failed = self.failed();
        let of_tenant = failed.entry(tenant.clone()).or_default();
        let attempt = of_tenant.get(id).map_or(0, |(attempt, _)| attempt + 1);
        let until = now + error.backoff(attempt);
        let told = !is_overtaken || attempt + 1 >= OVERTAKEN;
        let retry = told.then(|| Retry { until, error: error.to_string() });
        of_tenant.insert(id.clone(), (attempt, retry));
    }

    fn failed(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use vertskommune_core::names::{ResourceId, ResourceKey};

    use super::*;

    #[test]
    fn what_goes_on_to_be_in_the_way_is_told_and_tried_more_seldom() {
        let (retries, tenant, now) =
            (Retries::default(), TenantName::from("ibestad"), jiff::Timestamp::UNIX_EPOCH);
        let service = ResourceId::new(&tenant, &"fortigate".into(), ResourceKey::new("service", "cases"));
        let id = Step::new(&service, "create", Class::Create, now).id();
        let overtaken = Applied::NotSent("something else is called t0001.cases".to_owned());
        let mut pauses = Vec::new();
        for _ in 0..5 {
            retries.note(&tenant, &id, &overtaken, now);
            pauses.push(retries.of(&tenant).get(&id).map(|retry| retry.until.duration_since(now).as_secs()));
        }
        assert_eq!(pauses, [None, None, Some(4), Some(8), Some(16)]);
        assert!(retries.of(&tenant)[&id].error.contains("t0001.cases"));
        retries.note(&tenant, &id, &Applied::Done, now);
        assert!(retries.of(&tenant).is_empty());
    }
}
