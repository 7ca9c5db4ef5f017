//! Our claim as the one writer of each system: taken before the first write, renewed while the engine runs, given
//! back when it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::host::Mode;
use vertskommune_provider::{Claim, Ctx, Fenced, Permit, ProviderError};

use crate::Engine;
use crate::endpoint::Endpoint;

/// How long a claim lives unless it is renewed.
const TTL: Duration = Duration::from_mins(2);
/// Renewed when less than this is left.
const RENEW: Duration = Duration::from_secs(80);

impl Engine {
    /// Makes sure that our claim stands for a while yet.
    pub(crate) async fn ensure_claim(&self, endpoint: &Arc<Endpoint>) -> Result<(), ProviderError> {
        if endpoint.claimed_for() > RENEW {
            return Ok(());
        }
        let _alone = endpoint.claiming.lock().await;
        if endpoint.claimed_for() > RENEW {
            return Ok(());
        }
        self.claim(endpoint, TTL, false).await
    }

    /// Takes over the claims of whoever holds them. Only by an explicit command.
    ///
    /// # Errors
    /// The first system that could not be claimed.
    pub async fn take_over(&self) -> Result<(), ProviderError> {
        for endpoint in self.all().values().filter(|endpoint| endpoint.host().mode == Mode::Manage) {
            self.claim(endpoint, TTL, true).await?;
        }
        Ok(())
    }

    /// Renews the claims that end soon. To be called now and then while the engine runs.
    pub async fn renew_claims(&self) {
        for (name, endpoint) in self.all() {
            // What we have never written to needs no claim.
            if endpoint.host().mode == Mode::Manage
                && endpoint.claimed_for() > Duration::ZERO
                && let Err(error) = self.ensure_claim(&endpoint).await
            {
                tracing::warn!(provider = %name, %error, "the claim could not be renewed");
            }
        }
    }

    /// Gives our claims back, so that the next process need not wait for their end.
    pub async fn release_claims(&self) {
        for (name, endpoint) in self.all() {
            if endpoint.claimed_for() > Duration::ZERO
                && let Err(error) = self.claim(&endpoint, Duration::ZERO, false).await
            {
                tracing::warn!(provider = %name, %error, "the claim could not be given back");
            }
        }
    }

    async fn claim(
        &self,
        endpoint: &Arc<Endpoint>,
        ttl: Duration,
        take_over: bool,
    ) -> Result<(), ProviderError> {
        // Counted from before the call: the claim can only live longer than we think.
        let until = Instant::now() + ttl;
        let claim = Claim {
            installation: self.settings.installation.clone(),
            holder: self.settings.holder.clone(),
            expires: self.now() + ttl,
            take_over,
        };
        // A claim is given back when all else has been stopped.
        let cancel = CancellationToken::new();
        let ctx = Ctx { permit: self.settings.permit.clone(), cancel, ..self.ctx(endpoint) };
        let result = endpoint.provider.claim(&claim, &ctx).await;
        match &result {
            Ok(()) => endpoint.set_claimed_until((ttl > Duration::ZERO).then_some(until)),
            Err(ProviderError::Claimed { .. }) => endpoint.set_claimed_until(None),
            Err(_) => {} // What we held before, we hold until it ends.
        }
        result
    }
}

/// The permit for one endpoint: this process may write at all, and our claim there lives.
pub(crate) struct Claimed {
    pub(crate) permit: Arc<dyn Permit>,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl Permit for Claimed {
    fn check(&self) -> Result<(), Fenced> {
        self.permit.check()?;
        if self.endpoint.claimed_for() == Duration::ZERO {
            return Err(Fenced(format!(
                "our claim as the writer of {} has ended",
                self.endpoint.host().name
            )));
        }
        Ok(())
    }
}
