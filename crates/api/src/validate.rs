//! Reads a manifest into the types of core: all that is wrong with it is said at once, and what comes out needs no
//! checking again.
//!
//! It holds everything that the CEL rules of the kinds hold, so that a manifest means the same without an API server,
//! and what CEL cannot tell. What needs other tenants or the host is settled in core's check.

mod address;
mod fields;
mod host;
mod maintenance;
mod network;
mod server;
mod tenant;

pub use host::validate_host;
pub use tenant::validate_tenant;
pub use vertskommune_core::violation::Violation;
