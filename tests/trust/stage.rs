//! Two forests, the directory plugin before them, and what a test can do to both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value as Json, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::directory::{Access, Directory, Partner, Report, TrustKind};
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::names::Installation;
use vertskommune_core::plan::Plan;
use vertskommune_core::tenant::{Deletion, DeletionPolicy, DriftPolicy, ValidatedTenant};
use vertskommune_core::windows::Maintenance;
use vertskommune_provider::context::Always;
use vertskommune_provider::secrets::{FolderSecrets, SecretStore};
use vertskommune_provider::testing::conformance::{Drive, Peer, Things};
use vertskommune_provider::testing::system::Cut;
use vertskommune_provider::{Ctx, Plugin as _, Provider};
use vertskommune_provider_ad::AdPlugin;
use vertskommune_tests::directories::{self, Directories};
use vertskommune_tests::peer::Way;
use vertskommune_tests::whys::Told;

use super::told::why_says_the_same;

/// Stands before the agent: counts what changes a directory, dies where a test says so, and keeps the secrets for a test that has to
/// know them.
const WRAPPER: &str = r#"#!/bin/bash
request=$(cat)
die() { touch DIR/dead; kill -KILL $PPID; exit 1; }
[[ ! -e DIR/dead ]] || { kill -KILL $PPID; exit 1; }
operation=$(jq -r '.ask | keys[0]' <<<"$request" 2>/dev/null)
after=
case $operation in
  ensure | adopt | set | forward | heal | remove)
    exec 9>>DIR/lock
    flock 9
    echo "$(hostname) $operation" >>DIR/journal
    if [[ $operation == ensure && -e DIR/asked ]]; then jq -r .ask.ensure.secret <<<"$request" >>DIR/asked; fi
    if read -r left when 2>/dev/null <DIR/cut; then
      if ((left > 0)); then
        echo "$((left - 1)) $when" >DIR/cut
      else
        rm DIR/cut
        [[ $when == Before ]] && die
        after=yes
      fi
    fi
    exec 9>&-
    ;;
esac
if [[ $after ]]; then
  AGENT <<<"$request" >/dev/null
  die
fi
exec AGENT <<<"$request"
"#;

/// What stands on a controller, told without any code of ours.
const TOLD: &str = r#"exec /usr/bin/python3 -c '
import glob, json
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
settings = LoadParm()
settings.load_default()
directory = SamDB(session_info=system_session(), lp=settings)
ours, names = [], set()
for entry in directory.search(expression="(objectClass=trustedDomain)", attrs=["trustPartner", "flatName", "trustDirection", "trustType", "trustAttributes"]):
    names.add(str(entry.dn))
    ours.append(" ".join(f"{name}={entry[name]}" for name in ("trustPartner", "flatName", "trustDirection", "trustType", "trustAttributes")))
for entry in directory.search(expression="(userAccountControl:1.2.840.113556.1.4.803:=2048)", attrs=["sAMAccountName"]):
    names.add(str(entry.dn))
    ours.append("account " + str(entry["sAMAccountName"]))
for path in sorted(glob.glob("/var/lib/vertskommune-directory/*/*.json")):
    with open(path) as file:
        record = json.load(file)
    record.pop("since", None)
    ours.append("record " + json.dumps(record, sort_keys=True))
others = [str(entry.dn) for entry in directory.search(expression="(objectClass=*)", attrs=["objectClass"]) if str(entry.dn) not in names]
print(json.dumps({"ours": sorted(ours), "others": sorted(others)}))'"#;

/// Removes all trusts, their accounts and our records.
const CLEARED: &str = r#"/usr/bin/python3 -c '
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
settings = LoadParm()
settings.load_default()
directory = SamDB(session_info=system_session(), lp=settings)
for what in ("(objectClass=trustedDomain)", "(userAccountControl:1.2.840.113556.1.4.803:=2048)"):
    for entry in directory.search(expression=what, attrs=["cn"]):
        directory.delete(entry.dn)'
find /var/lib/vertskommune-directory -type f -delete 2>/dev/null || true"#;

/// Running directories with the plugin before them.
pub(crate) struct Stage {
    pub(crate) lab: Arc<Directories>,
    folder: tempfile::TempDir,
    host_way: Way,
    ldap_way: Way,
    tenant_way: Way,
    settings: Mutex<Json>,
    whys: Told,
    _turn: SemaphorePermit<'static>,
}

/// So many labs at once: what is looked at has limits in seconds.
static TURNS: Semaphore = Semaphore::const_new(2);

impl Stage {
    /// Starts it all, or says that it is skipped.
    pub(crate) async fn set() -> Option<Self> {
        let turn = TURNS.acquire().await.unwrap();
        // The controllers have a /tmp of their own.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/provider-ad/agents/samba/agent.py");
        let agent = agent.canonicalize().unwrap();
        let wrapper = folder.path().join("wrapper");
        let text = WRAPPER.replace("DIR", &folder.path().display().to_string());
        fs::write(&wrapper, text.replace("AGENT", &agent.display().to_string())).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let lab = Arc::new(Directories::start(&wrapper, 1)?);
        let (host, tenant) = (lab.places.host.clone(), lab.places.tenants[0].clone());
        let stage = Self {
            host_way: lab.way(&host, host.ssh.port).unwrap(),
            ldap_way: lab.way(&host, 636).unwrap(),
            tenant_way: lab.way(&tenant, tenant.ssh.port).unwrap(),
            settings: Mutex::new(json!({
                "domain": host.domain, "netbiosName": host.netbios, "domainSid": host.sid,
                "controllers": [host.controller], "dnsServers": [lab.places.dns],
            })),
            whys: Told::default(),
            folder,
            lab,
            _turn: turn,
        };
        let all = json!(["inbound", "outbound", "both"]);
        stage.allow(&host, &json!({ tenant.domain.as_str(): all }));
        stage.allow(&tenant, &json!({ host.domain.as_str(): all }));
        stage.keep_secret("ad-host", None, &[("id_ed25519", &fs::read_to_string(&host.ssh.key).unwrap())]);
        let key = fs::read_to_string(&tenant.ssh.key).unwrap();
        stage.keep_secret("ibestad-dc", Some("ibestad"), &[("id_ed25519", &key)]);
        Some(stage)
    }

    /// What a side's administrators let the agent do.
    pub(crate) fn allow(&self, side: &directories::Directory, partners: &Json) {
        // The second is somebody else's, who uses the same agents.
        let of = json!({"partners": partners});
        let text = json!({"installations": {"nord": of, "sor": of, "another": of}}).to_string();
        let put = "install -D --mode=0644 /dev/stdin /etc/vertskommune/directory-agent.json";
        self.run(side, put, text.as_bytes());
    }

    pub(crate) fn keep_secret(&self, name: &str, tenant: Option<&str>, entries: &[(&str, &str)]) {
        let at = self.secrets_folder().join(name);
        fs::create_dir_all(&at).unwrap();
        for (entry, value) in entries.iter().copied().chain(tenant.map(|tenant| ("tenant", tenant))) {
            fs::write(at.join(entry), value).unwrap();
        }
    }

    pub(crate) fn secrets_folder(&self) -> PathBuf {
        self.folder.path().join("secrets")
    }

    /// From now on the secrets that agents are asked to use are kept.
    pub(crate) fn keep_what_is_asked(&self) {
        let file = self.file("asked");
        fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(file).unwrap();
    }

    /// The secrets that agents were asked to use.
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        fs::read_to_string(self.file("asked")).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    /// Whether the agents are cut off, where a test has said so.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.file("dead").exists()
    }

    /// A file of this test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn host_side(&self) -> &directories::Directory {
        &self.lab.places.host
    }

    pub(crate) fn tenant_side(&self) -> &directories::Directory {
        &self.lab.places.tenants[0]
    }

    /// Runs a script as root on a controller, which must succeed.
    pub(crate) fn run(&self, side: &directories::Directory, script: &str, input: &[u8]) -> String {
        let output = self.lab.on(side, script, input).unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks a side's agent by hand, as somebody of that installation.
    pub(crate) fn ask(&self, side: &directories::Directory, installation: &str, ask: &Json) -> Json {
        let request = json!({"protocol": 1, "installation": installation, "ask": ask}).to_string();
        let mut session = self.lab.session(side).unwrap();
        let command = "vertskommune directory agent";
        let output = session.exec(command, request.as_bytes(), 1 << 20, Duration::from_secs(60)).unwrap();
        serde_json::from_slice::<Json>(&output.stdout).unwrap()["outcome"].clone()
    }

    /// What an agent is asked to make one side of the trust, with some of it otherwise.
    pub(crate) fn ensuring(&self, of: &directories::Directory, secret: &str, otherwise: &Json) -> Json {
        let host = self.host_side();
        let partner = if of.name == host.name { self.tenant_side() } else { host };
        let mut ask = json!({
            "tenant": "ibestad", "domain": partner.domain, "netbios": partner.netbios, "sid": partner.sid,
            "direction": "both", "kind": "forest", "selective": false, "filtersSids": true, "secret": secret,
            "anew": true, "removeOrphan": false,
        });
        for (name, value) in otherwise.as_object().unwrap() {
            ask[name] = value.clone();
        }
        json!({ "ensure": ask })
    }

    /// Has one side made by hand.
    pub(crate) fn ensure(&self, of: &directories::Directory, by: &str, secret: &str, otherwise: &Json) {
        let outcome = self.ask(of, by, &self.ensuring(of, secret, otherwise));
        assert!(outcome["done"]["ensured"].is_object(), "{outcome}");
    }

    /// Runs Python on a controller, with its directory at hand.
    pub(crate) fn python(&self, side: &directories::Directory, script: &str) -> String {
        let opened = "from samba.auth import system_session\nfrom samba.param import LoadParm\nfrom samba.samdb import SamDB\n\
                      settings = LoadParm()\nsettings.load_default()\n\
                      directory = SamDB(session_info=system_session(), lp=settings)\n";
        self.run(side, "exec /usr/bin/python3 -", format!("{opened}{script}").as_bytes())
    }

    /// Gives an order to the lab.
    pub(crate) fn order(&self, order: &str) {
        self.lab.order(order).unwrap();
    }

    /// Makes the host's side be read over LDAPS as well.
    pub(crate) fn read_over_ldaps(&self) {
        let host = self.host_side();
        let password = fs::read_to_string(&host.reader.password_file).unwrap();
        self.keep_secret("ad-host", None, &[("ldapPassword", &password)]);
        let ca = fs::read_to_string(&host.ca).unwrap();
        self.settings.lock().unwrap()["ldap"] = json!({
            "server": host.controller, "address": format!("127.0.0.1:{}", self.ldap_way.port),
            "user": host.reader.name, "ca": ca,
        });
    }

    /// A tenant whose trust goes both ways.
    pub(crate) fn tenant(&self) -> ValidatedTenant {
        let access = || Some(Access { selective: false, filters_sids: true, allowed: Vec::new() });
        let theirs = self.tenant_side();
        let directory = Directory {
            provider: "ad-host".into(),
            domain: theirs.domain.clone(),
            netbios: theirs.netbios.clone(),
            sid: None,
            kind: TrustKind::Forest,
            to_host: access(),
            to_tenant: access(),
            controllers: vec![theirs.controller.clone()],
            dns: vec![theirs.address.parse().unwrap()],
            partner: Partner::Agent {
                endpoint: format!("ssh://{}@127.0.0.1:{}", theirs.ssh.user, self.tenant_way.port),
                identity: theirs.ssh.host_key.clone(),
                secret: "ibestad-dc".to_owned(),
            },
            new_secret_after: None,
            restart_before: None,
        };
        ValidatedTenant {
            name: "ibestad".into(),
            display_name: "Ibestad".to_owned(),
            municipality_number: None,
            networks: Vec::new(),
            compute: None,
            servers: Vec::new(),
            firewall: None,
            backup: None,
            directory: Some(directory),
            maintenance: Maintenance::default(),
            drift_policy: DriftPolicy::Heal,
            deletion_policy: DeletionPolicy { directory: Deletion::Remove, ..DeletionPolicy::default() },
            suspend: false,
            allow_destroy: BTreeSet::default(),
            accept_loss: None,
        }
    }

    pub(crate) fn drive(&self) -> Drive<'_> {
        Drive { peer: self, tenant: self.tenant(), leaving: false }
    }

    /// All that is there, on both sides.
    fn told(&self) -> Things {
        let (mut ours, mut foreign) = (Vec::new(), String::new());
        let sides = [self.host_side(), self.tenant_side()];
        let told: Vec<String> = std::thread::scope(|scope| {
            let reads: Vec<_> =
                sides.iter().map(|side| scope.spawn(move || self.run(side, TOLD, &[]))).collect();
            reads.into_iter().map(|read| read.join().unwrap()).collect()
        });
        for (side, told) in sides.iter().zip(told) {
            let told: BTreeMap<String, Vec<String>> = serde_json::from_str(&told).unwrap();
            ours.extend(told["ours"].iter().map(|line| format!("{}: {line}", side.name)));
            for line in &told["others"] {
                writeln!(foreign, "{}: {line}", side.name).unwrap();
            }
        }
        Things { ours, foreign }
    }

    /// Removes all trusts and what tells of them.
    pub(crate) fn clear_all(&self) {
        std::thread::scope(|scope| {
            for side in [self.host_side(), self.tenant_side()] {
                scope.spawn(move || self.run(side, CLEARED, &[]));
            }
        });
        self.forget();
    }

    fn forget(&self) {
        for name in ["journal", "dead", "cut"] {
            let _ = fs::remove_file(self.folder.path().join(name));
        }
    }

    pub(crate) fn ctx(&self) -> Ctx {
        Ctx {
            deadline: Instant::now() + Duration::from_secs(120),
            cancel: CancellationToken::new(),
            secrets: self.secrets(),
            permit: Arc::new(Always),
        }
    }

    /// Looks with a provider that remembers nothing.
    pub(crate) async fn report(&self, drive: &Drive<'_>) -> (Report, Plan) {
        let plan = drive.look().await;
        self.tell(&plan);
        (plan.directory.clone().unwrap(), plan)
    }

    /// Looks at what people are told of a plan.
    pub(crate) fn tell(&self, plan: &Plan) {
        why_says_the_same(plan, &self.whys);
    }
}

impl Peer for Stage {
    fn host(&self) -> Host {
        let host = self.host_side();
        Host {
            name: "ad-host".into(),
            plugin: "ad".to_owned(),
            endpoint: format!("ssh://{}@127.0.0.1:{}", host.ssh.user, self.host_way.port),
            identity: host.ssh.host_key.clone(),
            ca: None,
            credentials: Some("ad-host".to_owned()),
            site: None,
            mode: Mode::Manage,
            budget: Budget::default(),
            ground: Ground::default(),
            destruction_released_until: None,
            maintenance: Maintenance::default(),
            settings: self.settings.lock().unwrap().clone(),
        }
    }

    fn installation(&self) -> Installation {
        "nord".into()
    }

    fn provider(&self) -> Arc<dyn Provider> {
        AdPlugin.provider(&self.installation(), &self.host()).unwrap()
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(FolderSecrets::new(self.secrets_folder()))
    }

    fn journal(&self) -> BoxFuture<'_, Vec<String>> {
        let lines = fs::read_to_string(self.folder.path().join("journal")).unwrap_or_default();
        Box::pin(async move { lines.lines().map(ToOwned::to_owned).collect() })
    }

    fn reset(&self) -> BoxFuture<'_, ()> {
        self.forget();
        Box::pin(async {})
    }

    fn cut(&self, nth: usize, cut: Cut) -> BoxFuture<'_, ()> {
        fs::write(self.folder.path().join("cut"), format!("{nth} {cut:?}\n")).unwrap();
        Box::pin(async {})
    }

    fn things(&self) -> BoxFuture<'_, Things> {
        Box::pin(async { self.told() })
    }

    fn let_time_pass(&self) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(Duration::from_secs(1)))
    }

    fn clear(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.clear_all() })
    }
}
