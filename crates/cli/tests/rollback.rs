//! `firewall revisions` and `firewall rollback`, against the simulator of a FortiGate.
#![expect(clippy::unwrap_used, reason = "a test fails where it must")]

mod run;

use std::fmt::Write as _;

use fortios_simulator::{Options, Simulator};
use run::{copy_of_good, edit, run_in};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vertskommune_provider::Claim;

const TOKEN: &str = "canary-f0rt1";

const FIREWALL: &str = "
  firewall:
    provider: fortigate-main
    services:
      - {name: cases, tcp: [\"8443\"]}
    rules:
      - {id: dns, from: [servers], to: [\"host:services/host-dns\"], services: [DNS]}
      - {id: web, from: [servers], to: [internet], services: [HTTPS], log: all}
      - {id: cases, from: [servers], to: [internet], services: [cases]}
";

/// A host with a FortiGate, and the manifests of two tenants on it.
struct Host {
    simulator: Simulator,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Host {
    fn start(revisions: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let seed = std::fs::read_to_string(root.join("tests/lab/fortigate/seed.json")).unwrap();
        let options = Options {
            token: Some(TOKEN.to_owned()),
            seed: Some(serde_json::from_str(&seed).unwrap()),
            revisions,
            ..Options::default()
        };
        let simulator = runtime.block_on(Simulator::start(&options)).unwrap();
        let folder = copy_of_good();
        let mut host = std::fs::read_to_string(root.join("tenants/host/fortigate-main.yaml")).unwrap();
        host = host.replace("https://fortigate.vertskommune.example", &simulator.url());
        let ca = simulator.authority.clone().unwrap().replace('\n', "\n    ");
        write!(host, "  caBundle: |\n    {ca}\n").unwrap();
        std::fs::write(folder.path().join("tenants/fortigate.yaml"), host).unwrap();
        let secret = folder.path().join("secrets/fortigate-main");
        std::fs::create_dir_all(&secret).unwrap();
        std::fs::write(secret.join("token"), TOKEN).unwrap();
        for tenant in ["ibestad", "dyroy"] {
            let file = folder.path().join(format!("tenants/{tenant}.yaml"));
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(file, text + FIREWALL).unwrap();
        }
        Self { simulator, folder, runtime }
    }

    fn run(&self, arguments: &[&str]) -> run::Ran {
        let ran = run_in(&self.folder, arguments);
        assert!(!ran.out.contains(TOKEN) && !ran.err.contains(TOKEN), "{}", ran.err);
        ran
    }

    fn edit(&self, from: &str, to: &str) {
        edit(&self.folder, "ibestad.yaml", from, to);
    }

    /// A request to the simulator's admin port.
    fn admin(&self, method: &str, path: &str, body: &str) -> String {
        self.runtime.block_on(async {
            let address = self.simulator.admin_url().replace("http://", "");
            let mut connection = TcpStream::connect(address).await.unwrap();
            let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
            let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            answer.split_once("\r\n\r\n").unwrap().1.to_owned()
        })
    }

    /// Another installation's claim, as it would have written it.
    fn claim_for_another(&self) {
        let claim = Claim {
            installation: "sor".into(),
            holder: "another".to_owned(),
            expires: jiff::Timestamp::now() + std::time::Duration::from_mins(5),
            take_over: false,
        };
        let claim = claim.text();
        let seed = json!({"root": {"firewall/address": [{"name": "vertskommune.claim", "comment": claim}]}});
        self.admin("POST", "/seed", &seed.to_string());
    }

    /// The policies of the export in their order, without what the device draws.
    fn policies(&self) -> Vec<String> {
        let export = self.admin("GET", "/export", "");
        let table = export.split("config firewall policy\n").nth(1).unwrap().split("\nend").next().unwrap();
        let lines = |row: &str| {
            let lasting = |line: &&str| !line.contains("set uuid") && !line.contains("edit ");
            row.lines().filter(lasting).map(str::trim).collect::<Vec<_>>().join("; ")
        };
        table.split("    next\n").map(lines).filter(|row| !row.is_empty()).collect()
    }

    fn revisions(&self) -> Vec<Value> {
        let ran = self.run(&["firewall", "revisions", "ibestad", "-o", "json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }
}

#[test]
fn a_change_is_taken_back_and_a_second_rollback_takes_back_the_first() {
    let host = Host::start(20);
    assert_eq!(host.run(&["apply"]).code, Some(0));
    let before = host.policies();
    assert_eq!(before.len(), 3 + 3 + 2);
    host.edit("log: all", "log: none");
    host.edit("      - {id: cases, from: [servers], to: [internet], services: [cases]}\n", "");
    assert_eq!(host.run(&["apply", "ibestad"]).code, Some(0));
    let changed = host.policies();
    assert_ne!(changed, before);

    let refused = host.run(&["firewall", "rollback", "ibestad"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    assert!(
        refused.err.contains("Set spec.suspend: true, or name --although-not-suspended"),
        "{}",
        refused.err
    );
    assert_eq!(host.policies(), changed);

    host.edit("spec:", "spec:\n  suspend: true");
    let dry = host.run(&["firewall", "rollback", "ibestad", "--dry-run"]);
    assert_eq!(dry.code, Some(2), "{}", dry.err);
    assert!(
        dry.err.contains("ibestad as in revision 2 of 2") && dry.out.contains("rule cases"),
        "{}{}",
        dry.err,
        dry.out
    );
    assert_eq!(host.policies(), changed);

    host.admin(
        "POST",
        "/fault",
        r#"{"method": "POST", "path": "cmdb/firewall/policy", "status": 500, "error": -651}"#,
    );
    let stopped = host.run(&["firewall", "rollback", "ibestad"]);
    assert_eq!(stopped.code, Some(1), "{}", stopped.err);
    assert!(stopped.err.ends_with("to go on, name the revision: --to 2\n"), "{}", stopped.err);
    assert_eq!(host.policies(), changed, "all or nothing");
    host.admin("DELETE", "/fault", "");

    let back = host.run(&["firewall", "rollback", "ibestad", "--to", "2"]);
    assert_eq!(back.code, Some(0), "{}", back.err);
    assert!(back.out.ends_with("tenant ibestad  nothing to do\n"), "{}", back.out);
    assert!(back.err.contains("stays so while it is suspended: revert its manifest"), "{}", back.err);
    assert_eq!(host.policies(), before);

    let shown = host.run(&["firewall", "revisions", "ibestad"]);
    let ways: Vec<&str> = shown.out.lines().map(|line| line.get(29..49).unwrap_or(line)).collect();
    assert_eq!(shown.code, Some(0));
    assert!(shown.out.starts_with("ID  SAVED                 BY   WAY BACK"), "{}", shown.out);
    assert!(ways[3].contains("as it is") && ways[4].contains("removes all"), "{ways:?}");

    let again = host.run(&["firewall", "rollback", "ibestad"]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(host.policies(), changed, "the rollback is taken back");
}

#[test]
fn a_revision_is_named_and_one_from_before_the_tenant_takes_a_word() {
    let host = Host::start(20);
    assert_eq!(host.run(&["apply"]).code, Some(0));
    let (with_both, first) = (host.policies(), host.revisions());
    assert_eq!(first.len(), 1, "one for both: {first:?}");
    assert_eq!((&first[0]["id"], &first[0]["is_before_tenant"]), (&"1".into(), &true.into()));
    host.edit("spec:", "spec:\n  suspend: true");
    for arguments in
        [&["firewall", "rollback", "ibestad"][..], &["firewall", "rollback", "ibestad", "--to", "1"]]
    {
        let refused = host.run(arguments);
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{}", refused.err);
        assert!(refused.err.contains("all that it has there would go"), "{}", refused.err);
        assert!(refused.err.contains("write --to 1 --remove-all"), "{}", refused.err);
    }
    let unknown = host.run(&["firewall", "rollback", "ibestad", "--to", "7"]);
    assert!(
        unknown.code == Some(1) && unknown.err.contains("keeps no revision 7: there is 1"),
        "{}",
        unknown.err
    );
    assert_eq!(host.policies(), with_both);
    let gone = host.run(&["firewall", "rollback", "ibestad", "--to", "1", "--remove-all"]);
    assert_eq!(gone.code, Some(0), "{}", gone.err);
    let left: Vec<String> = with_both.into_iter().filter(|row| !row.contains("nord/ibestad/")).collect();
    assert_eq!(host.policies(), left, "dyroy's and the host's stay");
}

#[test]
fn a_device_without_revisions_says_so_and_another_writer_stops_it() {
    let bare = Host::start(0);
    assert_eq!(bare.run(&["apply"]).code, Some(0));
    let listed = bare.run(&["firewall", "revisions", "ibestad"]);
    assert_eq!((listed.code, listed.out.as_str()), (Some(0), ""));
    assert!(listed.err.contains("fortigate-main keeps no revisions"), "{}", listed.err);
    let refused = bare.run(&["firewall", "rollback", "ibestad", "--although-not-suspended"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("keeps no revision: there is nothing to roll back to"), "{}", refused.err);

    let host = Host::start(20);
    host.run(&["apply"]);
    host.edit("log: all", "log: none");
    host.run(&["apply"]);
    let changed = host.policies();
    let held =
        host.run(&["firewall", "rollback", "ibestad", "--although-not-suspended", "--installation", "nord"]);
    assert_eq!(held.code, Some(0), "{}", held.err);
    assert!(held.err.contains("the controller converges it to its manifest again"), "{}", held.err);
    assert_ne!(host.policies(), changed);
    host.claim_for_another();
    let held = host.run(&["firewall", "rollback", "ibestad", "--although-not-suspended"]);
    assert_eq!(held.code, Some(1), "{}", held.out);
    assert!(held.err.contains("another of installation sor writes here until"), "{}", held.err);
}

#[test]
fn what_another_has_by_now_is_not_taken_back() {
    let host = Host::start(20);
    let extra = "\n    - {name: extra, vlan: 1311, cidr: 10.13.11.0/24, gateway: 10.13.11.1}";
    host.edit("gateway: 10.13.10.1}", &format!("gateway: 10.13.10.1}}{extra}"));
    assert_eq!(host.run(&["apply"]).code, Some(0));
    host.edit(extra, "");
    assert_eq!(host.run(&["apply"]).code, Some(0));
    let other =
        "gateway: 10.13.20.1}\n    - {name: other, vlan: 1311, cidr: 10.13.21.0/24, gateway: 10.13.21.1}";
    edit(&host.folder, "dyroy.yaml", "gateway: 10.13.20.1}", other);
    assert_eq!(host.run(&["apply"]).code, Some(0));
    let before = host.admin("GET", "/export", "");
    let refused = host.run(&["firewall", "rollback", "ibestad", "--to", "2", "--although-not-suspended"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.out.contains("VLAN 1311 is also wanted by dyroy"), "{}", refused.out);
    assert!(!refused.err.contains(": done"), "{}", refused.err);
    assert_eq!(host.admin("GET", "/export", ""), before);
}
