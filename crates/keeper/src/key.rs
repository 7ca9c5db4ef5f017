//! Whether a file is a key as restic makes them. One that is not shuts everybody out: restic reads all before it gives up.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::copying::{Refused, whole};
use crate::folder::Folder;
use crate::name::{Id, Name};

/// The memory that trying a key may take: N × r × 128 bytes. restic's own take some 32 MiB.
const MEMORY: u64 = 1 << 28;

/// The time that it may take: N × r × p, and 2^18 of that are some 60 ms. restic's own take half a second.
const WORK: u64 = 1 << 23;

/// A key's file. restic's reader takes letters of either case for a field, so that only exactly these are let through.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(rename = "created")]
    _created: Option<Timestamp>,
    #[serde(rename = "username", default)]
    _username: String,
    #[serde(rename = "hostname", default)]
    _hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
    salt: String,
    data: String,
}

impl Key {
    fn is_fit(&self) -> bool {
        let memory = self.n.saturating_mul(self.r).saturating_mul(128);
        let length = |text: &str| BASE64_STANDARD.decode(text).map_or(0, |bytes| bytes.len());
        self.kdf == "scrypt"
            && self.n.is_power_of_two()
            && self.n > 1
            && (1..=64).contains(&self.r)
            && (1..=16).contains(&self.p)
            && memory <= MEMORY
            && self.n.saturating_mul(self.r).saturating_mul(self.p) <= WORK
            && length(&self.salt) == 64
            // A nonce and a checksum, and something between them.
            && length(&self.data) > 32
    }
}

/// Whether what lies under this name now is a key. What is kept has the same hash, and so the same content.
pub(crate) fn is_one(from: &Folder, name: Name) -> Result<bool, Refused> {
    let (bytes, _) = whole(from, name)?;
    if name.id() != Some(Id(Sha256::digest(&bytes).into())) {
        return Err(Refused::Mismatch);
    }
    Ok(serde_json::from_slice::<Key>(&bytes).is_ok_and(|key| key.is_fit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_restic_makes_it() {
        let data = BASE64_STANDARD.encode([7; 64]);
        let read = |text: &str| serde_json::from_str::<Key>(text).is_ok_and(|key| key.is_fit());
        let key = |kdf: &str, n: u64, r: u64, p: u64| {
            format!(
                r#"{{"created":"2026-11-28T07:07:00.5+01:00","username":"a","hostname":"b","kdf":"{kdf}","N":{n},"r":{r},"p":{p},"salt":"{data}","data":"{data}"}}"#
            )
        };
        let good = key("scrypt", 32768, 8, 1);
        assert!(read(&good) && read(&key("scrypt", 1 << 17, 8, 5)));
        for (text, why) in [
            (key("scrypt", 1 << 40, 8, 1), "takes all memory"),
            (key("scrypt", u64::MAX, u64::MAX, 1), "likewise"),
            (key("scrypt", 32768, 8, 1 << 20), "takes all time"),
            (key("scrypt", 1 << 17, 8, 16), "takes long each time"),
            (key("scrypt", 32769, 8, 1), "no power of two"),
            (key("argon2", 32768, 8, 1), "no restic knows it"),
            (good.replace(&data, "!"), "no base64"),
            (good.replace(&data, "eA=="), "too short to be cut"),
            (good.replace("2026-", "x"), "no time"),
            (good.replace('{', r#"{"n":0,"#), "another N"),
            ("no key".to_owned(), "no JSON"),
        ] {
            assert!(!read(&text), "{why}");
        }
    }
}
