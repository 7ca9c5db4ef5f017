//! What can go wrong with a lease and the disks that pass under it.

use std::io;
use std::time::Duration;

use crate::error::Cause;
use crate::fault::FaultClass;
use crate::{Error, Fault};

/// Why a lease, a download or an upload failed. What has passed of a disk until then is no disk.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// A call failed that has nothing to do with leases in particular.
    #[error(transparent)]
    Call(#[from] Error),
    /// vSphere could not prepare the lease, or gave it up.
    #[error("vSphere cannot open the way to the disks: {0}")]
    Failed(Fault),
    /// vSphere has not prepared the lease in time.
    #[error("vSphere has not opened the way to the disks within {waited:?}")]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
    },
    /// vSphere has ended the lease: no progress reached it in time, or the session is gone.
    #[error("vSphere has ended the lease before all disks had passed: begin anew")]
    LeaseExpired,
    /// It was ended by ourselves while a disk passed.
    #[error("it was ended while this disk passed")]
    Ended,
    /// The lease describes a disk in a way that this client cannot follow.
    #[error("the lease describes a disk in a way that is not understood: {0}")]
    Device(String),
    /// The host that has the disk is not the one that vCenter named: its certificate is another,
    /// or neither covered by the CA nor told by the lease. No byte was sent to it or read from it.
    #[error(
        "the certificate of {host} is not the one that vCenter tells of it: see who answers there, and whether the host's certificate was renewed without vCenter"
    )]
    Untrusted {
        /// Host and port.
        host: String,
    },
    /// No connection to the host that has the disk.
    #[error(
        "no connection to {host}, which has the disk: {cause}; the controller must reach the ESXi hosts at port 443"
    )]
    Connect {
        /// Host and port.
        host: String,
        /// What the connection reported.
        cause: Cause,
    },
    /// The host refuses to send or take the disk.
    #[error("{host} answers with HTTP status {status}")]
    Http {
        /// Host and port.
        host: String,
        /// The status.
        status: u16,
    },
    /// Nothing passed for too long.
    #[error("nothing has passed between {host} and here for {silence:?}, after {bytes} bytes")]
    Silent {
        /// Host and port.
        host: String,
        /// How long it was waited for.
        silence: Duration,
        /// How many bytes had passed.
        bytes: u64,
    },
    /// The connection broke before the disk's stream was whole.
    #[error("the connection to {host} broke after {bytes} bytes: {cause}")]
    Broken {
        /// Host and port.
        host: String,
        /// How many bytes had passed.
        bytes: u64,
        /// What the connection reported.
        cause: Cause,
    },
}

impl LeaseError {
    /// Tells a lease that is gone from other failures of a call on it. Of a lease, `InvalidState` says that it has ended.
    pub(crate) fn of_lease(error: Error) -> Self {
        let gone = |fault: &Fault| {
            matches!(&*fault.kind, "Timedout" | "InvalidState") || fault.class() == FaultClass::Gone
        };
        match error {
            Error::SessionLost => LeaseError::LeaseExpired,
            Error::Fault(fault) if gone(&fault) => LeaseError::LeaseExpired,
            error => LeaseError::Call(error),
        }
    }

    /// Reads the fault that a lease ended with.
    pub(crate) fn of_fault(fault: Fault) -> Self {
        if &*fault.kind == "Timedout" { LeaseError::LeaseExpired } else { LeaseError::Failed(fault) }
    }

    /// Whether a new lease may succeed without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            LeaseError::Call(error) => error.is_transient(),
            LeaseError::Failed(fault) => fault.class() == FaultClass::Busy,
            LeaseError::Http { status, .. } => *status >= 500 || *status == 429,
            LeaseError::NotReady { .. }
            | LeaseError::LeaseExpired
            | LeaseError::Connect { .. }
            | LeaseError::Silent { .. }
            | LeaseError::Broken { .. } => true,
            LeaseError::Ended | LeaseError::Device(_) | LeaseError::Untrusted { .. } => false,
        }
    }

    /// The error in one that a [`Download`](crate::Download) gave as a reader, or an [`Upload`](crate::Upload) as a writer.
    pub fn within(error: &io::Error) -> Option<&LeaseError> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<LeaseError> for io::Error {
    fn from(error: LeaseError) -> Self {
        let kind = match &error {
            LeaseError::Silent { .. } => io::ErrorKind::TimedOut,
            LeaseError::Broken { .. } => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;

    #[test]
    fn a_lease_that_has_ended_is_not_taken_for_a_busy_one() {
        for (kind, is_gone) in [
            ("InvalidState", true),
            ("Timedout", true),
            ("ManagedObjectNotFound", true),
            ("TaskInProgress", false),
            ("NoPermission", false),
        ] {
            let fault = Fault { kind: kind.into(), message: "".into(), detail: Element::default() };
            let error = LeaseError::of_lease(Error::Fault(fault));
            assert_eq!(matches!(error, LeaseError::LeaseExpired), is_gone, "{kind}: {error:?}");
        }
    }
}
