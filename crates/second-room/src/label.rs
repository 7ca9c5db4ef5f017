//! Names that may become a part of a path, of an account and of a mark.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The longest name of an account that Linux takes.
const ACCOUNT: usize = 32;

/// A DNS label, as the names of tenants and installations are: lower-case letters, digits and hyphens, at most 63. So it is
/// one part of a path, never a way out of it, and no option of a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Box<str>);

/// It is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is at most 63 lower-case letters, digits and hyphens, with a letter or digit at both ends")]
pub struct BadLabel;

impl Label {
    /// Takes a name that is one.
    ///
    /// # Errors
    /// Where it is none.
    pub fn new(text: &str) -> Result<Self, BadLabel> {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = bytes.first().copied().is_some_and(inner) && bytes.last().copied().is_some_and(inner);
        if ends && bytes.len() <= 63 && bytes.iter().all(|c| inner(*c) || *c == b'-') {
            Ok(Self(text.into()))
        } else {
            Err(BadLabel)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = BadLabel;

    fn try_from(text: String) -> Result<Self, BadLabel> {
        Self::new(&text)
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0.into()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a tenant's account: `vk-` and the tenant's name, or its beginning and a hash where that is too long.
pub fn account_name(tenant: &Label) -> String {
    let whole = format!("vk-{tenant}");
    if whole.len() <= ACCOUNT {
        return whole;
    }
    let hash = Sha256::digest(tenant.as_str());
    let hash = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    format!("{}-{hash:08x}", &whole[..ACCOUNT - 9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_part_of_a_path() {
        for right in ["a", "ibestad", "nord-1", "7", &"a".repeat(63)] {
            assert!(Label::new(right).is_ok(), "{right:?}");
        }
        let long = "a".repeat(64);
        for wrong in ["", ".", "..", "a/b", "-a", "a-", "A", "ø", "a b", "a\n", "a\0", "a:b", &long] {
            assert_eq!(Label::new(wrong), Err(BadLabel), "{wrong:?}");
            assert!(serde_json::from_value::<Label>(wrong.into()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_account_is_named_by_its_tenant() {
        let name = |tenant: &str| account_name(&Label::new(tenant).unwrap());
        assert_eq!(name("ibestad"), "vk-ibestad");
        assert_eq!(name(&"a".repeat(29)), format!("vk-{}", "a".repeat(29)), "just fits");
        let (one, other) = (name(&format!("{}1", "a".repeat(29))), name(&format!("{}2", "a".repeat(29))));
        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one, other, "the same beginning, another tenant");
    }
}
