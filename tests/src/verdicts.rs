//! Each status that a controller wrote in a test, held against what those say who wait for it: kstatus, by which Flux decides, and the
//! health check for Argo CD have to say of each Tenant what we mean by its status.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::TryStreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use vertskommune_api::conditions::READY;
use vertskommune_api::conditions::standing::{Standing, standing};
use vertskommune_core::reason::Reason;

use crate::lab::run;
use crate::status::reason;

/// How long after a watch that failed the next begins: an API server may be away for a while.
const AGAIN: Duration = Duration::from_millis(100);

/// All states of all Tenants of a cluster, as they come.
pub struct Verdicts {
    seen: Arc<Mutex<BTreeMap<String, Json>>>,
    watching: JoinHandle<()>,
    bin: PathBuf,
}

impl Verdicts {
    /// Watches the Tenants at this address from now on. `bin` is where the lab's programs are.
    pub fn watch(client: reqwest::Client, url: &str, bin: &Path) -> Self {
        let url = format!("{url}/apis/vertskommune.no/v1alpha1/tenants?watch=true");
        let seen = Arc::<Mutex<BTreeMap<String, Json>>>::default();
        let watching = tokio::spawn({
            let seen = seen.clone();
            async move {
                loop {
                    // A watch that ends is begun anew: it tells first what is there.
                    if watch(&client, &url, &seen).await.is_err() {
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        });
        Self { seen, watching, bin: bin.to_owned() }
    }

    /// Compares all that was seen. Gives how many states that were.
    ///
    /// # Errors
    /// Where somebody says something else than we mean, or cannot be asked.
    pub fn compare(&self) -> anyhow::Result<usize> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let all: Vec<Json> = seen.into_values().collect();
        compare(&self.bin, &all)
    }
}

impl Drop for Verdicts {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn watch(
    client: &reqwest::Client,
    url: &str,
    seen: &Mutex<BTreeMap<String, Json>>,
) -> anyhow::Result<()> {
    let mut pieces = client.get(url).send().await?.error_for_status()?.bytes_stream();
    let mut line = Vec::new();
    while let Some(piece) = pieces.try_next().await? {
        line.extend_from_slice(&piece);
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let event: Json = serde_json::from_slice(&line[..end])?;
            line.drain(..=end);
            note(event, seen);
        }
    }
    Ok(())
}

fn note(mut event: Json, seen: &Mutex<BTreeMap<String, Json>>) {
    let mut object = event["object"].take();
    if object["kind"] != "Tenant" {
        return;
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let key = format!("{} {}", object["metadata"]["uid"], object["metadata"]["resourceVersion"]);
    seen.lock().unwrap_or_else(PoisonError::into_inner).insert(key, object);
}

/// What we mean by the status of an object.
///
/// # Errors
/// Where it is none of a Tenant.
pub fn meant(object: &Json) -> anyhow::Result<Standing> {
    let metadata: ObjectMeta = serde_json::from_value(object["metadata"].clone())?;
    let conditions = &object["status"]["conditions"];
    let conditions: Vec<Condition> = match conditions {
        Json::Null => Vec::new(),
        conditions => serde_json::from_value(conditions.clone())?,
    };
    Ok(standing(&metadata, object["status"]["observedGeneration"].as_i64(), &conditions))
}

/// Asks kstatus and the health check for all of these objects at once, and compares what they say with what we mean.
///
/// # Errors
/// Where they differ, or cannot be asked.
pub fn compare(bin: &Path, objects: &[Json]) -> anyhow::Result<usize> {
    if objects.is_empty() {
        return Ok(0);
    }
    let by_kstatus = ask(bin, "kstatus", &json!(objects), objects.len())?;
    let check = json!({"script": health_check()?, "objects": objects});
    let by_argo_cd = ask(bin, "argocd-health", &check, objects.len())?;
    let (mut each, mut differing) = (BTreeMap::<Standing, usize>::new(), Vec::new());
    for ((object, kstatus), argo_cd) in objects.iter().zip(by_kstatus).zip(by_argo_cd) {
        let meant = meant(object)?;
        *each.entry(meant).or_default() += 1;
        if kstatus != meant.word() || argo_cd != health(meant, object) {
            differing.push(format!("{meant:?}, and kstatus says {kstatus}, Argo CD {argo_cd}: {object}"));
        }
    }
    ensure!(differing.is_empty(), "we mean\n{}", differing.join("\n"));
    println!("verdicts: kstatus and Argo CD agree on {} states of Tenants: {each:?}", objects.len());
    Ok(objects.len())
}

/// What Argo CD calls it.
fn health(meant: Standing, object: &Json) -> &'static str {
    let observed = object["status"]["observedGeneration"] == object["metadata"]["generation"];
    match meant {
        Standing::Current => "Healthy",
        Standing::Failed => "Degraded",
        // It tells apart what waits for nobody but whoever suspended it.
        Standing::InProgress if observed && reason(object, READY) == Reason::Suspended.word() => "Suspended",
        Standing::InProgress | Standing::Terminating => "Progressing",
    }
}

/// The health check that a platform team gives to Argo CD.
fn health_check() -> anyhow::Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/gitops/argocd/health.yaml");
    let patch: Json = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    let check = &patch["data"]["resource.customizations.health.vertskommune.no_Tenant"];
    Ok(check.as_str().context("no health check for Tenants")?.to_owned())
}

fn ask(bin: &Path, program: &str, input: &Json, count: usize) -> anyhow::Result<Vec<String>> {
    let answer = run(Command::new(bin.join(program)), &input.to_string())?;
    let said: Vec<String> = serde_json::from_str(&answer).with_context(|| program.to_owned())?;
    ensure!(said.len() == count, "{program} answered for {} of {count}", said.len());
    Ok(said)
}
