//! How a stream ended, for the program that had it started.

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Transfer};

/// How a stream ended. A program in between (restic) passes on only text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What went over, where it ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Why it ended, where it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Reported>,
}

/// An error of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Which one.
    pub kind: ErrorKind,
    /// The same for people.
    pub message: String,
}

impl Report {
    /// Of what came of it.
    pub fn of(ended: &Result<Transfer, Error>) -> Self {
        match ended {
            Ok(transfer) => Self { transfer: Some(*transfer), error: None },
            Err(error) => {
                let error = Reported { kind: error.kind(), message: error.to_string() };
                Self { transfer: None, error: Some(error) }
            }
        }
    }
}
