//! What a tenant waits for and what would help: one block for each hindrance, from what its status and those of its
//! HostProviders say. Nothing is looked at here, so it costs the real systems nothing and needs no rights there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use vertskommune_core::reason::{About, Reason, Who};
use vertskommune_core::render::{Colour, heading};

use crate::age::age;
use crate::conditions::{
    BACKUP_READY, DIRECTORY_READY, FIREWALL_READY, PROTECTED, READY, RECONCILING, SERVERS_READY, STALLED,
    find,
};
use crate::tenant::{ServerBackupStatus, StepStatus, WaitingStatus};
use crate::{HostProvider, Tenant};

/// Something that hinders a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hindrance {
    /// Where it was told, such as `Ready`, `HostProvider/vcenter-main` or a step.
    pub what: String,
    /// Why, as a CamelCase word.
    pub reason: String,
    /// Since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The same for people.
    pub message: String,
    /// What would help.
    pub help: String,
    /// Whether nothing goes on until a person does something.
    pub needs_person: bool,
}

/// Who asks: what an advice needs besides the objects.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// How the program is called, such as `kubectl vertskommune`.
    pub program: &'a str,
    /// The namespace of the controller.
    pub namespace: &'a str,
}

/// The most steps that are listed for one reason.
const MAX_STEPS: usize = 5;

/// All that hinders a tenant; what needs a person first. What only follows from something else is told where nothing
/// else is.
pub fn why(tenant: &Tenant, hosts: &[HostProvider], asker: Asker<'_>) -> Vec<Hindrance> {
    let mut told = Told { tenant, hosts, asker, found: Vec::new() };
    told.manifest();
    told.providers();
    told.steps();
    told.conditions();
    told.directory();
    told.backups();
    told.finish()
}

/// What was found so far.
struct Told<'a> {
    tenant: &'a Tenant,
    hosts: &'a [HostProvider],
    asker: Asker<'a>,
    found: Vec<(Who, Hindrance)>,
}

/// What an advice is about, besides the tenant.
#[derive(Clone, Copy, Default)]
struct Names<'a> {
    provider: Option<&'a str>,
    step: Option<&'a str>,
    thing: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn say(&mut self, what: &str, word: &str, since: Option<Timestamp>, message: &str, names: Names<'_>) {
        let tenant = self.tenant.metadata.name.as_deref().unwrap_or_default();
        let about = About {
            program: self.asker.program,
            namespace: self.asker.namespace,
            tenant,
            provider: names.provider,
            step: names.step,
            thing: names.thing,
        };
        let reason = Reason::of(word);
        let who = reason.map_or(Who::Person, Reason::who);
        let help = reason.map_or_else(
            || {
                "this program does not know that reason: see the message, or use the controller's version"
                    .to_owned()
            },
            |reason| reason.advice(&about),
        );
        if who == Who::Well {
            return;
        }
        self.found.push((
            who,
            Hindrance {
                what: what.to_owned(),
                reason: word.to_owned(),
                since,
                message: message.to_owned(),
                help,
                needs_person: who == Who::Person,
            },
        ));
    }

    fn is_told(&self, word: &str) -> bool {
        self.found.iter().any(|(_, hindrance)| hindrance.reason == word)
    }

    fn conditions_said(&self) -> &'a [Condition] {
        self.tenant.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    /// What the manifest itself tells, whoever has looked at it.
    fn manifest(&mut self) {
        let metadata = &self.tenant.metadata;
        if let Some(at) = &metadata.deletion_timestamp {
            let message = "the manifest is being deleted, and what spec.deletionPolicy says is being removed";
            self.say("metadata", Reason::Leaving.word(), Some(at.0), message, Names::default());
        }
        if self.tenant.spec.suspend {
            let since = find(self.conditions_said(), READY)
                .filter(|ready| ready.reason == Reason::Suspended.word())
                .map(|ready| ready.last_transition_time.0);
            let message = "spec.suspend is true: nothing is done for this tenant, and no backup is taken";
            self.say("spec.suspend", Reason::Suspended.word(), since, message, Names::default());
        }
        let answered = self.tenant.status.as_ref().and_then(|status| status.observed_generation);
        if self.conditions_said().is_empty() {
            let since = metadata.creation_timestamp.as_ref().map(|at| at.0);
            let message = "no controller has answered to this manifest yet";
            self.say("status", Reason::Pending.word(), since, message, Names::default());
        } else if answered != metadata.generation {
            let number = |generation: Option<i64>| generation.unwrap_or_default();
            let message = format!(
                "the status answers to generation {} of the manifest, which is at {} by now",
                number(answered),
                number(metadata.generation)
            );
            self.say("status", Reason::Pending.word(), None, &message, Names::default());
        }
    }

    /// What the endpoints say of themselves: it explains what is told of the tenant.
    fn providers(&mut self) {
        let providers: BTreeSet<&str> = self.tenant.spec.providers().collect();
        for name in providers {
            let names = Names { provider: Some(name), ..Names::default() };
            let what = format!("HostProvider/{name}");
            let Some(host) = self.host(name) else {
                let message = format!("there is no HostProvider {name}, which the manifest names");
                self.say(&what, Reason::UnknownProvider.word(), None, &message, names);
                continue;
            };
            let status = host.status.as_ref();
            let ready = status.and_then(|status| find(&status.conditions, READY));
            match ready {
                Some(ready) if ready.status != "True" => {
                    let since = Some(ready.last_transition_time.0);
                    self.say(&what, &ready.reason, since, &ready.message, names);
                }
                Some(_) => {}
                None => {
                    let message = "no controller has looked at it yet";
                    self.say(&what, Reason::NotYetObserved.word(), None, message, names);
                }
            }
        }
    }

    /// What steps wait for: one block for each reason, and one for each step that a person names.
    fn steps(&mut self) {
        let plan = self.tenant.status.as_ref().and_then(|status| status.plan.as_ref());
        let steps = plan.map(|plan| plan.steps.as_slice()).unwrap_or_default();
        let waiting: Vec<(&StepStatus, &WaitingStatus)> =
            steps.iter().filter_map(|step| Some((step, step.waiting.as_ref()?))).collect();
        // A dead endpoint has told why itself, and Ready tells what a manifest is refused for.
        let told: BTreeSet<String> =
            self.found.iter().map(|(_, hindrance)| hindrance.reason.clone()).collect();
        let is_told = |wait: &WaitingStatus| {
            let follows = wait.reason == Reason::Refused.word();
            follows || told.contains(&wait.reason)
        };
        let mut done: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (step, wait) in &waiting {
            let is_for_a_word =
                matches!(Reason::of(&wait.reason), Some(Reason::ApprovalNeeded | Reason::Retired));
            let is_named_alone = is_for_a_word && step.class == "destroy";
            // What comes after a destruction waits with it, and no word is said for it.
            if is_for_a_word && !is_named_alone {
                continue;
            }
            let group = (wait.reason.as_str(), if is_named_alone { step.id.as_str() } else { "" });
            if is_told(wait) || !done.insert(group) {
                continue;
            }
            let same: Vec<&StepStatus> = if is_named_alone {
                vec![*step]
            } else {
                waiting.iter().filter(|(_, it)| it.reason == wait.reason).map(|(step, _)| *step).collect()
            };
            let ready = find(self.conditions_said(), READY).filter(|ready| ready.reason == wait.reason);
            let since = ready.map(|ready| ready.last_transition_time.0);
            let names = Names {
                provider: self.provider_of(kind_of(step), &wait.reason),
                step: Some(&step.id),
                thing: name_of(step),
            };
            self.say(&steps_text(&same), &wait.reason, since, &wait.message, names);
        }
    }

    /// What the conditions say that nothing above did.
    fn conditions(&mut self) {
        let conditions = self.conditions_said();
        let told = [STALLED, RECONCILING, DIRECTORY_READY];
        let ours = conditions.iter().filter(|it| it.status != "True" && !told.contains(&it.type_.as_str()));
        for condition in ours {
            if self.is_told(&condition.reason) {
                continue;
            }
            let line = self.tenant.status.as_ref().and_then(|status| status.message.as_deref());
            // The condition counts what differs; the line names the first of it.
            let message = match Reason::of(&condition.reason) {
                Some(Reason::Drifted) => line.unwrap_or(&condition.message),
                _ => &condition.message,
            };
            let names = Names {
                provider: self.provider_of(concern_of(&condition.type_), &condition.reason),
                thing: thing_in(message),
                ..Names::default()
            };
            let since = Some(condition.last_transition_time.0);
            self.say(&condition.type_, &condition.reason, since, message, names);
        }
    }

    /// Each problem of the trust, or why it cannot be told.
    fn directory(&mut self) {
        let Some(condition) = find(self.conditions_said(), DIRECTORY_READY).filter(|it| it.status != "True")
        else {
            return;
        };
        let since = Some(condition.last_transition_time.0);
        let status = self.tenant.status.as_ref().and_then(|status| status.directory.as_ref());
        let names = Names { provider: self.provider_of("trust", &condition.reason), ..Names::default() };
        let problems = status.map(|status| status.problems.as_slice()).unwrap_or_default();
        if !problems.iter().any(|problem| problem.reason == condition.reason)
            && !self.is_told(&condition.reason)
        {
            self.say(DIRECTORY_READY, &condition.reason, since, &condition.message, names);
        }
        for problem in problems {
            self.say(DIRECTORY_READY, &problem.reason, since, &problem.message, names);
        }
    }

    /// What is wrong with single servers' backups, where Protected names something worse or says less of it.
    fn backups(&mut self) {
        let backup = self.tenant.status.as_ref().and_then(|status| status.backup.as_ref());
        let Some(protected) = find(self.conditions_said(), PROTECTED).filter(|it| it.status != "True") else {
            return;
        };
        let since = Some(protected.last_transition_time.0);
        let servers = backup.map(|backup| backup.servers.as_slice()).unwrap_or_default();
        let words = |server: &'a ServerBackupStatus| server.problem.iter().chain(&server.hindered_by);
        let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for server in servers {
            for word in words(server).filter(|word| !self.is_told(word)) {
                of.entry(word).or_default().push(&server.name);
            }
        }
        for (word, servers) in of {
            let message = format!("of {}: see Protected", servers.join(", "));
            let names = Names { thing: servers.first().copied(), ..Names::default() };
            self.say(PROTECTED, word, since, &message, names);
        }
    }

    fn host(&self, name: &str) -> Option<&'a HostProvider> {
        self.hosts.iter().find(|host| host.metadata.name.as_deref() == Some(name))
    }

    /// The endpoint that a reason is most likely about: the one that gives it itself, that of the kind, or the only one.
    fn provider_of(&self, kind: &str, word: &str) -> Option<&'a str> {
        let spec = &self.tenant.spec;
        let says = |name: &&str| {
            let status = self.host(name).and_then(|host| host.status.as_ref());
            status.and_then(|status| find(&status.conditions, READY)).is_some_and(|it| it.reason == word)
        };
        let of_kind = match kind {
            "server" => spec.compute.as_ref().map(|it| it.provider.as_str()),
            "policy" => spec.firewall.as_ref().map(|it| it.provider.as_str()),
            "backup" => spec.backup.as_ref().map(|it| it.provider.as_str()),
            "trust" => spec.directory.as_ref().map(|it| it.provider.as_str()),
            _ => None,
        };
        let named: BTreeSet<&str> = spec.providers().collect();
        let only = || named.iter().next().copied().filter(|_| named.len() == 1);
        of_kind.or_else(|| named.iter().copied().find(says)).or_else(only)
    }

    fn finish(self) -> Vec<Hindrance> {
        let mut found = self.found;
        let is_explained = found.iter().any(|(who, _)| *who != Who::Other);
        found.retain(|(who, _)| *who != Who::Other || !is_explained);
        found.sort_by_key(|(who, _)| *who);
        let mut hindrances: Vec<Hindrance> = Vec::new();
        for (_, hindrance) in found {
            if !hindrances.contains(&hindrance) {
                hindrances.push(hindrance);
            }
        }
        hindrances
    }
}

/// The kind that a condition is about, in the words of steps.
fn concern_of(condition: &str) -> &'static str {
    match condition {
        SERVERS_READY => "server",
        FIREWALL_READY => "policy",
        BACKUP_READY | PROTECTED => "backup",
        _ => "",
    }
}

/// The kind of what a step changes: its summary begins with `kind/name: `.
fn kind_of(step: &StepStatus) -> &str {
    step.summary.split('/').next().unwrap_or_default()
}

fn name_of(step: &StepStatus) -> Option<&str> {
    thing_in(&step.summary)
}

/// The name of the first `server/name` or the like in a sentence, up to its colon.
fn thing_in(message: &str) -> Option<&str> {
    let word = message.split_whitespace().find(|word| word.contains('/'))?;
    let (_, name) = word.split_once('/')?;
    let name = name.trim_end_matches([':', ',', ';']);
    let is_name = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._@".contains(&c));
    is_name.then_some(name)
}

/// Steps in one line.
fn steps_text(steps: &[&StepStatus]) -> String {
    let mut text: Vec<String> =
        steps.iter().take(MAX_STEPS).map(|step| format!("{} {}", step.id, step.summary)).collect();
    if steps.len() > MAX_STEPS {
        text.push(format!("{} more", steps.len() - MAX_STEPS));
    }
    format!("{} {}", if steps.len() == 1 { "step" } else { "steps" }, text.join("; "))
}

/// The answer for people.
pub fn text(tenant: &str, hindrances: &[Hindrance], now: Timestamp, colour: Colour) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_text(&mut out, tenant, hindrances, now, colour);
    out
}

fn write_text(
    out: &mut String,
    tenant: &str,
    hindrances: &[Hindrance],
    now: Timestamp,
    colour: Colour,
) -> std::fmt::Result {
    let persons = hindrances.iter().filter(|it| it.needs_person).count();
    let headline = match (hindrances.len(), persons) {
        (0, _) => "nothing hinders it".to_owned(),
        (all, 0) => {
            format!("{all} {}, none needs a person", if all == 1 { "hindrance" } else { "hindrances" })
        }
        (all, persons) => {
            let needs = if persons == 1 { "needs" } else { "need" };
            format!("{all} {}, {persons} {needs} a person", if all == 1 { "hindrance" } else { "hindrances" })
        }
    };
    writeln!(out, "{}  {headline}", heading(&format!("tenant {tenant}"), colour))?;
    for it in hindrances {
        let mark = if it.needs_person { colour.paint("31", "✗") } else { colour.paint("36", "…") };
        let since = it.since.map(|at| format!("  since {}", age(at, now))).unwrap_or_default();
        writeln!(out, "  {mark} {}  [{}]{since}", it.what, it.reason)?;
        writeln!(out, "      {}", it.message)?;
        writeln!(out, "      {} {}", colour.paint("32", "→"), it.help)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
