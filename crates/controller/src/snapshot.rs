//! All manifests of a cluster as they are now, for the commands that plan without the controller.

use std::sync::Arc;
use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client};
use vertskommune_api::{HostProvider, RuleSet, Tenant};
use vertskommune_provider::secrets::SecretStore;

use crate::secrets::KubernetesSecrets;
use crate::{Error, hindrance};

/// All manifests of a cluster as they are now.
pub struct Snapshot {
    /// The Tenants.
    pub tenants: Vec<Tenant>,
    /// The HostProviders.
    pub hosts: Vec<HostProvider>,
    /// The RuleSets.
    pub rule_sets: Vec<RuleSet>,
    /// The Secrets that they name.
    pub secrets: Arc<dyn SecretStore>,
}

/// Reads the cluster of the current kubeconfig; the Secrets are those of the controller's namespace.
///
/// # Errors
/// No cluster is configured, or it cannot be asked.
pub async fn snapshot(namespace: &str) -> Result<Snapshot, Error> {
    let mut cluster = kube::Config::infer().await.map_err(|error| Error::Infer(Box::new(error)))?;
    // A person waits for the answer.
    cluster.connect_timeout = Some(Duration::from_secs(10));
    cluster.read_timeout = Some(Duration::from_secs(30));
    let client = Client::try_from(cluster).map_err(|error| Error::Client(Box::new(error)))?;
    let all = ListParams::default();
    let refused = |error: kube::Error| Error::Ask(hindrance(&error));
    let tenants = Api::<Tenant>::all(client.clone()).list(&all).await.map_err(refused)?;
    let hosts = Api::<HostProvider>::all(client.clone()).list(&all).await.map_err(refused)?;
    let rule_sets = Api::<RuleSet>::all(client.clone()).list(&all).await.map_err(refused)?;
    Ok(Snapshot {
        tenants: tenants.items,
        hosts: hosts.items,
        rule_sets: rule_sets.items,
        secrets: Arc::new(KubernetesSecrets::new(client, namespace)),
    })
}
