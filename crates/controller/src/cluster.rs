//! What people's commands ask a cluster, and the few fields that they set there. The controller itself does not come by
//! here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;
use vertskommune_api::history::Happening;
use vertskommune_api::{HostProvider, RuleSet, Tenant};
use vertskommune_core::error::with_causes;
use vertskommune_core::names::Installation;

use crate::secrets::KubernetesSecrets;
use crate::snapshot::Snapshot;
use crate::{Error, hindrance};

/// The name under which people's commands write to objects. Another than the controller's, so that each keeps its fields.
const PERSON: &str = "vertskommune-cli";
/// Where events about what lies in no namespace lie.
const EVENTS: &str = "default";
/// How long one call may take: a person waits for the answer.
const LIMIT: Duration = Duration::from_secs(30);
/// How often a write is tried that another one came before.
const TRIES: usize = 10;

/// Which cluster is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The kubeconfig; `KUBECONFIG` or the usual place where there is none, and in a pod the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; the current one where there is none.
    pub context: Option<String>,
}

/// Why a field was not set.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such tenant.
    #[error("there is no tenant {0} in the cluster")]
    NoTenant(String),
    /// The tenant of that name is another one by now.
    #[error("tenant {0} was deleted meanwhile, and what has its name now is another: look again")]
    Replaced(String),
    /// Others write to it all the time.
    #[error("tenant {0} was changed by others each time that it was tried: try again")]
    Busy(String),
    /// The cluster cannot be asked.
    #[error("{0}")]
    Ask(String),
}

impl From<Error> for ChangeError {
    fn from(error: Error) -> Self {
        Self::Ask(error.to_string())
    }
}

/// A cluster, as a person asks it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// Takes the way to the cluster; nothing is asked yet.
    ///
    /// # Errors
    /// No cluster is configured, or the configuration cannot be used.
    pub async fn connect(access: &Access) -> Result<Self, Error> {
        let mut config = config(access).await?;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(LIMIT);
        let client = Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))?;
        Ok(Self { client })
    }

    /// All manifests as they are now; the Secrets are those of the controller's namespace.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub async fn snapshot(&self, namespace: &str) -> Result<Snapshot, Error> {
        let all = ListParams::default();
        let rule_sets = Api::<RuleSet>::all(self.client.clone());
        Ok(Snapshot {
            tenants: self.tenants().await?,
            hosts: self.hosts().await?,
            rule_sets: rule_sets.list(&all).await.map_err(|error| refused(&error))?.items,
            secrets: Arc::new(KubernetesSecrets::new(self.client.clone(), namespace)),
        })
    }

    /// The Tenants.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, Error> {
        Ok(self.api().list(&ListParams::default()).await.map_err(|error| refused(&error))?.items)
    }

    /// The HostProviders.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub async fn hosts(&self) -> Result<Vec<HostProvider>, Error> {
        let hosts = Api::<HostProvider>::all(self.client.clone());
        Ok(hosts.list(&ListParams::default()).await.map_err(|error| refused(&error))?.items)
    }

    /// One Tenant, if there is one of that name.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub async fn tenant(&self, name: &str) -> Result<Option<Tenant>, Error> {
        self.api().get_opt(name).await.map_err(|error| refused(&error))
    }

    /// The events about a tenant, those of an earlier one of its name left out.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub async fn events(&self, tenant: &Tenant) -> Result<Vec<Happening>, Error> {
        let about = format!("involvedObject.kind=Tenant,involvedObject.name={}", tenant.name_any());
        let events = Api::<Event>::namespaced(self.client.clone(), EVENTS);
        let events =
            events.list(&ListParams::default().fields(&about)).await.map_err(|error| refused(&error))?;
        let uid = tenant.uid();
        let ours = events.items.into_iter().filter(|event| event.involved_object.uid == uid);
        let mut happenings: Vec<Happening> = ours.filter_map(happening).collect();
        happenings.sort();
        Ok(happenings)
    }

    /// The installation that the controller of this cluster runs as, where its Deployment tells it.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub async fn installation(&self, namespace: &str) -> Result<Option<Installation>, Error> {
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), namespace);
        let deployment = deployments.get_opt(crate::MANAGER).await.map_err(|error| refused(&error))?;
        Ok(match deployment.as_ref().and_then(installation_of) {
            Some(Told::Name(name)) => Some(name),
            Some(Told::In { config_map, key }) => {
                let maps = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
                let map = maps.get_opt(&config_map).await.map_err(|error| refused(&error))?;
                let name = map.and_then(|map| map.data?.get(&key).cloned());
                name.map(|name| Installation::from(name.as_str()))
            }
            None => None,
        })
    }

    /// Sets fields of a tenant by a patch that carries its uid and version, so that neither a tenant that has vanished is
    /// made anew nor a change of somebody else's undone. `change` says what is to be set in the tenant as it is; nothing
    /// where it is so already.
    ///
    /// # Errors
    /// Why it was not set.
    pub async fn change(
        &self,
        name: &str,
        change: impl Fn(&Tenant) -> Option<Value>,
    ) -> Result<Tenant, ChangeError> {
        let mut uid = None;
        for _ in 0..TRIES {
            let tenant = self.tenant(name).await?.ok_or_else(|| ChangeError::NoTenant(name.to_owned()))?;
            if uid.get_or_insert_with(|| tenant.uid()) != &tenant.uid() {
                return Err(ChangeError::Replaced(name.to_owned()));
            }
            let Some(mut patch) = change(&tenant) else { return Ok(tenant) };
            patch["metadata"]["uid"] = json!(tenant.uid());
            patch["metadata"]["resourceVersion"] = json!(tenant.resource_version());
            let params = PatchParams { field_manager: Some(PERSON.to_owned()), ..PatchParams::default() };
            match timeout(LIMIT, self.api().patch(name, &params, &Patch::Merge(&patch))).await {
                Ok(Ok(tenant)) => return Ok(tenant),
                // The controller writes its status at any time.
                Ok(Err(error)) if crate::objects::is_conflict(&error) => {}
                Ok(Err(kube::Error::Api(status))) => return Err(ChangeError::Ask(status.message.clone())),
                Ok(Err(error)) => return Err(ChangeError::Ask(with_causes(&error))),
                Err(_) => {
                    return Err(ChangeError::Ask(format!("no answer from the API server within {LIMIT:?}")));
                }
            }
        }
        Err(ChangeError::Busy(name.to_owned()))
    }

    /// The Tenants by name, whenever one of them has changed. A watch that breaks is begun anew.
    pub fn watch(&self) -> impl Stream<Item = Result<BTreeMap<String, Tenant>, String>> + Send + use<> {
        // Shorter than our patience with a silent connection.
        let config = watcher::Config::default().timeout(20);
        let known: (BTreeMap<String, Tenant>, BTreeMap<String, Tenant>) = (BTreeMap::new(), BTreeMap::new());
        let events = watcher(self.api(), config).default_backoff();
        let known = events.scan(known, |(known, listed), event| {
            match event {
                Ok(watcher::Event::Apply(tenant)) => drop(known.insert(tenant.name_any(), tenant)),
                Ok(watcher::Event::Delete(tenant)) => drop(known.remove(&tenant.name_any())),
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    return std::future::ready(Some(None));
                }
                Ok(watcher::Event::InitApply(tenant)) => {
                    listed.insert(tenant.name_any(), tenant);
                    return std::future::ready(Some(None));
                }
                Ok(watcher::Event::InitDone) => *known = std::mem::take(listed),
                Err(error) => return std::future::ready(Some(Some(Err(with_causes(&error))))),
            }
            std::future::ready(Some(Some(Ok(known.clone()))))
        });
        known.filter_map(std::future::ready)
    }

    fn api(&self) -> Api<Tenant> {
        Api::all(self.client.clone())
    }
}

fn refused(error: &kube::Error) -> Error {
    Error::Ask(hindrance(error))
}

async fn config(access: &Access) -> Result<kube::Config, Error> {
    if access.kubeconfig.is_none() && access.context.is_none() {
        return kube::Config::infer().await.map_err(|error| Error::Infer(Box::new(error)));
    }
    let wrong = |error: kube::config::KubeconfigError| Error::Kubeconfig(Box::new(error));
    let kubeconfig = match &access.kubeconfig {
        Some(file) => Kubeconfig::read_from(file).map_err(wrong)?,
        None => Kubeconfig::read().map_err(wrong)?,
    };
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(wrong)
}

/// One event, by the later of its times. One without any is none that we made.
fn happening(event: Event) -> Option<Happening> {
    let series = event.series.as_ref();
    let at = series
        .and_then(|series| series.last_observed_time.as_ref().map(|at| at.0))
        .or_else(|| event.last_timestamp.as_ref().map(|at| at.0))
        .or_else(|| event.event_time.as_ref().map(|at| at.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|at| at.0))?;
    let count = series.and_then(|series| series.count).or(event.count).unwrap_or(1);
    Some(Happening {
        at: Timestamp::from_second(at.as_second()).unwrap_or(at),
        reason: event.reason.unwrap_or_default(),
        warning: event.type_.as_deref() == Some("Warning"),
        message: event.message.unwrap_or_default(),
        count,
        from: "event",
    })
}

/// How a Deployment tells the installation.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It says it.
    Name(Installation),
    /// It names where it is said, as `deploy/base` does.
    In { config_map: String, key: String },
}

/// What whoever deploys it gives as `VERTSKOMMUNE_INSTALLATION` or `--installation`.
fn installation_of(deployment: &Deployment) -> Option<Told> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.iter().find_map(|container| {
        let variables = container.env.iter().flatten();
        let mut named = variables.filter(|variable| variable.name == "VERTSKOMMUNE_INSTALLATION");
        let variable = named.next();
        let elsewhere =
            variable.and_then(|variable| variable.value_from.as_ref()?.config_map_key_ref.as_ref());
        let variable = variable.and_then(|variable| variable.value.as_deref());
        let mut words = container.command.iter().chain(&container.args).flatten();
        let argument = words.find_map(|word| match word.as_str() {
            "--installation" => Some(None),
            word => word.strip_prefix("--installation=").map(Some),
        });
        let argument = argument.and_then(|value| value.or_else(|| words.next().map(String::as_str)));
        let name = argument.or(variable).map(|name| Told::Name(name.into()));
        name.or_else(|| elsewhere.map(|it| Told::In { config_map: it.name.clone(), key: it.key.clone() }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installation_is_read_from_how_the_controller_is_started() {
        let variable = json!([{"name": "VERTSKOMMUNE_INSTALLATION", "value": "nord"}]);
        let named = json!({"configMapKeyRef": {"name": "vertskommune", "key": "installation"}});
        let elsewhere = json!([{"name": "VERTSKOMMUNE_INSTALLATION", "valueFrom": named}]);
        let told = |name: &str| Some(Told::Name(name.into()));
        let read = || Told::In { config_map: "vertskommune".to_owned(), key: "installation".to_owned() };
        for (container, expected) in [
            (json!({"name": "a", "env": variable}), told("nord")),
            (json!({"name": "a", "env": elsewhere}), Some(read())),
            (json!({"name": "a", "args": ["--installation", "syd"], "env": elsewhere}), told("syd")),
            (
                json!({"name": "a", "args": ["controller", "--installation", "syd"], "env": variable}),
                told("syd"),
            ),
            (json!({"name": "a", "command": ["x", "--installation=syd"]}), told("syd")),
            (json!({"name": "a", "args": ["controller"]}), None),
        ] {
            let deployment: Deployment = serde_json::from_value(json!({
                "metadata": {"name": "vertskommune"},
                "spec": {"selector": {}, "template": {"spec": {"containers": [container]}}},
            }))
            .unwrap();
            assert_eq!(installation_of(&deployment), expected, "{container}");
        }
    }

    #[test]
    fn an_event_is_of_its_last_time() {
        for (event, expected) in [
            (json!({"eventTime": "2026-11-29T10:00:00.000000Z"}), Some(("2026-11-29T10:00:00Z", 1))),
            (
                json!({
                    "eventTime": "2026-11-29T10:00:00.000000Z",
                    "series": {"count": 4, "lastObservedTime": "2026-11-29T10:05:00.000000Z"},
                }),
                Some(("2026-11-29T10:05:00Z", 4)),
            ),
            (json!({"lastTimestamp": "2026-11-29T10:01:00Z", "count": 2}), Some(("2026-11-29T10:01:00Z", 2))),
            (json!({}), None),
        ] {
            let mut whole = json!({"metadata": {"name": "a"}, "involvedObject": {}});
            whole.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
            let found = happening(serde_json::from_value(whole).unwrap());
            let short = found.map(|it| (it.at.to_string(), it.count));
            assert_eq!(short, expected.map(|(at, count)| (at.to_owned(), count)), "{event}");
        }
    }
}
