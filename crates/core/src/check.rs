//! The check across tenants and against the host's ground: what no manifest can tell of itself.
//!
//! A collision never stops those who already hold the thing in the real world: the newcomer is refused, with both
//! names, and where nobody holds it yet, both are.

mod backup;
mod collisions;
mod ground;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use backup::short_window;
pub use collisions::Claims;

use crate::host::Host;
use crate::names::{ProviderName, TenantName};
use crate::observation::Observations;
use crate::reason::Reason;
use crate::tenant::ValidatedTenant;

/// One thing that is wrong between a tenant, the others and the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Where in the tenant's manifest, such as `spec.networks[0].vlan`.
    pub field: String,
    /// What kind of finding.
    pub reason: FindingReason,
    /// The other tenant, where there is one.
    pub with: Option<TenantName>,
    /// One sentence for people: what is wrong and what to do.
    pub message: String,
    /// Whether nothing of the tenant is carried out until it is mended.
    pub blocks: bool,
}

/// The kinds of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FindingReason {
    /// Two tenants want the same.
    Collision,
    /// The host does not grant it.
    OutsideGround,
    /// There is no such provider.
    UnknownProvider,
    /// The provider's settings lack something that the manifest names.
    NotOffered,
    /// Backups would lie in the room of what they are backups of.
    SameSite,
    /// There is too little time for a backup of everything.
    BackupWindowTooShort,
}

impl FindingReason {
    /// The reason, with what would help.
    pub fn reason(self) -> Reason {
        match self {
            Self::Collision => Reason::Collision,
            Self::OutsideGround => Reason::OutsideGround,
            Self::UnknownProvider => Reason::UnknownProvider,
            Self::NotOffered => Reason::NotOffered,
            Self::SameSite => Reason::SameSite,
            Self::BackupWindowTooShort => Reason::BackupWindowTooShort,
        }
    }

    /// The reason as a CamelCase word for machines.
    pub fn word(self) -> &'static str {
        self.reason().word()
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Finding {
    pub(crate) fn blocking(field: String, reason: FindingReason, message: String) -> Self {
        Self { field, reason, with: None, message, blocks: true }
    }
}

/// Findings by tenant. A tenant without findings has no entry.
pub type Findings = BTreeMap<TenantName, Vec<Finding>>;

/// Checks one tenant. `claims` hold what all tenants claim; `observations` tell who already holds what, and none are
/// needed before a merge.
pub fn check_one(
    tenant: &ValidatedTenant,
    claims: &Claims,
    hosts: &BTreeMap<ProviderName, Host>,
    observations: &Observations,
) -> Vec<Finding> {
    let mut findings = ground::check(tenant, hosts);
    findings.extend(backup::same_site(tenant, hosts));
    findings.extend(backup::full_room(tenant, claims, hosts, observations));
    findings.extend(claims.collisions(tenant, observations));
    findings.sort();
    findings.dedup();
    findings
}

/// Checks all tenants.
pub fn check(
    tenants: &BTreeMap<TenantName, ValidatedTenant>,
    hosts: &BTreeMap<ProviderName, Host>,
    observations: &Observations,
) -> Findings {
    let mut claims = Claims::default();
    for tenant in tenants.values() {
        claims.insert(tenant);
    }
    tenants
        .values()
        .map(|tenant| (tenant.name.clone(), check_one(tenant, &claims, hosts, observations)))
        .filter(|(_, findings)| !findings.is_empty())
        .collect()
}
