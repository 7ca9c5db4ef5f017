//! The end of a wait by somebody's word.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Ends what waits on it, from any thread. Copies are the same one; once cancelled it stays so.
///
/// A file descriptor, and not a flag, so that a wait for the network wakes at once.
#[derive(Clone)]
pub struct Cancel(Arc<OwnedFd>);

impl Cancel {
    /// One that has not been cancelled.
    ///
    /// # Errors
    /// Where the process has no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Ends every wait, now and later.
    pub fn cancel(&self) {
        // It only fails where the counter is full, which says the same.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancel({})", if self.is_cancelled() { "cancelled" } else { "not cancelled" })
    }
}
