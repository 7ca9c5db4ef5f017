//! The names that everything is found by: tenants, providers, resources and the mark that real things carry.
//!
//! A name is a newtype, so that a provider's name can never stand where a tenant's is meant. A copy of one shares its
//! text: with a thousand tenants the same few names stand in everything that is known of each.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whether it is a DNS label, of whatever length.
pub fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(inner) && text.bytes().last().is_some_and(inner);
    ends && text.bytes().all(|c| inner(c) || c == b'-')
}

/// Whether it is the DNS name of a domain or a host, with a domain of its own. The last label is not all digits, else an address would
/// be a name, and Kerberos knows names alone.
pub fn is_domain_name(text: &str) -> bool {
    let labels: Vec<_> = text.split('.').collect();
    let is_number = |label: &&str| label.bytes().all(|c| c.is_ascii_digit());
    labels.len() > 1
        && text.len() <= 253
        && labels.iter().all(|label| label.len() <= 63 && is_label(label))
        && !labels.last().is_some_and(is_number)
}

/// The longest NetBIOS name.
pub const NETBIOS: usize = 15;

/// Whether it is the NetBIOS name of a domain, in capitals.
pub fn is_netbios_name(text: &str) -> bool {
    text.len() <= NETBIOS && text == text.to_ascii_uppercase() && is_label(&text.to_ascii_lowercase())
}

/// Whether it is the SID of a domain, with its numbers as they are written and in no other way: it is compared as text.
pub fn is_domain_sid(text: &str) -> bool {
    let parts: Option<Vec<_>> = text.strip_prefix("S-1-5-21-").map(|rest| rest.split('-').collect());
    let is_number = |part: &&str| part.parse::<u32>().is_ok_and(|number| number.to_string() == **part);
    parts.is_some_and(|parts| parts.len() == 3 && parts.iter().all(is_number))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes the name as it is; whether it is well formed is decided by validation.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }

        impl From<String> for $type {
            fn from(name: String) -> Self {
                Self::new(name)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a tenant: `metadata.name` of its manifest.
    TenantName
}
name! {
    /// The name of one endpoint of the host's infrastructure: `metadata.name` of its `HostProvider`.
    ProviderName
}
name! {
    /// The name of this installation of the product. It is configured, stands in every mark, and outlives the cluster.
    Installation
}
name! {
    /// A kind of resource as its plugin names it, such as `server`.
    Kind
}

/// A resource within its tenant and provider: its kind and its name in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The kind, such as `server`.
    pub kind: Kind,
    /// The name that the manifest gives it, such as `ibe-fs01`.
    pub name: String,
}

impl ResourceKey {
    /// The key of `name`, a resource of `kind`.
    pub fn new(kind: impl Into<Kind>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// One resource among those of all tenants and providers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceId {
    /// The tenant that it belongs to.
    pub tenant: TenantName,
    /// The provider that it lives in.
    pub provider: ProviderName,
    /// Its kind and name there.
    pub key: ResourceKey,
}

impl ResourceId {
    /// The id of `key`, which `tenant` has in `provider`.
    pub fn new(tenant: &TenantName, provider: &ProviderName, key: ResourceKey) -> Self {
        Self { tenant: tenant.clone(), provider: provider.clone(), key }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} on {}", self.tenant, self.key, self.provider)
    }
}

/// What a real thing carries to say that it is ours, written `installation/tenant/kind/name`.
///
/// Names within a mark are DNS labels or at least free of slashes (validation holds that), so it reads back exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The installation that made or adopted the thing.
    pub installation: Installation,
    /// The tenant that it belongs to.
    pub tenant: TenantName,
    /// Which of the tenant's resources it is.
    pub key: ResourceKey,
}

impl Mark {
    /// Reads a mark; `None` for any text that is not exactly one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let (installation, tenant, kind, name) = (part()?, part()?, part()?, part()?);
        let mark = Self {
            installation: installation.into(),
            tenant: tenant.into(),
            key: ResourceKey::new(kind, name),
        };
        parts.next().is_none().then_some(mark)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.installation, self.tenant, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_nothing_else_is_one() {
        let text = "nord/ibestad/server/ibe-fs01";
        assert_eq!(Mark::parse(text).map(|mark| mark.to_string()).as_deref(), Some(text));
        for lookalike in
            ["", "nord", "nord/ibestad", "nord/ibestad/server/", "/ibestad/server/a", "a/b/c/d/e"]
        {
            assert_eq!(Mark::parse(lookalike), None, "{lookalike:?}");
        }
    }
}
