//! Snapshots: which there are, what goes, and what lies in them.

use jiff::Timestamp;
use serde::Deserialize;
use tokio::io::AsyncWrite;

use crate::child::Input;
use crate::error::Error;
use crate::output::Output;
use crate::repository::{Bounds, Repository, argument};

/// So many ids are given to restic at once.
const AT_ONCE: usize = 500;

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Its id, 64 hexadecimal digits: the name of its file.
    pub id: String,
    /// The time that it carries. Whoever made it chose it.
    pub time: Timestamp,
    /// The host's name that it carries.
    #[serde(default)]
    pub hostname: String,
    /// What was backed up.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

impl Snapshot {
    /// The value of the tag `name=value`.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Which snapshots. All where nothing is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those that carry all of these tags.
    pub tags: Vec<String>,
}

impl Repository {
    /// The snapshots, the oldest first. Takes no lock, so that it can be asked at any time.
    pub async fn snapshots(&self, filter: &Filter, bounds: &Bounds) -> Result<Vec<Snapshot>, Error> {
        let mut all: Vec<String> = ["snapshots", "--json", "--no-lock"].map(Into::into).to_vec();
        if !filter.tags.is_empty() {
            let tags = filter.tags.iter().map(|tag| argument(tag)).collect::<Result<Vec<_>, _>>()?;
            all.extend(["--tag".to_owned(), tags.join(",")]);
        }
        // Where there is none, 0.14 says null.
        let snapshots: Option<Vec<Snapshot>> = self.ask(all, bounds).await?;
        let mut snapshots = snapshots.unwrap_or_default();
        snapshots.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Ok(snapshots)
    }

    /// Forgets exactly these snapshots, by their whole ids. One that is not there is no error.
    pub async fn forget(&self, ids: &[String], bounds: &Bounds) -> Result<(), Error> {
        if let Some(wrong) =
            ids.iter().find(|id| id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err(Error::Unusable(format!("{wrong:?} as a snapshot's whole id")));
        }
        for some in ids.chunks(AT_ONCE) {
            let arguments = std::iter::once("forget").chain(some.iter().map(String::as_str));
            self.call(arguments, Input::Nothing, Output::Words, bounds).await?;
        }
        Ok(())
    }

    /// Removes what no snapshot needs.
    pub async fn prune(&self, bounds: &Bounds) -> Result<(), Error> {
        self.call(["prune"], Input::Nothing, Output::Words, bounds).await
    }

    /// Writes a file of a snapshot to `into`, as fast as it takes it.
    pub async fn dump(
        &self,
        snapshot: &str,
        path: &str,
        into: &mut (dyn AsyncWrite + Unpin + Send),
        bounds: &Bounds,
    ) -> Result<(), Error> {
        let arguments = ["dump", argument(snapshot)?, argument(path)?];
        self.call(arguments, Input::Nothing, Output::Stream(into), bounds).await
    }
}
