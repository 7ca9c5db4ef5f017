//! The key that we log in with.

use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const ALGORITHM: &[u8] = b"ssh-ed25519";

/// How OpenSSH's form of a private key begins, and between what.
const MAGIC: &[u8] = b"openssh-key-v1\0";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

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

    /// A new Ed25519 key, in OpenSSH's form.
    ///
    /// # Errors
    /// Where the kernel gives no random numbers.
    pub fn random() -> io::Result<Self> {
        let failed = |_| io::Error::other("no random numbers are to be had");
        let (mut seed, mut check) = ([0; 32], [0; 4]);
        SystemRandom::new().fill(&mut seed).map_err(failed)?;
        SystemRandom::new().fill(&mut check).map_err(failed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| io::Error::other("a seed of 32 bytes makes no key"))?;
        let public = pair.public_key().as_ref();
        let mut secret = [check, check].concat();
        for part in [ALGORITHM, public, &[&seed, public].concat(), b""] {
            secret.extend(field(part));
        }
        // Padded to the block of a cipher, though there is none.
        let padding = (8 - secret.len() % 8) % 8;
        secret.extend((1..=8).take(padding));
        let mut whole = MAGIC.to_vec();
        for part in [b"none".as_slice(), b"none", b""] {
            whole.extend(field(part));
        }
        whole.extend(1_u32.to_be_bytes());
        whole.extend(field(&[field(ALGORITHM), field(public)].concat()));
        whole.extend(field(&secret));
        let encoded = STANDARD.encode(whole);
        let mut text = format!("{BEGIN}\n");
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(70));
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str(END);
        text.push('\n');
        Ok(Self(text.into()))
    }

    /// Its public half, `ssh-ed25519 AAAA…`; none where the key is of another form or kind.
    pub fn public(&self) -> Option<String> {
        let text = self.0.split_once(BEGIN)?.1.split_once(END)?.0;
        let text: String = text.split_whitespace().collect();
        let whole = STANDARD.decode(text).ok()?;
        let mut rest = whole.strip_prefix(MAGIC)?;
        for _ in 0..3 {
            rest = split(rest)?.1;
        }
        let blob = split(rest.strip_prefix(&1_u32.to_be_bytes())?)?.0;
        (split(blob)?.0 == ALGORITHM).then(|| format!("ssh-ed25519 {}", STANDARD.encode(blob)))
    }

    /// The text itself, for the place that keeps it and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A field of OpenSSH's forms: its length, and it.
fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or_default();
    [&length.to_be_bytes(), bytes].concat()
}

/// The first field, and what comes after it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
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
    fn a_new_key_is_one_that_openssh_takes() {
        let key = PrivateKey::random().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, key.expose()).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let said = std::process::Command::new("ssh-keygen").arg("-y").arg("-f").arg(&file).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert_eq!(Some(String::from_utf8_lossy(&said.stdout).trim()), key.public().as_deref());
        assert_ne!(PrivateKey::random().unwrap().public(), key.public());
        assert!(PrivateKey::new(key.expose()).is_ok());
        // And the other way round, with a comment in it.
        let theirs = folder.path().join("theirs");
        let mut keygen = std::process::Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f"]).arg(&theirs);
        assert!(keygen.status().unwrap().success());
        let public = std::fs::read_to_string(theirs.with_extension("pub")).unwrap();
        let theirs = PrivateKey::new(std::fs::read_to_string(theirs).unwrap()).unwrap();
        assert!(public.starts_with(&format!("{} ", theirs.public().unwrap())), "{public}");
    }

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
