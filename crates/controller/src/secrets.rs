//! The Secrets of the controller's namespace as a store. Read when they are needed and not kept.

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1;
use kube::{Api, ResourceExt as _};
use vertskommune_provider::secrets::{Secret, SecretError, SecretStore};

/// The Secrets of one namespace.
pub(crate) struct KubernetesSecrets {
    api: Api<v1::Secret>,
}

impl KubernetesSecrets {
    pub(crate) fn new(client: kube::Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }

    async fn read(&self, name: &str) -> Result<Secret, SecretError> {
        let found = match self.api.get_opt(name).await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(SecretError::NotFound(name.to_owned())),
            Err(kube::Error::Api(status)) => return Err(SecretError::Store(status.message)),
            // An error of any other kind may quote what was read.
            Err(_) => return Err(SecretError::Store("the API server could not be asked".to_owned())),
        };
        let version = found.resource_version().unwrap_or_default();
        let entries =
            found.data.unwrap_or_default().into_iter().map(|(name, value)| (name, value.0)).collect();
        Ok(Secret { entries, version })
    }
}

impl SecretStore for KubernetesSecrets {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(self.read(name))
    }
}
