//! Manifests as files: the text of any number of YAML files becomes typed objects, or problems with file, line, field
//! and remedy, all at once.
//!
//! The same schema that the API server holds is walked here, with one difference: a field that the schema does not
//! know is a problem, not silently dropped, because a misspelt field is an order that nobody carries out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use kube::ResourceExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vertskommune_core::violation::Violation;

use crate::schema::{self, Walk};
use crate::{GROUP, HostProvider, RuleSet, Tenant, VERSION};

mod repin;
pub(crate) mod yaml;

pub use repin::{Repin, repin};
pub use yaml::MAX_FILE;
use yaml::{Content, Node};

/// All that a set of files holds.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The Tenants that could be read, in the order of the files.
    pub tenants: Vec<Manifest<Tenant>>,
    /// The HostProviders that could be read, in the order of the files.
    pub hosts: Vec<Manifest<HostProvider>>,
    /// The RuleSets that could be read, in the order of the files.
    pub rule_sets: Vec<Manifest<RuleSet>>,
    /// Objects of other kinds, which are not ours to read.
    pub skipped: Vec<Skipped>,
    /// All that is wrong, in the order of the files. What could be read is there nevertheless, so that one bad file
    /// does not hide what is wrong with the next.
    pub problems: Vec<Problem>,
}

/// An object together with where it was written.
#[derive(Clone, Debug)]
pub struct Manifest<T> {
    /// The object.
    pub object: T,
    /// Where it was written.
    pub origin: Origin,
}

/// Where an object was written.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The object as `Kind/name`.
    pub object: String,
    /// The line on which it begins, counted from 1.
    pub line: u64,
    lines: BTreeMap<String, u64>,
    bytes: BTreeMap<String, Range<usize>>,
}

/// An object of a kind that is not ours, such as a Secret or a Kustomization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The file.
    pub file: String,
    /// The line on which the object begins, counted from 1.
    pub line: u64,
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
    /// Its `metadata.name`, where it has one.
    pub name: String,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: u64,
    /// The object as `Kind/name`, or empty where the file does not even hold one.
    pub object: String,
    /// The field as a JSON path, or empty where it is the document as a whole.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        for part in [&self.object, &self.field].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Origin {
    /// The violation with file, line and object.
    pub fn problem(&self, violation: Violation) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line_of(&violation.field),
            object: self.object.clone(),
            field: violation.field,
            message: violation.message,
        }
    }

    /// The line of that field, or of the nearest field around it that was written.
    pub fn line_of(&self, field: &str) -> u64 {
        let mut field = field;
        loop {
            if let Some(line) = self.lines.get(field) {
                return *line;
            }
            match field.rfind(['.', '[']) {
                Some(end) => field = &field[..end],
                None => return self.line,
            }
        }
    }
}

/// Reads files, each given by its name and its text.
pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Manifests {
    let mut manifests = Manifests::default();
    for (file, text) in files {
        for document in yaml::documents(text) {
            match document {
                Ok(node) => manifests.document(file, &node),
                Err(error) => manifests.problem(file, error.line, error.message),
            }
        }
    }
    manifests.names_unique();
    manifests
}

/// What the head of a document says it is.
struct Head<'a> {
    kind: &'a str,
    name: &'a str,
}

impl Manifests {
    fn problem(&mut self, file: &str, line: u64, message: impl Into<String>) {
        self.problems.push(Problem {
            file: file.to_owned(),
            line,
            object: String::new(),
            field: String::new(),
            message: message.into(),
        });
    }

    fn document(&mut self, file: &str, node: &Node) {
        let Content::Map(_) = node.content else {
            return self.problem(file, node.line, "is no object: write apiVersion, kind, metadata and spec");
        };
        let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
        let (api_version, kind) = (text(node.get("apiVersion")), text(node.get("kind")));
        let name = text(node.get("metadata").and_then(|metadata| metadata.get("name")));
        let head = Head { kind: &kind, name: &name };
        if kind.is_empty() || api_version.is_empty() {
            return self.problem(file, node.line, "has no apiVersion and kind: write both, as texts");
        }
        let ours = api_version.split('/').next() == Some(GROUP);
        match kind.as_str() {
            "List" => {
                self.problem(
                    file,
                    node.line,
                    "is a List: write its items as documents with --- between them",
                );
            }
            _ if !ours => {
                self.skipped.push(Skipped {
                    file: file.to_owned(),
                    line: node.line,
                    api_version,
                    kind,
                    name,
                });
            }
            _ if api_version != format!("{GROUP}/{VERSION}") => {
                let message = format!("has the unknown apiVersion {api_version}: write {GROUP}/{VERSION}");
                self.problem(file, node.line, message);
            }
            "Tenant" => {
                let made = self.object(file, node, &head, schema::tenant());
                self.tenants.extend(made);
            }
            "HostProvider" => {
                let made = self.object(file, node, &head, schema::host_provider());
                self.hosts.extend(made);
            }
            "RuleSet" => {
                let made = self.object(file, node, &head, schema::rule_set());
                self.rule_sets.extend(made);
            }
            other => {
                let hint = schema::did_you_mean(other, ["Tenant", "HostProvider", "RuleSet"])
                    .unwrap_or_else(|| "there are Tenant, HostProvider and RuleSet".to_owned());
                self.problem(file, node.line, format!("is of the unknown kind {other}: {hint}"));
            }
        }
    }

    /// The typed object, where nothing is wrong with its form.
    fn object<T: DeserializeOwned>(
        &mut self,
        file: &str,
        node: &Node,
        head: &Head<'_>,
        schema: &Value,
    ) -> Option<Manifest<T>> {
        let mut walk = Walk::default();
        let value = walk.object(schema, node);
        let object = format!("{}/{}", head.kind, head.name);
        let origin =
            Origin { file: file.to_owned(), object, line: node.line, lines: walk.lines, bytes: walk.bytes };
        let sound = walk.violations.is_empty();
        self.problems.extend(walk.violations.into_iter().map(|(line, violation)| {
            let problem = origin.problem(violation);
            Problem { line, ..problem }
        }));
        if !sound {
            return None;
        }
        match serde_json::from_value(value) {
            Ok(object) => Some(Manifest { object, origin }),
            Err(error) => {
                self.problems.push(origin.problem(Violation::new("", error.to_string())));
                None
            }
        }
    }

    /// No name twice: of two files that say different things of one tenant, neither is the truth.
    fn names_unique(&mut self) {
        let tenants = self.tenants.iter().map(|each| (each.object.name_any(), &each.origin));
        let hosts = self.hosts.iter().map(|each| (each.object.name_any(), &each.origin));
        let mut found = twice(tenants);
        found.extend(twice(hosts));
        let sets = self.rule_sets.iter().map(|each| (each.object.name_any(), &each.origin));
        found.extend(twice(sets));
        self.problems.extend(found);
    }
}

fn twice<'a>(objects: impl Iterator<Item = (String, &'a Origin)>) -> Vec<Problem> {
    let mut seen: BTreeMap<String, &Origin> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, origin) in objects.filter(|(name, _)| !name.is_empty()) {
        if let Some(first) = seen.get(&name) {
            let message = format!("is written in {}:{} too: keep one of them", first.file, first.line);
            found.push(origin.problem(Violation::new("metadata.name", message)));
        } else {
            seen.insert(name, origin);
        }
    }
    found
}

/// The schema of `metadata`, of which the definition of a kind says nothing: the fields that people write are known,
/// those that the API server adds (in an exported object) are let through.
pub(crate) fn metadata_schema() -> Value {
    let any = json!({ "x-kubernetes-preserve-unknown-fields": true });
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": text, "namespace": text, "labels": texts, "annotations": texts,
            "finalizers": any, "ownerReferences": any, "managedFields": any, "uid": any, "resourceVersion": any,
            "generation": any, "creationTimestamp": any, "deletionTimestamp": any,
            "deletionGracePeriodSeconds": any, "selfLink": any, "generateName": any,
        },
    })
}

#[cfg(test)]
mod tests;
