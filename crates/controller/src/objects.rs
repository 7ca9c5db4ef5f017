//! The writes to objects in the cluster. Each asks the permit first and carries the object's uid, so that one that has
//! vanished is not made anew.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use vertskommune_provider::{Fenced, Permit};

use crate::MANAGER;

/// How long a write may take. A connection that has died silently must not hold up a tenant for longer.
const LIMIT: Duration = Duration::from_secs(10);

/// Why an object could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// This process may not write.
    #[error("not sent: {0}")]
    NotPermitted(Fenced),
    /// The object is gone, or another of its name has come.
    #[error("the object is gone")]
    Gone,
    /// No answer came in time. It may have been written.
    #[error("no answer from the API server within {LIMIT:?}")]
    Silent,
    /// The API server refused or could not be asked.
    #[error("the API server did not take it")]
    Api(#[source] Box<kube::Error>),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 || status.code == 409 => Self::Gone,
            _ => Self::Api(Box::new(error)),
        }
    }
}

/// Whether somebody else wrote the object meanwhile.
pub(crate) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Writes objects.
#[derive(Clone)]
pub(crate) struct Objects {
    client: Client,
    permit: Arc<dyn Permit>,
}

impl Objects {
    pub(crate) fn new(client: Client, permit: Arc<dyn Permit>) -> Self {
        Self { client, permit }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether anything may be written now.
    pub(crate) fn permit(&self) -> Result<(), WriteError> {
        self.permit.check().map_err(WriteError::NotPermitted)
    }

    /// Writes the status as a whole. Gives the object as it is then.
    pub(crate) async fn status<K: Cluster>(
        &self,
        object: &K,
        status: &impl Serialize,
    ) -> Result<K, WriteError> {
        self.permit()?;
        let mut patch = identity(object);
        patch["status"] = json!(status);
        let api: Api<K> = Api::all(self.client.clone());
        sent(api.patch_status(&object.name_any(), &ours(), &Patch::Apply(&patch))).await
    }

    /// Puts our finalizer on an object that lacks it.
    pub(crate) async fn hold<K: Cluster>(&self, object: &K, finalizer: &str) -> Result<K, WriteError> {
        self.hold_in(&Api::all(self.client.clone()), object, finalizer).await
    }

    /// The same in a namespace.
    pub(crate) async fn hold_in<K: Kubernetes>(
        &self,
        api: &Api<K>,
        object: &K,
        finalizer: &str,
    ) -> Result<K, WriteError> {
        self.permit()?;
        let mut patch = identity(object);
        patch["metadata"]["finalizers"] = json!([finalizer]);
        sent(api.patch(&object.name_any(), &ours(), &Patch::Apply(&patch))).await
    }

    /// Takes our finalizer off.
    pub(crate) async fn let_go<K: Cluster>(&self, object: &K, finalizer: &str) -> Result<(), WriteError> {
        self.let_go_in(&Api::all(self.client.clone()), object, finalizer).await
    }

    /// The same in a namespace. Whoever wrote the finalizer last (a restored backup, say), it goes: so the list is
    /// written as a whole, if nobody else changed the object meanwhile.
    pub(crate) async fn let_go_in<K: Kubernetes>(
        &self,
        api: &Api<K>,
        object: &K,
        finalizer: &str,
    ) -> Result<(), WriteError> {
        self.permit()?;
        let others: Vec<&String> = object.finalizers().iter().filter(|name| *name != finalizer).collect();
        let patch = json!({ "metadata": {
            "uid": object.uid(),
            "resourceVersion": object.resource_version(),
            "finalizers": others,
        }});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        sent(api.patch(&object.name_any(), &params, &Patch::Merge(&patch))).await.map(drop)
    }
}

async fn sent<T>(write: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
    Ok(timeout(LIMIT, write).await.map_err(|_| WriteError::Silent)??)
}

/// What can be patched.
pub(crate) trait Kubernetes: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned {}

impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned> Kubernetes for K {}

/// What lies in no namespace.
pub(crate) trait Cluster: Kubernetes + Resource<Scope = kube::core::ClusterResourceScope> {}

impl<K: Kubernetes + Resource<Scope = kube::core::ClusterResourceScope>> Cluster for K {}

fn ours() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

fn identity<K: Kubernetes>(object: &K) -> Value {
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid() },
    })
}
