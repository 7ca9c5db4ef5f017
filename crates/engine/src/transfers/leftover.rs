//! What backups that were broken off have left on servers, and how it goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use vertskommune_core::host::Mode;
use vertskommune_core::names::TenantName;
use vertskommune_core::observation::{Busy, Seen};
use vertskommune_core::transfer::Work;
use vertskommune_provider::{Ctx, ProviderError};

use crate::endpoint::Endpoint;
use crate::{Engine, World};

/// How long it may take for one tenant: a disk that grew for a night is merged for hours.
const TIDY: Duration = Duration::from_hours(6);

/// Servers of a tenant on which a backup seems to have left something.
pub struct Leftover {
    tenant: TenantName,
    servers: Arc<Endpoint>,
}

impl Leftover {
    /// Whose they are.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }
}

impl Engine {
    /// The tenants on whose servers a backup holds something, by the last look, though none of ours runs there. A night may
    /// be over and its snapshot would grow until the next, so this asks for no backup that is due.
    pub fn leftovers(&self, world: &World) -> Vec<Leftover> {
        let running = self.moving.turns.underway();
        let is_taken = |tenant: &TenantName, server: &str| {
            let mut running = running.iter().map(|it| &it.transfer);
            running.any(|it| it.work == Work::Backup && it.tenant == *tenant && it.server == server)
        };
        let mut leftovers = Vec::new();
        for servers in self.all().into_values() {
            if servers.host().mode != Mode::Manage || servers.provider.exports().is_none() {
                continue;
            }
            let seen = servers.observation();
            for (tenant, things) in &seen.seen {
                // On a tenant that is suspended nothing is done, and one without a manifest is nobody's to change.
                if world.tenant(tenant).is_none_or(|tenant| tenant.suspend) {
                    continue;
                }
                let is_left = things.iter().any(|(key, thing)| {
                    matches!(thing, Seen::Present(it) if it.busy == Some(Busy::Backup))
                        && !is_taken(tenant, &key.name)
                });
                if is_left {
                    leftovers.push(Leftover { tenant: tenant.clone(), servers: servers.clone() });
                }
            }
        }
        leftovers
    }

    /// Removes what is left of a tenant.
    ///
    /// # Errors
    /// Something may still be there.
    pub async fn tidy(&self, leftover: &Leftover) -> Result<(), ProviderError> {
        let Leftover { tenant, servers } = leftover;
        let Some(exports) = servers.provider.exports() else { return Ok(()) };
        self.ensure_claim(servers).await?;
        let ctx = Ctx { deadline: Instant::now() + TIDY, ..self.ctx(servers) };
        let removed = timeout(TIDY, exports.tidy(tenant, &ctx)).await;
        removed.unwrap_or_else(|_| Err(ProviderError::Timeout("it did not end in time".to_owned()))).map(drop)
    }
}
