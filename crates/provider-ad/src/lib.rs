//! The directory plugin: trusts between tenants' Active Directory and the host's.

pub mod agents;
