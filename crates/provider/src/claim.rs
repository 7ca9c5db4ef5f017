//! Our claim as the one writer of a system: who it names, how it is written down there, and whom it stops.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vertskommune_core::names::Installation;

use crate::error::ProviderError;

/// How much of a holder's name is written: fields and comments take 255 characters in all.
const HOLDER: usize = 100;

/// Our claim as the one writer of a system, as it is recorded there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The installation that writes.
    pub installation: Installation,
    /// The process or replica that holds the claim, for people.
    pub holder: String,
    /// When the claim ends if it is not renewed.
    pub expires: Timestamp,
    /// Whether a living claim of another installation is taken over. Only by an explicit command.
    pub take_over: bool,
}

/// What stands between the parts of a claim. No part holds it.
const BETWEEN: &str = ", ";

/// The claim as it is written down: `nord, 2026-01-01T00:00:00Z, cluster-1`. Nothing in it is a sign that systems refuse
/// in comments, such as a quote or a bracket.
struct Written {
    installation: String,
    expires: Timestamp,
    holder: String,
}

impl Written {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, BETWEEN);
        let mut part = || parts.next().map(str::to_owned);
        Some(Self { installation: part()?, expires: part()?.parse().ok()?, holder: part()? })
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{BETWEEN}{}{BETWEEN}{}", self.installation, self.expires, self.holder)
    }
}

impl Claim {
    /// The claim as text: less than 255 bytes of plain signs.
    pub fn text(&self) -> String {
        let installation = self.installation.to_string();
        Written { installation, expires: self.expires, holder: self.short_holder() }.to_string()
    }

    /// Whether the claim that is written down there leaves room for this one: none is there, it is ours, it has run out,
    /// or it is taken over. Another's is also that of a second cluster of the same installation, such as one that was
    /// rebuilt while the old one still runs.
    ///
    /// # Errors
    /// [`ProviderError::Claimed`] by a living claim of another; [`ProviderError::Protocol`] where the text is no claim,
    /// which a person has to look at.
    pub fn stands_beside(&self, there: &str, now: Timestamp) -> Result<(), ProviderError> {
        if there.is_empty() {
            return Ok(());
        }
        let Some(there) = Written::read(there) else {
            return Err(ProviderError::Protocol(
                "the claim that stands there is not understood: remove it".to_owned(),
            ));
        };
        let is_ours = there.installation == self.installation.as_str() && there.holder == self.short_holder();
        if is_ours || self.take_over || there.expires <= now {
            return Ok(());
        }
        Err(ProviderError::Claimed {
            installation: there.installation,
            holder: there.holder,
            expires: there.expires,
        })
    }

    fn short_holder(&self) -> String {
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.' | ':' | '/' | '@');
        self.holder.chars().take(HOLDER).map(|it| if plain(it) { it } else { '-' }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_claim_of_another_is_in_the_way() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let claim = |take_over| Claim {
            installation: "nord".into(),
            holder: "a".to_owned(),
            expires: now,
            take_over,
        };
        let there =
            |installation: &str, holder: &str, expires: &str| format!("{installation}, {expires}, {holder}");
        let (before, after) = ("2025-12-31T23:59:00Z", "2026-01-01T00:01:00Z");
        for (text, take_over, free) in [
            (there("nord", "a", after), false, true),
            (there("nord", "b", after), false, false),
            (there("sor", "a", before), false, true),
            (there("sor", "a", after), true, true),
            (there("sor", "a", after), false, false),
            ("what".to_owned(), false, false),
            ("nord, soon, a".to_owned(), false, false),
            (String::new(), false, true),
        ] {
            assert_eq!(claim(take_over).stands_beside(&text, now).is_ok(), free, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_has_no_sign_that_a_comment_may_not_have() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let expires = "2026-01-01T00:05:00.123456789Z".parse().unwrap();
        for holder in ["cluster-1/pod", "Åse's \"laptop\" <home>, (2)", &"å".repeat(300), ""] {
            let claim = |holder: &str| Claim {
                installation: "i".repeat(63).as_str().into(),
                holder: holder.to_owned(),
                expires,
                take_over: false,
            };
            let text = claim(holder).text();
            assert!(text.len() < 255 && !text.contains(['<', '>', '#', '(', ')', '"', '\'']), "{text}");
            assert_eq!(claim(holder).stands_beside(&text, now), Ok(()), "{text}");
            assert!(claim("other").stands_beside(&text, now).is_err(), "{text}");
        }
    }
}
