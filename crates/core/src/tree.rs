//! All real things of a tenant with the state of each, by concern and provider: the plan and what was seen, told by thing
//! and not by step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::names::{ProviderName, ResourceId, ResourceKey, TenantName};
use crate::observation::{Observations, Seen};
use crate::plan::{Plan, PlannedStep};
use crate::render::{Colour, heading};
use crate::schema::Concern;
use crate::step::Class;

/// The things of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The tenant.
    pub tenant: TenantName,
    /// Its branches, each one provider.
    pub branches: Vec<Branch>,
}

/// What a tenant has in one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// What the provider answers for.
    pub concern: Concern,
    /// The provider.
    pub provider: ProviderName,
    /// The things there, by kind and name.
    pub things: Vec<Thing>,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// Its kind and name in the manifest.
    #[serde(flatten)]
    pub key: ResourceKey,
    /// How it is.
    pub state: State,
    /// What the system itself calls it, where it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Why, as a CamelCase word, where something waits or is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people, or what differs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub messages: Vec<String>,
}

/// How a thing is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// As the manifest says.
    AsWanted,
    /// An operation of the system is making or changing it.
    InProgress,
    /// There, and not as the manifest says.
    Differs,
    /// Wanted, and surely not there.
    Missing,
    /// There, and no longer wanted.
    Unwanted,
    /// Taken out of service and kept.
    Retired,
    /// It was made once and is gone.
    Lost,
    /// What the manifest asks for is refused.
    Refused,
    /// It cannot be told.
    Unknown,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AsWanted,
        Self::InProgress,
        Self::Differs,
        Self::Missing,
        Self::Unwanted,
        Self::Retired,
        Self::Lost,
        Self::Refused,
        Self::Unknown,
    ];

    /// The sign before a thing, and its colour.
    fn sign(self) -> (&'static str, &'static str) {
        match self {
            Self::AsWanted => ("✓", "32"),
            Self::InProgress => ("…", "36"),
            Self::Differs => ("~", "33"),
            Self::Missing => ("+", "33"),
            Self::Unwanted => ("-", "31"),
            Self::Retired => ("↓", "31"),
            Self::Lost | Self::Refused => ("✗", "31"),
            Self::Unknown => ("?", "33"),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AsWanted => "as wanted",
            Self::InProgress => "in progress",
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::Unwanted => "unwanted",
            Self::Retired => "retired",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        })
    }
}

impl Tree {
    /// Whether every thing is as the manifest says.
    pub fn is_as_wanted(&self) -> bool {
        self.branches.iter().flat_map(|branch| &branch.things).all(|thing| thing.state == State::AsWanted)
    }
}

/// The things of the tenant whose plan this is. `concern` says what each provider answers for.
pub fn tree(
    plan: &Plan,
    observations: &Observations,
    concern: &dyn Fn(&ProviderName) -> Option<Concern>,
) -> Tree {
    let seen = observations.iter().flat_map(|(provider, observation)| {
        let things = observation.seen.get(&plan.tenant).into_iter().flatten();
        things.map(|(key, _)| ResourceId::new(&plan.tenant, provider, key.clone()))
    });
    let planned = plan
        .steps
        .iter()
        .map(|step| &step.step.resource)
        .chain(plan.doubts.iter().map(|doubt| &doubt.id))
        .chain(plan.refusals.iter().map(|refusal| &refusal.resource))
        .chain(plan.progress.iter().map(|progress| &progress.id));
    let all: BTreeSet<ResourceId> = seen.chain(planned.cloned()).collect();
    let mut branches: BTreeMap<(Concern, ProviderName), Vec<Thing>> = BTreeMap::new();
    for id in all {
        let concern = concern(&id.provider).unwrap_or_default();
        branches.entry((concern, id.provider.clone())).or_default().push(thing(&id, plan, observations));
    }
    let branch = |((concern, provider), things)| Branch { concern, provider, things };
    Tree { tenant: plan.tenant.clone(), branches: branches.into_iter().map(branch).collect() }
}

fn thing(id: &ResourceId, plan: &Plan, observations: &Observations) -> Thing {
    let found = observations.get(&id.provider).and_then(|observation| observation.of(&id.tenant, &id.key));
    let present = match &found {
        Some(Seen::Present(present)) => Some(present),
        _ => None,
    };
    let steps: Vec<&PlannedStep> = plan.steps.iter().filter(|step| step.step.resource == *id).collect();
    let mut thing = Thing {
        key: id.key.clone(),
        state: State::AsWanted,
        identity: present.map(|present| present.identity.clone()).filter(|identity| !identity.is_empty()),
        reason: None,
        messages: Vec::new(),
    };
    let is_retired = present.is_some_and(|present| present.retired_at.is_some());
    if let Some(refusal) = plan.refusals.iter().find(|refusal| refusal.resource == *id) {
        let is_lost = matches!(found, Some(Seen::Lost { .. }));
        thing.state = if is_lost { State::Lost } else { State::Refused };
        thing.reason = Some(refusal.reason.word().to_owned());
        thing.messages.push(refusal.message.clone());
    } else if let Some(Seen::Unknown(why)) = &found {
        thing.state = State::Unknown;
        thing.reason = Some(why.word().to_owned());
        thing.messages.push(why.to_string());
    } else if let Some(Seen::InProgress { operation, percent }) = &found {
        thing.state = State::InProgress;
        let percent = percent.map(|percent| format!(" ({percent}%)")).unwrap_or_default();
        thing.messages.push(format!("{operation}{percent}"));
    } else if matches!(found, Some(Seen::Lost { .. })) && steps.is_empty() {
        thing.state = State::Lost;
    } else if !steps.is_empty() {
        thing.state = match steps[0].step.class {
            _ if is_retired => State::Retired,
            Class::Retire | Class::Remove | Class::Destroy => State::Unwanted,
            _ if present.is_none() => State::Missing,
            _ => State::Differs,
        };
    } else if is_retired {
        thing.state = State::Retired;
    }
    thing.tell_steps(&steps);
    for shown in plan.shown.iter().filter(|shown| shown.id == *id) {
        thing.state = thing.state.max(State::Differs);
        let from = crate::difference::text(&shown.field, shown.from.as_ref());
        let to = crate::difference::value_text(&shown.field, &shown.to);
        thing.messages.push(format!("{} is {from}, not {to} (shown only)", shown.field));
    }
    thing
}

impl Thing {
    fn tell_steps(&mut self, steps: &[&PlannedStep]) {
        for planned in steps {
            let id = planned.id.short();
            self.messages.push(match &planned.wait {
                Some(wait) => format!("{id} {}: {wait}", planned.step.summary),
                None => format!("{id} {}", planned.step.summary),
            });
            if let Some(wait) = &planned.wait {
                self.reason.get_or_insert_with(|| wait.word().to_owned());
            }
        }
    }
}

/// The tree for people.
pub fn text(tree: &Tree, colour: Colour) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_tree(&mut out, tree, colour);
    out
}

fn write_tree(out: &mut String, tree: &Tree, colour: Colour) -> fmt::Result {
    let all = || tree.branches.iter().flat_map(|branch| &branch.things);
    let counts: Vec<String> = State::ALL
        .into_iter()
        .map(|state| (all().filter(|thing| thing.state == state).count(), state))
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    let counts = if counts.is_empty() { "nothing there".to_owned() } else { counts.join(", ") };
    writeln!(out, "{}  {counts}", heading(&format!("tenant {}", tree.tenant), colour))?;
    for (number, branch) in tree.branches.iter().enumerate() {
        let is_last = number + 1 == tree.branches.len();
        let (fork, stem) = if is_last { ("└─", "  ") } else { ("├─", "│ ") };
        let concern = match branch.concern {
            Concern::Servers => "servers",
            Concern::Firewall => "firewall",
            Concern::Backup => "backup",
            Concern::Directory => "directory",
        };
        writeln!(out, "{fork} {concern} on {}", colour.paint("1", branch.provider.as_str()))?;
        for (number, thing) in branch.things.iter().enumerate() {
            let is_last = number + 1 == branch.things.len();
            let (fork, under) = if is_last { ("└─", "  ") } else { ("├─", "│ ") };
            let (sign, code) = thing.state.sign();
            let identity = thing.identity.as_ref().map(|it| format!("  {it}")).unwrap_or_default();
            let reason = thing.reason.as_ref().map(|it| format!("  [{it}]")).unwrap_or_default();
            let sign = colour.paint(code, sign);
            let identity = colour.paint("2", &identity);
            writeln!(out, "{stem} {fork} {sign} {}  {}{reason}{identity}", thing.key, thing.state)?;
            for message in &thing.messages {
                writeln!(out, "{stem} {under}     {message}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::difference::Shown;
    use crate::observation::{Blindness, Observation, Present, Things};
    use crate::plan::Doubt;
    use crate::resource::Value;
    use crate::step::{Refusal, RefusalReason, Step, Wait};

    fn id(provider: &str, kind: &str, name: &str) -> ResourceId {
        ResourceId::new(&"ibestad".into(), &provider.into(), ResourceKey::new(kind, name))
    }

    fn present(identity: &str, retired_at: Option<Timestamp>) -> Seen {
        Seen::Present(Arc::new(Present { identity: identity.to_owned(), retired_at, ..Present::default() }))
    }

    fn step(resource: &ResourceId, class: Class, summary: &str, wait: Option<Wait>) -> PlannedStep {
        let mut step = Step::new(resource, "x", class, Timestamp::UNIX_EPOCH);
        summary.clone_into(&mut step.summary);
        PlannedStep { id: step.id(), step, wait }
    }

    fn plan() -> Plan {
        let server = |name| id("vcenter", "server", name);
        Plan {
            tenant: "ibestad".into(),
            digest: String::new(),
            steps: vec![
                step(&server("new"), Class::Create, "make it", None),
                step(&server("old"), Class::Destroy, "destroy it", Some(Wait::Word)),
                step(
                    &server("small"),
                    Class::Restart,
                    "set memory",
                    Some(Wait::MaintenanceWindow { opens: None }),
                ),
                step(&server("surplus"), Class::Retire, "retire it", None),
            ],
            refusals: vec![Refusal {
                resource: server("gone"),
                field: String::new(),
                reason: RefusalReason::Lost,
                message: "it is gone".to_owned(),
            }],
            findings: vec![],
            doubts: vec![Doubt { id: id("firewall", "policy", "a"), why: Blindness::CredentialsRefused }],
            progress: vec![],
            shown: vec![Shown {
                id: server("off"),
                field: "power".to_owned(),
                from: Some("off".into()),
                to: Value::known("on"),
            }],
            notices: vec![],
            tallies: BTreeMap::new(),
            concerns: BTreeMap::new(),
            backup: None,
            directory: None,
        }
    }

    fn observations() -> Observations {
        let mut vcenter = Observation::empty(&"vcenter".into());
        let things: Things = [
            ("well", present("uuid-1", None)),
            ("off", present("uuid-2", None)),
            ("old", present("uuid-3", Some(Timestamp::UNIX_EPOCH))),
            ("small", present("uuid-4", None)),
            ("surplus", present("uuid-5", None)),
            ("gone", Seen::Lost { identity: "uuid-6".to_owned() }),
            ("cloning", Seen::InProgress { operation: "Cloning".to_owned(), percent: Some(7) }),
        ]
        .into_iter()
        .map(|(name, seen)| (ResourceKey::new("server", name), seen))
        .collect();
        vcenter.seen.insert("ibestad".into(), things);
        let firewall = Observation::blind(&"firewall".into(), Blindness::CredentialsRefused);
        [("vcenter", vcenter), ("firewall", firewall)]
            .into_iter()
            .map(|(name, seen)| (name.into(), Arc::new(seen)))
            .collect()
    }

    fn concern(provider: &ProviderName) -> Option<Concern> {
        let known = [("firewall", Concern::Firewall), ("vcenter", Concern::Servers)];
        known.into_iter().find(|(name, _)| *name == provider.as_str()).map(|(_, concern)| concern)
    }

    #[test]
    fn each_thing_stands_under_its_provider_with_its_state() {
        let tree = tree(&plan(), &observations(), &concern);
        let short: Vec<(String, State)> = tree
            .branches
            .iter()
            .flat_map(|branch| &branch.things)
            .map(|thing| (thing.key.name.clone(), thing.state))
            .collect();
        let expected = [
            ("cloning", State::InProgress),
            ("gone", State::Lost),
            ("new", State::Missing),
            ("off", State::Differs),
            ("old", State::Retired),
            ("small", State::Differs),
            ("surplus", State::Unwanted),
            ("well", State::AsWanted),
            ("a", State::Unknown),
        ];
        assert_eq!(short, expected.map(|(name, state)| (name.to_owned(), state)));
        assert!(!tree.is_as_wanted());
    }

    #[test]
    fn the_text_is_a_tree() {
        let tree = tree(&plan(), &observations(), &concern);
        let text = text(&tree, Colour::Never);
        let begins = "tenant ibestad  1 as wanted, 1 in progress, 2 differs, 1 missing, 1 unwanted, 1 retired, 1 lost, \
                      1 unknown\n├─ servers on vcenter\n│  ├─ … server/cloning  in progress\n│  │      Cloning (7%)\n";
        assert!(text.starts_with(begins), "{text}");
        assert!(text.contains("│  ├─ ↓ server/old  retired  [ApprovalNeeded]  uuid-3\n"), "{text}");
        assert!(text.contains("│  └─ ✓ server/well  as wanted  uuid-1\n└─ firewall on firewall\n"), "{text}");
        assert!(
            text.ends_with(
                "   └─ ? policy/a  unknown  [CredentialsRefused]\n          it refuses the credentials\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_tree_survives_a_round_trip() {
        let tree = tree(&plan(), &observations(), &concern);
        let text = serde_json::to_string(&tree).unwrap();
        assert_eq!(serde_json::from_str::<Tree>(&text).unwrap(), tree);
    }
}
