//! One endpoint while the engine runs: its provider, what was last seen of it, and its share of the budget.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use vertskommune_core::host::Host;
use vertskommune_core::names::{Kind, TenantName};
use vertskommune_core::observation::{Blindness, Observation, Scope};
use vertskommune_provider::{Provider, ProviderError};

use crate::observe::Looks;

/// One endpoint of the host's infrastructure.
pub(crate) struct Endpoint {
    host: Host,
    pub(crate) provider: Arc<dyn Provider>,
    /// One for each call that applies a step. First come, first served, a step at a time, so that a tenant with a
    /// hundred steps does not hold up one with a single step.
    pub(crate) budget: Semaphore,
    /// One for each transfer. Of its own, since it is held for hours.
    pub(crate) moving: Arc<Semaphore>,
    /// Cancelled when the host describes this endpoint otherwise, or no more.
    pub(crate) gone: CancellationToken,
    /// Held while our claim is renewed, so that many steps at once renew it once.
    pub(crate) claiming: tokio::sync::Mutex<()>,
    /// The looks at single tenants that are asked for.
    pub(crate) looks: Looks,
    state: Mutex<State>,
    /// When all of it is to be looked at again, because a look at a part or at all of it has failed.
    again: watch::Sender<Option<Instant>>,
}

/// The longest pause after a look that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// What is remembered of an endpoint. All of it can be lost: the next sweep and the next claim bring it back.
struct State {
    observation: Arc<Observation>,
    observed_at: Option<Timestamp>,
    /// Until when our claim is surely there. Monotonic.
    claimed_until: Option<Instant>,
    destroyed: VecDeque<Timestamp>,
}

/// How an endpoint is.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointHealth {
    /// Whether it was seen, and why not.
    pub health: Health,
    /// Its version.
    pub version: String,
    /// When it was last seen completely.
    pub observed_at: Option<Timestamp>,
}

/// Whether an endpoint was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    /// It was.
    Seen,
    /// It was not.
    Blind(Blindness),
}

impl Endpoint {
    pub(crate) fn new(host: Host, provider: Arc<dyn Provider>) -> Self {
        let state = State {
            observation: Arc::new(Observation::blind(&host.name, Blindness::NotYetObserved)),
            observed_at: None,
            claimed_until: None,
            destroyed: VecDeque::new(),
        };
        let concurrency = usize::try_from(host.budget.concurrency).unwrap_or(1).max(1);
        Self {
            host,
            provider,
            budget: Semaphore::new(concurrency),
            moving: Arc::new(Semaphore::new(concurrency)),
            gone: CancellationToken::new(),
            claiming: tokio::sync::Mutex::default(),
            looks: Looks::default(),
            state: Mutex::new(state),
            again: watch::Sender::default(),
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.provider.schema().kinds.keys()
    }

    pub(crate) fn observation(&self) -> Arc<Observation> {
        self.state().observation.clone()
    }

    /// Takes in what was seen, or why nothing was.
    pub(crate) fn absorb(&self, seen: Result<Observation, ProviderError>, scope: &Scope, now: Timestamp) {
        let pause = seen.as_ref().err().map(|error| error.backoff(0).min(PAUSE));
        let part = seen.unwrap_or_else(|error| Observation::blind(&self.host.name, error.blindness()));
        let is_whole = scope.tenants.is_none();
        let mut state = self.state();
        if is_whole && part.coverage.of_all(self.kinds()).is_none() {
            state.observed_at = Some(now);
        }
        Arc::make_mut(&mut state.observation).absorb(part, scope);
        // A part that was seen says nothing of another that was not.
        if is_whole || pause.is_some() {
            self.again.send_replace(pause.map(|pause| Instant::now() + pause));
        }
    }

    /// Waits until all of it is to be looked at again, because a look has failed: nobody tells when it would not. Waits
    /// for ever while every look succeeds.
    pub(crate) async fn look_is_due(&self) {
        let mut again = self.again.subscribe();
        loop {
            let at = *again.borrow_and_update();
            let due = async {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => return,
                // The sender lives as long as this endpoint.
                _ = again.changed() => {}
            }
        }
    }

    /// Forgets a thing that was removed on our own order, so that its absence surprises nobody.
    pub(crate) fn forget(&self, id: &vertskommune_core::names::ResourceId) {
        Arc::make_mut(&mut self.state().observation).forget(id);
    }

    /// Takes what vanished of this tenant for gone, on an operator's word.
    pub(crate) fn accept_loss(&self, tenant: &TenantName) {
        let mut state = self.state();
        if state.observation.has_vanished(tenant) {
            tracing::warn!(%tenant, provider = %self.host.name, "what vanished is taken for gone, on an operator's word");
            Arc::make_mut(&mut state.observation).accept_loss(tenant);
        }
    }

    pub(crate) fn health(&self) -> EndpointHealth {
        let state = self.state();
        let health = state.observation.coverage.of_all(self.kinds());
        let health = health.map_or(Health::Seen, |why| Health::Blind(why.clone()));
        EndpointHealth { health, version: state.observation.version.clone(), observed_at: state.observed_at }
    }

    pub(crate) fn claimed_for(&self) -> Duration {
        self.state()
            .claimed_until
            .map(|until| until.saturating_duration_since(Instant::now()))
            .unwrap_or_default()
    }

    pub(crate) fn set_claimed_until(&self, until: Option<Instant>) {
        self.state().claimed_until = until;
    }

    /// Takes one of the destructions that the budget allows; else why not. A plan may hold more of them than are left.
    pub(crate) fn take_destruction(&self, now: Timestamp) -> Result<(), String> {
        let mut state = self.state();
        if let Some(why) = self.halted_by(&mut state, now) {
            return Err(why);
        }
        state.destroyed.push_back(now);
        Ok(())
    }

    /// Gives one back that was not carried out.
    pub(crate) fn give_back_destruction(&self) {
        self.state().destroyed.pop_back();
    }

    /// Why all destruction here is stopped, if it is.
    pub(crate) fn halted(&self, now: Timestamp) -> Option<String> {
        self.halted_by(&mut self.state(), now)
    }

    fn halted_by(&self, state: &mut State, now: Timestamp) -> Option<String> {
        if self.host.destruction_released_until.is_some_and(|until| now < until) {
            return None;
        }
        let hour_ago = now.checked_sub(Duration::from_hours(1)).unwrap_or(Timestamp::MIN);
        while state.destroyed.front().is_some_and(|at| *at < hour_ago) {
            state.destroyed.pop_front();
        }
        let most = usize::try_from(self.host.budget.destructive_steps_per_hour).unwrap_or(usize::MAX);
        (state.destroyed.len() >= most).then(|| {
            format!(
                "{} destroyed {} things within an hour, as many as its budget allows",
                self.host.name,
                state.destroyed.len()
            )
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
