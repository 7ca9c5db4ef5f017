//! The steps that close differences: every choice that needs knowledge of vSphere. Pure.

mod change;
mod create;
mod leave;

use jiff::Timestamp;
use serde_json::Value as Json;
use vertskommune_core::difference::{Difference, FieldChange, Shown, What};
use vertskommune_core::domain::Proposal;
use vertskommune_core::names::{Installation, ResourceId};
use vertskommune_core::observation::{Observation, Present};
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::schema::Schema;
use vertskommune_core::step::{Class, Refusal, RefusalReason, Step, Wait};

use crate::marks::{ANTI_AFFINITY, FOLDER, NETWORK, POOL, SERVER};
use crate::settings::Settings;

/// What steps do; the words that stand in plans.
pub(crate) mod operation {
    pub(crate) const CREATE: &str = "create";
    pub(crate) const ADOPT: &str = "adopt";
    pub(crate) const RENAME: &str = "rename";
    pub(crate) const MOVE: &str = "move";
    pub(crate) const MOVE_POOL: &str = "move-pool";
    pub(crate) const CONNECT: &str = "connect";
    pub(crate) const DISKS: &str = "disks";
    pub(crate) const NAME_DISKS: &str = "name-disks";
    pub(crate) const RESIZE: &str = "resize";
    pub(crate) const SHUT_DOWN: &str = "shut-down";
    pub(crate) const POWER_ON: &str = "power-on";
    pub(crate) const RECORD_BIRTH: &str = "record-birth";
    pub(crate) const RETIRE: &str = "retire";
    pub(crate) const UNRETIRE: &str = "unretire";
    pub(crate) const DESTROY: &str = "destroy";
    pub(crate) const FORGET: &str = "forget";
    pub(crate) const REMOVE: &str = "remove";
    pub(crate) const RECONFIGURE: &str = "reconfigure";
}

/// What steps are made with.
pub(crate) struct Maker<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) settings: &'a Settings,
    pub(crate) schema: &'a Schema,
    pub(crate) seen: &'a Observation,
    pub(crate) now: Timestamp,
}

impl Maker<'_> {
    /// The steps for these differences.
    pub(crate) fn steps(&self, differences: &[Difference]) -> Proposal {
        let mut proposal = Proposal::default();
        for difference in differences {
            match self.difference(difference, &mut proposal) {
                Ok(steps) => proposal.steps.extend(steps),
                Err(refusal) => proposal.refusals.push(*refusal),
            }
        }
        proposal
    }

    fn difference(
        &self,
        difference: &Difference,
        proposal: &mut Proposal,
    ) -> Result<Vec<Step>, Box<Refusal>> {
        let id = &difference.id;
        match (&difference.what, &difference.desired, &difference.present) {
            (What::Missing, Some(desired), _) => self.missing(desired),
            (What::Changed(changes), Some(desired), Some(present)) if id.key.kind.as_str() == SERVER => {
                let close = self.changed(desired, present, changes);
                proposal.shown.extend(close.shown);
                Ok(close.steps)
            }
            (What::Changed(changes), Some(_), Some(_)) => Ok(vec![self.reconfigure(id, changes)]),
            (What::Unretire, Some(desired), Some(_)) => Ok(self.unretire(desired)),
            (What::Retire, _, Some(present)) => Ok(self.retire(id, present)),
            (What::Remove, _, Some(present)) if id.key.kind.as_str() == SERVER => {
                Ok(self.destroy(id, present))
            }
            (What::Remove, _, Some(present)) => Ok(vec![self.remove(id, present)]),
            (What::Forget, ..) => Ok(vec![self.forget(id)]),
            // Core never asks for a change of what is not there, or for a thing without saying what it should be.
            (What::Missing | What::Changed(_) | What::Unretire | What::Retire | What::Remove, ..) => {
                Ok(Vec::new())
            }
        }
    }

    /// A step without fields.
    fn step(&self, id: &ResourceId, operation: &str, class: Class, summary: String) -> Step {
        Step { summary, ..Step::new(id, operation, class, self.now) }
    }

    /// A step that sets the changed fields and expects them as they are.
    fn setting<'b>(step: Step, changes: impl IntoIterator<Item = &'b FieldChange>) -> Step {
        changes.into_iter().fold(step, |mut step, change| {
            step.fields.insert(change.field.clone(), change.to.clone());
            step.expects.insert(change.field.clone(), change.from.clone().unwrap_or(Json::Null));
            step
        })
    }

    /// Changes of a folder, pool, network or rule in place.
    fn reconfigure(&self, id: &ResourceId, changes: &[FieldChange]) -> Step {
        let summary = format!("{} of {}", sentence(changes), label(id));
        Self::setting(self.step(id, operation::RECONFIGURE, Class::Change, summary), changes)
    }
}

/// What a plan calls a thing.
fn label(id: &ResourceId) -> String {
    let name = &id.key.name;
    match id.key.kind.as_str() {
        FOLDER => format!("folder {name}"),
        POOL => format!("resource pool {name}"),
        NETWORK => format!("network {name}"),
        ANTI_AFFINITY => format!("anti-affinity group {name}"),
        _ => name.clone(),
    }
}

/// Changes in words, such as `vcpus 4 → 8`.
fn sentence(changes: &[FieldChange]) -> String {
    let words = changes.iter().map(|change| {
        let from = change.from.as_ref().map_or("(none)".to_owned(), |from| in_words(&change.field, from));
        let to = match &change.to {
            Value::Known(Json::Null) => "(none)".to_owned(),
            Value::Known(to) => in_words(&change.field, to),
            Value::After { resource, .. } => label(resource),
            Value::Secret(_) => "(secret)".to_owned(),
        };
        format!("{} {from} → {to}", change.field)
    });
    words.collect::<Vec<_>>().join(", ")
}

fn in_words(field: &str, value: &Json) -> String {
    let is_bytes = field == "memory" || field.rsplit('.').next() == Some("size");
    match (value, value.as_u64()) {
        (Json::String(text), _) => text.clone(),
        (_, Some(bytes)) if is_bytes => bytes_in_words(bytes),
        _ => value.to_string(),
    }
}

/// Bytes as a manifest would write them.
fn bytes_in_words(bytes: u64) -> String {
    let units = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let unit = units.into_iter().find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or(bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

#[expect(
    clippy::unnecessary_box_returns,
    reason = "every caller returns it as an error, which is to be small"
)]
fn refusal(desired: &Resource, reason: RefusalReason, message: String) -> Box<Refusal> {
    Box::new(Refusal { resource: desired.id.clone(), field: desired.origin.clone(), reason, message })
}

/// A step that comes after another of the same resource, which has to be seen done first.
fn later(step: Step) -> Step {
    Step { blocked: Some(Wait::After(step.resource.clone())), ..step }
}

fn is_on(present: &Present) -> bool {
    present.fields.get("power").and_then(Json::as_str) == Some("on")
}

/// Whether the guest surely heard the order that stands on the machine.
fn was_asked(present: &Present) -> bool {
    present.fields.get("asked").and_then(Json::as_bool).unwrap_or(true)
}

/// What a change of a server comes to.
#[derive(Default)]
struct ServerChange {
    steps: Vec<Step>,
    shown: Vec<Shown>,
}
