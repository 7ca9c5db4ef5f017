//! Backup through the engine: what is seen in the second room comes into the plan, and what nobody takes is told.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use vertskommune_core::backup::report::Verdict;
use vertskommune_core::backup::{Backups, Known};
use vertskommune_core::check::FindingReason;
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::plan::Plan;
use vertskommune_core::step::RefusalReason;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::windows::Maintenance;
use vertskommune_engine::{Changed, Engine, Settings, World};
use vertskommune_provider::Plugins;
use vertskommune_provider::context::Always;
use vertskommune_provider::error::ProviderError;
use vertskommune_provider::secrets::FolderSecrets;
use vertskommune_provider::testing::{MemoryPlugin, MemorySystem};

fn host(name: &str, plugin: &str, site: &str, concern: &str) -> (ProviderName, Host) {
    let host = Host {
        name: name.into(),
        plugin: plugin.to_owned(),
        endpoint: name.to_owned(),
        identity: name.to_owned(),
        ca: None,
        credentials: None,
        site: Some(site.to_owned()),
        mode: Mode::Manage,
        budget: Budget::default(),
        ground: Ground {
            name_prefixes: vec![String::new()],
            templates: vec!["linux@1".to_owned()],
            ..Ground::default()
        },
        destruction_released_until: None,
        maintenance: Maintenance::default(),
        settings: json!({ "concern": concern }),
    };
    (host.name.clone(), host)
}

fn ibestad() -> ValidatedTenant {
    let hours = |hours| json!(SignedDuration::from_hours(hours));
    serde_json::from_value(json!({
        "name": "ibestad", "display_name": "Ibestad kommune", "networks": [],
        "compute": {"provider": "vc", "quota": {"vcpus": 8, "memory": 1_u64 << 40, "storage": 1_u64 << 40}, "retire_after": hours(720)},
        "servers": [{
            "name": "fs01", "computer_name": "fs01", "template": "linux@1", "vcpus": 1, "memory": 1 << 30, "disks": [], "interfaces": [],
        }],
        "backup": {
            "provider": "room",
            "mode": {"Managed": {
                "window": {"start": "22:00:00", "duration": hours(8), "timeZone": "Europe/Oslo"}, "retention": {"daily": 14},
            }},
            "selection": {"include": [], "exclude": []},
            "max_age": hours(26), "proof": {"max_age": hours(168), "scope": "OneDiskPerServer"}, "keep_after_exit": hours(720),
        },
        "maintenance": {"windows": [], "freezes": []}, "drift_policy": "Heal",
        "deletion_policy": {"servers": "Retain", "firewall": "Remove"}, "suspend": false, "allow_destroy": [],
    }))
    .unwrap()
}

struct Lab {
    room: Arc<MemorySystem>,
    world: World,
    engine: Engine,
}

impl Lab {
    fn new(plugin: &str, concern: &str) -> Self {
        let hosts =
            BTreeMap::from([host("vc", "memory", "one", "Servers"), host("room", plugin, "two", concern)]);
        let (servers, room) = (Arc::new(MemorySystem::new("vc")), Arc::new(MemorySystem::new("room")));
        let plugin = MemoryPlugin::default().with("vc", servers).with("room", room.clone());
        let engine = Engine::new(Settings {
            installation: "nord".into(),
            holder: "test".to_owned(),
            plugins: Plugins::default().with(plugin),
            secrets: Arc::new(FolderSecrets::new("/nonexistent")),
            permit: Arc::new(Always),
            now: Timestamp::now,
        });
        engine.configure(&hosts);
        let mut world = World::new(hosts);
        world.insert(ibestad(), false);
        Self { room, world, engine }
    }

    fn plan(&self) -> Plan {
        self.engine.plan(&self.world, &"ibestad".into()).unwrap()
    }

    async fn converge(&self) -> Plan {
        self.engine.observe(&self.world).await;
        for _ in 0..10 {
            let report = self.engine.pass(&self.world, &"ibestad".into()).await.unwrap();
            if report.outcomes.is_empty() {
                return report.plan;
            }
        }
        panic!("it does not converge");
    }

    /// A backup of the server is taken and proven.
    fn take(&self, begun: Timestamp) {
        let proof = json!({"at": begun, "outcome": "Intact"});
        let backups: Backups = serde_json::from_value(json!({
            "servers": {"fs01": {"last_good": begun, "disks": {"system": {"bytes": 1, "taken": begun, "proof": proof}}}},
        }))
        .unwrap();
        let known = Known { seen_at: Timestamp::now(), backups: Arc::new(backups) };
        self.room.set_backups(&"ibestad".into(), known);
    }

    async fn watch(&self) -> Changed {
        self.engine.watch(&"room".into(), &self.world).await
    }
}

#[tokio::test]
async fn ready_does_not_wait_for_the_first_night_and_its_backup_is_news() {
    let lab = Lab::new("memory", "Backup");
    let before = lab.converge().await;
    assert!(before.is_converged() && before.is_empty(), "{before:?}");
    assert_eq!(
        before.backup.as_ref().map(|it| (it.verdict, it.word())),
        Some((Verdict::Unprotected, "NoBackupYet"))
    );
    lab.watch().await;

    let night = Timestamp::now();
    lab.take(night);
    let tenant = BTreeSet::from([TenantName::from("ibestad")]);
    assert_eq!(lab.watch().await, Changed::Tenants(tenant), "another backup is another status");
    let after = lab.plan();
    let report = after.backup.unwrap();
    assert_eq!((report.verdict, report.last_backup), (Verdict::Protected, Some(night)));
    assert!(report.changes_at.is_some_and(|at| at == night + SignedDuration::from_hours(26)));
    assert_eq!(after.digest, before.digest, "what time and backups bring is no step");
    lab.take(night);
    assert_eq!(lab.watch().await, Changed::Nothing, "the same, seen later, is no news");
}

#[tokio::test]
async fn a_room_that_does_not_answer_for_a_moment_takes_no_protection_away() {
    let lab = Lab::new("memory", "Backup");
    lab.converge().await;
    lab.take(Timestamp::now());
    lab.engine.observe(&lab.world).await;
    lab.room.set_blind(Some(ProviderError::Unreachable {
        endpoint: "room".to_owned(),
        why: "no route".to_owned(),
    }));
    lab.engine.observe(&lab.world).await;
    let plan = lab.plan();
    assert!(!plan.doubts.is_empty(), "whether the repository stands is unknown");
    assert_eq!(plan.backup.map(|it| it.verdict), Some(Verdict::Protected));
    lab.room.set_blind(Some(ProviderError::CredentialsRefused));
    lab.engine.observe(&lab.world).await;
    assert_eq!(lab.plan().backup.map(|it| it.verdict), Some(Verdict::Unknown), "this does not mend itself");
}

#[tokio::test]
async fn backup_that_nobody_takes_is_refused_and_holds_up_nothing_else() {
    let lab = Lab::new("tapes", "Backup");
    let plan = lab.converge().await;
    let refused: Vec<_> = plan.refusals.iter().map(|it| (it.field.as_str(), it.reason)).collect();
    assert_eq!(refused, [("spec.backup.provider", RefusalReason::NotSupported)]);
    assert!(!plan.is_converged() && plan.steps.is_empty(), "the servers are made all the same");
    assert_eq!(plan.backup.map(|it| it.verdict), Some(Verdict::Unknown));
}

#[tokio::test]
async fn backup_on_a_provider_of_servers_is_refused() {
    let lab = Lab::new("memory", "Servers");
    lab.engine.observe(&lab.world).await;
    let plan = lab.plan();
    let found: Vec<_> = plan.findings.iter().map(|it| (it.field.as_str(), it.reason, it.blocks)).collect();
    assert_eq!(found, [("spec.backup.provider", FindingReason::NotOffered, true)]);
    assert_eq!(plan.ready().count(), 0);
}
