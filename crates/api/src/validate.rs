//! Reads a manifest into the types of core: all that is wrong with it is said at once, and what comes out needs no
//! checking again.
//!
//! It holds everything that the CEL rules of the kinds hold, so that a manifest means the same without an API server,
//! and what CEL cannot tell. What needs other tenants or the host is settled in core's check.

mod address;
mod backup;
mod directory;
mod fields;
mod firewall;
mod host;
mod maintenance;
mod network;
mod rule_set;
mod server;
mod tenant;

pub use host::validate_host;
pub use rule_set::validate_rule_set;
pub use tenant::{deletion_policy, named_steps, validate_tenant};
pub use vertskommune_core::violation::Violation;
