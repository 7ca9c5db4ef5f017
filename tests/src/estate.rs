//! The whole in one test: an API server behind the proxy, a vCenter, and controllers that come and go.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use vertskommune_controller::Config;
use vertskommune_provider::Plugins;
use vertskommune_provider_vsphere::VspherePlugin;

use crate::lab::{Lab, VCenter, http_client, http_client_with_token};
pub use crate::manifests::{host, server, server_name, tenant, tenant_name};
use crate::proxy::Proxy;
use crate::running::Life;
pub use crate::running::{Controller, Signal, program};
pub use crate::status::{condition, is_ready, message, of_condition, reason};
use crate::verdicts::Verdicts;
use crate::whys::Whys;

/// The namespace of the controller.
pub const NAMESPACE: &str = "vertskommune-system";
/// The controller's account there.
pub const ACCOUNT: &str = "vertskommune";
/// How long anything may take before the test says that it never came.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with our kinds in it, and the way to it that a test can cut.
pub struct Cluster {
    /// The API server.
    pub lab: Lab,
    /// The way that controllers take to it.
    pub proxy: Proxy,
    /// The way that the test takes to it.
    direct: reqwest::Client,
    url: String,
    /// The kubeconfig of a controller that is a process of its own, by the proxy.
    kubeconfig: tempfile::NamedTempFile,
    /// What kstatus has to say of each state that a Tenant was in.
    verdicts: Verdicts,
    /// What `why` has told so far.
    pub(crate) whys: Whys,
}

impl Cluster {
    /// Starts an API server with our CRDs, or says that it is skipped.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start() -> Option<Self> {
        Self::start_with(&["--no-vcenter"]).await
    }

    /// The same with these options of the lab, such as `--vcenters 2`.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start_with(options: &[&str]) -> Option<Self> {
        // RUST_LOG shows what the controllers say.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .try_init();
        let lab = Lab::start(options)?;
        Some(Self::prepare(lab).await.unwrap_or_else(|error| panic!("the cluster does not start: {error:#}")))
    }

    async fn prepare(lab: Lab) -> anyhow::Result<Self> {
        let kubeconfig = lab.peers.kubeconfig.as_ref().context("a kubeconfig")?;
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let direct = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = http_client(Some(direct.rustls_client_config()?))?;
        let upstream = direct.cluster_url.to_string();
        let url = upstream.trim_end_matches('/').to_owned();
        lab.kubectl(&["apply", "--server-side", "-f", &in_tree("crds")], "")?;
        lab.established().await?;
        lab.kubectl(&["apply", "--server-side", "-k", &in_tree("deploy/base")], "")?;
        // Controllers come as their own account, with the rights that a cluster gives them and no others.
        let token =
            lab.kubectl(&["create", "token", ACCOUNT, "--namespace", NAMESPACE, "--duration=24h"], "")?;
        let mut theirs = kube::Config::new(direct.cluster_url.clone());
        theirs.root_cert.clone_from(&direct.root_cert);
        let theirs = http_client_with_token(theirs.rustls_client_config()?, token.trim())?;
        let proxy = Proxy::start(&url, theirs).await?;
        let kubeconfig = kubeconfig_of(&proxy.url)?;
        let verdicts = Verdicts::watch(client.clone(), &url, &lab.peers.bin);
        Ok(Self { lab, proxy, direct: client, url, kubeconfig, verdicts, whys: Whys::default() })
    }

    /// Holds every state that a Tenant was in so far against what kstatus and Argo CD say of it. Gives how many that were. The end of
    /// each test does so for the rest.
    ///
    /// # Errors
    /// Where they say something else than we mean.
    pub fn hold_verdicts(&self) -> anyhow::Result<usize> {
        self.verdicts.compare()
    }

    /// Takes everything of ours out of the cluster, as if it were a new one.
    ///
    /// # Errors
    /// Where the API server does not do it.
    pub fn clear(&self) -> anyhow::Result<()> {
        let kinds = [
            "tenants.vertskommune.no",
            "rulesets.vertskommune.no",
            "hostproviders.vertskommune.no",
            "secrets",
        ];
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

    /// Describes this vCenter as the HostProvider of its own name, as in `tenants/host`, with its secret.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub fn apply_host(&self, vcenter: &VCenter) -> anyhow::Result<()> {
        self.apply_credentials(vcenter)?;
        self.apply(&host(vcenter)?)
    }

    /// Puts the Secret there that the HostProvider of this vCenter names.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub fn apply_credentials(&self, vcenter: &VCenter) -> anyhow::Result<()> {
        let password = std::fs::read_to_string(&vcenter.password_file)?;
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": vcenter.name, "namespace": NAMESPACE},
            "stringData": {"username": vcenter.user, "password": password.trim_end()},
        }))
    }

    /// Applies one object.
    ///
    /// # Errors
    /// Where the API server refuses it, with what it said.
    pub fn apply(&self, object: &Json) -> anyhow::Result<()> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.lab.kubectl(&arguments, &object.to_string()).map(drop)
    }

    /// Changes one object as `kubectl patch` does.
    ///
    /// # Errors
    /// Where the API server refuses it, with what it said.
    pub fn patch(&self, kind: &str, name: &str, change: &Json) -> anyhow::Result<()> {
        self.lab.kubectl(&["patch", kind, name, "--type=merge", "-p", &change.to_string()], "").map(drop)
    }

    /// The same for one in the controller's namespace.
    ///
    /// # Errors
    /// Where the API server refuses it, with what it said.
    pub fn patch_in_namespace(&self, kind: &str, name: &str, change: &Json) -> anyhow::Result<()> {
        let change = change.to_string();
        self.lab.kubectl(&["patch", kind, name, "-n", NAMESPACE, "--type=merge", "-p", &change], "").map(drop)
    }

    /// Runs `kubectl vertskommune` with these arguments, with the plugin in PATH as people have it. How it ended, its
    /// output and what it said beside.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn plugin(&self, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
        let kubeconfig = self.lab.peers.kubeconfig.as_ref().context("this lab has no API server")?;
        let folder = tempfile::tempdir()?;
        std::os::unix::fs::symlink(program()?, folder.path().join("kubectl-vertskommune"))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new(self.lab.peers.bin.join("kubectl"))
            .arg("vertskommune")
            .args(arguments)
            .env("PATH", format!("{}:{path}", folder.path().display()))
            .env("KUBECONFIG", kubeconfig)
            .env("VERTSKOMMUNE_INSTALLATION", "lab")
            .stdin(Stdio::null())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }

    /// Asks for a look at an object now, as `flux reconcile` does. Gives what the answer will name.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub fn request(&self, kind: &str, name: &str) -> anyhow::Result<String> {
        let now = jiff::Timestamp::now().to_string();
        let asked = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": now}}});
        self.patch(kind, name, &asked)?;
        Ok(now)
    }

    /// The same, and waits until it is answered.
    ///
    /// # Errors
    /// Where it is not.
    pub async fn ask(&self, kind: &str, name: &str) -> anyhow::Result<Json> {
        let now = self.request(kind, name)?;
        let answered = |object: &Json| object["status"]["lastHandledReconcileAt"] == json!(now);
        match kind {
            "tenant" => self.wait_for(name, "answered", answered).await,
            _ => self.wait_for_host(name, "answered", answered).await,
        }
    }

    /// Who holds the leader lease; nobody where it is free.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn leader(&self) -> anyhow::Result<Option<String>> {
        let url =
            format!("{}/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/vertskommune", self.url);
        let lease: Json = self.direct.get(url).send().await?.json().await?;
        Ok(lease["spec"]["holderIdentity"].as_str().map(str::to_owned))
    }

    /// A tenant as it stands in the cluster.
    ///
    /// # Errors
    /// Where there is none.
    pub fn tenant(&self, name: &str) -> anyhow::Result<Json> {
        Ok(serde_json::from_str(&self.lab.kubectl(&["get", "tenant", name, "-o", "json"], "")?)?)
    }

    /// A tenant as it stands in the cluster, if there is one. Cheap enough to be asked for many times.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn find(&self, name: &str) -> anyhow::Result<Option<Json>> {
        self.get(&format!("vertskommune.no/v1alpha1/tenants/{name}")).await
    }

    /// An object by its path below `/apis`, if there is one.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Option<Json>> {
        let answer = self.direct.get(format!("{}/apis/{path}", self.url)).send().await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.error_for_status()?.json().await?))
    }

    /// Whether the API server would take a new object; `Err` within is its refusal. Nothing is kept.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn try_create(&self, plural: &str, object: &Json) -> anyhow::Result<Result<(), String>> {
        let url = format!("{}/apis/vertskommune.no/v1alpha1/{plural}?dryRun=All", self.url);
        refusal(self.direct.post(url).json(object).send().await?).await
    }

    /// Whether the API server would take this in place of the object of that name.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn try_update(&self, plural: &str, object: &Json) -> anyhow::Result<Result<(), String>> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let url = format!("{}/apis/vertskommune.no/v1alpha1/{plural}/{name}", self.url);
        let there: Json = self.direct.get(&url).send().await?.json().await?;
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
        refusal(self.direct.put(format!("{url}?dryRun=All")).json(&object).send().await?).await
    }

    /// Waits until a tenant is as asked for.
    ///
    /// # Errors
    /// With the tenant as it is, where that never comes.
    pub async fn wait_for(&self, name: &str, what: &str, is: impl Fn(&Json) -> bool) -> anyhow::Result<Json> {
        wait(name, what, is, async || Ok(self.find(name).await?.unwrap_or_default())).await
    }

    /// Waits until a HostProvider is as asked for.
    ///
    /// # Errors
    /// With the HostProvider as it is, where that never comes.
    pub async fn wait_for_host(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&Json) -> bool,
    ) -> anyhow::Result<Json> {
        self.wait_for_object(&format!("vertskommune.no/v1alpha1/hostproviders/{name}"), what, is).await
    }

    /// Waits until the object of this path below `/apis` is as asked for. Where there is none it is null.
    ///
    /// # Errors
    /// With the object as it is, where that never comes.
    pub async fn wait_for_object(
        &self,
        path: &str,
        what: &str,
        is: impl Fn(&Json) -> bool,
    ) -> anyhow::Result<Json> {
        wait(path, what, is, async || Ok(self.get(path).await?.unwrap_or_default())).await
    }

    /// A controller that reaches the API server by the proxy. It lives in a runtime of its own.
    ///
    /// # Errors
    /// Where no runtime can be had.
    pub fn controller(&self) -> anyhow::Result<Controller> {
        self.controller_of(Config::new("lab".into(), NAMESPACE, "controller"))
    }

    /// A controller of another cluster, as the claims in the real systems see it, or of another installation.
    ///
    /// # Errors
    /// Where no runtime can be had.
    pub fn controller_from(&self, installation: &str, holder: &str) -> anyhow::Result<Controller> {
        let config = Config::new(installation.into(), NAMESPACE, "controller");
        self.controller_of(Config { holder: Some(holder.to_owned()), ..config })
    }

    /// One under a name of its own in the lease that answers `/metrics` at this address.
    ///
    /// # Errors
    /// Where no runtime can be had.
    pub fn controller_at(&self, identity: &str, address: SocketAddr) -> anyhow::Result<Controller> {
        let config = Config::new("lab".into(), NAMESPACE, identity);
        self.controller_of(Config { listen: Some(address), ..config })
    }

    fn controller_of(&self, config: Config) -> anyhow::Result<Controller> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
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
        Ok(Controller(Life::Task { runtime: Some(runtime), stop, ended: Some(ended) }))
    }

    /// The real program as a process of its own, by the proxy as well.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn process(&self) -> anyhow::Result<Controller> {
        self.process_named("controller")
    }

    /// The same, answering `/metrics` at this address.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn process_at(&self, address: SocketAddr) -> anyhow::Result<Controller> {
        self.start_process("lab", "controller", address, |it| it.stderr(log()))
    }

    /// The same with a name of its own in the lease, as another replica has it.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn process_named(&self, identity: &str) -> anyhow::Result<Controller> {
        self.start_process("lab", identity, ANYWHERE, |it| it.stderr(log()))
    }

    /// The same with Secrets that are mounted there.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn process_with_secrets(&self, mount: &Path) -> anyhow::Result<Controller> {
        self.start_process("lab", "controller", ANYWHERE, |it| {
            it.arg("--secrets").arg(mount).stderr(Stdio::null())
        })
    }

    /// The same for another installation, with all that it can say in a file.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn process_saying_all(&self, installation: &str, log: File) -> anyhow::Result<Controller> {
        self.start_process(installation, "controller", ANYWHERE, |it| it.env("RUST_LOG", "trace").stderr(log))
    }

    fn start_process(
        &self,
        installation: &str,
        identity: &str,
        listen: SocketAddr,
        with: impl FnOnce(&mut Command) -> &mut Command,
    ) -> anyhow::Result<Controller> {
        let mut command = Command::new(program()?);
        command
            .args(["controller", "--installation", installation, "--namespace", NAMESPACE])
            .args(["--identity", identity, "--listen", &listen.to_string()])
            .env("KUBECONFIG", self.kubeconfig.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = with(&mut command).spawn().context("the controller as a process")?;
        Ok(Controller(Life::Process(child)))
    }
}

/// Any free port of this machine.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Where a controller's log goes: nowhere unless it is asked for.
fn log() -> Stdio {
    if std::env::var_os("RUST_LOG").is_some() { Stdio::inherit() } else { Stdio::null() }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A test that has failed has said enough.
        if std::thread::panicking() {
            return;
        }
        if let Err(error) = self.hold_verdicts() {
            panic!("{error:#}");
        }
    }
}

/// A file or folder of the source tree.
#[must_use]
pub fn in_tree(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).to_string_lossy().into_owned()
}

/// A kubeconfig that leads to this address and says who asks to nobody.
fn kubeconfig_of(url: &str) -> anyhow::Result<tempfile::NamedTempFile> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": url}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
    });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), config.to_string())?;
    Ok(file)
}

async fn wait(
    name: &str,
    what: &str,
    is: impl Fn(&Json) -> bool,
    get: impl AsyncFn() -> anyhow::Result<Json>,
) -> anyhow::Result<Json> {
    let start = Instant::now();
    loop {
        let object = get().await?;
        if is(&object) {
            return Ok(object);
        }
        if start.elapsed() > PATIENCE {
            bail!("{name} never became {what}: {:#}", object["status"]);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn refusal(answer: reqwest::Response) -> anyhow::Result<Result<(), String>> {
    let refused = !answer.status().is_success();
    let status: Json = answer.json().await?;
    Ok(if refused { Err(status["message"].as_str().unwrap_or_default().to_owned()) } else { Ok(()) })
}
