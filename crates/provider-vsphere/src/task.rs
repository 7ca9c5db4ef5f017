//! Waiting for the end of tasks, where no pass does: beside bytes that flow.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vertskommune_provider::ProviderError;
use vsphere_client::{Error, FaultClass, Mor, Task, TaskInfo, TaskState};

use crate::ledger::task_error;
use crate::link::Session;

/// How long one asks again for what something else is done with: vSphere lets go of a lease a moment after its end.
const BUSY: Duration = Duration::from_secs(30);

/// How a task ended.
pub(crate) enum End {
    Done,
    /// What it was about is not there any more.
    Gone,
    /// Something else is done with it.
    Busy(ProviderError),
}

/// Waits for the end of a task that was asked for, and tells it so that one knows whether to ask again.
pub(crate) async fn end_of(
    session: &Session,
    task: Result<Task, Error>,
    limit: Duration,
) -> Result<End, ProviderError> {
    let (class, error) = match task {
        Ok(Task(task)) => {
            let info = ended(session, &task, limit).await?;
            let info = info.ok_or_else(|| ProviderError::Timeout(format!("vCenter has forgotten {task}")))?;
            if info.state == TaskState::Success {
                return Ok(End::Done);
            }
            (info.error.as_ref().map(vsphere_client::Fault::class), task_error(&info))
        }
        Err(error) => (error.class(), session.fail(&error)),
    };
    match class {
        Some(FaultClass::Gone) => Ok(End::Gone),
        Some(FaultClass::Busy) => Ok(End::Busy(error)),
        _ => Err(error),
    }
}

/// Waits a moment before one asks again; an error once that has gone on for too long.
pub(crate) async fn before_again(begun: Instant, busy: ProviderError) -> Result<(), ProviderError> {
    if begun.elapsed() >= BUSY {
        return Err(busy);
    }
    sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Waits until a task has ended; none where vCenter has forgotten it, as it does some minutes after the end, and with all
/// tasks when it starts anew.
pub(crate) async fn ended(
    session: &Session,
    task: &Mor,
    limit: Duration,
) -> Result<Option<TaskInfo>, ProviderError> {
    let asked = [task.clone()];
    let (begun, mut pause) = (Instant::now(), Duration::from_millis(50));
    loop {
        match session.client.tasks(&asked).await {
            Ok(mut tasks) => match tasks.remove(task) {
                Some(info) if info.state.is_final() => return Ok(Some(info)),
                Some(_) => {}
                None => return Ok(None),
            },
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(session.fail(&error)),
        }
        if begun.elapsed() >= limit {
            return Err(ProviderError::Timeout(format!("{task} has not ended within {limit:?}")));
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
