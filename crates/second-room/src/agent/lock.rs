//! One change at a time.

use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use super::folder::Folder;
use crate::protocol::{Reason, Refusal};

/// How long another agent may take. The kernel frees the lock of one that died.
const PATIENCE: Duration = Duration::from_secs(60);

/// Holds off every other agent until it is dropped.
pub(crate) struct Lock {
    _held: OwnedFd,
}

impl Lock {
    /// Waits for its turn.
    pub(crate) fn take(folder: &Folder) -> Result<Self, Refusal> {
        let locking = |error| Refusal::system("taking the agent's lock", error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(folder, "lock", flags, Mode::from_raw_mode(0o600)).map_err(locking)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _held: file }),
                Err(Errno::AGAIN) if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
                Err(Errno::AGAIN) => {
                    let message =
                        format!("another agent has been at work there for {PATIENCE:?}; ask again later");
                    return Err(Refusal::new(Reason::Busy, message));
                }
                Err(error) => return Err(locking(error)),
            }
        }
    }
}
