//! The controller's account has the rights that it uses and no others, as the API server's own audit log has it: nothing that was asked
//! for was forbidden, and nothing that was granted went unused.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{ACCOUNT, NAMESPACE, in_tree, is_ready, tenant_name};

use crate::backup::{Scene, backed_up};
use crate::stage::since;

/// How long anything may take before the test says that it never came.
const PATIENCE: Duration = Duration::from_secs(60);

/// A right: what a rule grants, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    /// Where it holds; in the whole cluster where that is empty.
    namespace: String,
    group: String,
    /// With its subresource.
    resource: String,
    /// Of all names where it is empty.
    name: String,
    verb: String,
}

impl Right {
    fn covers(&self, request: &Self) -> bool {
        (self.namespace.is_empty() || self.namespace == request.namespace)
            && (self.name.is_empty() || self.name == request.name)
            && (&self.group, &self.resource, &self.verb) == (&request.group, &request.resource, &request.verb)
    }
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Json) -> impl Iterator<Item = &Json> {
    value.as_array().into_iter().flatten()
}

/// All that a cluster grants to the controller's account by name.
fn granted(scene: &Scene) -> BTreeSet<Right> {
    let get = |arguments: &[&str]| -> Json {
        serde_json::from_str(&scene.cluster.lab.kubectl(arguments, "").unwrap()).unwrap()
    };
    let bindings = get(&["get", "clusterrolebindings,rolebindings", "-A", "-o", "json"]);
    let mut rights = BTreeSet::new();
    for binding in items(&bindings["items"]) {
        let is_ours = |it: &Json| it["kind"] == "ServiceAccount" && it["name"] == ACCOUNT;
        if !items(&binding["subjects"]).any(is_ours) {
            continue;
        }
        let namespace = text(&binding["metadata"]["namespace"]);
        let (kind, name) = (text(&binding["roleRef"]["kind"]), text(&binding["roleRef"]["name"]));
        let role = get(&["get", &kind, &name, "-n", &namespace, "-o", "json"]);
        for rule in items(&role["rules"]) {
            assert!(rule["nonResourceURLs"].is_null(), "{rule}");
            for group in items(&rule["apiGroups"]) {
                for resource in items(&rule["resources"]) {
                    for verb in items(&rule["verbs"]) {
                        let names: Vec<String> = items(&rule["resourceNames"]).map(text).collect();
                        let names = if names.is_empty() { vec![String::new()] } else { names };
                        rights.extend(names.into_iter().map(|name| Right {
                            namespace: namespace.clone(),
                            group: text(group),
                            resource: text(resource),
                            name,
                            verb: text(verb),
                        }));
                    }
                }
            }
        }
    }
    rights
}

/// What the account asked for so far, and each request that it had no right to.
fn asked(scene: &Scene) -> (Vec<Right>, Vec<Json>) {
    let log = scene.cluster.lab.peers.kubernetes.as_ref().and_then(|it| it.audit_log.as_ref());
    let log = std::fs::read_to_string(log.expect("an audit log")).unwrap();
    let account = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    // The last line may be half written.
    let events = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let (mut requests, mut forbidden) = (Vec::new(), Vec::new());
    for event in events.filter(|event| event["user"]["username"] == account.as_str()) {
        let object = &event["objectRef"];
        if event["responseStatus"]["code"] == 403 {
            forbidden.push(event);
        } else if !object.is_null() {
            let resource = [text(&object["resource"]), text(&object["subresource"])];
            requests.push(Right {
                namespace: text(&object["namespace"]),
                group: text(&object["apiGroup"]),
                resource: resource.join("/").trim_end_matches('/').to_owned(),
                name: text(&object["name"]),
                verb: text(&event["verb"]),
            });
        }
    }
    (requests, forbidden)
}

fn unused(scene: &Scene) -> Vec<Right> {
    let (requests, _) = asked(scene);
    granted(scene).into_iter().filter(|right| !requests.iter().any(|request| right.covers(request))).collect()
}

fn patch(scene: &Scene, spec: &Json) {
    scene.cluster.patch("tenant", &tenant_name(1), &json!({"spec": spec})).unwrap();
}

async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("rights: {what}, after {}", since(begun));
}

/// How often an event of a change was told whose action is as asked for.
fn told(scene: &Scene, is: impl Fn(&str) -> bool) -> u64 {
    let get = ["get", "events.events.k8s.io", "-n", "default", "-o", "json"];
    let events: Json = serde_json::from_str(&scene.cluster.lab.kubectl(&get, "").unwrap()).unwrap();
    let changes = items(&events["items"]).filter(|event| event["reason"] == "Changed");
    let changes = changes.filter(|event| is(event["action"].as_str().unwrap_or_default()));
    changes.map(|event| event["series"]["count"].as_u64().unwrap_or(1)).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_controller_has_no_right_that_it_does_not_use() {
    let Some(scene) = Scene::set_with(&["--audit"]).await else { return };
    let cluster = &scene.cluster;
    let name = tenant_name(1);
    let first = cluster.process_named("first").unwrap();

    // A tenant comes, with a Secret of the controller's own making, and pins a version of the host's rules.
    let set = std::fs::read_to_string(in_tree("crates/api/tests/cases/rule-set.yaml"));
    cluster.lab.kubectl(&["apply", "--server-side", "-f", "-"], &set.unwrap()).unwrap();
    cluster.apply(&backed_up(1)).unwrap();
    cluster.wait_for(&name, "Ready", is_ready).await.unwrap();

    // It changes twice in the same way, which is one event that goes on. What is told within the same seconds is one event, too.
    until("its making is told", async || told(&scene, |_| true) > 0).await;
    for (vlan, count) in [(4001, 1), (4002, 2)] {
        let mut spec = json!({"networks": cluster.tenant(&name).unwrap()["spec"]["networks"]});
        spec["networks"][0]["vlan"] = json!(vlan);
        patch(&scene, &spec);
        let is_it = |action: &str| action == "reconfigure network/servers";
        until("the change is told", async || told(&scene, is_it) >= count).await;
    }
    patch(&scene, &json!({"firewall": {"provider": "fortigate-main", "ruleSets": ["baseline@3"]}}));
    let held = ["get", "ruleset", "baseline-v3", "-o", "jsonpath={.metadata.finalizers}"];
    until("the rule set is held", async || !cluster.lab.kubectl(&held, "").unwrap().is_empty()).await;

    // The firewall is none that there is, so that the tenant could not go with it.
    patch(&scene, &json!({"firewall": null}));

    // The lease goes over to another, which takes leave of the tenant.
    let second = cluster.process_named("second").unwrap();
    first.stop().await;
    let holder = ["get", "lease", ACCOUNT, "-n", NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}"];
    until("the second leads", async || cluster.lab.kubectl(&holder, "").unwrap() == "second").await;
    cluster.lab.kubectl(&["delete", "tenant", &name, "--wait=false"], "").unwrap();
    until("the tenant is gone", async || cluster.find(&name).await.unwrap().is_none()).await;
    until("all that was held is let go", async || cluster.lab.kubectl(&held, "").unwrap().is_empty()).await;
    second.stop().await;

    let (granted, unused, (requests, forbidden)) = (granted(&scene), unused(&scene), asked(&scene));
    println!(
        "rights: {} granted, {} used, granted less used {}; {} requests, {} forbidden",
        granted.len(),
        granted.len() - unused.len(),
        unused.len(),
        requests.len(),
        forbidden.len()
    );
    assert_eq!(forbidden, Vec::<Json>::new(), "it lacks a right");
    assert_eq!(unused, Vec::<Right>::new(), "what is not used is not granted");
    let elsewhere = |right: &&Right| right.resource == "secrets" && right.namespace != NAMESPACE;
    assert_eq!(granted.iter().find(elsewhere), None, "Secrets of one namespace only");
}
