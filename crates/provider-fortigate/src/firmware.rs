//! What this version of FortiOS can do, as far as it decides a plan.

/// From where on batch transactions are told to work whole.
const TRANSACTIONS: (u32, u32, u32) = (7, 4, 1);
/// What an observation's version ends with where a device was found to refuse moves within a transaction.
pub(crate) const NO_MOVES: &str = " (no moves in transactions)";

/// A version of FortiOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Firmware {
    version: (u32, u32, u32),
    moves: bool,
}

impl Firmware {
    /// Reads `v7.4.8` and what may stand behind it. What cannot be read can do nothing.
    pub(crate) fn of(version: &str) -> Self {
        let number = version.strip_suffix(NO_MOVES).unwrap_or(version).trim_start_matches('v');
        let mut parts = number.split('.').map(|part| part.parse().unwrap_or(0));
        let mut part = || parts.next().unwrap_or(0);
        Self { version: (part(), part(), part()), moves: !version.ends_with(NO_MOVES) }
    }

    /// Whether a rule set becomes active in one piece.
    pub(crate) fn has_transactions(self) -> bool {
        self.version >= TRANSACTIONS && self.moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_unknown_versions_have_no_transactions() {
        for (version, expected) in [
            ("v7.4.8", true),
            ("v7.4.1", true),
            ("v7.6.0", true),
            ("v7.4.0", false),
            ("v7.2.8", false),
            ("", false),
            ("v7.4.8 (no moves in transactions)", false),
        ] {
            assert_eq!(Firmware::of(version).has_transactions(), expected, "{version:?}");
        }
    }
}
