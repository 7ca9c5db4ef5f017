//! A trust's secret: both sides get it, and nothing keeps it.

use std::fmt;
use std::hint::black_box;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::Serialize;

/// The characters of a new one: 48 of 62 different ones are more than 256 bits.
const LENGTH: usize = 48;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What agents take.
const SHORTEST: usize = 14;
const LONGEST: usize = 120;

/// The secret of a trust. `Debug` shows nothing of it, it is written into a request alone, and overwritten when it is dropped.
#[derive(Clone, Serialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(PartialEq, Eq, serde::Deserialize))]
pub(crate) struct Secret(String);

impl Secret {
    /// A new one, of letters and digits, out of the system.
    pub(crate) fn random() -> io::Result<Self> {
        let mut text = String::with_capacity(LENGTH);
        let mut bytes = [0_u8; 64];
        while text.len() < LENGTH {
            let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
            for byte in &bytes[..filled] {
                // What is above a multiple of 62 would favour the first letters.
                if text.len() < LENGTH && *byte < 248 {
                    text.push(char::from(ALPHABET[usize::from(byte % 62)]));
                }
            }
        }
        black_box(&mut bytes).fill(0);
        Ok(Self(text))
    }

    /// One that people have agreed on.
    ///
    /// # Errors
    /// What agents do not take: another length than 14 to 120 characters, or a control character. The text is not told.
    pub(crate) fn agreed(text: &str) -> Result<Self, BadSecret> {
        // Windows counts a rare character as two.
        let (shortest, longest) = (text.chars().count(), text.encode_utf16().count());
        if shortest < SHORTEST || longest > LONGEST {
            return Err(BadSecret::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(BadSecret::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

/// Overwrites what had a secret in it, as well as it can be done without `unsafe`.
pub(crate) fn wipe(bytes: &mut [u8]) {
    // The compiler must not find out that nobody reads it any more.
    black_box(bytes).fill(0);
}

/// Why a text cannot be a trust's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSecret {
    /// Too short or too long.
    #[error("a trust's secret has 14 to 120 characters: agree on another one")]
    Length,
    /// A line's end or another control character.
    #[error("a trust's secret is one line without control characters: agree on another one")]
    Control,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ones_are_long_and_differ_and_are_not_shown() {
        let (one, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_eq!(one.0.len(), LENGTH);
        assert!(one.0.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "Secret(…)");
    }

    #[test]
    fn all_characters_come_up() {
        let seen: std::collections::BTreeSet<u8> =
            (0..100).flat_map(|_| Secret::random().unwrap().0.clone().into_bytes()).collect();
        assert_eq!(seen.len(), ALPHABET.len());
    }

    #[test]
    fn what_agents_do_not_take_is_none() {
        for (text, expected) in [
            ("x".repeat(13), Some(BadSecret::Length)),
            ("å".repeat(14), None),
            ("x".repeat(120), None),
            ("x".repeat(121), Some(BadSecret::Length)),
            ("😀".repeat(61), Some(BadSecret::Length)),
            (format!("{}\n", "x".repeat(20)), Some(BadSecret::Control)),
        ] {
            assert_eq!(Secret::agreed(&text).err(), expected, "{text:?}");
        }
    }
}
