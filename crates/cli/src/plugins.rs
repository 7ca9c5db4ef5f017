//! The plugins that this program brings. The only place that names them.

use vertskommune_provider::Plugins;

/// All of them.
pub(crate) fn plugins() -> Plugins {
    let plugins = Plugins::default();
    #[cfg(feature = "testing")]
    let plugins = plugins.with(vertskommune_provider::testing::MemoryPlugin::default());
    plugins
}
