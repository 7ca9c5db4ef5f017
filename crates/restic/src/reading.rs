//! Reading a repository to see that it is whole.

use serde::Deserialize;

use crate::child::Input;
use crate::error::Error;
use crate::output::Output;
use crate::repository::{Bounds, Repository, argument};

/// How much of the data a check reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Read {
    /// None: only that all is there that indexes, snapshots and trees name.
    #[default]
    Nothing,
    /// The n-th of so many parts, from 1 on. All parts after each other read everything.
    Part {
        /// Which.
        part: u32,
        /// Of how many.
        of: u32,
    },
    /// Everything.
    All,
}

/// A file of a repository that can be read by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An index.
    Index,
    /// A snapshot.
    Snapshot,
}

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Contents {
    /// Bytes of data, as they are stored.
    #[serde(rename = "total_size")]
    pub bytes: u64,
    /// Pieces.
    #[serde(rename = "total_blob_count", default)]
    pub blobs: u64,
}

/// Bytes of the shortest file that restic can have encrypted: 16 of a nonce, 16 of a MAC, and nothing between.
pub const SHORTEST: u64 = 32;

impl Repository {
    /// Checks that the repository is whole. Takes a lock that excludes all others.
    ///
    /// # Errors
    /// [`Error::Damaged`] names what is not.
    pub async fn check(&self, read: Read, bounds: &Bounds) -> Result<(), Error> {
        let mut arguments = vec!["check".to_owned()];
        match read {
            Read::Nothing => {}
            Read::All => arguments.push("--read-data".to_owned()),
            Read::Part { part, of } if (1..=of).contains(&part) => {
                arguments.push(format!("--read-data-subset={part}/{of}"));
            }
            Read::Part { part, of } => return Err(Error::Unusable(format!("part {part} of {of}"))),
        }
        self.call(arguments, Input::Nothing, Output::Words, bounds).await
    }

    /// Reads every index. One file that is none makes all of them unreadable to restic. Not to be asked where one is shorter
    /// than [`SHORTEST`]: of that 0.14 dies in one of its threads, and another may have answered before.
    pub async fn read_indexes(&self, bounds: &Bounds) -> Result<(), Error> {
        let nothing = "0".repeat(64);
        match self.call(["cat", "blob", &nothing, "--no-lock"], Input::Nothing, Output::Words, bounds).await {
            // It has looked everywhere.
            Err(Error::Failed { last, .. }) if last.contains("blob not found") => Ok(()),
            looked => looked,
        }
    }

    /// Whether one file is what it should be, as far as restic can decrypt and read it.
    pub async fn is_readable(&self, part: Part, id: &str, bounds: &Bounds) -> Result<bool, Error> {
        let part = match part {
            Part::Index => "index",
            Part::Snapshot => "snapshot",
        };
        let arguments = ["cat", part, argument(id)?, "--no-lock"];
        match self.call(arguments, Input::Nothing, Output::Stream(&mut tokio::io::sink()), bounds).await {
            Ok(()) => Ok(true),
            Err(Error::Failed { .. } | Error::Damaged(_) | Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How much it holds.
    pub async fn contents(&self, bounds: &Bounds) -> Result<Contents, Error> {
        self.ask(["stats", "--json", "--no-lock", "--mode", "raw-data"].map(Into::into), bounds).await
    }
}
