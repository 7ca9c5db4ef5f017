//! Where a child's output goes, and how much of it is held at once.

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use crate::error::{Error, Words};

/// A line is cut after so many bytes.
const LINE: usize = 64 * 1024;

/// What is read and written at once.
const CHUNK: usize = 256 * 1024;

/// Where a child's standard output goes.
pub(crate) enum Output<'a> {
    /// Nowhere, but for the last words.
    Words,
    /// Line by line.
    Lines(&'a mut (dyn FnMut(&[u8]) + Send)),
    /// Whole, up to a number of bytes.
    Document(&'a mut Vec<u8>, usize),
    /// On to somebody else, as it comes.
    Stream(&'a mut (dyn AsyncWrite + Unpin + Send)),
}

impl Output<'_> {
    /// Reads until the child closes its output.
    pub(crate) async fn take(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        words: &mut Words,
    ) -> Result<(), Error> {
        match self {
            Self::Words => lines(from, |line| words.hear(line)).await,
            Self::Lines(hear) => lines(from, hear).await,
            Self::Document(into, limit) => {
                let limit = *limit;
                let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
                from.take(most).read_to_end(into).await?;
                if into.len() > limit {
                    Err(Error::Answer(format!("longer than {limit} bytes")))
                } else {
                    Ok(())
                }
            }
            Self::Stream(into) => {
                let mut chunk = vec![0; CHUNK];
                loop {
                    let length = from.read(&mut chunk).await?;
                    if length == 0 {
                        return into.flush().await.map_err(Error::Target);
                    }
                    into.write_all(&chunk[..length]).await.map_err(Error::Target)?;
                }
            }
        }
    }
}

/// Reads lines, cutting what is longer than any of restic's.
pub(crate) async fn lines(
    from: &mut (impl AsyncRead + Unpin),
    mut hear: impl FnMut(&[u8]),
) -> Result<(), Error> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        let available = from.fill_buf().await?;
        if available.is_empty() {
            if !line.is_empty() {
                hear(&line);
            }
            return Ok(());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let room = LINE.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            hear(&line);
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_and_none_is_lost() {
        let mut text = vec![b'x'; 3 * LINE];
        text.extend_from_slice(b"\n\nshort\nlast");
        let mut heard = Vec::new();
        lines(&mut text.as_slice(), |line| heard.push(line.len())).await.unwrap();
        assert_eq!(heard, [LINE, 0, 5, 4]);
    }

    #[tokio::test]
    async fn a_document_has_a_limit() {
        for (limit, fits) in [(9, false), (10, true)] {
            let mut text = Vec::new();
            let taken = Output::Document(&mut text, limit)
                .take(&mut b"0123456789".as_slice(), &mut Words::default())
                .await;
            assert_eq!(taken.is_ok(), fits);
        }
    }
}
