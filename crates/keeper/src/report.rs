//! What the keeper found and did, for the agent's list and for people. It lies beside the copy.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{Kind, Name, Plain};
use crate::survey::Survey;

/// More of a kind are only counted.
const NAMED: usize = 100;

/// The longest report, in bytes. The agent passes on no longer one.
const LONGEST: usize = 60 << 10;

/// The longest name that is shown, in bytes.
const NAME: usize = 120;

/// The report of one tenant's last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When the run began.
    pub at: Timestamp,
    /// Files that were taken over in this run.
    pub taken_over: u64,
    /// Their bytes.
    pub taken_over_bytes: u64,
    /// Files that were put back in this run.
    pub put_back: u64,
    /// Bytes in the kept copy.
    pub kept_bytes: u64,
    /// Snapshots in the kept copy.
    pub kept_snapshots: u64,
    /// What went or was altered without us.
    pub tampering: Findings,
    /// When anything of the kind was last found, in this run or before.
    pub tampered_at: Option<Timestamp>,
    /// What is not what it was, or what its name says.
    pub damage: Findings,
    /// What makes retention let go of more than it should, if somebody meant it.
    #[serde(default)]
    pub doubts: Findings,
    /// What is none of restic's, and was left where it is.
    pub foreign: Findings,
    /// Files that restic is writing, or left half written.
    pub unfinished: u64,
    /// Whether the escrow key is in the copy.
    pub escrow: bool,
    /// What became of retention.
    pub retention: Retained,
    /// Runs that are no longer asked for, and are still kept.
    #[serde(default)]
    pub going: u64,
    /// When the first of them goes, unless it is asked for again.
    #[serde(default)]
    pub goes_at: Option<Timestamp>,
    /// When retention last removed anything.
    pub retained_at: Option<Timestamp>,
    /// Why the run did not come to its end, if it did not.
    pub error: Option<String>,
}

/// What became of retention in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all_fields = "camelCase")]
pub enum Retained {
    /// There is no policy, and all is kept.
    Off,
    /// Nothing was to go.
    Nothing,
    /// These went.
    Done {
        /// Snapshots that were forgotten.
        snapshots: u64,
        /// Bytes that the copy has less.
        freed_bytes: u64,
    },
    /// It waits for something that passes.
    Waiting {
        /// For what.
        why: String,
    },
    /// It refuses to remove anything until a person has looked.
    Stopped {
        /// Why.
        why: String,
    },
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The file, from the repository on.
    pub file: String,
    /// What is the matter with it.
    pub what: String,
}

/// Things found: the first hundred, and how many in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<Finding>,
}

impl Findings {
    pub(crate) fn add(&mut self, file: impl Into<String>, what: impl Into<String>) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(Finding { file: file.into(), what: what.into() });
        }
    }
}

impl Report {
    /// An empty one, which carries on from the one before it.
    pub(crate) fn begin(at: Timestamp, before: Option<&Self>) -> Self {
        Self {
            at,
            taken_over: 0,
            taken_over_bytes: 0,
            put_back: 0,
            kept_bytes: 0,
            kept_snapshots: 0,
            tampering: Findings::default(),
            tampered_at: before.and_then(|report| report.tampered_at),
            damage: Findings::default(),
            doubts: Findings::default(),
            foreign: Findings::default(),
            unfinished: 0,
            escrow: false,
            retention: Retained::Off,
            going: 0,
            goes_at: None,
            retained_at: before.and_then(|report| report.retained_at),
            error: None,
        }
    }

    /// Says what lies in the kept copy.
    pub(crate) fn count(&mut self, kept: &Survey) {
        self.kept_bytes = kept.bytes();
        self.kept_snapshots = u64::try_from(kept.count(Kind::Snapshot)).unwrap_or(u64::MAX);
        self.escrow = kept.files.contains_key(&Name::Plain(Plain::Escrow));
    }

    /// The report as it is written. An account chooses how much there is to find: where that would be too long, less of it
    /// is named.
    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let (mut report, mut named) = (self.clone(), NAMED);
        loop {
            let text = serde_json::to_vec_pretty(&report)?;
            if text.len() <= LONGEST || named == 0 {
                return Ok(text);
            }
            named /= 2;
            let Self { tampering, damage, doubts, foreign, .. } = &mut report;
            for findings in [tampering, damage, doubts, foreign] {
                findings.first.truncate(named);
            }
        }
    }

    /// Whether a person should look.
    pub fn is_troubled(&self) -> bool {
        self.tampering.count + self.damage.count + self.doubts.count > 0
            || self.error.is_some()
            || matches!(self.retention, Retained::Stopped { .. })
    }
}

/// A name that an account chose, as a terminal can bear it.
pub(crate) fn shown(name: &str) -> String {
    let mut shown = String::new();
    for letter in name.chars().map(char::escape_default) {
        if shown.len() + letter.len() > NAME {
            break;
        }
        shown.extend(letter);
    }
    shown
}

impl fmt::Display for Retained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off: no policy"),
            Self::Nothing => f.write_str("nothing to go"),
            Self::Done { snapshots, .. } => write!(f, "{snapshots} snapshots went"),
            Self::Waiting { why } => write!(f, "waits: {why}"),
            Self::Stopped { why } => write!(f, "stopped: {why}"),
        }
    }
}
