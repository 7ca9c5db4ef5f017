//! What a plugin knows of its kinds: the rules of their fields, by which differences are found and judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::Kind;

/// What a plugin answers for in a manifest. Deletion, conditions and columns go by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Concern {
    /// Servers with their networks: `spec.servers`.
    #[default]
    Servers,
    /// The firewall: `spec.firewall`.
    Firewall,
    /// Backup: `spec.backup`.
    Backup,
    /// The trust with the host's directory: `spec.directory`.
    Directory,
}

impl Concern {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Servers, Self::Firewall, Self::Backup, Self::Directory];
}

/// The kinds of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// What it answers for.
    pub concern: Concern,
    /// The rules by kind.
    pub kinds: BTreeMap<Kind, KindRules>,
}

/// The rules of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindRules {
    /// Whether it holds data that cannot be made again: such a thing is retired and destroyed only by a word.
    pub holds_data: bool,
    /// The rules of its fields; the first whose path fits counts.
    pub fields: Vec<FieldRule>,
    /// What others may take from it once it exists.
    pub outputs: Vec<String>,
}

/// The rule of one field, or of all that fit its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRule {
    /// The path, with `*` for one part of any name: `disks.*.size`.
    pub path: String,
    /// What may become of its value.
    pub change: Change,
    /// Whether a value that somebody changed by hand is brought back.
    pub healing: Healing,
    /// When two values are the same.
    pub comparison: Comparison,
    /// What a value means that is there and that the manifest does not name.
    pub surplus: Surplus,
    /// What to do where another value is refused, for people; nothing where that goes without saying.
    pub remedy: String,
}

/// What a value means that is there and that the manifest does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Surplus {
    /// Nothing.
    Ignore,
    /// It is shown.
    Show,
    /// What we gave ourselves is taken away again; what others gave is shown.
    Take,
}

/// What may become of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It can be changed in place.
    Mutable,
    /// It can only be set at creation; another value is refused.
    Immutable,
    /// A number that can grow, never shrink.
    GrowOnly,
    /// It is used once at creation and never looked at again.
    CreateOnly,
    /// It is observed and shown, never changed.
    ShownOnly,
}

/// Whether a value that somebody changed by hand is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Healing {
    /// Always.
    Always,
    /// Where the tenant's drift policy says so, and no interruption is needed.
    ByPolicy,
}

/// When two values are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// When they are equal.
    Exact,
    /// When they are equal but for upper and lower case.
    IgnoringCase,
    /// Lists: when they have the same members in any order.
    Unordered,
}

impl FieldRule {
    /// A rule for `path`, healed always and compared exactly.
    pub fn new(path: impl Into<String>, change: Change) -> Self {
        Self {
            path: path.into(),
            change,
            healing: Healing::Always,
            comparison: Comparison::Exact,
            surplus: Surplus::Ignore,
            remedy: String::new(),
        }
    }

    /// The same, with what to do where another value is refused.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// The same, healed by the tenant's policy.
    #[must_use]
    pub fn by_policy(mut self) -> Self {
        self.healing = Healing::ByPolicy;
        self
    }

    /// The same with another comparison.
    #[must_use]
    pub fn compared(mut self, comparison: Comparison) -> Self {
        self.comparison = comparison;
        self
    }

    /// The same, with a meaning for values that the manifest does not name.
    #[must_use]
    pub fn surplus(mut self, surplus: Surplus) -> Self {
        self.surplus = surplus;
        self
    }

    fn fits(&self, path: &str) -> bool {
        let (mut ours, mut theirs) = (self.path.split('.'), path.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}

impl KindRules {
    /// The rule for a field. A field without one is compared exactly and can be changed.
    pub fn rule(&self, path: &str) -> FieldRule {
        self.fields
            .iter()
            .find(|rule| rule.fits(path))
            .cloned()
            .unwrap_or_else(|| FieldRule::new(path, Change::Mutable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_part() {
        let rule = FieldRule::new("disks.*.size", Change::GrowOnly);
        for (path, fits) in [
            ("disks.data.size", true),
            ("disks.size", false),
            ("disks.a.b.size", false),
            ("disks.data", false),
        ] {
            assert_eq!(rule.fits(path), fits, "{path}");
        }
    }
}
