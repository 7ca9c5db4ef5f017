//! Reading a repository to see that it is whole.

use serde::Deserialize;

use crate::child::Input;
use crate::error::Error;
use crate::output::Output;
use crate::repository::{Bounds, Repository, argument};
use crate::snapshots::Snapshot;

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

    /// Opens it and reads its `config`: whether a key and the repository belong together.
    pub async fn open(&self, bounds: &Bounds) -> Result<(), Error> {
        let arguments = ["cat", "config", "--no-lock"];
        self.call(arguments, Input::Nothing, Output::Stream(&mut tokio::io::sink()), bounds).await
    }

    /// Whether one file is what it should be, as far as it can be decrypted and read. Of an index restic only says that
    /// it is encrypted; so what it prints is read by the form that it has to have.
    pub async fn is_readable(&self, part: Part, id: &str, bounds: &Bounds) -> Result<bool, Error> {
        let name = match part {
            Part::Index => "index",
            Part::Snapshot => "snapshot",
        };
        let arguments = ["cat", name, argument(id)?, "--no-lock"].map(Into::into);
        let read = match part {
            Part::Index => self.ask::<Index>(arguments, bounds).await.map(drop),
            Part::Snapshot => self.ask(arguments, bounds).await.and_then(|content| is_snapshot(content, id)),
        };
        match read {
            Ok(()) => Ok(true),
            Err(error) if error.is_of_content() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// How restic says that this machine has not what it needs.
const OF_THIS_MACHINE: &[&str] =
    &["out of memory", "cannot allocate memory", "input/output error", "too many open files"];

impl Error {
    /// Whether it tells of what was read, and not of this machine: a child that was killed, had no memory, or could not
    /// read the disk, has said nothing of any file's content.
    pub fn is_of_content(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::Answer(_) | Self::NotFound { .. } | Self::NoRepository => true,
            Self::Failed { code, last } => {
                code.is_some() && !OF_THIS_MACHINE.iter().any(|it| last.contains(it))
            }
            _ => false,
        }
    }
}

/// An index. What is not known is refused: restic takes letters of either case for a field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only that it can be read is asked")]
struct Index {
    #[serde(default)]
    supersedes: Option<Vec<Id>>,
    #[serde(default)]
    packs: Option<Vec<Pack>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only that it can be read is asked")]
struct Pack {
    id: Id,
    #[serde(default)]
    blobs: Option<Vec<Blob>>,
}

/// restic dies of numbers that do not fit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only that it can be read is asked")]
struct Blob {
    id: Id,
    #[serde(rename = "type")]
    kind: Kind,
    offset: u32,
    length: u32,
    #[serde(default)]
    uncompressed_length: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Data,
    Tree,
}

/// 64 hexadecimal digits.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Id;

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self)
        } else {
            Err("no id")
        }
    }
}

/// Whether this is a snapshot, as the list of all of them has it.
fn is_snapshot(mut content: serde_json::Value, id: &str) -> Result<(), Error> {
    if let Some(fields) = content.as_object_mut() {
        fields.insert("id".to_owned(), id.into());
    }
    let read: Result<Snapshot, _> = serde_json::from_value(content);
    read.map(drop).map_err(|error| Error::Answer(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_index_and_no_snapshot_is_not_read() {
        let id = "ab".repeat(32);
        let index = |packs: &str| serde_json::from_str::<Index>(&packs.replace("ID", &id)).is_ok();
        let blob =
            r#"{"packs": [{"id": "ID", "blobs": [{"id": "ID", "type": "data", "offset": 0, "length": 9}]}]}"#;
        assert!(index(blob) && index(r#"{"supersedes": ["ID"], "packs": null}"#));
        for (wrong, why) in [
            (r#"{"packs": 7}"#.to_owned(), "no list"),
            (r#"{"PACKS": 7}"#.to_owned(), "restic takes it for packs"),
            (r#"{"packs": [{"id": "ab"}]}"#.to_owned(), "no id"),
            (blob.replace("data", "lock"), "no kind of blob"),
            (blob.replace('9', "4294967296"), "restic dies of that"),
            ("no JSON".to_owned(), "nothing"),
        ] {
            assert!(!index(&wrong), "{why}: {wrong}");
        }
        let snapshot = |time: &str| is_snapshot(serde_json::json!({"time": time, "tree": &id}), &id).is_ok();
        assert!(snapshot("2026-11-28T07:07:00.5+01:00"));
        assert!(!snapshot("9999-12-31T23:59:59Z") && !snapshot("never"));
        assert!(is_snapshot(serde_json::json!([7]), &id).is_err());
    }

    #[test]
    fn what_this_machine_lacks_says_nothing_of_a_file() {
        let failed = |code, last: &str| Error::Failed { code, last: last.to_owned() };
        assert!(failed(Some(2), "panic: runtime error: slice bounds out of range").is_of_content());
        for of_this_machine in [failed(None, ""), failed(Some(2), "fatal error: runtime: out of memory")] {
            assert!(!of_this_machine.is_of_content(), "{of_this_machine}");
        }
        assert!(!Error::Cancelled.is_of_content() && !Error::WrongPassword.is_of_content());
    }
}
