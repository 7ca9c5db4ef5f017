//! The lab's real peers, started for one test and gone with it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How the journal shows that our claim is taken or renewed: it stands on the folder that is wholly ours.
const CLAIM: &str = "SetField Tenants";

/// A running lab.
pub struct Lab {
    starter: Child,
    /// Where everything is.
    pub peers: Peers,
    state: tempfile::TempDir,
}

/// What `lab.json` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peers {
    /// The folder of the lab's programs.
    pub bin: PathBuf,
    /// An administrator's kubeconfig, where there is an API server.
    pub kubeconfig: Option<PathBuf>,
    /// The API server.
    pub kubernetes: Option<Kubernetes>,
    /// The simulated vCenters.
    #[serde(default)]
    pub vcenters: Vec<VCenter>,
    /// The processes by name, such as `vcenter-main`.
    #[serde(default)]
    pub pids: BTreeMap<String, u32>,
}

/// The API server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kubernetes {
    /// Who asked for what, a JSON object on each line, where the lab was started with `--audit`.
    pub audit_log: Option<PathBuf>,
}

/// One simulated vCenter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VCenter {
    /// Its name.
    pub name: String,
    /// The URL of its SDK.
    pub url: String,
    /// The file of its certificate authority.
    pub ca: PathBuf,
    /// The user.
    pub user: String,
    /// The file of the user's password.
    pub password_file: PathBuf,
    /// The address of its admin port.
    pub admin: String,
    /// `about.instanceUuid`.
    pub instance_uuid: String,
}

impl Lab {
    /// Starts a lab, or says that it is skipped and gives `None`. In CI nothing may be skipped.
    ///
    /// # Panics
    /// Where the lab does not start, or would have to be skipped in CI.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let bin = bin()?;
        match Self::start_from(&bin, arguments) {
            Ok(lab) => Some(lab),
            Err(error) => panic!("the lab does not start: {error:#}"),
        }
    }

    fn start_from(bin: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let mut starter = Command::new(bin.join("starter"))
            .arg("--bin")
            .arg(bin)
            .arg("--state")
            .arg(state.path())
            .args(arguments)
            .arg("--until-eof")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("the starter")?;
        let mut line = String::new();
        let stdout = starter.stdout.take().context("the starter's output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the starter ended without a word");
        let peers = serde_json::from_str(&line).with_context(|| format!("the starter said {line:?}"))?;
        Ok(Self { starter, peers, state })
    }

    /// Runs kubectl and gives what it prints.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        run(self.client("kubectl", arguments)?, input)
    }

    /// Runs helm and gives what it prints.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut helm = self.client("helm", arguments)?;
        // It looks for repositories and plugins of its user's, of which there shall be none.
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(folder, self.state.path().join("helm"));
        }
        run(helm, "")
    }

    fn client(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let kubeconfig = self.peers.kubeconfig.as_ref().context("this lab has no API server")?;
        let mut client = Command::new(self.peers.bin.join(program));
        // What kubectl learns of each lab would stay in its user's home.
        client.env("KUBECONFIG", kubeconfig).env("KUBECACHEDIR", self.state.path().join("kube"));
        client.args(arguments);
        Ok(client)
    }

    /// Waits until the API server serves the kinds that were applied. For a moment a new definition has no conditions,
    /// which `kubectl wait` takes for an error.
    ///
    /// # Errors
    /// Where that never comes.
    pub async fn established(&self) -> anyhow::Result<()> {
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        let mut tries = 0;
        while let Err(error) = self.kubectl(&wait, "") {
            tries += 1;
            ensure!(tries < 50, "the kinds are not established: {error:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Runs govc, a client that is not ours, against the vCenter.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn govc(&self, vcenter: &VCenter, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.govc_command(vcenter, arguments)?, "")
    }

    /// The same as a command, for who does not want to wait for its end.
    ///
    /// # Errors
    /// Where the password cannot be read.
    pub fn govc_command(&self, vcenter: &VCenter, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut govc = Command::new(self.peers.bin.join("govc"));
        govc.env("GOVC_URL", &vcenter.url)
            .env("GOVC_USERNAME", &vcenter.user)
            .env("GOVC_PASSWORD", std::fs::read_to_string(&vcenter.password_file)?.trim_end())
            .env("GOVC_TLS_CA_CERTS", &vcenter.ca)
            .env("GOVMOMI_HOME", self.peers.bin.parent().unwrap_or(Path::new("/tmp")))
            .args(arguments);
        Ok(govc)
    }

    /// The whole inventory as a program that shares no code with ours sees it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn inventory(&self, vcenter: &VCenter) -> anyhow::Result<Json> {
        let mut inventory = Command::new(self.peers.bin.join("inventory"));
        inventory.args(["-url", &vcenter.url, "-user", &vcenter.user]);
        inventory.arg("-ca").arg(&vcenter.ca).arg("-password-file").arg(&vcenter.password_file);
        Ok(serde_json::from_str(&run(inventory, "")?)?)
    }

    /// One VM as that program sees it, by its inventory path; null where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn vm(&self, vcenter: &VCenter, path: &str) -> anyhow::Result<Json> {
        let inventory = self.inventory(vcenter)?;
        let vm = inventory["vms"].as_array().into_iter().flatten().find(|vm| vm["path"] == path);
        Ok(vm.cloned().unwrap_or_default())
    }
}

impl VCenter {
    /// Sends an order to the admin port.
    ///
    /// # Errors
    /// Where it is not carried out.
    pub async fn admin(&self, method: &str, path: &str, body: Json) -> anyhow::Result<Json> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let request = http_client(None)?.request(method, format!("{}{path}", self.admin)).json(&body);
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Json::Null))
    }

    /// The writes since the last reset, as the peer itself counts them.
    ///
    /// # Errors
    /// Where the admin port does not answer.
    pub async fn journal(&self) -> anyhow::Result<Vec<Json>> {
        match self.admin("GET", "/journal", Json::Null).await? {
            Json::Array(journal) => Ok(journal),
            other => bail!("a journal is a list and not {other}"),
        }
    }

    /// The writes since the last reset, as `method name`, without those of our claim.
    ///
    /// # Errors
    /// Where the admin port does not answer.
    pub async fn writes(&self) -> anyhow::Result<Vec<String>> {
        let journal = self.journal().await?;
        let text = |write: &Json, field: &str| write[field].as_str().unwrap_or_default().to_owned();
        let writes = journal.iter().map(|write| format!("{} {}", text(write, "method"), text(write, "name")));
        Ok(writes.filter(|write| write != CLAIM).collect())
    }

    /// Forgets the writes so far.
    ///
    /// # Errors
    /// Where the admin port does not answer.
    pub async fn forget_writes(&self) -> anyhow::Result<()> {
        self.admin("POST", "/journal/reset", Json::Null).await.map(drop)
    }

    /// Calls by method since the last reset.
    ///
    /// # Errors
    /// Where the admin port does not answer.
    pub async fn calls(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let stats = self.admin("GET", "/stats", Json::Null).await?;
        Ok(serde_json::from_value(stats["calls"].clone())?)
    }
}

/// Where the lab's programs are, or nothing where what needs them is skipped. In CI nothing may be skipped.
///
/// # Panics
/// Where it would have to be skipped in CI.
pub fn bin() -> Option<PathBuf> {
    let bin = std::env::var_os("VERTSKOMMUNE_LAB_BIN").map(PathBuf::from);
    if bin.is_none() {
        assert!(std::env::var_os("CI").is_none(), "nothing may be skipped here: run `make test`");
        eprintln!("skipped: VERTSKOMMUNE_LAB_BIN does not name the lab's programs: run `make test`");
    }
    bin
}

/// An HTTP client: with this TLS configuration, or one that trusts nobody and is good for plain HTTP only.
///
/// # Errors
/// Where the configuration cannot be used.
pub fn http_client(tls: Option<rustls::ClientConfig>) -> anyhow::Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let nobody = || -> anyhow::Result<_> {
        Ok(rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth())
    };
    let tls = tls.map_or_else(nobody, Ok)?;
    Ok(reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build()?)
}

/// An HTTP client that says who it is by a token.
///
/// # Errors
/// Where the configuration or the token cannot be used.
pub fn http_client_with_token(tls: rustls::ClientConfig, token: &str) -> anyhow::Result<reqwest::Client> {
    let mut token = HeaderValue::try_from(format!("Bearer {token}"))?;
    token.set_sensitive(true);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, token)]);
    Ok(reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .default_headers(headers)
        .build()?)
}

/// Runs a program that reads this, and gives what it prints.
pub(crate) fn run(mut command: Command, input: &str) -> anyhow::Result<String> {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The starter takes everything down at the end of its input.
        drop(self.starter.stdin.take());
        let _ = self.starter.wait();
    }
}
