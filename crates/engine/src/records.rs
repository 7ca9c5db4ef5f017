//! What providers keep of how they were.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_provider::{Ctx, ProviderError, Record, Recorded};

use crate::Engine;
use crate::endpoint::Endpoint;

/// How long reading one may take: it holds the whole system.
const READ: Duration = Duration::from_mins(2);

impl Engine {
    /// What a provider keeps of how it was, the newest first.
    ///
    /// # Errors
    /// Where it cannot be told.
    pub async fn records(&self, provider: &ProviderName) -> Result<Vec<Record>, ProviderError> {
        let endpoint = self.known(provider)?;
        endpoint.provider.records(&self.reading(&endpoint)).await
    }

    /// What one of them says of a tenant.
    ///
    /// # Errors
    /// Where it cannot be read completely.
    pub async fn recorded(
        &self,
        provider: &ProviderName,
        record: &str,
        tenant: &TenantName,
    ) -> Result<Recorded, ProviderError> {
        let endpoint = self.known(provider)?;
        endpoint.provider.recorded(record, tenant, &self.reading(&endpoint)).await
    }

    pub(crate) fn known(&self, provider: &ProviderName) -> Result<Arc<Endpoint>, ProviderError> {
        self.endpoint(provider).ok_or_else(|| {
            ProviderError::Refused(format!("there is no HostProvider {provider} that can be used"))
        })
    }

    fn reading(&self, endpoint: &Arc<Endpoint>) -> Ctx {
        Ctx { deadline: Instant::now() + READ, ..self.ctx(endpoint) }
    }
}
