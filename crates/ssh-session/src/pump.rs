//! A subsystem of the other side, joined with two file descriptors of this one.
//!
//! One loop moves bytes both ways and waits in one `poll` for all that can happen: input, room for output, the network,
//! a cancellation, the next limit. Each direction has a buffer; a full one stops reading from its source, and nothing
//! else, so that neither direction can hold up the other.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;
use serde::{Deserialize, Serialize};
use ssh2::{Channel, ExtendedData};

use crate::buffer::Buffer;
use crate::exec::now;
use crate::frames::Frames;
use crate::link::{flags, poll_until};
use crate::{Error, Session};

/// What is held of each direction, in bytes: enough for one turn of the loop to be worth its system calls.
const BUFFER: usize = 1 << 20;

const DOING: &str = "moving the stream";

/// What a stream has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Bytes that went to the other side.
    pub sent: u64,
    /// Bytes that came from there.
    pub received: u64,
}

impl Session {
    /// Joins the SFTP subsystem with `input` and `output` until the input has ended and the other side has told its end.
    /// Both descriptors must be this program's alone, as those of a pipe are: they do not block meanwhile.
    ///
    /// # Errors
    /// [`Error::Denied`] where the host offers no SFTP to that user, [`Error::Closed`] also where the other side ends
    /// first, [`Error::TimedOut`] where nothing is heard of it or a request stays without an answer, [`Error::Near`] where
    /// `output` is closed, and [`Error::Cancelled`].
    pub fn join(self, input: impl AsFd, output: impl AsFd) -> Result<Transfer, Error> {
        let near = |cause| Error::Near { doing: DOING, cause };
        let (input, output) = (input.as_fd(), output.as_fd());
        let _input = Unblocked::new(input).map_err(near)?;
        let _output = Unblocked::new(output).map_err(near)?;
        let mut channel =
            self.channel("offer SFTP", self.limits.answer, |channel| channel.subsystem("sftp"))?;
        // Nobody reads what it says to people, which must not fill the window.
        let ignored = || channel.handle_extended_data(ExtendedData::Ignore);
        self.link.drive(&self.ssh, DOING, self.limits.answer, ignored).map_err(self.link.lost(DOING))?;
        Pump::new(&self, channel, input, output).run()
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is the end or the limit of one direction")]
struct Pump<'a> {
    session: &'a Session,
    channel: Channel,
    input: BorrowedFd<'a>,
    output: BorrowedFd<'a>,
    up: Buffer,
    down: Buffer,
    /// Whether the input has ended, and whether the other side was told.
    input_ended: bool,
    end_told: bool,
    /// Whether the other side has told its end.
    far_ended: bool,
    /// Whether the output has no room.
    output_full: bool,
    /// Whether libssh2 may hold more that has come, for which there was no room: the network does not tell of that again.
    more_came: bool,
    asked: Frames,
    answered: Frames,
    transfer: Transfer,
    /// When something was last heard of the other side, and when something last moved.
    heard: Instant,
    moved: Instant,
    /// When the other side was last asked whether it is still there.
    called: Instant,
}

impl<'a> Pump<'a> {
    fn new(session: &'a Session, channel: Channel, input: BorrowedFd<'a>, output: BorrowedFd<'a>) -> Self {
        let now = Instant::now();
        // Two seconds is libssh2's shortest; when it is due is decided here.
        session.ssh.set_keepalive(true, 2);
        Self {
            session,
            channel,
            input,
            output,
            up: Buffer::new(BUFFER),
            down: Buffer::new(BUFFER),
            input_ended: false,
            end_told: false,
            far_ended: false,
            output_full: false,
            more_came: false,
            asked: Frames::default(),
            answered: Frames::default(),
            transfer: Transfer::default(),
            heard: now,
            moved: now,
            called: now,
        }
    }

    fn run(mut self) -> Result<Transfer, Error> {
        loop {
            self.take_in()?;
            let sending = self.send()?;
            let receiving = self.receive()?;
            self.give_out()?;
            if self.far_ended && self.down.is_empty() {
                return self.ended();
            }
            if self.more_came && !self.down.room().is_empty() {
                continue;
            }
            if self.wait(sending, receiving)? == Near::Gone {
                return self.left();
            }
            // After the wait: what came in while this program was held up still counts.
            self.hold_limits()?;
        }
    }

    /// The other side has ended, which is right only when it was told to.
    fn ended(self) -> Result<Transfer, Error> {
        if self.end_told {
            return Ok(self.transfer);
        }
        Err(self.session.link.closed(DOING, "the SFTP server there ended by itself"))
    }

    /// The near side no longer reads. That is right where it has ended altogether and has had all answers: restic leaves
    /// without closing its repository.
    fn left(mut self) -> Result<Transfer, Error> {
        // A program that ends closes one descriptor after the other.
        let mut fds = [PollFd::from_borrowed_fd(self.input, PollFlags::IN)];
        let soon = Instant::now() + Duration::from_secs(1);
        poll_until(&mut fds, soon).map_err(|cause| self.session.link.closed(DOING, cause))?;
        self.take_in()?;
        let answered = self.asked.is_whole() && self.asked.count() == self.answered.count();
        if self.input_ended && answered && self.up.is_empty() && self.down.is_empty() {
            return Ok(self.transfer);
        }
        let cause = io::Error::from(io::ErrorKind::BrokenPipe);
        Err(Error::Near { doing: "passing on what was received", cause })
    }

    /// From the input into the buffer.
    fn take_in(&mut self) -> Result<(), Error> {
        while !self.input_ended && !self.up.room().is_empty() {
            match rustix::io::read(self.input, self.up.room()) {
                Ok(0) => self.input_ended = true,
                Ok(read) => self.up.fill(read),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::Near { doing: "reading what is to be sent", cause: error.into() });
                }
            }
        }
        Ok(())
    }

    /// From the buffer to the other side; says what has to be waited for.
    fn send(&mut self) -> Result<PollFlags, Error> {
        let closed = |cause: io::Error| self.session.link.closed(DOING, cause);
        while !self.up.is_empty() {
            let Some(sent) =
                now(self.channel.write(self.up.filled())).map_err(closed)?.filter(|sent| *sent > 0)
            else {
                return Ok(flags(self.session.ssh.block_directions()));
            };
            self.asked.read(&self.up.filled()[..sent]);
            self.up.consume(sent);
            self.transfer.sent += sent as u64;
            self.moved = Instant::now();
        }
        if self.input_ended && !self.end_told {
            self.end_told = now(self.channel.send_eof().map_err(io::Error::from)).map_err(closed)?.is_some();
            self.moved = Instant::now();
            if !self.end_told {
                return Ok(flags(self.session.ssh.block_directions()));
            }
        }
        Ok(PollFlags::empty())
    }

    /// From the other side into the buffer; says what has to be waited for.
    fn receive(&mut self) -> Result<PollFlags, Error> {
        while !self.far_ended {
            let room = self.down.room();
            self.more_came = room.is_empty();
            if self.more_came {
                return Ok(PollFlags::empty());
            }
            let read =
                now(self.channel.read(room)).map_err(|cause| self.session.link.closed(DOING, cause))?;
            match read {
                None => return Ok(flags(self.session.ssh.block_directions())),
                Some(0) if self.channel.eof() => self.far_ended = true,
                Some(0) => return Ok(PollFlags::IN),
                Some(read) => {
                    self.down.fill(read);
                    let filled = self.down.filled();
                    self.answered.read(&filled[filled.len() - read..]);
                    self.transfer.received += read as u64;
                    self.moved = Instant::now();
                }
            }
        }
        Ok(PollFlags::empty())
    }

    /// From the buffer to the output.
    fn give_out(&mut self) -> Result<(), Error> {
        self.output_full = false;
        while !self.down.is_empty() {
            match rustix::io::write(self.output, self.down.filled()) {
                Ok(written) => {
                    self.down.consume(written);
                    // Until now it was the near side's turn.
                    self.moved = Instant::now();
                }
                Err(Errno::AGAIN) => {
                    self.output_full = true;
                    break;
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::Near { doing: "passing on what was received", cause: error.into() });
                }
            }
        }
        Ok(())
    }

    /// Ends the stream where the other side is silent, or owes an answer for too long.
    fn hold_limits(&mut self) -> Result<(), Error> {
        let limits = self.session.limits;
        let timed_out =
            |doing, after| Err(Error::TimedOut { on: self.session.link.on.clone(), doing, after });
        if self.heard.elapsed() >= limits.silence {
            return timed_out("waiting for any sign of life", limits.silence);
        }
        if self.owed() && self.moved.elapsed() >= limits.answer {
            return timed_out("waiting for an answer to an SFTP request", limits.answer);
        }
        Ok(())
    }

    /// Whether it is the other side's turn: it has requests to answer, or was told the end. It is not where the near side
    /// does not take what has come.
    fn owed(&self) -> bool {
        !self.output_full && (self.end_told || self.asked.count() > self.answered.count())
    }

    /// Waits for whatever comes first.
    fn wait(&mut self, sending: PollFlags, receiving: PollFlags) -> Result<Near, Error> {
        let network = self.watch(sending, receiving);
        let room = !self.up.room().is_empty();
        let output = if self.output_full { PollFlags::OUT } else { PollFlags::empty() };
        // What has ended is always ready, so it is only watched where something would be done about it.
        let listens = !network.is_empty();
        loop {
            let link = &self.session.link;
            let mut fds =
                vec![PollFd::new(&link.cancel, PollFlags::IN), PollFd::from_borrowed_fd(self.output, output)];
            if listens {
                fds.push(PollFd::from_borrowed_fd(link.socket(), network));
            }
            if room && !self.input_ended {
                fds.push(PollFd::from_borrowed_fd(self.input, PollFlags::IN));
            }
            poll_until(&mut fds, self.next_limit()).map_err(|cause| link.closed(DOING, cause))?;
            let came = |index: usize, flags| fds[index].revents().intersects(flags);
            if came(0, PollFlags::IN) {
                return Err(Error::Cancelled { doing: DOING });
            }
            if came(1, PollFlags::ERR | PollFlags::HUP) {
                return Ok(Near::Gone);
            }
            let heard = listens && came(2, PollFlags::IN);
            // As long as the near side takes nothing, a packet of libssh2's own may lie half sent, behind which no question
            // after life gets through: the host is not to blame.
            if heard || self.output_full || !network.intersects(PollFlags::IN) {
                self.heard = Instant::now();
                return Ok(Near::There);
            }
            if !self.call(sending)? {
                return Ok(Near::There);
            }
            // The answer is waited for here: one that libssh2 takes in by the way is seen by nobody.
        }
    }

    /// What to watch the connection for. Not for input as long as nothing would take it up: it would be ready without end.
    fn watch(&mut self, sending: PollFlags, receiving: PollFlags) -> PollFlags {
        let taking = !self.far_ended && !self.down.room().is_empty();
        let wanted = sending | receiving;
        if taking || !self.up.is_empty() { wanted | PollFlags::IN } else { wanted & PollFlags::OUT }
    }

    /// Asks a silent side whether it is still there, and says whether it did. Only where nothing waits to be sent and there
    /// is room for it: libssh2 could not go on with one that was sent in part.
    fn call(&mut self, sending: PollFlags) -> Result<bool, Error> {
        let pause = self.session.limits.silence / 4;
        let idle = !sending.contains(PollFlags::OUT);
        if !idle || self.heard.elapsed() < pause || self.called.elapsed() < pause {
            return Ok(false);
        }
        let mut fds = [PollFd::from_borrowed_fd(self.session.link.socket(), PollFlags::OUT)];
        let link = &self.session.link;
        if poll_until(&mut fds, Instant::now()).map_err(|cause| link.closed(DOING, cause))? == 0 {
            return Ok(false);
        }
        self.session.ssh.keepalive_send().map_err(|error| link.closed(DOING, error.message()))?;
        self.called = Instant::now();
        Ok(true)
    }

    /// When to look again if nothing happens.
    fn next_limit(&self) -> Instant {
        let limits = self.session.limits;
        let silent = self.heard + limits.silence;
        let call = self.heard.max(self.called) + limits.silence / 4;
        let owed = if self.owed() { self.moved + limits.answer } else { silent };
        silent.min(call).min(owed).max(Instant::now() + Duration::from_millis(5))
    }
}

/// Whether somebody still reads on the near side.
#[derive(PartialEq)]
enum Near {
    There,
    Gone,
}

/// A descriptor that does not block, until this is dropped.
struct Unblocked<'a> {
    fd: BorrowedFd<'a>,
    before: OFlags,
}

impl<'a> Unblocked<'a> {
    fn new(fd: BorrowedFd<'a>) -> io::Result<Self> {
        // Larger pipes mean fewer turns; what is no pipe, or may not grow, works as well.
        let _ = fcntl_setpipe_size(fd, BUFFER);
        let before = fcntl_getfl(fd)?;
        fcntl_setfl(fd, before | OFlags::NONBLOCK)?;
        Ok(Self { fd, before })
    }
}

impl Drop for Unblocked<'_> {
    fn drop(&mut self) {
        let _ = fcntl_setfl(self.fd, self.before);
    }
}
