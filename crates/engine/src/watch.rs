//! Noticing: each endpoint tells when something in it may have changed, and what it names is looked at again.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_provider::{Changes, Ctx};

use crate::sight::Sight;
use crate::{Engine, Scopes};

/// How long one wait for changes may take before it is begun anew.
const WAIT: Duration = Duration::from_mins(1);

/// What was looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Something else was seen of these tenants than before: they have to be planned again.
    Tenants(BTreeSet<TenantName>),
    /// All may.
    All,
    /// Nothing has changed.
    Nothing,
}

impl Engine {
    /// Waits until something in this endpoint may have changed, and looks at it again; and so after a look that failed,
    /// since no system tells that it could be seen now. `world` is asked for the scope after the wait, so that it is the
    /// newest. Errors make everything unknown and are answered after a pause, so that this can be called in a loop.
    pub async fn watch(&self, provider: &ProviderName, world: &(impl Scopes + ?Sized)) -> Changed {
        let Some(endpoint) = self.endpoint(provider) else { return Changed::Nothing };
        let ctx = Ctx { deadline: Instant::now() + WAIT, ..self.ctx(&endpoint) };
        let changed = tokio::select! {
            changed = endpoint.provider.changed(&ctx) => changed,
            () = endpoint.look_is_due() => Ok(Changes::Anything),
            () = self.cancel.cancelled() => return Changed::Nothing,
        };
        match changed {
            Ok(Changes::Tenants(tenants)) if tenants.is_empty() => Changed::Nothing,
            Ok(Changes::Tenants(tenants)) => {
                let before = Sight::of(&endpoint.observation(), &tenants);
                self.observe_tenants(provider, world, &tenants).await;
                // What we did ourselves was looked at when it was done, and is no news here.
                let news = before.news(&Sight::of(&endpoint.observation(), &tenants), &tenants);
                if news.is_empty() { Changed::Nothing } else { Changed::Tenants(news) }
            }
            Ok(Changes::Anything) => {
                self.observe_one(provider, world).await;
                Changed::All
            }
            Err(error) => {
                tracing::warn!(%provider, %error, "changes could not be watched");
                self.observe_one(provider, world).await;
                tokio::select! {
                    () = tokio::time::sleep(error.backoff(0).min(Duration::from_secs(5))) => {}
                    () = self.cancel.cancelled() => {}
                }
                Changed::All
            }
        }
    }
}
