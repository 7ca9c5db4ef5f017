//! Whose turn it is, what runs, and what is not tried again yet. All of it is lost with the process, which only means an
//! earlier try: what was moved is told by the next look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::names::TenantName;
use vertskommune_core::transfer::{Failed, Transfer, Underway, Work};
use vertskommune_provider::{Carried, Moved, ProviderError};

/// The shortest pause before something that failed is tried again, since each try brings a server to rest. It doubles
/// with each.
const PAUSE: Duration = Duration::from_mins(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_mins(16);
/// What was done is not done again within this time, whatever is seen: a clock that is wrong or a look that fails after
/// it must not make us begin anew and anew.
const DONE: Duration = Duration::from_hours(1);
/// For so long a failure is told where nothing came after it.
const TOLD: Duration = Duration::from_hours(7 * 24);

/// What cannot be moved twice at once: a server of a tenant.
type Place = (TenantName, String);

#[derive(Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Default)]
struct State {
    running: BTreeMap<Place, Running>,
    past: BTreeMap<TenantName, BTreeMap<(String, Work), Past>>,
    /// When each tenant had its last turn, counted in turns.
    served: BTreeMap<TenantName, u64>,
    count: u64,
}

struct Running {
    underway: Underway,
    cancel: CancellationToken,
}

/// What became of something the last time.
struct Past {
    /// When it began.
    begun: Timestamp,
    /// Not tried before.
    until: Instant,
    /// How often it failed in a row.
    failures: u32,
    /// How, where it did.
    failed: Option<Failed>,
}

/// A place that is taken until this is dropped.
pub(super) struct Taken {
    turns: Arc<Turns>,
    place: Place,
    _budget: OwnedSemaphorePermit,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.turns.state().running.remove(&self.place);
    }
}

impl Turns {
    /// Takes the place of a transfer; nothing where something runs there.
    pub(super) fn take(
        self: &Arc<Self>,
        transfer: &Transfer,
        since: Timestamp,
        cancel: CancellationToken,
        budget: OwnedSemaphorePermit,
    ) -> Option<Taken> {
        let place = place(transfer);
        let mut state = self.state();
        if state.running.contains_key(&place) {
            return None;
        }
        state.count += 1;
        let count = state.count;
        state.served.insert(transfer.tenant.clone(), count);
        let underway = Underway { transfer: transfer.clone(), since, bytes: 0, of: 0 };
        state.running.insert(place.clone(), Running { underway, cancel });
        Some(Taken { turns: self.clone(), place, _budget: budget })
    }

    /// The one of these that goes first: of the tenant with the fewest that run, of those the one whose last turn is
    /// longest ago, and of its own the one that has been due for the longest. Gives its index.
    pub(super) fn fairest(&self, wanted: &[Transfer], may: impl Fn(&Transfer) -> bool) -> Option<usize> {
        let state = self.state();
        let running = |tenant: &TenantName| state.running.keys().filter(|(name, _)| name == tenant).count();
        let free =
            wanted.iter().enumerate().filter(|(_, it)| !state.running.contains_key(&place(it)) && may(it));
        let first =
            free.min_by_key(|(_, it)| (running(&it.tenant), state.served.get(&it.tenant).copied(), *it));
        first.map(|(index, _)| index)
    }

    /// Whether this may be begun by itself: it does not run, and what became of it the last time is long enough ago, or was
    /// before it became due, as where somebody asks for it anew. Else for how long it has to wait, where that is known.
    pub(super) fn rest(&self, transfer: &Transfer) -> Result<(), Option<Duration>> {
        let state = self.state();
        if state.running.contains_key(&place(transfer)) {
            return Err(None);
        }
        let of_tenant = state.past.get(&transfer.tenant);
        let past = of_tenant.and_then(|past| past.get(&(transfer.server.clone(), transfer.work.clone())));
        let past = past.filter(|past| transfer.due <= past.begun);
        let rest = past.map(|past| past.until.saturating_duration_since(Instant::now())).unwrap_or_default();
        if rest.is_zero() { Ok(()) } else { Err(Some(rest)) }
    }

    /// Takes in what became of it. Gives after which pause it is tried again, where it failed.
    pub(super) fn note(
        &self,
        transfer: &Transfer,
        result: &Result<Carried, ProviderError>,
        begun: Timestamp,
        at: Timestamp,
    ) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.state();
        let of_tenant = state.past.entry(transfer.tenant.clone()).or_default();
        of_tenant.retain(|_, past| past.until + TOLD > now);
        let key = (transfer.server.clone(), transfer.work.clone());
        // What is that long ago says nothing of this night.
        let before =
            of_tenant.get(&key).filter(|past| past.until + DONE > now).map_or(0, |past| past.failures);
        let (pause, failures) = match result {
            Ok(_) => (DONE, 0),
            Err(error) => (pause(error, before), before + 1),
        };
        let failed = result.as_ref().err().map(|error| Failed {
            transfer: transfer.clone(),
            at,
            why: error.to_string(),
            again: at.checked_add(pause).unwrap_or(Timestamp::MAX),
        });
        of_tenant.insert(key, Past { begun, until: now + pause, failures, failed });
        result.is_err().then_some(pause)
    }

    /// What of a tenant failed the last time, in the order in which it did.
    pub(super) fn failed(&self, tenant: &TenantName) -> Vec<Failed> {
        let state = self.state();
        let past = state.past.get(tenant).into_iter().flat_map(BTreeMap::values);
        let mut failed: Vec<Failed> = past.filter_map(|past| past.failed.clone()).collect();
        failed.sort_by(|one, other| (one.at, &one.transfer).cmp(&(other.at, &other.transfer)));
        failed
    }

    pub(super) fn moved(&self, transfer: &Transfer, moved: Moved) {
        if let Some(running) = self.state().running.get_mut(&place(transfer)) {
            (running.underway.bytes, running.underway.of) = (moved.bytes, moved.of);
        }
    }

    /// What runs, in the order in which it began.
    pub(super) fn underway(&self) -> Vec<Underway> {
        let mut all: Vec<_> = self.state().running.values().map(|it| it.underway.clone()).collect();
        all.sort_by(|one, other| (one.since, &one.transfer).cmp(&(other.since, &other.transfer)));
        all
    }

    /// Ends what runs and is not to go on.
    pub(super) fn end(&self, goes_on: impl Fn(&Transfer) -> bool) {
        let running: Vec<_> = self
            .state()
            .running
            .values()
            .map(|it| (it.underway.transfer.clone(), it.cancel.clone()))
            .collect();
        // Asked without the lock: it looks at much.
        for (_, cancel) in running.iter().filter(|(transfer, _)| !goes_on(transfer)) {
            cancel.cancel();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(transfer: &Transfer) -> Place {
    (transfer.tenant.clone(), transfer.server.clone())
}

fn pause(error: &ProviderError, failures: u32) -> Duration {
    let least = PAUSE.saturating_mul(1 << failures.min(8)).min(LONGEST_PAUSE);
    error.backoff(failures).max(least)
}
