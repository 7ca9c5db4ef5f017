//! The CustomResourceDefinitions, as they are applied and as they are checked in under `crds/`.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde::ser::Error as _;
use serde_json::{Value, json};

use crate::{HostProvider, RuleSet, Tenant};

/// What every checked-in definition begins with.
const HEADER: &str = "# Written by `vertskommune crd`; do not edit.\n";

/// The field of a status that tells which generation of the spec it speaks of.
const OBSERVED: &str = "observedGeneration";

/// The definitions of all kinds, in the order of their names.
///
/// They differ from what the derive makes (`Tenant::crd()`) in two things. No field is nullable: `gateway: null` in a
/// manifest is then the same as no gateway, as Kubernetes users expect. And what nobody has looked at yet has a status
/// that says so: kstatus takes an object without one for finished, and Flux would not wait for it.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![host_providers(), rule_sets(), tenants()]
}

/// The definition of [`Tenant`].
pub fn tenants() -> CustomResourceDefinition {
    structural(Tenant::crd())
}

/// The definition of [`HostProvider`].
pub fn host_providers() -> CustomResourceDefinition {
    structural(HostProvider::crd())
}

/// The definition of [`RuleSet`].
pub fn rule_sets() -> CustomResourceDefinition {
    structural(RuleSet::crd())
}

/// A definition as YAML, the same bytes every time.
///
/// # Errors
/// None that a definition made by [`crds`] can have.
pub fn crd_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    let value = serde_json::to_value(crd).map_err(serde_saphyr::ser::Error::custom)?;
    Ok(format!("{HEADER}{}", serde_saphyr::to_string(&sorted(value))?))
}

fn structural(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let Ok(mut value) = serde_json::to_value(&crd) else { return crd };
    without_nullable(&mut value);
    not_yet_observed(&mut value);
    serde_json::from_value(value).unwrap_or(crd)
}

/// Gives a kind whose status tells the generation it speaks of one that no object has.
fn not_yet_observed(crd: &mut Value) {
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let status = version.pointer_mut("/schema/openAPIV3Schema/properties/status");
        if let Some(status) = status.filter(|status| status["properties"][OBSERVED].is_object()) {
            status["default"] = json!({OBSERVED: -1});
        }
    }
}

fn without_nullable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A property of that name would be an object.
            fields.retain(|key, value| key != "nullable" || !value.is_boolean());
            fields.values_mut().for_each(without_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nullable),
        _ => {}
    }
}

/// The value with its fields by name, also in a build where some crate makes JSON maps keep the order of insertion.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> =
                fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}
