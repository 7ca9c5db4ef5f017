//! What moves bytes: begun when it is due, beside the passes, and ended in good order when we are told to stop.

use std::sync::{Arc, PoisonError, RwLockReadGuard};
use std::time::Duration;

use jiff::Timestamp;
use kube::Resource as _;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use vertskommune_api::Tenant;
use vertskommune_core::names::TenantName;
use vertskommune_engine::{Transferred, World};

use crate::endpoints::Triggers;
use crate::reconcile::Context;

/// Many things that happen at once are one reason to ask what is due.
const SETTLE: Duration = Duration::from_millis(250);
/// The longest between two questions: by then a clock that was set is noticed.
const FAR: Duration = Duration::from_mins(5);

/// Begins what is due until `stop`; then ends what runs, and waits for that.
pub(crate) async fn run(
    ctx: &Arc<Context>,
    tenants: Store<Tenant>,
    triggers: Triggers,
    stop: CancellationToken,
) {
    let mut moving = Moving { ctx, tenants, triggers, running: JoinSet::new(), tidying: None };
    let mut progress = interval(ctx.pace);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ask_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = moving.running.join_next() => {
                let whole = moving.ended(ended);
                // One that broke off is a fault of ours, and is not to break off in a circle.
                ask_at = Instant::now() + if whole { Duration::ZERO } else { FAR };
            }
            () = sleep_until(ask_at) => ask_at = moving.ask(),
            _ = progress.tick() => moving.tell(),
            () = ctx.moves.notified() => {
                if stop.run_until_cancelled(sleep(SETTLE)).await.is_none() {
                    break;
                }
                ask_at = Instant::now();
            }
        }
    }
    ctx.engine.end_transfers();
    while let Some(ended) = moving.running.join_next().await {
        moving.ended(ended);
    }
}

struct Moving<'a> {
    ctx: &'a Arc<Context>,
    tenants: Store<Tenant>,
    triggers: Triggers,
    /// Dropped, all of them are broken off.
    running: JoinSet<Transferred>,
    /// Removes what is left on servers.
    tidying: Option<AbortOnDropHandle<()>>,
}

impl Moving<'_> {
    /// Begins what is due and has its turn, and ends what may not go on. Gives when to ask again by the clock.
    fn ask(&mut self) -> Instant {
        let ctx = self.ctx;
        ctx.engine.end_held(&self.world());
        self.tidy();
        let with_backup = |world: &World| -> Vec<TenantName> {
            let all = world.tenants().iter().filter(|(_, tenant)| tenant.backup.is_some());
            all.map(|(name, _)| name.clone()).collect()
        };
        let names = with_backup(&self.world());
        let (mut wanted, mut next) = (Vec::new(), None);
        for name in names.iter().filter(|name| !ctx.memory.of(name).refused) {
            // The lock is taken for each alone: watches wait for it.
            match ctx.engine.due(&self.world(), name) {
                Ok(due) => {
                    wanted.extend(due.now);
                    next = next.into_iter().chain(due.next).min();
                }
                Err(held) => tracing::debug!(tenant = %name, %held, "nothing is begun"),
            }
        }
        let turns = ctx.engine.turns(&self.world(), &mut wanted);
        for turn in turns {
            // Its status tells of it at once.
            self.trigger(&turn.transfer().tenant);
            let ctx = ctx.clone();
            self.running.spawn(async move { ctx.engine.transfer(&*ctx.world, turn).await });
        }
        Instant::now() + until(next, Timestamp::now())
    }

    /// Removes what backups have left on servers, one tenant after the other and beside all else.
    fn tidy(&mut self) {
        if self.tidying.as_ref().is_some_and(|tidying| !tidying.is_finished()) {
            return;
        }
        let leftovers = self.ctx.engine.leftovers(&self.world());
        if leftovers.is_empty() {
            return;
        }
        let ctx = self.ctx.clone();
        self.tidying = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            for leftover in leftovers {
                if let Err(error) = ctx.engine.tidy(&leftover).await {
                    tracing::warn!(tenant = %leftover.tenant(), %error, "what a backup left on servers is still there");
                }
            }
        })));
    }

    /// Takes in one that has ended. Says whether it came to its end.
    fn ended(&self, ended: Result<Transferred, JoinError>) -> bool {
        let transferred = match ended {
            Ok(transferred) => transferred,
            Err(error) => {
                tracing::error!(%error, "a transfer broke off");
                return false;
            }
        };
        self.ctx.metrics.transferred(&transferred);
        let name = &transferred.transfer.tenant;
        if let Some(tenant) = self.tenants.get(&ObjectRef::new(name.as_str())) {
            self.ctx.announcer.transferred(&tenant.object_ref(&()), &transferred);
        }
        self.trigger(name);
        true
    }

    /// Has the status of those tell how far they are for which something runs.
    fn tell(&self) {
        self.ctx.engine.underway().keys().for_each(|tenant| self.trigger(tenant));
    }

    fn trigger(&self, tenant: &TenantName) {
        self.triggers.ask(tenant.clone());
    }

    fn world(&self) -> RwLockReadGuard<'_, World> {
        self.ctx.world.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn until(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let rest = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    // A little later than the moment itself: what is due is told by the same clock.
    rest.map_or(FAR, |rest| rest.saturating_add(Duration::from_millis(50))).min(FAR)
}
