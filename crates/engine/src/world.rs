//! All manifests as they are now: the tenants, what they claim, and the host's endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use vertskommune_core::check::{Claims, Finding, check_one};
use vertskommune_core::host::Host;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::observation::{Observations, Scope};
use vertskommune_core::resource::Resource;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_provider::Recorded;

/// All manifests as they are now. A tenant whose manifest is refused is not in it, or is with its last valid form.
#[derive(Clone, Debug, Default)]
pub struct World {
    tenants: BTreeMap<TenantName, ValidatedTenant>,
    leaving: BTreeSet<TenantName>,
    claims: Claims,
    hosts: BTreeMap<ProviderName, Host>,
    /// Tenants that are to be as they were, and not as their manifests say.
    past: BTreeMap<TenantName, Past>,
}

/// What a record says of a tenant, in the place of what its manifest asks for.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// The one provider whose record it is. What others hold of the tenant is not touched.
    pub(crate) provider: ProviderName,
    pub(crate) resources: Vec<Resource>,
}

impl World {
    /// A world of these endpoints without tenants.
    pub fn new(hosts: BTreeMap<ProviderName, Host>) -> Self {
        Self { hosts, ..Self::default() }
    }

    /// Puts in a tenant, or its new form.
    pub fn insert(&mut self, tenant: ValidatedTenant, leaving: bool) {
        self.remove(&tenant.name);
        self.claims.insert(&tenant);
        if leaving {
            self.leaving.insert(tenant.name.clone());
        }
        self.tenants.insert(tenant.name.clone(), tenant);
    }

    /// Puts what a record says of a tenant in the place of what its manifest asks for, until its manifest is put in again:
    /// the way there is that of any other plan, and the check holds it against what others want by now. A suspended
    /// tenant is waked, since a person asks for this.
    pub fn roll_back(&mut self, tenant: &TenantName, provider: &ProviderName, recorded: Recorded) {
        let Some(mut past) = self.tenants.get(tenant).cloned() else { return };
        past.suspend = false;
        past.networks = recorded.networks;
        // Nothing of them is touched, so nothing that is wrong with them is in the way.
        past.servers.clear();
        past.backup = None;
        past.directory = None;
        if let Some(firewall) = past.firewall.as_mut() {
            firewall.published = recorded.published;
        }
        self.insert(past, false);
        let past = Past { provider: provider.clone(), resources: recorded.resources };
        self.past.insert(tenant.clone(), past);
    }

    /// What this tenant is to be again, where that is not what its manifest says.
    pub(crate) fn past(&self, tenant: &TenantName) -> Option<&Past> {
        self.past.get(tenant)
    }

    /// Takes out a tenant. Its real things stay as they are.
    pub fn remove(&mut self, tenant: &TenantName) {
        self.past.remove(tenant);
        self.leaving.remove(tenant);
        if let Some(tenant) = self.tenants.remove(tenant) {
            self.claims.remove(&tenant);
        }
    }

    /// Puts the host's endpoints in place of those before.
    pub fn set_hosts(&mut self, hosts: BTreeMap<ProviderName, Host>) {
        self.hosts = hosts;
    }

    /// The tenants.
    pub fn tenants(&self) -> &BTreeMap<TenantName, ValidatedTenant> {
        &self.tenants
    }

    /// The tenant of that name.
    pub fn tenant(&self, name: &TenantName) -> Option<&ValidatedTenant> {
        self.tenants.get(name)
    }

    /// Whether the tenant's manifest is being deleted.
    pub fn is_leaving(&self, name: &TenantName) -> bool {
        self.leaving.contains(name)
    }

    /// The tenants whose manifests are being deleted.
    pub fn leaving(&self) -> &BTreeSet<TenantName> {
        &self.leaving
    }

    /// The host's endpoints.
    pub fn hosts(&self) -> &BTreeMap<ProviderName, Host> {
        &self.hosts
    }

    /// What is wrong between this tenant, the others and the host.
    pub fn check(&self, tenant: &ValidatedTenant, observations: &Observations) -> Vec<Finding> {
        check_one(tenant, &self.claims, &self.hosts, observations)
    }
}

/// What tells the scope of a look at one provider, at the moment of the look: a [`World`], or the lock that a controller
/// keeps it behind, which is never held over a call to a real system.
pub trait Scopes: Sync {
    /// All of ours, and what tenants name there.
    fn scope(&self, provider: &ProviderName) -> Scope;

    /// What belongs to these tenants, and what they name there.
    fn scope_of(&self, provider: &ProviderName, tenants: &BTreeSet<TenantName>) -> Scope;
}

impl Scopes for World {
    fn scope(&self, provider: &ProviderName) -> Scope {
        scope(None, self.tenants.values(), provider)
    }

    fn scope_of(&self, provider: &ProviderName, tenants: &BTreeSet<TenantName>) -> Scope {
        let named = tenants.iter().filter_map(|name| self.tenants.get(name));
        scope(Some(tenants.clone()), named, provider)
    }
}

impl Scopes for RwLock<World> {
    fn scope(&self, provider: &ProviderName) -> Scope {
        self.read().unwrap_or_else(PoisonError::into_inner).scope(provider)
    }

    fn scope_of(&self, provider: &ProviderName, tenants: &BTreeSet<TenantName>) -> Scope {
        self.read().unwrap_or_else(PoisonError::into_inner).scope_of(provider, tenants)
    }
}

/// The scope of a look, with what these tenants name in the provider.
fn scope<'a>(
    only: Option<BTreeSet<TenantName>>,
    tenants: impl Iterator<Item = &'a ValidatedTenant>,
    provider: &ProviderName,
) -> Scope {
    let mut scope = Scope { tenants: only, ..Scope::default() };
    for tenant in tenants {
        let adoptions = tenant.adoptions(provider);
        if !adoptions.is_empty() {
            scope.adopt.insert(tenant.name.clone(), adoptions);
        }
        if let Some(directory) = tenant.directory.as_ref().filter(|it| it.provider == *provider) {
            scope.trusts.insert(tenant.name.clone(), directory.clone());
        }
    }
    scope
}
