//! A backup from a stream.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::child::Input;
use crate::error::Error;
use crate::output::Output;
use crate::repository::{Bounds, Repository, argument};

/// What a snapshot is to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// The one file in it, from the root on.
    pub path: String,
    /// The host's name that it carries.
    pub host: String,
    /// Its tags. restic parts tags at commas, so none has one.
    pub tags: Vec<String>,
    /// The time that it carries; the clock's where it has none.
    pub time: Option<Timestamp>,
}

/// How far a backup has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the stream that were read.
    pub bytes: u64,
}

/// What a backup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The snapshot's id, or the beginning of it: 0.14 tells but 8 digits.
    pub snapshot: String,
    /// Bytes of the stream.
    pub bytes: u64,
    /// Bytes that were new to the repository, before compression.
    pub added: u64,
}

/// A line of restic's.
#[derive(Deserialize)]
struct Line {
    message_type: String,
    #[serde(default)]
    bytes_done: u64,
    #[serde(default)]
    total_bytes_processed: u64,
    #[serde(default)]
    data_added: u64,
    #[serde(default)]
    snapshot_id: Option<String>,
}

impl Repository {
    /// Saves what the source writes as a snapshot, and gives what the source gave. It writes on a thread of its own, as fast
    /// as restic takes it. A call that ends early does not wait for it: where nobody takes it any more, its next write fails.
    ///
    /// The snapshot exists only after the stream has come to its end: where it breaks off, the call is cancelled or this
    /// process dies, there is none, but for one case. If this process is killed, the kernel closes the stream a moment
    /// before it kills restic; so a backup counts when its caller has written something after it that says so.
    pub async fn backup<T: Send + 'static>(
        &self,
        backup: &Backup,
        source: impl FnOnce(&mut dyn Write) -> io::Result<T> + Send + 'static,
        mut progress: impl FnMut(Progress) + Send,
        bounds: &Bounds,
    ) -> Result<(Summary, T), Error> {
        let mut summary = None;
        let mut hear = |line: &[u8]| {
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                match line.message_type.as_str() {
                    "status" => progress(Progress { bytes: line.bytes_done }),
                    "summary" => summary = Some(line),
                    _ => {}
                }
            }
        };
        let arguments = backup.arguments()?;
        let (tell, mut told) = oneshot::channel();
        let source = Box::new(move |into: &mut dyn Write| {
            // Nobody may be there any more.
            let _ = tell.send(source(into)?);
            Ok(())
        });
        self.call(arguments, Input::Stream(source), Output::Lines(&mut hear), bounds).await?;
        let given =
            told.try_recv().map_err(|_| Error::Answer("the backup ended before its stream".to_owned()))?;
        match summary {
            Some(Line {
                snapshot_id: Some(snapshot),
                total_bytes_processed: bytes,
                data_added: added,
                ..
            }) => Ok((Summary { snapshot, bytes, added }, given)),
            _ => Err(Error::Answer("the backup ended without a summary".to_owned())),
        }
    }
}

impl Backup {
    fn arguments(&self) -> Result<Vec<String>, Error> {
        if !self.path.starts_with('/') {
            return Err(Error::Unusable(format!("{:?} as a path in a snapshot", self.path)));
        }
        let mut all: Vec<String> =
            ["backup", "--json", "--stdin", "--stdin-filename"].map(Into::into).to_vec();
        all.push(argument(&self.path)?.to_owned());
        all.extend(["--host".to_owned(), argument(&self.host)?.to_owned()]);
        for tag in &self.tags {
            if tag.contains(',') {
                return Err(Error::Unusable(format!("{tag:?} as a tag: restic parts it at the comma")));
            }
            all.extend(["--tag".to_owned(), argument(tag)?.to_owned()]);
        }
        if let Some(time) = self.time {
            // restic reads it in the zone of its own clock, which is UTC for every child.
            let time = time.to_zoned(TimeZone::UTC);
            all.extend(["--time".to_owned(), time.strftime("%Y-%m-%d %H:%M:%S").to_string()]);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_utc() {
        let time = "2026-11-28T22:15:00Z".parse().ok();
        let backup =
            Backup { path: "/fs01/data.raw".to_owned(), host: "fs01".to_owned(), time, ..Backup::default() };
        let arguments = backup.arguments().unwrap();
        assert_eq!(arguments[arguments.len() - 2..], ["--time", "2026-11-28 22:15:00"]);
    }
}
