//! What can go wrong with a request, and what it means in the words of the contract. No variant holds a secret.

use std::time::Duration;

use serde_json::Value as Json;
use vertskommune_provider::{Applied, ProviderError};

/// FortiOS's codes, as clients' sources and Fortinet's texts have them.
mod code {
    pub(super) const MISSING: i64 = -3;
    /// The table; the licence for virtual firewalls; what one of these may have.
    pub(super) const FULL: [i64; 3] = [-4, -523, -580];
    pub(super) const DUPLICATE: [i64; 3] = [-5, -15, -100];
    pub(super) const RIGHT: [i64; 2] = [-14, -37];
    /// The last is that of virtual firewalls.
    pub(super) const IN_USE: [i64; 2] = [-23, -514];
    /// A name that no row has, among other values that it does not take.
    pub(super) const VALUE: i64 = -651;
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
    /// It names what is not there.
    #[error("it names what is not on the firewall: {0}")]
    Missing(String),
    /// What it depends on is missing, wrong or there twice.
    #[error("what it depends on is missing or wrong: {0}")]
    Dependency(String),
    /// The transaction has ended by itself.
    #[error("the transaction is not open any more: {0}")]
    Expired(String),
    /// What cannot be done within a transaction.
    #[error("it cannot be done within a transaction: {0}")]
    NotInTransaction(String),
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

/// What was asked for when the answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// How something is, or that it goes: all that can be missing is the row itself.
    Row,
    /// A new row, or other values in one: what it names can be missing, too.
    Values,
    /// A transaction's beginning or end.
    Transaction,
}

/// What FortiOS means by this answer.
pub(super) fn refusal(asked: Asked, status: u16, body: Option<&Json>) -> Error {
    let Some(body) = body else {
        return match status {
            403 => Error::Right("it answered 403".to_owned()),
            404 => Error::NotFound,
            424 => Error::Dependency("it does not say what".to_owned()),
            400..500 => Error::Refused { code: i64::from(status), text: format!("it answered {status}") },
            status => Error::Server(status),
        };
    };
    let code = body["error"].as_i64().unwrap_or_default();
    let raw = body["cli_error"].as_str().unwrap_or_default();
    let said = raw.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String =
        if said.is_empty() { format!("code {code}") } else { said.chars().take(200).collect() };
    let missing = || Error::Missing(named(raw).unwrap_or_else(|| "it does not say what".to_owned()));
    match (status, code) {
        // No code for these is published; the words are what tells them.
        (_, _) if about_transaction(&said, &["locked"]) => Error::Locked(text),
        (_, _) if about_transaction(&said, &["expired", "not exist"]) => Error::Expired(text),
        (_, _) if about_transaction(&said, &["not supported", "not allowed", "not permitted"]) => {
            Error::NotInTransaction(text)
        }
        (404, _) | (_, code::MISSING) if asked == Asked::Transaction => Error::Expired(text),
        (404, _) => Error::NotFound,
        (_, code) if code::RIGHT.contains(&code) => Error::Right(text),
        (403, _) => Error::Right(text),
        (_, code) if code::DUPLICATE.contains(&code) => Error::Duplicate(text),
        (_, code) if code::IN_USE.contains(&code) => Error::InUse(text),
        (_, code) if code::FULL.contains(&code) => Error::Full(text),
        (_, code::MISSING) if asked == Asked::Values => missing(),
        (_, code::MISSING) => Error::NotFound,
        (_, code::VALUE) if MEMBERS.iter().any(|words| said.contains(words)) => missing(),
        (424, _) => Error::Dependency(text),
        (502..=504, 0) => Error::Server(status),
        (_, code) => Error::Refused { code, text },
    }
}

/// What stands in an answer about a name in a list that no row has. The same words before other attributes are about a
/// value that it does not take.
const MEMBERS: [&str; 2] =
    ["node_check_object fail! for name ", "node_check_object fail! for interface-name "];

/// The value before which FortiOS stopped to read.
fn named(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("value parse error before '")?;
    let (name, _) = rest.rsplit_once('\'')?;
    Some(name.chars().take(100).collect())
}

fn about_transaction(said: &str, words: &[&str]) -> bool {
    let said = said.to_lowercase();
    said.contains("transaction") && words.iter().any(|word| said.contains(word))
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
        Error::NotFound | Error::InUse(_) | Error::Locked(_) | Error::Expired(_) => {
            ProviderError::Conflict(text)
        }
        Error::Duplicate(_)
        | Error::Missing(_)
        | Error::Dependency(_)
        | Error::NotInTransaction(_)
        | Error::Refused { .. }
        | Error::Config(_) => ProviderError::Refused(text),
        Error::NotPermitted(why) => ProviderError::NotPermitted(why.clone()),
        Error::Protocol(_) => ProviderError::Protocol(text),
    }
}

/// What became of a step whose write failed like this.
pub(crate) fn applied(endpoint: &str, error: &Error) -> Applied {
    match error {
        Error::NotPermitted(why) => Applied::NotSent(why.clone()),
        // Nothing of it is in force.
        Error::Expired(_) => Applied::NotSent(error.to_string()),
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
        let member = "node_check_object fail! for name host fax\n\nvalue parse error before 'host fax'\nCommand fail. Return \
                      code -651\n";
        let scalar = "entry not found in datasource\n\nvalue parse error before 'strict'\nCommand fail. Return code -3\n";
        let length = "node_check_object fail! for vlanid 5000\n\nvalue parse error before '5000'\n";
        let refused = |code: i64, text: &str| Error::Refused { code, text: text.to_owned() };
        let (row, values, transaction) = (Asked::Row, Asked::Values, Asked::Transaction);
        for (asked, status, body, expected) in [
            (row, 404, Some(body(-3, "")), Error::NotFound),
            (row, 500, Some(body(-3, "")), Error::NotFound),
            (values, 404, Some(body(-3, "")), Error::NotFound),
            (values, 500, Some(body(-3, "")), Error::Missing("it does not say what".into())),
            (values, 500, Some(body(-3, scalar)), Error::Missing("strict".into())),
            (values, 500, Some(body(-651, member)), Error::Missing("host fax".into())),
            (
                values,
                500,
                Some(body(-651, length)),
                refused(-651, &length.replace("\n\n", " ").replace('\n', "")),
            ),
            (values, 500, Some(body(-5, "")), Error::Duplicate("code -5".into())),
            (
                row,
                500,
                Some(body(-23, "used by other 1 entries\n")),
                Error::InUse("used by other 1 entries".into()),
            ),
            (row, 500, Some(body(-514, "")), Error::InUse("code -514".into())),
            (values, 500, Some(body(-4, "")), Error::Full("code -4".into())),
            (values, 500, Some(body(-523, "")), Error::Full("code -523".into())),
            (row, 403, Some(body(-14, "")), Error::Right("code -14".into())),
            (values, 500, Some(body(-651, "bad")), refused(-651, "bad")),
            (values, 500, Some(body(-173, "")), refused(-173, "code -173")),
            (values, 424, Some(body(0, "")), Error::Dependency("code 0".into())),
            (values, 424, None, Error::Dependency("it does not say what".into())),
            (
                values,
                500,
                Some(body(-7, "Locked by transaction 3")),
                Error::Locked("Locked by transaction 3".into()),
            ),
            (transaction, 500, Some(body(-3, "")), Error::Expired("code -3".into())),
            (
                values,
                500,
                Some(body(-3, "Transaction 3 does not exist")),
                Error::Expired("Transaction 3 does not exist".into()),
            ),
            (
                row,
                500,
                Some(body(-7, "not supported in a transaction")),
                Error::NotInTransaction("not supported in a transaction".into()),
            ),
            (row, 503, None, Error::Server(503)),
            (row, 413, None, refused(413, "it answered 413")),
        ] {
            assert_eq!(refusal(asked, status, body.as_ref()), expected, "{asked:?} {status} {body:?}");
        }
    }
}
