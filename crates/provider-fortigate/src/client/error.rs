//! What can go wrong with a request, and what it means in the words of the contract. No variant holds a secret.

use std::time::Duration;

use serde_json::Value as Json;
use vertskommune_provider::{Applied, ProviderError};

/// FortiOS's codes, as clients' sources and Fortinet's texts have them.
mod code {
    pub(super) const MISSING: i64 = -3;
    pub(super) const FULL: i64 = -4;
    pub(super) const DUPLICATE: [i64; 3] = [-5, -15, -100];
    pub(super) const RIGHT: [i64; 2] = [-14, -37];
    pub(super) const IN_USE: i64 = -23;
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// No connection; nothing was sent, or it only asked.
    #[error("no connection: {0}")]
    Connect(String),
    /// No answer in time to what only asked.
    #[error("no answer in time")]
    Timeout,
    /// A write was sent and its answer was not read.
    #[error("a write was sent and its answer was lost: {0}")]
    LostAnswer(String),
    /// The token is refused.
    #[error("the token is refused")]
    Token,
    /// It asks to slow down.
    #[error("it asks to slow down")]
    Throttled(Option<Duration>),
    /// The API user lacks a right.
    #[error("the API user lacks a right: {0}")]
    Right(String),
    /// There is no such row.
    #[error("there is no such object")]
    NotFound,
    /// The name is taken.
    #[error("the name is taken: {0}")]
    Duplicate(String),
    /// Another transaction holds the table.
    #[error("a transaction holds the table: {0}")]
    Locked(String),
    /// Others refer to it.
    #[error("it is in use: {0}")]
    InUse(String),
    /// The table or the licence is full.
    #[error("there is no room: {0}")]
    Full(String),
    /// Anything else that it refuses.
    #[error("refused with {code}: {text}")]
    Refused {
        /// FortiOS's own code.
        code: i64,
        /// What it said.
        text: String,
    },
    /// It has a trouble of its own.
    #[error("it answered {0}")]
    Server(u16),
    /// The permit was refused: nothing was sent.
    #[error("{0}")]
    NotPermitted(String),
    /// An answer that is not understood.
    #[error("{0}")]
    Protocol(String),
}

/// What FortiOS means by this answer.
pub(super) fn refusal(status: u16, body: Option<&Json>) -> Error {
    let Some(body) = body else {
        return match status {
            403 => Error::Right("it answered 403".to_owned()),
            404 => Error::NotFound,
            400..500 => Error::Refused { code: i64::from(status), text: format!("it answered {status}") },
            status => Error::Server(status),
        };
    };
    let code = body["error"].as_i64().unwrap_or_default();
    let said = body["cli_error"].as_str().unwrap_or_default();
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String =
        if said.is_empty() { format!("code {code}") } else { said.chars().take(200).collect() };
    match (status, code) {
        (404, _) => Error::NotFound,
        (_, code) if code::RIGHT.contains(&code) => Error::Right(text),
        (403, _) => Error::Right(text),
        (_, code) if code::DUPLICATE.contains(&code) => Error::Duplicate(text),
        (_, code::IN_USE) => Error::InUse(text),
        // No code for it is published; the words are what tells it.
        (_, _) if text.contains("locked by transaction") => Error::Locked(text),
        (_, code::FULL) => Error::Full(text),
        (_, code::MISSING) if said.is_empty() => Error::NotFound,
        (502..=504, 0) => Error::Server(status),
        (_, code) => Error::Refused { code, text },
    }
}

/// The error, in the words of the contract.
pub(crate) fn provider_error(endpoint: &str, error: &Error) -> ProviderError {
    let text = error.to_string();
    let unreachable = |why| ProviderError::Unreachable { endpoint: endpoint.to_owned(), why };
    match error {
        Error::Connect(_) | Error::Server(_) => unreachable(text),
        Error::Timeout | Error::LostAnswer(_) => ProviderError::Timeout(text),
        Error::Token => ProviderError::CredentialsRefused,
        Error::Throttled(after) => ProviderError::Throttled { retry_after: *after },
        Error::Right(_) => ProviderError::Permission(text),
        Error::Full(_) => ProviderError::Capacity(text),
        Error::NotFound | Error::InUse(_) | Error::Locked(_) => ProviderError::Conflict(text),
        Error::Duplicate(_) | Error::Refused { .. } | Error::Config(_) => ProviderError::Refused(text),
        Error::NotPermitted(why) => ProviderError::NotPermitted(why.clone()),
        Error::Protocol(_) => ProviderError::Protocol(text),
    }
}

/// What became of a step whose write failed like this.
pub(crate) fn applied(endpoint: &str, error: &Error) -> Applied {
    match error {
        Error::NotPermitted(why) => Applied::NotSent(why.clone()),
        // An answer that is none may follow a write that was carried out.
        Error::LostAnswer(_) | Error::Server(_) | Error::Protocol(_) => Applied::Unknown(error.to_string()),
        error => Applied::Failed(provider_error(endpoint, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_code_has_its_meaning() {
        let body = |code: i64, said: &str| json!({"error": code, "cli_error": said});
        for (status, body, expected) in [
            (404, Some(body(-3, "")), Error::NotFound),
            (500, Some(body(-3, "")), Error::NotFound),
            (500, Some(body(-5, "")), Error::Duplicate("code -5".into())),
            (
                500,
                Some(body(-23, "used by other 1 entries\n")),
                Error::InUse("used by other 1 entries".into()),
            ),
            (500, Some(body(-4, "")), Error::Full("code -4".into())),
            (403, Some(body(-14, "")), Error::Right("code -14".into())),
            (500, Some(body(-651, "bad")), Error::Refused { code: -651, text: "bad".into() }),
            (503, None, Error::Server(503)),
            (413, None, Error::Refused { code: 413, text: "it answered 413".into() }),
        ] {
            assert_eq!(refusal(status, body.as_ref()), expected);
        }
    }
}
