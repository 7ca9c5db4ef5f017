//! What another manifest would change in a tenant's firewall: both firewalls as resources on paper, compared by the same
//! code that plans. No endpoint has a part in it, and no plugin's own terms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_core::difference::{Difference, What};
use vertskommune_core::domain::{Domain, Inputs, Proposal};
use vertskommune_core::facts::Facts;
use vertskommune_core::firewall::{
    AddressKind, Firewall, Group, Log, Peer, Peers, Rule, Schedule, Service, Side,
};
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey};
use vertskommune_core::observation::{Observation, Present, Seen, Things};
use vertskommune_core::plan::{Basis, plan};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::{Change, Comparison, Concern, FieldRule, KindRules, Schema, Surplus};
use vertskommune_core::step::{Class, Step};
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::violation::Violation;

const RULE: &str = "rule";
const ORDER: &str = "order";

/// Lists of which the order means nothing.
const UNORDERED: [&str; 7] = ["days", "from", "members", "services", "tcp", "to", "udp"];

/// What comes, goes and changes, objects first and rules in their order; what goes stands at the end. `after` is the
/// tenant with its other firewall. What is published and routed is the tenant's own, and the same in both.
pub(crate) fn forecast(before: &ValidatedTenant, after: &ValidatedTenant) -> Vec<Step> {
    let Some(new) = &after.firewall else { return Vec::new() };
    let old = before.firewall.as_ref();
    let (mut things, mut wanted) = (old.map(things).unwrap_or_default(), self::things(new));
    if let Some((was, is)) = moved(&things, &wanted) {
        things.push(was);
        wanted.push(is);
    }
    let paper = Paper::new(&new.provider, &things, &wanted);
    let id = |thing: &Thing| ResourceId::new(&after.name, &new.provider, thing.key.clone());
    let mut observation = Observation::empty(&new.provider);
    let seen: Things = things.iter().map(|thing| (thing.key.clone(), thing.seen())).collect();
    observation.seen.insert(after.name.clone(), seen);
    let desired = resources(&wanted, &id);
    let planned = plan(&Basis {
        // Nothing here depends on a time.
        now: Timestamp::UNIX_EPOCH,
        tenant: after,
        leaving: false,
        desired: &BTreeMap::from([(new.provider.clone(), desired)]),
        hosts: &BTreeMap::new(),
        domains: &BTreeMap::from([(new.provider.clone(), &paper as &dyn Domain)]),
        observations: &BTreeMap::from([(new.provider.clone(), Arc::new(observation))]),
        findings: &[],
        retries: &BTreeMap::new(),
        halted: None,
    });
    planned.steps.into_iter().map(|planned| planned.step).collect()
}

/// The resources, each of which stands on the one before it where the order counts.
fn resources(wanted: &[Thing], id: &dyn Fn(&Thing) -> ResourceId) -> Vec<Resource> {
    let is_object = |thing: &&Thing| thing.key.kind.as_str() != RULE;
    let mut above: BTreeSet<ResourceId> = wanted.iter().filter(is_object).map(id).collect();
    let mut made = Vec::new();
    for thing in wanted {
        let mut resource = Resource::new(id(thing), &*thing.origin);
        for (field, value) in &thing.fields {
            resource = resource.with(field, value.clone());
        }
        if thing.key.kind.as_str() == RULE {
            resource.after = std::mem::replace(&mut above, BTreeSet::from([resource.id.clone()]));
        }
        made.push(resource);
    }
    made
}

/// Something of a firewall, free of where it stands.
struct Thing {
    key: ResourceKey,
    origin: String,
    fields: Facts,
    /// What it is, in a few words.
    says: String,
}

impl Thing {
    fn new(kind: &str, name: &str, origin: &str, says: String) -> Self {
        Self { key: ResourceKey::new(kind, name), origin: origin.to_owned(), fields: Facts::new(), says }
    }

    /// The order of rules that stand in another one before and after.
    fn order(sequence: &[String]) -> Self {
        Self::new(ORDER, "rules", "spec.firewall.ruleSets", String::new()).with("sequence", json!(sequence))
    }

    fn with(mut self, field: &str, value: impl Into<Json>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    fn with_some(self, field: &str, value: Option<&String>) -> Self {
        match value {
            Some(value) if !value.is_empty() => self.with(field, value.as_str()),
            _ => self,
        }
    }

    fn seen(&self) -> Seen {
        let (fields, applied) = (self.fields.clone(), self.fields.clone());
        Seen::Present(Arc::new(Present { fields, applied, ..Present::default() }))
    }
}

fn things(firewall: &Firewall) -> Vec<Thing> {
    let addresses = firewall.addresses.iter().map(|address| {
        let what = match &address.what {
            AddressKind::Network(net) => net.to_string(),
            AddressKind::Range(first, last) => format!("{first}-{last}"),
            AddressKind::Fqdn(name) => name.clone(),
        };
        let thing = Thing::new("address", &address.name, &address.written.origin, what.clone());
        thing.with("address", what).with_some("comment", Some(&address.written.comment))
    });
    let groups = firewall.address_groups.iter().map(|it| group("address-group", it));
    let services = firewall.services.iter().map(service);
    let service_groups = firewall.service_groups.iter().map(|it| group("service-group", it));
    let schedules = firewall.schedules.iter().map(schedule);
    let objects = addresses.chain(groups).chain(services).chain(service_groups).chain(schedules);
    objects.chain(firewall.rules.iter().map(rule)).collect()
}

fn group(kind: &str, group: &Group) -> Thing {
    Thing::new(kind, &group.name, &group.written.origin, group.members.join(", "))
        .with("members", group.members.clone())
        .with_some("comment", Some(&group.written.comment))
}

fn service(service: &Service) -> Thing {
    let ports = |ports: &[RangeInclusive<u16>]| -> Vec<String> { ports.iter().map(range).collect() };
    let (tcp, udp) = (ports(&service.tcp), ports(&service.udp));
    let says = [("tcp", &tcp), ("udp", &udp)].into_iter().filter(|(_, ports)| !ports.is_empty());
    let says: Vec<_> = says.map(|(protocol, ports)| format!("{protocol} {}", ports.join(", "))).collect();
    Thing::new("service", &service.name, &service.written.origin, says.join("; "))
        .with("tcp", tcp)
        .with("udp", udp)
        .with_some("comment", Some(&service.written.comment))
}

fn range(ports: &RangeInclusive<u16>) -> String {
    if ports.start() == ports.end() {
        ports.start().to_string()
    } else {
        format!("{}-{}", ports.start(), ports.end())
    }
}

fn schedule(schedule: &Schedule) -> Thing {
    let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let days: Vec<_> = schedule.days.iter().map(|day| format!("{day:?}")).collect();
    let (start, end) = (time(schedule.start), time(schedule.end));
    let says = format!("{} {start}-{end}", days.join(", "));
    Thing::new("schedule", &schedule.name, &schedule.written.origin, says)
        .with("days", days)
        .with("start", start)
        .with("end", end)
}

fn rule(rule: &Rule) -> Thing {
    let (from, to) = (peers(&rule.from), peers(&rule.to));
    let (action, log) = (word(&rule.action), word(&rule.log));
    let mut says =
        format!("{} to {}: {}, {action}", from.join(", "), to.join(", "), rule.services.join(", "));
    if let Some(schedule) = &rule.schedule {
        says = format!("{says} during {schedule}");
    }
    let logged = rule.log != Log::default();
    for (is, words) in [(rule.nat, "NAT"), (logged, &*format!("log {log}")), (!rule.enabled, "switched off")]
    {
        says = if is { format!("{says}, {words}") } else { says };
    }
    let profiles = &rule.profiles;
    let named = [
        ("profiles.antivirus", &profiles.antivirus),
        ("profiles.ips", &profiles.ips),
        ("profiles.webFilter", &profiles.web_filter),
        ("profiles.applicationControl", &profiles.application_control),
        ("profiles.sslInspection", &profiles.ssl_inspection),
    ];
    let inspected: Vec<_> = named.iter().filter_map(|(_, name)| name.as_deref()).collect();
    if !inspected.is_empty() {
        says = format!("{says}, inspected by {}", inspected.join(", "));
    }
    let thing = Thing::new(RULE, &rule.id, &rule.written.origin, says)
        .with("from", from)
        .with("to", to)
        .with("services", rule.services.clone())
        .with("action", action)
        .with("log", log)
        .with("nat", rule.nat)
        .with("enabled", rule.enabled)
        .with_some("schedule", rule.schedule.as_ref())
        .with_some("comment", Some(&rule.written.comment));
    named.into_iter().fold(thing, |thing, (field, name)| thing.with_some(field, name.as_ref()))
}

/// A word of a manifest, which writes it in lower case.
fn word(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

/// Peers as a manifest writes them.
fn peers(peers: &Peers) -> Vec<String> {
    let one = |peer: &Peer| match (peer, &peers.side) {
        (Peer::Any, Side::Internet) => "internet".to_owned(),
        (Peer::Any, Side::Host(place)) => format!("host:{place}"),
        (Peer::Any, Side::Tenant) => "any".to_owned(),
        (Peer::Host(object), Side::Host(place)) => format!("host:{place}/{object}"),
        (
            Peer::Network(name)
            | Peer::Server(name)
            | Peer::Address(name)
            | Peer::Group(name)
            | Peer::Published(name)
            | Peer::Host(name),
            _,
        ) => name.clone(),
    };
    peers.members.iter().map(one).collect()
}

fn rule_names(things: &[Thing]) -> Vec<&str> {
    let rules = things.iter().filter(|thing| thing.key.kind.as_str() == RULE);
    rules.map(|rule| rule.key.name.as_str()).collect()
}

/// Of the rules that stand in both, the stretch in which their order differs, as it was and as it is.
fn moved(before: &[Thing], after: &[Thing]) -> Option<(Thing, Thing)> {
    let (before, after) = (rule_names(before), rule_names(after));
    let both = |list: &[&str], other: &[&str]| -> Vec<String> {
        list.iter().filter(|name| other.contains(name)).map(ToString::to_string).collect()
    };
    let (was, is) = (both(&before, &after), both(&after, &before));
    let differs = |(was, is): (&String, &String)| was != is;
    let first = was.iter().zip(&is).position(differs)?;
    let last = was.iter().zip(&is).rposition(differs)?;
    Some((Thing::order(&was[first..=last]), Thing::order(&is[first..=last])))
}

/// A firewall of which only the description is there.
struct Paper {
    name: ProviderName,
    schema: Schema,
    /// What each thing says, and where it stands among the rules that were there.
    before: BTreeMap<ResourceKey, (usize, String)>,
    /// That each thing comes: a rule after which other one, and what it says.
    after: BTreeMap<ResourceKey, String>,
}

impl Paper {
    fn new(name: &ProviderName, before: &[Thing], after: &[Thing]) -> Self {
        let rule = |field: &str| FieldRule::new(field, Change::Mutable).surplus(Surplus::Take);
        let unordered = UNORDERED.map(|field| rule(field).compared(Comparison::Unordered));
        let fields: Vec<_> = unordered.into_iter().chain([rule("*"), rule("profiles.*")]).collect();
        let kinds = before.iter().chain(after).map(|thing| thing.key.kind.clone());
        let rules = KindRules { fields, ..KindRules::default() };
        let kinds = kinds.map(|kind| (kind, rules.clone())).collect();
        let mut above: Option<&str> = None;
        let mut told = BTreeMap::new();
        for thing in after {
            let mut place = String::new();
            if thing.key.kind.as_str() == RULE {
                place = above
                    .replace(&thing.key.name)
                    .map_or_else(|| " first".to_owned(), |rule| format!(" after {rule}"));
            }
            told.insert(thing.key.clone(), format!("comes{place}: {}", thing.says));
        }
        Self {
            name: name.clone(),
            schema: Schema { concern: Concern::Firewall, kinds },
            before: before
                .iter()
                .enumerate()
                .map(|(at, thing)| (thing.key.clone(), (at, thing.says.clone())))
                .collect(),
            after: told,
        }
    }

    fn step(&self, difference: &Difference, now: Timestamp) -> Step {
        let key = &difference.id.key;
        let step = |class: Class, summary: String| {
            let mut step = Step::new(&difference.id, &class.to_string(), class, now);
            step.summary = summary;
            step
        };
        match (&difference.what, &difference.desired) {
            (What::Changed(changes), _) => {
                let mut step =
                    step(Class::Change, format!("changes {}", list(changes.iter().map(|it| &it.field))));
                for change in changes {
                    step.fields.insert(change.field.clone(), change.to.clone());
                    step.expects.insert(change.field.clone(), change.from.clone().unwrap_or_default());
                }
                step
            }
            (_, Some(desired)) => {
                let mut step = step(Class::Create, self.after.get(key).cloned().unwrap_or_default());
                step.fields.clone_from(&desired.fields);
                step
            }
            (_, None) => {
                let says = self.before.get(key).map(|(_, says)| says.as_str()).unwrap_or_default();
                let mut step = step(Class::Remove, format!("goes: {says}"));
                step.expects =
                    difference.present.as_ref().map(|present| present.fields.clone()).unwrap_or_default();
                step
            }
        }
    }
}

fn list(words: impl Iterator<Item = impl Display>) -> String {
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(", ")
}

impl Domain for Paper {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What is wanted is known already.
    fn expand(&self, _: &Inputs) -> Result<Vec<Resource>, Vec<Violation>> {
        Ok(Vec::new())
    }

    fn steps(&self, differences: &[Difference], _: &Observation, now: Timestamp) -> Proposal {
        let mut differences: Vec<_> = differences.iter().collect();
        differences.sort_by_key(|it| self.before.get(&it.id.key).map(|(at, _)| *at));
        Proposal {
            steps: differences.into_iter().map(|it| self.step(it, now)).collect(),
            ..Proposal::default()
        }
    }
}

#[cfg(test)]
mod tests;
