//! Looking: one sweep of each provider for all tenants, or a second look at those that changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::observation::{Observations, Scope};
use vertskommune_provider::{Ctx, ProviderError};

use crate::endpoint::Endpoint;
use crate::{Engine, Scopes};

/// How long a look may take.
const LOOK: Duration = Duration::from_mins(2);

impl Engine {
    /// Looks at everything, all endpoints at once. One that does not answer holds up none of the others' plans.
    pub async fn observe(&self, world: &(impl Scopes + ?Sized)) {
        let scope = world.scope();
        join_all(self.all().values().map(|endpoint| self.look(endpoint, &scope))).await;
    }

    /// Looks at everything in one endpoint.
    pub async fn observe_one(&self, provider: &ProviderName, world: &(impl Scopes + ?Sized)) {
        if let Some(endpoint) = self.endpoint(provider) {
            self.look(&endpoint, &world.scope()).await;
        }
    }

    /// Looks again at these tenants in one endpoint.
    pub async fn observe_tenants(
        &self,
        provider: &ProviderName,
        world: &(impl Scopes + ?Sized),
        tenants: &BTreeSet<TenantName>,
    ) {
        if let Some(endpoint) = self.endpoint(provider) {
            self.look(&endpoint, &world.scope_of(tenants)).await;
        }
    }

    /// What was last seen.
    pub fn observations(&self) -> Observations {
        self.all().into_iter().map(|(name, endpoint)| (name, endpoint.observation())).collect()
    }

    /// Whether every endpoint was looked at.
    pub fn has_looked(&self) -> bool {
        use vertskommune_core::observation::Blindness::NotYetObserved;
        self.all().values().all(|endpoint| endpoint.observation().coverage.blind != Some(NotYetObserved))
    }

    #[tracing::instrument(level = "debug", skip_all, fields(provider = %endpoint.host().name))]
    async fn look(&self, endpoint: &Arc<Endpoint>, scope: &Scope) {
        let ctx = Ctx { deadline: Instant::now() + LOOK, ..self.ctx(endpoint) };
        let seen = timeout(LOOK, endpoint.provider.observe(scope, &ctx))
            .await
            .unwrap_or_else(|_| Err(ProviderError::Timeout("the sweep did not end".to_owned())));
        if let Err(error) = &seen {
            tracing::warn!(provider = %endpoint.host().name, %error, "nothing could be seen");
        }
        endpoint.absorb(seen, scope, self.now());
    }
}
