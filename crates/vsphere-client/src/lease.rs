//! A lease on a VM's disks: it opens the way to their files, for an export or an import, and is kept alive meanwhile.

mod device;
mod error;
mod keep;
mod pin;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::client::{Call, Mode};
use crate::xml::Element;
use crate::{Client, Error, Fault, Mor};

pub(crate) use device::disks;
pub use device::{LeaseDisk, Place};
pub use error::LeaseError;
pub(crate) use pin::{Pin, refused_certificate};

/// How long is waited each time before the end of a lease is asked for again, when the answer was lost.
const AGAIN: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(40),
];

/// How long to wait for what while a lease is open.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimeouts {
    /// For vSphere to prepare the lease. Default 10 min.
    pub ready: Duration,
    /// For the next bytes to pass, before the host is taken for dead. Default 2 min.
    pub silence: Duration,
}

impl Default for LeaseTimeouts {
    fn default() -> Self {
        LeaseTimeouts { ready: Duration::from_mins(10), silence: Duration::from_mins(2) }
    }
}

/// How much of the disks has passed.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) bytes: AtomicU64,
    total: u64,
}

impl Moved {
    /// For people who watch the task in vCenter. What passes is compressed, so it stays below.
    fn percent(&self) -> u64 {
        (self.bytes.load(Ordering::Relaxed).saturating_mul(100) / self.total.max(1)).min(99)
    }
}

/// A lease that is ready, and kept alive for as long as this value lives. Dropped before its end it is aborted.
pub(crate) struct OpenLease {
    lease: Lease,
    pub(crate) moved: Arc<Moved>,
    lost: Lost,
    keeper: AbortHandle,
    pub(crate) silence: Duration,
}

impl OpenLease {
    /// Waits until a lease is ready and returns its `info`. When this fails, or its future is dropped, it is aborted.
    pub(crate) async fn open(
        client: Arc<Client>,
        lease: Mor,
        timeouts: LeaseTimeouts,
    ) -> Result<(OpenLease, Element), LeaseError> {
        let generation = client.generation();
        let lease = Lease { client, mor: lease, generation, runtime: Handle::current(), ended: false };
        let info = lease.ready(timeouts.ready).await?;
        let total = info.int_at("totalDiskCapacityInKB").and_then(|kb| u64::try_from(kb).ok()).unwrap_or(0);
        let moved = Arc::new(Moved { bytes: AtomicU64::new(0), total: total.saturating_mul(1024) });
        let patience = keep::patience(info.int_at("leaseTimeout"));
        let (sender, lost) = watch::channel(None);
        let keeper = keep::keep(lease.handle(), patience, moved.clone(), sender);
        let keeper = lease.runtime.spawn(keeper).abort_handle();
        let lost = Lost(lost);
        Ok((OpenLease { lease, moved, lost, keeper, silence: timeouts.silence }, info))
    }

    /// An error once the lease is lost.
    pub(crate) fn still(&self) -> Result<(), LeaseError> {
        self.lost.0.borrow().clone().map_or(Ok(()), Err)
    }

    pub(crate) fn lost(&self) -> Lost {
        self.lost.clone()
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.lease.client
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.lease.runtime
    }

    pub(crate) fn handle(&self) -> LeaseHandle {
        self.lease.handle()
    }

    /// Ends it after everything has passed. When this fails, it is aborted. Where the answer is lost, the lease itself tells
    /// whether it has ended: an abort would destroy what an import has made.
    pub(crate) async fn complete(mut self) -> Result<(), LeaseError> {
        self.still()?;
        let lease = self.handle();
        let mut ended = lease.complete().await;
        for pause in AGAIN {
            if !matches!(&ended, Err(LeaseError::Call(error)) if error.is_transient()) {
                break;
            }
            sleep(pause).await;
            ended = match lease.state().await {
                Ok(Some(state)) if state == "done" => Ok(()),
                Ok(Some(state)) if state == "ready" => match lease.complete().await {
                    // The one before is just being carried out.
                    Err(LeaseError::LeaseExpired) => ended,
                    ended => ended,
                },
                Ok(_) => Err(LeaseError::LeaseExpired),
                Err(error) => Err(error.into()),
            };
        }
        ended?;
        self.lease.ended = true;
        Ok(())
    }

    /// Ends it when not everything has passed. A lease that is gone already is no error.
    pub(crate) async fn abort(mut self) -> Result<(), LeaseError> {
        match self.handle().call("HttpNfcLeaseAbort", None).await {
            Err(error) if !matches!(error, LeaseError::LeaseExpired) => return Err(error),
            _ => self.lease.ended = true,
        }
        Ok(())
    }
}

impl fmt::Display for OpenLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lease.mor.fmt(f)
    }
}

impl Drop for OpenLease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Why a lease was lost, once it is.
#[derive(Clone)]
pub(crate) struct Lost(watch::Receiver<Option<LeaseError>>);

impl Lost {
    /// Waits until it is.
    pub(crate) async fn wait(&mut self) -> LeaseError {
        match self.0.wait_for(Option::is_some).await {
            Ok(lost) => lost.clone().unwrap_or(LeaseError::Ended),
            Err(_) => LeaseError::Ended,
        }
    }
}

/// A lease of ours. Dropped before its end it is aborted.
struct Lease {
    client: Arc<Client>,
    mor: Mor,
    generation: u64,
    runtime: Handle,
    ended: bool,
}

/// What is needed to call a lease's methods.
#[derive(Clone)]
pub(crate) struct LeaseHandle {
    client: Arc<Client>,
    mor: Mor,
    generation: u64,
}

impl LeaseHandle {
    pub(crate) async fn call(
        &self,
        method: &'static str,
        percent: Option<u64>,
    ) -> Result<Vec<Element>, LeaseError> {
        let call = Call::new(method, &self.mor, Mode::Bound(self.generation), |b| {
            b.option("percent", percent);
        });
        self.client.call(call).await.map_err(LeaseError::of_lease)
    }

    async fn complete(&self) -> Result<(), LeaseError> {
        self.call("HttpNfcLeaseComplete", None).await.map(drop)
    }

    /// How the lease is, in vSphere's word; none when vSphere does not know it any more.
    async fn state(&self) -> Result<Option<String>, Error> {
        let lease = self.client.read(&self.mor, &["state"]).await?;
        Ok(lease.map(|lease| lease.text("state").unwrap_or_default().to_owned()))
    }

    /// Whether vSphere has ended the lease, as far as it says so.
    pub(crate) async fn is_gone(&self) -> bool {
        let state = self.state().await;
        state.is_ok_and(|state| state.is_none_or(|state| state == "error" || state == "done"))
    }
}

impl Lease {
    fn handle(&self) -> LeaseHandle {
        LeaseHandle { client: self.client.clone(), mor: self.mor.clone(), generation: self.generation }
    }

    /// Waits until the lease is ready, and returns its `info`.
    async fn ready(&self, limit: Duration) -> Result<Element, LeaseError> {
        let (begun, mut pause) = (Instant::now(), Duration::from_millis(50));
        loop {
            match self.client.read(&self.mor, &["state", "error", "info"]).await {
                Ok(None) => return Err(LeaseError::LeaseExpired),
                Ok(Some(lease)) => match lease.text("state") {
                    Some("ready") => {
                        let info = lease.get("info").cloned();
                        return info
                            .ok_or_else(|| Error::Protocol("a ready lease has no info".into()).into());
                    }
                    Some("error") => {
                        let fault = lease.get("error").cloned().map(Fault::localized);
                        return Err(fault.map_or(LeaseError::LeaseExpired, LeaseError::of_fault));
                    }
                    Some("done") => return Err(LeaseError::LeaseExpired),
                    _ => {}
                },
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
            if begun.elapsed() >= limit {
                return Err(LeaseError::NotReady { waited: limit });
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended {
            let lease = self.handle();
            // Best effort: without it the lease times out.
            self.runtime.spawn(async move {
                if let Err(error) = lease.call("HttpNfcLeaseAbort", None).await {
                    tracing::debug!(lease = %lease.mor, %error, "a lease was not aborted");
                }
            });
        }
    }
}
