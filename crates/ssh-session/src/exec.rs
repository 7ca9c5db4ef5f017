//! A command on the other side, with its input and its output.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use ssh2::Channel;

use crate::link::flags;
use crate::{Error, Session};

/// How much of what a command says to people is kept, in bytes.
const SAID: usize = 16 << 10;

/// What a command wrote, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error.
    pub stderr: Vec<u8>,
    /// Its exit status.
    pub status: i32,
}

impl Session {
    /// Runs a command with this input, for at most so long, and takes at most `bound` bytes of its output.
    ///
    /// # Errors
    /// [`Error::Denied`] where the host runs no command for that user, [`Error::TooLong`], [`Error::TimedOut`],
    /// [`Error::Closed`], [`Error::Killed`] and [`Error::Cancelled`]. After the last four it is unknown what the command has
    /// done.
    pub fn exec(
        &mut self,
        command: &str,
        input: &[u8],
        bound: usize,
        limit: Duration,
    ) -> Result<Output, Error> {
        let doing = "waiting for the command's answer";
        let until = Instant::now() + limit;
        let mut channel = self.channel("run a command", limit, |channel| channel.exec(command))?;
        let mut running = Running { input, ended: false, stdout: Vec::new(), stderr: Vec::new(), bound };
        loop {
            let step = running.step(&self.ssh, &mut channel);
            let waits = step.map_err(|cause| self.link.closed(doing, cause))?;
            if running.stdout.len() > bound {
                return Err(Error::TooLong { on: self.link.on.clone(), bound });
            }
            if channel.eof() {
                break;
            }
            self.link.wait(waits, doing, until, limit)?;
        }
        let rest = until.saturating_duration_since(Instant::now());
        self.link.drive(&self.ssh, doing, rest, || channel.wait_close()).map_err(self.link.lost(doing))?;
        let ended = channel.exit_signal().and_then(|signal| Ok((signal.exit_signal, channel.exit_status()?)));
        let (signal, status) = ended.map_err(|error| self.link.closed(doing, error.message()))?;
        if let Some(signal) = signal {
            return Err(Error::Killed { on: self.link.on.clone(), signal });
        }
        Ok(Output { stdout: running.stdout, stderr: running.stderr, status })
    }
}

/// A command under way.
struct Running<'a> {
    /// What is left of its input.
    input: &'a [u8],
    /// Whether the end of the input was told.
    ended: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    bound: usize,
}

impl Running<'_> {
    /// Does what can be done without waiting, and says what to wait for.
    fn step(&mut self, ssh: &ssh2::Session, channel: &mut Channel) -> io::Result<PollFlags> {
        let mut waits = PollFlags::IN;
        while !self.input.is_empty() && !channel.eof() {
            match now(channel.write(self.input))? {
                Some(written) if written > 0 => self.input = &self.input[written..],
                _ => {
                    waits |= flags(ssh.block_directions());
                    break;
                }
            }
        }
        if self.input.is_empty() && !self.ended {
            self.ended = now(channel.send_eof().map_err(io::Error::from))?.is_some();
            if !self.ended {
                waits |= flags(ssh.block_directions());
            }
        }
        let mut chunk = [0; 8 << 10];
        while self.stdout.len() <= self.bound {
            match now(channel.read(&mut chunk))? {
                Some(read) if read > 0 => self.stdout.extend_from_slice(&chunk[..read]),
                _ => break,
            }
        }
        while let Some(read) = now(channel.stderr().read(&mut chunk))?.filter(|read| *read > 0) {
            let kept = read.min(SAID - self.stderr.len());
            self.stderr.extend_from_slice(&chunk[..kept]);
        }
        Ok(waits)
    }
}

/// What came of a call that does not block; `None` where it would have to.
pub(crate) fn now<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
