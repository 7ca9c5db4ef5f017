//! Ctrl-C: once ends in good order, twice at once.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::output;

/// Ends the listening when it is dropped.
pub(crate) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Cancels `interrupted` when a person or the system wants the program to end.
pub(crate) fn listen(interrupted: CancellationToken) -> anyhow::Result<Listening> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be listened to")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be listened to")?;
    Ok(Listening(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if interrupted.is_cancelled() {
                // Nothing is lost: the next run goes on where the real systems are, once our claim there has ended.
                std::process::exit(130);
            }
            output::note(
                "stopping: what was sent is waited for, nothing new is begun; once more to stop at once",
            );
            interrupted.cancel();
        }
    })))
}

/// The same where nothing is under way that has to end well: nothing is said, and once is enough.
pub(crate) fn quietly(interrupted: CancellationToken) -> anyhow::Result<Listening> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be listened to")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be listened to")?;
    Ok(Listening(tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        interrupted.cancel();
    })))
}
