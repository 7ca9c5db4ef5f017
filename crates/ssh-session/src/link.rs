//! Waiting for the network: until it is ready, until a limit, or until somebody cancels.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use ssh2::{BlockDirections, ErrorCode};

use crate::{Cancel, Error};

/// What libssh2 answers where it would have to wait.
const AGAIN: i32 = -37;

/// The connection below a session, with what ends a wait for it.
pub(crate) struct Link {
    pub(crate) stream: Arc<TcpStream>,
    pub(crate) cancel: Cancel,
    /// Host and port, for errors.
    pub(crate) on: String,
}

impl Link {
    /// Repeats `step`, which does not block, until it is done.
    pub(crate) fn drive<T>(
        &self,
        ssh: &ssh2::Session,
        doing: &'static str,
        limit: Duration,
        mut step: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<T, Failed> {
        let until = Instant::now() + limit;
        loop {
            match step() {
                Ok(done) => return Ok(done),
                Err(error) if is_again(&error) => {
                    self.wait(flags(ssh.block_directions()), doing, until, limit).map_err(Failed::Error)?;
                }
                Err(error) => return Err(Failed::Ssh(error)),
            }
        }
    }

    /// Waits until the connection is ready for what libssh2 waits for.
    pub(crate) fn wait(
        &self,
        flags: PollFlags,
        doing: &'static str,
        until: Instant,
        limit: Duration,
    ) -> Result<(), Error> {
        let mut fds = [PollFd::new(self.stream.as_ref(), flags), PollFd::new(&self.cancel, PollFlags::IN)];
        let ready = poll_until(&mut fds, until).map_err(|cause| self.closed(doing, cause))?;
        if fds[1].revents().intersects(PollFlags::IN) {
            return Err(Error::Cancelled { doing });
        }
        if ready == 0 {
            return Err(Error::TimedOut { on: self.on.clone(), doing, after: limit });
        }
        Ok(())
    }

    #[expect(clippy::needless_pass_by_value, reason = "an error is given away where it is told")]
    pub(crate) fn closed(&self, doing: &'static str, cause: impl ToString) -> Error {
        Error::Closed { on: self.on.clone(), doing, cause: cause.to_string() }
    }

    /// The error of a step that has no other meaning than that the connection is gone.
    pub(crate) fn lost(&self, doing: &'static str) -> impl FnOnce(Failed) -> Error {
        move |failed| match failed {
            Failed::Error(error) => error,
            Failed::Ssh(error) => self.closed(doing, error.message()),
        }
    }
}

/// Why a step was not done.
pub(crate) enum Failed {
    /// Waiting for it ended.
    Error(Error),
    /// libssh2 says so.
    Ssh(ssh2::Error),
}

/// Whether it only has to be called again later.
pub(crate) fn is_again(error: &ssh2::Error) -> bool {
    error.code() == ErrorCode::Session(AGAIN)
}

/// What to wait for. Where libssh2 does not know, something that comes in is the most likely.
#[expect(clippy::needless_pass_by_value, reason = "it is asked for and used up")]
pub(crate) fn flags(directions: BlockDirections) -> PollFlags {
    match directions {
        BlockDirections::None | BlockDirections::Inbound => PollFlags::IN,
        BlockDirections::Outbound => PollFlags::OUT,
        BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
    }
}

/// Waits for any of them, or until then: 0 says that nothing came.
pub(crate) fn poll_until(fds: &mut [PollFd<'_>], until: Instant) -> io::Result<usize> {
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        // Rounded up, or the last moment before the limit would be spent in turning round.
        let rest = rest + Duration::from_millis(u64::from(!rest.is_zero()));
        let timeout = Timespec::try_from(rest).ok();
        match poll(fds, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(ready) => return Ok(ready),
        }
    }
}
