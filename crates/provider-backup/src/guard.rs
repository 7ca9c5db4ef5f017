//! What holds while bytes flow: the permit is asked, and how far it is is told.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::names::TenantName;
use vertskommune_provider::{Ctx, ProviderError};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// How long nothing may move before it is given up: a host may say for ever that it is there, and never answer the request. Before
/// its first byte restic reads the whole index.
const STILL: Duration = Duration::from_mins(30);

/// Waits for the work while the permit holds, and while something moves where `tell` says how far it is. Otherwise `cancel` ends
/// the work, and why is what came of it, even where the work was done a moment before.
pub(crate) async fn while_permitted<T>(
    ctx: &Ctx,
    cancel: &CancellationToken,
    tell: impl Fn() -> Option<u64>,
    work: impl Future<Output = T>,
) -> Result<T, ProviderError> {
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(EVERY);
    let (mut far, mut since, mut ended) = (tell(), Instant::now(), None);
    loop {
        tokio::select! {
            done = &mut work => {
                tell();
                return ended.map_or(Ok(done), Err);
            }
            _ = ticks.tick() => {
                let now = tell();
                if now != far {
                    (far, since) = (now, Instant::now());
                }
                if ended.is_none() {
                    ended = match ctx.permit() {
                        Ok(()) if far.is_some() && since.elapsed() >= STILL => Some(still()),
                        Ok(()) => None,
                        Err(error) => Some(error),
                    };
                    if ended.is_some() {
                        cancel.cancel();
                    }
                }
            }
        }
    }
}

fn still() -> ProviderError {
    let minutes = STILL.as_secs() / 60;
    ProviderError::Timeout(format!(
        "nothing moved for {minutes} minutes: see whether the disks of the second room answer"
    ))
}

/// The servers that something is being done with in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtWork(Arc<Mutex<BTreeSet<(TenantName, String)>>>);

/// Nobody else does anything with this server until it is dropped.
#[derive(Debug)]
pub(crate) struct Alone {
    all: AtWork,
    server: (TenantName, String),
}

impl AtWork {
    /// Takes a server.
    pub(crate) fn begin(&self, tenant: &TenantName, server: &str) -> Result<Alone, ProviderError> {
        let key = (tenant.clone(), server.to_owned());
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            Ok(Alone { all: self.clone(), server: key })
        } else {
            Err(ProviderError::Conflict(format!("{server} is being backed up or proven already")))
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertskommune_provider::context::Always;

    use crate::testing::{Refuses, ctx};

    #[tokio::test(start_paused = true)]
    async fn work_ends_when_the_permit_does() {
        let cancel = CancellationToken::new();
        let ended = async {
            cancel.cancelled().await;
            "ended"
        };
        let refused = while_permitted(&ctx(Arc::new(Refuses::after(3))), &cancel, || None, ended).await;
        assert!(matches!(refused, Err(ProviderError::NotPermitted(_))), "{refused:?}");
        let whole = async {
            tokio::time::sleep(EVERY * 2).await;
            "done"
        };
        let done =
            while_permitted(&ctx(Arc::new(Refuses::after(100))), &CancellationToken::new(), || None, whole)
                .await;
        assert_eq!(done, Ok("done"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_still_is_given_up_and_what_is_slow_is_not() {
        for (moves, given_up) in [(false, true), (true, false)] {
            let (cancel, begun) = (CancellationToken::new(), Instant::now());
            let far = || Some(if moves { begun.elapsed().as_secs() / 600 } else { 0 });
            let work = async {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = tokio::time::sleep(STILL * 3) => {}
                }
            };
            let ended = while_permitted(&ctx(Arc::new(Always)), &cancel, far, work).await;
            assert_eq!(matches!(ended, Err(ProviderError::Timeout(_))), given_up, "{ended:?}");
            assert_eq!(begun.elapsed() < STILL * 2, given_up, "{:?}", begun.elapsed());
        }
    }

    #[test]
    fn of_two_at_one_server_one_goes() {
        let at_work = AtWork::default();
        let first = at_work.begin(&"ibestad".into(), "fs01").unwrap();
        assert!(matches!(at_work.begin(&"ibestad".into(), "fs01"), Err(ProviderError::Conflict(_))));
        let other = at_work.begin(&"gratangen".into(), "fs01").unwrap();
        drop((first, other));
        assert!(at_work.begin(&"ibestad".into(), "fs01").is_ok());
    }
}
