//! Reading a repository to see that it is whole.

use serde::Deserialize;

use crate::child::Input;
use crate::error::Error;
use crate::output::Output;
use crate::repository::{Bounds, Repository};

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

    /// How much it holds.
    pub async fn contents(&self, bounds: &Bounds) -> Result<Contents, Error> {
        self.ask(["stats", "--json", "--no-lock", "--mode", "raw-data"].map(Into::into), bounds).await
    }
}
