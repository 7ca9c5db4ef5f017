//! The directory plugin: trusts between tenants' Active Directory and the host's.

#[expect(dead_code, reason = "the plugin comes")]
mod agent;
#[cfg_attr(not(test), expect(dead_code, reason = "the plugin comes"))]
mod failure;
#[cfg_attr(not(test), expect(dead_code, reason = "the plugin comes"))]
mod ldap;
#[cfg_attr(not(test), expect(dead_code, reason = "the plugin comes"))]
mod protocol;
