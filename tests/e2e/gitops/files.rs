//! The repository of the tests: a copy of the example, with the host that the lab has, and what a test commits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use vertskommune_tests::estate::in_tree;
use vertskommune_tests::lab::VCenter;

/// A repository's files.
pub(super) struct Files {
    folder: TempDir,
    /// How many tenants were added, each with networks of its own.
    added: u8,
}

/// What was taken out, by its path.
pub(super) struct Removed(Vec<(PathBuf, String)>);

impl Files {
    /// The example as it is, but for what tells the lab's vCenter apart.
    pub(super) fn of_the_example(vcenter: &VCenter) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&in_tree("deploy/gitops/flux/."), folder.path());
        let files = Self { folder, added: 0 };
        files.edit("host/vcenter-main.yaml", |host| {
            host["spec"]["endpoint"] = json!(vcenter.url);
            host["spec"]["identity"] = json!(vcenter.instance_uuid);
            host["spec"]["caBundle"] = json!(fs::read_to_string(&vcenter.ca).unwrap());
        });
        files
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a tenant another full name.
    pub(super) fn rename(&self, tenant: &str, name: &str) {
        self.change(tenant, |spec| spec["displayName"] = json!(name));
    }

    /// Changes a tenant's manifest.
    pub(super) fn change(&self, tenant: &str, change: impl FnOnce(&mut Json)) {
        self.change_at(&format!("tenants/{tenant}"), change);
    }

    /// Changes the manifest in this folder.
    pub(super) fn change_at(&self, folder: &str, change: impl FnOnce(&mut Json)) {
        self.edit(&format!("{folder}/tenant.yaml"), |manifest| change(&mut manifest["spec"]));
    }

    /// Adds a tenant like dyroy, with a Kustomization of its own.
    pub(super) fn add(&mut self, tenant: &str, change: impl FnOnce(&mut Json)) {
        let like = self.read(&kustomization("dyroy")).replace("dyroy", tenant);
        self.write(&kustomization(tenant), &like);
        self.add_manifest(&format!("tenants/{tenant}"), tenant, change);
    }

    /// Adds the manifest of a tenant like dyroy in this folder.
    pub(super) fn add_manifest(&mut self, folder: &str, tenant: &str, change: impl FnOnce(&mut Json)) {
        self.added += 1;
        let (vlan, network) = (1330 + u32::from(self.added), format!("10.13.{}.", 30 + self.added));
        let like = self.read(&manifest("dyroy")).replace("10.13.20.", &network).replace("dyr-fs", "dyr-x");
        let mut like: Json = serde_saphyr::from_str(&like).unwrap();
        like["metadata"]["name"] = json!(tenant);
        like["spec"]["networks"][0]["vlan"] = json!(vlan);
        like["spec"]["servers"][0]["name"] = json!(format!("dyr-x{}", self.added));
        change(&mut like["spec"]);
        self.write(&format!("{folder}/tenant.yaml"), &like.to_string());
    }

    /// Takes a tenant out, with its Kustomization.
    pub(super) fn remove(&self, tenant: &str) -> Removed {
        let files = [kustomization(tenant), manifest(tenant)].map(|path| {
            let text = self.read(&path);
            let path = self.folder.path().join(path);
            fs::remove_file(&path).unwrap();
            (path, text)
        });
        Removed(files.into())
    }

    /// Puts back what was taken out.
    pub(super) fn put_back(&self, removed: Removed) {
        for (path, text) in removed.0 {
            assert!(path.starts_with(self.folder.path()));
            fs::write(path, text).unwrap();
        }
    }

    /// Takes a tenant's manifest out and leaves its Kustomization, with nothing in it.
    pub(super) fn empty(&self, tenant: &str) {
        let nothing = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
        fs::remove_file(self.folder.path().join(manifest(tenant))).unwrap();
        self.write(&format!("tenants/{tenant}/kustomization.yaml"), nothing);
    }

    fn edit(&self, path: &str, change: impl FnOnce(&mut Json)) {
        let mut object: Json = serde_saphyr::from_str(&self.read(path)).unwrap();
        change(&mut object);
        self.write(path, &object.to_string());
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// What a GitRepository of this project serves to the example.
pub(super) fn release() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["crds", "deploy/base"] {
        let to = folder.path().join(part);
        fs::create_dir_all(&to).unwrap();
        copy(&in_tree(&format!("{part}/.")), &to);
    }
    folder
}

fn manifest(tenant: &str) -> String {
    format!("tenants/{tenant}/tenant.yaml")
}

fn kustomization(tenant: &str) -> String {
    format!("clusters/nord/tenants/{tenant}.yaml")
}

fn copy(from: &str, to: &Path) {
    assert!(Command::new("cp").arg("--recursive").arg(from).arg(to).status().unwrap().success());
}
