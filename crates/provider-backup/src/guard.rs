//! What holds while bytes flow: the permit is asked, and how far it is is told.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vertskommune_core::names::TenantName;
use vertskommune_provider::{Ctx, ProviderError};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// Waits for the work while the permit holds. Where it is refused, `cancel` ends the work, and that it was refused is what
/// came of it, even where the work was done a moment before.
pub(crate) async fn while_permitted<T>(
    ctx: &Ctx,
    cancel: &CancellationToken,
    tell: impl Fn(),
    work: impl Future<Output = T>,
) -> Result<T, ProviderError> {
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(EVERY);
    let mut refused = None;
    loop {
        tokio::select! {
            done = &mut work => {
                tell();
                return refused.map_or(Ok(done), Err);
            }
            _ = ticks.tick() => {
                tell();
                if refused.is_none() && let Err(error) = ctx.permit() {
                    refused = Some(error);
                    cancel.cancel();
                }
            }
        }
    }
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
    use crate::testing::{Refuses, ctx};

    #[tokio::test(start_paused = true)]
    async fn work_ends_when_the_permit_does() {
        let cancel = CancellationToken::new();
        let ended = async {
            cancel.cancelled().await;
            "ended"
        };
        let refused = while_permitted(&ctx(Arc::new(Refuses::after(3))), &cancel, || {}, ended).await;
        assert!(matches!(refused, Err(ProviderError::NotPermitted(_))), "{refused:?}");
        let whole = async {
            tokio::time::sleep(EVERY * 2).await;
            "done"
        };
        let done =
            while_permitted(&ctx(Arc::new(Refuses::after(100))), &CancellationToken::new(), || {}, whole)
                .await;
        assert_eq!(done, Ok("done"));
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
