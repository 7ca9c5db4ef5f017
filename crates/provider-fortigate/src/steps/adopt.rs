//! Taking over what stands on the device: the mark and nothing else, and what would then change as steps of their own.

use serde_json::{Value as Json, json};
use vertskommune_core::difference::changes_after_adoption;
use vertskommune_core::observation::{Foreign, Present};
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Refusal, RefusalReason, Step, Wait};

use super::{MKEY, Maker, label, operation};
use crate::entry::NAME;
use crate::marks::{self, POLICY, ROUTE, SCHEDULE};
use crate::schema::{Form, Table, VDOM, rules, table};

impl Maker<'_> {
    /// What stands in the place of a thing that is to be made: what is called so, or for a route what goes the same way.
    pub(super) fn stranger(&self, desired: &Resource) -> Option<&Foreign> {
        let wanted = |field: &str| desired.fields.get(field).and_then(Value::as_known);
        let has = |it: &Foreign, field: &str| it.present.fields.get(field) == wanted(field);
        let name = wanted("name").and_then(Json::as_str);
        let kind = desired.id.key.kind.as_str();
        // An interface's name is one of the whole device; of others only those of one virtual firewall count.
        let is_global = table(kind).is_some_and(|table| table.is_global);
        let here = self.seen.foreign.iter().filter(|it| is_global || has(it, VDOM));
        here.filter(|it| it.kind == desired.id.key.kind).find(|it| match name {
            Some(name) => it.name == name,
            None => kind == ROUTE && has(it, "dst") && has(it, "device"),
        })
    }

    /// The mark on what the manifest names, and then what would change: those steps wait for the first, and are planned
    /// again once it is done.
    pub(super) fn adopt(&self, desired: &Resource, word: &str) -> Result<Vec<Step>, Box<Refusal>> {
        let kind = desired.id.key.kind.as_str();
        let Some((table, (comment, most))) = table(kind).and_then(|table| Some((table, table.comment?)))
        else {
            let message = format!("{word} cannot carry a mark: leave adopt out to have one made beside it");
            return Err(Box::new(refusal(desired, RefusalReason::NotSupported, message)));
        };
        let foreign =
            self.adoptee(desired, word).ok_or_else(|| Box::new(self.no_adoptee(desired, table, word)))?;
        self.may_be_adopted(desired, table, foreign)?;
        let theirs = foreign.present.fields.get(comment).and_then(Json::as_str).unwrap_or_default();
        let ours = desired.fields.get(comment).and_then(Value::as_known).and_then(Json::as_str);
        let marked = ours.and_then(|ours| marks::taken_over(ours, theirs, most)).unwrap_or_default();
        let summary = format!("adopt {} as {} {}", foreign.path, label(&desired.id), desired.id.key.name);
        let vdom = foreign.present.fields.get(VDOM);
        let mut step = self.step(&desired.id, vdom, operation::ADOPT, Class::Adopt, summary);
        // By itself: what is done together with others would also hold them up.
        step.batch = None;
        step.fields.insert(comment.to_owned(), Value::known(marked.clone()));
        step.expects.clone_from(&foreign.present.fields);
        step.expects.insert(MKEY.to_owned(), json!(foreign.identity));
        let mut adopted = foreign.present.clone();
        adopted.fields.insert(comment.to_owned(), Json::String(marked));
        Ok([step].into_iter().chain(self.then(desired, table, &adopted)).collect())
    }

    /// What would change once it is ours.
    fn then(&self, desired: &Resource, table: &Table, adopted: &Present) -> Option<Step> {
        let changes = changes_after_adoption(desired, adopted, &rules(table), self.seen);
        let mut step = (!changes.is_empty()).then(|| self.set(&desired.id, &changes, adopted))?;
        step.blocked = Some(Wait::After(desired.id.clone()));
        Some(step)
    }

    fn adoptee(&self, desired: &Resource, word: &str) -> Option<&Foreign> {
        let named = || {
            let all = self.seen.foreign.iter();
            all.filter(|it| it.kind == desired.id.key.kind && it.tenant == desired.id.tenant)
        };
        // An id before a name: a policy may be called by another's number.
        named().find(|it| it.identity == word).or_else(|| named().find(|it| it.name == word))
    }

    /// Why there is nothing of that name to take over: it is this tenant's already, or not there at all.
    fn no_adoptee(&self, desired: &Resource, table: &Table, word: &str) -> Refusal {
        let is_it = |present: &Present| {
            present.identity == word || present.outputs.get(NAME).and_then(Json::as_str) == Some(word)
        };
        let things = self.seen.presents(&desired.id.tenant);
        let mut ours = things.filter(|(key, it)| key.kind == desired.id.key.kind && is_it(it));
        let path = table.path;
        if let Some((key, _)) = ours.next() {
            let message = format!("{path} {word} is {key} already: one thing can be only one entry");
            return refusal(desired, RefusalReason::NotOurs, message);
        }
        let message =
            format!("there is no {word} in {path} to adopt: correct it, or leave adopt out to have one made");
        refusal(desired, RefusalReason::NotFound, message)
    }

    fn may_be_adopted(
        &self,
        desired: &Resource,
        table: &Table,
        foreign: &Foreign,
    ) -> Result<(), Box<Refusal>> {
        if let Some(mark) = &foreign.mark {
            let message = format!("{} belongs to {mark} and is left alone: correct adopt", foreign.path);
            return Err(Box::new(refusal(desired, RefusalReason::NotOurs, message)));
        }
        if let Some(why) = self.settings.hosts_own(table.kind, &foreign.name, &foreign.identity) {
            let message = format!("{} is the host's own, {why}: correct adopt", foreign.path);
            return Err(Box::new(refusal(desired, RefusalReason::NotOurs, message)));
        }
        let fixed = table.attributes.iter().filter(|(_, form)| *form == Form::Fixed);
        for field in fixed.map(|(field, _)| *field).chain([VDOM]) {
            let is = foreign.present.fields.get(field);
            let wanted = desired.fields.get(field).and_then(Value::as_known);
            if let (Some(is), Some(wanted)) = (is, wanted)
                && is != wanted
            {
                let message = format!(
                    "{field} of {} is {is} and cannot become {wanted}: adopt another, or correct the manifest",
                    foreign.path
                );
                return Err(Box::new(refusal(desired, RefusalReason::Immutable, message)));
            }
        }
        Ok(())
    }
}

/// Why nothing is made where something stands already.
pub(super) fn in_the_way(desired: &Resource, stranger: &Foreign) -> Refusal {
    let owner = stranger
        .mark
        .as_ref()
        .map_or_else(|| "has no mark of ours".to_owned(), |mark| format!("belongs to {mark}"));
    let kind = stranger.kind.as_str();
    let by_rule_set = desired.origin.starts_with("spec.firewall.ruleSets");
    let adopt = match stranger.mark {
        // What belongs to others, what cannot carry a mark, and what every tenant gets is not to be taken over.
        None if kind != SCHEDULE && !by_rule_set => {
            let named = if kind == POLICY { &stranger.identity } else { &stranger.name };
            let own = desired.origin.starts_with("spec.firewall");
            if own {
                format!(", or set adopt: {named:?}")
            } else {
                ", or name it in spec.firewall.adopt".to_owned()
            }
        }
        _ => String::new(),
    };
    let away = if kind == ROUTE { "take it off" } else { "rename it on" };
    let message = format!("{} stands in its place and {owner}: {away} the firewall{adopt}", stranger.path);
    refusal(desired, RefusalReason::NotOurs, message)
}

fn refusal(desired: &Resource, reason: RefusalReason, message: String) -> Refusal {
    Refusal { resource: desired.id.clone(), field: desired.origin.clone(), reason, message }
}
