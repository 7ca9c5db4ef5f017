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

/// What is put around each provider.
type Around = Box<dyn Fn(Arc<dyn Provider>) -> Arc<dyn Provider> + Send + Sync>;

/// The plugins that a binary brings.
#[derive(Default)]
pub struct Plugins {
    plugins: BTreeMap<&'static str, Box<dyn Plugin>>,
    around: Option<Around>,
}

impl Plugins {
    /// The same with one more.
    #[must_use]
    pub fn with(mut self, plugin: impl Plugin + 'static) -> Self {
        self.plugins.insert(plugin.name(), Box::new(plugin));
        self
    }

    /// The same, with something put around each provider that they make: to measure it, say.
    #[must_use]
    pub fn around(
        mut self,
        around: impl Fn(Arc<dyn Provider>) -> Arc<dyn Provider> + Send + Sync + 'static,
    ) -> Self {
        self.around = Some(Box::new(around));
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
        let provider = plugin.provider(installation, host)?;
        Ok(match &self.around {
            Some(around) => around(provider),
            None => provider,
        })
    }
}
