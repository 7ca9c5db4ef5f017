//! The way of a new VM's disks into vSphere: a lease, and an upload for each disk.

mod upload;

use std::fmt;
use std::sync::Arc;

use crate::lease::{OpenLease, disks};
use crate::xml::Element;
use crate::{Client, Error, LeaseDisk, LeaseError, LeaseTimeouts, Mor};

pub use upload::Upload;

/// An open import of a VM: a lease that is kept alive for as long as this value lives.
///
/// While it is open, the VM is there, its disks are empty, and vSphere refuses to do anything else
/// with it. It stays only if [`Import::complete`] succeeds: [`Import::abort`], dropping this
/// value, and a lease that times out since nobody reports progress, each make vSphere remove the
/// VM with its disks.
///
/// As with an [`Export`](crate::Export), prolonging and ending the lease asks no permit.
pub struct Import {
    lease: OpenLease,
    vm: Mor,
    disks: Vec<LeaseDisk>,
}

impl Import {
    /// Takes up the lease that [`Writer::import_vm`](crate::Writer::import_vm) began, waits until
    /// the VM is made, and keeps the lease alive from then on. When this fails, or its future is
    /// dropped, the lease is aborted.
    pub async fn open(
        client: Arc<Client>,
        lease: Mor,
        timeouts: LeaseTimeouts,
    ) -> Result<Import, LeaseError> {
        let (lease, info) = OpenLease::open(client, lease, timeouts).await?;
        let disks = disks(&info, lease.client().transport().host())?;
        let vm = info.get("entity").and_then(Element::mor);
        let vm = vm.ok_or_else(|| Error::Protocol("a ready lease does not name the VM".into()))?;
        Ok(Import { lease, vm, disks })
    }

    /// The VM that is made.
    pub fn vm(&self) -> &Mor {
        &self.vm
    }

    /// The disks that can be written, in vSphere's order; each tells where it hangs.
    pub fn disks(&self) -> &[LeaseDisk] {
        &self.disks
    }

    /// Begins to write a disk, which takes one stream-optimized VMDK of its capacity.
    pub async fn upload(&self, disk: &LeaseDisk) -> Result<Upload, LeaseError> {
        self.lease.still()?;
        upload::start(&self.lease, disk).await
    }

    /// Ends the import after all disks were written: the VM is whole and free. When this fails, the
    /// lease is aborted.
    pub async fn complete(self) -> Result<(), LeaseError> {
        self.lease.complete().await
    }

    /// Ends the import and has the VM removed. A lease that is gone already is no error.
    pub async fn abort(self) -> Result<(), LeaseError> {
        self.lease.abort().await
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Import({}, {}, {} disks)", self.lease, self.vm, self.disks.len())
    }
}
