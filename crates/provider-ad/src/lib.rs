//! The directory plugin: trusts between tenants' Active Directory and the host's.

#[cfg_attr(not(test), expect(dead_code, reason = "the plugin comes"))]
mod protocol;
