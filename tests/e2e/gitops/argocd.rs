//! The example for Argo CD, which is not in the lab: what its Applications name is there, and kustomize makes of it what they say. Its
//! health check is asked at the end of every test with a cluster.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::in_tree;
use vertskommune_tests::lab;

use super::files::release;

/// Where this project is.
const OURS: &str = "https://github.com/vertskommune/vertskommune";

fn read(name: &str) -> Json {
    let file = in_tree(&format!("deploy/gitops/argocd/{name}.yaml"));
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn the_applications_for_argo_cd_name_what_there_is() {
    for name in ["kinds", "vertskommune", "host"] {
        let source = read(name)["spec"]["source"].clone();
        let path = source["path"].as_str().unwrap();
        let tree = if source["repoURL"] == OURS { in_tree(path) } else { of_the_team(path) };
        assert!(Path::new(&tree).is_dir(), "{name}: {tree}");
    }
    let tenants = read("tenants");
    assert_eq!(tenants["spec"]["generators"][0]["git"]["directories"], json!([{"path": "tenants/*"}]));
    assert!(Path::new(&of_the_team("tenants/ibestad/tenant.yaml")).is_file());
    let health = read("health")["data"].clone();
    for kind in ["Tenant", "HostProvider"] {
        assert!(
            health[format!("resource.customizations.health.vertskommune.no_{kind}")].is_string(),
            "{kind}"
        );
    }
}

#[test]
fn the_controller_by_argo_cd_is_the_one_of_the_base() {
    let Some(bin) = lab::bin() else { return };
    let source = read("vertskommune")["spec"]["source"].clone();
    let folder = release();
    let images: Vec<Json> = source["kustomize"]["images"].as_array().unwrap().iter().map(image).collect();
    let kustomization =
        json!({"resources": [source["path"]], "images": images, "patches": source["kustomize"]["patches"]});
    fs::write(folder.path().join("kustomization.yaml"), kustomization.to_string()).unwrap();
    let made = Command::new(bin.join("kubectl")).arg("kustomize").arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = String::from_utf8(made.stdout).unwrap();
    assert!(made.contains("image: registry.example/vertskommune:0.1.0\n"), "{made}");
    assert!(made.contains("\nkind: Deployment\n") && !made.contains("\nkind: Namespace\n"), "{made}");
}

/// As kustomize writes what Argo CD has in short.
fn image(short: &Json) -> Json {
    let (name, image) = short.as_str().unwrap().split_once('=').unwrap();
    let (registry, tag) = image.rsplit_once(':').unwrap();
    json!({"name": name, "newName": registry, "newTag": tag})
}

/// A path in the platform team's repository, which has the same folders in both examples.
fn of_the_team(path: &str) -> String {
    in_tree(&format!("deploy/gitops/flux/{path}"))
}
