//! Bytes of a disk between what blocks and what does not, hashed on the way. A bounded channel lies between, so that memory
//! is the same whatever the disk's size; and a break is never taken for an end.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use blake3::Hasher;
use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::records::Sum;

/// What goes over at once.
const CHUNK: usize = 512 << 10;

/// So many of them may be on the way.
const CHUNKS: usize = 8;

/// Bytes that have passed, for whoever looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed(Arc<AtomicU64>);

impl Passed {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }
}

/// A disk that is read on a thread of its own.
pub(crate) struct Incoming {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    /// So much of the current chunk was taken.
    taken: usize,
    ended: bool,
    /// Where chunks go that were taken: memory that is used again has not to be made and cleared each time.
    used: mpsc::Sender<Vec<u8>>,
}

/// Reads a disk of so many bytes. The second value tells its hash when it has ended.
pub(crate) fn read(
    mut disk: Box<dyn Read + Send>,
    size: u64,
    passed: &Passed,
) -> (Incoming, JoinHandle<io::Result<Sum>>) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let (used, mut free) = mpsc::channel(CHUNKS + 2);
    let passed = passed.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut chunk = || free.try_recv().unwrap_or_default();
        let ended = pump(&mut disk, size, &passed, &mut chunk, &mut |chunk| {
            sender.blocking_send(Ok(chunk)).map_err(|_| io::Error::other("nobody takes the disk any more"))
        });
        if let Err(error) = &ended {
            let error = io::Error::new(error.kind(), error.to_string());
            // Nobody may be there any more.
            let _ = sender.blocking_send(Err(error));
        }
        ended
    });
    (Incoming { chunks, current: Vec::new(), taken: 0, ended: false, used }, reading)
}

/// Reads to the end, which has to be where it was said. An empty chunk is the end.
fn pump(
    disk: &mut dyn Read,
    size: u64,
    passed: &Passed,
    chunk: &mut dyn FnMut() -> Vec<u8>,
    send: &mut dyn FnMut(Vec<u8>) -> io::Result<()>,
) -> io::Result<Sum> {
    let mut hash = Hasher::new();
    let mut bytes = 0_u64;
    loop {
        let mut chunk = chunk();
        chunk.resize(CHUNK, 0);
        let mut filled = 0;
        while filled < chunk.len() {
            match disk.read(&mut chunk[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        chunk.truncate(filled);
        if chunk.is_empty() {
            break;
        }
        hash.update(&chunk);
        bytes += u64::try_from(filled).unwrap_or(0);
        if bytes > size {
            return Err(wrong_size(&format!("more than {size} bytes")));
        }
        send(chunk)?;
        passed.add(filled);
    }
    if bytes != size {
        return Err(wrong_size(&format!("{bytes} of {size} bytes")));
    }
    send(Vec::new())?;
    Ok(Sum { bytes, hash: hash.finalize() })
}

fn wrong_size(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the disk ended with {found}"))
}

impl AsyncBufRead for Incoming {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.taken == this.current.len() && !this.ended {
            match this.chunks.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => {
                    this.ended = chunk.is_empty();
                    this.taken = 0;
                    // Where the reader has enough of them, or is gone, it is let go.
                    let _ = this.used.try_send(std::mem::replace(&mut this.current, chunk));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the disk broke off",
                    )));
                }
            }
        }
        Poll::Ready(Ok(&this.current[this.taken..]))
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        self.taken = self.current.len().min(self.taken + bytes);
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Poll::Ready(filled) = self.as_mut().poll_fill_buf(cx)? else { return Poll::Pending };
        let length = filled.len().min(buffer.remaining());
        buffer.put_slice(&filled[..length]);
        self.consume(length);
        Poll::Ready(Ok(()))
    }
}

/// A disk that is written on a thread of its own.
pub(crate) struct Outgoing {
    chunks: Option<tokio_util::sync::PollSender<Bytes>>,
}

/// Hashes what comes, and writes it to `to` where that is given. The second value tells its hash when the first was shut
/// down and all is written; dropped without that, the rest is an error.
pub(crate) fn write(
    to: Option<Box<dyn Write + Send>>,
    passed: &Passed,
) -> (Outgoing, JoinHandle<io::Result<Sum>>) {
    let (sender, mut chunks) = mpsc::channel::<Bytes>(CHUNKS);
    let passed = passed.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut to = to;
        let mut hash = Hasher::new();
        let mut bytes = 0_u64;
        while let Some(chunk) = chunks.blocking_recv() {
            if chunk.is_empty() {
                if let Some(to) = &mut to {
                    to.flush()?;
                }
                return Ok(Sum { bytes, hash: hash.finalize() });
            }
            hash.update(&chunk);
            if let Some(to) = &mut to {
                to.write_all(&chunk)?;
            }
            bytes += u64::try_from(chunk.len()).unwrap_or(0);
            passed.add(chunk.len());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "what is restored broke off"))
    });
    (Outgoing { chunks: Some(tokio_util::sync::PollSender::new(sender)) }, writing)
}

impl Outgoing {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Bytes) -> Poll<io::Result<()>> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "nobody writes the disk any more");
        let Some(chunks) = &mut self.chunks else { return Poll::Ready(Err(gone())) };
        match chunks.poll_reserve(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(chunks.send_item(chunk).map_err(|_| gone())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(gone())),
        }
    }

    /// Says that this was all.
    pub(crate) async fn end(mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_send(cx, Bytes::new())).await
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_send(cx, Bytes::copy_from_slice(bytes)).map_ok(|()| bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Not the end: whoever gives the bytes says so himself, when he knows that they were all ([`Outgoing::end`]).
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Bytes that break off with an error, or just end.
    struct Breaks(u64, bool);

    impl Read for Breaks {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return if self.1 { Err(io::Error::other("the host went away")) } else { Ok(0) };
            }
            let length = into.len().min(usize::try_from(self.0).unwrap());
            into[..length].fill(7);
            self.0 -= length as u64;
            Ok(length)
        }
    }

    #[tokio::test]
    async fn a_disk_passes_and_its_hash_is_told() {
        for size in [0, 1, CHUNK as u64, 5 * CHUNK as u64 + 3] {
            let passed = Passed::default();
            let (mut incoming, reading) = read(Box::new(Breaks(size, false)), size, &passed);
            let mut all = Vec::new();
            incoming.read_to_end(&mut all).await.unwrap();
            let sum = reading.await.unwrap().unwrap();
            assert_eq!((sum.bytes, all.len() as u64, passed.bytes()), (size, size, size));
            assert_eq!(sum.hash, blake3::hash(&all));
            let (mut outgoing, writing) = write(Some(Box::new(io::sink())), &Passed::default());
            outgoing.write_all(&all).await.unwrap();
            outgoing.end().await.unwrap();
            assert_eq!(writing.await.unwrap().unwrap(), sum);
        }
    }

    #[tokio::test]
    async fn what_breaks_off_never_ends() {
        for (disk, size, why) in [
            (Breaks(CHUNK as u64 * 2, true), CHUNK as u64 * 3, "the host went away"),
            (Breaks(10, false), 11, "the disk is shorter than it was said"),
            (Breaks(12, false), 11, "it is longer"),
        ] {
            let (mut incoming, reading) = read(Box::new(disk), size, &Passed::default());
            assert!(incoming.read_to_end(&mut Vec::new()).await.is_err(), "{why}");
            assert!(reading.await.unwrap().is_err(), "{why}");
        }
        let (mut outgoing, writing) = write(None, &Passed::default());
        outgoing.write_all(b"half").await.unwrap();
        outgoing.shutdown().await.unwrap();
        drop(outgoing);
        assert!(writing.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn who_writes_no_more_is_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut outgoing, writing) = write(Some(Box::new(Full)), &Passed::default());
        let mut written = Ok(());
        for _ in 0..100 {
            written = outgoing.write_all(b"bytes").await;
            if written.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::StorageFull);
        drop(written);
    }
}
