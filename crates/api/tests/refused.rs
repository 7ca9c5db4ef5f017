//! What is wrong with a manifest is found, with its field and its remedy: one valid manifest, one change that breaks
//! it, one violation. The cases are data, so that the tests against a real API server hold the CEL rules to the same.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test may read files and fail

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use vertskommune_api::manifest::{self, Manifests, Problem};
use vertskommune_api::{Catalogue, RuleSetSpec, validate_host, validate_rule_set, validate_tenant};

#[derive(Deserialize)]
struct Case {
    /// What is wrong, for people.
    #[serde(rename = "case")]
    about: String,
    set: BTreeMap<String, Value>,
    field: Option<String>,
    says: Option<String>,
    /// Found while reading, not by validation.
    #[serde(default)]
    form: bool,
    /// What follows from it is found too.
    #[serde(default)]
    more: bool,
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The value with the change: a JSON pointer whose last part is set, or removed where the new value is null.
fn changed(valid: &Value, set: &BTreeMap<String, Value>) -> Value {
    let mut value = valid.clone();
    for (pointer, new) in set {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        match value.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
            Value::Object(fields) if new.is_null() => drop(fields.remove(last)),
            Value::Object(fields) => drop(fields.insert(last.to_owned(), new.clone())),
            Value::Array(items) if new.is_null() => drop(items.remove(last.parse().unwrap())),
            Value::Array(items) => items[last.parse::<usize>().unwrap()] = new.clone(),
            other => panic!("{parent} is {other}"),
        }
    }
    value
}

/// The host's rule sets that the valid tenant pins.
fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let spec = RuleSetSpec { name: "baseline".to_owned(), version: 3, ..RuleSetSpec::default() };
    catalogue.insert(spec).unwrap();
    catalogue
}

/// What reading and validation find.
fn problems(manifest: &Value) -> (Vec<Problem>, Vec<Problem>) {
    let text = serde_saphyr::to_string(manifest).unwrap();
    let Manifests { tenants, hosts, rule_sets, problems, .. } =
        manifest::read([("case.yaml", text.as_str())]);
    let mut found = Vec::new();
    for tenant in &tenants {
        let violations = validate_tenant(&tenant.object, &catalogue()).err().unwrap_or_default();
        found.extend(violations.into_iter().map(|violation| tenant.origin.problem(violation)));
    }
    for set in &rule_sets {
        let violations = validate_rule_set(&set.object).err().unwrap_or_default();
        found.extend(violations.into_iter().map(|violation| set.origin.problem(violation)));
    }
    for host in &hosts {
        let violations = validate_host(&host.object).err().unwrap_or_default();
        found.extend(violations.into_iter().map(|violation| host.origin.problem(violation)));
    }
    (problems, found)
}

fn hold(valid: &str, cases: &str) {
    let (valid, cases): (Value, Vec<Case>) = (read(valid), read(cases));
    assert_eq!(problems(&valid), (vec![], vec![]), "the valid one");
    for Case { about, set, field, says, form, more } in cases {
        let (form_found, value_found) = problems(&changed(&valid, &set));
        let found = if form { form_found } else { [form_found, value_found].concat() };
        let Some(field) = field else {
            assert_eq!(found, [], "{about}");
            continue;
        };
        let says = says.unwrap();
        let expected = |problem: &&Problem| problem.field == field && problem.message.contains(&says);
        assert!(found.iter().any(|problem| expected(&problem)), "{about}: {found:#?}");
        assert!(more || found.len() == 1, "{about} is more than one mistake: {found:#?}");
        for problem in &found {
            let remedy = [": ", "such as", "at most"].iter().any(|sign| problem.message.contains(sign));
            assert!(problem.line > 0 && remedy, "{about} has no remedy: {problem}");
        }
    }
}

#[test]
fn tenants() {
    hold("tenant.yaml", "refused-tenants.yaml");
}

#[test]
fn firewalls() {
    hold("firewall.yaml", "refused-firewalls.yaml");
}

#[test]
fn backups() {
    hold("backup.yaml", "refused-backups.yaml");
}

#[test]
fn directories() {
    hold("directory.yaml", "refused-directories.yaml");
}

#[test]
fn rule_sets() {
    hold("rule-set.yaml", "refused-rule-sets.yaml");
}

#[test]
fn hosts() {
    hold("host.yaml", "refused-hosts.yaml");
}

#[test]
fn all_violations_are_said_at_once() {
    let valid: Value = read("tenant.yaml");
    let set = [
        ("/spec/networks/0/vlan", Value::from(5000)),
        ("/spec/servers/0/memory", Value::from("1GB")),
        ("/spec/servers/1/interfaces/0/network", Value::from("nowhere")),
        ("/spec/compute/retireAfter", Value::from("a month")),
    ];
    let set = set.into_iter().map(|(pointer, value)| (pointer.to_owned(), value)).collect();
    let (_, found) = problems(&changed(&valid, &set));
    let fields: Vec<&str> = found.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.networks[0].vlan",
            "spec.compute.retireAfter",
            "spec.servers[0].memory",
            "spec.servers[1].interfaces[0].network",
        ]
    );
}
