//! What is to be kept of a tenant, as the agent or an operator has written it beside the copy.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How many runs are kept, of each server. Where all are zero, everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retention {
    /// The last so many.
    pub last: u32,
    /// The last of each hour, for so many hours that have one.
    pub hourly: u32,
    /// The last of each day, likewise.
    pub daily: u32,
    /// The last of each week.
    pub weekly: u32,
    /// The last of each month.
    pub monthly: u32,
    /// The last of each year.
    pub yearly: u32,
}

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
