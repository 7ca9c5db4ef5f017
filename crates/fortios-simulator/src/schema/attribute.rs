//! What one attribute of a table may hold, and what it is when nobody has set it.

use super::format::Format;

/// One attribute, as a table file declares it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    /// The name in JSON and on the command line.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Shown and settable only while another attribute has one of these values.
    pub only: Option<Condition>,
    /// A row without it is refused.
    pub required: bool,
    /// An export has it even where nobody has set it.
    pub always_exported: bool,
}

/// `attribute` is one of `values`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    /// The attribute that decides.
    pub attribute: &'static str,
    /// The values with which the conditioned attribute exists.
    pub values: &'static [&'static str],
}

/// The type of an attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Free text of at most so many characters.
    Text {
        /// Longest text, in characters.
        max: usize,
        /// What an unset attribute reads as.
        default: &'static str,
    },
    /// A whole number.
    Number {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// What an unset attribute reads as.
        default: i64,
    },
    /// One of a list of words.
    Choice {
        /// All that may be chosen.
        options: &'static [&'static str],
        /// What an unset attribute reads as.
        default: &'static str,
    },
    /// Several of a list of words, read back in the order of that list, separated by blanks.
    Options {
        /// All that may be chosen.
        options: &'static [&'static str],
        /// What an unset attribute reads as.
        default: &'static str,
    },
    /// Text with a form, read back in its normal form.
    Formatted {
        /// The form.
        format: Format,
        /// What an unset attribute reads as.
        default: &'static str,
    },
    /// The name of a row in one of these tables. A table that the simulator does not have counts as empty.
    Reference {
        /// `path/name` of the tables, in the order in which they are looked through.
        tables: &'static [&'static str],
        /// Names that need no row, such as the interface `any`.
        reserved: &'static [&'static str],
        /// What an unset attribute reads as.
        default: &'static str,
    },
    /// A secret: kept, and never given back.
    Secret {
        /// Longest secret, in characters.
        max: usize,
    },
    /// Assigned when the row is made, unless the client brings one.
    Uuid,
    /// A child table; its first attribute is the key.
    Rows(&'static [Attribute]),
    /// A nested object that is always there.
    Record(&'static [Attribute]),
}

impl Attribute {
    const fn of(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, only: None, required: false, always_exported: false }
    }

    /// The attribute exists only while `attribute` has one of `values`.
    pub(crate) const fn only(mut self, attribute: &'static str, values: &'static [&'static str]) -> Self {
        self.only = Some(Condition { attribute, values });
        self
    }

    /// An export has it even where nobody has set it.
    pub(crate) const fn always_exported(mut self) -> Self {
        self.always_exported = true;
        self
    }

    /// A row without a value here is refused.
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

pub(crate) const fn text(name: &'static str, max: usize) -> Attribute {
    Attribute::of(name, Kind::Text { max, default: "" })
}

pub(crate) const fn text_or(name: &'static str, max: usize, default: &'static str) -> Attribute {
    Attribute::of(name, Kind::Text { max, default })
}

pub(crate) const fn number(name: &'static str, min: i64, max: i64, default: i64) -> Attribute {
    Attribute::of(name, Kind::Number { min, max, default })
}

pub(crate) const fn choice(
    name: &'static str,
    default: &'static str,
    options: &'static [&'static str],
) -> Attribute {
    Attribute::of(name, Kind::Choice { options, default })
}

/// Disabled unless it is enabled.
pub(crate) const fn off(name: &'static str) -> Attribute {
    choice(name, "disable", &["enable", "disable"])
}

/// Enabled unless it is disabled.
pub(crate) const fn on(name: &'static str) -> Attribute {
    choice(name, "enable", &["enable", "disable"])
}

pub(crate) const fn options(
    name: &'static str,
    default: &'static str,
    options: &'static [&'static str],
) -> Attribute {
    Attribute::of(name, Kind::Options { options, default })
}

pub(crate) const fn formatted(name: &'static str, format: Format, default: &'static str) -> Attribute {
    Attribute::of(name, Kind::Formatted { format, default })
}

pub(crate) const fn reference(name: &'static str, tables: &'static [&'static str]) -> Attribute {
    Attribute::of(name, Kind::Reference { tables, reserved: &[], default: "" })
}

pub(crate) const fn reference_or(
    name: &'static str,
    default: &'static str,
    tables: &'static [&'static str],
) -> Attribute {
    Attribute::of(name, Kind::Reference { tables, reserved: &[], default })
}

pub(crate) const fn reference_and(
    name: &'static str,
    reserved: &'static [&'static str],
    tables: &'static [&'static str],
) -> Attribute {
    Attribute::of(name, Kind::Reference { tables, reserved, default: "" })
}

pub(crate) const fn secret(name: &'static str, max: usize) -> Attribute {
    Attribute::of(name, Kind::Secret { max })
}

pub(crate) const fn uuid() -> Attribute {
    Attribute::of("uuid", Kind::Uuid)
}

pub(crate) const fn rows(name: &'static str, attributes: &'static [Attribute]) -> Attribute {
    Attribute::of(name, Kind::Rows(attributes))
}

pub(crate) const fn record(name: &'static str, attributes: &'static [Attribute]) -> Attribute {
    Attribute::of(name, Kind::Record(attributes))
}
