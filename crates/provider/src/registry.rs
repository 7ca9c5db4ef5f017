//! The plugins that a binary brings, by name. The engine knows none of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use vertskommune_core::host::Host;
use vertskommune_core::names::Installation;
use vertskommune_core::violation::Violation;

use crate::Provider;

/// Makes providers of one kind.
pub trait Plugin: Send + Sync {
    /// The name by which a `HostProvider` asks for it.
    fn name(&self) -> &'static str;

    /// A provider for this endpoint. Connects to nothing yet.
    ///
    /// # Errors
    /// All that is wrong with the endpoint's settings.
    fn provider(&self, installation: &Installation, host: &Host)
    -> Result<Arc<dyn Provider>, Vec<Violation>>;
}

/// The plugins that a binary brings.
#[derive(Default)]
pub struct Plugins {
    plugins: BTreeMap<&'static str, Box<dyn Plugin>>,
}

impl Plugins {
    /// The same with one more.
    #[must_use]
    pub fn with(mut self, plugin: impl Plugin + 'static) -> Self {
        self.plugins.insert(plugin.name(), Box::new(plugin));
        self
    }

    /// A provider for this endpoint.
    ///
    /// # Errors
    /// That there is no such plugin, or all that is wrong with the endpoint's settings.
    pub fn provider(
        &self,
        installation: &Installation,
        host: &Host,
    ) -> Result<Arc<dyn Provider>, Vec<Violation>> {
        let plugin = self.plugins.get(host.plugin.as_str()).ok_or_else(|| {
            let known: Vec<_> = self.plugins.keys().copied().collect();
            vec![Violation::new(
                "spec.plugin",
                format!("there is no plugin {}: this program brings {}", host.plugin, known.join(", ")),
            )]
        })?;
        plugin.provider(installation, host)
    }
}
