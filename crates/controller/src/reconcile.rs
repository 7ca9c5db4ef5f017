//! One pass over one tenant, as a table of contents.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use vertskommune_api::status::requested_at;
use vertskommune_api::{FINALIZER, Outcome, StatusInput, Tenant, TenantStatus, deletion_policy, status};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::observation::Observation;
use vertskommune_core::plan::Plan;
use vertskommune_core::tenant::Deletion;
use vertskommune_core::violation::Violation;
use vertskommune_engine::{Engine, RunReport, World};

use crate::announce::Announcer;
use crate::catalogue::SharedCatalogue;
use crate::memory::{Due, Memory, Remembered, Written, due};
use crate::metrics::Metrics;
use crate::objects::{Objects, WriteError};
use crate::requeue;
use crate::tenants;

/// What every reconcile needs.
pub(crate) struct Context {
    pub(crate) engine: Engine,
    pub(crate) world: Arc<RwLock<World>>,
    pub(crate) catalogue: SharedCatalogue,
    pub(crate) objects: Objects,
    pub(crate) metrics: Metrics,
    pub(crate) announcer: Announcer,
    pub(crate) memory: Memory,
    /// Told when something may have become due, or may not go on.
    pub(crate) moves: Notify,
    /// The shortest pause between two writes of mere progress.
    pub(crate) pace: Duration,
}

/// Why a reconcile failed, by its step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer could not be put on, so nothing was done.
    #[error("the finalizer could not be put on")]
    Protect(#[source] WriteError),
    /// The status could not be written.
    #[error("the status could not be written")]
    Report(#[source] WriteError),
    /// The finalizer could not be taken off.
    #[error("the finalizer could not be taken off")]
    Release(#[source] WriteError),
    /// The pass did not come to its end.
    #[error("the pass broke off")]
    Broken(#[source] tokio::task::JoinError),
}

impl Error {
    /// Whether the object has changed or gone under our hands, which is no failure.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Protect(WriteError::Gone)
                | Self::Report(WriteError::Gone)
                | Self::Release(WriteError::Gone)
        )
    }
}

/// One pass over one tenant. It remembers nothing that the next could not do without.
#[tracing::instrument(name = "reconcile", skip_all, fields(tenant = %tenant.name_any()))]
pub(crate) async fn reconcile(tenant: Arc<Tenant>, ctx: Arc<Context>) -> Result<Action, Error> {
    // What the watch has brought and what is remembered. (no client)
    let subject = dereference(&tenant, &ctx);
    if subject.is_let_go() {
        return Ok(Action::await_change());
    }
    if subject.is_outdated() {
        return Ok(Action::requeue(Duration::ZERO));
    }

    // What the manifest says, or all that is wrong with it. (no client)
    let valid = match ctx.catalogue.validate(&tenant) {
        Ok(valid) => valid,
        Err(violations) => return refuse(&subject, &violations, &ctx).await,
    };
    if subject.leaving && valid.deletion_policy.retains_all() {
        return release(&subject, &ctx).await;
    }

    // Our finalizer comes before anything of the tenant's is made. (client)
    protect(&subject, &ctx).await?;

    // A fresh look, where one was asked for or nothing else would bring it.
    look(&subject, &ctx).await;

    // What may have become due. (nothing waits for it)
    ctx.memory.note(&subject.name, |it| it.refused = false);
    ctx.moves.notify_one();

    // Every choice. (no client)
    let Some(plan) = plan(&subject, &ctx) else { return Ok(Action::await_change()) };
    if subject.leaving && is_nothing_left(&subject, &plan, &ctx) {
        return release(&subject, &ctx).await;
    }

    // At most one write of the status. (client)
    let due = report(&subject, Outcome::Planned(&plan), &ctx).await?;

    // The only step that changes the real world.
    let run = apply(plan, &ctx).await;

    // Events and metrics. (nothing waits for them)
    announce(&subject, &run, &ctx);

    // When to come back by ourselves.
    Ok(next(&subject, &run, due, &ctx))
}

/// One tenant while it is reconciled.
struct Subject<'a> {
    tenant: &'a Tenant,
    name: TenantName,
    about: ObjectReference,
    remembered: Remembered,
    /// The status that stands in the cluster.
    status: Option<TenantStatus>,
    leaving: bool,
    held: bool,
    /// Somebody asked for a look that was not answered yet.
    asked: bool,
}

impl Subject<'_> {
    /// Whether the tenant is being deleted and is ours no more.
    fn is_let_go(&self) -> bool {
        self.leaving && !self.held
    }

    /// Whether the watch has brought a later form since this one was taken from the queue.
    fn is_outdated(&self) -> bool {
        self.remembered.brought > tenants::version(self.tenant)
    }
}

fn dereference<'a>(tenant: &'a Tenant, ctx: &Context) -> Subject<'a> {
    let name = tenants::name(tenant);
    let remembered = ctx.memory.of(&name);
    // What we wrote counts until the watch has brought back that version or a later one.
    let version = tenants::version(tenant);
    let ours = remembered.written.as_ref().filter(|written| written.version > version);
    let status = ours.map_or_else(|| tenant.status.clone(), |written| Some(written.status.clone()));
    let asked = requested_at(tenant)
        != status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref());
    Subject {
        tenant,
        about: tenant.object_ref(&()),
        remembered,
        status,
        leaving: tenant.metadata.deletion_timestamp.is_some(),
        held: tenants::is_held(tenant),
        asked: asked && requested_at(tenant).is_some(),
        name,
    }
}

/// A refused manifest is reported with every violation, and nothing is carried out for it. The others go on.
async fn refuse(subject: &Subject<'_>, violations: &[Violation], ctx: &Context) -> Result<Action, Error> {
    // What a broken manifest leaves behind stays as it is, unless it asks for removal: then a person mends it first.
    if subject.leaving && deletion_policy(&subject.tenant.spec).retains_all() {
        return release(subject, ctx).await;
    }
    // What it asks for is not known, so nothing is begun for it either.
    ctx.memory.note(&subject.name, |it| it.refused = true);
    let due = report(subject, Outcome::Refused(violations), ctx).await?;
    if due == Due::Now {
        let text: Vec<String> = violations.iter().map(ToString::to_string).collect();
        ctx.announcer.refused(&subject.about, &text.join("; "));
    }
    Ok(requeue::action(match due {
        Due::In(rest) => Some(rest),
        Due::Never | Due::Now => None,
    }))
}

async fn protect(subject: &Subject<'_>, ctx: &Context) -> Result<(), Error> {
    if !subject.held && !subject.leaving {
        ctx.objects.hold(subject.tenant, FINALIZER).await.map_err(Error::Protect)?;
    }
    Ok(())
}

async fn look(subject: &Subject<'_>, ctx: &Context) {
    // The system tells of its operations; where it does not, we ask.
    let stale = subject.remembered.looked.is_none_or(|at| at.elapsed() >= requeue::PROGRESS);
    let due = subject.asked || subject.leaving || (subject.remembered.under_way && stale);
    if !due {
        return;
    }
    let tenants = BTreeSet::from([subject.name.clone()]);
    // An endpoint that has nothing of the tenant's may be dead and holds up none but its own.
    let observations = ctx.engine.observations();
    let named = subject.tenant.spec.compute.as_ref().map(|compute| compute.provider.as_str());
    let concerned = observations.iter().filter(|(provider, observation)| {
        subject.leaving || named == Some(provider.as_str()) || observation.seen.contains_key(&subject.name)
    });
    let looks = concerned.map(|(provider, _)| ctx.engine.observe_tenants(provider, &*ctx.world, &tenants));
    join_all(looks).await;
    ctx.memory.note(&subject.name, |it| it.looked = Some(Instant::now()));
}

fn plan(subject: &Subject<'_>, ctx: &Context) -> Option<Plan> {
    let world = ctx.world.read().unwrap_or_else(PoisonError::into_inner);
    ctx.engine.plan(&world, &subject.name)
}

/// Whether a leaving tenant has nothing left anywhere, by full sight of every endpoint.
fn is_nothing_left(subject: &Subject<'_>, plan: &Plan, ctx: &Context) -> bool {
    let world = ctx.world.read().unwrap_or_else(PoisonError::into_inner);
    let mut named = subject.tenant.spec.providers();
    let observations = ctx.engine.observations();
    let policy = world.tenant(&subject.name).map(|tenant| tenant.deletion_policy).unwrap_or_default();
    // What is retained may stay.
    let goes = |provider: &ProviderName| {
        ctx.engine.concern(provider).is_some_and(|concern| policy.of(concern) == Deletion::Remove)
    };
    world.is_leaving(&subject.name)
        && plan.is_empty()
        // An endpoint that the manifest names and that is not there (any more) cannot be seen.
        && named.all(|provider| observations.contains_key(provider))
        && world.hosts().keys().all(|provider| observations.contains_key(provider))
        && observations.iter().filter(|(provider, _)| goes(provider)).all(|(_, seen)| is_absent(&subject.name, seen))
}

fn is_absent(tenant: &TenantName, observation: &Observation) -> bool {
    let coverage = &observation.coverage;
    coverage.blind.is_none()
        && coverage.kinds.is_empty()
        && !coverage.tenants.contains_key(tenant)
        && observation.seen.get(tenant).is_none_or(|things| things.is_empty())
}

async fn release(subject: &Subject<'_>, ctx: &Context) -> Result<Action, Error> {
    if subject.held {
        ctx.objects.let_go(subject.tenant, FINALIZER).await.map_err(Error::Release)?;
        tracing::info!("the tenant is let go");
    }
    Ok(Action::await_change())
}

/// Writes the status where that is due, and says when it was.
async fn report(subject: &Subject<'_>, outcome: Outcome<'_>, ctx: &Context) -> Result<Due, Error> {
    let input = StatusInput {
        generation: subject.tenant.metadata.generation,
        requested_at: requested_at(subject.tenant),
        outcome,
        changed: subject.remembered.changed,
        underway: &ctx.engine.underway().remove(&subject.name).unwrap_or_default(),
        failed: &ctx.engine.failed(&subject.name),
    };
    let next = status(subject.status.as_ref(), &input, Timestamp::now());
    let plan = match outcome {
        Outcome::Planned(plan) => Some(plan),
        Outcome::Refused(_) => None,
    };
    ctx.metrics.planned(&subject.name, plan);
    ctx.metrics.reported(&subject.name, Some(&next));
    let due = due(subject.status.as_ref(), &next, subject.remembered.written_at, ctx.pace);
    if due != Due::Now {
        return Ok(due);
    }
    let object = ctx.objects.status(subject.tenant, &next).await.map_err(Error::Report)?;
    ctx.memory.wrote(&subject.name, Written { status: next, version: tenants::version(&object) });
    Ok(due)
}

async fn apply(plan: Plan, ctx: &Context) -> RunReport {
    ctx.engine.apply(&*ctx.world, plan, &|_| true).await
}

fn announce(subject: &Subject<'_>, run: &RunReport, ctx: &Context) {
    for outcome in &run.outcomes {
        ctx.metrics.applied(outcome);
        ctx.announcer.outcome(&subject.about, outcome);
    }
}

fn next(subject: &Subject<'_>, run: &RunReport, due: Due, ctx: &Context) -> Action {
    let passes = ctx.memory.note(&subject.name, |it| {
        it.changed |= run.changed_anything();
        it.passes = if run.outcomes.is_empty() { 0 } else { it.passes.saturating_add(1) };
        it.failures = 0;
        let under_way = requeue::is_under_way(&run.plan);
        if !run.outcomes.is_empty() || it.under_way != under_way {
            it.looked = Some(Instant::now());
        }
        it.under_way = under_way;
        it.passes
    });
    requeue::after(run, due, passes, ctx.engine.next_retry(&subject.name), Timestamp::now())
}

/// What is done about a reconcile that failed: it is tried again, ever later.
pub(crate) fn on_error(tenant: &Tenant, error: &Error, ctx: &Context) -> Action {
    if error.is_gone() {
        // If it is really gone, there will be nothing to reconcile.
        return Action::requeue(Duration::from_secs(1));
    }
    let failures = ctx.memory.note(&tenants::name(tenant), |it| {
        it.failures = it.failures.saturating_add(1);
        it.failures
    });
    Action::requeue(Duration::from_secs(1 << failures.min(6)))
}
