//! A snapshot of ours while its export is open, and how it goes again.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use vertskommune_provider::{Ctx, ProviderError};
use vsphere_client::{Mor, Permit};

use super::{REST, stopping};
use crate::Vsphere;
use crate::failure::passes;
use crate::link::{Link, Session};
use crate::settings::Settings;
use crate::task::{End, before_again, end_of, ended};
use crate::under_way::Place;

/// How long the disks of a removed snapshot may take to be merged. One that held a busy night takes a while.
const MERGE: Duration = Duration::from_hours(2);

/// How long is waited in all between tries of the removal, after errors that pass: a vCenter starts anew within that.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long a call whose answer was lost may take until its task is there.
const MOMENT: Duration = Duration::from_secs(10);

/// A snapshot that is on a machine, or may be, until it is released. Dropped before that, it is released in the
/// background.
pub(super) struct Held {
    hold: Option<Hold>,
    runtime: Handle,
}

struct Hold {
    link: Arc<Link>,
    settings: Arc<Settings>,
    ctx: Ctx,
    vm: Mor,
    place: Place,
    taking: Taking,
}

/// How far the snapshot is.
enum Taking {
    /// It is there, or will never be.
    Settled,
    /// It was asked for, and may yet appear. Its task, if the answer told it.
    Asked(Option<Mor>),
}

impl Held {
    /// To be called before the snapshot is asked for.
    pub(super) fn new(vsphere: &Vsphere, ctx: &Ctx, vm: Mor, mark: String) -> Result<Self, ProviderError> {
        let hold = Hold {
            link: vsphere.link.clone(),
            settings: vsphere.settings.clone(),
            ctx: ctx.clone(),
            vm,
            place: Place::take(&vsphere.host.identity, mark)?,
            taking: Taking::Settled,
        };
        Ok(Self { hold: Some(hold), runtime: Handle::current() })
    }

    /// The mark that the snapshot carries.
    pub(super) fn mark(&self) -> &str {
        self.hold.as_ref().map_or("", |hold| hold.place.mark())
    }

    /// To be called before the call that asks for the snapshot, and again with its task when that is known.
    pub(super) fn asks(&mut self, task: Option<&Mor>) {
        self.note(Taking::Asked(task.cloned()));
    }

    /// Notes that the snapshot is there, or will never be.
    pub(super) fn settles(&mut self) {
        self.note(Taking::Settled);
    }

    fn note(&mut self, taking: Taking) {
        if let Some(hold) = &mut self.hold {
            hold.taking = taking;
        }
    }

    /// Removes the snapshot. That goes on where nobody waits for it any more.
    pub(super) async fn release(mut self) -> Result<(), ProviderError> {
        let Some(hold) = self.hold.take() else { return Ok(()) };
        let ended = self.runtime.spawn(hold.release()).await;
        ended.unwrap_or_else(|_| Err(stopping()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.runtime.spawn(async move {
                if let Err(error) = hold.release().await {
                    tracing::warn!(%error, "a snapshot of ours may be left, and is looked for again");
                }
            });
        }
    }
}

impl Hold {
    async fn release(mut self) -> Result<(), ProviderError> {
        let (mut waited, mut attempt) = (Duration::ZERO, 0);
        loop {
            let Err(error) = self.try_release().await else { return Ok(()) };
            if !passes(&error) || waited >= PATIENCE {
                return Err(error);
            }
            tracing::debug!(%error, "a snapshot of ours is not removed yet");
            let pause = error.backoff(attempt);
            sleep(pause).await;
            (waited, attempt) = (waited + pause, attempt + 1);
        }
    }

    async fn try_release(&mut self) -> Result<(), ProviderError> {
        // The session that took it may be gone, and the vCenter that answers now may be another.
        let session = self.link.session(&self.settings, &self.ctx).await?;
        self.settle(&session).await?;
        let permit = session.permit_to_end(&self.ctx);
        let mark = self.place.mark();
        match remove(&session, &*permit, &self.vm, &|found: &str| found == mark).await {
            // The session ended just now. The next try checks whose the new one is.
            Err(ProviderError::NotPermitted(why)) if session.is_over() => Err(ProviderError::Conflict(why)),
            removed => removed.map(drop),
        }
    }

    /// Waits until the snapshot is there or will never be.
    async fn settle(&mut self, session: &Session) -> Result<(), ProviderError> {
        let Taking::Asked(task) = &self.taking else { return Ok(()) };
        let is_told = match task {
            Some(task) => ended(session, task, REST).await?.is_some(),
            None => false,
        };
        if !is_told {
            self.watch(session).await?;
        }
        self.taking = Taking::Settled;
        Ok(())
    }

    /// The same where no task tells: until it is there, or nothing is done with the machine any more.
    async fn watch(&self, session: &Session) -> Result<(), ProviderError> {
        const RECENT: &str = "recentTask";
        let begun = Instant::now();
        while begun.elapsed() < REST {
            let found = session.client.snapshots(&self.vm).await.map_err(|error| session.fail(&error))?;
            if found.iter().any(|snapshot| snapshot.description == self.place.mark()) {
                return Ok(());
            }
            let read =
                session.client.read(&self.vm, &[RECENT]).await.map_err(|error| session.fail(&error))?;
            let recent = read.map(|vm| vm.mors(RECENT)).unwrap_or_default();
            let tasks = session.client.tasks(&recent).await.map_err(|error| session.fail(&error))?;
            if tasks.values().all(|task| task.state.is_final()) && begun.elapsed() >= MOMENT {
                return Ok(());
            }
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}

/// Removes those snapshots of a machine that are meant, by their descriptions, and says how many it was.
pub(super) async fn remove(
    session: &Session,
    permit: &Permit,
    vm: &Mor,
    is_meant: &(dyn Fn(&str) -> bool + Send + Sync),
) -> Result<usize, ProviderError> {
    let found = session.client.snapshots(vm).await.map_err(|error| session.fail(&error))?;
    let mut removed = 0;
    for snapshot in found.iter().filter(|snapshot| is_meant(&snapshot.description)) {
        let begun = Instant::now();
        loop {
            let task = session.client.writer(permit).remove_snapshot(&snapshot.mor).await;
            match end_of(session, task, MERGE).await? {
                End::Done => break removed += 1,
                End::Gone => break,
                End::Busy(error) => before_again(begun, error).await?,
            }
        }
    }
    if removed > 0 {
        merge(session, permit, vm).await?;
    }
    Ok(removed)
}

/// Merges what the removal of a snapshot has left on the disks, as it does where a file was locked at that moment.
async fn merge(session: &Session, permit: &Permit, vm: &Mor) -> Result<(), ProviderError> {
    const NEEDED: &str = "runtime.consolidationNeeded";
    let read = session.client.read(vm, &[NEEDED]).await.map_err(|error| session.fail(&error))?;
    if read.is_some_and(|vm| vm.bool(NEEDED) == Some(true)) {
        let task = session.client.writer(permit).consolidate_disks(vm).await;
        if let End::Busy(error) = end_of(session, task, MERGE).await? {
            return Err(error);
        }
    }
    Ok(())
}
