//! What a status says, as tests ask for it.

use serde_json::Value as Json;

/// The status of a condition of an object, or nothing.
pub fn condition<'a>(object: &'a Json, kind: &str) -> &'a str {
    of_condition(object, kind, "status")
}

/// The reason of a condition of an object, or nothing.
pub fn reason<'a>(object: &'a Json, kind: &str) -> &'a str {
    of_condition(object, kind, "reason")
}

/// The message of a condition of an object, or nothing.
pub fn message<'a>(object: &'a Json, kind: &str) -> &'a str {
    of_condition(object, kind, "message")
}

/// A field of a condition of an object, or nothing.
pub fn of_condition<'a>(object: &'a Json, kind: &str, field: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let condition = conditions.iter().find(|condition| condition["type"] == kind);
    condition.and_then(|condition| condition[field].as_str()).unwrap_or_default()
}

/// Whether a tenant is Ready, and its status is of its newest form.
pub fn is_ready(tenant: &Json) -> bool {
    condition(tenant, "Ready") == "True"
        && tenant["status"]["observedGeneration"] == tenant["metadata"]["generation"]
}
