//! The plugins that this program brings. The only place that names them.

use vertskommune_provider::Plugins;
use vertskommune_provider_ad::AdPlugin;
use vertskommune_provider_backup::BackupPlugin;
use vertskommune_provider_fortigate::FortigatePlugin;
use vertskommune_provider_vsphere::VspherePlugin;

/// All of them.
pub(crate) fn plugins() -> Plugins {
    let plugins =
        Plugins::default().with(AdPlugin).with(BackupPlugin).with(FortigatePlugin).with(VspherePlugin);
    #[cfg(feature = "testing")]
    let plugins = plugins.with(vertskommune_provider::testing::MemoryPlugin::default());
    plugins
}
