//! Durations as Go and Kubernetes write them: `168h`, `1h30m`, `90s`. Whole numbers of hours, minutes and seconds.

use std::borrow::Cow;
use std::fmt;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the API server holds a duration against.
pub(crate) const PATTERN: &str = "^([0-9]{1,7}(h|m|s)){1,3}$";

/// A duration as it is written in a manifest. It is kept as text, so that what is wrong with it can be said beside
/// all else that is wrong; [`Duration::parse`] reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(String);

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not a run of numbers with units.
    #[error("is no duration: write hours, minutes and seconds, such as 168h, 1h30m or 90s (a day is 24h)")]
    Malformed,
    /// It is too long to count.
    #[error("is too long: write a shorter duration, such as 720h for 30 days")]
    TooLong,
}

impl Duration {
    /// The duration that `text` says; whether it says one is decided by [`Duration::parse`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The duration as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The duration, exactly.
    pub fn parse(&self) -> Result<SignedDuration, DurationError> {
        let mut rest = self.0.as_str();
        let mut total = SignedDuration::ZERO;
        if rest.is_empty() {
            return Err(DurationError::Malformed);
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError::Malformed)?;
            let (digits, after) = rest.split_at(end);
            let (seconds, left) = unit(after).ok_or(DurationError::Malformed)?;
            if digits.is_empty() {
                return Err(DurationError::Malformed);
            }
            let number: i64 = digits.parse().map_err(|_| DurationError::TooLong)?;
            let part = number.checked_mul(seconds).ok_or(DurationError::TooLong)?;
            total = total.checked_add(SignedDuration::from_secs(part)).ok_or(DurationError::TooLong)?;
            rest = left;
        }
        Ok(total)
    }
}

/// The seconds of the unit that `text` begins with, and what follows it.
fn unit(text: &str) -> Option<(i64, &str)> {
    [('h', 3600), ('m', 60), ('s', 1)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_prefix(unit).map(|rest| (seconds, rest)))
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// The shortest way to write it, such as `1h30m`. What is less than a second is left out.
impl From<SignedDuration> for Duration {
    fn from(duration: SignedDuration) -> Self {
        let seconds = duration.as_secs().max(0);
        let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
        let mut text = String::new();
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            text.push_str(&number.to_string());
            text.push_str(unit);
        }
        Self(if text.is_empty() { "0s".to_owned() } else { text })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": 24 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_as_go_writes_them() {
        for (text, expected) in [
            ("720h", Ok(SignedDuration::from_hours(720))),
            ("1h30m", Ok(SignedDuration::from_mins(90))),
            ("90s", Ok(SignedDuration::from_secs(90))),
            ("0s", Ok(SignedDuration::ZERO)),
            ("", Err(DurationError::Malformed)),
            ("8", Err(DurationError::Malformed)),
            ("h", Err(DurationError::Malformed)),
            ("30d", Err(DurationError::Malformed)),
            ("-1h", Err(DurationError::Malformed)),
            ("1.5h", Err(DurationError::Malformed)),
            ("1h 30m", Err(DurationError::Malformed)),
            ("99999999999999999999h", Err(DurationError::TooLong)),
            ("9223372036854775807h", Err(DurationError::TooLong)),
        ] {
            assert_eq!(Duration::from(text).parse(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in 0..=i64::from(i32::MAX)) {
            let duration = SignedDuration::from_secs(seconds);
            prop_assert_eq!(Duration::from(duration).parse(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Duration::new(text).parse();
        }
    }
}
