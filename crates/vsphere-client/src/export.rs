//! The way of a snapshot's disks out of vSphere: a lease, and a download for each disk.

mod download;
mod obstacle;

use std::fmt;
use std::sync::Arc;

use crate::lease::{OpenLease, disks};
use crate::{Client, LeaseDisk, LeaseError, LeaseTimeouts, Mor};
use download::Pump;

pub use download::Download;
pub use obstacle::{Obstacle, export_obstacles};

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
    lease: OpenLease,
    disks: Vec<LeaseDisk>,
}

impl Export {
    /// Takes up the lease that [`Writer::export_snapshot`](crate::Writer::export_snapshot) began,
    /// waits until vSphere is ready to send, and keeps the lease alive from then on. When this
    /// fails, or its future is dropped, the lease is aborted.
    pub async fn open(
        client: Arc<Client>,
        lease: Mor,
        timeouts: LeaseTimeouts,
    ) -> Result<Export, LeaseError> {
        let (lease, info) = OpenLease::open(client, lease, timeouts).await?;
        let disks = disks(&info, lease.client().transport().host())?;
        Ok(Export { lease, disks })
    }

    /// The disks that can be read, in vSphere's order. A disk of the VM that is not among them is
    /// not part of the snapshot.
    pub fn disks(&self) -> &[LeaseDisk] {
        &self.disks
    }

    /// Opens the stream of a disk. A second download of the same disk begins anew.
    pub async fn download(&self, disk: &LeaseDisk) -> Result<Download, LeaseError> {
        self.lease.still()?;
        let pump = Pump {
            response: download::request(&self.lease, disk).await?,
            host: disk.host(),
            silence: self.lease.silence,
            moved: self.lease.moved.clone(),
            lease: self.lease.handle(),
            lost: self.lease.lost(),
            bytes: 0,
        };
        Ok(Download::start(self.lease.runtime(), pump))
    }

    /// Ends the export after all was read. When this fails, the lease is aborted.
    pub async fn complete(self) -> Result<(), LeaseError> {
        self.lease.complete().await
    }

    /// Ends the export when not all was read. A lease that is gone already is no error.
    pub async fn abort(self) -> Result<(), LeaseError> {
        self.lease.abort().await
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Export({}, {} disks)", self.lease, self.disks.len())
    }
}
