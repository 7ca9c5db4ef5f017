//! The kinds of this plugin and the rules of their fields.

use std::collections::BTreeMap;

use vertskommune_core::backup::facts;
use vertskommune_core::schema::{Change, Concern, FieldRule, KindRules, Schema};

/// A tenant's account in the second room, with its folder and quota.
pub(crate) const ACCOUNT: &str = "account";
/// A tenant's repository, with the keys that open it and what the keeper keeps of it.
pub(crate) const REPOSITORY: &str = facts::REPOSITORY;

/// The fields that stand in plans.
pub(crate) mod field {
    /// The most that the repository may take, in bytes.
    pub(crate) const QUOTA: &str = "quota";
    /// Which key the account is let in with.
    pub(crate) const KEY: &str = "key";
    /// Whether the escrow key lies beside the repository.
    pub(crate) const ESCROW: &str = "escrow";
    /// Whom it is sealed for. Used once.
    pub(crate) const ESCROW_RECIPIENT: &str = "escrowRecipient";
    /// Whether the keeper's key lies beside the repository.
    pub(crate) const KEEPER: &str = "keeperKey";
    /// Whom that is sealed for.
    pub(crate) const KEEPER_RECIPIENT: &str = "keeperRecipient";
    /// Why the host holds no quotas.
    pub(crate) const QUOTA_PROBLEM: &str = "quotaProblem";
    /// When the last attempts at a server began that came to nothing: `attempts.<server>`.
    pub(crate) const ATTEMPTS: &str = "attempts.";
    /// The policy's fields begin so.
    pub(crate) const POLICY: &str = "policy.";
}

/// The key of the account is the one of its Secret.
pub(crate) const OF_SECRET: &str = "of its Secret";
/// It is another.
pub(crate) const ANOTHER: &str = "another";

/// The schema, which is the same for every second room.
pub(crate) fn schema() -> Schema {
    let rule = |path: &str, change| FieldRule::new(path, change);
    let account = KindRules {
        holds_data: false,
        fields: vec![rule(field::QUOTA, Change::Mutable), rule(field::KEY, Change::Mutable)],
        outputs: Vec::new(),
    };
    let repository = KindRules {
        holds_data: true,
        fields: vec![
            rule(field::ESCROW, Change::Mutable),
            rule(field::ESCROW_RECIPIENT, Change::CreateOnly),
            rule(field::KEEPER, Change::Mutable),
            rule("policy.*", Change::Mutable),
        ],
        outputs: Vec::new(),
    };
    Schema {
        concern: Concern::Backup,
        kinds: BTreeMap::from([(ACCOUNT.into(), account), (REPOSITORY.into(), repository)]),
    }
}
