//! Steps that make what is missing, or take over what is there.

use serde_json::{Value as Json, json};
use vertskommune_core::difference::changes_after_adoption;
use vertskommune_core::names::Mark;
use vertskommune_core::observation::Foreign;
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Refusal, RefusalReason, Step};

use super::{Maker, bytes_in_words, label, later, operation, refusal};
use crate::marks::{NETWORK, SERVER, instance_uuid, portgroup_name};
use crate::observe::datastore;
use crate::placement::place;

impl Maker<'_> {
    /// The steps for something that is surely absent.
    pub(super) fn missing(&self, desired: &Resource) -> Result<Vec<Step>, Box<Refusal>> {
        if desired.id.key.kind.as_str() == SERVER {
            return match &desired.permits.adopt {
                Some(word) => self.adopt(desired, word),
                None => self.create_server(desired),
            };
        }
        if desired.id.key.kind.as_str() == NETWORK {
            let name = portgroup_name(&desired.id.tenant, &desired.id.key.name);
            self.refuse_taken(desired, &name)?;
        }
        let summary = format!("make {}", label(&desired.id));
        let mut step = self.step(&desired.id, operation::CREATE, Class::Create, summary);
        step.fields.clone_from(&desired.fields);
        step.after.clone_from(&desired.after);
        Ok(vec![step])
    }

    fn refuse_taken(&self, desired: &Resource, name: &str) -> Result<(), Box<Refusal>> {
        let kind = &desired.id.key.kind;
        let mut foreign = self.seen.foreign.iter();
        match foreign
            .find(|f| f.kind == *kind && f.tenant == desired.id.tenant && f.name.eq_ignore_ascii_case(name))
        {
            None => Ok(()),
            Some(taken) => Err(refusal(desired, RefusalReason::NotOurs, not_ours(desired, taken))),
        }
    }

    fn create_server(&self, desired: &Resource) -> Result<Vec<Step>, Box<Refusal>> {
        let name = desired.id.key.name.as_str();
        self.refuse_taken(desired, name)?;
        let text = |field: &str| desired.fields.get(field).and_then(Value::as_known).and_then(Json::as_str);
        let template = text("template").unwrap_or_default();
        let summary = format!("clone {name} from {template}");
        let mut step = self.step(&desired.id, operation::CREATE, Class::Create, summary);
        step.after.clone_from(&desired.after);
        step.fields.clone_from(&desired.fields);
        // What later steps set, or nobody does.
        for field in ["power", "born", "restarting", "diskNames"] {
            step.fields.remove(field);
        }
        let uuid = self.instance_uuid(desired);
        step.fields.insert("instanceUuid".to_owned(), Value::known(uuid));
        self.place_disks(desired, &mut step)?;
        let memory = desired.fields.get("memory").and_then(Value::as_known).and_then(Json::as_u64);
        step.uses.insert("memory".to_owned(), memory.unwrap_or_default());
        let mut steps = vec![step];
        // These have the ids that they have when they are planned after a crash in between.
        steps.extend(has_disks(desired).then(|| self.name_disks(desired)));
        steps.push(self.power_on(desired));
        steps.push(self.record_birth(desired));
        Ok(steps)
    }

    /// Chooses the datastores and counts what they give.
    fn place_disks(&self, desired: &Resource, step: &mut Step) -> Result<(), Box<Refusal>> {
        let disks: Vec<(String, u64, Option<String>)> = disks(desired).collect();
        let all: u64 = disks.iter().map(|(_, size, _)| size).sum();
        let missing = |what: &str| {
            let message =
                format!("none of the datastores of {what} is visible: see the HostProvider's settings");
            refusal(desired, RefusalReason::NotFound, message)
        };
        let capacity = &self.seen.capacity;
        let home = place(&desired.id, &self.settings.datastores, all, capacity)
            .ok_or_else(|| missing("spec.settings.datastores"))?;
        step.fields.insert("datastore".to_owned(), Value::known(home));
        for (name, size, policy) in disks {
            let store = match &policy {
                None => home,
                Some(policy) => {
                    let candidates = self.settings.datastores_of(Some(policy)).unwrap_or_default();
                    place(&desired.id, candidates, all, capacity).ok_or_else(|| missing(policy))?
                }
            };
            step.fields.insert(format!("disks.{name}.datastore"), Value::known(store));
            *step.uses.entry(datastore(store)).or_default() += size;
        }
        Ok(())
    }

    /// Names disks by what does not change when they are moved.
    pub(super) fn name_disks(&self, desired: &Resource) -> Step {
        let summary = format!("record which disk of {} is which", label(&desired.id));
        let mut step = self.step(&desired.id, operation::NAME_DISKS, Class::Change, summary);
        step.fields.insert("diskNames".to_owned(), Value::known("kept"));
        step
    }

    /// The first start, or the one that we owe after a shutdown of ours.
    pub(super) fn power_on(&self, desired: &Resource) -> Step {
        let summary = format!("power on {}", label(&desired.id));
        let mut step = self.step(&desired.id, operation::POWER_ON, Class::Change, summary);
        step.fields.insert("power".to_owned(), Value::known("on"));
        step.fields.insert("restarting".to_owned(), Value::known(false));
        step
    }

    /// Writes down that the server exists, so that its loss is noticed.
    pub(super) fn record_birth(&self, desired: &Resource) -> Step {
        let summary = format!("record that {} exists", label(&desired.id));
        let mut step = self.step(&desired.id, operation::RECORD_BIRTH, Class::Change, summary);
        step.fields.insert("born".to_owned(), Value::known(true));
        step
    }

    pub(super) fn instance_uuid(&self, desired: &Resource) -> String {
        let (id, recreate) = (&desired.id, desired.permits.recreate.as_deref());
        instance_uuid(self.installation, &id.tenant, &id.key.name, recreate)
    }

    /// Takes over an existing machine: the mark and nothing else, and what then differs as steps of their own.
    fn adopt(&self, desired: &Resource, word: &str) -> Result<Vec<Step>, Box<Refusal>> {
        let is_it = |foreign: &&Foreign| {
            foreign.tenant == desired.id.tenant
                && foreign.kind == desired.id.key.kind
                && (foreign.path == word || foreign.identity.eq_ignore_ascii_case(word))
        };
        let Some(foreign) = self.seen.foreign.iter().find(is_it) else {
            let message =
                format!("there is no machine {word} to adopt: name its inventory path or instance UUID");
            return Err(refusal(desired, RefusalReason::NotFound, message));
        };
        if foreign.mark.is_some() {
            return Err(refusal(desired, RefusalReason::NotOurs, not_ours(desired, foreign)));
        }
        let summary = format!("adopt {word} as {}", label(&desired.id));
        let mut step = self.step(&desired.id, operation::ADOPT, Class::Adopt, summary);
        step.expects.insert("identity".to_owned(), json!(foreign.identity));
        step.fields.insert("adopt".to_owned(), Value::known(word));
        step.blocked = foreign.present.busy.clone().map(vertskommune_core::step::Wait::Busy);
        let rules = self.schema.kinds.get(&desired.id.key.kind).cloned().unwrap_or_default();
        let changes = changes_after_adoption(desired, &foreign.present, &rules, self.seen);
        let close = self.changed(desired, &foreign.present, &changes);
        Ok([step].into_iter().chain(close.steps.into_iter().map(later)).collect())
    }
}

fn not_ours(desired: &Resource, foreign: &Foreign) -> String {
    match &foreign.mark {
        Some(mark) if Mark::parse(mark).is_some() => {
            format!("{} carries the mark {mark}: it belongs there and is left alone", foreign.path)
        }
        _ => format!(
            "{} stands where {} would be and carries no mark of ours: rename it, or adopt it",
            foreign.path,
            label(&desired.id)
        ),
    }
}

fn has_disks(desired: &Resource) -> bool {
    disks(desired).next().is_some()
}

/// The disks that a server should have: name, size, and policy where one is named.
fn disks(desired: &Resource) -> impl Iterator<Item = (String, u64, Option<String>)> {
    desired.fields.iter().filter_map(|(path, value)| {
        let name = path.strip_prefix("disks.")?.strip_suffix(".size")?;
        let policy = desired.fields.get(&format!("disks.{name}.storagePolicy"));
        let policy = policy.and_then(Value::as_known).and_then(Json::as_str).map(str::to_owned);
        Some((name.to_owned(), value.as_known()?.as_u64()?, policy))
    })
}

impl Maker<'_> {
    /// Adds disks and makes them larger, in one step.
    pub(super) fn grow(
        &self,
        desired: &Resource,
        changes: &[vertskommune_core::difference::FieldChange],
    ) -> Option<Step> {
        if changes.is_empty() {
            return None;
        }
        let mut words = Vec::new();
        let mut step = self.step(&desired.id, operation::DISKS, Class::Change, String::new());
        step = Self::setting(step, changes);
        for change in changes {
            let name = change.field.trim_start_matches("disks.").trim_end_matches(".size");
            let (from, to) = (change.from.as_ref().and_then(Json::as_u64), change.to.as_known()?.as_u64()?);
            if let Some(from) = from {
                words.push(format!("grow disk {name} {} → {}", bytes_in_words(from), bytes_in_words(to)));
                continue;
            }
            let policy = format!("disks.{name}.storagePolicy");
            let policy = desired.fields.get(&policy).and_then(Value::as_known).and_then(Json::as_str);
            let candidates = self.settings.datastores_of(policy).unwrap_or_default();
            if let Some(store) = place(&desired.id, candidates, to, &self.seen.capacity) {
                step.fields.insert(format!("disks.{name}.datastore"), Value::known(store));
                *step.uses.entry(datastore(store)).or_default() += to;
            }
            words.push(format!("add disk {name} of {}", bytes_in_words(to)));
        }
        step.summary = format!("{} of {}", words.join(", "), label(&desired.id));
        Some(step)
    }
}
