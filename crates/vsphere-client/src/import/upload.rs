//! One disk's stream, as it goes to the host that keeps the disk.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use reqwest::header::{CONTENT_TYPE, COOKIE};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::error::Cause;
use crate::lease::{LeaseHandle, Lost, Moved, OpenLease, refused_certificate};
use crate::{LeaseDisk, LeaseError};

/// What vSphere takes for a disk, and not for another file, by this name and by POST.
const STREAM: &str = "application/x-vnd.vmware-streamVmdk";

/// What goes over at once.
const PIECE: usize = 256 << 10;

/// Pieces that wait to be taken: more would only be memory.
const WAITING: usize = 4;

/// The stream-optimized VMDK of a disk, as a blocking writer: to be written outside of
/// asynchronous code, as under `spawn_blocking`. Its errors hold a [`LeaseError`].
///
/// The disk is written when [`Upload::finish`] says so. Dropped before that, the upload breaks off,
/// and the host is not told that it was whole.
#[derive(Debug)]
pub struct Upload {
    pieces: mpsc::Sender<Piece>,
    current: Vec<u8>,
    /// What became of it; none once that was told.
    outcome: Option<oneshot::Receiver<Result<(), LeaseError>>>,
    runtime: Handle,
    host: String,
    silence: Duration,
    sent: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    End,
}

/// Begins the request. That it is answered before its end, or broken off, the writer hears.
pub(super) async fn start(lease: &OpenLease, disk: &LeaseDisk) -> Result<Upload, LeaseError> {
    let http = lease.client().transport().to_host(disk.pin.as_ref())?;
    let (pieces, waiting) = mpsc::channel(WAITING);
    let sent = Arc::new(AtomicU64::new(0));
    let outgoing = Outgoing { pieces: waiting, moved: lease.moved.clone(), sent: sent.clone() };
    let mut request = http.post(disk.url.clone()).header(CONTENT_TYPE, STREAM);
    // Who has the URL may write the disk. The session goes to vCenter alone, which may want it.
    if disk.own {
        request = request.header(COOKIE, lease.client().session().await?.cookie.expose());
    }
    // How long it is is not known before its end: it goes in chunks, as in VMware's own samples.
    let request = request.body(reqwest::Body::wrap(outgoing));
    let (sender, outcome) = oneshot::channel();
    let pump = Pump { host: disk.host(), sent: sent.clone(), lease: lease.handle(), lost: lease.lost() };
    lease.runtime().spawn(pump.run(request, sender));
    Ok(Upload {
        pieces,
        current: Vec::with_capacity(PIECE),
        outcome: Some(outcome),
        runtime: lease.runtime().clone(),
        host: disk.host(),
        silence: lease.silence,
        sent,
    })
}

/// Waits for what becomes of the request.
struct Pump {
    host: String,
    sent: Arc<AtomicU64>,
    lease: LeaseHandle,
    lost: Lost,
}

impl Pump {
    async fn run(
        mut self,
        request: reqwest::RequestBuilder,
        mut writer: oneshot::Sender<Result<(), LeaseError>>,
    ) {
        let answered = tokio::select! {
            biased;
            () = writer.closed() => return,
            lost = self.lost.wait() => Err(lost),
            answered = request.send() => Ok(answered),
        };
        let outcome = match answered {
            Ok(answered) => self.read(answered).await,
            Err(lost) => Err(lost),
        };
        // Nobody may be there any more.
        let _ = writer.send(outcome);
    }

    async fn read(self, answered: reqwest::Result<reqwest::Response>) -> Result<(), LeaseError> {
        let Pump { host, sent, lease, .. } = self;
        match answered {
            Ok(answer) if answer.status().is_success() => Ok(()),
            // The address of a lease that has ended is no address any more.
            Ok(answer) if answer.status().is_client_error() && lease.is_gone().await => {
                Err(LeaseError::LeaseExpired)
            }
            Ok(answer) => Err(LeaseError::Http { host, status: answer.status().as_u16() }),
            Err(error) if refused_certificate(&error) => Err(LeaseError::Untrusted { host }),
            Err(error) if error.is_connect() => {
                Err(LeaseError::Connect { host, cause: Cause::new(error.without_url()) })
            }
            // vSphere hangs up when it ends a lease, and may do so before we hear of that.
            Err(_) if lease.is_gone().await => Err(LeaseError::LeaseExpired),
            Err(error) => Err(LeaseError::Broken {
                host,
                bytes: sent.load(Ordering::Relaxed),
                cause: Cause::new(error.without_url()),
            }),
        }
    }
}

impl Upload {
    /// Ends the stream, and returns when the host has said that it has the disk. Blocking.
    pub fn finish(mut self) -> Result<(), LeaseError> {
        self.pass_on()?;
        self.send(Piece::End)?;
        let outcome = self.outcome.take().ok_or(LeaseError::Ended)?;
        let answered = self.runtime.block_on(async { timeout(self.silence, outcome).await });
        answered.map_err(|_| self.silent())?.unwrap_or(Err(LeaseError::Ended))
    }

    fn pass_on(&mut self) -> Result<(), LeaseError> {
        if self.current.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.current, Vec::with_capacity(PIECE));
        self.send(Piece::Bytes(piece.into()))
    }

    /// Waits until there is room for it. The time in which nothing is written is not the host's silence.
    fn send(&mut self, piece: Piece) -> Result<(), LeaseError> {
        let mut outcome = self.outcome.take().ok_or(LeaseError::Ended)?;
        let sent = self.runtime.block_on(async {
            tokio::select! {
                biased;
                // Before the stream's end, any answer is a refusal.
                answered = &mut outcome => Err(answered.unwrap_or(Err(LeaseError::Ended)).err().unwrap_or(LeaseError::Ended)),
                sent = timeout(self.silence, self.pieces.send(piece)) => Ok(sent),
            }
        })?;
        match sent {
            Ok(Ok(())) => {
                self.outcome = Some(outcome);
                Ok(())
            }
            // It is taken no more: what became of the request tells why.
            Ok(Err(_)) => {
                let answered = self.runtime.block_on(async { timeout(self.silence, outcome).await });
                Err(match answered {
                    Ok(Ok(Err(error))) => error,
                    _ => LeaseError::Ended,
                })
            }
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> LeaseError {
        let bytes = self.sent.load(Ordering::Relaxed);
        LeaseError::Silent { host: self.host.clone(), silence: self.silence, bytes }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.current.len();
        let taken = &bytes[..room.min(bytes.len())];
        self.current.extend_from_slice(taken);
        if self.current.len() == PIECE {
            self.pass_on()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.pass_on()?)
    }
}

/// The body of the request.
struct Outgoing {
    pieces: mpsc::Receiver<Piece>,
    moved: Arc<Moved>,
    sent: Arc<AtomicU64>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.pieces.poll_recv(cx).map(|piece| match piece {
            Some(Piece::Bytes(bytes)) => {
                self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                self.moved.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Some(Ok(Frame::data(bytes)))
            }
            Some(Piece::End) => None,
            // A break must never look like an end.
            None => Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the disk broke off"))),
        })
    }
}
