//! What a call brings along: its deadline, its cancellation, the secrets by handle, and the permit to write.

use std::fmt;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::ProviderError;
use crate::secrets::SecretStore;

/// What a call brings along.
#[derive(Clone)]
pub struct Ctx {
    /// When the call must have ended. Monotonic.
    pub deadline: Instant,
    /// Cancelled when the process stops: end what is under way in good order and begin nothing.
    pub cancel: CancellationToken,
    /// The secrets.
    pub secrets: Arc<dyn SecretStore>,
    /// The permit to write.
    pub permit: Arc<dyn Permit>,
}

impl Ctx {
    /// Whether a write may be sent now. Called immediately before each.
    ///
    /// # Errors
    /// [`ProviderError::NotPermitted`]: nothing may be sent.
    pub fn permit(&self) -> Result<(), ProviderError> {
        if self.cancel.is_cancelled() {
            return Err(ProviderError::NotPermitted("the process is stopping".to_owned()));
        }
        self.permit.check().map_err(|fenced| ProviderError::NotPermitted(fenced.to_string()))
    }

    /// Does the work until the call must have ended. `late` is for people.
    ///
    /// # Errors
    /// Those of the work; [`ProviderError::Timeout`] where it did not end in time.
    pub async fn in_time<T, E: From<ProviderError>>(
        &self,
        late: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let late = |_| Err(ProviderError::Timeout(late.to_owned()).into());
        timeout_at(self.deadline, work).await.unwrap_or_else(late)
    }
}

/// Says whether this process may still write: whether it holds the lease, by a clock that a paused process cannot
/// outwit.
pub trait Permit: Send + Sync {
    /// Whether a write may be sent now.
    ///
    /// # Errors
    /// Says why not.
    fn check(&self) -> Result<(), Fenced>;
}

/// Why nothing may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fenced(pub String);

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The permit of a process that is alone by other means, such as the claim in the system itself.
#[derive(Clone, Copy, Debug)]
pub struct Always;

impl Permit for Always {
    fn check(&self) -> Result<(), Fenced> {
        Ok(())
    }
}

/// The permit of a process that must not write at all, such as one that only plans.
#[derive(Clone, Copy, Debug)]
pub struct Never;

impl Permit for Never {
    fn check(&self) -> Result<(), Fenced> {
        Err(Fenced("this command only looks".to_owned()))
    }
}
