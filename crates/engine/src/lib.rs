//! The engine: observe → plan → check → apply, for many tenants at once.
//!
//! The controller and the command line are two thin shells around [`Engine`]: both hand it the same
//! [`World`] of validated manifests and get the same [`Plan`](vertskommune_core::plan::Plan)s and
//! [`RunReport`]s. It knows no plugin by name, and nothing that it remembers is needed: drop it at any moment, make a
//! new one, and the next pass goes on where the real systems are.

mod claim;
mod endpoint;
mod observe;
mod pass;
mod records;
mod report;
mod sight;
mod transfers;
mod watch;
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, ProviderName};
use vertskommune_core::schema::Concern;
use vertskommune_core::violation::Violation;
use vertskommune_provider::secrets::SecretStore;
use vertskommune_provider::{Permit, Plugins};

use endpoint::Endpoint;
pub use endpoint::{EndpointHealth, Health};
pub use report::{Outcome, RunReport};
pub use sight::Sight;
pub use transfers::{Ended, Held, Leftover, Transferred, Turn};
pub use watch::Changed;
pub use world::{Scopes, World};

/// What an engine is made with.
pub struct Settings {
    /// The name of this installation; it stands in every mark.
    pub installation: Installation,
    /// Who writes, for the claim in each system: something that stays the same when the process is restarted.
    pub holder: String,
    /// The plugins.
    pub plugins: Plugins,
    /// The secrets.
    pub secrets: Arc<dyn SecretStore>,
    /// The permit to write.
    pub permit: Arc<dyn Permit>,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// Observes, plans and applies.
pub struct Engine {
    settings: Settings,
    endpoints: Mutex<BTreeMap<ProviderName, Arc<Endpoint>>>,
    retries: pass::Retries,
    moving: transfers::Moving,
    cancel: CancellationToken,
}

impl Engine {
    /// An engine that knows no endpoint yet.
    pub fn new(settings: Settings) -> Self {
        let cancel = CancellationToken::new();
        Self {
            settings,
            endpoints: Mutex::default(),
            retries: pass::Retries::default(),
            moving: transfers::Moving::new(&cancel),
            cancel,
        }
    }

    /// Makes the endpoints as the host describes them now: new ones are made, changed ones made anew, gone ones
    /// dropped. Gives what is wrong with the settings of each that cannot be made; such an endpoint is not there.
    pub fn configure(&self, hosts: &BTreeMap<ProviderName, Host>) -> BTreeMap<ProviderName, Vec<Violation>> {
        let mut wrong = BTreeMap::new();
        let mut endpoints = self.endpoints();
        endpoints.retain(|name, endpoint| {
            let stays = hosts.get(name) == Some(endpoint.host());
            if !stays {
                endpoint.gone.cancel();
            }
            stays
        });
        for (name, host) in hosts {
            if endpoints.contains_key(name) {
                continue;
            }
            match self.settings.plugins.provider(&self.settings.installation, host) {
                Ok(provider) => {
                    endpoints.insert(name.clone(), Arc::new(Endpoint::new(host.clone(), provider)));
                }
                Err(violations) => {
                    wrong.insert(name.clone(), violations);
                }
            }
        }
        wrong
    }

    /// Ends what is under way in good order; nothing is begun any more.
    pub fn stop(&self) {
        self.cancel.cancel();
    }

    /// What the plugin of an endpoint answers for.
    pub fn concern(&self, provider: &ProviderName) -> Option<Concern> {
        Some(self.endpoint(provider)?.provider.schema().concern)
    }

    /// How each endpoint is, for its status.
    pub fn health(&self) -> BTreeMap<ProviderName, EndpointHealth> {
        self.all().into_iter().map(|(name, endpoint)| (name, endpoint.health())).collect()
    }

    fn now(&self) -> Timestamp {
        (self.settings.now)()
    }

    fn endpoints(&self) -> MutexGuard<'_, BTreeMap<ProviderName, Arc<Endpoint>>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> BTreeMap<ProviderName, Arc<Endpoint>> {
        self.endpoints().clone()
    }

    fn endpoint(&self, name: &ProviderName) -> Option<Arc<Endpoint>> {
        self.endpoints().get(name).cloned()
    }
}
