//! What can go wrong with an export.

use std::io;
use std::time::Duration;

use crate::error::Cause;
use crate::fault::FaultClass;
use crate::{Error, Fault};

/// Why an export or one of its downloads failed. What was read of a disk until then is no backup.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A call failed that has nothing to do with exports in particular.
    #[error(transparent)]
    Call(#[from] Error),
    /// vSphere could not prepare the export, or gave it up.
    #[error("vSphere cannot export the snapshot: {0}")]
    Failed(Fault),
    /// vSphere has not prepared the export in time.
    #[error("vSphere has not prepared the export within {waited:?}")]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
    },
    /// vSphere has ended the lease: no progress reached it in time, or the session is gone.
    #[error("vSphere has ended the export's lease before all was read: begin the export anew")]
    LeaseExpired,
    /// The export was ended by ourselves while a disk was read.
    #[error("the export was ended while this disk was read")]
    Ended,
    /// The lease describes a disk in a way that this client cannot follow.
    #[error("the lease describes a disk that cannot be read: {0}")]
    Device(String),
    /// The host that sends the disk is not the one that vCenter named: its certificate is another,
    /// or neither covered by the CA nor told by the lease. No byte was sent to it or read from it.
    #[error(
        "the certificate of {host} is not the one that vCenter tells of it: see who answers there, and whether the host's certificate was renewed without vCenter"
    )]
    Untrusted {
        /// Host and port.
        host: String,
    },
    /// No connection to the host that sends the disk.
    #[error(
        "no connection to {host}, which sends the disk: {cause}; the controller must reach the ESXi hosts at port 443"
    )]
    Connect {
        /// Host and port.
        host: String,
        /// What the connection reported.
        cause: Cause,
    },
    /// The host refuses to send the disk.
    #[error("{host} answers the download with HTTP status {status}")]
    Http {
        /// Host and port.
        host: String,
        /// The status.
        status: u16,
    },
    /// Nothing came for too long.
    #[error("{host} has sent nothing for {silence:?}, after {bytes} bytes")]
    Silent {
        /// Host and port.
        host: String,
        /// How long it was waited for.
        silence: Duration,
        /// How many bytes had come.
        bytes: u64,
    },
    /// The connection broke before the disk's stream was whole.
    #[error("the connection to {host} broke after {bytes} bytes: {cause}")]
    Broken {
        /// Host and port.
        host: String,
        /// How many bytes had come.
        bytes: u64,
        /// What the connection reported.
        cause: Cause,
    },
}

impl ExportError {
    /// Tells a lease that is gone from other failures of a call on it.
    pub(crate) fn of_lease(error: Error) -> Self {
        let gone = |fault: &Fault| &*fault.kind == "Timedout" || fault.class() == FaultClass::Gone;
        match error {
            Error::SessionLost => ExportError::LeaseExpired,
            Error::Fault(fault) if gone(&fault) => ExportError::LeaseExpired,
            error => ExportError::Call(error),
        }
    }

    /// Reads the fault that a lease ended with.
    pub(crate) fn of_fault(fault: Fault) -> Self {
        if &*fault.kind == "Timedout" { ExportError::LeaseExpired } else { ExportError::Failed(fault) }
    }

    /// Whether a new export may succeed without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            ExportError::Call(error) => error.is_transient(),
            ExportError::Failed(fault) => fault.class() == FaultClass::Busy,
            ExportError::Http { status, .. } => *status >= 500 || *status == 429,
            ExportError::NotReady { .. }
            | ExportError::LeaseExpired
            | ExportError::Connect { .. }
            | ExportError::Silent { .. }
            | ExportError::Broken { .. } => true,
            ExportError::Ended | ExportError::Device(_) | ExportError::Untrusted { .. } => false,
        }
    }

    /// The error in one that a [`Download`](crate::Download) gave as a reader.
    pub fn within(error: &io::Error) -> Option<&ExportError> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<ExportError> for io::Error {
    fn from(error: ExportError) -> Self {
        let kind = match &error {
            ExportError::Silent { .. } => io::ErrorKind::TimedOut,
            ExportError::Broken { .. } => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
