//! The steps that close differences: which way a rule set is brought into its order. Pure.

mod adopt;
mod kept;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_core::difference::{Difference, FieldChange, What};
use vertskommune_core::domain::Proposal;
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey, TenantName};
use vertskommune_core::observation::{Observation, Present};
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Refusal, RefusalReason, Step, Wait};

use crate::entry::NAME;
use crate::firmware::Firmware;
use crate::marks::{LINK, LINK_END, OLD, ORDER, POLICY, VIRTUAL_FIREWALL, ZONE, order_of};
use crate::names;
use crate::observe::{ANCHOR, STRANGERS, standing};
use crate::offered;
use crate::order::{Place, Wanted, Write, in_one, one_by_one};
use crate::schema::{TABLES, VDOM, table};
use crate::settings::Settings;

/// What steps do; the words that stand in plans.
pub(crate) mod operation {
    pub(crate) const ADOPT: &str = "adopt";
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
/// All that belongs to a rule set of one virtual firewall is carried out together: one step after the other, each of them
/// safe,
const RULES: &str = "rules";
/// or in one transaction and no other way, since no table between its steps is meant to be seen.
const TRANSACTION: &str = "transaction";
/// What the licence counts.
pub(crate) const VIRTUAL_FIREWALLS: &str = "virtual firewalls";

/// Whether steps of this batch are carried out in one transaction.
pub(crate) fn is_transaction(batch: &str) -> bool {
    batch.starts_with(TRANSACTION)
}

/// The steps for these differences of one tenant.
pub(crate) fn steps(
    differences: &[Difference],
    seen: &Observation,
    settings: &Settings,
    now: Timestamp,
) -> Proposal {
    let (differences, shown) = kept::kept(differences);
    let maker = Maker { seen, settings, own: own(&differences, seen), now };
    let mut proposal = Proposal { shown, ..Proposal::default() };
    if let Some(refusal) = maker.moved(&differences) {
        proposal.refusals.push(refusal);
        return proposal;
    }
    let (rules, objects): (Vec<&Difference>, Vec<&Difference>) =
        differences.iter().partition(|it| matches!(it.id.key.kind.as_str(), POLICY | ORDER));
    let (gone, others): (Vec<&Difference>, Vec<&Difference>) =
        objects.into_iter().partition(|it| it.what == What::Remove);
    let gone = unnamed(gone, &others);
    for difference in others {
        match maker.object(difference) {
            Ok(steps) => proposal.steps.extend(steps),
            Err(refused) => proposal.refusals.extend(refused),
        }
    }
    let whole = maker.rules(&rules, &mut proposal);
    let stays = gone.iter().find_map(|it| strangers(it));
    let is_kept =
        |it: &&&Difference| stays.is_some() && matches!(it.id.key.kind.as_str(), VIRTUAL_FIREWALL | LINK);
    let gone: Vec<&Difference> = gone.iter().filter(|it| !is_kept(it)).copied().collect();
    proposal.refusals.extend(stays);
    // What nobody refers to any more goes last, users before what they use. Rules that are not changed may still name it.
    let gone = if whole { users_first(&gone) } else { Vec::new() };
    proposal.steps.extend(gone.into_iter().filter_map(|it| maker.remove(it)));
    if let Some(end) = differences.iter().find(|it| is_astray(it)) {
        let follows = |step: &&mut Step| step.batch.is_some() || step.resource.key.kind.as_str() == ZONE;
        for step in proposal.steps.iter_mut().filter(follows) {
            step.blocked = Some(Wait::After(end.id.clone()));
        }
    }
    proposal
}

/// Whether an end of a link is not where routes, zones and rules name it: FortiOS makes both in one place.
fn is_astray(difference: &Difference) -> bool {
    let What::Changed(changes) = &difference.what else { return false };
    difference.id.key.kind.as_str() == LINK_END && changes.iter().any(|change| change.field == VDOM)
}

fn is_transit(difference: &Difference) -> bool {
    let key = &difference.id.key;
    if key.kind.as_str() == ORDER { key.name == "transit" } else { order_of(&key.name) == "transit" }
}

struct Maker<'a> {
    seen: &'a Observation,
    settings: &'a Settings,
    /// The names of all that the tenant has or is to have.
    own: BTreeSet<String>,
    now: Timestamp,
}

/// The names of all that the tenant of these differences has or is to have.
fn own(differences: &[Difference], seen: &Observation) -> BTreeSet<String> {
    let desired = differences.iter().filter_map(|it| it.desired.as_ref()?.fields.get("name")?.as_known());
    let present = differences.first().into_iter().flat_map(|it| seen.presents(&it.id.tenant));
    let present = present.filter_map(|(_, present)| present.fields.get("name"));
    desired.chain(present).filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

impl Maker<'_> {
    fn has_transactions(&self) -> bool {
        Firmware::of(&self.seen.version).has_transactions()
    }

    /// A tenant that stands in one virtual firewall and whose manifest asks for another is not moved, and not made twice.
    fn moved(&self, differences: &[Difference]) -> Option<Refusal> {
        let own = differences.iter().find(|it| it.id.key.kind.as_str() == VIRTUAL_FIREWALL)?;
        let zone = ResourceId { key: ResourceKey::new(ZONE, "tenant"), ..own.id.clone() };
        let home = self.seen.present_id(&zone).and_then(|zone| zone.fields.get(VDOM)).and_then(Json::as_str);
        let gone =
            |key: &ResourceKey| differences.iter().any(|it| it.id.key == *key && it.what == What::Remove);
        let (is_elsewhere, message) = match (&own.what, &own.desired, &own.present) {
            (What::Missing, Some(desired), _) => {
                let name = desired.fields.get("name").and_then(Value::as_known).and_then(Json::as_str);
                let home = home.unwrap_or_default();
                let message = format!(
                    "this tenant's rules stand in {home}, and its manifest asks for a virtual firewall of its own: write \
                     vdom: Shared, or remove its firewall first"
                );
                (!home.is_empty() && Some(home) != name, message)
            }
            (What::Remove, None, Some(present)) => {
                let message = format!(
                    "this tenant's rules stand in {}, and its manifest asks for a shared one: write vdom: Dedicated, or \
                     remove its firewall first",
                    present.identity
                );
                (home == Some(present.identity.as_str()) && !gone(&zone.key), message)
            }
            _ => return None,
        };
        is_elsewhere.then(|| Refusal {
            resource: own.id.clone(),
            field: "spec.firewall.vdom".to_owned(),
            reason: RefusalReason::Immutable,
            message,
        })
    }

    fn object(&self, difference: &Difference) -> Result<Vec<Step>, Vec<Refusal>> {
        let missing = self.missing(difference);
        if !missing.is_empty() {
            return Err(missing);
        }
        match (&difference.what, &difference.desired, &difference.present) {
            (What::Missing, Some(desired), _) => match self.stands_already(desired) {
                Some(steps) => steps.map_err(|refusal| vec![*refusal]),
                None => Ok(vec![self.create(desired)]),
            },
            (What::Changed(changes), Some(_), Some(present)) => {
                Ok(vec![self.set(&difference.id, changes, present)])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// What it names and is not there.
    fn missing(&self, difference: &Difference) -> Vec<Refusal> {
        let desired = difference.desired.iter();
        desired.flat_map(|desired| offered::missing(desired, self.seen, &self.own)).collect()
    }

    /// What becomes of a thing that is missing where something stands that is to be taken over, or is in its place.
    fn stands_already(&self, desired: &Resource) -> Option<Result<Vec<Step>, Box<Refusal>>> {
        if let Some(word) = &desired.permits.adopt {
            return Some(self.adopt(desired, word));
        }
        self.stranger(desired).map(|stranger| Err(Box::new(adopt::in_the_way(desired, stranger))))
    }

    fn create(&self, desired: &Resource) -> Step {
        let summary = format!("make {} {}", label(&desired.id), desired.id.key.name);
        let vdom = desired.fields.get(VDOM).and_then(Value::as_known);
        let mut step = self.step(&desired.id, vdom, operation::CREATE, Class::Create, summary);
        step.fields.clone_from(&desired.fields);
        step.after.clone_from(&desired.after);
        if desired.id.key.kind.as_str() == VIRTUAL_FIREWALL {
            step.uses.insert(VIRTUAL_FIREWALLS.to_owned(), 1);
        }
        step
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
        // The ends go with their link.
        let present = difference.present.as_ref().filter(|_| difference.id.key.kind.as_str() != LINK_END)?;
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
        let vdom_name = vdom.and_then(Json::as_str).unwrap_or_default();
        let batch = batched.then(|| format!("{batch} in {vdom_name}"));
        let mut step = Step { summary, batch, ..Step::new(id, operation, class, self.now) };
        step.expects.extend(vdom.map(|vdom| (VDOM.to_owned(), vdom.clone())));
        step
    }

    /// All rules of the tenant; whether all that they name is there. While one of them is yet to be taken over or named, or
    /// has something in its way, the others wait: half a rule set is never in force.
    fn rules(&self, differences: &[&Difference], proposal: &mut Proposal) -> bool {
        let missing: Vec<Refusal> = differences.iter().flat_map(|it| self.missing(it)).collect();
        let whole = missing.is_empty();
        proposal.refusals.extend(missing);
        let mut first: Option<&ResourceId> = None;
        // What stands already and is not ours has no part in the order yet.
        let mut aside: BTreeSet<&str> = BTreeSet::new();
        let mut others: Vec<Cow<'_, Difference>> = Vec::new();
        for difference in differences.iter().copied() {
            let stands = match (&difference.what, &difference.desired) {
                (What::Missing, Some(desired)) if is_policy(difference) => self.stands_already(desired),
                _ => None,
            };
            if let Some(outcome) = stands {
                aside.insert(&difference.id.key.name);
                match outcome {
                    Ok(steps) => proposal.steps.extend(steps),
                    Err(refusal) => proposal.refusals.push(*refusal),
                }
            } else if let Some((step, rest)) = self.named_first(difference) {
                proposal.steps.push(step);
                others.extend(rest.map(Cow::Owned));
            } else {
                others.push(Cow::Borrowed(difference));
                continue;
            }
            first.get_or_insert(&difference.id);
        }
        let held = |step: Step| match first {
            Some(first) => Step { blocked: Some(Wait::After(first.clone())), ..step },
            None => step,
        };
        let others: Vec<&Difference> = others.iter().map(AsRef::as_ref).collect();
        // What passes the host's virtual firewall is judged in the tenant's own as well, so neither need go first.
        let (transit, own): (Vec<&Difference>, Vec<&Difference>) =
            others.into_iter().partition(|it| is_transit(it));
        for (name, others) in [("policies", own), ("transit", transit)] {
            let steps = self.policies(name, &others, &aside, whole);
            proposal.steps.extend(steps.into_iter().map(held));
        }
        whole
    }

    /// Where rules are replaced one by one, a policy first gets one of our names: while its successor stands above it,
    /// both have its mark, and one of another name would be a copy that somebody made. Gives what else differs as well.
    fn named_first(&self, difference: &Difference) -> Option<(Step, Option<Difference>)> {
        if !is_policy(difference) || self.has_transactions() {
            return None;
        }
        let What::Changed(changes) = &difference.what else { return None };
        let (name, rest): (Vec<FieldChange>, Vec<FieldChange>) =
            changes.iter().cloned().partition(|change| change.field == NAME);
        if name.is_empty() {
            return None;
        }
        let mut step = self.set(&difference.id, &name, difference.present.as_ref()?);
        step.batch = None;
        let rest = (!rest.is_empty()).then(|| Difference { what: What::Changed(rest), ..difference.clone() });
        Some((step, rest))
    }

    /// All policies of one order of the tenant but those `aside` as one: content, order, what comes and what goes, where all
    /// of it can be done.
    fn policies(
        &self,
        order: &str,
        differences: &[&Difference],
        aside: &BTreeSet<&str>,
        whole: bool,
    ) -> Vec<Step> {
        let Some(first) = differences.first() else { return Vec::new() };
        let (tenant, provider) = (&first.id.tenant, &first.id.provider);
        let order_id = ResourceId::new(tenant, provider, ResourceKey::new(ORDER, order));
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
            .filter(|key| !aside.contains(*key))
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
            anchored: vdom.is_none_or(|vdom| vdom == self.settings.vdom.as_str()),
            by_key,
            ids: ids(&there),
            names: self.names(tenant),
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
    fn names(&self, tenant: &TenantName) -> BTreeSet<String> {
        let policies = self.seen.presents(tenant).filter(|(key, _)| key.kind.as_str() == POLICY);
        policies.filter_map(|(_, it)| it.outputs.get(NAME)?.as_str().map(str::to_owned)).collect()
    }
}

/// What the writes of an order are made steps with.
struct Rules<'a> {
    maker: &'a Maker<'a>,
    tenant: &'a TenantName,
    provider: &'a ProviderName,
    /// The virtual firewall in which they stand.
    vdom: Option<&'a Json>,
    /// Whether the host's anchor stands there.
    anchored: bool,
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
                let summary = format!("move rule {key} {}", self.place_text(place));
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
        let summary = format!("{word} rule {key} {}", self.place_text(place));
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
            Place::Above(ANCHOR) if !self.anchored => json!({"last": true}),
            Place::Above(ANCHOR) => json!({"above": "anchor"}),
            Place::Above(id) => json!({"above": id}),
            Place::Below(key) => json!({"below": key, "id": self.ids.get(key)}),
        }
    }

    fn place_text(&self, place: &Place) -> String {
        match place {
            Place::Above(ANCHOR) if !self.anchored => "as the first".to_owned(),
            Place::Above(ANCHOR) => "above the host's anchor".to_owned(),
            Place::Above(_) => "on top of the others".to_owned(),
            Place::Below(key) => format!("below {key}"),
        }
    }
}

/// Why a virtual firewall that is to go has to stay.
fn strangers(difference: &Difference) -> Option<Refusal> {
    let strangers = difference.present.as_ref()?.outputs.get(STRANGERS)?.as_array()?;
    let names: Vec<&str> = strangers.iter().filter_map(Json::as_str).collect();
    Some(Refusal {
        resource: difference.id.clone(),
        field: "spec.firewall.vdom".to_owned(),
        reason: RefusalReason::NotOurs,
        message: format!(
            "{} is to go, and what has no mark of ours would go with it: take out {}",
            difference.present.as_ref()?.identity,
            names.join(", ")
        ),
    })
}

/// What is to go, but for what another entry names for adoption: an entry that got another name takes nothing away.
fn unnamed<'a>(mut gone: Vec<&'a Difference>, others: &[&Difference]) -> Vec<&'a Difference> {
    fn adopts(it: &Difference) -> Option<&str> {
        it.desired.as_ref()?.permits.adopt.as_deref()
    }
    gone.retain(|gone| {
        let identity = gone.present.as_ref().map(|present| present.identity.as_str());
        let same = others.iter().filter(|it| it.id.key.kind == gone.id.key.kind && it.what == What::Missing);
        !same.filter_map(|it| adopts(it)).any(|word| Some(word) == identity)
    });
    gone
}

fn is_policy(difference: &Difference) -> bool {
    difference.id.key.kind.as_str() == POLICY
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
