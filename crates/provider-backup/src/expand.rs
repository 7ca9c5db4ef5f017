//! What a tenant should have in this second room: an account, and a repository with its keys and its policy; nothing where
//! another product takes its backups.

use vertskommune_core::domain::Inputs;
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey};
use vertskommune_core::resource::Resource;

use crate::policy;
use crate::schema::{ACCOUNT, OF_SECRET, REPOSITORY, field};
use crate::settings::Settings;

/// The resources of one tenant; none where its backups lie elsewhere, or are another product's.
pub(crate) fn expand(inputs: &Inputs, provider: &ProviderName, settings: &Settings) -> Vec<Resource> {
    let tenant = &inputs.tenant;
    let Some(backup) = tenant.backup.as_ref().filter(|backup| backup.provider == *provider) else {
        return Vec::new();
    };
    let Some(policy) = policy::wanted(backup) else { return Vec::new() };
    let id =
        |kind: &str| ResourceId::new(&tenant.name, provider, ResourceKey::new(kind, tenant.name.as_str()));
    let mut account = Resource::new(id(ACCOUNT), "spec.backup").with(field::KEY, OF_SECRET);
    if let Some(quota) = settings.quota {
        account = account.with(field::QUOTA, quota);
    }
    let mut repository = Resource::new(id(REPOSITORY), "spec.backup")
        .with(field::ESCROW, true)
        .with(field::ESCROW_RECIPIENT, settings.escrow.to_string())
        .with(field::KEEPER, true);
    for (name, value) in policy {
        repository = repository.with(name, value);
    }
    repository.after.insert(account.id.clone());
    vec![account, repository]
}
