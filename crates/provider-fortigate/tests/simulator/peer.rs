//! The FortiOS simulator as the conformance suite's peer. What is ours and what is not is told apart in its exported
//! configuration, without any code of the plugin.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, RwLock};

use fortios_simulator::{Firmware, Identity, Options, Simulator};
use futures::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value as Json, json};
use vertskommune_api::{TenantSpec, manifest};
use vertskommune_core::host::Host;
use vertskommune_core::names::Installation;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_provider::secrets::{Secret, SecretError, SecretStore};
use vertskommune_provider::testing::Cut;
use vertskommune_provider::testing::conformance::{Peer, Things};
use vertskommune_provider::{Plugin as _, Provider};
use vertskommune_provider_fortigate::FortigatePlugin;

pub(crate) const TOKEN: &str = "canary-f0rt1";

/// A FortiGate that can be begun anew.
#[derive(Clone)]
pub(crate) struct FortiGate {
    running: Arc<RwLock<Arc<Simulator>>>,
    options: Arc<Options>,
    http: reqwest::Client,
    /// What of the host's own file is changed for it.
    change: fn(&mut Host),
}

impl FortiGate {
    pub(crate) async fn start(firmware: Firmware) -> Self {
        let identity = Identity { firmware, ..Options::default().identity };
        Self::with(Options { identity, ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let options =
            Options { token: Some(TOKEN.to_owned()), seed: Some(seed()), vdom_limit: 10, ..options };
        let simulator = Arc::new(Simulator::start(&options).await.unwrap());
        let http = http_client(rustls::RootCertStore::empty());
        Self { running: Arc::new(RwLock::new(simulator)), options: Arc::new(options), http, change: |_| {} }
    }

    /// The same for a host whose file says more.
    pub(crate) fn changed(self, change: fn(&mut Host)) -> Self {
        Self { change, ..self }
    }

    fn simulator(&self) -> Arc<Simulator> {
        self.running.read().unwrap().clone()
    }

    /// An order to the admin port.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Json) -> Json {
        let url = format!("{}{path}", self.simulator().admin_url());
        let request = self.http.request(method.parse().unwrap(), url);
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
    }

    /// Another text in the place of a saved one.
    pub(crate) async fn damage(&self, id: &str, text: &str) {
        let url = format!("{}/revision?id={id}", self.simulator().admin_url());
        let answer = self.http.post(url).body(text.to_owned()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    pub(crate) async fn export(&self) -> String {
        let url = format!("{}/export", self.simulator().admin_url());
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The sections of the export for tables with these last words, without what the device draws.
    pub(crate) async fn tables(&self, words: &[&str]) -> String {
        let export = self.export().await;
        let mut text = String::new();
        let mut inside = false;
        for line in export.lines().filter(|line| !line.trim().starts_with("set uuid ")) {
            if let Some(table) = line.strip_prefix("config ") {
                inside = words.iter().any(|word| table.ends_with(&format!(" {word}")));
            }
            if inside {
                text.push_str(line);
                text.push('\n');
            }
            inside &= line != "end";
        }
        text
    }

    /// Another client: raw REST with the API user's token.
    pub(crate) async fn raw(&self, method: &str, path: &str, body: Json) -> Json {
        self.request(method, &format!("cmdb/{path}"), body).await
    }

    /// The same to the monitor.
    pub(crate) async fn monitor(&self, method: &str, path: &str, body: Json) -> Json {
        self.request(method, &format!("monitor/{path}"), body).await
    }

    async fn request(&self, method: &str, path: &str, body: Json) -> Json {
        let simulator = self.simulator();
        let ca = simulator.authority.clone().unwrap();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let http = http_client(roots);
        let request = http.request(method.parse().unwrap(), format!("{}/api/v2/{path}", simulator.url()));
        let request = request.bearer_auth(TOKEN);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer: Json = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], "success", "{method} {path}: {answer}");
        answer
    }

    /// The host's own file, with the address and CA of this one.
    pub(crate) fn host_with(&self, change: impl FnOnce(&mut Host)) -> Host {
        let text = std::fs::read_to_string(tenants().join("host/fortigate-main.yaml")).unwrap();
        let read = manifest::read([("fortigate-main.yaml", text.as_str())]);
        let mut host = vertskommune_api::validate_host(&read.hosts[0].object).unwrap();
        let simulator = self.simulator();
        host.endpoint = simulator.url();
        host.identity.clone_from(&self.options.identity.serial);
        host.ca.clone_from(&simulator.authority);
        host.budget.requests_per_second = 5000;
        (self.change)(&mut host);
        change(&mut host);
        host
    }

    pub(crate) fn provider_of(host: &Host) -> Arc<dyn Provider> {
        FortigatePlugin.provider(&"nord".into(), host).unwrap()
    }
}

fn http_client(roots: rustls::RootCertStore) -> reqwest::Client {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(ring);
    let tls = tls.with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}

fn tenants() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tenants")
}

fn seed() -> Json {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lab/fortigate/seed.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// An example municipality, with the rule sets that it pins.
pub(crate) fn example(name: &str) -> ValidatedTenant {
    read_tenant(&written(name), |_| {})
}

/// An example municipality with another firewall.
pub(crate) fn example_with(name: &str, firewall: &str) -> ValidatedTenant {
    read_tenant(&written(name), |spec| spec.firewall = Some(serde_saphyr::from_str(firewall).unwrap()))
}

fn written(example: &str) -> String {
    std::fs::read_to_string(tenants().join(format!("{example}.yaml"))).unwrap()
}

/// A municipality by its manifest, with the rule sets that it pins.
pub(crate) fn tenant(manifest: &str) -> ValidatedTenant {
    read_tenant(manifest, |_| {})
}

fn read_tenant(manifest: &str, change: impl FnOnce(&mut TenantSpec)) -> ValidatedTenant {
    let mut texts = vec![manifest.to_owned()];
    for entry in std::fs::read_dir(tenants().join("rule-sets")).unwrap() {
        texts.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let read = manifest::read(texts.iter().map(|text| ("example.yaml", text.as_str())));
    let mut catalogue = vertskommune_api::Catalogue::default();
    for set in &read.rule_sets {
        catalogue.insert(set.object.spec.clone()).unwrap();
    }
    let mut tenant = read.tenants[0].object.clone();
    // There is no second room here.
    tenant.spec.backup = None;
    change(&mut tenant.spec);
    vertskommune_api::validate_tenant(&tenant, &catalogue).unwrap()
}

struct OneToken;

impl SecretStore for OneToken {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Secret, SecretError>> {
        let entries = BTreeMap::from([("token".to_owned(), TOKEN.as_bytes().to_vec())]);
        Box::pin(async { Ok(Secret { entries, version: "1".to_owned(), tenant: None }) })
    }
}

/// One `edit … next` of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// The virtual firewall, or nothing for the device itself.
    pub(crate) vdom: String,
    /// Such as `config firewall policy`.
    pub(crate) table: String,
    /// All lines of it, the first with its key.
    pub(crate) text: String,
}

/// All of an export, in its order.
pub(crate) fn edits(export: &str) -> Vec<Edit> {
    let (mut vdom, mut table, mut row, mut depth) = (String::new(), String::new(), Vec::new(), 0);
    let mut edits = Vec::new();
    // The head counts the saves.
    for line in export.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let text = line.trim();
        let edit = |text: &str| Edit { vdom: vdom.clone(), table: table.clone(), text: text.to_owned() };
        if depth == 0 && text.starts_with("set ") {
            edits.push(edit(text));
        } else if depth == 0 && table == "config vdom" && text.starts_with("edit ") {
            // The section of a virtual firewall holds tables as the whole does.
            text.trim_start_matches("edit ").clone_into(&mut vdom);
        } else if depth == 0 && matches!(text, "end" | "next") {
        } else if text == "config global" {
            vdom.clear();
        } else if text.starts_with("config ") {
            if depth == 0 {
                text.clone_into(&mut table);
            } else {
                row.push(text);
            }
        } else if text.starts_with("edit ") {
            depth += 1;
            row.push(text);
        } else if text == "next" {
            depth -= 1;
            if depth == 0 {
                edits.push(edit(&row.join("\n")));
                row.clear();
            }
        } else {
            row.push(text);
        }
    }
    edits
}

/// Whether it carries a mark of ours, or a name that proves it.
pub(crate) fn is_marked(edit: &Edit) -> bool {
    let name = edit.text.lines().next().unwrap_or_default();
    let proven = edit.table.contains("schedule") && name.contains('~') || edit.table.ends_with("vdom-link");
    edit.text.contains("\"nord/") || edit.text.contains("vertskommune.claim") || proven
}

/// What is ours, and all that stands in a virtual firewall of ours; and what is not.
fn parted(export: &str) -> (Vec<Edit>, Vec<Edit>) {
    let edits = edits(export);
    let marked = edits.iter().filter(|edit| edit.table.ends_with("vdom-property") && is_marked(edit));
    let vdoms =
        marked.filter_map(|edit| Some(edit.text.lines().next()?.strip_prefix("edit ")?.trim_matches('"')));
    let vdoms: std::collections::BTreeSet<String> = vdoms.map(str::to_owned).collect();
    edits.into_iter().partition(|edit| is_marked(edit) || vdoms.contains(&edit.vdom))
}

/// Without what the device draws: ids and UUIDs, and which of its two names a policy has.
pub(crate) fn lasting(table: &str, row: &str) -> String {
    let numbered = table.ends_with("policy") || table.ends_with("static");
    let drawn = |line: &&str| {
        let id = numbered && line.starts_with("edit ");
        let name = table.ends_with("policy") && line.starts_with("set name ");
        !id && !name && !line.starts_with("set uuid ") && !line.contains("vertskommune.claim")
    };
    format!("{table}: {}", row.lines().filter(drawn).collect::<Vec<_>>().join("; "))
}

impl Peer for FortiGate {
    fn host(&self) -> Host {
        self.host_with(|_| {})
    }

    fn installation(&self) -> Installation {
        "nord".into()
    }

    fn provider(&self) -> Arc<dyn Provider> {
        Self::provider_of(&self.host())
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(OneToken)
    }

    fn journal(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async {
            let journal = self.admin("GET", "/journal", Json::Null).await;
            let entries = journal.as_array().cloned().unwrap_or_default();
            let text = |entry: &Json| {
                format!("{} {} {} {}", entry["method"], entry["path"], entry["action"], entry["outcome"])
            };
            entries.iter().map(text).collect()
        })
    }

    fn reset(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.admin("DELETE", "/cut", Json::Null).await;
            self.admin("POST", "/journal/reset", Json::Null).await;
        })
    }

    fn cut(&self, nth: usize, cut: Cut) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let at = if cut == Cut::Before { "before" } else { "after" };
            self.admin("POST", "/journal/reset", Json::Null).await;
            self.admin("POST", "/cut", json!({"write": nth + 1, "at": at})).await;
        })
    }

    fn things(&self) -> BoxFuture<'_, Things> {
        Box::pin(async {
            let export = self.export().await;
            let (ours, others) = parted(&export);
            let line = |edit: &Edit| format!("{} {}", edit.vdom, lasting(&edit.table, &edit.text));
            let text = |edit: &Edit| format!("{} {}\n{}", edit.vdom, edit.table, edit.text);
            let foreign = others.iter().map(text).collect::<Vec<_>>().join("\n");
            Things { ours: ours.iter().map(line).collect(), foreign }
        })
    }

    fn let_time_pass(&self) -> BoxFuture<'_, ()> {
        // A transaction that a crash left open ends by itself.
        Box::pin(async { drop(self.admin("POST", "/clock?advance=5", Json::Null).await) })
    }

    fn clear(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let fresh = Arc::new(Simulator::start(&self.options).await.unwrap());
            *self.running.write().unwrap() = fresh;
        })
    }
}
