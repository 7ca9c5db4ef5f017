//! The steps that close differences: which way a rule set is brought into its order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_core::difference::{Difference, FieldChange, What};
use vertskommune_core::domain::Proposal;
use vertskommune_core::names::{ResourceId, ResourceKey};
use vertskommune_core::observation::{Observation, Present, Seen};
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Refusal, RefusalReason, Step};

use crate::firmware::Firmware;
use crate::marks::{OLD, ORDER, POLICY};
use crate::names;
use crate::observe::{ANCHOR, NAME, standing};
use crate::offered;
use crate::order::{Place, Wanted, Write, in_one, one_by_one};
use crate::schema::{TABLES, VDOM, table};

/// What steps do; the words that stand in plans.
pub(crate) mod operation {
    pub(crate) const CREATE: &str = "create";
    pub(crate) const SET: &str = "set";
    pub(crate) const REMOVE: &str = "remove";
    pub(crate) const INSERT: &str = "insert";
    pub(crate) const MOVE: &str = "move";
}

/// The field of a step that says where a policy goes.
pub(crate) const PLACE: &str = "place";
/// What a step expects the row's key to be.
pub(crate) const MKEY: &str = "mkey";
/// All that belongs to a rule set is carried out together: one step after the other, each of them safe,
const RULES: &str = "rules";
/// or in one transaction and no other way, since no table between its steps is meant to be seen.
pub(crate) const TRANSACTION: &str = "transaction";

/// The steps for these differences of one tenant.
pub(crate) fn steps(differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal {
    let maker = Maker { seen, now };
    let mut proposal = Proposal::default();
    let (rules, objects): (Vec<&Difference>, Vec<&Difference>) =
        differences.iter().partition(|it| matches!(it.id.key.kind.as_str(), POLICY | ORDER));
    let (gone, others): (Vec<&Difference>, Vec<&Difference>) =
        objects.into_iter().partition(|it| it.what == What::Remove);
    for difference in others {
        match maker.object(difference) {
            Ok(step) => proposal.steps.extend(step),
            Err(refused) => proposal.refusals.extend(refused),
        }
    }
    let refused: Vec<Refusal> = rules.iter().flat_map(|it| maker.missing(it)).collect();
    let whole = refused.is_empty();
    proposal.refusals.extend(refused);
    proposal.steps.extend(maker.policies(&rules, whole));
    // What nobody refers to any more goes last, users before what they use. Rules that are not changed may still name it.
    let gone = if whole { users_first(&gone) } else { Vec::new() };
    proposal.steps.extend(gone.into_iter().filter_map(|it| maker.remove(it)));
    proposal
}

struct Maker<'a> {
    seen: &'a Observation,
    now: Timestamp,
}

impl Maker<'_> {
    fn has_transactions(&self) -> bool {
        Firmware::of(&self.seen.version).has_transactions()
    }

    fn object(&self, difference: &Difference) -> Result<Option<Step>, Vec<Refusal>> {
        let missing = self.missing(difference);
        if !missing.is_empty() {
            return Err(missing);
        }
        match (&difference.what, &difference.desired, &difference.present) {
            (What::Missing, Some(desired), _) => {
                self.create(desired).map(Some).map_err(|refusal| vec![*refusal])
            }
            (What::Changed(changes), Some(_), Some(present)) => {
                Ok(Some(self.set(&difference.id, changes, present)))
            }
            _ => Ok(None),
        }
    }

    /// What it names and is not there.
    fn missing(&self, difference: &Difference) -> Vec<Refusal> {
        difference.desired.iter().flat_map(|desired| offered::missing(desired, self.seen)).collect()
    }

    fn create(&self, desired: &Resource) -> Result<Step, Box<Refusal>> {
        let name = desired.fields.get("name").and_then(Value::as_known).and_then(Json::as_str);
        let stranger = self
            .seen
            .foreign
            .iter()
            .find(|it| it.kind == desired.id.key.kind && Some(it.name.as_str()) == name);
        if let Some(stranger) = stranger {
            let owner = stranger
                .mark
                .as_ref()
                .map_or_else(|| "has no mark of ours".to_owned(), |mark| format!("belongs to {mark}"));
            return Err(Box::new(Refusal {
                resource: desired.id.clone(),
                field: desired.origin.clone(),
                reason: RefusalReason::NotOurs,
                message: format!(
                    "{} stands in its place and {owner}: rename it on the firewall",
                    stranger.path
                ),
            }));
        }
        let summary = format!("make {} {}", label(&desired.id), desired.id.key.name);
        let vdom = desired.fields.get(VDOM).and_then(Value::as_known);
        let mut step = self.step(&desired.id, vdom, operation::CREATE, Class::Create, summary);
        step.fields.clone_from(&desired.fields);
        step.after.clone_from(&desired.after);
        Ok(step)
    }

    fn set(&self, id: &ResourceId, changes: &[FieldChange], present: &Present) -> Step {
        let fields: Vec<&str> = changes.iter().map(|change| change.field.as_str()).collect();
        let summary = format!("set {} of {} {}", fields.join(", "), label(id), id.key.name);
        let mut step = self.step(id, present.fields.get(VDOM), operation::SET, Class::Change, summary);
        for change in changes {
            step.fields.insert(change.field.clone(), change.to.clone());
            step.expects.insert(change.field.clone(), change.from.clone().unwrap_or(Json::Null));
        }
        step.expects.insert(MKEY.to_owned(), json!(present.identity));
        step
    }

    fn remove(&self, difference: &Difference) -> Option<Step> {
        let present = difference.present.as_ref()?;
        Some(self.remove_row(&difference.id, present.fields.get(VDOM), &present.identity))
    }

    fn remove_row(&self, id: &ResourceId, vdom: Option<&Json>, mkey: &str) -> Step {
        let summary = format!("remove {} {}", label(id), id.key.name);
        let mut step = self.step(id, vdom, operation::REMOVE, Class::Remove, summary);
        step.expects.insert(MKEY.to_owned(), json!(mkey));
        step
    }

    fn step(
        &self,
        id: &ResourceId,
        vdom: Option<&Json>,
        operation: &str,
        class: Class,
        summary: String,
    ) -> Step {
        let batched = table(id.key.kind.as_str()).is_some_and(|table| table.batched);
        let batch = if self.has_transactions() { TRANSACTION } else { RULES };
        let batch = batched.then(|| batch.to_owned());
        let mut step = Step { summary, batch, ..Step::new(id, operation, class, self.now) };
        step.expects.extend(vdom.map(|vdom| (VDOM.to_owned(), vdom.clone())));
        step
    }

    /// All policies of the tenant as one: content, order, what comes and what goes, where all of it can be done.
    fn policies(&self, differences: &[&Difference], whole: bool) -> Vec<Step> {
        let Some(first) = differences.first() else { return Vec::new() };
        let (tenant, provider) = (&first.id.tenant, &first.id.provider);
        let order_id = ResourceId::new(tenant, provider, ResourceKey::new(ORDER, "policies"));
        let order = self.seen.present_id(&order_id);
        let asked = differences.iter().find(|it| it.id == order_id).and_then(|it| it.desired.as_ref());
        let sequence = match asked {
            Some(desired) => desired.fields.get("sequence").and_then(Value::as_known),
            // It is in the right order, or all of it goes.
            None if differences.iter().any(|it| it.id == order_id) => None,
            None => order.and_then(|order| order.fields.get("sequence")),
        };
        let keys: Vec<&str> =
            sequence.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        let by_key: BTreeMap<&str, &Difference> = differences
            .iter()
            .filter(|it| it.id.key.kind.as_str() == POLICY)
            .map(|it| (it.id.key.name.as_str(), *it))
            .collect();
        let wanted: Vec<Wanted> = keys
            .iter()
            .map(|key| {
                let changed = by_key.get(key).is_some_and(|it| matches!(it.what, What::Changed(_)));
                Wanted { key: (*key).to_owned(), changed }
            })
            .collect();
        let there = order.map(standing).unwrap_or_default();
        let wanted_in = differences.iter().find_map(|it| it.desired.as_ref()?.fields.get(VDOM)?.as_known());
        let vdom = order.and_then(|order| order.outputs.get(VDOM)).or(wanted_in);
        let way = if self.has_transactions() { in_one } else { one_by_one };
        let rules = Rules {
            maker: self,
            tenant,
            provider,
            vdom,
            by_key,
            ids: ids(&there),
            names: self.names(tenant.as_str()),
        };
        let writes = way(&there, &wanted, ANCHOR);
        let steps = || writes.iter().map(|write| rules.step(write)).collect::<Option<Vec<Step>>>();
        // What cannot be done whole is not begun: only what is without effect goes, which makes room for the rest.
        whole.then(steps).flatten().unwrap_or_else(|| {
            let idle = writes.iter().filter(|write| rules.is_idle(write));
            idle.filter_map(|write| rules.step(write)).collect()
        })
    }

    /// The names that the tenant's policies really have.
    fn names(&self, tenant: &str) -> BTreeSet<String> {
        let things = self.seen.seen.get(tenant);
        let policies = things.into_iter().flatten().filter(|(key, _)| key.kind.as_str() == POLICY);
        policies
            .filter_map(|(_, seen)| match seen {
                Seen::Present(present) => present.outputs.get(NAME)?.as_str().map(str::to_owned),
                Seen::InProgress { .. } | Seen::Lost { .. } | Seen::Unknown(_) => None,
            })
            .collect()
    }
}

/// What the writes of an order are made steps with.
struct Rules<'a> {
    maker: &'a Maker<'a>,
    tenant: &'a vertskommune_core::names::TenantName,
    provider: &'a vertskommune_core::names::ProviderName,
    /// The virtual firewall in which they stand.
    vdom: Option<&'a Json>,
    by_key: BTreeMap<&'a str, &'a Difference>,
    ids: BTreeMap<String, u64>,
    names: BTreeSet<String>,
}

impl Rules<'_> {
    fn step(&self, write: &Write) -> Option<Step> {
        match write {
            Write::Insert { key, place } => self.insert(key, place),
            Write::Set { key } => {
                let difference = self.by_key.get(key.as_str())?;
                let What::Changed(changes) = &difference.what else { return None };
                Some(self.maker.set(&difference.id, changes, difference.present.as_ref()?))
            }
            Write::Move { key, place } => {
                let id = self.id(key);
                let summary = format!("move rule {key} {}", Self::place_text(place));
                let mut step = self.maker.step(&id, self.vdom, operation::MOVE, Class::Change, summary);
                step.fields.insert(PLACE.to_owned(), Value::Known(self.place(place)));
                step.expects.insert(MKEY.to_owned(), json!(self.ids.get(key)?.to_string()));
                Some(step)
            }
            Write::Delete { id } => {
                let (key, _) = self.ids.iter().find(|(_, it)| *it == id)?;
                // What is replaced goes under the name that it has once the new one stands above it.
                let first = key.trim_end_matches(OLD);
                let replaced = self.by_key.get(first).is_some_and(|it| it.desired.is_some());
                let name = if replaced { format!("{key}{OLD}") } else { key.clone() };
                Some(self.maker.remove_row(&self.id(&name), self.vdom, &id.to_string()))
            }
        }
    }

    /// Whether a write takes away what is disabled and to be replaced or gone.
    fn is_idle(&self, write: &Write) -> bool {
        let Write::Delete { id } = write else { return false };
        let key = self.ids.iter().find_map(|(key, it)| (it == id).then_some(key));
        let row = key.and_then(|key| self.maker.seen.present_id(&self.id(key)));
        row.is_some_and(|row| row.fields.get("status").and_then(Json::as_str) == Some("disable"))
    }

    fn insert(&self, key: &str, place: &Place) -> Option<Step> {
        let desired = self.by_key.get(key)?.desired.as_ref()?;
        // A policy that replaces another stands beside it for a moment, under another name.
        let free = names::policies(self.tenant.as_str(), key).find(|name| !self.names.contains(name))?;
        let class = if self.ids.contains_key(key) { Class::Change } else { Class::Create };
        let word = if class == Class::Create { "add" } else { "replace" };
        let summary = format!("{word} rule {key} {}", Self::place_text(place));
        let mut step = self.maker.step(&desired.id, self.vdom, operation::INSERT, class, summary);
        step.fields.clone_from(&desired.fields);
        step.fields.insert("name".to_owned(), Value::known(free));
        step.fields.insert(PLACE.to_owned(), Value::Known(self.place(place)));
        step.after.clone_from(&desired.after);
        Some(step)
    }

    fn id(&self, key: &str) -> ResourceId {
        ResourceId::new(self.tenant, self.provider, ResourceKey::new(POLICY, key))
    }

    /// The place as a step says it. What an earlier step of the batch makes is known by its key alone.
    fn place(&self, place: &Place) -> Json {
        match place {
            Place::Above(ANCHOR) => json!({"above": "anchor"}),
            Place::Above(id) => json!({"above": id}),
            Place::Below(key) => json!({"below": key, "id": self.ids.get(key)}),
        }
    }

    fn place_text(place: &Place) -> String {
        match place {
            Place::Above(ANCHOR) => "above the host's anchor".to_owned(),
            Place::Above(_) => "on top of the others".to_owned(),
            Place::Below(key) => format!("below {key}"),
        }
    }
}

fn ids(standing: &[crate::order::Standing]) -> BTreeMap<String, u64> {
    standing.iter().filter_map(|it| Some((it.key.clone()?, it.id))).collect()
}

/// What is to go in such an order that nothing is taken away while another of them uses it.
fn users_first<'a>(gone: &[&'a Difference]) -> Vec<&'a Difference> {
    let rank = |it: &Difference| TABLES.iter().position(|table| table.kind == it.id.key.kind.as_str());
    let mut gone: Vec<&Difference> = gone.to_vec();
    gone.sort_by_key(|it| std::cmp::Reverse(rank(it)));
    // A group may be a member of another group: it goes when no group that is left names it.
    let mut ordered = Vec::new();
    while !gone.is_empty() {
        let named: BTreeSet<&str> = gone.iter().flat_map(|it| members(it)).collect();
        let free = gone.iter().position(|it| {
            it.present.as_ref().is_none_or(|present| !named.contains(present.identity.as_str()))
        });
        ordered.push(gone.remove(free.unwrap_or(0)));
    }
    ordered
}

fn members(difference: &Difference) -> impl Iterator<Item = &str> {
    let lists = ["member", "interface"]
        .into_iter()
        .filter_map(|field| difference.present.as_ref()?.fields.get(field)?.as_array());
    lists.flatten().filter_map(Json::as_str)
}

fn label(id: &ResourceId) -> &str {
    match id.key.kind.as_str() {
        POLICY => "rule",
        other => other,
    }
}
