//! A snapshot of ours while its export is open, and how it goes again.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use vertskommune_provider::{Ctx, ProviderError};
use vsphere_client::{Mor, Permit};

use super::{REST, stopping};
use crate::Vsphere;
use crate::link::{Link, Session};
use crate::settings::Settings;
use crate::task::{End, before_again, end_of, ended};
use crate::under_way::Place;

/// How long the disks of a removed snapshot may take to be merged. One that held a busy night takes a while.
const MERGE: Duration = Duration::from_hours(2);

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
    /// The task that takes it.
    task: Option<Mor>,
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
            task: None,
        };
        Ok(Self { hold: Some(hold), runtime: Handle::current() })
    }

    /// The mark that the snapshot carries.
    pub(super) fn mark(&self) -> &str {
        self.hold.as_ref().map_or("", |hold| hold.place.mark())
    }

    /// Notes the task that takes the snapshot: until its end the snapshot may yet appear.
    pub(super) fn takes(&mut self, task: &Mor) {
        if let Some(hold) = &mut self.hold {
            hold.task = Some(task.clone());
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
    async fn release(self) -> Result<(), ProviderError> {
        // The session that took it may be gone, and the vCenter that answers now may be another.
        let session = self.link.session(&self.settings, &self.ctx).await?;
        if let Some(task) = &self.task {
            ended(&session, task, REST).await?;
        }
        let permit = session.permit_to_end(&self.ctx);
        remove(&session, &*permit, &self.vm, &|mark: &str| mark == self.place.mark()).await.map(drop)
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
