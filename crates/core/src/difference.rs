//! Desired against observed, by the rules of the schema: what is missing, changed, surplus or in doubt.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::names::ResourceId;
use crate::observation::{Observation, Present};
use crate::resource::{Resource, Value};
use crate::schema::{Change, Comparison, FieldRule, Healing, KindRules, Surplus};
use crate::step::{Refusal, RefusalReason};
use crate::tenant::DriftPolicy;

/// One resource that is not as it should be, for the plugin to turn into steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Which one.
    pub id: ResourceId,
    /// In what way.
    pub what: What,
    /// It as it should be; none where it should not be at all.
    pub desired: Option<Resource>,
    /// It as it is, where it is there.
    pub present: Option<Present>,
}

/// In what way a resource is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// It should be there and is surely absent.
    Missing,
    /// It is there, and these fields differ.
    Changed(Vec<FieldChange>),
    /// It was retired and is wanted again.
    Unretire,
    /// It is no longer wanted and is to be taken out of service.
    Retire,
    /// It is no longer wanted and holds no data, or has been retired long enough.
    Remove,
    /// It was lost and nothing wants it any more: only its record is left.
    Forget,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its path.
    pub field: String,
    /// What it is, where it is there.
    pub from: Option<Json>,
    /// What it should be.
    pub to: Value,
    /// Who caused the difference.
    pub cause: Cause,
}

/// Who caused a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The manifest asks for something new.
    Manifest,
    /// Somebody changed the thing by hand.
    Drift,
}

/// A difference that is only shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Where.
    pub id: ResourceId,
    /// The field.
    pub field: String,
    /// What it is.
    pub from: Option<Json>,
    /// What it would be.
    pub to: Value,
}

/// Finds an output of a resource, where that exists.
pub(crate) type Look<'a> = &'a dyn for<'b> Fn(&'b ResourceId, &'b str) -> Option<&'a Json>;

/// What a comparison of one resource found.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) changes: Vec<FieldChange>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) shown: Vec<Shown>,
}

/// Compares a resource with the thing as it is. `look` finds the outputs of other resources.
pub(crate) fn compare(
    desired: &Resource,
    present: &Present,
    rules: &KindRules,
    policy: DriftPolicy,
    look: Look<'_>,
) -> Compared {
    let mut compared = Compared::default();
    for (path, to) in &desired.fields {
        let rule = rules.rule(path);
        let from = present.fields.get(path);
        if rule.change == Change::CreateOnly || same(from, to, rule.comparison, look) {
            continue;
        }
        compared.judge(desired, present, &rule, policy, (path, from, to));
    }
    for (path, from) in present.fields.iter().filter(|(path, _)| !desired.fields.contains_key(*path)) {
        let rule = rules.rule(path);
        let ours = present.applied.contains_key(path);
        let nothing = Value::Known(Json::Null);
        match rule.surplus {
            Surplus::Take if ours => {
                compared.judge(desired, present, &rule, policy, (path, Some(from), &nothing));
            }
            Surplus::Take | Surplus::Show => compared.shown.push(Shown {
                id: desired.id.clone(),
                field: path.to_owned(),
                from: Some(from.clone()),
                to: nothing,
            }),
            Surplus::Ignore => {}
        }
    }
    compared
}

impl Compared {
    fn judge(
        &mut self,
        desired: &Resource,
        present: &Present,
        rule: &FieldRule,
        policy: DriftPolicy,
        (path, from, to): (&str, Option<&Json>, &Value),
    ) {
        let cause = cause(present, path, to);
        let refuse = |reason, message| Refusal {
            resource: desired.id.clone(),
            field: desired.origin.clone(),
            reason,
            message,
        };
        let shown =
            || Shown { id: desired.id.clone(), field: path.to_owned(), from: from.cloned(), to: to.clone() };
        match rule.change {
            Change::ShownOnly | Change::CreateOnly => self.shown.push(shown()),
            _ if cause == Cause::Drift
                && rule.healing == Healing::ByPolicy
                && policy == DriftPolicy::Show =>
            {
                self.shown.push(shown());
            }
            Change::Immutable => self.refusals.push(refuse(
                RefusalReason::Immutable,
                format!(
                    "{path} of {} is {} and cannot become {}: it can only be set at creation{}{}",
                    desired.id.key,
                    text(path, from),
                    value_text(path, to),
                    if rule.remedy.is_empty() { "" } else { "; " },
                    rule.remedy
                ),
            )),
            Change::GrowOnly if shrinks(from, to) && cause == Cause::Drift => self.shown.push(shown()),
            Change::GrowOnly if shrinks(from, to) => self.refusals.push(refuse(
                RefusalReason::CannotShrink,
                format!(
                    "{path} of {} is {} and cannot shrink to {}: set it to at least what it is",
                    desired.id.key,
                    text(path, from),
                    value_text(path, to)
                ),
            )),
            Change::Mutable | Change::GrowOnly => self.changes.push(FieldChange {
                field: path.to_owned(),
                from: from.cloned(),
                to: to.clone(),
                cause,
            }),
        }
    }
}

/// A value that we once gave and that the manifest still asks for was changed by somebody else.
fn cause(present: &Present, path: &str, to: &Value) -> Cause {
    match (present.applied.get(path), to) {
        (Some(applied), Value::Known(to)) if applied != to => Cause::Manifest,
        (Some(_), _) => Cause::Drift,
        (None, _) => Cause::Manifest,
    }
}

fn same(from: Option<&Json>, to: &Value, comparison: Comparison, look: Look<'_>) -> bool {
    let resolved;
    let to = match to {
        Value::Known(to) => to,
        // A secret is compared by its reference, which the plugin observes where it was recorded.
        Value::Secret(reference) => {
            resolved = serde_json::to_value(reference).unwrap_or_default();
            &resolved
        }
        Value::After { resource, output } => match look(resource, output).cloned() {
            Some(value) => {
                resolved = value;
                &resolved
            }
            None => return false,
        },
    };
    let Some(from) = from else { return to.is_null() };
    match (comparison, from, to) {
        (Comparison::IgnoringCase, Json::String(from), Json::String(to)) => from.eq_ignore_ascii_case(to),
        (Comparison::Unordered, Json::Array(from), Json::Array(to)) => sorted(from) == sorted(to),
        _ => from == to,
    }
}

fn sorted(list: &[Json]) -> Vec<String> {
    let mut members: Vec<_> = list.iter().map(Json::to_string).collect();
    members.sort();
    members
}

fn shrinks(from: Option<&Json>, to: &Value) -> bool {
    match (from.and_then(Json::as_u64), to.as_known().and_then(Json::as_u64)) {
        (Some(from), Some(to)) => to < from,
        _ => false,
    }
}

/// An observed value for people. Fields named `memory` and `size` hold bytes, in every plugin.
pub(crate) fn text(field: &str, value: Option<&Json>) -> String {
    let bytes = matches!(field.rsplit('.').next(), Some("memory" | "size"));
    match value {
        None | Some(Json::Null) => "(none)".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(Json::Number(number)) if bytes => number.as_u64().map_or_else(|| number.to_string(), bytes_text),
        Some(other) => other.to_string(),
    }
}

/// Bytes as Kubernetes writes them: the largest unit in which they are a whole number.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    let whole = units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// A desired value for people.
pub(crate) fn value_text(field: &str, value: &Value) -> String {
    match value {
        Value::Known(value) => text(field, Some(value)),
        Value::Secret(secret) => format!("(secret {} {})", secret.name, secret.entry),
        Value::After { resource, output } => format!("({output} of {})", resource.key),
    }
}

/// What the plugin finds useful to compare with: the changes that a foreign thing would need after its adoption.
pub fn changes_after_adoption(
    desired: &Resource,
    present: &Present,
    rules: &KindRules,
    observation: &Observation,
) -> Vec<FieldChange> {
    let look = |id: &ResourceId, output: &str| observation.present_id(id)?.outputs.get(output);
    compare(desired, present, rules, DriftPolicy::Heal, &look).changes
}
