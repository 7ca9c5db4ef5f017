//! Keeps a lease alive.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{LeaseError, LeaseHandle, Moved};

/// A lease that says nothing sensible is taken for one of vCenter's usual length.
const USUAL: Duration = Duration::from_mins(5);

/// How long a lease lives without a report. Some ESXi versions tell another unit than seconds, so
/// a long time is not believed: to report too often does no harm.
pub(super) fn patience(seconds: Option<i64>) -> Duration {
    match seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
        Some(seconds @ 1..) => Duration::from_secs(seconds).min(USUAL),
        _ => USUAL,
    }
}

/// Reports progress four times within the lease's patience, until the task is aborted or the lease
/// is lost. A report that fails for a passing reason is repeated sooner.
pub(super) async fn keep(
    lease: LeaseHandle,
    patience: Duration,
    moved: Arc<Moved>,
    lost: watch::Sender<Option<LeaseError>>,
) {
    let every = patience / 4;
    let (mut alive, mut pause) = (Instant::now(), every);
    loop {
        sleep(pause).await;
        // The report takes the client's budget like any call; one that hangs must not hold up the next.
        let report = timeout(every, lease.call("HttpNfcLeaseProgress", Some(moved.percent())));
        match report.await {
            Ok(Ok(_)) => (alive, pause) = (Instant::now(), every),
            Ok(Err(LeaseError::Call(error))) if error.is_transient() => {
                tracing::debug!(lease = %lease.mor, %error, "progress was not reported");
                pause = every / 4;
            }
            Ok(Err(error)) => {
                lost.send_replace(Some(error));
                return;
            }
            Err(_) => pause = every / 4,
        }
        if alive.elapsed() >= patience {
            lost.send_replace(Some(LeaseError::LeaseExpired));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lives_for_minutes_whatever_it_says() {
        for (said, seconds) in
            [(None, 300), (Some(0), 300), (Some(-1), 300), (Some(60), 60), (Some(300_000_000), 300)]
        {
            assert_eq!(patience(said), Duration::from_secs(seconds), "{said:?}");
        }
    }
}
