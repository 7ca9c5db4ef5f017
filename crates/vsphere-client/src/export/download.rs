//! One disk's stream, as it comes from the host that has the disk.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes};
use reqwest::header::COOKIE;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::error::Cause;
use crate::lease::{LeaseHandle, Lost, Moved, OpenLease, refused_certificate};
use crate::{LeaseDisk, LeaseError};

/// Bytes that go to the reader at once. What the network gives at once are some 16 KiB, and to wake somebody for so few takes
/// longer than to read them.
const PIECE: usize = 256 << 10;

/// Pieces that wait to be read: more would only be memory.
const WAITING: usize = 4;

/// The stream-optimized VMDK of a disk, as a blocking reader: to be read outside of asynchronous
/// code, as under `spawn_blocking`. Its errors hold an [`LeaseError`].
///
/// It takes no more from the network than is read from it, but for a few pieces. Dropping it ends
/// the download.
#[derive(Debug)]
pub struct Download {
    pieces: mpsc::Receiver<Result<Piece, LeaseError>>,
    current: VecDeque<Bytes>,
    state: State,
}

#[derive(Debug)]
enum Piece {
    /// None of them is empty.
    Bytes(VecDeque<Bytes>),
    End,
}

#[derive(Debug)]
enum State {
    Open,
    Whole,
    Failed,
}

/// Asks for a disk, and returns when the host begins to answer.
pub(super) async fn request(lease: &OpenLease, disk: &LeaseDisk) -> Result<reqwest::Response, LeaseError> {
    let (client, silence) = (lease.client(), lease.silence);
    let http = client.transport().to_host(disk.pin.as_ref())?;
    let mut request = http.get(disk.url.clone());
    // Who has the URL may read the disk. The session goes to vCenter alone, which may want it.
    if disk.own {
        request = request.header(COOKIE, client.session().await?.cookie.expose());
    }
    let host = disk.host();
    let response = match timeout(silence, request.send()).await {
        Err(_) => return Err(LeaseError::Silent { host, silence, bytes: 0 }),
        Ok(Err(error)) if refused_certificate(&error) => return Err(LeaseError::Untrusted { host }),
        Ok(Err(error)) => return Err(LeaseError::Connect { host, cause: Cause::new(error.without_url()) }),
        Ok(Ok(response)) => response,
    };
    match response.status().as_u16() {
        200 => Ok(response),
        // The address of a lease that has ended is no address any more.
        400..500 if lease.handle().is_gone().await => Err(LeaseError::LeaseExpired),
        status => Err(LeaseError::Http { host, status }),
    }
}

impl Download {
    pub(super) fn start(runtime: &Handle, pump: Pump) -> Download {
        let (sender, pieces) = mpsc::channel(WAITING);
        runtime.spawn(pump.run(sender));
        Download { pieces, current: VecDeque::new(), state: State::Open }
    }
}

impl Read for Download {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !out.is_empty() {
            match self.state {
                State::Open => {}
                State::Whole => return Ok(0),
                State::Failed => return Err(LeaseError::Ended.into()),
            }
            self.state = State::Failed;
            // Without a word at the end the task was ended, as when the runtime shuts down.
            match self.pieces.blocking_recv().unwrap_or(Err(LeaseError::Ended))? {
                Piece::Bytes(bytes) => (self.current, self.state) = (bytes, State::Open),
                Piece::End => self.state = State::Whole,
            }
        }
        let Some(bytes) = self.current.front_mut() else { return Ok(0) };
        let count = bytes.len().min(out.len());
        bytes.copy_to_slice(&mut out[..count]);
        if bytes.is_empty() {
            self.current.pop_front();
        }
        Ok(count)
    }
}

/// Moves a download from the network to its reader.
pub(super) struct Pump {
    pub(super) response: reqwest::Response,
    pub(super) host: String,
    pub(super) silence: Duration,
    pub(super) moved: Arc<Moved>,
    pub(super) lease: LeaseHandle,
    pub(super) lost: Lost,
    pub(super) bytes: u64,
}

impl Pump {
    async fn run(mut self, reader: mpsc::Sender<Result<Piece, LeaseError>>) {
        let (mut waiting, mut length) = (VecDeque::new(), 0);
        loop {
            let bytes = tokio::select! {
                biased;
                () = reader.closed() => return,
                bytes = self.next() => bytes,
            };
            let end = match bytes {
                Ok(Some(bytes)) if bytes.is_empty() => None,
                Ok(Some(bytes)) => {
                    length += bytes.len();
                    waiting.push_back(bytes);
                    None
                }
                Ok(None) => Some(Ok(Piece::End)),
                // vSphere hangs up when it ends a lease, and may do so before we hear of that.
                Err(LeaseError::Broken { .. } | LeaseError::Silent { .. }) if self.lease.is_gone().await => {
                    Some(Err(LeaseError::LeaseExpired))
                }
                Err(error) => Some(Err(error)),
            };
            // The time in which the reader is busy is not the network's silence.
            if length >= PIECE || (end.is_some() && length > 0) {
                length = 0;
                if reader.send(Ok(Piece::Bytes(std::mem::take(&mut waiting)))).await.is_err() {
                    return;
                }
            }
            if let Some(end) = end {
                // Nobody may be there any more.
                let _ = reader.send(end).await;
                return;
            }
        }
    }

    /// What comes next; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, LeaseError> {
        let (host, bytes, silence) = (&self.host, self.bytes, self.silence);
        let piece = tokio::select! {
            biased;
            lost = self.lost.wait() => return Err(lost),
            piece = timeout(silence, self.response.chunk()) => piece,
        };
        match piece {
            Err(_) => Err(LeaseError::Silent { host: host.clone(), silence, bytes }),
            Ok(Err(error)) => {
                Err(LeaseError::Broken { host: host.clone(), bytes, cause: Cause::new(error.without_url()) })
            }
            Ok(Ok(piece)) => {
                let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
                self.bytes += length;
                self.moved.bytes.fetch_add(length, Ordering::Relaxed);
                Ok(piece)
            }
        }
    }
}
