//! Sessions block: they have a thread of their own, and a call never waits longer for it than it may.

use ssh_session::{Cancel, Error as SshError};
use vertskommune_provider::{Ctx, ProviderError};

use crate::failure;

/// Does what blocks on a thread of its own, until the call ends or is dropped. `endpoint` is for people.
///
/// # Errors
/// What `work` failed of, in the words of the contract; [`ProviderError::Timeout`] at the call's deadline, and
/// [`ProviderError::NotPermitted`] when the process stops.
pub async fn off_the_runtime<T: Send + 'static>(
    ctx: &Ctx,
    endpoint: &str,
    work: impl FnOnce(&Cancel) -> Result<T, SshError> + Send + 'static,
) -> Result<T, ProviderError> {
    struct Ends(Cancel);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let cancel = Cancel::new().map_err(|error| ProviderError::Refused(error.to_string()))?;
    let _ends = Ends(cancel.clone());
    let working = tokio::task::spawn_blocking(move || work(&cancel));
    tokio::select! {
        done = working => match done {
            Ok(done) => done.map_err(|error| failure::of_ssh(endpoint, &error)),
            Err(error) => Err(ProviderError::Protocol(error.to_string())),
        },
        () = ctx.cancel.cancelled() => Err(ProviderError::NotPermitted("the process is stopping".to_owned())),
        () = tokio::time::sleep_until(ctx.deadline) => {
            Err(ProviderError::Timeout(format!("{endpoint} did not answer before the call had to end")))
        }
    }
}
