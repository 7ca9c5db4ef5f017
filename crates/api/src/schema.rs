//! Walks a document along the schema of its kind: unknown and missing fields, wrong types and words that are none of
//! an enumeration, all at once. What a value means is read later, by `validate`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};
use vertskommune_core::violation::Violation;

use crate::crds;
use crate::manifest::metadata_schema;
use crate::manifest::yaml::{Content, Node};

/// The schema of a Tenant's manifest.
pub(crate) fn tenant() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| of_manifest(&crds::tenants()));
    &SCHEMA
}

/// The schema of a HostProvider's manifest.
pub(crate) fn host_provider() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| of_manifest(&crds::host_providers()));
    &SCHEMA
}

/// The schema of a RuleSet's manifest.
pub(crate) fn rule_set() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| of_manifest(&crds::rule_sets()));
    &SCHEMA
}

/// The schema of a definition with what people write: metadata in full, any status (an exported object has one, and
/// nobody reads it), apiVersion and kind.
fn of_manifest(crd: &CustomResourceDefinition) -> Value {
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
    let mut schema = serde_json::to_value(schema.and_then(|schema| schema.open_api_v3_schema.as_ref()))
        .unwrap_or_default();
    schema["properties"]["metadata"] = metadata_schema();
    schema["properties"]["status"] = serde_json::json!({ "x-kubernetes-preserve-unknown-fields": true });
    for always in ["apiVersion", "kind"] {
        schema["properties"][always] = serde_json::json!({ "type": "string" });
    }
    schema["required"] = serde_json::json!(["metadata", "spec"]);
    schema
}

/// A walk through one document.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// What is wrong, each with its line.
    pub(crate) violations: Vec<(u64, Violation)>,
    /// The line of every field.
    pub(crate) lines: BTreeMap<String, u64>,
    /// The bytes in the file of every field's value.
    pub(crate) bytes: BTreeMap<String, Range<usize>>,
}

impl Walk {
    /// The document as JSON, without its status.
    pub(crate) fn object(&mut self, schema: &Value, node: &Node) -> Value {
        let mut value = self.value(schema, node, node.line, "");
        if let Value::Object(fields) = &mut value {
            fields.remove("status");
        }
        value
    }

    fn wrong(&mut self, line: u64, path: &str, message: impl Into<String>) -> Value {
        self.violations.push((line, Violation::new(path, message)));
        Value::Null
    }

    fn value(&mut self, schema: &Value, node: &Node, line: u64, path: &str) -> Value {
        self.lines.insert(path.to_owned(), line);
        self.bytes.extend(node.bytes.clone().map(|bytes| (path.to_owned(), bytes)));
        if schema["x-kubernetes-preserve-unknown-fields"] == true && schema["properties"].is_null() {
            let fits = schema["type"] != "object" || matches!(node.content, Content::Map(_));
            return if fits { node.json() } else { self.wrong(line, path, unlike(node, "an object")) };
        }
        let kind = schema["type"].as_str().unwrap_or_default();
        match (&node.content, kind) {
            (Content::Map(fields), "object") => self.fields(schema, fields, line, path),
            (Content::List(items), "array") => {
                let item = |(i, item): (usize, &Node)| {
                    self.value(&schema["items"], item, item.line, &format!("{path}[{i}]"))
                };
                items.iter().enumerate().map(item).collect()
            }
            (Content::Text(text), "string") => self.word(schema, text, line, path),
            (Content::Bool(_), "boolean")
            | (Content::Integer(_), "integer" | "number")
            | (Content::Float(_), "number") => node.json(),
            (Content::Text(_) | Content::Integer(_), "") if schema["x-kubernetes-int-or-string"] == true => {
                node.json()
            }
            _ => self.wrong(line, path, unlike(node, expected(schema, kind))),
        }
    }

    fn fields(&mut self, schema: &Value, fields: &[(String, u64, Node)], line: u64, path: &str) -> Value {
        let mut object = Map::new();
        for (key, line, node) in fields {
            let known = schema["properties"].get(key);
            let free = schema.get("additionalProperties").filter(|schema| schema.is_object());
            let path = match (known, path) {
                (None, path) if free.is_some() => format!("{path}[{key}]"),
                (_, "") => key.clone(),
                (_, path) => format!("{path}.{key}"),
            };
            match known.or(free) {
                // As the API server does: a field that is null is not there.
                Some(_) if matches!(node.content, Content::Null) => drop(self.lines.insert(path, *line)),
                Some(schema) => drop(object.insert(key.clone(), self.value(schema, node, *line, &path))),
                None => drop(self.wrong(*line, &path, unknown(key, &schema["properties"]))),
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(required) {
                let path = if path.is_empty() { required.to_owned() } else { format!("{path}.{required}") };
                let about = purpose(&schema["properties"][required]);
                self.wrong(line, &path, format!("is missing: add it{about}"));
            }
        }
        Value::Object(object)
    }

    fn word(&mut self, schema: &Value, text: &str, line: u64, path: &str) -> Value {
        let words: Vec<&str> =
            schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if words.is_empty() || words.contains(&text) {
            return Value::String(text.to_owned());
        }
        self.wrong(line, path, format!("{text:?} is unknown: write {}", words.join(" or ")))
    }
}

fn unknown(key: &str, properties: &Value) -> String {
    let names = || properties.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    let hint = did_you_mean(key, names()).unwrap_or_else(|| {
        let names: Vec<&str> = names().collect();
        format!("remove it, or write one of {}", names.join(", "))
    });
    format!("is an unknown field: {hint}")
}

fn expected(schema: &Value, kind: &str) -> &'static str {
    match kind {
        "object" => "an object with fields",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        _ if schema["x-kubernetes-int-or-string"] == true => "a size such as 16Gi",
        _ => "something else",
    }
}

fn unlike(node: &Node, expected: &str) -> String {
    let (found, quotes) = match node.content {
        Content::Null => ("nothing", false),
        Content::Bool(_) => ("true or false", true),
        Content::Integer(_) | Content::Float(_) => ("a number", true),
        Content::Text(_) => ("a text", false),
        Content::List(_) => ("a list", false),
        Content::Map(_) => ("an object", false),
    };
    let remedy = if quotes && expected == "a text" { " in quotes" } else { "" };
    format!("is {found}: write {expected}{remedy}")
}

/// What the description of a field gives as its example.
fn purpose(schema: &Value) -> String {
    let example = schema["description"].as_str().and_then(|text| text.split_once("Example: "));
    example.map_or_else(String::new, |(_, example)| {
        let example = example.split_once(". ").map_or(example, |(first, _)| first);
        format!(", such as {}", example.trim_end_matches('.'))
    })
}

/// The name that was probably meant.
pub(crate) fn did_you_mean<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = |name: &&str| distance(&written.to_lowercase(), &name.to_lowercase());
    let best = names.into_iter().min_by_key(near)?;
    let allowed = (written.chars().count() / 3).max(1);
    (near(&best) <= allowed).then(|| format!("did you mean {best}?"))
}

/// How many letters must be put in, taken out, changed or swapped with their neighbour to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
