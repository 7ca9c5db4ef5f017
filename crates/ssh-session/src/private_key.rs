//! The key that we log in with.

use std::fmt;

/// A private key in OpenSSH's or PEM form, without a passphrase. Prints as `PrivateKey(…)`.
#[derive(Clone)]
pub struct PrivateKey(Box<str>);

impl PrivateKey {
    /// Takes the key in. Whether its numbers are right is seen when it is used.
    ///
    /// # Errors
    /// Where it has not the form of a private key.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, BadPrivateKey> {
        let text = text.into();
        if text.trim_start().starts_with("ssh-") {
            return Err(BadPrivateKey::Public);
        }
        let begins = text.trim_start().starts_with("-----BEGIN ") && text.contains("PRIVATE KEY-----");
        if !begins || !text.contains("-----END ") || text.contains('\0') {
            return Err(BadPrivateKey::Form);
        }
        if text.contains("ENCRYPTED") {
            return Err(BadPrivateKey::Encrypted);
        }
        Ok(Self(text))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Why a text is no private key. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPrivateKey {
    /// A public key.
    #[error("this is the public key: the file without .pub is the private one")]
    Public,
    /// Something else, or a part of one.
    #[error("this is not a whole private key as ssh-keygen makes it")]
    Form,
    /// One with a passphrase.
    #[error(
        "the private key has a passphrase, which nobody is there to type: make one without (ssh-keygen -N '')"
    )]
    Encrypted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_whole_and_stays_unsaid() {
        let whole = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n";
        let shown = PrivateKey::new(whole).map(|key| format!("{key:?}"));
        assert_eq!(shown.as_deref(), Ok("PrivateKey(…)"));
        for (wrong, why) in [
            ("", BadPrivateKey::Form),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nc2Vj", BadPrivateKey::Form),
            ("ssh-ed25519 AAAA", BadPrivateKey::Public),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----",
                BadPrivateKey::Encrypted,
            ),
        ] {
            assert_eq!(PrivateKey::new(wrong).err(), Some(why), "{wrong:?}");
        }
    }
}
