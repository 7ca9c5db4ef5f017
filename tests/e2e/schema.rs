//! What one object can tell of itself is held by the API server, by the same cases as `validate` (`crates/api/tests/cases`).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;
use vertskommune_tests::estate::Cluster;

#[derive(Deserialize)]
struct Case {
    /// What is wrong, for people.
    #[serde(rename = "case")]
    about: String,
    /// What is changed in the valid object: values by JSON pointers, null removes.
    set: BTreeMap<String, Json>,
    /// The field that `validate` names; without one the object is valid by itself.
    field: Option<String>,
    /// What the refusal of a new object holds.
    api: Option<String>,
    /// What the refusal of the change of an object that is there holds.
    update: Option<String>,
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/api/tests/cases").join(name);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn changed(valid: &Json, set: &BTreeMap<String, Json>) -> Json {
    let mut object = valid.clone();
    for (pointer, new) in set {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        match object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
            Json::Object(fields) if new.is_null() => drop(fields.remove(last)),
            Json::Object(fields) => drop(fields.insert(last.to_owned(), new.clone())),
            Json::Array(items) if new.is_null() => drop(items.remove(last.parse().unwrap())),
            Json::Array(items) => items[last.parse::<usize>().unwrap()] = new.clone(),
            other => panic!("{parent} is {other}"),
        }
    }
    object
}

/// Holds each case against the API server, which is only asked and keeps nothing but the valid object.
async fn hold(cluster: &Cluster, plural: &str, valid: &str, cases: &str) {
    let (valid, cases): (Json, Vec<Case>) = (read(valid), read(cases));
    let mut refused = 0;
    for Case { about, set, field, api, .. } in &cases {
        match (api, cluster.try_create(plural, &changed(&valid, set)).await.unwrap()) {
            (Some(says), Err(error)) => {
                assert!(error.contains(says), "{about}: {error}");
                refused += 1;
            }
            (Some(_), Ok(())) => panic!("{about} is accepted"),
            // What validation refuses may be more than the schema can tell, but never the other way round.
            (None, Err(error)) => assert!(field.is_some(), "{about} is refused: {error}"),
            (None, Ok(())) => {}
        }
    }
    cluster.apply(&valid).unwrap();
    let mut kept = 0;
    for Case { about, set, update, .. } in &cases {
        let Some(says) = update else { continue };
        let error = cluster.try_update(plural, &changed(&valid, set)).await.unwrap().expect_err(about);
        assert!(error.contains(says), "{about}: {error}");
        kept += 1;
    }
    println!("{plural}: {} cases, {refused} refused when new, {kept} when changed", cases.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_object_can_tell_of_itself_is_held_by_the_api_server() {
    let Some(cluster) = Cluster::start().await else { return };
    hold(&cluster, "tenants", "tenant.yaml", "refused-tenants.yaml").await;
    // The same tenant, with a firewall, then with a backup, and then with a directory.
    cluster.clear().unwrap();
    hold(&cluster, "tenants", "firewall.yaml", "refused-firewalls.yaml").await;
    cluster.clear().unwrap();
    hold(&cluster, "tenants", "backup.yaml", "refused-backups.yaml").await;
    cluster.clear().unwrap();
    hold(&cluster, "tenants", "directory.yaml", "refused-directories.yaml").await;
    hold(&cluster, "rulesets", "rule-set.yaml", "refused-rule-sets.yaml").await;
    hold(&cluster, "hostproviders", "host.yaml", "refused-hosts.yaml").await;
}
