//! Flux in a cluster: its kustomize-controller as it is built from source, with a source-controller that is played here. A commit is a
//! folder that is served as an archive, and of which the status of a GitRepository tells.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use futures::future;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::estate::{Cluster, condition};

/// The namespace of Flux.
pub const FLUX: &str = "flux-system";
/// Where its kinds are, below `/apis`.
const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io/v1";
const SOURCE: &str = "source.toolkit.fluxcd.io";
/// All kinds of sources: the kustomize-controller watches each.
const SOURCES: [(&str, &str); 4] = [
    ("GitRepository", "gitrepositories"),
    ("OCIRepository", "ocirepositories"),
    ("Bucket", "buckets"),
    ("ExternalArtifact", "externalartifacts"),
];

/// A running kustomize-controller, and the archives that it fetches.
pub struct Flux {
    controller: Child,
    /// What it says, and where it unpacks archives.
    folder: tempfile::TempDir,
    archives: Archives,
    serving: JoinHandle<()>,
    url: String,
}

/// Archives by path.
type Archives = Arc<Mutex<BTreeMap<String, Bytes>>>;

impl Flux {
    /// Starts it in a cluster, which gets its kinds and its namespace.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let peers = &cluster.lab.peers;
        let kinds = peers.bin.join("kustomizations.yaml");
        let kinds = std::fs::read_to_string(&kinds).with_context(|| kinds.display().to_string())?;
        cluster.lab.kubectl(&["apply", "--server-side", "-f", "-"], &kinds)?;
        for (kind, plural) in SOURCES {
            cluster.apply(&any_object(kind, plural))?;
        }
        cluster.lab.established().await?;
        cluster.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FLUX}}))?;

        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the archives")?;
        let url = format!("http://{}", listener.local_addr()?);
        let archives = Archives::default();
        let serving = tokio::spawn(serve(listener, archives.clone()));
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        let controller = Command::new(peers.bin.join("kustomize-controller"))
            .args(["--enable-leader-election=false", "--metrics-addr=0", "--health-addr=0", "--events-addr="])
            // A Kustomization looks again so soon after what it depends on was not ready.
            .arg("--requeue-dependency=1s")
            .env("KUBECONFIG", peers.kubeconfig.as_ref().context("a kubeconfig")?)
            .env("RUNTIME_NAMESPACE", FLUX)
            // It removes what others of its kind have left there.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("the kustomize-controller")?;
        Ok(Self { controller, folder, archives, serving, url })
    }

    /// Sets up what `flux bootstrap` commits first: the repository, and a Kustomization that applies this folder of it.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub fn bootstrap(cluster: &Cluster, path: &str) -> anyhow::Result<()> {
        cluster.apply(&json!({
            "apiVersion": format!("{SOURCE}/v1"), "kind": "GitRepository",
            "metadata": {"name": FLUX, "namespace": FLUX},
            "spec": {"url": "https://git.example/infrastructure", "interval": "1m", "ref": {"branch": "main"}},
        }))?;
        cluster.apply(&json!({
            "apiVersion": KUSTOMIZE, "kind": "Kustomization",
            "metadata": {"name": FLUX, "namespace": FLUX},
            "spec": {
                "sourceRef": {"kind": "GitRepository", "name": FLUX}, "path": path,
                "prune": true, "interval": "10m",
            },
        }))
    }

    /// Commits a folder as all that is in a repository. Gives the revision, which is the same for the same files.
    ///
    /// # Errors
    /// Where that GitRepository never comes, or the folder cannot be packed.
    pub async fn commit(&self, cluster: &Cluster, repository: &str, folder: &Path) -> anyhow::Result<String> {
        let archive = packed(folder)?;
        let size = archive.len();
        let digest = Sha256::digest(&archive).iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let path = format!("/{repository}/{digest}.tar.gz");
        self.archives.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), archive.into());
        let there = format!("{SOURCE}/v1/namespaces/{FLUX}/gitrepositories/{repository}");
        let source = cluster.wait_for_object(&there, "there", |it| !it.is_null()).await?;
        let generation = &source["metadata"]["generation"];
        let revision = format!("main@sha1:{}", &digest[..40]);
        let now = jiff::Timestamp::now().to_string();
        let status = json!({"status": {
            "observedGeneration": generation,
            "artifact": {
                "digest": format!("sha256:{digest}"), "path": path, "url": format!("{}{path}", self.url),
                "revision": revision, "lastUpdateTime": now, "size": size,
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "message": "the archive is stored",
                "lastTransitionTime": now, "observedGeneration": generation,
            }],
        }});
        let tell = ["patch", "gitrepository", repository, "-n", FLUX, "--subresource=status"];
        let change = ["--type=merge", "-p", &status.to_string()];
        cluster.lab.kubectl(&[&tell[..], &change].concat(), "")?;
        Ok(revision)
    }

    /// Waits until a Kustomization is as asked for.
    ///
    /// # Errors
    /// With the Kustomization as it is, where that never comes.
    pub async fn wait_for(
        &self,
        cluster: &Cluster,
        name: &str,
        what: &str,
        is: impl Fn(&Json) -> bool,
    ) -> anyhow::Result<Json> {
        let path = format!("{KUSTOMIZE}/namespaces/{FLUX}/kustomizations/{name}");
        cluster.wait_for_object(&path, what, is).await
    }

    /// Waits until a Kustomization has applied this revision and all that it waits for is Ready.
    ///
    /// # Errors
    /// With the Kustomization as it is, where that never comes.
    pub async fn applied(&self, cluster: &Cluster, name: &str, revision: &str) -> anyhow::Result<Json> {
        let applied = |it: &Json| has_applied(it, revision);
        self.wait_for(cluster, name, &format!("Ready at {revision}"), applied).await
    }
}

impl Drop for Flux {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = self.controller.kill();
        let _ = self.controller.wait();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("the kustomize-controller said:\n{said}");
        }
    }
}

/// Whether a Kustomization is Ready with this revision.
pub fn has_applied(kustomization: &Json, revision: &str) -> bool {
    condition(kustomization, "Ready") == "True"
        && kustomization["status"]["observedGeneration"] == kustomization["metadata"]["generation"]
        && kustomization["status"]["lastAppliedRevision"] == revision
}

/// A kind of which nothing is known but its name.
fn any_object(kind: &str, plural: &str) -> Json {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{SOURCE}")},
        "spec": {
            "group": SOURCE, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// A folder as an archive, the same bytes for the same files.
fn packed(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("tar")
        .args(["--create", "--gzip", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--directory"])
        .arg(folder)
        .arg(".")
        .output()
        .context("tar")?;
    ensure!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

async fn serve(listener: TcpListener, archives: Archives) {
    while let Ok((stream, _)) = listener.accept().await {
        let archives = archives.clone();
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request| future::ready(answer(&archives, &request)));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(archives: &Archives, request: &Request<Incoming>) -> hyper::http::Result<Response<Full<Bytes>>> {
    let archives = archives.lock().unwrap_or_else(PoisonError::into_inner);
    match archives.get(request.uri().path()) {
        Some(archive) => Response::builder().body(Full::new(archive.clone())),
        None => Response::builder().status(StatusCode::NOT_FOUND).body(Full::default()),
    }
}
