//! What can go wrong with a connection.

use std::time::Duration;

/// Why a connection failed. `on` is the host and port; no key is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection came up: the name, the way there, or nobody listens. Nothing was sent.
    #[error("{on} cannot be reached: {cause}; check its address, and that its sshd runs")]
    Unreachable {
        /// Host and port.
        on: String,
        /// What was tried and what came of it.
        cause: String,
    },
    /// Somebody answered with another key than the pinned one. Nothing of a credential was sent.
    #[error(
        "{on} has the host key {seen} and not the pinned {pinned}: either the host was installed anew and the pin \
         has to be renewed by somebody who has seen the key there, or somebody else answers"
    )]
    HostKey {
        /// Host and port.
        on: String,
        /// The fingerprint that was expected.
        pinned: String,
        /// The fingerprint that was seen, or the kind of key that the host lacks.
        seen: String,
    },
    /// The host does not accept the key of that user.
    #[error("{on} refuses the key of {user}: check that the account and its authorized key are there")]
    Refused {
        /// Host and port.
        on: String,
        /// The user.
        user: String,
    },
    /// Logged in, but the host does not do this for that user.
    #[error("{on} does not {what} for {user}")]
    Denied {
        /// Host and port.
        on: String,
        /// The user.
        user: String,
        /// What was asked for.
        what: String,
    },
    /// Nothing came in time.
    #[error("{on} did not answer within {after:?}, while {doing}")]
    TimedOut {
        /// Host and port.
        on: String,
        /// What was waited for.
        doing: &'static str,
        /// The limit that was exceeded.
        after: Duration,
    },
    /// The connection ended or broke.
    #[error("the connection to {on} ended while {doing}: {cause}")]
    Closed {
        /// Host and port.
        on: String,
        /// What was being done.
        doing: &'static str,
        /// What the connection reported.
        cause: String,
    },
    /// A signal ended the command there.
    #[error(
        "a signal, {signal}, ended what was done on {on}: see in its log who sent it, as where memory is short"
    )]
    Killed {
        /// Host and port.
        on: String,
        /// The signal's name without `SIG`.
        signal: String,
    },
    /// The command wrote more than was asked for.
    #[error("{on} sends more than {bound} bytes as an answer")]
    TooLong {
        /// Host and port.
        on: String,
        /// The limit.
        bound: usize,
    },
    /// A file there cannot be read or written. SFTP has no word for a full disk: this is most often that.
    #[error("{on} does not do it, while {doing}: {cause}")]
    File {
        /// Host and port.
        on: String,
        /// What was being done.
        doing: &'static str,
        /// What the host said.
        cause: String,
    },
    /// The private key cannot be used by the library.
    #[error("the private key of {user} cannot be used: {cause}")]
    Key {
        /// The user.
        user: String,
        /// Why.
        cause: String,
    },
    /// It was cancelled.
    #[error("cancelled while {doing}")]
    Cancelled {
        /// What was being done.
        doing: &'static str,
    },
}

/// An [`Error`] for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection came up.
    Unreachable,
    /// Another host key than the pinned one.
    HostKey,
    /// The host does not accept the key of that user.
    Refused,
    /// The host does not do this for that user.
    Denied,
    /// Nothing came in time.
    TimedOut,
    /// The connection ended or broke.
    Closed,
    /// A signal ended the command.
    Killed,
    /// The answer is too long.
    TooLong,
    /// A file there cannot be read or written.
    File,
    /// The private key cannot be used.
    Key,
    /// It was cancelled.
    Cancelled,
}

impl Error {
    /// Which one it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } => ErrorKind::Unreachable,
            Self::HostKey { .. } => ErrorKind::HostKey,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::Closed { .. } => ErrorKind::Closed,
            Self::Killed { .. } => ErrorKind::Killed,
            Self::TooLong { .. } => ErrorKind::TooLong,
            Self::File { .. } => ErrorKind::File,
            Self::Key { .. } => ErrorKind::Key,
            Self::Cancelled { .. } => ErrorKind::Cancelled,
        }
    }
}
