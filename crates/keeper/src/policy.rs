//! What is to be kept of a tenant, as the agent or an operator has written it beside the copy.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use vertskommune_core::backup::Retention;

/// The policy of one tenant: `<root>/.kept/<installation>/<tenant>.policy.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// How many runs.
    pub retention: Retention,
    /// By whose clock days are counted: an IANA name.
    pub time_zone: String,
    /// How long everything is kept of a tenant that has left.
    pub keep_after_exit: SignedDuration,
    /// When the tenant left; none while it is here.
    #[serde(default)]
    pub left_at: Option<Timestamp>,
}
