//! The example municipalities and the host beside them are read and valid, and together they fit the host's ground.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test may read files and fail

use std::collections::BTreeMap;
use std::path::Path;

use vertskommune_api::manifest::{self, Manifests};
use vertskommune_api::{validate_host, validate_tenant};
use vertskommune_core::check::check;

fn examples() -> Manifests {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tenants");
    let names = ["ibestad.yaml", "dyroy.yaml", "gratangen.yaml", "host/vcenter-main.yaml"];
    let files: Vec<(&str, String)> =
        names.into_iter().map(|name| (name, std::fs::read_to_string(folder.join(name)).unwrap())).collect();
    manifest::read(files.iter().map(|(name, text)| (*name, text.as_str())))
}

#[test]
fn every_example_is_valid_and_on_the_hosts_ground() {
    let examples = examples();
    assert_eq!(examples.problems, []);
    assert_eq!((examples.tenants.len(), examples.hosts.len()), (3, 1));
    let tenants = examples.tenants.iter().map(|manifest| validate_tenant(&manifest.object).unwrap());
    let tenants: BTreeMap<_, _> = tenants.map(|tenant| (tenant.name.clone(), tenant)).collect();
    let hosts = examples.hosts.iter().map(|manifest| validate_host(&manifest.object).unwrap());
    let hosts: BTreeMap<_, _> = hosts.map(|host| (host.name.clone(), host)).collect();
    assert_eq!(check(&tenants, &hosts, &BTreeMap::new()), BTreeMap::new());
}
