//! What can go wrong with a real system. Every error says what it left behind.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertskommune_core::observation::Blindness;
use vertskommune_core::reason::Reason;

/// Why a call to a real system failed. No variant ever holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProviderError {
    /// No connection, or it broke.
    #[error("no answer from {endpoint}: {why}")]
    Unreachable {
        /// The address.
        endpoint: String,
        /// What the network said.
        why: String,
    },
    /// Another system answered than the one that is pinned.
    #[error("this is not the system that the HostProvider pins: expected identity {expected}, found {found}")]
    Misidentified {
        /// The pinned identity.
        expected: String,
        /// The identity that answered.
        found: String,
    },
    /// User name or password are refused. Tried again only after a long pause, since accounts lock.
    #[error("the credentials are refused: renew the Secret that the HostProvider names")]
    CredentialsRefused,
    /// No answer within the time limit.
    #[error("no answer within the time limit: {0}")]
    Timeout(String),
    /// The system asks us to slow down.
    #[error("the system asks to slow down")]
    Throttled {
        /// For how long, where it says.
        retry_after: Option<Duration>,
    },
    /// Somebody else changed or holds the thing at this moment.
    #[error("somebody else is working on it: {0}")]
    Conflict(String),
    /// There is no room.
    #[error("no room: {0}")]
    Capacity(String),
    /// The account lacks a right.
    #[error("the account lacks a right: {0}")]
    Permission(String),
    /// The system refuses the request as it is; asking again changes nothing.
    #[error("refused: {0}")]
    Refused(String),
    /// The system does not serve us at all, for a reason that has an advice of its own.
    #[error("refused: {why}")]
    NotServed {
        /// Why.
        reason: Reason,
        /// The same for people.
        why: String,
    },
    /// What must be visible is not.
    #[error("cannot see all that must be visible: {0}")]
    NoSight(String),
    /// Another writer holds a living claim.
    #[error(
        "{holder} of installation {installation} writes here until {expires}: stop it, or take over explicitly"
    )]
    Claimed {
        /// The other installation.
        installation: String,
        /// Its process.
        holder: String,
        /// When its claim ends.
        expires: jiff::Timestamp,
    },
    /// The permit was refused: nothing was sent.
    #[error("not sent: {0}")]
    NotPermitted(String),
    /// The system answered something that the plugin does not understand.
    #[error("an answer that is not understood: {0}")]
    Protocol(String),
}

/// What a failed call left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Left {
    /// Nothing was changed.
    Nothing,
    /// It cannot be told; the next observation does.
    Unknown,
}

impl ProviderError {
    /// The reason as a CamelCase word for machines.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "Unreachable",
            Self::Misidentified { .. } => "Misidentified",
            Self::CredentialsRefused => "CredentialsRefused",
            Self::Timeout(_) => "Timeout",
            Self::Throttled { .. } => "Throttled",
            Self::Conflict(_) => "Conflict",
            Self::Capacity(_) => "Capacity",
            Self::Permission(_) => "Permission",
            Self::Refused(_) => "Refused",
            Self::NotServed { reason, .. } => reason.word(),
            Self::NoSight(_) => "NoSight",
            Self::Claimed { .. } => "Claimed",
            Self::NotPermitted(_) => "NotPermitted",
            Self::Protocol(_) => "Protocol",
        }
    }

    /// What it left behind.
    pub fn left(&self) -> Left {
        match self {
            Self::Unreachable { .. } | Self::Timeout(_) | Self::Protocol(_) => Left::Unknown,
            Self::Misidentified { .. }
            | Self::CredentialsRefused
            | Self::Throttled { .. }
            | Self::Conflict(_)
            | Self::Capacity(_)
            | Self::Permission(_)
            | Self::Refused(_)
            | Self::NotServed { .. }
            | Self::NoSight(_)
            | Self::Claimed { .. }
            | Self::NotPermitted(_) => Left::Nothing,
        }
    }

    /// How long to wait before the `attempt`-th try (from 0), without jitter.
    pub fn backoff(&self, attempt: u32) -> Duration {
        let grow =
            |first: u64, most: u64| Duration::from_secs(first.saturating_mul(1 << attempt.min(16)).min(most));
        match self {
            Self::Throttled { retry_after } => retry_after.unwrap_or_else(|| grow(2, 60)),
            Self::Conflict(_) | Self::NotPermitted(_) => grow(1, 30),
            Self::Unreachable { .. } | Self::Timeout(_) | Self::Protocol(_) => grow(1, 60),
            Self::NoSight(_) | Self::Misidentified { .. } | Self::NotServed { .. } => grow(5, 120),
            Self::Claimed { .. } => grow(10, 60),
            Self::Capacity(_) | Self::Permission(_) | Self::Refused(_) => grow(30, 900),
            Self::CredentialsRefused => grow(60, 900),
        }
    }

    /// What it means for an observation.
    pub fn blindness(&self) -> Blindness {
        match self {
            Self::Misidentified { expected, found } => {
                Blindness::Misidentified { expected: expected.clone(), found: found.clone() }
            }
            Self::CredentialsRefused => Blindness::CredentialsRefused,
            Self::Permission(why) | Self::NoSight(why) => Blindness::NoSight(why.clone()),
            Self::NotServed { reason, why } => Blindness::Refuses { reason: *reason, why: why.clone() },
            Self::Protocol(why) => Blindness::Incomplete(why.clone()),
            // It answers, and not with what was asked for.
            Self::Refused(_) | Self::Conflict(_) | Self::Capacity(_) => {
                Blindness::Incomplete(self.to_string())
            }
            other => Blindness::Unreachable(other.to_string()),
        }
    }
}
