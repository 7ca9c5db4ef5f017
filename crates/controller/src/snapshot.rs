//! All manifests of a cluster as they are now, for the commands that plan without the controller.

use std::sync::Arc;

use vertskommune_api::{HostProvider, RuleSet, Tenant};
use vertskommune_provider::secrets::SecretStore;

/// All manifests of a cluster as they are now.
pub struct Snapshot {
    /// The Tenants.
    pub tenants: Vec<Tenant>,
    /// The HostProviders.
    pub hosts: Vec<HostProvider>,
    /// The RuleSets.
    pub rule_sets: Vec<RuleSet>,
    /// The Secrets that they name.
    pub secrets: Arc<dyn SecretStore>,
}
