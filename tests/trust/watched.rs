//! No secret shows: a whole controller makes trusts, fails at it and says all that it can, and wherever it or an agent leaves a word
//! their secrets are searched for.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vertskommune_core::directory::Partner;
use vertskommune_provider::testing::conformance::Peer as _;
use vertskommune_provider::testing::system::Cut;
use vertskommune_tests::estate::{Cluster, Controller, condition, message, program, reason};
use vertskommune_tests::lab::http_client;

use super::canary::Canaries;
use super::stage::Stage;
use super::watch::Watch;

const NAMESPACE: &str = "vertskommune-system";
const TENANT: &str = "ibestad";
const INSTALLATION: &str = "nord";

/// How long anything may take: a trust that does not work is tried anew after 45 s, and a dead agent asked again after some.
const PATIENCE: Duration = Duration::from_mins(4);

/// What both administrations have agreed on.
const AGREED: &str = "canary-52c7-of-what-people-agree-on";
/// The same with a mistake in copying, so that it is refused.
const MISTAKEN: &str = "canary-b83e-that-was\u{7}copied-with-a-mistake";

/// The call of a creation that never comes to an end: of those that bring the secret, the first is the host's.
const IN_THE_HOSTS_CALL: usize = 0;
const IN_THE_TENANTS_CALL: usize = 1;

/// A cluster with a controller that is to make a trust between two forests.
struct Scene {
    stage: Stage,
    cluster: Cluster,
    controller: Option<Controller>,
    watch: Watch,
    /// What was shown so far, by where that was.
    shown: Vec<(String, Vec<u8>)>,
    /// The tenant as it was on the way: what failed stands in its status until the next try.
    tenants: Mutex<BTreeSet<String>>,
    begun: Instant,
}

impl Scene {
    /// Sets it up for a tenant whose side is made by `partner`, or says that it is skipped.
    async fn set(partner: Option<Partner>) -> Option<Self> {
        let stage = Stage::set().await?;
        let cluster = Cluster::start().await?;
        stage.read_over_ldaps();
        stage.keep_what_is_asked();
        let mut tenant = manifest("ibestad.yaml");
        let mut wanted = stage.tenant().directory.unwrap();
        if let Some(partner) = partner {
            wanted.partner = partner;
        }
        let all = &tenant["spec"];
        tenant["spec"] = json!({"displayName": all["displayName"], "directory": all["directory"]});
        let directory = &mut tenant["spec"]["directory"];
        directory["domain"] = json!(wanted.domain);
        directory["netbiosName"] = json!(wanted.netbios);
        directory["domainSid"] = json!(stage.tenant_side().sid);
        directory["domainControllers"] = json!(wanted.controllers);
        directory["dnsServers"] = json!(wanted.dns);
        directory["partnerSide"] = match wanted.partner {
            Partner::Agent { endpoint, identity, secret } => {
                json!({"mode": "Agent", "endpoint": endpoint, "identity": identity, "secretRef": secret})
            }
            Partner::Manual { secret } => json!({"mode": "Manual", "secretRef": secret}),
        };
        let described = stage.host();
        let mut host = manifest("host/ad-host.yaml");
        host["spec"]["endpoint"] = json!(described.endpoint);
        host["spec"]["identity"] = json!(described.identity);
        host["spec"]["settings"] = described.settings;
        let folder = stage.file("manifests");
        fs::create_dir(&folder).unwrap();
        for (name, manifest) in [("host.yaml", &host), ("tenant.yaml", &tenant)] {
            fs::write(folder.join(name), manifest.to_string()).unwrap();
            cluster.apply(manifest).unwrap();
        }
        let scene = Self {
            stage,
            cluster,
            controller: None,
            watch: Watch::begin(),
            shown: Vec::new(),
            tenants: Mutex::default(),
            begun: Instant::now(),
        };
        scene.give_secrets();
        Some(scene)
    }

    /// Gives the cluster the secrets that lie in the folder.
    fn give_secrets(&self) {
        for secret in fs::read_dir(self.stage.secrets_folder()).unwrap() {
            let (mut entries, mut labels) = (json!({}), json!({}));
            let secret = secret.unwrap();
            for entry in fs::read_dir(secret.path()).unwrap() {
                let entry = entry.unwrap();
                let text = fs::read_to_string(entry.path()).unwrap();
                match entry.file_name().to_str().unwrap() {
                    "tenant" => labels["vertskommune.no/tenant"] = json!(text),
                    name => entries[name] = json!(text),
                }
            }
            let name = secret.file_name().into_string().unwrap();
            let metadata = json!({"name": name, "namespace": NAMESPACE, "labels": labels});
            let object =
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries});
            self.cluster.apply(&object).unwrap();
        }
    }

    fn log(&self) -> PathBuf {
        self.stage.file("log")
    }

    fn start(&mut self) {
        let log = File::create_new(self.log()).unwrap();
        self.controller = Some(self.cluster.process_saying_all(INSTALLATION, log).unwrap());
    }

    /// Waits until the tenant is as asked for.
    async fn until(&self, what: &str, is: impl Fn(&Json) -> bool) -> Json {
        let begun = Instant::now();
        loop {
            let tenant = self.cluster.find(TENANT).await.unwrap().unwrap_or_default();
            self.tenants.lock().unwrap().insert(tenant.to_string());
            if is(&tenant) {
                eprintln!("watched: {what} after {:.1} s", self.begun.elapsed().as_secs_f64());
                return tenant;
            }
            assert!(begun.elapsed() < PATIENCE, "it is never {what}: {:#}", tenant["status"]);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn until_valid(&self) {
        let valid = |it: &Json| {
            condition(it, "DirectoryReady") == "True" && it["status"]["directory"]["trust"] == "Valid"
        };
        self.until("valid", valid).await;
    }

    /// Waits until agents are cut off, and the host's side is read over LDAPS alone.
    async fn until_cut_off(&self) {
        let over_ldaps = |it: &Json| {
            self.stage.is_cut_off() && message(it, "DirectoryReady").contains("without the host's agent")
        };
        self.until("cut off", over_ldaps).await;
        // Nothing is done by what LDAPS shows, so the endpoint is not well.
        let not_seen = |it: &Json| condition(it, "Ready") != "True";
        self.cluster.wait_for_host("ad-host", "without its agent", not_seen).await.unwrap();
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap()).into_owned()
    }

    /// Keeps what was shown somewhere. `expected` is there, or it would have been searched in vain.
    fn keep(&mut self, place: impl Into<String>, expected: &str, text: impl Into<Vec<u8>>) {
        let (place, text) = (place.into(), text.into());
        let shown = String::from_utf8_lossy(&text);
        assert!(shown.contains(expected), "{place} says nothing of {expected}: {shown}");
        self.shown.push((place, text));
    }

    /// What the command line says of the same manifests. `ends` is how a plan does.
    fn keep_commands(&mut self, when: &str, ends: i32) {
        let saved = self.stage.file(&format!("saved-{when}"));
        let saved = saved.to_str().unwrap();
        for (command, ends, expected) in [
            (&["plan"][..], ends, TENANT),
            (&["plan", "-o", "json", "--out", saved], ends, TENANT),
            (&["preflight"], 0, "ldap"),
            (&["preflight", "-o", "json"], 0, "ldap"),
        ] {
            let mut program = Command::new(program().unwrap());
            program.env("RUST_LOG", "trace").args(command).args(["--installation", INSTALLATION]);
            program.arg("--file").arg(self.stage.file("manifests"));
            program.arg("--secrets").arg(self.stage.secrets_folder());
            let output = program.output().unwrap();
            let place = format!("{command:?} {when}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(ends), "{place}: {said}");
            self.keep(format!("{place}, its result"), expected, output.stdout);
            self.keep(format!("{place}, its log"), "", output.stderr);
        }
        self.keep(format!("the plan that was saved {when}"), TENANT, fs::read(saved).unwrap());
    }

    /// All that is in the cluster but what lies in Secrets.
    fn keep_cluster(&mut self) {
        let kubectl = |arguments: &[&str]| self.cluster.lab.kubectl(arguments, "").unwrap();
        let kinds = kubectl(&["api-resources", "--verbs=list", "-o", "name"]);
        let kinds: Vec<&str> = kinds.lines().filter(|kind| *kind != "secrets").collect();
        let mut texts = Vec::new();
        for (kind, expected) in [
            ("tenants.vertskommune.no", "DirectoryReady"),
            ("hostproviders.vertskommune.no", "vertskommune.no/v1alpha1"),
            ("events", "\"involvedObject\""),
            ("leases.coordination.k8s.io", "\"holderIdentity\""),
            (&kinds.join(","), "\"ConfigMap\""),
        ] {
            let all = kubectl(&["get", kind, "--all-namespaces", "--show-managed-fields", "-o", "json"]);
            texts.push((kind.to_owned(), expected, all));
        }
        let metadata =
            kubectl(&["get", "secrets", "--all-namespaces", "-o", "jsonpath={.items[*].metadata}"]);
        texts.push(("what is told of Secrets".to_owned(), "ad-host", metadata));
        let table = kubectl(&["get", "tenants", "-o", "wide"]);
        texts.push(("the table".to_owned(), "Valid", table));
        for (place, expected, text) in texts {
            self.keep(place, expected, text);
        }
    }

    async fn keep_metrics(&mut self) {
        let said = self.said();
        let (_, address) = said.split_once("serving /healthz, /readyz and /metrics address=").unwrap();
        let address = address.lines().next().unwrap();
        for (page, expected) in [("metrics", "vertskommune_"), ("readyz", ""), ("healthz", "")] {
            let answer = http_client(None).unwrap().get(format!("http://{address}/{page}")).send().await;
            let text = answer.unwrap().text().await.unwrap();
            self.keep(page, expected, text);
        }
    }

    /// What agents and directories have written down on the controllers, their databases aside: there the secret belongs.
    fn keep_controllers(&mut self) {
        let places = &self.stage.lab.places;
        for side in [places.host.clone(), places.tenants[0].clone()] {
            for log in fs::read_dir(&side.logs).unwrap() {
                let log = log.unwrap().path();
                if log.is_file() {
                    self.keep(log.display().to_string(), "", fs::read(&log).unwrap());
                }
            }
            let records = "cat /var/lib/vertskommune-directory/*/*";
            let records = self.stage.run(&side, records, &[]);
            self.keep(format!("records of {}", side.name), TENANT, records);
            let files = "find /etc /run /tmp /var/log /var/lib/vertskommune-directory -xdev -type f -exec cat {} + 2>/dev/null || true";
            let files = self.stage.lab.on(&side, files, &[]).unwrap().stdout;
            self.keep(format!("files of {}", side.name), "directory-agent", files);
        }
    }

    /// Searches for these secrets of the trust, and for those by which agents and directories are asked.
    async fn search(mut self, secrets: &[&str]) {
        self.keep_cluster();
        self.keep_metrics().await;
        self.keep_controllers();
        self.controller.take().unwrap().stop().await;
        self.keep("the log", "TRACE", self.said());
        let tenants: Vec<String> = self.tenants.lock().unwrap().iter().cloned().collect();
        self.keep("the tenant on the way", TENANT, tenants.join("\n"));
        let written: usize = self.shown.iter().map(|(_, text)| text.len()).sum();

        let mut canaries = Canaries::new();
        for secret in secrets {
            canaries.add("the trust's secret", secret.as_bytes());
        }
        let (host, tenant) = (self.stage.host_side(), self.stage.tenant_side());
        canaries.add_key("the key to the host's agent", &fs::read_to_string(&host.ssh.key).unwrap());
        canaries.add_key("the key to the tenant's agent", &fs::read_to_string(&tenant.ssh.key).unwrap());
        canaries.add("the reader's password", &fs::read(&host.reader.password_file).unwrap());

        // Who sees nothing of these sees nothing at all.
        let planted = ["planted-as-an-argument", "planted-in-an-environment"];
        let [argument, variable] = planted;
        let mut sleep = Command::new("sh");
        sleep.args(["-c", "sleep 1; true", argument]).env("PLANTED", variable);
        assert!(sleep.status().unwrap().success());
        let mut plants = Canaries::new();
        for plant in planted {
            plants.add(plant, plant.as_bytes());
        }
        let processes = self.watch.end();
        let found: Vec<String> =
            processes.iter().flat_map(|(place, text)| plants.seen_in(place, text)).collect();
        for plant in planted {
            assert!(found.iter().any(|it| it.contains(plant)), "{plant} was not seen: {found:#?}");
        }

        let all = self.shown.iter().chain(&processes);
        let seen: Vec<String> = all.flat_map(|(place, text)| canaries.seen_in(place, text)).collect();
        eprintln!(
            "watched: {} texts of {written} bytes and {} of processes after {:.1} s",
            self.shown.len(),
            processes.len(),
            self.begun.elapsed().as_secs_f64()
        );
        assert!(seen.is_empty(), "secrets show: {seen:#?}");
    }
}

/// A manifest of tenants/.
fn manifest(file: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenants").join(file);
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_random_secret_shows_nowhere_while_a_controller_makes_a_trust_and_fails_at_it() {
    let Some(mut scene) = Scene::set(None).await else { return };
    scene.keep_commands("before", 2);
    scene.stage.cut(IN_THE_TENANTS_CALL, Cut::Before).await;
    scene.start();
    scene.until_cut_off().await;
    scene.stage.reset().await;
    scene.until_valid().await;
    scene.keep_commands("after", 0);
    let asked = scene.stage.asked();
    assert!(asked.len() >= 2, "one for the creation that failed, and one for the other: {}", asked.len());
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    scene.search(&asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agreed_secret_shows_nowhere_while_a_controller_makes_its_side_and_fails_at_it() {
    let partner = Partner::Manual { secret: "ibestad-trust".to_owned() };
    let Some(mut scene) = Scene::set(Some(partner)).await else { return };
    let agree = |scene: &Scene, secret: &str| {
        scene.stage.keep_secret("ibestad-trust", Some(TENANT), &[("trustSecret", secret)]);
        scene.give_secrets();
    };
    agree(&scene, MISTAKEN);
    scene.keep_commands("before", 2);
    scene.start();
    let refused = |it: &Json| it["status"].to_string().contains("control characters");
    scene.until("refused", refused).await;
    scene.stage.cut(IN_THE_HOSTS_CALL, Cut::Before).await;
    agree(&scene, AGREED);
    scene.until_cut_off().await;
    scene.stage.reset().await;
    scene.until("our side", |it| reason(it, "DirectoryReady") == "WaitingForPartner").await;

    // The tenant's administrators make theirs.
    let (host, tenant) = (scene.stage.host_side(), scene.stage.tenant_side());
    scene.stage.ensure(tenant, "sor", AGREED, &json!({}));
    scene.stage.ask(host, INSTALLATION, &json!({"heal": {"domain": tenant.domain}}));
    scene.until_valid().await;
    scene.keep_commands("after", 0);
    assert_eq!(scene.stage.asked(), BTreeSet::from([AGREED.to_owned()]));
    scene.search(&[AGREED, MISTAKEN]).await;
}
