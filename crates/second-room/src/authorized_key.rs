//! The public key that an account is let in with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

const ALGORITHM: &str = "ssh-ed25519";

/// An Ed25519 public key, and nothing beside it: no options, no comment, no second line. What stands in the file of
/// authorized keys is written by the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthorizedKey([u8; 32]);

/// It is no such key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an authorized key is a whole Ed25519 public key without options: ssh-ed25519 AAAA…")]
pub struct BadKey;

impl AuthorizedKey {
    /// Reads a key as `ssh-keygen` writes it; a comment at its end is left out.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let text = text.trim_end_matches('\n');
        let printable = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        let mut words = text.split(' ');
        let (Some(ALGORITHM), Some(encoded), true) = (words.next(), words.next(), printable) else {
            return Err(BadKey);
        };
        let blob = STANDARD.decode(encoded).map_err(|_| BadKey)?;
        let key = blob.strip_prefix(Self::prefix().as_slice()).ok_or(BadKey)?;
        key.try_into().map(Self).map_err(|_| BadKey)
    }

    fn prefix() -> Vec<u8> {
        [&[0, 0, 0, 11][..], ALGORITHM.as_bytes(), &[0, 0, 0, 32]].concat()
    }
}

impl fmt::Display for AuthorizedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [Self::prefix().as_slice(), self.0.as_slice()].concat();
        write!(f, "{ALGORITHM} {}", STANDARD.encode(blob))
    }
}

impl TryFrom<String> for AuthorizedKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        Self::parse(&text)
    }
}

impl From<AuthorizedKey> for String {
    fn from(key: AuthorizedKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";

    #[test]
    fn a_key_brings_nothing_with_it() {
        for right in [KEY.to_owned(), format!("{KEY}\n"), format!("{KEY} someone@somewhere")] {
            assert_eq!(
                AuthorizedKey::parse(&right).map(|key| key.to_string()).as_deref(),
                Ok(KEY),
                "{right:?}"
            );
        }
        for wrong in [
            String::new(),
            format!("command=\"sh\" {KEY}"),
            format!("{KEY}\n{KEY}"),
            format!("{KEY} a\nssh-rsa AAAA"),
            format!("{KEY}\r{KEY}"),
            KEY.replace("ssh-ed25519 ", "ssh-rsa "),
            KEY[..60].to_owned(),
            format!("{KEY}AAAA"),
        ] {
            assert_eq!(AuthorizedKey::parse(&wrong), Err(BadKey), "{wrong:?}");
        }
    }
}
