//! The way of a snapshot's disks out of vSphere: a lease, and a download for each disk.

mod device;
mod download;
mod error;
mod keep;
mod obstacle;
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
use download::Pump;

pub use device::{ExportDisk, Place};
pub use download::Download;
pub use error::ExportError;
pub use obstacle::{Obstacle, export_obstacles};
pub(crate) use pin::{Pin, refused_certificate};

/// How long to wait for what in an export.
#[derive(Clone, Copy, Debug)]
pub struct ExportTimeouts {
    /// For vSphere to prepare the lease. Default 10 min.
    pub ready: Duration,
    /// For the next bytes of a download, before it is taken for dead. Default 2 min.
    pub silence: Duration,
}

impl Default for ExportTimeouts {
    fn default() -> Self {
        ExportTimeouts { ready: Duration::from_mins(10), silence: Duration::from_mins(2) }
    }
}

/// A file that vSphere sent, as vSphere tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// See [`ExportDisk::key`].
    pub key: String,
    /// How many bytes the stream had.
    pub bytes: u64,
    /// SHA-1 of the stream in hexadecimal digits; empty when vSphere did not reckon it.
    pub sha1: String,
}

/// An open export of a snapshot: a lease that is kept alive for as long as this value lives.
///
/// While it is open, vSphere refuses many operations on the VM. So it ends in each case: with
/// [`Export::complete`] when all was read, with [`Export::abort`] when not, and with an abort in
/// the background when it is dropped. If even that does not reach vCenter, the lease times out
/// there, since nothing reports its progress any more.
///
/// Prolonging and ending a lease asks no permit: it lives in our session like a view, and to end
/// it is right also for one who may not write any more. The permit was asked to begin it.
pub struct Export {
    lease: Lease,
    disks: Vec<ExportDisk>,
    moved: Arc<Moved>,
    /// Why the lease was lost, once it is.
    lost: watch::Receiver<Option<ExportError>>,
    keeper: AbortHandle,
    silence: Duration,
}

/// How much of the disks was read.
#[derive(Debug)]
struct Moved {
    bytes: AtomicU64,
    total: u64,
}

impl Moved {
    /// For people who watch the task in vCenter. What is read is compressed, so it stays below.
    fn percent(&self) -> u64 {
        (self.bytes.load(Ordering::Relaxed).saturating_mul(100) / self.total.max(1)).min(99)
    }
}

impl Export {
    /// Takes up the lease that [`Writer::export_snapshot`](crate::Writer::export_snapshot) began,
    /// waits until vSphere is ready to send, and keeps the lease alive from then on. When this
    /// fails, or its future is dropped, the lease is aborted.
    pub async fn open(
        client: Arc<Client>,
        lease: Mor,
        timeouts: ExportTimeouts,
    ) -> Result<Export, ExportError> {
        let generation = client.generation();
        let lease = Lease { client, mor: lease, generation, runtime: Handle::current(), ended: false };
        let info = lease.ready(timeouts.ready).await?;
        let disks = device::disks(&info, lease.client.transport().host())?;
        let total = info.int_at("totalDiskCapacityInKB").and_then(|kb| u64::try_from(kb).ok()).unwrap_or(0);
        let moved = Arc::new(Moved { bytes: AtomicU64::new(0), total: total.saturating_mul(1024) });
        let patience = keep::patience(info.int_at("leaseTimeout"));
        let (sender, lost) = watch::channel(None);
        let keeper = keep::keep(lease.handle(), patience, moved.clone(), sender);
        let keeper = lease.runtime.spawn(keeper).abort_handle();
        Ok(Export { lease, disks, moved, lost, keeper, silence: timeouts.silence })
    }

    /// The disks that can be read, in vSphere's order. A disk of the VM that is not among them is
    /// not part of the snapshot.
    pub fn disks(&self) -> &[ExportDisk] {
        &self.disks
    }

    /// Opens the stream of a disk. A second download of the same disk begins anew.
    pub async fn download(&self, disk: &ExportDisk) -> Result<Download, ExportError> {
        if let Some(lost) = self.lost.borrow().clone() {
            return Err(lost);
        }
        let client = &self.lease.client;
        let pump = Pump {
            response: download::request(client, disk, self.silence).await?,
            host: disk.host(),
            silence: self.silence,
            moved: self.moved.clone(),
            lease: self.lease.handle(),
            lost: self.lost.clone(),
            bytes: 0,
        };
        Ok(Download::start(&self.lease.runtime, pump))
    }

    /// What vSphere has sent so far, of disks that were read to their end.
    pub async fn sent(&self) -> Result<Vec<Sent>, ExportError> {
        let answer = self.lease.handle().call("HttpNfcLeaseGetManifest", None).await?;
        let read = |entry: &Element| {
            Some(Sent {
                key: entry.text_at("key")?.to_owned(),
                bytes: entry.int_at("size").and_then(|size| u64::try_from(size).ok())?,
                sha1: entry.text_at("sha1").unwrap_or_default().to_ascii_lowercase(),
            })
        };
        Ok(answer.iter().filter_map(read).collect())
    }

    /// Ends the export after all was read. When this fails, the lease is aborted.
    pub async fn complete(mut self) -> Result<(), ExportError> {
        if let Some(lost) = self.lost.borrow().clone() {
            return Err(lost);
        }
        self.lease.handle().call("HttpNfcLeaseComplete", None).await?;
        self.lease.ended = true;
        Ok(())
    }

    /// Ends the export when not all was read. A lease that is gone already is no error.
    pub async fn abort(mut self) -> Result<(), ExportError> {
        let outcome = self.lease.handle().call("HttpNfcLeaseAbort", None).await;
        match outcome {
            Err(error) if !matches!(error, ExportError::LeaseExpired) => return Err(error),
            _ => self.lease.ended = true,
        }
        Ok(())
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Export({}, {} disks)", self.lease.mor, self.disks.len())
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.keeper.abort();
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
struct LeaseHandle {
    client: Arc<Client>,
    mor: Mor,
    generation: u64,
}

impl LeaseHandle {
    async fn call(&self, method: &'static str, percent: Option<u64>) -> Result<Vec<Element>, ExportError> {
        let call = Call::new(method, &self.mor, Mode::Bound(self.generation), |b| {
            b.option("percent", percent);
        });
        self.client.call(call).await.map_err(ExportError::of_lease)
    }

    /// Whether vSphere has ended the lease, as far as it says so.
    async fn is_gone(&self) -> bool {
        match self.client.read(&self.mor, &["state"]).await {
            Ok(None) => true,
            Ok(Some(lease)) => matches!(lease.text("state"), Some("error" | "done")),
            Err(_) => false,
        }
    }
}

impl Lease {
    fn handle(&self) -> LeaseHandle {
        LeaseHandle { client: self.client.clone(), mor: self.mor.clone(), generation: self.generation }
    }

    /// Waits until the lease is ready, and returns its `info`.
    async fn ready(&self, limit: Duration) -> Result<Element, ExportError> {
        let (begun, mut pause) = (Instant::now(), Duration::from_millis(50));
        loop {
            match self.client.read(&self.mor, &["state", "error", "info"]).await {
                Ok(None) => return Err(ExportError::LeaseExpired),
                Ok(Some(lease)) => match lease.text("state") {
                    Some("ready") => {
                        let info = lease.get("info").cloned();
                        return info
                            .ok_or_else(|| Error::Protocol("a ready lease has no info".into()).into());
                    }
                    Some("error") => {
                        let fault = lease.get("error").cloned().map(Fault::localized);
                        return Err(fault.map_or(ExportError::LeaseExpired, ExportError::of_fault));
                    }
                    Some("done") => return Err(ExportError::LeaseExpired),
                    _ => {}
                },
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
            if begun.elapsed() >= limit {
                return Err(ExportError::NotReady { waited: limit });
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
