//! The example municipalities and the host beside them are read and valid, and together they fit the host's ground.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test may read files and fail

use std::collections::BTreeMap;
use std::path::Path;

use vertskommune_api::manifest::{self, Manifests};
use vertskommune_api::{Catalogue, validate_host, validate_rule_set, validate_tenant};
use vertskommune_core::check::check;

fn examples() -> Manifests {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tenants");
    let mut files: Vec<(String, String)> = Vec::new();
    for folder in [folder.clone(), folder.join("host"), folder.join("rule-sets")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push((path.display().to_string(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    manifest::read(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

#[test]
fn every_example_is_valid_and_on_the_hosts_ground() {
    let examples = examples();
    assert_eq!(examples.problems, []);
    assert_eq!((examples.tenants.len(), examples.hosts.len(), examples.rule_sets.len()), (3, 4, 4));
    let mut catalogue = Catalogue::default();
    for set in &examples.rule_sets {
        catalogue.insert(validate_rule_set(&set.object).unwrap()).unwrap();
    }
    let tenants =
        examples.tenants.iter().map(|manifest| validate_tenant(&manifest.object, &catalogue).unwrap());
    let tenants: BTreeMap<_, _> = tenants.map(|tenant| (tenant.name.clone(), tenant)).collect();
    let hosts = examples.hosts.iter().map(|manifest| validate_host(&manifest.object).unwrap());
    let hosts: BTreeMap<_, _> = hosts.map(|host| (host.name.clone(), host)).collect();
    assert_eq!(check(&tenants, &hosts, &BTreeMap::new()), BTreeMap::new());
}
