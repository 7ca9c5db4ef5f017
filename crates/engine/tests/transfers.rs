//! Transfers through the engine: whose turn it is, what is held, what ends them, and that a restart goes on.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::{Due, Transfer, Work};
use vertskommune_core::windows::Maintenance;
use vertskommune_engine::{Ended, Engine, Held, Settings, Transferred, World};
use vertskommune_provider::secrets::FolderSecrets;
use vertskommune_provider::testing::{MemoryPlugin, MemorySystem, disk_bytes};
use vertskommune_provider::{Fenced, Moved, Permit, Plugins, ProviderError, Restore, RestoreServer};

fn host(name: &str, site: &str, concern: &str, concurrency: u32) -> (ProviderName, Host) {
    let host = Host {
        name: name.into(),
        plugin: "memory".to_owned(),
        endpoint: name.to_owned(),
        identity: name.to_owned(),
        ca: None,
        credentials: None,
        site: Some(site.to_owned()),
        mode: Mode::Manage,
        budget: Budget { concurrency, ..Budget::default() },
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

/// A tenant with that many servers, whose turn it is now whatever its spread.
fn tenant(name: &str, servers: usize) -> ValidatedTenant {
    let hours = |hours| json!(SignedDuration::from_hours(hours));
    let opens = Timestamp::now() - SignedDuration::from_mins(25);
    let start = opens.to_zoned(TimeZone::UTC).strftime("%H:%M:00").to_string();
    let server = |number| {
        json!({
            "name": format!("{name}-{number}"), "computer_name": format!("{name}-{number}"), "template": "linux@1",
            "vcpus": 1, "memory": 1 << 30, "disks": [], "interfaces": [],
        })
    };
    serde_json::from_value(json!({
        "name": name, "display_name": name, "networks": [],
        "compute": {"provider": "vc", "quota": {"vcpus": 99, "memory": 1_u64 << 40, "storage": 1_u64 << 40}, "retire_after": hours(720)},
        "servers": (1..=servers).map(server).collect::<Vec<_>>(),
        "backup": {
            "provider": "room",
            "mode": {"Managed": {
                "window": {"start": start, "duration": json!(SignedDuration::from_mins(40)), "timeZone": "Etc/UTC"},
                "retention": {"daily": 14},
            }},
            "selection": {"include": [], "exclude": []},
            "max_age": hours(26), "proof": {"max_age": hours(168), "scope": "OneDiskPerServer"}, "keep_after_exit": hours(720),
        },
        "maintenance": {"windows": [], "freezes": []}, "drift_policy": "Heal",
        "deletion_policy": {"servers": "Retain", "firewall": "Remove"}, "suspend": false, "allow_destroy": [],
    }))
    .unwrap()
}

/// A lease that can be lost.
#[derive(Default)]
struct Lease(AtomicBool);

impl Permit for Lease {
    fn check(&self) -> Result<(), Fenced> {
        if self.0.load(Ordering::SeqCst) { Err(Fenced("the lease was lost".to_owned())) } else { Ok(()) }
    }
}

struct Lab {
    servers: Arc<MemorySystem>,
    room: Arc<MemorySystem>,
    world: World,
    hosts: BTreeMap<ProviderName, Host>,
    lease: Arc<Lease>,
    engine: Engine,
}

impl Lab {
    /// These tenants, converged, with a room that does as many transfers at once.
    async fn new(tenants: &[(&str, usize)], concurrency: u32) -> Self {
        let (servers, room) = (Arc::new(MemorySystem::new("vc")), Arc::new(MemorySystem::new("room")));
        let hosts =
            BTreeMap::from([host("vc", "one", "Servers", 8), host("room", "two", "Backup", concurrency)]);
        let lease = Arc::new(Lease::default());
        let engine = engine(&servers, &room, &lease, &hosts);
        let mut world = World::new(hosts.clone());
        for (name, servers) in tenants {
            world.insert(tenant(name, *servers), false);
        }
        let lab = Self { servers, room, world, hosts, lease, engine };
        lab.engine.observe(&lab.world).await;
        for (name, _) in tenants {
            while !lab.engine.pass(&lab.world, &(*name).into()).await.unwrap().outcomes.is_empty() {}
        }
        lab
    }

    /// The same systems, with an engine that remembers nothing.
    async fn restart(&mut self) {
        self.engine.stop();
        self.engine = engine(&self.servers, &self.room, &self.lease, &self.hosts);
        self.engine.observe(&self.world).await;
    }

    /// Another process of another holder, such as a second cluster; it knows no host yet.
    fn another(&self) -> Engine {
        let plugin = MemoryPlugin::default().with("vc", self.servers.clone()).with("room", self.room.clone());
        Engine::new(Settings {
            installation: "nord".into(),
            holder: "another".to_owned(),
            plugins: Plugins::default().with(plugin),
            secrets: Arc::new(FolderSecrets::new("/nonexistent")),
            permit: Arc::new(Lease::default()),
            now: Timestamp::now,
        })
    }

    fn due(&self, tenant: &str) -> Result<Due, Held> {
        self.engine.due(&self.world, &tenant.into())
    }

    fn all_due(&self) -> Vec<Transfer> {
        let due = self.world.tenants().keys().filter_map(|name| self.engine.due(&self.world, name).ok());
        due.flat_map(|due| due.now).collect()
    }

    /// Carries out all that is due until nothing is, and gives what became of it in the order in which it ended.
    async fn run(&self) -> Vec<Transferred> {
        let mut running = FuturesUnordered::new();
        let mut ended = Vec::new();
        loop {
            for turn in self.engine.turns(&self.world, &mut self.all_due()) {
                running.push(self.engine.transfer(&self.world, turn));
            }
            match running.next().await {
                Some(one) => ended.push(one),
                None => return ended,
            }
        }
    }

    /// Begins one that stands still in the middle, and says what becomes of it once `then` has happened.
    async fn in_the_middle(&self, then: impl AsyncFnOnce()) -> Ended {
        self.room.hold_transfers(true);
        let turn = self.engine.turns(&self.world, &mut self.all_due()).pop().unwrap();
        let meanwhile = async {
            while self.engine.underway().is_empty_or_still() {
                tokio::task::yield_now().await;
            }
            then().await;
        };
        let (transferred, ()) = tokio::join!(self.engine.transfer(&self.world, turn), meanwhile);
        self.room.hold_transfers(false);
        transferred.ended
    }

    fn snapshots(&self) -> usize {
        self.servers.things().values().filter(|thing| thing.backup).count()
    }
}

/// Whether no byte was moved yet.
trait Still {
    fn is_empty_or_still(&self) -> bool;
}

impl Still for BTreeMap<TenantName, Vec<vertskommune_core::transfer::Underway>> {
    fn is_empty_or_still(&self) -> bool {
        self.values().flatten().all(|underway| underway.bytes == 0)
    }
}

fn engine(
    servers: &Arc<MemorySystem>,
    room: &Arc<MemorySystem>,
    lease: &Arc<Lease>,
    hosts: &BTreeMap<ProviderName, Host>,
) -> Engine {
    let plugin = MemoryPlugin::default().with("vc", servers.clone()).with("room", room.clone());
    let engine = Engine::new(Settings {
        installation: "nord".into(),
        holder: "test".to_owned(),
        plugins: Plugins::default().with(plugin),
        secrets: Arc::new(FolderSecrets::new("/nonexistent")),
        permit: lease.clone(),
        now: Timestamp::now,
    });
    assert!(engine.configure(hosts).is_empty());
    engine
}

fn works(due: &Due) -> Vec<String> {
    due.now.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_night_is_a_backup_of_each_server_and_then_its_proof_and_then_nothing() {
    let lab = Lab::new(&[("ibe", 2)], 4).await;
    assert_eq!(works(&lab.due("ibe").unwrap()), ["backing up ibe-1", "backing up ibe-2"]);
    let ended = lab.run().await;
    assert!(ended.iter().all(|it| matches!(it.ended, Ended::Done(_))), "{ended:?}");
    let begun = lab.room.transfers_begun();
    assert_eq!(begun[..2], ["backup ibe/ibe-1", "backup ibe/ibe-2"]);
    assert_eq!(begun.len(), 4, "each once, and one proof for each server: {begun:?}");
    assert_eq!(lab.snapshots(), 0);
    let due = lab.due("ibe").unwrap();
    assert_eq!(due.now, []);
    assert!(due.next.is_some_and(|next| next > Timestamp::now()), "{due:?}");

    // What lies there is what the server has, and comes back without a manifest too.
    let runs = lab.engine.runs(&"room".into(), &"ibe".into()).await.unwrap();
    let mut servers: Vec<_> = runs.iter().map(|run| run.server.as_str()).collect();
    servers.sort_unstable();
    assert_eq!(servers, ["ibe-1", "ibe-2"]);
    let (to, back) = back();
    let restore =
        Restore { tenant: "ibe".into(), server: "ibe-2".to_owned(), disk: "system".to_owned(), run: None };
    let never = CancellationToken::new();
    let moved = lab.engine.restore(&"room".into(), &restore, to, &|_: Moved| {}, &never).await.unwrap();
    let expected = disk_bytes("ibe/server/ibe-2", "system");
    assert_eq!((moved.bytes, back.lock().unwrap().as_slice()), (expected.len() as u64, expected.as_slice()));
}

fn anew() -> RestoreServer {
    RestoreServer {
        tenant: "ibe".into(),
        server: "ibe-1".to_owned(),
        run: None,
        name: "ibe-1-back".to_owned(),
    }
}

#[tokio::test]
async fn a_server_is_made_anew_and_stays_nobodys() {
    let lab = Lab::new(&[("ibe", 1)], 4).await;
    lab.run().await;
    let (told, never) = (AtomicBool::new(false), CancellationToken::new());
    let tell = |moved: Moved| told.store(moved.bytes == moved.of, Ordering::SeqCst);
    let made = lab.engine.restore_server(&lab.world, &"room".into(), &anew(), &tell, &never).await.unwrap();
    let things = lab.servers.things();
    let thing = &things["ibe/server/ibe-1-back"];
    assert!(thing.disks["system"] == disk_bytes("ibe/server/ibe-1", "system"));
    assert_eq!((&thing.mark, made.without), (&None, Vec::new()));
    assert!(told.load(Ordering::SeqCst), "how far it is is told");
    lab.engine.observe(&lab.world).await;
    assert_eq!(lab.engine.pass(&lab.world, &"ibe".into()).await.unwrap().outcomes, []);
    assert_eq!(lab.servers.things(), things);
}

#[tokio::test]
async fn nothing_is_made_anew_without_our_claim_or_after_a_word_to_end() {
    let lab = Lab::new(&[("ibe", 1)], 4).await;
    lab.run().await;
    let before = lab.servers.things();
    let restore = async |cancel: &CancellationToken| {
        lab.engine.restore_server(&lab.world, &"room".into(), &anew(), &|_: Moved| {}, cancel).await
    };
    // A word in the middle.
    lab.room.hold_transfers(true);
    let cancel = CancellationToken::new();
    let word = async {
        while lab.servers.things() == before {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(restore(&cancel), word);
    lab.room.hold_transfers(false);
    assert!(matches!(ended, Err(ProviderError::NotPermitted(_))), "{ended:?}");
    assert_eq!(lab.servers.things(), before, "what was begun is gone");
    // The lease is another's.
    lab.lease.0.store(true, Ordering::SeqCst);
    let ended = restore(&CancellationToken::new()).await;
    assert!(matches!(ended, Err(ProviderError::NotPermitted(_))), "{ended:?}");
    assert_eq!(lab.servers.things(), before);
}

#[tokio::test]
async fn where_nothing_is_to_be_done_nothing_is_made_anew() {
    let mut lab = Lab::new(&[("ibe", 1)], 4).await;
    lab.run().await;
    let lands = |lab: &Lab, name: &str| lab.engine.lands(&lab.world, &"ibe".into(), name);
    assert_eq!(lands(&lab, "ibe-1-back"), Ok(()));
    assert_eq!(lands(&lab, "ibe-1"), Err(Held::NameTaken("ibe-1".to_owned())));
    let suspended = ValidatedTenant { suspend: true, ..tenant("ibe", 1) };
    lab.world.insert(suspended, false);
    assert_eq!(lands(&lab, "ibe-1-back"), Err(Held::Suspended("ibe".into())));
    let nowhere = ValidatedTenant { compute: None, ..tenant("ibe", 1) };
    lab.world.insert(nowhere, false);
    assert_eq!(lands(&lab, "ibe-1-back"), Err(Held::NoCompute("ibe".into())));
    lab.world.insert(tenant("ibe", 1), true);
    assert_eq!(lands(&lab, "ibe-1-back"), Err(Held::Leaving("ibe".into())));
    let never = CancellationToken::new();
    let refused =
        lab.engine.restore_server(&lab.world, &"room".into(), &anew(), &|_: Moved| {}, &never).await;
    assert!(matches!(refused, Err(ProviderError::Refused(_))), "{refused:?}");
}

/// Somewhere to write, and what was written there.
fn back() -> (Box<dyn std::io::Write + Send>, Arc<std::sync::Mutex<Vec<u8>>>) {
    struct Back(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Back {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let back = Arc::default();
    (Box::new(Back(Arc::clone(&back))), back)
}

#[tokio::test]
async fn as_many_run_at_once_as_the_budget_says_and_a_large_tenant_holds_up_no_small_one() {
    let lab = Lab::new(&[("big", 12), ("mid", 3), ("wee", 1)], 3).await;
    lab.room.hold_transfers(true);
    let mut wanted = lab.all_due();
    assert_eq!(wanted.len(), 16);
    let turns = lab.engine.turns(&lab.world, &mut wanted);
    let of = |turns: &[vertskommune_engine::Turn]| -> Vec<_> {
        turns.iter().map(|turn| turn.transfer().tenant.to_string()).collect()
    };
    let mut first = of(&turns);
    first.sort();
    assert_eq!((first, wanted.len()), (["big", "mid", "wee"].map(str::to_owned).to_vec(), 13));
    assert!(lab.engine.turns(&lab.world, &mut wanted).is_empty(), "there is no room for more");
    assert_eq!(works(&lab.due("wee").unwrap()), [""; 0], "what has its turn is not due again");
    drop(turns);
    let release = async {
        while lab.room.transfers_running().0 < 3 {
            tokio::task::yield_now().await;
        }
        lab.room.hold_transfers(false);
    };
    tokio::join!(lab.run(), release);
    let begun = lab.room.transfers_begun();
    assert_eq!(lab.room.transfers_running(), (0, 3));
    let place = |what: &str| begun.iter().position(|it| it == what).unwrap();
    // The memory of whose turn was last goes on: the small ones are done while the large one has most before it.
    assert!(place("backup wee/wee-1") < 4, "{begun:?}");
    assert!(place("backup mid/mid-3") < 10, "{begun:?}");
    assert_eq!(begun.iter().filter(|it| it.starts_with("backup")).count(), 16, "each once: {begun:?}");
}

#[tokio::test]
async fn a_server_is_never_moved_twice_at_once() {
    let lab = Lab::new(&[("ibe", 1)], 4).await;
    let transfer = lab.all_due().pop().unwrap();
    let proof = Transfer { work: Work::Proof { disk: "system".to_owned() }, ..transfer.clone() };
    let mut wanted = vec![transfer.clone(), proof, transfer];
    let turns = lab.engine.turns(&lab.world, &mut wanted);
    assert_eq!((turns.len(), wanted.len()), (1, 2));
    drop(turns);
    assert_eq!(lab.engine.turns(&lab.world, &mut wanted).len(), 1, "a place that was given back is free");
}

#[tokio::test(start_paused = true)]
async fn what_fails_waits_ever_longer_and_is_done_in_the_end() {
    let lab = Lab::new(&[("ibe", 1), ("dyr", 1)], 4).await;
    lab.room.fail_transfers(Some(ProviderError::Throttled { retry_after: None }));
    let ended = lab.run().await;
    let pauses = |ended: &[Transferred]| -> Vec<_> {
        ended
            .iter()
            .map(|it| match &it.ended {
                Ended::Failed { again, .. } => again.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(pauses(&ended), [60, 60], "both were tried, and each once");
    let failed = |tenant: &str| lab.engine.failed(&tenant.into());
    assert_eq!(failed("ibe").len(), 1);
    let failed_first = failed("dyr")[0].clone();
    assert_eq!(failed_first.again.duration_since(failed_first.at).as_secs(), 60);
    let due = lab.due("ibe").unwrap();
    assert_eq!(due.now, []);
    let rest = due.next.unwrap().duration_since(Timestamp::now());
    assert!((55..=60).contains(&rest.as_secs()), "{rest}");
    let mut last = Vec::new();
    for _ in 0..6 {
        tokio::time::advance(Duration::from_secs(last.last().copied().unwrap_or(60))).await;
        lab.engine.observe(&lab.world).await;
        last.extend(pauses(&lab.run().await).first());
    }
    assert_eq!(last, [120, 240, 480, 960, 960, 960]);
    lab.room.fail_transfers(None);
    tokio::time::advance(Duration::from_mins(16)).await;
    lab.engine.observe(&lab.world).await;
    let ended = lab.run().await;
    assert!(ended.iter().all(|it| matches!(it.ended, Ended::Done(_))), "{ended:?}");
    assert_eq!((failed("ibe"), failed("dyr")), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn nothing_is_begun_for_whom_nothing_is_to_be_done() {
    let mut lab = Lab::new(&[("ibe", 1)], 4).await;
    let good = tenant("ibe", 1);
    let changed = |change: &dyn Fn(&mut ValidatedTenant)| {
        let mut tenant = good.clone();
        change(&mut tenant);
        tenant
    };
    let held = |lab: &Lab| lab.due("ibe").map(|due| works(&due));
    for (changed, leaving, expected, why) in [
        (changed(&|it| it.suspend = true), false, Held::Suspended("ibe".into()), "suspended"),
        (good.clone(), true, Held::Leaving("ibe".into()), "leaving"),
        (changed(&|it| it.backup = None), false, Held::NoBackup("ibe".into()), "no backup"),
        (
            changed(&|it| it.backup.as_mut().unwrap().provider = "vc".into()),
            false,
            Held::NotOffered("vc".into(), "takes backups"),
            "a provider of something else",
        ),
    ] {
        lab.world.insert(changed, leaving);
        assert_eq!(held(&lab), Err(expected), "{why}");
    }
    lab.world.remove(&"ibe".into());
    assert_eq!(held(&lab), Err(Held::NoTenant("ibe".into())));
    lab.world.insert(good.clone(), false);

    // What is not seen is not taken for a room without backups.
    lab.room.set_blind(Some(ProviderError::CredentialsRefused));
    lab.engine.observe(&lab.world).await;
    assert!(matches!(held(&lab), Err(Held::Unseen { .. })));
    lab.room.set_blind(None);
    lab.engine.observe(&lab.world).await;

    // A server that is not made yet has nothing to be backed up, and holds up no other.
    lab.world.insert(tenant("ibe", 2), false);
    assert_eq!(held(&lab), Ok(vec!["backing up ibe-1".to_owned()]));

    // A room in the same site is refused, and one that is only observed is not written to.
    for (provider, change, why) in [
        (
            "room",
            &(|host: &mut Host| host.site = Some("one".to_owned())) as &dyn Fn(&mut Host),
            "the same room",
        ),
        ("room", &|host| host.mode = Mode::Observe, "a room that is only observed"),
        ("vc", &|host| host.mode = Mode::Observe, "servers that are only observed"),
    ] {
        let mut hosts = lab.hosts.clone();
        change(hosts.get_mut(provider).unwrap());
        assert!(lab.engine.configure(&hosts).is_empty());
        lab.world.set_hosts(hosts);
        lab.engine.observe(&lab.world).await;
        let due = held(&lab);
        assert!(due.clone().is_err() || due == Ok(Vec::new()), "{why}: {due:?}");
    }
    assert_eq!(lab.room.transfers_begun(), [""; 0]);
}

#[tokio::test]
async fn a_room_without_a_repository_takes_nothing_until_it_has_one() {
    let lab = Lab::new(&[("ibe", 1)], 4).await;
    lab.room.by_hand(|things| things.retain(|path, _| !path.contains("repository")));
    lab.engine.observe(&lab.world).await;
    assert!(matches!(lab.due("ibe"), Err(Held::NotYet { .. })), "{:?}", lab.due("ibe"));
}

#[tokio::test(start_paused = true)]
async fn what_may_not_go_on_ends_in_good_order_and_a_restart_goes_on() {
    let mut lab = Lab::new(&[("ibe", 1)], 4).await;
    for (what, order) in [
        ("the process stops", 0),
        ("the lease is lost", 1),
        ("the tenant is suspended", 2),
        ("the room is described otherwise", 3),
    ] {
        let mut suspended = tenant("ibe", 1);
        suspended.suspend = true;
        let mut world = lab.world.clone();
        world.insert(suspended, false);
        let ended = lab
            .in_the_middle(async || match order {
                0 => lab.engine.end_transfers(),
                1 => lab.lease.0.store(true, Ordering::SeqCst),
                2 => lab.engine.end_held(&world),
                _ => {
                    let mut hosts = lab.hosts.clone();
                    hosts.get_mut("room").unwrap().budget.requests_per_second += 1;
                    lab.engine.configure(&hosts);
                }
            })
            .await;
        assert!(matches!(ended, Ended::Stopped(_)), "{what}: {ended:?}");
        assert!(lab.engine.underway().is_empty(), "{what}");
        lab.lease.0.store(false, Ordering::SeqCst);
        lab.restart().await;
        assert_eq!(works(&lab.due("ibe").unwrap()), ["backing up ibe-1"], "{what}: nothing half is a backup");
    }
    let ended = lab.run().await;
    assert!(ended.iter().all(|it| matches!(it.ended, Ended::Done(_))), "{ended:?}");
    assert_eq!(lab.snapshots(), 0, "what was left is removed");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_lost_costs_no_server_its_rest() {
    let lab = Lab::new(&[("ibe", 1)], 4).await;
    let mut room_alone = lab.hosts.clone();
    room_alone.remove("vc");
    let other = lab.another();
    other.configure(&room_alone);
    let ended = lab.in_the_middle(async || other.take_over().await.unwrap()).await;
    assert!(matches!(ended, Ended::Stopped(_)), "{ended:?}");
    assert_eq!(lab.snapshots(), 0, "our claim on the servers still stands");
}

#[tokio::test(start_paused = true)]
async fn what_a_backup_left_on_a_server_goes_without_another_backup() {
    let mut lab = Lab::new(&[("ibe", 1)], 4).await;
    let running = |lab: &Lab| lab.engine.leftovers(&lab.world).len();
    lab.in_the_middle(async || {
        lab.engine.observe(&lab.world).await;
        assert_eq!((lab.snapshots(), running(&lab)), (1, 0), "what is open is in use");
        lab.lease.0.store(true, Ordering::SeqCst);
    })
    .await;
    lab.lease.0.store(false, Ordering::SeqCst);
    lab.restart().await;
    // Nobody asks whether a backup is due, or for one at all.
    let mut manifest = tenant("ibe", 1);
    manifest.backup = None;
    manifest.suspend = true;
    lab.world.insert(manifest.clone(), false);
    assert_eq!(running(&lab), 0, "on a suspended tenant nothing is done");
    manifest.suspend = false;
    lab.world.insert(manifest, false);
    let leftovers = lab.engine.leftovers(&lab.world);
    assert_eq!((lab.snapshots(), leftovers.len()), (1, 1));
    lab.engine.tidy(&leftovers[0]).await.unwrap();
    assert_eq!(lab.snapshots(), 0);
    lab.engine.observe(&lab.world).await;
    assert_eq!(running(&lab), 0);
}

#[tokio::test]
async fn who_lost_the_claim_of_either_system_moves_nothing() {
    let lab = Lab::new(&[("ibe", 1)], 4).await;
    let other = lab.another();
    other.configure(&lab.hosts);
    other.observe(&lab.world).await;
    let mut due = other.due(&lab.world, &"ibe".into()).unwrap().now;
    let turn = other.turns(&lab.world, &mut due).pop().unwrap();
    let ended = other.transfer(&lab.world, turn).await.ended;
    assert!(
        matches!(&ended, Ended::Failed { error: ProviderError::Claimed { .. }, .. }),
        "the first holds both claims: {ended:?}"
    );
    assert_eq!(lab.room.transfers_begun(), [""; 0]);
}

#[tokio::test]
async fn proofs_of_several_servers_are_due_beside_each_other() {
    let lab = Lab::new(&[("ibe", 2)], 4).await;
    let turns = lab.engine.turns(&lab.world, &mut lab.all_due());
    assert_eq!(turns.len(), 2);
    for turn in turns {
        lab.engine.transfer(&lab.world, turn).await;
    }
    let due = works(&lab.due("ibe").unwrap());
    assert_eq!(due, ["proving ibe-1/system", "proving ibe-2/system"], "one that fails holds up no other");
}

#[tokio::test]
async fn a_proof_that_finds_damage_says_so() {
    let lab = Lab::new(&[("ibe", 1)], 4).await;
    lab.run().await;
    lab.room.damage(&"ibe".into(), "ibe-1");
    let proof = Transfer {
        due: Timestamp::now(),
        provider: "room".into(),
        tenant: "ibe".into(),
        server: "ibe-1".to_owned(),
        work: Work::Proof { disk: "system".to_owned() },
    };
    let turn = lab.engine.turns(&lab.world, &mut vec![proof]).pop().unwrap();
    let ended = lab.engine.transfer(&lab.world, turn).await.ended;
    assert!(matches!(&ended, Ended::Damaged(_, what) if what.contains("not what was sent")), "{ended:?}");
}
