//! Pass after pass, until all that is left of the plans needs a person, a window or a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use vertskommune_core::names::{ResourceId, TenantName};
use vertskommune_core::observation::{Blindness, Busy};
use vertskommune_core::plan::{Plan, PlannedStep};
use vertskommune_core::render;
use vertskommune_core::step::{StepId, Wait};
use vertskommune_engine::{Outcome, RunReport};
use vertskommune_provider::{Applied, ProviderError};

use crate::embedded::Embedded;
use crate::{output, progress};

/// How often a step is tried that does not get done.
const TRIES: u32 = 5;
/// How often it is looked again at what could not be seen.
const LOOKS: u32 = 5;
/// The pause between two looks at what is under way.
const PAUSE: Duration = Duration::from_secs(1);

/// A run over some tenants.
pub(crate) struct Convergence<'a> {
    embedded: &'a Embedded,
    tenants: BTreeSet<TenantName>,
    /// The steps of the saved plan, where there is one.
    agreed: Option<BTreeSet<StepId>>,
    interrupted: CancellationToken,
    attempts: BTreeMap<StepId, u32>,
    given_up: BTreeMap<StepId, String>,
    /// What was last said of each operation that is under way, where every word stays.
    said: BTreeMap<ResourceId, (String, u8)>,
    done: usize,
    blind_looks: u32,
}

/// How a run ended.
pub(crate) struct Ended {
    /// What is left.
    pub(crate) plans: Vec<Plan>,
    /// Steps that are not tried again, and why.
    pub(crate) given_up: BTreeMap<StepId, String>,
    /// Whether a person interrupted it.
    pub(crate) interrupted: bool,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// There are steps that can run.
    Pass,
    /// Something is under way and must be looked at again.
    Look,
    /// Something failed and is tried again later.
    Wait,
    /// All that is left needs a person, a window or a time.
    End,
}

impl<'a> Convergence<'a> {
    /// A run that carries out the steps that were agreed to, or all.
    pub(crate) fn new(
        embedded: &'a Embedded,
        tenants: BTreeSet<TenantName>,
        agreed: Option<BTreeSet<StepId>>,
        interrupted: CancellationToken,
    ) -> Self {
        Self {
            embedded,
            tenants,
            agreed,
            interrupted,
            attempts: BTreeMap::new(),
            given_up: BTreeMap::new(),
            said: BTreeMap::new(),
            done: 0,
            blind_looks: 0,
        }
    }

    /// Runs it.
    pub(crate) async fn run(mut self) -> Ended {
        while !self.interrupted.is_cancelled() {
            let reports = join_all(self.tenants.iter().map(|tenant| self.pass(tenant))).await;
            let advanced = reports.iter().flatten().any(RunReport::changed_anything);
            reports.iter().flatten().for_each(|report| self.note(report));
            self.embedded.engine.renew_claims().await;
            let plans = self.embedded.plans(&self.tenants);
            self.say_progress(&plans);
            match self.next(&plans) {
                Next::End => break,
                Next::Pass if advanced => {}
                Next::Pass | Next::Look => {
                    self.pause(PAUSE).await;
                    self.look().await;
                }
                Next::Wait => {
                    let retries =
                        self.tenants.iter().filter_map(|tenant| self.embedded.engine.next_retry(tenant));
                    self.pause(retries.min().unwrap_or(PAUSE).max(PAUSE)).await;
                }
            }
        }
        progress::clear();
        let left = if self.agreed.is_some() { self.not_agreed() } else { BTreeMap::new() };
        self.given_up.extend(left);
        Ended {
            plans: self.embedded.plans(&self.tenants),
            given_up: self.given_up,
            interrupted: self.interrupted.is_cancelled(),
        }
    }

    /// Plans a tenant and carries out what can be.
    async fn pass(&self, tenant: &TenantName) -> Option<RunReport> {
        let plan = self.embedded.plan(tenant)?;
        let summaries: BTreeMap<StepId, String> =
            plan.ready().map(|planned| (planned.id.clone(), planned.step.summary.clone())).collect();
        // Asked right before each step, so an interruption stops the plan between two of them.
        let allowed = |id: &StepId| {
            let goes = !self.interrupted.is_cancelled() && self.may_run(id);
            if let Some(summary) = summaries.get(id).filter(|_| goes) {
                progress::show(format!("{} done · {tenant}: {summary} …", self.done));
            }
            goes
        };
        Some(self.embedded.engine.apply(&self.embedded.world, plan, &allowed).await)
    }

    fn may_run(&self, id: &StepId) -> bool {
        !self.given_up.contains_key(id) && self.agreed.as_ref().is_none_or(|agreed| agreed.contains(id))
    }

    /// Tells what was done, and gives up what does not get done.
    fn note(&mut self, report: &RunReport) {
        for outcome in &report.outcomes {
            let what = line(outcome);
            output::note(&what);
            if matches!(outcome.applied, Applied::Done | Applied::Started { .. }) {
                self.done += 1;
            }
            let attempts = self.attempts.entry(outcome.id.clone()).or_default();
            *attempts += 1;
            // A step that is done and wanted again and again is not getting done either.
            if *attempts >= TRIES && outcome.applied != Applied::Done || !is_passing(&outcome.applied) {
                self.given_up.insert(outcome.id.clone(), format!("given up: {what}"));
            } else if *attempts > TRIES {
                let why = format!("given up: {what}: it was done {attempts} times and is still to be done");
                self.given_up.insert(outcome.id.clone(), why);
            }
        }
    }

    fn next(&mut self, plans: &[Plan]) -> Next {
        let steps = || plans.iter().flat_map(|plan| &plan.steps).filter(|planned| self.may_run(&planned.id));
        let under_way = |planned: &PlannedStep| {
            matches!(
                planned.wait,
                Some(
                    Wait::InProgress { .. }
                        | Wait::Busy(Busy::Backup | Busy::Task { .. })
                        | Wait::Budget { .. }
                )
            )
        };
        let failed = |planned: &PlannedStep| matches!(planned.wait, Some(Wait::Backoff { .. }));
        let blind = plans.iter().flat_map(|plan| &plan.doubts).any(|doubt| may_clear_up(&doubt.why));
        if steps().any(PlannedStep::is_ready) {
            self.blind_looks = 0;
            Next::Pass
        } else if steps().any(under_way) || plans.iter().any(|plan| !plan.progress.is_empty()) {
            Next::Look
        } else if blind && self.blind_looks < LOOKS {
            self.blind_looks += 1;
            Next::Look
        } else if steps().any(failed) {
            Next::Wait
        } else {
            Next::End
        }
    }

    /// Looks again at the tenants, in all endpoints.
    async fn look(&self) {
        let Embedded { engine, world, .. } = self.embedded;
        join_all(world.hosts().keys().map(|provider| engine.observe_tenants(provider, world, &self.tenants)))
            .await;
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.interrupted.cancelled() => {}
        }
    }

    /// Tells what is under way: in place on a terminal, at every tenth elsewhere.
    fn say_progress(&mut self, plans: &[Plan]) {
        let left: usize =
            plans.iter().flat_map(|plan| &plan.steps).filter(|planned| !planned.is_deferred()).count();
        if let Some(plan) = plans.iter().find(|plan| !plan.is_converged()) {
            let status = render::status_line(plan);
            progress::show(format!("{} done, {left} to do · {}: {status}", self.done, plan.tenant));
        }
        if progress::is_live() {
            return;
        }
        for each in plans.iter().flat_map(|plan| &plan.progress) {
            let now = (each.operation.clone(), each.percent.unwrap_or_default() / 10);
            if self.said.get(&each.id) != Some(&now) {
                let percent = each.percent.map(|percent| format!(" ({percent}%)")).unwrap_or_default();
                output::note(format_args!("{}: {} {}{percent}", each.id.tenant, each.operation, each.id.key));
                self.said.insert(each.id.clone(), now);
            }
        }
    }

    /// Steps that could run now and that nobody has agreed to: they came up while the saved plan was carried out.
    fn not_agreed(&self) -> BTreeMap<StepId, String> {
        let plans = self.embedded.plans(&self.tenants);
        let ready = plans.iter().flat_map(Plan::ready).filter(|planned| !self.may_run(&planned.id));
        ready
            .filter(|planned| !self.given_up.contains_key(&planned.id))
            .map(|planned| {
                let step = &planned.step;
                let why =
                    format!("{}: not in the saved plan, plan again: {}", step.resource.tenant, step.summary);
                (planned.id.clone(), why)
            })
            .collect()
    }
}

/// What became of a step, in one line.
fn line(outcome: &Outcome) -> String {
    let Outcome { resource, summary, applied, .. } = outcome;
    let became = match applied {
        Applied::Done => "done".to_owned(),
        Applied::Started { .. } => "started".to_owned(),
        Applied::NotSent(why) => format!("not sent: {why}"),
        Applied::Unknown(why) => format!("unknown, looking again: {why}"),
        Applied::Failed(error) => format!("failed: {error}"),
    };
    format!("{}: {} on {}: {summary}: {became}", resource.tenant, resource.key, resource.provider)
}

/// Whether trying again soon can help. Of credentials above all: accounts lock.
fn is_passing(applied: &Applied) -> bool {
    let Applied::Failed(error) = applied else { return true };
    match error {
        ProviderError::Unreachable { .. }
        | ProviderError::Timeout(_)
        | ProviderError::Throttled { .. }
        | ProviderError::Conflict(_)
        | ProviderError::NoSight(_)
        | ProviderError::Protocol(_) => true,
        ProviderError::Misidentified { .. }
        | ProviderError::CredentialsRefused
        | ProviderError::Capacity(_)
        | ProviderError::Permission(_)
        | ProviderError::Refused(_)
        | ProviderError::NotServed { .. }
        | ProviderError::Claimed { .. }
        | ProviderError::NotPermitted(_) => false,
    }
}

fn may_clear_up(why: &Blindness) -> bool {
    matches!(why, Blindness::Unreachable(_) | Blindness::Incomplete(_))
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
