//! One task for each endpoint of the host: it hears of changes there, has them looked at, and names the tenants that
//! have to be planned again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use vertskommune_core::backup::{Backups, JobStatus};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::observation::{Coverage, Foreign, Things};
use vertskommune_engine::{Changed, World};

use crate::reconcile::Context;

/// The tenants that are to be reconciled.
pub(crate) type Triggers = UnboundedSender<TenantName>;

/// An endpoint that is followed. Dropping it ends that.
pub(crate) struct Followed {
    look: Arc<Notify>,
    task: AbortOnDropHandle<()>,
}

impl Followed {
    /// Follows an endpoint. `news` is told when its health has changed.
    pub(crate) fn new(
        provider: &ProviderName,
        ctx: &Arc<Context>,
        triggers: &Triggers,
        news: &Arc<Notify>,
    ) -> Self {
        let look = Arc::new(Notify::new());
        let follow = follow(provider.clone(), ctx.clone(), triggers.clone(), news.clone(), look.clone());
        Self { look, task: AbortOnDropHandle::new(tokio::spawn(follow)) }
    }

    /// Whether it broke off.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Has everything there looked at again.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }
}

async fn follow(
    provider: ProviderName,
    ctx: Arc<Context>,
    triggers: Triggers,
    news: Arc<Notify>,
    look: Arc<Notify>,
) {
    let mut health = None;
    let mut sight = Sight::of(&provider, &ctx);
    loop {
        let begun = Instant::now();
        let changed = tokio::select! {
            changed = ctx.engine.watch(&provider, &*ctx.world) => changed,
            () = look.notified() => {
                ctx.engine.observe_one(&provider, &*ctx.world).await;
                Changed::All
            }
        };
        let before = std::mem::replace(&mut sight, Sight::of(&provider, &ctx));
        let tenants = {
            let world = ctx.world.read().unwrap_or_else(PoisonError::into_inner);
            concerned(&changed, &before, &sight, &world)
        };
        for tenant in tenants {
            // The receiver is gone when the process stops.
            let _ = triggers.unbounded_send(tenant);
        }
        let now = ctx.engine.health().remove(&provider);
        if let Some(now) = now
            && health.as_ref() != Some(&now.health)
        {
            ctx.metrics.endpoint(&provider, health.as_ref(), &now);
            health = Some(now.health);
            news.notify_one();
        }
        if changed == Changed::Nothing && begun.elapsed() < Duration::from_millis(100) {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What a plan takes from a look. The things of a tenant are shared, so this is small.
#[derive(Default)]
struct Sight {
    coverage: Coverage,
    seen: BTreeMap<TenantName, Things>,
    foreign: Vec<Foreign>,
    jobs: BTreeMap<String, JobStatus>,
    backups: BTreeMap<TenantName, Arc<Backups>>,
}

impl Sight {
    fn of(provider: &ProviderName, ctx: &Context) -> Self {
        let Some(observation) = ctx.engine.observations().remove(provider) else { return Self::default() };
        Self {
            coverage: observation.coverage.clone(),
            seen: observation.seen.clone(),
            foreign: observation.foreign.clone(),
            // When it was seen is no news.
            jobs: observation.jobs.left.clone(),
            backups: observation
                .backups
                .iter()
                .map(|(name, known)| (name.clone(), known.backups.clone()))
                .collect(),
        }
    }
}

/// The tenants that have to be planned again: those that were named, or those for which a sweep saw something else
/// than the one before.
fn concerned(changed: &Changed, before: &Sight, now: &Sight, world: &World) -> BTreeSet<TenantName> {
    let known = world.tenants().keys();
    match changed {
        Changed::Nothing => BTreeSet::new(),
        Changed::Tenants(tenants) => known.filter(|name| tenants.contains(*name)).cloned().collect(),
        Changed::All if before.coverage != now.coverage || before.foreign != now.foreign => {
            known.cloned().collect()
        }
        Changed::All => {
            let watches_another = |name: &TenantName| {
                let job = world.tenant(name).and_then(|tenant| tenant.backup.as_ref()?.job());
                job.is_some_and(|job| before.jobs.get(job) != now.jobs.get(job))
            };
            let differs = |name: &&TenantName| {
                before.seen.get(*name) != now.seen.get(*name)
                    || before.backups.get(*name) != now.backups.get(*name)
            };
            known.filter(|name| differs(name) || watches_another(name)).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vertskommune_api::{Catalogue, Tenant, validate_tenant};

    use super::*;

    /// A tenant whose backups that job takes; ours are taken without one.
    fn tenant(name: &str, job: Option<&str>) -> Tenant {
        let backup = match job {
            Some(job) => json!({"provider": "room-2", "mode": "External", "external": {"job": job}}),
            None => json!({
                "provider": "room-2", "window": {"start": "22:00", "duration": "8h"}, "retention": {"daily": 14},
            }),
        };
        serde_json::from_value(json!({
            "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
            "spec": {"displayName": name, "backup": backup},
        }))
        .unwrap()
    }

    #[test]
    fn what_a_job_leaves_concerns_those_whose_manifests_name_it() {
        let mut world = World::default();
        for (name, job) in [("ibestad", Some("nightly")), ("dyroy", Some("other")), ("gratangen", None)] {
            world.insert(validate_tenant(&tenant(name, job), &Catalogue::default()).unwrap(), false);
        }
        let left = |why: &str| Sight {
            jobs: [("nightly".to_owned(), JobStatus::Unreadable(why.to_owned()))].into(),
            ..Sight::default()
        };
        let concerned = |before: &Sight, now: &Sight| {
            let names = concerned(&Changed::All, before, now, &world).into_iter();
            names.map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(concerned(&Sight::default(), &left("it is empty")), ["ibestad"]);
        assert_eq!(concerned(&left("it is empty"), &left("it is too long")), ["ibestad"]);
        assert_eq!(concerned(&left("it is empty"), &left("it is empty")), [""; 0]);
        // A report of the keeper that comes with it concerns its tenant as well.
        let found = Backups { damage: Some("a pack is gone".to_owned()), ..Backups::default() };
        let mut both = left("it is too long");
        both.backups.insert("gratangen".into(), Arc::new(found));
        assert_eq!(concerned(&left("it is empty"), &both), ["gratangen", "ibestad"]);
    }
}
