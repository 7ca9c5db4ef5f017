//! A snapshot of ours while its export is open, and how it goes again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use vertskommune_provider::{Ctx, ProviderError};
use vsphere_client::{Mor, Permit};

use super::{REST, stopping};
use crate::Vsphere;
use crate::link::{Link, Session};
use crate::settings::Settings;
use crate::task::{End, end_of, ended};

/// How long the disks of a removed snapshot may take to be merged. One that held a busy night takes a while.
const MERGE: Duration = Duration::from_hours(2);

/// How long a machine is asked again that something else is done with: vSphere lets go of a lease a moment after its end.
const BUSY: Duration = Duration::from_secs(30);

/// The marks of the snapshots that open exports of this process have, with the identity of their vCenter. One for the
/// whole process: a provider is made anew when its `HostProvider` changes, and what it has begun goes on.
static OPEN: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

fn open() -> MutexGuard<'static, BTreeSet<(String, String)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an open export of this process has the snapshot with this mark.
pub(super) fn is_open(vcenter: &str, mark: &str) -> bool {
    open().contains(&(vcenter.to_owned(), mark.to_owned()))
}

/// The right to one mark, while it lasts.
#[derive(Debug)]
struct Place((String, String));

impl Drop for Place {
    fn drop(&mut self) {
        open().remove(&self.0);
    }
}

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
        let key = (vsphere.host.identity.clone(), mark);
        if !open().insert(key.clone()) {
            return Err(ProviderError::Conflict(format!("{} is under way already", key.1)));
        }
        let hold = Hold {
            link: vsphere.link.clone(),
            settings: vsphere.settings.clone(),
            ctx: ctx.clone(),
            vm,
            place: Place(key),
            task: None,
        };
        Ok(Self { hold: Some(hold), runtime: Handle::current() })
    }

    /// The mark that the snapshot carries.
    pub(super) fn mark(&self) -> &str {
        self.hold.as_ref().map_or("", Hold::mark)
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
    fn mark(&self) -> &str {
        let Place((_, mark)) = &self.place;
        mark
    }

    async fn release(self) -> Result<(), ProviderError> {
        // The session that took it may be gone, and the vCenter that answers now may be another.
        let session = self.link.session(&self.settings, &self.ctx).await?;
        if let Some(task) = &self.task {
            ended(&session, task, REST).await?;
        }
        let permit = session.permit_to_end(&self.ctx);
        remove(&session, &*permit, &self.vm, &|mark: &str| mark == self.mark()).await.map(drop)
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
                End::Busy(error) if begun.elapsed() >= BUSY => return Err(error),
                End::Busy(_) => sleep(Duration::from_secs(1)).await,
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
