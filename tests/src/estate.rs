//! The whole in one test: an API server behind the proxy, a vCenter, and controllers that come and go.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vertskommune_controller::Config;
use vertskommune_provider::Plugins;
use vertskommune_provider_vsphere::VspherePlugin;

use crate::lab::{Lab, VCenter, http_client};
use crate::proxy::Proxy;

/// The namespace of the controller.
const NAMESPACE: &str = "vertskommune-system";
/// How long anything may take before the test says that it never came.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with our kinds in it, and the way to it that a test can cut.
pub struct Cluster {
    /// The API server.
    pub lab: Lab,
    /// The way that controllers take to it.
    pub proxy: Proxy,
}

impl Cluster {
    /// Starts an API server with our CRDs, or says that it is skipped.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start() -> Option<Self> {
        // RUST_LOG shows what the controllers say.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .try_init();
        let lab = Lab::start(&["--no-vcenter"])?;
        Some(Self::prepare(lab).await.unwrap_or_else(|error| panic!("the cluster does not start: {error:#}")))
    }

    async fn prepare(lab: Lab) -> anyhow::Result<Self> {
        let kubeconfig = lab.peers.kubeconfig.as_ref().context("a kubeconfig")?;
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let direct = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = http_client(Some(direct.rustls_client_config()?))?;
        let upstream = direct.cluster_url.to_string();
        let proxy = Proxy::start(upstream.trim_end_matches('/'), client).await?;
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
        lab.kubectl(&["apply", "--server-side", "-f", &crds.to_string_lossy()], "")?;
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        lab.kubectl(&established, "")?;
        lab.kubectl(&["create", "namespace", NAMESPACE], "")?;
        Ok(Self { lab, proxy })
    }

    /// Takes everything of ours out of the cluster, as if it were a new one.
    ///
    /// # Errors
    /// Where the API server does not do it.
    pub fn clear(&self) -> anyhow::Result<()> {
        let kinds = ["tenants.vertskommune.no", "hostproviders.vertskommune.no", "secrets"];
        for kind in kinds {
            let all = self.lab.kubectl(&["get", kind, "-n", NAMESPACE, "-o", "name"], "")?;
            for name in all.lines() {
                let free = r#"{"metadata":{"finalizers":null}}"#;
                let _ = self.lab.kubectl(&["patch", name, "-n", NAMESPACE, "--type=merge", "-p", free], "");
                self.lab.kubectl(&["delete", name, "-n", NAMESPACE, "--ignore-not-found"], "")?;
            }
        }
        self.lab.kubectl(&["delete", "leases", "-n", NAMESPACE, "--all"], "")?;
        Ok(())
    }

    /// Describes this vCenter as the HostProvider `vcenter-main`, as in `tenants/host`, with its secret.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub fn apply_host(&self, vcenter: &VCenter) -> anyhow::Result<()> {
        let password = std::fs::read_to_string(&vcenter.password_file)?;
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "vcenter-main", "namespace": NAMESPACE},
            "stringData": {"username": vcenter.user, "password": password.trim_end()},
        }))?;
        self.apply(&host(vcenter)?)
    }

    /// Applies one object.
    ///
    /// # Errors
    /// Where the API server refuses it, with what it said.
    pub fn apply(&self, object: &Json) -> anyhow::Result<()> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.lab.kubectl(&arguments, &object.to_string()).map(drop)
    }

    /// A tenant as it stands in the cluster.
    ///
    /// # Errors
    /// Where there is none.
    pub fn tenant(&self, name: &str) -> anyhow::Result<Json> {
        Ok(serde_json::from_str(&self.lab.kubectl(&["get", "tenant", name, "-o", "json"], "")?)?)
    }

    /// Waits until a tenant is as asked for.
    ///
    /// # Errors
    /// With the tenant as it is, where that never comes.
    pub async fn wait_for(&self, name: &str, what: &str, is: impl Fn(&Json) -> bool) -> anyhow::Result<Json> {
        let start = Instant::now();
        loop {
            let tenant = self.tenant(name)?;
            if is(&tenant) {
                return Ok(tenant);
            }
            if start.elapsed() > PATIENCE {
                bail!("{name} never became {what}: {:#}", tenant["status"]);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A controller that reaches the API server by the proxy. It lives in a runtime of its own.
    ///
    /// # Errors
    /// Where no runtime can be had.
    pub fn controller(&self) -> anyhow::Result<Controller> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let config = Config::new("lab".into(), NAMESPACE, "controller");
        let stop = CancellationToken::new();
        let plugins = Plugins::default().with(VspherePlugin);
        let cluster = kube::Config::new(self.proxy.url.parse()?);
        let ended = runtime.spawn({
            let stop = stop.clone();
            async move {
                if let Err(error) = vertskommune_controller::run_in(cluster, config, plugins, stop).await {
                    eprintln!("controller: {error}");
                }
            }
        });
        Ok(Controller { runtime: Some(runtime), stop, ended: Some(ended) })
    }
}

/// A running controller.
pub struct Controller {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    ended: Option<JoinHandle<()>>,
}

impl Controller {
    /// Ends it in good order, as SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(ended) = self.ended.take() {
            let _ = tokio::time::timeout(PATIENCE, ended).await;
        }
    }

    /// Ends it between two instructions, with all that it remembers.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The host's own file, with the address, identity and CA of this vCenter.
///
/// # Errors
/// Where the file cannot be read.
pub fn host(vcenter: &VCenter) -> anyhow::Result<Json> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenants/host/vcenter-main.yaml");
    let mut host: Json = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    host["spec"]["endpoint"] = json!(vcenter.url);
    host["spec"]["identity"] = json!(vcenter.instance_uuid);
    host["spec"]["caBundle"] = json!(std::fs::read_to_string(&vcenter.ca)?);
    // As many tenants as a test wants.
    host["spec"]["tenants"]["vlans"] = json!(["1-4094"]);
    host["spec"]["tenants"]["networks"] = json!(["10.0.0.0/8"]);
    host["spec"]["tenants"]["reserved"] = json!([]);
    host["spec"]["tenants"]["namePrefixes"] = json!(["t"]);
    host["spec"]["budget"] = json!({"concurrency": 8, "requestsPerSecond": 500});
    Ok(host)
}

/// The `number`-th small tenant: a network, and an anti-affinity group of two servers with a disk each.
pub fn tenant(number: u16) -> Json {
    let name = tenant_name(number);
    let network = format!("10.{}.{}", number / 256, number % 256);
    let server = |index: u16| {
        json!({
            "name": format!("{name}-srv{index:02}"),
            "template": "ubuntu-24.04@1",
            "vcpus": 2,
            "memory": "4Gi",
            "disks": [{"name": "data", "size": "10Gi"}],
            "interfaces": [{"network": "servers", "address": format!("{network}.{}", 10 + index)}],
            "antiAffinity": "pair",
        })
    };
    json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
        "spec": {
            "displayName": format!("{name} kommune"),
            "networks": [{
                "name": "servers", "vlan": number, "cidr": format!("{network}.0/24"),
                "gateway": format!("{network}.1"), "dns": [format!("{network}.5")],
            }],
            "compute": {"provider": "vcenter-main", "quota": {"vcpus": 16, "memory": "64Gi", "storage": "1Ti"}},
            "servers": [server(1), server(2)],
        },
    })
}

/// The name of the `number`-th tenant.
pub fn tenant_name(number: u16) -> String {
    format!("t{number:04}")
}

/// The status of a condition of a tenant, or nothing.
pub fn condition<'a>(tenant: &'a Json, kind: &str) -> &'a str {
    let conditions = tenant["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let condition = conditions.iter().find(|condition| condition["type"] == kind);
    condition.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}

/// The reason of a condition of a tenant, or nothing.
pub fn reason<'a>(tenant: &'a Json, kind: &str) -> &'a str {
    let conditions = tenant["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let condition = conditions.iter().find(|condition| condition["type"] == kind);
    condition.and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
}

/// Whether a tenant is Ready, and its status is of its newest form.
pub fn is_ready(tenant: &Json) -> bool {
    condition(tenant, "Ready") == "True"
        && tenant["status"]["observedGeneration"] == tenant["metadata"]["generation"]
}
