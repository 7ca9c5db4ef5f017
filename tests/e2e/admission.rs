//! What the API server itself refuses by the policies of deploy/, and what it lets people of each role do. Nothing is kept: all are
//! dry runs of the real API server.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{ACCOUNT, Cluster, NAMESPACE, tenant};
use vertskommune_tests::lab::http_client;

/// How long the API server may take to see its own policies.
const PATIENCE: Duration = Duration::from_secs(30);

const OPERATOR: &str = "operator";
const EDITOR: &str = "editor";
const VIEWER: &str = "viewer";
/// Who may do everything, as whoever has to mend a cluster.
const ROOT: &str = "";

struct Scene {
    cluster: Cluster,
}

impl Scene {
    async fn set() -> Option<Self> {
        let scene = Self { cluster: Cluster::start().await? };
        // No controller aggregates roles here, so people are bound to ours themselves.
        for (person, roles) in
            [(VIEWER, &["view"][..]), (EDITOR, &["view", "edit"]), (OPERATOR, &["view", "edit", "admin"])]
        {
            for role in roles {
                let (name, role) = (format!("{person}-{role}"), format!("--clusterrole=vertskommune-{role}"));
                let user = format!("--user={person}");
                scene.kubectl(&["create", "clusterrolebinding", &name, &role, &user], "").unwrap();
            }
        }
        // Tenants as the controller has taken them up.
        for (number, servers) in [(1, "Retain"), (2, "Remove"), (3, "Remove")] {
            let mut tenant = tenant(number);
            tenant["metadata"]["finalizers"] = json!(["vertskommune.no/tenant"]);
            tenant["spec"]["deletionPolicy"] = json!({"servers": servers});
            if number == 3 {
                tenant["metadata"]["annotations"] = json!({
                    "vertskommune.no/confirm-removal": "t0003", "vertskommune.no/allow-destroy": "2330b43102f9",
                });
            }
            scene.cluster.apply(&tenant).unwrap();
        }
        for (name, owner) in [("agent", Some("t0001")), ("plain", None)] {
            let labels = owner.map_or_else(|| json!({}), |owner| json!({"vertskommune.no/tenant": owner}));
            let metadata = json!({"name": name, "namespace": NAMESPACE, "labels": labels});
            scene
                .cluster
                .apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}))
                .unwrap();
        }
        scene.hold().await;
        Some(scene)
    }

    /// Waits until each policy holds: the API server sees them a moment after they were made.
    async fn hold(&self) {
        let begun = Instant::now();
        for asked in [
            "annotate tenant t0001 vertskommune.no/allow-destroy=x",
            "delete tenant t0002",
            "patch tenant t0001 --type=merge -p {\"metadata\":{\"finalizers\":null}}",
        ] {
            while self.try_as(EDITOR, asked).is_ok() {
                assert!(begun.elapsed() < PATIENCE, "no policy holds: {asked}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while self.try_as(ROOT, &label("agent", "t0002")).is_ok() {
            assert!(begun.elapsed() < PATIENCE, "no policy holds for Secrets");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        self.cluster.lab.kubectl(arguments, input)
    }

    fn try_as(&self, who: &str, asked: &str) -> anyhow::Result<String> {
        let mut arguments: Vec<&str> = asked.split(' ').collect();
        arguments.push("--dry-run=server");
        if !who.is_empty() {
            arguments.extend(["--as", who]);
        }
        self.kubectl(&arguments, "")
    }

    /// What the API server answers the controller's own account, which the proxy speaks for.
    async fn as_the_controller(&self, method: Method, path: &str, body: &Json) -> StatusCode {
        let url =
            format!("{}/apis/vertskommune.no/v1alpha1/tenants/{path}?dryRun=All", self.cluster.proxy.url);
        let request = http_client(None).unwrap().request(method, url).body(body.to_string());
        let request = request.header("content-type", "application/merge-patch+json");
        request.send().await.unwrap().status()
    }

    fn hold_rows(&self, rows: &[(&str, &str, Option<&str>, &str)]) {
        for (who, asked, refusal, why) in rows {
            match (refusal, self.try_as(who, asked)) {
                (None, Ok(_)) => {}
                (Some(says), Err(error)) => {
                    assert!(format!("{error:#}").contains(says), "{why}: {who} {asked}: {error:#}");
                }
                (None, Err(error)) => panic!("{why}: {who} {asked} is refused: {error:#}"),
                (Some(_), Ok(_)) => panic!("{why}: {who} {asked} is let through"),
            }
        }
        let refused = rows.iter().filter(|(_, _, refusal, _)| refusal.is_some()).count();
        println!("admission: {} requests, {refused} of them refused", rows.len());
    }
}

fn label(secret: &str, owner: &str) -> String {
    format!("label secret {secret} -n {NAMESPACE} --overwrite vertskommune.no/tenant={owner}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_itself_refuses_what_a_role_or_a_policy_forbids() {
    let Some(scene) = Scene::set().await else { return };
    let word = "annotate tenant t0001 vertskommune.no/allow-destroy=2330b43102f9";
    let another = "annotate --overwrite tenant t0003 vertskommune.no/allow-destroy=000000000000";
    let loss = "annotate tenant t0001 vertskommune.no/accept-loss=2030-01-01T00:00:00Z";
    let free = r#"patch tenant t0001 --type=merge -p {"metadata":{"finalizers":null}}"#;
    let theirs = r#"patch tenant t0001 --type=merge -p {"metadata":{"finalizers":["vertskommune.no/tenant","example.com/theirs"]}}"#;
    let rename = r#"patch tenant t0003 --type=merge -p {"spec":{"displayName":"Salangen"}}"#;
    let status =
        r#"patch tenant t0001 --subresource=status --type=merge -p {"status":{"message":"Converged"}}"#;
    scene.hold_rows(&[
        (EDITOR, word, Some("an operator's word"), "who writes manifests does not give an operator's word"),
        (EDITOR, loss, Some("an operator's word"), "nor that one"),
        (EDITOR, another, Some("an operator's word"), "nor changes one that was given"),
        (EDITOR, rename, None, "a word that was given before is nobody's hindrance"),
        (EDITOR, "annotate tenant t0003 vertskommune.no/allow-destroy-", None, "anybody may take it back"),
        (OPERATOR, word, None, "an operator may"),
        (OPERATOR, loss, None, "and may say that"),
        (ROOT, word, None, "and so may who may everything"),
        (EDITOR, "delete tenant t0001", None, "the servers stay"),
        (EDITOR, "delete tenant t0002", Some("confirm-removal=t0002"), "the servers would go by a slip"),
        (ROOT, "delete tenant t0002", Some("confirm-removal=t0002"), "a slip of anybody's"),
        (EDITOR, "delete tenant t0003", None, "it is confirmed"),
        (EDITOR, free, Some("the controller's to take off"), "nobody skips the way out"),
        (OPERATOR, free, Some("the controller's to take off"), "nor an operator"),
        (ROOT, free, None, "but who has to mend a cluster without a controller"),
        (EDITOR, theirs, None, "finalizers of others are theirs"),
        (ROOT, &label("agent", "t0002"), Some("make a new Secret"), "a Secret stays its tenant's"),
        (ROOT, &label("plain", "t0002"), None, "one of nobody's becomes a tenant's"),
        (
            ROOT,
            &format!("label secret agent -n {NAMESPACE} vertskommune.no/tenant-"),
            Some("make a new Secret"),
            "nor does it become nobody's, to be another's then",
        ),
        (ROOT, &format!("annotate secret agent -n {NAMESPACE} note=x"), None, "the rest of it may change"),
        (VIEWER, rename, Some("cannot patch resource"), "who looks changes nothing"),
        (EDITOR, status, Some("resource \"tenants/status\""), "nobody tells how it stands"),
        (OPERATOR, status, Some("resource \"tenants/status\""), "nor does an operator"),
    ]);
    // What the controller asks for it asks without a look first, as kubectl does not.
    let none = json!({"metadata": {"finalizers": null}});
    assert_eq!(scene.as_the_controller(Method::PATCH, "t0001", &none).await, StatusCode::OK);
    let status = json!({"status": {"message": "Converged"}});
    assert_eq!(scene.as_the_controller(Method::PATCH, "t0001/status", &status).await, StatusCode::OK);
    assert_eq!(scene.as_the_controller(Method::DELETE, "t0001", &json!({})).await, StatusCode::FORBIDDEN);
    assert_eq!(scene.as_the_controller(Method::GET, "t0001", &json!({})).await, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pods_of_the_controller_are_let_into_a_restricted_namespace() {
    let Some(cluster) = Cluster::start().await else { return };
    let deployment =
        cluster.lab.kubectl(&["get", "deployment", ACCOUNT, "-n", NAMESPACE, "-o", "json"], "").unwrap();
    let deployment: Json = serde_json::from_str(&deployment).unwrap();
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("trial");
    pod["metadata"]["namespace"] = json!(NAMESPACE);
    let create = ["create", "--dry-run=server", "-f", "-"];
    cluster.lab.kubectl(&create, &pod.to_string()).unwrap();
    // So the namespace does hold it.
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refused = cluster.lab.kubectl(&create, &pod.to_string()).unwrap_err();
    assert!(refused.to_string().contains("violates PodSecurity"), "{refused:#}");
}
