//! Sizes as Kubernetes writes them: `16Gi`, `1500M`, `8Ti`, or a plain number of bytes. Exact integers only.
//!
//! The grammar is the part of <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/> that
//! makes sense for a size: no sign, no exponent, no fractions of a byte.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// What the API server holds a size against.
pub(crate) const PATTERN: &str =
    r"^([1-9][0-9]{0,18}(\.[0-9]{1,6})?|0\.[0-9]{0,5}[1-9])(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

/// Every suffix with the number of bytes it stands for, binary ones first.
const SUFFIXES: [(&str, u64); 10] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

/// A size as it is written in a manifest. It is kept as text, so that what is wrong with it can be said beside all
/// else that is wrong; [`Quantity::bytes`] reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It is not a number with one of the suffixes.
    #[error("is no size: write a number with a unit, such as 512Mi, 16Gi or 8Ti")]
    Malformed,
    /// It is not a whole number of bytes.
    #[error("is not a whole number of bytes: write it in a smaller unit, such as 1536Mi for 1.5Gi")]
    Fraction,
    /// It is nothing.
    #[error("is nothing: write a size greater than zero, such as 16Gi")]
    Zero,
    /// It does not fit in a signed 64 bit number of bytes, which is what Kubernetes can compare.
    #[error("is more than 8Ei: write a smaller size")]
    TooLarge,
}

impl Quantity {
    /// The size that `text` says; whether it says one is decided by [`Quantity::bytes`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The size of that many bytes, in the largest binary unit that needs no fraction.
    pub fn from_bytes(bytes: u64) -> Self {
        let exact = SUFFIXES[..5].iter().rev().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
        exact.map_or_else(
            || Self(bytes.to_string()),
            |(suffix, unit)| Self(format!("{}{suffix}", bytes / unit)),
        )
    }

    /// The size as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number of bytes, exactly.
    pub fn bytes(&self) -> Result<u64, QuantityError> {
        let (number, unit) = SUFFIXES
            .iter()
            .find_map(|(suffix, unit)| self.0.strip_suffix(suffix).map(|number| (number, *unit)))
            .unwrap_or((&self.0, 1));
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return Err(QuantityError::Malformed),
            Some(parts) => parts,
            None => (number, ""),
        };
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(QuantityError::Malformed);
        }
        match scaled(&[whole, fraction].concat(), fraction.len(), unit)? {
            0 => Err(QuantityError::Zero),
            bytes => Ok(bytes),
        }
    }
}

/// `digits` × `unit` / 10^`places`, where that is a whole number in range.
fn scaled(digits: &str, places: usize, unit: u64) -> Result<u64, QuantityError> {
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(QuantityError::Malformed);
    }
    let number: u128 = digits.parse().map_err(|_| QuantityError::TooLarge)?;
    let scale = u32::try_from(places).ok().and_then(|places| 10_u128.checked_pow(places));
    let (Some(product), Some(scale)) = (number.checked_mul(u128::from(unit)), scale) else {
        return Err(QuantityError::TooLarge);
    };
    if !product.is_multiple_of(scale) {
        return Err(QuantityError::Fraction);
    }
    i64::try_from(product / scale).map(i64::cast_unsigned).map_err(|_| QuantityError::TooLarge)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 16Gi")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity::new(text))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // maxLength bounds what the API server reckons a CEL rule over it costs.
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": PATTERN,
            "maxLength": 28,
            "minimum": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_exact() {
        for (text, expected, reason) in [
            ("16Gi", Ok(16 << 30), "binary"),
            ("1500M", Ok(1_500_000_000), "decimal"),
            ("1.5Gi", Ok(1536 << 20), "a fraction of a unit that is whole in bytes"),
            ("1024", Ok(1024), "bytes"),
            ("7Pi", Ok(7 << 50), "large"),
            ("0.3Ki", Err(QuantityError::Fraction), "307.2 bytes"),
            ("0", Err(QuantityError::Zero), "nothing"),
            ("9000Pi", Err(QuantityError::TooLarge), "more than 8Ei"),
            (
                "99999999999999999999999999999999999999999999999",
                Err(QuantityError::TooLarge),
                "no integer at all",
            ),
            ("1Ki.", Err(QuantityError::Malformed), "suffix within"),
            ("0.5Gi", Ok(512 << 20), "less than one"),
            ("016Gi", Err(QuantityError::Malformed), "a leading zero"),
            ("16GB", Err(QuantityError::Malformed), "not a suffix of Kubernetes"),
            ("16 Gi", Err(QuantityError::Malformed), "space"),
            ("-1Gi", Err(QuantityError::Malformed), "sign"),
            ("1e3", Err(QuantityError::Malformed), "exponent"),
            ("1.Gi", Err(QuantityError::Malformed), "point without digits"),
            (".5Gi", Err(QuantityError::Malformed), "digits without a whole"),
            ("Gi", Err(QuantityError::Malformed), "no number"),
            ("", Err(QuantityError::Malformed), "empty"),
            ("١Gi", Err(QuantityError::Malformed), "digits of another script"),
        ] {
            assert_eq!(Quantity::from(text).bytes(), expected, "{text:?}: {reason}");
        }
    }

    #[test]
    fn a_number_is_bytes() {
        let size: Quantity = serde_json::from_str("4194304").unwrap();
        assert_eq!(size.bytes(), Ok(4 << 20));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes in 1..=i64::MAX) {
            prop_assert_eq!(Quantity::from_bytes(bytes.cast_unsigned()).bytes(), Ok(bytes.cast_unsigned()));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Quantity::new(text).bytes();
        }
    }
}
