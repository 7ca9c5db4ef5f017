//! What the controller asks the agent and what it is answered: one JSON document on the agent's standard input, one on its
//! standard output.
//!
//! A field that is not known is refused, on both sides: an agent must not do half of what it was asked.

use std::io;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::job::JobStatus;
use crate::{AuthorizedKey, Label};

/// The version of the protocol. It is compared before anything else is read.
pub const VERSION: u32 = 1;

/// The command to ask for over SSH. The host runs the agent whatever is asked, and the agent refuses all but this.
pub const COMMAND: &str = "vertskommune backup agent";

/// The longest request, in bytes.
pub const LONGEST_REQUEST: usize = 64 << 10;

/// The longest answer that a controller should take, in bytes: some thousand accounts.
pub const LONGEST_ANSWER: usize = 16 << 20;

/// The path of a tenant's repository as its account sees it.
pub const REPOSITORY: &str = "/repository";

/// What the controller asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub protocol: u32,
    /// The installation that asks.
    pub installation: Label,
    /// For what.
    pub ask: Ask,
}

/// An operation. None deletes, none changes what an account owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Ask {
    /// What the host is: answered with [`Done::Description`].
    Describe {},
    /// The installation's accounts: answered with [`Done::Accounts`].
    List {},
    /// What other products' jobs have left of the backups that they take: answered with [`Done::Jobs`].
    Jobs {},
    /// Makes the tenant's account, or completes it, or sets its keys and quota anew: answered with [`Done::Account`].
    EnsureAccount {
        /// The tenant.
        tenant: Label,
        /// The keys that it is let in with: one, or two while one is replaced.
        keys: Vec<AuthorizedKey>,
        /// The most that its repository may take, in bytes; no limit without it.
        #[serde(default)]
        quota_bytes: Option<u64>,
    },
    /// Takes or renews the claim of the installation's one writer: answered with [`Done::Claimed`]. A living one of
    /// another holder is refused with [`Refusal::claimed`].
    Claim {
        /// Who writes.
        holder: String,
        /// Until when, unless it is renewed.
        expires: Timestamp,
        /// Whether a living claim of another holder is taken over.
        #[serde(default)]
        take_over: bool,
    },
    /// Says what the keeper is to keep of the tenant: answered with [`Done::Policy`].
    SetPolicy {
        /// The tenant, which has an account.
        tenant: Label,
        /// How many runs are kept.
        retention: Retention,
        /// By whose clock days are counted: an IANA name.
        time_zone: String,
        /// How long everything is kept of a tenant that has left.
        keep_after_exit: SignedDuration,
        /// Whether the tenant has left. The agent notes when it first heard so.
        #[serde(default)]
        left: bool,
    },
}

/// How many runs are kept, of each server. Where all are zero, everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retention {
    /// The last so many.
    pub last: u32,
    /// The last of each hour, for so many hours that have one.
    pub hourly: u32,
    /// The last of each day, likewise.
    pub daily: u32,
    /// The last of each week.
    pub weekly: u32,
    /// The last of each month.
    pub monthly: u32,
    /// The last of each year.
    pub yearly: u32,
}

/// What the keeper is told of a tenant, in the form in which it reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// How many runs.
    pub retention: Retention,
    /// By whose clock days are counted: an IANA name.
    pub time_zone: String,
    /// How long everything is kept of a tenant that has left.
    pub keep_after_exit: SignedDuration,
    /// When the tenant left; none while it is here.
    #[serde(default)]
    pub left_at: Option<Timestamp>,
}

/// Who writes, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    /// The process or replica.
    pub holder: String,
    /// When its claim ends.
    pub expires: Timestamp,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// [`VERSION`].
    pub protocol: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// Whether it was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Done(Done),
    /// It was not, or not wholly: asking again goes on where it ended.
    Refused(Refusal),
}

/// What was done or found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// What the host is.
    Description(Description),
    /// An account that stands.
    Account(Account),
    /// The installation's accounts, by tenant.
    Accounts(Vec<AccountState>),
    /// What other products' jobs have left, by job.
    Jobs(Vec<Job>),
    /// The claim that stands.
    Claimed(Claim),
    /// The policy that stands.
    Policy(Policy),
}

/// What the host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Description {
    /// The version of the agent's program.
    pub agent: String,
    /// The folder of all backups.
    pub root: String,
    /// The installation that was asked for, which this host serves.
    pub installation: Label,
    /// The kind of file system below the root, such as `ext4`.
    pub file_system: String,
    /// How the host holds quotas.
    pub quota: QuotaMode,
    /// Why quotas do not bind, in a sentence; none where they do.
    pub quota_problem: Option<String>,
    /// The size of the file system.
    pub total_bytes: u64,
    /// What is free of it.
    pub free_bytes: u64,
    /// The host's time, in RFC 3339.
    pub clock: String,
    /// The version of restic there; none where it is not installed.
    pub restic: Option<String>,
    /// The keeper's public key (`age1…`); none where it has never run.
    pub keeper: Option<String>,
}

/// How a host holds quotas. Always by folder: by user would not bind copies that belong to root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuotaMode {
    /// Not at all.
    #[default]
    None,
    /// Project quotas of XFS and ext4.
    Project,
    /// Each repository is a subvolume with a limit of its own.
    Btrfs,
}

/// An account that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Account {
    /// The tenant.
    pub tenant: Label,
    /// The user to log in as.
    pub account: String,
    /// Its number on the host.
    pub uid: u32,
    /// The path of the repository as the account sees it: [`REPOSITORY`].
    pub repository: String,
    /// The limit that the file system holds; none where it holds none, whatever was asked.
    pub limit_bytes: Option<u64>,
    /// Whether anything had to be done for it.
    pub changed: bool,
}

/// What is there of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that is there or not")]
pub struct AccountState {
    /// The tenant.
    pub tenant: Label,
    /// The user.
    pub account: String,
    /// Its number on the host.
    pub uid: u32,
    /// Whether it is whole: user, folder and keys. `ensure-account` completes it.
    pub complete: bool,
    /// What its repository takes, in bytes; none where that cannot be told.
    pub used_bytes: Option<u64>,
    /// The limit that the file system holds.
    pub limit_bytes: Option<u64>,
    /// Whether there is a restic repository.
    pub repository: bool,
    /// Whether the escrow key lies beside it.
    pub escrow: bool,
    /// Whether the keeper's key lies beside it.
    pub keeper_key: bool,
    /// The public keys that the account is let in with, as they were given.
    pub keys: Vec<AuthorizedKey>,
    /// Which snapshots there are; none where they cannot be told.
    pub snapshots: Option<Snapshots>,
    /// What the keeper is to keep; none where it was never told.
    pub policy: Option<Policy>,
    /// What the keeper reported last, as it wrote it.
    pub keeper: Option<serde_json::Value>,
}

/// Which snapshots a repository has, by the names of their files: the same digest, the same snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshots {
    /// How many.
    pub count: u64,
    /// A hash of all names, in hexadecimal.
    pub digest: String,
}

/// A job of another product that has left something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    /// Its name there.
    pub job: String,
    /// What it has left.
    pub state: JobState,
}

/// What a job has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// What it tells.
    Status(JobStatus),
    /// Why it tells nothing, in one sentence.
    Unreadable(String),
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[error("{message}")]
pub struct Refusal {
    /// For machines.
    pub reason: Reason,
    /// For people, with what to do.
    pub message: String,
    /// Whose claim is in the way, with [`Reason::Claimed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Claim>,
}

/// Why the agent does not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Another version of the protocol.
    Protocol,
    /// The request cannot be read, or has a name, key or field that is none.
    Malformed,
    /// Another command than the agent's was asked for.
    Command,
    /// This host does not serve that installation.
    Installation,
    /// Something stands there that the agent did not make.
    NotOurs,
    /// Another holder's claim is living.
    Claimed,
    /// Another request is being carried out for too long.
    Busy,
    /// The disk is full.
    Full,
    /// The quota cannot be set.
    Quota,
    /// The host is not set up as it has to be.
    Host,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), claimed: None }
    }

    /// What the system says, with what was being done.
    pub(crate) fn system(doing: impl std::fmt::Display, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            let message = format!("the second room's disk is full: {doing}: {error}; make room there");
            return Self::new(Reason::Full, message);
        }
        Self::new(Reason::Host, format!("{doing}: {error}"))
    }
}

impl Request {
    /// A request of this version.
    pub fn new(installation: Label, ask: Ask) -> Self {
        Self { protocol: VERSION, installation, ask }
    }

    /// Reads a request, its version first.
    ///
    /// # Errors
    /// [`Reason::Protocol`] and [`Reason::Malformed`].
    pub fn read(text: &[u8]) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Versioned {
            protocol: u32,
        }
        let malformed = |error: serde_json::Error| {
            Refusal::new(Reason::Malformed, format!("the request cannot be read: {error}"))
        };
        let Versioned { protocol } = serde_json::from_slice(text).map_err(malformed)?;
        if protocol != VERSION {
            let message = format!(
                "the controller speaks version {protocol} of the agent's protocol and this agent version {VERSION}: \
                 install the same version of vertskommune on both sides"
            );
            return Err(Refusal::new(Reason::Protocol, message));
        }
        serde_json::from_slice(text).map_err(malformed)
    }

    /// The request as the agent reads it.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

impl Answer {
    /// An answer of this version.
    pub fn new(outcome: Result<Done, Refusal>) -> Self {
        let outcome = outcome.map_or_else(Outcome::Refused, Outcome::Done);
        Self { protocol: VERSION, outcome }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The agent's refusal; [`Reason::Protocol`] also where the other side is no agent.
    pub fn read(text: &[u8]) -> Result<Done, Refusal> {
        let answer: Self = serde_json::from_slice(text).map_err(|error| {
            let message = format!(
                "the second room's agent does not answer as it should: {error}; check that the forced command of its \
                 key is `{COMMAND}`, in the same version of vertskommune"
            );
            Refusal::new(Reason::Protocol, message)
        })?;
        match answer.outcome {
            Outcome::Done(done) => Ok(done),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }

    /// The answer as the controller reads it, in one line.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

/// One line. What is written has only text for keys, so that it cannot fail.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";

    #[test]
    fn a_request_reads_back() {
        let label = |text| Label::new(text).unwrap();
        let keys = vec![AuthorizedKey::parse(KEY).unwrap()];
        for ask in [
            Ask::Describe {},
            Ask::List {},
            Ask::Jobs {},
            Ask::EnsureAccount { tenant: label("ibestad"), keys: keys.clone(), quota_bytes: None },
            Ask::EnsureAccount { tenant: label("ibestad"), keys, quota_bytes: Some(1 << 40) },
            Ask::Claim { holder: "a".to_owned(), expires: Timestamp::UNIX_EPOCH, take_over: true },
            Ask::SetPolicy {
                tenant: label("ibestad"),
                retention: Retention { daily: 7, ..Retention::default() },
                time_zone: "Europe/Oslo".to_owned(),
                keep_after_exit: SignedDuration::from_hours(24),
                left: true,
            },
        ] {
            let request = Request::new(label("nord"), ask);
            assert_eq!(Request::read(&request.to_json()), Ok(request));
        }
        let written = format!(
            r#"{{"protocol":1,"installation":"nord","ask":{{"ensure-account":{{"tenant":"a","keys":["{KEY}"],"quotaBytes":1}}}}}}"#
        );
        assert!(Request::read(written.as_bytes()).is_ok(), "the form is part of the protocol");
    }

    #[test]
    fn what_is_not_wholly_understood_is_refused() {
        let ask = |ask: &str| format!(r#"{{"protocol":1,"installation":"nord","ask":{ask}}}"#);
        let ensure = |fields: &str| ask(&format!(r#"{{"ensure-account":{{{fields}}}}}"#));
        for (wrong, why) in [
            (String::new(), Reason::Malformed),
            ("{}".to_owned(), Reason::Malformed),
            (r#"{"protocol":2,"whatever":true}"#.to_owned(), Reason::Protocol),
            (ask(r#"{"delete-account":{"tenant":"a"}}"#), Reason::Malformed),
            (ask(r#"{"list":{"all":true}}"#), Reason::Malformed),
            (ask(r#"{"jobs":{"job":"../../etc/passwd"}}"#), Reason::Malformed),
            (ask(r#"{"list":{},"describe":{}}"#), Reason::Malformed),
            (r#"{"protocol":1,"installation":"../etc","ask":{"list":{}}}"#.to_owned(), Reason::Malformed),
            (
                r#"{"protocol":1,"installation":"nord","ask":{"list":{}},"root":"/"}"#.to_owned(),
                Reason::Malformed,
            ),
            (ensure(r#""tenant":"..","keys":[]"#), Reason::Malformed),
            (ensure(r#""tenant":"a/b","keys":[]"#), Reason::Malformed),
            (ensure(r#""tenant":"a","keys":["ssh-rsa AAAA"]"#), Reason::Malformed),
            (ensure(r#""tenant":"a","keys":[],"shell":"/bin/sh""#), Reason::Malformed),
            (ensure(r#""tenant":"a","keys":[],"quotaBytes":-1"#), Reason::Malformed),
            (format!("{}{}", ask(r#"{"list":{}}"#), "x"), Reason::Malformed),
        ] {
            assert_eq!(
                Request::read(wrong.as_bytes()).map_err(|refusal| refusal.reason),
                Err(why),
                "{wrong}"
            );
        }
    }

    #[test]
    fn an_answer_is_what_was_done_or_why_not() {
        let refusal = Refusal::new(Reason::NotOurs, "the folder is not ours");
        let answer = Answer::new(Err(refusal.clone()));
        assert_eq!(Answer::read(&answer.to_json()), Err(refusal));
        let done = Done::Accounts(Vec::new());
        assert_eq!(Answer::read(&Answer::new(Ok(done.clone())).to_json()), Ok(done));
        let shell = Answer::read(b"Linux second-room 6.1\n$ ").unwrap_err();
        assert_eq!(shell.reason, Reason::Protocol, "somebody else answers: {shell}");
    }
}
