//! The pin: a host's whole public key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// A host's public key as OpenSSH writes it: `ssh-ed25519 AAAA…`, and whatever stands behind it.
///
/// The whole key and not a fingerprint: it is what `ssh-keyscan` and `/etc/ssh/ssh_host_*_key.pub` give, and there is
/// nothing to choose in comparing it.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    algorithm: Algorithm,
    blob: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Ed25519,
    Ecdsa256,
    Rsa,
}

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Ed25519, Algorithm::Ecdsa256, Algorithm::Rsa];

impl Algorithm {
    /// As the key names itself.
    fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::Ecdsa256 => "ecdsa-sha2-nistp256",
            Self::Rsa => "ssh-rsa",
        }
    }

    /// The signatures with it that are accepted, best first. SHA-1 is not among them.
    fn signatures(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::Ecdsa256 => "ecdsa-sha2-nistp256",
            Self::Rsa => "rsa-sha2-512,rsa-sha2-256",
        }
    }
}

impl HostKey {
    /// What the connection offers to accept: the pinned kind first, so that a host with keys of several kinds shows this
    /// one, and then the others, so that a wrong key is seen as such and not as a failed negotiation.
    pub(crate) fn preference(&self) -> String {
        let others = ALGORITHMS.into_iter().filter(|other| *other != self.algorithm);
        let all: Vec<_> = std::iter::once(self.algorithm).chain(others).map(Algorithm::signatures).collect();
        all.join(",")
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, blob: &[u8]) -> bool {
        self.blob == blob
    }

    /// As `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }
}

/// `SHA256:…` of a key, as `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

impl FromStr for HostKey {
    type Err = BadHostKey;

    fn from_str(text: &str) -> Result<Self, BadHostKey> {
        if text.trim_end().contains('\n') {
            return Err(BadHostKey::SeveralLines);
        }
        let mut words = text.split_whitespace();
        let (Some(name), Some(encoded)) = (words.next(), words.next()) else {
            return Err(BadHostKey::NoKey);
        };
        let known = ALGORITHMS.into_iter().find(|algorithm| algorithm.name() == name);
        let algorithm = known.ok_or_else(|| BadHostKey::Algorithm(name.chars().take(40).collect()))?;
        let blob = STANDARD.decode(encoded).map_err(|_| BadHostKey::NoBase64)?;
        // The blob names its kind as well, and an Ed25519 key has one length.
        let named = [&u32::try_from(name.len()).unwrap_or_default().to_be_bytes(), name.as_bytes()].concat();
        let whole = algorithm != Algorithm::Ed25519 || blob.len() == named.len() + 4 + 32;
        if !blob.starts_with(&named) || blob.len() <= named.len() + 4 || !whole {
            return Err(BadHostKey::Cut);
        }
        Ok(Self { algorithm, blob })
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({self})")
    }
}

/// Why a text is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHostKey {
    /// It has not two words.
    #[error("write the host's public key as in /etc/ssh/ssh_host_ed25519_key.pub: ssh-ed25519 AAAA…")]
    NoKey,
    /// A file of several keys.
    #[error("write one key: the host shows one")]
    SeveralLines,
    /// A kind that is not known.
    #[error(
        "{0} is not a kind of host key that is accepted here: use ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa"
    )]
    Algorithm(String),
    /// The second word is not Base64.
    #[error("the key is not Base64: copy the whole line")]
    NoBase64,
    /// The key is not as long as it has to be, or of another kind than it says.
    #[error("the key is not whole: copy the whole line")]
    Cut,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";

    #[test]
    fn a_pin_is_a_whole_public_key() {
        let key: HostKey = format!("{KEY} root@second-room\n").parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        assert!(key.preference().starts_with("ssh-ed25519,"));
        for (wrong, why) in [
            ("", BadHostKey::NoKey),
            ("SHA256:PqVWnCEX5fUd4f2gjWGDEH7jvY6xCvL0JTBGuIEBVeY", BadHostKey::NoKey),
            ("ssh-dss AAAA", BadHostKey::Algorithm("ssh-dss".to_owned())),
            ("ssh-ed25519 !", BadHostKey::NoBase64),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTT", BadHostKey::Cut),
            (&KEY.replace("ssh-ed25519", "ssh-rsa"), BadHostKey::Cut),
            (&format!("{KEY}\n{KEY}"), BadHostKey::SeveralLines),
        ] {
            assert_eq!(wrong.parse::<HostKey>(), Err(why), "{wrong:?}");
        }
    }
}
