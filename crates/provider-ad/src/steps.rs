//! The steps that close differences: what one side needs of the other is done by one step, which can be begun anew from wherever it
//! ended. Pure.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_core::difference::{Difference, FieldChange, What};
use vertskommune_core::directory::Signals;
use vertskommune_core::directory::health::{Channel, Looked, Which};
use vertskommune_core::domain::Proposal;
use vertskommune_core::names::ResourceId;
use vertskommune_core::observation::{Foreign, Observation, Present};
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Refusal, RefusalReason, Step, Wait};

use crate::schema::{OLDER, STALE, TRUST, field, side, stand};

/// What steps do; the words that stand in plans.
pub(crate) mod operation {
    /// Makes both sides, of which none is there.
    pub(crate) const CREATE: &str = "create";
    /// Makes both sides anew, of which at least one is there.
    pub(crate) const RENEW: &str = "renew";
    /// Takes what others made as ours.
    pub(crate) const ADOPT: &str = "adopt";
    /// Changes how authentication goes, in place.
    pub(crate) const SET: &str = "set";
    /// Has a forwarder made.
    pub(crate) const FORWARD: &str = "forward";
    /// Sets up a new secure channel.
    pub(crate) const HEAL: &str = "heal";
    /// Removes both sides.
    pub(crate) const REMOVE: &str = "remove";
}

/// When a channel was last healed, by tenant's side: no more often than every ten minutes.
pub(crate) type Healed<'a> = &'a dyn Fn(&ResourceId, &str) -> Option<Timestamp>;

/// The steps for these differences.
pub(crate) fn steps(
    differences: &[Difference],
    seen: &Observation,
    healed: Healed<'_>,
    now: Timestamp,
) -> Proposal {
    let mut proposal = Proposal::default();
    for difference in differences {
        let signals = seen.trusts.get(&difference.id.tenant).cloned().unwrap_or_default();
        let maker = Maker { id: &difference.id, signals: &signals, seen, healed, now };
        match (&difference.what, &difference.desired, &difference.present) {
            (What::Missing, Some(desired), _) => maker.missing(desired, &mut proposal),
            (What::Changed(changes), Some(desired), Some(present)) => {
                maker.changed(desired, present, changes, &mut proposal);
            }
            (What::Remove, _, Some(present)) => proposal.steps.extend(maker.remove(present)),
            _ => {}
        }
    }
    proposal
}

struct Maker<'a> {
    id: &'a ResourceId,
    signals: &'a Signals,
    seen: &'a Observation,
    healed: Healed<'a>,
    now: Timestamp,
}

/// The fields that tell what was tried.
const TRIED: [&str; 3] = [field::HOST_CHANNEL, field::TENANT_CHANNEL, field::HOST_FORWARDER];

/// How long is waited between two tries to heal a channel.
const HEALING: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

impl Maker<'_> {
    fn step(&self, operation: &str, class: Class, summary: String) -> Step {
        let blocked = match &self.signals.tenant.object {
            Looked::Blind(why) => Some(Wait::Unknown(why.clone())),
            _ => None,
        };
        Step { summary, blocked, ..Step::new(self.id, operation, class, self.now) }
    }

    /// Nothing of ours is there: it is made, or what others made is taken as ours.
    fn missing(&self, desired: &Resource, proposal: &mut Proposal) {
        let foreign: Vec<&Foreign> = self.seen.foreign.iter().filter(|it| self.is_here(it)).collect();
        let Some(first) = foreign.first() else {
            let summary = format!("{} with {}", what(desired), self.id.key.name);
            let mut step = self.make(operation::CREATE, Class::Create, summary, desired);
            step.expects.insert(field::HOST.to_owned(), json!(stand::ABSENT));
            if has_agent(desired) {
                step.expects.insert(field::TENANT.to_owned(), json!(stand::ABSENT));
            }
            proposal.steps.push(step);
            return;
        };
        let wanted = if has_agent(desired) { 2 } else { 1 };
        if self.belongs_to_another(desired, &foreign, proposal) {
            return;
        }
        if foreign.len() < wanted {
            let message = format!(
                "{} stands, and not its other side: it is none of ours, and only its own administrators can complete or remove it",
                first.path
            );
            proposal.refusals.push(self.refusal(desired, message));
            return;
        }
        self.adopt(desired, &first.present, &foreign, proposal);
    }

    fn is_here(&self, foreign: &Foreign) -> bool {
        foreign.tenant == self.id.tenant && foreign.kind.as_str() == TRUST
    }

    /// What another tenant's manifest asks for is never taken from it.
    fn belongs_to_another(&self, desired: &Resource, foreign: &[&Foreign], proposal: &mut Proposal) -> bool {
        let other = foreign.iter().find_map(|it| it.mark.as_ref().map(|mark| (it, mark)));
        let message = other.map(|(it, mark)| {
            format!(
                "{} belongs to {mark} and is left alone: one of the two has to give the domain up",
                it.path
            )
        });
        proposal.refusals.extend(message.map(|message| self.refusal(desired, message)));
        other.is_some()
    }

    /// Only what is equal is taken over; how authentication goes is changed afterwards, by a step of its own.
    fn adopt(&self, desired: &Resource, present: &Present, foreign: &[&Foreign], proposal: &mut Proposal) {
        if self.belongs_to_another(desired, foreign, proposal) {
            return;
        }
        if let Some(other) = foreign.iter().find(|it| self.partner_sid(&it.name) != Some(&it.identity)) {
            let message = format!(
                "{} stands for the SID {}, and {} domain has {}: settle which is the true one, and remove it by hand",
                other.path,
                other.identity,
                if other.name == side::HOST { "the tenant's" } else { "the host's" },
                self.partner_sid(&other.name).map_or("(none)", String::as_str),
            );
            proposal.refusals.push(self.refusal(desired, message));
            return;
        }
        let same = [field::DIRECTION, field::KIND, field::MIRRORED];
        let other = same.into_iter().find(|name| {
            let wanted = desired.fields.get(*name).and_then(Value::as_known);
            wanted.is_some() && wanted != present.fields.get(name)
        });
        if let Some(name) = other {
            let path = foreign.first().map_or("a trust", |it| it.path.as_str());
            let message = if name == field::MIRRORED {
                format!(
                    "{path} stands and is none of ours, and its sides do not mirror each other: have their administrators remove it"
                )
            } else {
                format!(
                    "{path} stands and is none of ours, with {name} {} where the manifest asks for {}: change the manifest, or have \
                     its administrators remove it",
                    text(present.fields.get(name)),
                    text(desired.fields.get(name).and_then(Value::as_known)),
                )
            };
            proposal.refusals.push(self.refusal(desired, message));
            return;
        }
        let sides: Vec<&str> = foreign.iter().map(|it| it.name.as_str()).collect();
        let summary =
            format!("adopt the trust with {} as it stands ({})", self.id.key.name, sides.join(" and "));
        let mut step = self.with_place(self.step(operation::ADOPT, Class::Adopt, summary), desired);
        step.fields.insert(field::SIDES.to_owned(), Value::known(json!(sides)));
        for name in same {
            if let Some(value) = desired.fields.get(name) {
                step.fields.insert(name.to_owned(), value.clone());
            }
        }
        expect(&mut step, present, [field::HOST, field::TENANT]);
        proposal.steps.push(step);
    }

    fn changed(
        &self,
        desired: &Resource,
        present: &Present,
        changes: &[FieldChange],
        proposal: &mut Proposal,
    ) {
        let has = |name: &str| changes.iter().any(|change| change.field == name);
        let is = |name: &str, word: &str| present.fields.get(name) == Some(&json!(word));
        if let Some(message) = self.with_another(present) {
            proposal.refusals.push(self.refusal(desired, message));
            return;
        }
        if is(field::HOST, stand::FOREIGN) || is(field::TENANT, stand::FOREIGN) {
            let foreign: Vec<&Foreign> = self.seen.foreign.iter().filter(|it| self.is_here(it)).collect();
            self.adopt(desired, present, &foreign, proposal);
            return;
        }
        // A trust with one side works for nobody, so that to make it anew harms nobody.
        if has(field::HOST) || has(field::TENANT) {
            let sides = if has_agent(desired) {
                " on both sides, of which one is not whole"
            } else {
                " which is not whole"
            };
            let summary = format!("{} with {}{sides}", what(desired), self.id.key.name);
            proposal.steps.push(self.renew(Class::Change, summary, desired, present, changes));
            return;
        }
        let broken = [&self.signals.host, &self.signals.tenant]
            .iter()
            .any(|end| end.channel == Some(Channel::WrongSecret));
        if has(field::SECRET) && is(field::SECRET, OLDER) && broken {
            let summary = format!(
                "a new secret for the trust with {}, whose sides have different ones",
                self.id.key.name
            );
            proposal.steps.push(self.renew(Class::Change, summary, desired, present, changes));
            return;
        }
        let (mut anew, mut set) = (Vec::new(), Vec::new());
        for change in changes {
            let host = [field::HOST_SELECTIVE, field::HOST_FILTERS].contains(&change.field.as_str());
            let tenant = [field::TENANT_SELECTIVE, field::TENANT_FILTERS].contains(&change.field.as_str());
            match change.field.as_str() {
                field::DIRECTION | field::KIND | field::MIRRORED | field::SECRET => anew.push(change),
                _ if host && self.signals.host.can.sets => set.push((side::HOST, change)),
                _ if tenant && self.signals.tenant.can.sets => set.push((side::TENANT, change)),
                _ if host || tenant => anew.push(change),
                _ => {}
            }
        }
        if !anew.is_empty() {
            let (sides, until) = if has_agent(desired) {
                ("on both sides", "for some seconds")
            } else {
                ("on the host's side", "until its administrators have made theirs anew")
            };
            let summary = format!(
                "removed and made anew {sides}, for {}: users of the other side are locked out {until}",
                sentence(&anew)
            );
            proposal.steps.push(self.renew(Class::Restart, summary, desired, present, changes));
            return;
        }
        for of in [side::HOST, side::TENANT] {
            let here: Vec<&FieldChange> =
                set.iter().filter(|(it, _)| *it == of).map(|(_, change)| *change).collect();
            if !here.is_empty() {
                let summary = format!("{} on {}", sentence(&here), whose(of));
                let mut step = self.with_place(self.step(operation::SET, Class::Change, summary), desired);
                step.fields.insert(field::SIDES.to_owned(), Value::known(json!([of])));
                copy_ways(desired, &mut step);
                expect(&mut step, present, here.iter().map(|change| change.field.as_str()));
                proposal.steps.push(step);
            }
        }
        if has(field::HOST_FORWARDER) {
            let summary = format!("forward the names of {} in the host's DNS", self.id.key.name);
            let mut step = self.with_place(self.step(operation::FORWARD, Class::Change, summary), desired);
            step.fields.insert(field::SIDES.to_owned(), Value::known(json!([side::HOST])));
            expect(&mut step, present, []);
            proposal.steps.push(step);
        }
        for (of, name) in [(side::HOST, field::HOST_CHANNEL), (side::TENANT, field::TENANT_CHANNEL)] {
            if has(name) && is(name, STALE) {
                proposal.steps.push(self.heal(of, name, desired, present));
            }
        }
    }

    fn heal(&self, of: &str, name: &str, desired: &Resource, present: &Present) -> Step {
        let summary =
            format!("a new secure channel on {}, whose present one is of a trust before", whose(of));
        let mut step = self.with_place(self.step(operation::HEAL, Class::Change, summary), desired);
        step.fields.insert(field::SIDES.to_owned(), Value::known(json!([of])));
        step.fields.insert(name.to_owned(), Value::known(json!(crate::schema::WELL)));
        expect(&mut step, present, []);
        let until = (self.healed)(self.id, of).and_then(|at| at.checked_add(HEALING).ok());
        if let Some(until) = until.filter(|until| self.now < *until) {
            let error = "the channel is still that of a trust before".to_owned();
            step.blocked = step.blocked.or(Some(Wait::Backoff { until, error }));
        }
        step
    }

    /// A trust that the manifest names no more is left as it stands, for whoever looks after it now. One whose tenant leaves, and is
    /// to leave nothing, still has a manifest that says where its other side is.
    fn remove(&self, present: &Present) -> Option<Step> {
        let named = present.fields.get(field::NETBIOS).is_some();
        let is_manual = present.fields.get(field::TENANT) == Some(&json!(stand::MANUAL));
        let sides = match &self.signals.tenant.object {
            _ if is_manual => "on the host's side; the other is its administrators'",
            Looked::Blind(_) => {
                "on both sides; should the other never answer again, partnerSide.mode Manual has the host's alone removed"
            }
            _ => "on both sides",
        };
        let summary = format!("remove the trust with {} {sides}", self.id.key.name);
        let mut step = self.step(operation::REMOVE, Class::Remove, summary);
        for name in [field::DOMAIN, field::NETBIOS, field::ENDPOINT, field::IDENTITY, field::PARTNER_SECRET] {
            if let Some(value) = present.fields.get(name) {
                step.fields.insert(name.to_owned(), Value::Known(value.clone()));
            }
        }
        expect(&mut step, present, [field::HOST, field::TENANT]);
        if let Some(sid) = self.standing_sid() {
            step.fields.insert(field::SID.to_owned(), Value::known(json!(sid)));
        }
        let sides: Vec<&str> = [(side::HOST, field::HOST), (side::TENANT, field::TENANT)]
            .into_iter()
            .filter(|(_, name)| {
                [stand::WHOLE, stand::HALF].iter().any(|word| present.fields.get(name) == Some(&json!(word)))
            })
            .map(|(of, _)| of)
            .collect();
        step.fields.insert(field::SIDES.to_owned(), Value::known(json!(sides)));
        named.then_some(step)
    }

    /// That our trust is with another domain than the one that answers, where it is.
    fn with_another(&self, present: &Present) -> Option<String> {
        let sides = [
            (side::HOST, &self.signals.host, field::HOST, "", "that domain"),
            (
                side::TENANT,
                &self.signals.tenant,
                field::TENANT,
                ", on the tenant's side,",
                "the host's domain",
            ),
        ];
        sides.into_iter().find_map(|(of, end, name, whose, partner)| {
            let stands = &end.object.present()?.sid;
            let tells = self.partner_sid(of).filter(|tells| *tells != stands)?;
            let is_ours = present.fields.get(name) != Some(&json!(stand::FOREIGN));
            is_ours.then(|| {
                format!(
                    "our trust with {}{whose} stands for the SID {stands}, and {partner} has {tells}: it was made anew, or another \
                     answers; remove the trust by hand when that is settled",
                    self.id.key.name
                )
            })
        })
    }

    /// The SID of the domain that a side's trust is to be with.
    fn partner_sid(&self, of: &str) -> Option<&String> {
        if of == side::HOST { self.signals.sid.as_ref() } else { self.signals.host_sid.as_ref() }
    }

    /// The SID that our trust stands for, so that it is removed though another domain answers by now.
    fn standing_sid(&self) -> Option<String> {
        let stands = self.signals.host.object.present().map(|object| object.sid.clone());
        stands.filter(|sid| !sid.is_empty()).or_else(|| self.signals.sid.clone())
    }

    fn renew(
        &self,
        class: Class,
        summary: String,
        desired: &Resource,
        present: &Present,
        changes: &[FieldChange],
    ) -> Step {
        let mut step = self.make(operation::RENEW, class, summary, desired);
        expect(&mut step, present, changes.iter().map(|change| change.field.as_str()));
        step
    }

    /// A step that makes both sides.
    fn make(&self, operation: &str, class: Class, summary: String, desired: &Resource) -> Step {
        let mut step = self.with_place(self.step(operation, class, summary), desired);
        for name in [field::HOST, field::TENANT, field::DIRECTION, field::KIND] {
            if let Some(value) = desired.fields.get(name) {
                step.fields.insert(name.to_owned(), value.clone());
            }
        }
        copy_ways(desired, &mut step);
        let ends = [
            (side::HOST, &self.signals.host, field::HOST_FORWARDER),
            (side::TENANT, &self.signals.tenant, field::TENANT_FORWARDER),
        ];
        let orphans: Vec<&str> =
            ends.iter().filter(|(_, end, _)| end.has_orphan).map(|(of, ..)| *of).collect();
        if !orphans.is_empty() {
            let left = orphans.iter().map(|of| whose(of)).collect::<Vec<_>>().join(" and ");
            step.summary = format!("{}; the account that a deleted trust left on {left} goes", step.summary);
            step.fields.insert(field::ORPHANS.to_owned(), Value::known(json!(orphans)));
        }
        for (_, end, name) in ends {
            if end.can.forwards {
                step.fields.insert(name.to_owned(), Value::known(json!(true)));
            }
        }
        step
    }

    /// The step, with who is on the other side and where.
    fn with_place(&self, mut step: Step, desired: &Resource) -> Step {
        for name in [
            field::DOMAIN,
            field::NETBIOS,
            field::DNS,
            field::ENDPOINT,
            field::IDENTITY,
            field::PARTNER_SECRET,
        ] {
            if let Some(value) = desired.fields.get(name) {
                step.fields.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(sid) = &self.signals.sid {
            step.fields.insert(field::SID.to_owned(), Value::known(json!(sid)));
        }
        step
    }

    fn refusal(&self, desired: &Resource, message: String) -> Refusal {
        Refusal {
            resource: self.id.clone(),
            field: desired.origin.clone(),
            reason: RefusalReason::NotOurs,
            message,
        }
    }
}

/// The trust in words, such as `forest trust, bidirectional,`.
fn what(desired: &Resource) -> String {
    let word = |name: &str| text(desired.fields.get(name).and_then(Value::as_known));
    let kind = word(field::KIND).to_lowercase();
    let direction = word(field::DIRECTION);
    let sides = if has_agent(desired) { "" } else { ", on the host's side" };
    format!("{kind} trust, {direction}{sides},")
}

/// Whether an agent of ours makes the tenant's side.
fn has_agent(desired: &Resource) -> bool {
    desired.fields.contains_key(field::TENANT)
}

/// How the ways go, which is written with a side that is made.
fn copy_ways(desired: &Resource, step: &mut Step) {
    for name in [field::HOST_SELECTIVE, field::HOST_FILTERS, field::TENANT_SELECTIVE, field::TENANT_FILTERS] {
        if let Some(value) = desired.fields.get(name) {
            step.fields.insert(name.to_owned(), value.clone());
        }
    }
}

/// The step expects what it makes sure of, and these fields, as they are. What was tried was some time ago, and may well be otherwise by
/// now.
fn expect<'a>(step: &mut Step, present: &Present, changed: impl IntoIterator<Item = &'a str>) {
    let stands = step.fields.keys().filter(|name| present.fields.get(name).is_some()).cloned();
    let names: Vec<String> = stands.chain(changed.into_iter().map(ToOwned::to_owned)).collect();
    for name in names.into_iter().filter(|name| !TRIED.contains(&name.as_str())) {
        let value = present.fields.get(&name).cloned().unwrap_or(Json::Null);
        step.expects.insert(name, value);
    }
}

fn whose(of: &str) -> &'static str {
    if of == side::HOST { "the host's side" } else { "the tenant's side" }
}

/// The side of that word.
pub(crate) fn which(of: &str) -> Which {
    if of == side::HOST { Which::Host } else { Which::Tenant }
}

/// Changes in words, such as `direction outbound → bidirectional`.
fn sentence(changes: &[&FieldChange]) -> String {
    let words = changes.iter().map(|change| match change.field.as_str() {
        field::MIRRORED => "sides that do not mirror each other".to_owned(),
        field::SECRET => "a new secret".to_owned(),
        name => format!("{name} {} → {}", text(change.from.as_ref()), text(change.to.as_known())),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn text(value: Option<&Json>) -> String {
    match value {
        Some(Json::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "(none)".to_owned(),
    }
}

#[cfg(test)]
mod tests;
