//! The Secrets of the controller's namespace as a store, and those that are mounted into its pod. Read when they are
//! needed and not kept.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use vertskommune_api::TENANT_LABEL;
use vertskommune_core::names::TenantName;
use vertskommune_provider::secrets::{FolderSecrets, Secret, SecretError, SecretStore};

/// The Secrets of one namespace.
pub(crate) struct KubernetesSecrets {
    api: Api<v1::Secret>,
}

impl KubernetesSecrets {
    pub(crate) fn new(client: kube::Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }

    async fn read(&self, name: &str) -> Result<Secret, SecretError> {
        match self.api.get_opt(name).await {
            Ok(Some(found)) => Ok(secret(found)),
            Ok(None) => Err(SecretError::NotFound(name.to_owned())),
            Err(error) => Err(broken(error)),
        }
    }

    async fn make(
        &self,
        name: &str,
        tenant: &TenantName,
        entries: BTreeMap<String, Vec<u8>>,
    ) -> Result<Secret, SecretError> {
        // Asked for first: what is there already needs no right to make it.
        match self.read(name).await {
            Err(SecretError::NotFound(_)) => {}
            found => return found,
        }
        let new = v1::Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(BTreeMap::from([(TENANT_LABEL.to_owned(), tenant.to_string())])),
                ..ObjectMeta::default()
            },
            data: Some(entries.into_iter().map(|(name, value)| (name, ByteString(value))).collect()),
            ..v1::Secret::default()
        };
        match self.api.create(&PostParams::default(), &new).await {
            Ok(made) => Ok(secret(made)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => self.read(name).await,
            Err(error) => Err(broken(error)),
        }
    }
}

fn secret(found: v1::Secret) -> Secret {
    let version = found.resource_version().unwrap_or_default();
    let tenant = found.labels().get(TENANT_LABEL).map(|name| TenantName::from(name.as_str()));
    let entries = found.data.unwrap_or_default().into_iter().map(|(name, value)| (name, value.0)).collect();
    Secret { entries, version, tenant }
}

fn broken(error: kube::Error) -> SecretError {
    match error {
        kube::Error::Api(status) => SecretError::Store(status.message),
        // An error of any other kind may quote what was read.
        _ => SecretError::Store("the API server could not be asked".to_owned()),
    }
}

impl SecretStore for KubernetesSecrets {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(self.read(name))
    }

    fn create<'a>(
        &'a self,
        name: &'a str,
        tenant: &'a TenantName,
        entries: BTreeMap<String, Vec<u8>>,
    ) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(self.make(name, tenant, entries))
    }
}

/// Secrets that another system mounts into the pod, such as a vault's driver, before those of the cluster.
pub(crate) struct MountedSecrets {
    pub(crate) mounted: FolderSecrets,
    pub(crate) cluster: KubernetesSecrets,
}

impl SecretStore for MountedSecrets {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(async move {
            match self.mounted.get(name).await {
                Err(SecretError::NotFound(_)) => self.cluster.get(name).await,
                found => found,
            }
        })
    }

    /// Nothing is written into a mount: what we make lies in the cluster.
    fn create<'a>(
        &'a self,
        name: &'a str,
        tenant: &'a TenantName,
        entries: BTreeMap<String, Vec<u8>>,
    ) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(async move {
            match self.mounted.get(name).await {
                Err(SecretError::NotFound(_)) => self.cluster.create(name, tenant, entries).await,
                found => found,
            }
        })
    }
}
