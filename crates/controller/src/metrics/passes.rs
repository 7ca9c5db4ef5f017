//! Passes that are asked for and passes that are under way, so that a queue that grows or a pass that hangs can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use vertskommune_core::names::TenantName;

/// What is asked for and what is under way. A copy counts the same.
#[derive(Clone, Default)]
pub(super) struct Passes(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    queued: BTreeSet<TenantName>,
    begun: BTreeMap<u64, Instant>,
    next: u64,
}

/// A pass that goes on until this is dropped.
pub(crate) struct Underway {
    passes: Passes,
    number: u64,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.passes.state().begun.remove(&self.number);
    }
}

impl Passes {
    /// A pass over a tenant is asked for. One that is asked for already is not asked for twice.
    pub(super) fn ask(&self, tenant: &TenantName) {
        self.state().queued.insert(tenant.clone());
    }

    /// There is no such tenant any more.
    pub(super) fn forget(&self, tenant: &TenantName) {
        self.state().queued.remove(tenant);
    }

    /// A pass over a tenant begins.
    pub(super) fn begin(&self, tenant: &TenantName) -> Underway {
        let mut state = self.state();
        state.queued.remove(tenant);
        let number = state.next;
        state.next += 1;
        state.begun.insert(number, Instant::now());
        Underway { passes: self.clone(), number }
    }

    /// How many are asked for, how many are under way, and for how many seconds the oldest of these.
    pub(super) fn figures(&self) -> (usize, usize, f64) {
        let state = self.state();
        let oldest = state.begun.values().map(|begun| begun.elapsed().as_secs_f64()).fold(0.0, f64::max);
        (state.queued.len(), state.begun.len(), oldest)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
