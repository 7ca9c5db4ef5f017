//! One task for each endpoint of the host: it hears of changes there, has them looked at, and names the tenants that
//! have to be planned again.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_engine::{Changed, Sight, World};

use crate::metrics::Metrics;
use crate::reconcile::Context;

/// Takes the tenants that are to be reconciled.
#[derive(Clone)]
pub(crate) struct Triggers {
    pub(crate) queue: UnboundedSender<TenantName>,
    pub(crate) metrics: Metrics,
}

impl Triggers {
    /// Has a tenant reconciled.
    pub(crate) fn ask(&self, tenant: TenantName) {
        self.metrics.queued(&tenant);
        // The receiver is gone when the process stops.
        let _ = self.queue.unbounded_send(tenant);
    }
}

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
    let mut sight = ctx.engine.sight(&provider);
    loop {
        let begun = Instant::now();
        let changed = tokio::select! {
            changed = ctx.engine.watch(&provider, &*ctx.world) => changed,
            () = look.notified() => {
                ctx.engine.observe_one(&provider, &*ctx.world).await;
                Changed::All
            }
        };
        let before = std::mem::replace(&mut sight, ctx.engine.sight(&provider));
        let tenants = {
            let world = ctx.world.read().unwrap_or_else(PoisonError::into_inner);
            concerned(&changed, &before, &sight, &world)
        };
        for tenant in tenants {
            triggers.ask(tenant);
        }
        let now = ctx.engine.health().remove(&provider);
        if let Some(now) = now {
            ctx.metrics.endpoint(&provider, health.as_ref(), &now);
            if health.as_ref() != Some(&now.health) {
                health = Some(now.health);
                news.notify_one();
            }
        }
        if changed == Changed::Nothing && begun.elapsed() < Duration::from_millis(100) {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The tenants that have to be planned again: those that were named, or those for which a sweep saw something else
/// than the one before.
fn concerned(changed: &Changed, before: &Sight, now: &Sight, world: &World) -> BTreeSet<TenantName> {
    match changed {
        Changed::Nothing => BTreeSet::new(),
        Changed::Tenants(tenants) => {
            world.tenants().keys().filter(|name| tenants.contains(*name)).cloned().collect()
        }
        Changed::All => before.news_for(now, world),
    }
}
