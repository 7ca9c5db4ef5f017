//! What a system keeps of how it was: the way back from a change that should not have been made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vertskommune_core::firewall::Published;
use vertskommune_core::resource::Resource;
use vertskommune_core::tenant::Network;

/// One record of a system as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the system calls it.
    pub id: String,
    /// When it was saved, by the system's own clock.
    pub saved_at: Timestamp,
    /// Who saved it.
    pub by: String,
    /// What was said of it.
    pub comment: String,
}

/// What a record says of one tenant. It takes the place of what the manifest asks for; the way there is the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// All things of the tenant.
    pub resources: Vec<Resource>,
    /// The networks among them, which no other tenant may have by now.
    pub networks: Vec<Network>,
    /// What is published among them, which no other tenant may have by now.
    pub published: Vec<Published>,
}
