//! The in-memory provider is held to the contract like any other.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::SignedDuration;
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::names::Installation;
use vertskommune_core::tenant::{
    Compute, Deletion, DeletionPolicy, Disk, Interface, Network, Quota, Server, ValidatedTenant,
};
use vertskommune_core::windows::Maintenance;
use vertskommune_provider::Provider;
use vertskommune_provider::secrets::{FolderSecrets, SecretStore};
use vertskommune_provider::testing::conformance::{self, Drive, Peer, Things};
use vertskommune_provider::testing::memory::Memory;
use vertskommune_provider::testing::{Cut, MemorySystem, Thing};

struct MemoryPeer(Arc<MemorySystem>);

impl MemoryPeer {
    fn new() -> Self {
        let system = MemorySystem::new("memory-1");
        system.by_hand(|things| {
            let lookalike = Thing { fields: [("vcpus".to_owned(), 1.into())].into(), ..Thing::default() };
            things.insert("ibestad/server/ibe-legacy".to_owned(), lookalike);
        });
        Self(Arc::new(system))
    }
}

impl Peer for MemoryPeer {
    fn host(&self) -> Host {
        Host {
            name: "memory".into(),
            plugin: "memory".to_owned(),
            endpoint: "memory".to_owned(),
            identity: "memory-1".to_owned(),
            ca: None,
            credentials: None,
            site: None,
            mode: Mode::Manage,
            budget: Budget::default(),
            ground: Ground::default(),
            destruction_released_until: None,
            maintenance: Maintenance::default(),
            settings: serde_json::Value::Null,
        }
    }
    fn installation(&self) -> Installation {
        "nord".into()
    }
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(Memory::new(&self.installation(), &self.host(), self.0.clone()))
    }
    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(FolderSecrets::new("/nonexistent"))
    }
    fn journal(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { self.0.journal() })
    }
    fn reset(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.reset_journal() })
    }
    fn cut(&self, nth: usize, cut: Cut) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.0.cut(nth, cut) })
    }
    fn things(&self) -> BoxFuture<'_, Things> {
        let (ours, foreign): (Vec<_>, Vec<_>) =
            self.0.things().into_iter().partition(|(_, thing)| thing.mark.is_some());
        // The time of a retirement is not the same in two runs.
        let line = |(path, thing): (String, Thing)| {
            format!("{path} {:?} {}", thing.fields, thing.retired_at.is_some())
        };
        let ours = ours.into_iter().map(line).collect();
        Box::pin(async move { Things { ours, foreign: format!("{foreign:?}") } })
    }
    fn clear(&self) -> BoxFuture<'_, ()> {
        self.0.by_hand(|things| things.retain(|_, thing| thing.mark.is_none()));
        for mark in self.0.born().keys() {
            self.0.forget(mark);
        }
        self.0.reset_journal();
        Box::pin(async {})
    }
}

fn tenant() -> ValidatedTenant {
    let server = |name: &str| Server {
        name: name.to_owned(),
        computer_name: name.to_owned(),
        template: "linux@1".to_owned(),
        vcpus: 2,
        memory: 4 << 30,
        disks: vec![Disk { name: "data".to_owned(), size: 10 << 30, storage_policy: None }],
        interfaces: vec![Interface { network: "servers".to_owned(), address: None }],
        anti_affinity: None,
        adopt: None,
        recreate: None,
        restart_before: None,
    };
    let network = Network {
        name: "servers".to_owned(),
        vlan: 1310,
        cidr: "10.13.10.0/24".parse().unwrap(),
        gateway: None,
        dns: Vec::new(),
    };
    ValidatedTenant {
        name: "ibestad".into(),
        display_name: "Ibestad kommune".to_owned(),
        municipality_number: None,
        networks: vec![network],
        compute: Some(Compute {
            provider: "memory".into(),
            quota: Quota { vcpus: 64, memory: 1 << 40, storage: 1 << 43 },
            retire_after: SignedDuration::from_hours(720),
        }),
        servers: vec![server("ibe-fs01"), server("ibe-db01")],
        maintenance: Maintenance::default(),
        firewall: None,
        backup: None,
        directory: None,
        drift_policy: vertskommune_core::tenant::DriftPolicy::Heal,
        deletion_policy: DeletionPolicy::default(),
        suspend: false,
        allow_destroy: std::collections::BTreeSet::default(),
        accept_loss: None,
    }
}

#[tokio::test]
async fn there_is_one_writer() {
    conformance::has_one_writer(&MemoryPeer::new()).await;
}

#[tokio::test]
async fn converges_and_then_writes_nothing() {
    let peer = MemoryPeer::new();
    let drive = Drive { peer: &peer, tenant: tenant(), leaving: false };
    conformance::looking_writes_nothing(&drive).await;
    conformance::converges(&drive).await;
    conformance::looking_writes_nothing(&drive).await;
}

#[tokio::test]
async fn a_crash_anywhere_leaves_nothing_double_and_nothing_lost() {
    let peer = Arc::new(MemoryPeer::new());
    let cleared = {
        let peer = peer.clone();
        move || -> BoxFuture<'static, ()> {
            let peer = peer.clone();
            Box::pin(async move { peer.clear().await })
        }
    };
    let onboarding = Drive { peer: peer.as_ref(), tenant: tenant(), leaving: false };
    let figures = conformance::survives_a_crash_at_every_write(&onboarding, &cleared).await;
    assert_eq!((figures.writes, figures.visited), (4, 8), "folder, network and two servers");

    let onboarded = {
        let peer = peer.clone();
        move || -> BoxFuture<'static, ()> {
            let peer = peer.clone();
            Box::pin(async move {
                peer.clear().await;
                Drive { peer: peer.as_ref(), tenant: tenant(), leaving: false }.converge().await;
            })
        }
    };
    let mut smaller = tenant();
    smaller.servers.pop();
    smaller.servers[0].memory = 8 << 30;
    let change = Drive { peer: peer.as_ref(), tenant: smaller, leaving: false };
    let figures = conformance::survives_a_crash_at_every_write(&change, &onboarded).await;
    assert_eq!(figures.visited, 2 * figures.writes);

    let mut gone = tenant();
    gone.deletion_policy = DeletionPolicy { servers: Deletion::Remove, ..DeletionPolicy::default() };
    let removal = Drive { peer: peer.as_ref(), tenant: gone, leaving: true };
    let figures = conformance::survives_a_crash_at_every_write(&removal, &onboarded).await;
    assert_eq!(figures.visited, 2 * figures.writes);
}
