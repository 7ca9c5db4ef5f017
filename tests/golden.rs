//! Stories in files: a manifest, the world as it is, and the plan and status that must come of them.
//!
//! Each folder of `golden/` is a case: `manifests.yaml`, `world.yaml` and `expected.txt`. `UPDATE=1` writes what comes
//! out, for a person to read and commit.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use vertskommune_api::{Catalogue, StatusInput, manifest, validate_host, validate_tenant};
use vertskommune_core::backup::{Backups, JobStatus, Jobs, Known};
use vertskommune_core::directory::Signals;
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{Installation, Mark, TenantName};
use vertskommune_core::render::{self, Colour};
use vertskommune_engine::{Engine, Settings, World};
use vertskommune_provider::Plugins;
use vertskommune_provider::context::Never;
use vertskommune_provider::secrets::FolderSecrets;
use vertskommune_provider::testing::{MemoryPlugin, MemorySystem, Thing};
use vertskommune_tests::{lab, verdicts};

/// The time of every story: a Tuesday at noon in Oslo.
fn now() -> Timestamp {
    "2026-11-24T11:00:00Z".parse().unwrap()
}

/// The world of a story.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Story {
    /// What is there, by path.
    #[serde(default)]
    things: BTreeMap<String, StoryThing>,
    /// Marks of what was made once and is gone.
    #[serde(default)]
    lost: Vec<String>,
    /// Tenants that the account cannot see.
    #[serde(default)]
    hidden: Vec<String>,
    /// Another identity than the one that is pinned.
    identity: Option<String>,
    /// Tenants whose manifests are being deleted.
    #[serde(default)]
    leaving: Vec<String>,
    /// What is in the second room.
    #[serde(default)]
    second_room: Room,
    /// What is in the host's directory.
    #[serde(default)]
    directory: Trusts,
    /// HostProviders that cannot be used.
    #[serde(default)]
    unusable: BTreeSet<String>,
}

/// The second room of a story, which was looked at just now.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Room {
    things: BTreeMap<String, StoryThing>,
    backups: BTreeMap<String, Backups>,
    /// What other products' jobs have left.
    jobs: BTreeMap<String, JobStatus>,
}

/// The host's directory of a story.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Trusts {
    things: BTreeMap<String, StoryThing>,
    /// What tenants' trusts show on both of their sides.
    trusts: BTreeMap<String, Signals>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StoryThing {
    mark: Option<String>,
    #[serde(default)]
    fields: Facts,
    /// What we gave last, where that is not what is there.
    #[serde(default)]
    applied: Facts,
    retired_at: Option<Timestamp>,
    #[serde(default)]
    snapshot: bool,
    #[serde(default)]
    notices: Vec<String>,
}

impl Story {
    fn system(&self) -> MemorySystem {
        let system = MemorySystem::new(self.identity.as_deref().unwrap_or("memory-1"));
        system.by_hand(|things| {
            for mark in &self.lost {
                // Made, so that it is remembered, and then taken away.
                let mark = Mark::parse(mark).unwrap();
                things.insert(path(&mark), Thing { mark: Some(mark), ..Thing::default() });
            }
        });
        system.remember();
        system.by_hand(|things| {
            things.clear();
            things.extend(self.things.iter().map(|(path, thing)| (path.clone(), thing.thing())));
        });
        for tenant in &self.hidden {
            system.hide(&TenantName::new(tenant.as_str()), true);
        }
        system
    }
}

impl StoryThing {
    fn thing(&self) -> Thing {
        let mut applied = self.fields.clone();
        applied.extend(self.applied.clone());
        Thing {
            mark: self.mark.as_deref().map(|mark| Mark::parse(mark).unwrap()),
            fields: self.fields.clone(),
            applied,
            retired_at: self.retired_at,
            snapshot: self.snapshot,
            notices: self.notices.clone(),
            ..Thing::default()
        }
    }
}

impl Room {
    fn system(&self) -> MemorySystem {
        let system = MemorySystem::new("memory-2");
        system.by_hand(|things| {
            things.extend(self.things.iter().map(|(path, thing)| (path.clone(), thing.thing())));
        });
        for (tenant, backups) in &self.backups {
            let known = Known { seen_at: now(), backups: Arc::new(backups.clone()) };
            system.set_backups(&TenantName::new(tenant.as_str()), known);
        }
        system.set_jobs(Jobs { seen_at: now(), left: self.jobs.clone() });
        system
    }
}

impl Trusts {
    fn system(&self) -> MemorySystem {
        let system = MemorySystem::new("memory-3");
        system.by_hand(|things| {
            things.extend(self.things.iter().map(|(path, thing)| (path.clone(), thing.thing())));
        });
        for (tenant, signals) in &self.trusts {
            system.set_trust(&TenantName::new(tenant.as_str()), signals.clone());
        }
        system
    }
}

fn path(mark: &Mark) -> String {
    format!("{}/{}", mark.tenant, mark.key)
}

/// The story of a case, and each status in it as it would stand in a cluster.
async fn tell(case: &Path, statuses: &mut Vec<Json>) -> String {
    let read = |file: &str| std::fs::read_to_string(case.join(file)).unwrap_or_default();
    let text = read("manifests.yaml");
    let manifests = manifest::read([("manifests.yaml", text.as_str())]);
    assert!(manifests.problems.is_empty(), "{:#?}", manifests.problems);
    let story: Story = serde_saphyr::from_str(&read("world.yaml")).unwrap();
    let hosts: BTreeMap<_, _> = manifests
        .hosts
        .iter()
        .map(|host| validate_host(&host.object).unwrap())
        .map(|host| (host.name.clone(), host))
        .collect();
    let engine = Engine::new(Settings {
        installation: Installation::new("nord"),
        holder: "golden".to_owned(),
        plugins: Plugins::default().with(
            MemoryPlugin::default()
                .with("memory", Arc::new(story.system()))
                .with("second-room", Arc::new(story.second_room.system()))
                .with("ad-host", Arc::new(story.directory.system())),
        ),
        secrets: Arc::new(FolderSecrets::new("/nonexistent")),
        permit: Arc::new(Never),
        now,
    });
    let unusable: BTreeSet<String> =
        engine.configure(&hosts).into_keys().map(|name| name.to_string()).collect();
    assert_eq!(unusable, story.unusable);
    let mut world = World::new(hosts);
    let mut out = String::new();
    for tenant in &manifests.tenants {
        match validate_tenant(&tenant.object, &Catalogue::default()) {
            Ok(tenant) => {
                let leaving = story.leaving.contains(&tenant.name.to_string());
                world.insert(tenant, leaving);
            }
            Err(violations) => {
                for violation in violations {
                    writeln!(out, "{}", tenant.origin.problem(violation)).unwrap();
                }
            }
        }
    }
    engine.observe(&world).await;
    for tenant in world.tenants().keys() {
        let plan = engine.plan(&world, tenant).unwrap();
        out.push_str(&render::plan(&plan, Colour::Never));
        let input = StatusInput {
            generation: Some(1),
            requested_at: None,
            outcome: vertskommune_api::Outcome::Planned(&plan),
            changed: false,
            underway: &[],
            failed: &[],
        };
        let status = vertskommune_api::status(None, &input, now());
        statuses.push(json!({
            "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant",
            "metadata": {"name": tenant.to_string(), "generation": 1}, "status": status,
        }));
        writeln!(out, "  status: {}", status.message.unwrap_or_default()).unwrap();
        for condition in status.conditions {
            writeln!(out, "    {}={} {}", condition.type_, condition.status, condition.reason).unwrap();
        }
        if let Some(directory) = status.directory {
            writeln!(out, "  directory: {} {}", directory.trust_direction, directory.trust).unwrap();
            for problem in directory.problems {
                writeln!(out, "    {}", problem.reason).unwrap();
            }
            for command in directory.partner_commands {
                writeln!(out, "    > {command}").unwrap();
            }
        }
        if let Some(backup) = status.backup {
            let text =
                |time: Option<Time>| time.map_or_else(|| "never".to_owned(), |time| time.0.to_string());
            let size = backup.size.unwrap_or_else(|| "nothing".to_owned());
            writeln!(
                out,
                "  backup: {}, proven {}, {size}",
                text(backup.last_backup),
                text(backup.last_proof)
            )
            .unwrap();
        }
    }
    out
}

#[tokio::test]
async fn every_story_ends_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut cases: Vec<_> = std::fs::read_dir(&root).unwrap().map(|case| case.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let (mut wrong, mut statuses) = (Vec::new(), Vec::new());
    for case in cases {
        let told = tell(&case, &mut statuses).await;
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &told).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "stories that end otherwise (UPDATE=1 writes them):\n{}", wrong.join("\n"));
    if let Some(bin) = lab::bin() {
        verdicts::compare(&bin, &statuses).unwrap();
    }
}
