//! How hard vCenter is used: calls at once, calls a second, and a count of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::Error;

/// Slots for calls at once, and a bucket that fills with a fixed number of calls a second.
pub(crate) struct Budget {
    slots: Semaphore,
    /// When the next call is due if all calls had come evenly; in the past while there is slack.
    due: Mutex<Instant>,
    interval: Duration,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl Budget {
    pub(crate) fn new(max_in_flight: usize, per_second: u32) -> Self {
        Budget {
            slots: Semaphore::new(max_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            due: Mutex::new(Instant::now()),
            interval: Duration::from_secs(1) / per_second.max(1),
            calls: Mutex::default(),
        }
    }

    /// Waits for a slot and for the rate. The slot is free again when the permit is dropped.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Error> {
        let began = Instant::now();
        let too_late = || Error::NotSent { waited: began.elapsed() };
        // The semaphore is never closed, so that the inner error does not occur.
        let Ok(Ok(slot)) = timeout_at(deadline, self.slots.acquire()).await else { return Err(too_late()) };
        sleep_until(self.reserve(deadline).ok_or_else(too_late)?).await;
        Ok(slot)
    }

    /// Takes the next place in time, unless it is after the deadline. Up to a second's share of
    /// calls may go out at once.
    fn reserve(&self, deadline: Instant) -> Option<Instant> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let full = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let next = (*due).max(full) + self.interval;
        if next > deadline {
            return None;
        }
        *due = next;
        Some(next.max(now))
    }

    /// Counts a call that goes out.
    pub(crate) fn count(&self, method: &'static str) {
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(method).or_default() += 1;
    }

    /// Calls that went out so far, by method.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_evenly() {
        let budget = Budget::new(1, 10);
        let start = Instant::now();
        *budget.due.lock().unwrap() = start - Duration::from_mins(1);
        let dues: Vec<Instant> =
            (0..15).map(|_| budget.reserve(start + Duration::from_mins(1)).unwrap()).collect();
        assert!(dues[8] < start + Duration::from_millis(50), "a second's share at once");
        assert!(dues[14] > start + Duration::from_millis(350), "then one each 100 ms");
        assert_eq!(budget.reserve(start), None, "too late, and no place is taken");
    }

    #[tokio::test]
    async fn no_slot_means_not_sent() {
        let budget = Budget::new(1, 1000);
        let later = Instant::now() + Duration::from_mins(1);
        let held = budget.enter(later).await.unwrap();
        let refused = budget.enter(Instant::now() + Duration::from_millis(10)).await;
        assert!(matches!(refused, Err(Error::NotSent { .. })));
        drop(held);
        assert!(budget.enter(later).await.is_ok());
    }
}
