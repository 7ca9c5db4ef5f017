//! The chart as helm installs it, the kinds as they are upgraded, without a loss of what stands in a cluster, and what the image holds.

use std::process::Command;

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{NAMESPACE, in_tree, program};
use vertskommune_tests::lab::Lab;
use vertskommune_tests::peer;

const KINDS: &str = "tenants.vertskommune.no,hostproviders.vertskommune.no,rulesets.vertskommune.no";

/// A cluster as it was some versions ago: its kinds, and manifests of that time with a status.
async fn earlier() -> Option<Lab> {
    let lab = Lab::start(&["--no-vcenter"])?;
    lab.kubectl(&["apply", "--server-side", "-f", &in_tree("tests/e2e/earlier/crds")], "").unwrap();
    lab.established().await.unwrap();
    lab.kubectl(&["create", "namespace", NAMESPACE], "").unwrap();
    lab.kubectl(&["apply", "--server-side", "-f", &in_tree("tests/e2e/earlier/objects.yaml")], "").unwrap();
    let status = json!({"status": {
        "observedGeneration": 1,
        "message": "Converged",
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Converged", "message": "all is as the manifest says",
            "lastTransitionTime": "2026-11-01T00:00:00Z", "observedGeneration": 1,
        }],
    }});
    let patch = ["patch", "tenant", "ibestad", "--subresource=status", "--type=merge", "-p"];
    lab.kubectl(&[&patch[..], &[&status.to_string()]].concat(), "").unwrap();
    Some(lab)
}

/// All objects of our kinds as a version of the API shows them, but for who wrote what, and for a status that says only that nobody
/// has looked: it is of the kind's making.
fn objects(lab: &Lab, kinds: &str) -> Vec<Json> {
    let list: Json = serde_json::from_str(&lab.kubectl(&["get", kinds, "-o", "json"], "").unwrap()).unwrap();
    let mut objects = list["items"].as_array().unwrap().clone();
    for object in &mut objects {
        object["metadata"]["managedFields"].take();
        object["apiVersion"].take();
        let nobody_looked = json!({"observedGeneration": -1});
        object.as_object_mut().unwrap().retain(|field, value| field != "status" || *value != nobody_looked);
    }
    objects
}

/// The same, but for what a write in vain may count up.
fn contents(lab: &Lab, kinds: &str) -> Vec<Json> {
    let mut objects = objects(lab, kinds);
    for object in &mut objects {
        object["metadata"]["resourceVersion"].take();
    }
    objects
}

/// Writes each object anew as it is, and with that in the version that is stored now.
fn rewrite(lab: &Lab) {
    let all = lab.kubectl(&["get", KINDS, "-o", "json"], "").unwrap();
    lab.kubectl(&["replace", "-f", "-"], &all).unwrap();
}

fn crds(lab: &Lab) -> Vec<Json> {
    let get = ["get", "crd", "-o", "json"];
    let crds: Json = serde_json::from_str(&lab.kubectl(&get, "").unwrap()).unwrap();
    crds["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_of_the_kinds_loses_no_object_and_no_field() {
    let Some(lab) = earlier().await else { return };
    let before = objects(&lab, KINDS);
    assert_eq!(before.len(), 6);
    lab.kubectl(&["apply", "--server-side", "-f", &in_tree("crds")], "").unwrap();
    lab.established().await.unwrap();
    assert_eq!(objects(&lab, KINDS), before, "nothing was touched");
    let before = contents(&lab, KINDS);
    rewrite(&lab);
    assert_eq!(contents(&lab, KINDS), before, "what is written anew is the same");
    println!("upgrade: {} objects kept", before.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_upgrades_the_kinds_and_leaves_them_and_all_objects_when_it_goes() {
    let Some(lab) = earlier().await else { return };
    for kind in ["servicemonitors", "prometheusrules"] {
        let file = lab.peers.bin.join(kind).with_extension("yaml");
        lab.kubectl(&["apply", "--server-side", "-f", &file.to_string_lossy()], "").unwrap();
    }
    lab.established().await.unwrap();
    let before = objects(&lab, KINDS);
    let chart = in_tree("deploy/chart");
    let into = ["--namespace", NAMESPACE, "--set", "installation=lab"];
    // The kinds are there already, put there by another hand.
    let install = ["upgrade", "--install", "vertskommune", &chart, "--take-ownership", "--force-conflicts"];
    lab.helm(&[&install[..], &into].concat()).unwrap();
    assert_eq!(objects(&lab, KINDS), before, "nothing was touched");
    let now = crds(&lab);
    let tenants = now.iter().find(|crd| crd["metadata"]["name"] == "tenants.vertskommune.no").unwrap();
    let schema = &tenants["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    assert!(schema["properties"]["spec"]["properties"]["directory"].is_object(), "the kinds are today's");

    // Once more changes nothing, and what is set is there.
    let values = [
        "--set",
        "networkPolicy.providers[0].cidrs={10.0.0.0/8},networkPolicy.providers[0].ports={443}",
        "--set",
        "metrics.serviceMonitor.enabled=true,metrics.alerts.enabled=true",
    ];
    lab.helm(&[&["upgrade", "vertskommune", &chart][..], &into, &values].concat()).unwrap();
    assert_eq!(objects(&lab, KINDS), before);
    let egress = "jsonpath={.spec.egress[2].to[0].ipBlock.cidr}";
    let network = ["get", "networkpolicy", "vertskommune", "-n", NAMESPACE, "-o", egress];
    assert_eq!(lab.kubectl(&network, "").unwrap(), "10.0.0.0/8");
    is_watched(&lab);

    lab.helm(&["uninstall", "vertskommune", "--namespace", NAMESPACE]).unwrap();
    assert_eq!(objects(&lab, KINDS), before, "the kinds stay, and what they hold");
    let left = lab.kubectl(&["get", "clusterroles,validatingadmissionpolicies", "-o", "name"], "").unwrap();
    assert!(!left.contains("vertskommune"), "all else goes: {left}");
}

/// The Prometheus operator's own kinds take what the chart makes of them, and know every field of it: what a kind does not know, the API
/// server forgets.
fn is_watched(lab: &Lab) {
    let spec = |kind: &str| -> Json {
        let get = ["get", kind, "vertskommune", "-n", NAMESPACE, "-o", "jsonpath={.spec}"];
        serde_json::from_str(&lab.kubectl(&get, "").unwrap()).unwrap()
    };
    let alerts = std::fs::read_to_string(in_tree("deploy/chart/files/alerts.yaml")).unwrap();
    assert_eq!(spec("prometheusrule"), serde_saphyr::from_str::<Json>(&alerts).unwrap());
    let endpoint = json!({"port": "http", "path": "/metrics", "interval": "30s"});
    let selector = json!({"matchLabels": {"app.kubernetes.io/name": "vertskommune"}});
    assert_eq!(spec("servicemonitor"), json!({"selector": selector, "endpoints": [endpoint]}));
}

/// The way to v1beta1 in docs/adr/0011-deploy.md, gone on a real API server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_v1beta1_keeps_every_field_in_both_versions() {
    let Some(lab) = earlier().await else { return };
    lab.kubectl(&["apply", "--server-side", "-f", &in_tree("crds")], "").unwrap();
    let before = contents(&lab, KINDS);
    let [alpha, beta] = ["v1alpha1", "v1beta1"].map(|version| KINDS.replace(".v", &format!(".{version}.v")));
    // Served beside the old one, then stored.
    for stores_beta in [false, true] {
        for crd in crds(&lab) {
            let mut next = crd.clone();
            let versions = next["spec"]["versions"].as_array_mut().unwrap();
            let mut new = versions[0].clone();
            versions.retain(|it| it["name"] == "v1alpha1");
            versions[0]["storage"] = json!(!stores_beta);
            new["name"] = json!("v1beta1");
            new["storage"] = json!(stores_beta);
            versions.push(new);
            lab.kubectl(&["replace", "-f", "-"], &next.to_string()).unwrap();
        }
        serves(&lab, &beta).await;
        assert_eq!(contents(&lab, &alpha), before, "as v1alpha1");
        assert_eq!(contents(&lab, &beta), before, "as v1beta1");
    }
    // All are stored in the new version, so that the old one can be forgotten.
    rewrite(&lab);
    for crd in crds(&lab) {
        let name = crd["metadata"]["name"].as_str().unwrap();
        assert_eq!(crd["status"]["storedVersions"], json!(["v1alpha1", "v1beta1"]));
        let forget = r#"{"status":{"storedVersions":["v1beta1"]}}"#;
        let patch = ["patch", "crd", name, "--subresource=status", "--type=merge", "-p", forget];
        lab.kubectl(&patch, "").unwrap();
    }
    for mut crd in crds(&lab) {
        crd["spec"]["versions"].as_array_mut().unwrap().retain(|it| it["name"] == "v1beta1");
        lab.kubectl(&["replace", "-f", "-"], &crd.to_string()).unwrap();
    }
    assert_eq!(contents(&lab, &beta), before, "with the old version gone");
}

/// There is no container engine here: the file system of the image is laid down as its recipe does it, and its programs run in it as the
/// user that they will have.
#[test]
fn the_image_has_what_the_program_calls_and_no_shell() {
    if !peer::can_be_had("a root folder of its own") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let run = |command: &mut Command| {
        let ended = command.output().unwrap();
        (ended.status.success(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    };
    let (laid, said) = run(Command::new(in_tree("deploy/image/assemble")).arg(&root).arg(program().unwrap()));
    assert!(laid, "{said}");
    // A container has that, whatever is in its image.
    std::fs::create_dir(root.join("dev")).unwrap();
    let null = root.join("dev/null");
    assert!(run(Command::new("mknod").args(["-m", "666"]).arg(null).args(["c", "1", "3"])).0);
    let inside = |call: &str| {
        let mut chroot = Command::new("chroot");
        chroot.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("--userspec=65532:65532");
        run(chroot.arg(&root).args(call.split(' ')))
    };
    for (call, says) in [
        ("vertskommune --version", "vertskommune"),
        ("setpriv --pdeathsig KILL -- restic version", "restic"),
        ("setpriv --pdeathsig KILL -- age --version", "1."),
        ("ssh -V", "OpenSSH"),
        // Without a name for its user it would refuse.
        ("ssh -F none -G -- somewhere", "user vertskommune"),
    ] {
        let (well, said) = inside(call);
        assert!(well && said.contains(says), "{call}: {said}");
    }
    for shell in ["sh", "bash", "dash", "busybox"] {
        assert!(!inside(&format!("{shell} -c true")).0, "there is {shell}");
    }
    let (_, written) = run(Command::new("find").arg(&root).args(["-user", "65532"]));
    assert_eq!(written, "", "nothing is its user's");
}

/// Waits until the API server serves these kinds.
async fn serves(lab: &Lab, kinds: &str) {
    for _ in 0..100 {
        if lab.kubectl(&["get", kinds, "-o", "name"], "").is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{kinds} are not served");
}
