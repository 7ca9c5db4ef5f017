//! Bytes of a disk on their way into restic and out of it, hashed on the way. Memory is the same whatever the disk's size; and
//! a break is never taken for an end.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use blake3::Hasher;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::records::Sum;

/// What is read at once: little enough to be in a processor's cache still when it is hashed and written.
const CHUNK: usize = 256 << 10;

/// So many writes may be on the way to what blocks.
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

/// Reads a disk of so many bytes to its end, which has to be where it was said, and writes it. Gives its hash.
pub(crate) fn read(disk: &mut dyn Read, size: u64, passed: &Passed, into: &mut dyn Write) -> io::Result<Sum> {
    let (mut hash, mut bytes) = (Hasher::new(), 0_u64);
    let mut chunk = vec![0; CHUNK];
    loop {
        let mut filled = 0;
        while filled < chunk.len() {
            match disk.read(&mut chunk[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            break;
        }
        let chunk = &chunk[..filled];
        hash.update(chunk);
        bytes += u64::try_from(filled).unwrap_or(0);
        if bytes > size {
            return Err(wrong_size(&format!("more than {size} bytes")));
        }
        into.write_all(chunk)?;
        passed.add(filled);
    }
    if bytes != size {
        return Err(wrong_size(&format!("{bytes} of {size} bytes")));
    }
    Ok(Sum { bytes, hash: hash.finalize() })
}

fn wrong_size(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the disk ended with {found}"))
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
    use tokio::io::AsyncWriteExt as _;

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
            let (passed, mut all) = (Passed::default(), Vec::new());
            let sum = read(&mut Breaks(size, false), size, &passed, &mut all).unwrap();
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
        for (mut disk, size, why) in [
            (Breaks(CHUNK as u64 * 2, true), CHUNK as u64 * 3, "the host went away"),
            (Breaks(10, false), 11, "the disk is shorter than it was said"),
            (Breaks(12, false), 11, "it is longer"),
        ] {
            let mut all = Vec::new();
            assert!(read(&mut disk, size, &Passed::default(), &mut all).is_err(), "{why}");
            assert!(all.len() as u64 <= size, "{why}");
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
