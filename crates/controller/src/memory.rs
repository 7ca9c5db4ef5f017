//! What this process remembers of each tenant between reconciles. All of it can be lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vertskommune_api::TenantStatus;
use vertskommune_api::status::is_transition;
use vertskommune_core::names::TenantName;

/// What is remembered, by tenant.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    tenants: Mutex<BTreeMap<TenantName, Remembered>>,
}

/// What is remembered of one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    /// The status as we last wrote it, for as long as the watch has not brought it back.
    pub(crate) written: Option<Written>,
    /// When we last wrote it.
    pub(crate) written_at: Option<Instant>,
    /// The version of the object that the watch has brought last.
    pub(crate) brought: Option<u64>,
    /// Something was changed in the real world and no status has said so yet.
    pub(crate) changed: bool,
    /// How many passes in a row have changed something.
    pub(crate) passes: u32,
    /// How many reconciles in a row have failed.
    pub(crate) failures: u32,
    /// Its manifest was refused, and none that was not has come since.
    pub(crate) refused: bool,
    /// The last plan saw an operation of the system under way.
    pub(crate) under_way: bool,
    /// When it was last looked at for a reason of its own.
    pub(crate) looked: Option<Instant>,
}

/// A status that was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) status: TenantStatus,
    /// The version that the object got by it.
    pub(crate) version: Option<u64>,
}

impl Memory {
    pub(crate) fn of(&self, tenant: &TenantName) -> Remembered {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.get(tenant).cloned().unwrap_or_default()
    }

    pub(crate) fn note<T>(&self, tenant: &TenantName, change: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        change(tenants.entry(tenant.clone()).or_default())
    }

    /// Takes in which version of the object the watch has brought: then what we wrote before is in it, and is not kept
    /// twice.
    pub(crate) fn brought(&self, tenant: &TenantName, version: Option<u64>) {
        self.note(tenant, |it| {
            it.brought = version;
            it.written.take_if(|written| written.version <= version);
        });
    }

    /// Takes in a status that was written.
    pub(crate) fn wrote(&self, tenant: &TenantName, written: Written) {
        self.note(tenant, |it| {
            it.changed = false;
            it.written_at = Some(Instant::now());
            // The watch may have been faster than the answer.
            it.written = Some(written).filter(|written| written.version > it.brought);
        });
    }

    pub(crate) fn forget(&self, tenant: &TenantName) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }
}

/// When a status is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// There is nothing new.
    Never,
    /// Now.
    Now,
    /// Not before then.
    In(Duration),
}

/// When the next status is to be written: a transition at once, mere progress once in a while.
pub(crate) fn due(
    previous: Option<&TenantStatus>,
    next: &TenantStatus,
    last_written: Option<Instant>,
    pace: Duration,
) -> Due {
    if previous == Some(next) {
        return Due::Never;
    }
    let rest = last_written.map(|at| pace.saturating_sub(at.elapsed())).unwrap_or_default();
    if rest.is_zero() || is_transition(previous, next) { Due::Now } else { Due::In(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_secs(10);

    fn status(generation: i64, message: &str) -> TenantStatus {
        TenantStatus {
            observed_generation: Some(generation),
            message: Some(message.to_owned()),
            ..TenantStatus::default()
        }
    }

    #[test]
    fn what_the_watch_has_brought_back_is_not_kept() {
        let (memory, tenant) = (Memory::default(), TenantName::from("ibestad"));
        let wrote = |version| {
            let written = Written { status: status(1, "Ready"), version: Some(version) };
            memory.wrote(&tenant, written);
            memory.of(&tenant).written.is_some()
        };
        assert!(wrote(7), "it has to be known until the watch brings it");
        memory.brought(&tenant, Some(6));
        assert!(memory.of(&tenant).written.is_some(), "an earlier version");
        memory.brought(&tenant, Some(7));
        assert!(memory.of(&tenant).written.is_none());
        memory.brought(&tenant, Some(9));
        assert!(!wrote(8), "the watch was faster");
    }

    #[tokio::test(start_paused = true)]
    async fn transitions_are_written_at_once_and_progress_now_and_then() {
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        let (before, on) = (status(1, "Cloning a (10%)"), status(1, "Cloning a (20%)"));
        let rest = Duration::from_secs(7);
        for (previous, next, written, expected, reason) in [
            (Some(&before), &before, Some(begun), Due::Never, "nothing new"),
            (Some(&before), &on, Some(begun), Due::In(rest), "progress soon after a write"),
            (Some(&before), &on, None, Due::Now, "progress, and this process has not written yet"),
            (Some(&before), &status(2, "Cloning a (20%)"), Some(begun), Due::Now, "a transition"),
            (None, &before, None, Due::Now, "the first"),
        ] {
            assert_eq!(due(previous, next, written, PACE), expected, "{reason}");
        }
        tokio::time::advance(rest).await;
        assert_eq!(due(Some(&before), &on, Some(begun), PACE), Due::Now, "the pause is over");
    }
}
