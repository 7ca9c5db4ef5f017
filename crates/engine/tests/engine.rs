//! The engine on in-memory systems: many tenants, faults, claims, and all state dropped at any moment.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use vertskommune_core::check::FindingReason;
use vertskommune_core::firewall::{Adopted, Firewall, Vdom};
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::names::{ProviderName, ResourceKey, TenantName};
use vertskommune_core::plan::{Plan, PlannedStep};
use vertskommune_core::step::{RefusalReason, Wait};
use vertskommune_core::tenant::{
    Compute, DeletionPolicy, DriftPolicy, Interface, Network, Quota, Server, ValidatedTenant,
};
use vertskommune_core::windows::Maintenance;
use vertskommune_engine::{Changed, Engine, Health, RunReport, Scopes, Settings, World};
use vertskommune_provider::context::Always;
use vertskommune_provider::secrets::FolderSecrets;
use vertskommune_provider::testing::{Cut, MemoryPlugin, MemorySystem, Thing};
use vertskommune_provider::{Applied, Fenced, Permit, Plugins, ProviderError, Recorded};

fn host(name: &str) -> Host {
    Host {
        name: name.into(),
        plugin: "memory".to_owned(),
        endpoint: name.to_owned(),
        identity: name.to_owned(),
        ca: None,
        credentials: None,
        site: None,
        mode: Mode::Manage,
        budget: Budget::default(),
        ground: Ground {
            vlans: vec![1..=4094],
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            reserved: Vec::new(),
            name_prefixes: vec![String::new()],
            templates: vec!["linux@1".to_owned()],
        },
        destruction_released_until: None,
        maintenance: Maintenance::default(),
        settings: serde_json::Value::Null,
    }
}

/// The `number`-th tenant, with a network and two servers.
fn tenant(number: u16, provider: &str) -> ValidatedTenant {
    let server = |index: u8| Server {
        name: format!("t{number}-srv{index}"),
        computer_name: format!("t{number}-srv{index}"),
        template: "linux@1".to_owned(),
        vcpus: 2,
        memory: 4 << 30,
        disks: Vec::new(),
        interfaces: vec![Interface { network: "servers".to_owned(), address: None }],
        anti_affinity: None,
        adopt: None,
        recreate: None,
        restart_before: None,
    };
    ValidatedTenant {
        name: TenantName::new(format!("t{number}")),
        display_name: format!("Kommune {number}"),
        municipality_number: None,
        networks: vec![Network {
            name: "servers".to_owned(),
            vlan: number,
            cidr: format!("10.{}.{}.0/24", number / 256, number % 256).parse().unwrap(),
            gateway: None,
            dns: Vec::new(),
        }],
        compute: Some(Compute {
            provider: provider.into(),
            quota: Quota { vcpus: 64, memory: 1 << 40, storage: 1 << 43 },
            retire_after: SignedDuration::from_hours(720),
        }),
        servers: vec![server(1), server(2)],
        maintenance: Maintenance::default(),
        firewall: None,
        backup: None,
        directory: None,
        drift_policy: DriftPolicy::Heal,
        deletion_policy: DeletionPolicy::default(),
        suspend: false,
        allow_destroy: BTreeSet::new(),
        accept_loss: None,
    }
}

/// A host of in-memory systems, which outlive every engine.
struct Lab {
    systems: BTreeMap<&'static str, Arc<MemorySystem>>,
    hosts: BTreeMap<ProviderName, Host>,
}

impl Lab {
    fn new(names: &[&'static str]) -> Self {
        Self {
            systems: names.iter().map(|name| (*name, Arc::new(MemorySystem::new(*name)))).collect(),
            hosts: names.iter().map(|name| (ProviderName::from(*name), host(name))).collect(),
        }
    }

    fn engine(&self) -> Engine {
        self.engine_as("nord", "test", Arc::new(Always))
    }

    /// A new engine that remembers nothing, as after a crash.
    fn engine_as(&self, installation: &str, holder: &str, permit: Arc<dyn Permit>) -> Engine {
        let plugin = self
            .systems
            .iter()
            .fold(MemoryPlugin::default(), |plugin, (name, system)| plugin.with(name, system.clone()));
        let engine = Engine::new(Settings {
            installation: installation.into(),
            holder: holder.to_owned(),
            plugins: Plugins::default().with(plugin),
            secrets: Arc::new(FolderSecrets::new("/nonexistent")),
            permit,
            now: Timestamp::now,
        });
        assert!(engine.configure(&self.hosts).is_empty());
        engine
    }

    fn world(&self, tenants: impl IntoIterator<Item = ValidatedTenant>) -> World {
        let mut world = World::new(self.hosts.clone());
        for tenant in tenants {
            world.insert(tenant, false);
        }
        world
    }

    fn writes(&self) -> usize {
        self.systems.values().map(|system| system.journal().len()).sum()
    }
}

async fn pass(engine: &Engine, world: &World, number: u16) -> RunReport {
    engine.pass(world, &TenantName::new(format!("t{number}"))).await.unwrap()
}

/// Passes until a pass does nothing; gives the last plan.
async fn converge(engine: &Engine, world: &World, number: u16) -> Plan {
    for _ in 0..20 {
        let report = pass(engine, world, number).await;
        if report.outcomes.is_empty() {
            return report.plan;
        }
    }
    panic!("t{number} does not converge");
}

#[tokio::test]
async fn plan_apply_plan_again_is_empty_and_writes_nothing() {
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a"), tenant(2, "a")]);
    let engine = lab.engine();
    engine.observe(&world).await;
    for number in [1, 2] {
        assert!(converge(&engine, &world, number).await.is_empty());
    }
    assert_eq!(lab.writes(), 8, "a folder, a network and two servers each");
    // A rebuilt cluster takes all back.
    let engine = lab.engine();
    engine.observe(&world).await;
    for number in [1, 2] {
        assert!(converge(&engine, &world, number).await.is_empty());
    }
    assert_eq!(lab.writes(), 8);
}

#[tokio::test]
async fn a_record_is_one_providers_and_what_others_hold_is_neither_wanted_nor_unwanted() {
    let lab = Lab::new(&["a", "b"]);
    let mut suspended = tenant(1, "a");
    suspended.suspend = true;
    let (t1, engine) = (TenantName::from("t1"), lab.engine());
    let mut world = lab.world([tenant(1, "a")]);
    engine.observe(&world).await;
    converge(&engine, &world, 1).await;
    world.insert(suspended.clone(), false);
    world.roll_back(&t1, &"b".into(), Recorded::default());
    assert!(engine.plan(&world, &t1).unwrap().is_empty(), "its servers are on a");
    world.roll_back(&t1, &"a".into(), Recorded::default());
    let plan = engine.plan(&world, &t1).unwrap();
    let waits: Vec<_> = plan.steps.iter().filter_map(|planned| planned.wait.as_ref()).collect();
    assert!(!plan.steps.is_empty() && !waits.contains(&&Wait::Suspended), "a person asks for it: {plan:#?}");
    world.insert(suspended, false);
    assert!(engine.plan(&world, &t1).unwrap().is_empty(), "the manifest counts again");
    let writes = lab.writes();
    assert_eq!(engine.records(&"a".into()).await, Ok(Vec::new()));
    let recorded = engine.recorded(&"a".into(), "1", &t1).await;
    assert!(matches!(recorded, Err(ProviderError::Refused(_))), "it keeps none: {recorded:?}");
    assert!(engine.records(&"c".into()).await.is_err(), "there is none");
    assert_eq!(lab.writes(), writes);
}

#[tokio::test]
async fn a_dead_provider_stops_only_itself() {
    let lab = Lab::new(&["a", "b"]);
    let world = lab.world([tenant(1, "a"), tenant(2, "b")]);
    let dead = ProviderError::Unreachable { endpoint: "a".to_owned(), why: "no route".to_owned() };
    lab.systems["a"].set_blind(Some(dead));
    let engine = lab.engine();
    engine.observe(&world).await;
    let plan = converge(&engine, &world, 1).await;
    assert_eq!((plan.steps.len(), plan.doubts.len()), (0, 4), "unknown is not absent: {plan:#?}");
    assert!(converge(&engine, &world, 2).await.is_empty());
    assert!(matches!(engine.health()["a"].health, Health::Blind(_)));
    lab.systems["a"].set_blind(None);
    engine.observe(&world).await;
    assert!(converge(&engine, &world, 1).await.is_empty(), "it recovers without a hand");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_seen_is_looked_at_again_though_nobody_tells() {
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a")]);
    let engine = lab.engine();
    engine.observe(&world).await;
    converge(&engine, &world, 1).await;
    let a = ProviderName::from("a");
    let dead = ProviderError::Unreachable { endpoint: "a".to_owned(), why: "no route".to_owned() };
    lab.systems["a"].set_blind(Some(dead));
    // All that is told: our own writes, and that the connection broke.
    engine.watch(&a, &world).await;
    assert!(!engine.plan(&world, &"t1".into()).unwrap().doubts.is_empty());
    lab.systems["a"].set_blind(None);
    let again = tokio::time::timeout(Duration::from_secs(60), engine.watch(&a, &world)).await;
    assert_eq!(again, Ok(Changed::All));
    assert!(engine.plan(&world, &"t1".into()).unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_planned_before_the_first_look() {
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a")]);
    let engine = lab.engine();
    assert!(!engine.has_looked());
    let plan = engine.plan(&world, &"t1".into()).unwrap();
    assert_eq!((plan.steps.len(), plan.doubts.len()), (0, 4));
}

#[tokio::test]
async fn a_second_installation_is_refused_by_the_claim() {
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a")]);
    let first = lab.engine();
    first.observe(&world).await;
    converge(&first, &world, 1).await;
    let writes = lab.writes();
    for (installation, holder) in [("nord", "another cluster"), ("sør", "test")] {
        let second = lab.engine_as(installation, holder, Arc::new(Always));
        let other = lab.world([tenant(2, "a")]);
        second.observe(&other).await;
        let report = pass(&second, &other, 2).await;
        assert!(matches!(report.failure().unwrap().applied, Applied::Failed(ProviderError::Claimed { .. })));
        assert_eq!(lab.writes(), writes, "nothing was written");
    }
    first.stop();
    first.release_claims().await;
    let second = lab.engine_as("nord", "another cluster", Arc::new(Always));
    let both = lab.world([tenant(1, "a"), tenant(2, "a")]);
    second.observe(&both).await;
    assert!(converge(&second, &both, 2).await.is_empty(), "a claim that was given back hinders nobody");
}

#[tokio::test]
async fn without_a_permit_nothing_is_written() {
    struct Lost;
    impl Permit for Lost {
        fn check(&self) -> Result<(), Fenced> {
            Err(Fenced("the lease is lost".to_owned()))
        }
    }
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a")]);
    let engine = lab.engine_as("nord", "test", Arc::new(Lost));
    engine.observe(&world).await;
    let report = pass(&engine, &world, 1).await;
    assert!(!report.changed_anything());
    assert_eq!(lab.writes(), 0);
}

#[tokio::test]
async fn after_the_lease_is_lost_nothing_more_is_written() {
    /// A lease that lasts for so many writes, our claim among them.
    struct Lasting(AtomicUsize);
    impl Permit for Lasting {
        fn check(&self) -> Result<(), Fenced> {
            let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.map(drop).map_err(|_| Fenced("the lease is lost".to_owned()))
        }
    }
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a")]);
    let engine = lab.engine_as("nord", "test", Arc::new(Lasting(AtomicUsize::new(2))));
    engine.observe(&world).await;
    for _ in 0..5 {
        pass(&engine, &world, 1).await;
    }
    assert_eq!(lab.writes(), 1, "the claim, one write, and no more");
}

#[tokio::test]
async fn a_failed_step_waits_and_names_its_error() {
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a")]);
    let engine = lab.engine();
    engine.observe(&world).await;
    lab.systems["a"].cut(0, Cut::Before);
    pass(&engine, &world, 1).await;
    lab.systems["a"].reset_journal();
    engine.observe(&world).await;
    let plan = engine.plan(&world, &"t1".into()).unwrap();
    assert!(
        matches!(&plan.steps[0].wait, Some(Wait::Backoff { error, .. }) if error.contains("cut off")),
        "{plan:#?}"
    );
    assert!(engine.next_retry(&"t1".into()).is_some());
}

#[tokio::test]
async fn drift_is_noticed_and_healed_and_a_lost_server_is_not_made_anew() {
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a"), tenant(2, "a")]);
    let engine = lab.engine();
    engine.observe(&world).await;
    converge(&engine, &world, 1).await;
    converge(&engine, &world, 2).await;
    let a = ProviderName::from("a");
    // Our own writes are news to the watch, once.
    engine.watch(&a, &world).await;

    lab.systems["a"].by_hand(|things| {
        things.get_mut("t1/server/t1-srv1").unwrap().fields.insert("name", "renamed");
    });
    assert_eq!(engine.watch(&a, &world).await, Changed::Tenants(BTreeSet::from(["t1".into()])));
    let plan = engine.plan(&world, &"t1".into()).unwrap();
    let fields: Vec<_> = plan.steps.iter().flat_map(|step| step.step.fields.keys()).collect();
    assert_eq!(fields, ["name"], "exactly that field");
    assert!(converge(&engine, &world, 1).await.is_empty());
    engine.watch(&a, &world).await;

    lab.systems["a"].by_hand(|things| {
        things.remove("t1/server/t1-srv2");
    });
    engine.watch(&a, &world).await;
    let plan = converge(&engine, &world, 1).await;
    assert_eq!(plan.refusals[0].reason, RefusalReason::Lost);
    assert_eq!(plan.steps.len(), 0);
    assert!(converge(&engine, &world, 2).await.is_empty(), "the other tenant goes on");
}

#[tokio::test]
async fn all_things_of_a_tenant_vanishing_at_once_is_lost_sight() {
    let lab = Lab::new(&["a"]);
    let world = lab.world([tenant(1, "a")]);
    let engine = lab.engine();
    engine.observe(&world).await;
    converge(&engine, &world, 1).await;
    let system = &lab.systems["a"];
    system.by_hand(BTreeMap::clear);
    for mark in system.born().keys() {
        system.forget(mark);
    }
    engine.observe(&world).await;
    let plan = engine.plan(&world, &"t1".into()).unwrap();
    assert_eq!((plan.steps.len(), plan.doubts.len()), (0, 4), "{plan:#?}");

    // An operator's word is believed while it holds.
    let mut told = tenant(1, "a");
    told.accept_loss = Some(Timestamp::now() - Duration::from_secs(1));
    let plan = engine.plan(&lab.world([told.clone()]), &"t1".into()).unwrap();
    assert_eq!((plan.steps.len(), plan.doubts.len()), (0, 4), "it has run out: {plan:#?}");
    told.accept_loss = Some(Timestamp::now() + Duration::from_mins(5));
    let world = lab.world([told]);
    assert!(engine.plan(&world, &"t1".into()).unwrap().doubts.is_empty());
    assert!(converge(&engine, &world, 1).await.is_empty(), "all of it is made anew");
    assert_eq!(system.things().len(), 4);
}

#[tokio::test]
async fn what_is_not_ours_is_never_touched() {
    let lab = Lab::new(&["a"]);
    let foreign = Thing { fields: [("vcpus".to_owned(), 7.into())].into(), ..Thing::default() };
    lab.systems["a"].by_hand(|things| {
        things.insert("t1/server/t1-srv1".to_owned(), foreign.clone());
    });
    let world = lab.world([tenant(1, "a")]);
    let engine = lab.engine();
    engine.observe(&world).await;
    let plan = converge(&engine, &world, 1).await;
    assert_eq!(plan.refusals[0].reason, RefusalReason::NotOurs);
    assert_eq!(lab.systems["a"].things()["t1/server/t1-srv1"], foreign);
}

#[tokio::test]
async fn a_crash_at_every_write_with_all_state_dropped_ends_the_same() {
    let converged = |lab: &Lab| -> Vec<_> { lab.systems["a"].things().into_keys().collect() };
    let reference = Lab::new(&["a"]);
    let world = reference.world([tenant(1, "a"), tenant(2, "a")]);
    let engine = reference.engine();
    engine.observe(&world).await;
    converge(&engine, &world, 1).await;
    converge(&engine, &world, 2).await;
    let mut visited = 0;
    for nth in 0..reference.writes() {
        for cut in [Cut::Before, Cut::After] {
            let lab = Lab::new(&["a"]);
            lab.systems["a"].cut(nth, cut);
            let engine = lab.engine();
            engine.observe(&world).await;
            converge(&engine, &world, 1).await;
            converge(&engine, &world, 2).await;
            assert!(lab.systems["a"].is_cut());
            drop(engine);
            lab.systems["a"].reset_journal();
            let engine = lab.engine();
            engine.observe(&world).await;
            assert!(converge(&engine, &world, 1).await.is_empty());
            assert!(converge(&engine, &world, 2).await.is_empty());
            assert_eq!(converged(&lab), converged(&reference), "{cut:?} write {nth}");
            visited += 1;
        }
    }
    assert_eq!(visited, 16, "two cuts for each of eight writes");
}

#[tokio::test]
async fn a_server_taken_out_is_kept_and_destroyed_only_by_a_word() {
    let lab = Lab::new(&["a"]);
    let engine = lab.engine();
    let world = lab.world([tenant(1, "a")]);
    engine.observe(&world).await;
    converge(&engine, &world, 1).await;
    let key = ResourceKey::new("server", "t1-srv2");

    let mut smaller = tenant(1, "a");
    smaller.servers.pop();
    smaller.compute.as_mut().unwrap().retire_after = SignedDuration::from_hours(0);
    let world = lab.world([smaller.clone()]);
    let plan = converge(&engine, &world, 1).await;
    assert_eq!(plan.steps[0].wait, Some(Wait::Word), "{plan:#?}");
    assert_eq!(plan.steps[0].step.resource.key, key);
    assert!(plan.is_converged(), "it keeps nobody waiting");

    smaller.allow_destroy.insert(plan.steps[0].id.short().to_owned());
    let world = lab.world([smaller]);
    assert!(converge(&engine, &world, 1).await.is_empty());
    assert!(!lab.systems["a"].things().contains_key("t1/server/t1-srv2"));
}

#[tokio::test]
async fn no_more_is_destroyed_than_the_budget_allows_though_all_has_its_word() {
    let mut lab = Lab::new(&["a"]);
    for host in lab.hosts.values_mut() {
        host.budget.destructive_steps_per_hour = 1;
    }
    let engine = lab.engine();
    let mut empty = tenant(1, "a");
    let world = lab.world([empty.clone()]);
    engine.observe(&world).await;
    converge(&engine, &world, 1).await;
    empty.servers.clear();
    empty.compute.as_mut().unwrap().retire_after = SignedDuration::from_hours(0);
    let plan = converge(&engine, &lab.world([empty.clone()]), 1).await;
    let words = plan.steps.iter().filter(|step| step.wait == Some(Wait::Word));
    empty.allow_destroy.extend(words.map(|step| step.id.short().to_owned()));
    assert_eq!(empty.allow_destroy.len(), 2, "{plan:#?}");
    // What was refused has destroyed nothing.
    let world = lab.world([empty.clone()]);
    let (plan, things) = (engine.plan(&world, &"t1".into()).unwrap(), lab.systems["a"].things());
    lab.systems["a"].by_hand(|things| things.values_mut().for_each(|thing| thing.mark = None));
    let report = engine.apply(&world, plan, &|_| true).await;
    assert!(matches!(report.outcomes[0].applied, Applied::Failed(_)), "{report:#?}");
    lab.systems["a"].by_hand(|changed| *changed = things);
    let plan = engine.plan(&world, &"t1".into()).unwrap();
    let halted = |step: &&PlannedStep| matches!(step.wait, Some(Wait::DestructionHalted { .. }));
    assert_eq!(plan.steps.iter().filter(halted).count(), 0, "{plan:#?}");

    let engine = lab.engine();
    engine.observe(&world).await;
    let plan = converge(&engine, &world, 1).await;
    assert_eq!(plan.steps.iter().filter(halted).count(), 1, "one is gone, and the other is not: {plan:#?}");
    let stays = |key: &String| key.starts_with("t1/server/");
    assert_eq!(lab.systems["a"].things().keys().filter(|key| stays(key)).count(), 1);
}

#[tokio::test]
async fn several_tenants_in_deletion_stop_all_destruction() {
    let lab = Lab::new(&["a"]);
    let engine = lab.engine();
    let mut world = lab.world([tenant(1, "a"), tenant(2, "a")]);
    engine.observe(&world).await;
    converge(&engine, &world, 1).await;
    for number in [1, 2] {
        let mut leaving = tenant(number, "a");
        leaving.deletion_policy.servers = vertskommune_core::tenant::Deletion::Remove;
        leaving.compute.as_mut().unwrap().retire_after = SignedDuration::from_hours(0);
        world.insert(leaving, true);
    }
    let plan = converge(&engine, &world, 1).await;
    let ids: Vec<_> = plan.steps.iter().map(|step| step.id.short().to_owned()).collect();
    let mut leaving = world.tenant(&"t1".into()).unwrap().clone();
    leaving.allow_destroy.extend(ids);
    world.insert(leaving, true);
    let plan = converge(&engine, &world, 1).await;
    assert!(matches!(plan.steps[0].wait, Some(Wait::DestructionHalted { .. })), "{plan:#?}");
    world.remove(&"t2".into());
    assert!(converge(&engine, &world, 1).await.steps.is_empty(), "released when one is left");
}

#[tokio::test]
async fn a_firewall_on_a_provider_of_servers_is_refused() {
    let lab = Lab::new(&["a"]);
    let mut wrong = tenant(1, "a");
    wrong.firewall = Some(firewall("a"));
    let world = lab.world([wrong]);
    let engine = lab.engine();
    engine.observe(&world).await;
    let plan = engine.plan(&world, &"t1".into()).unwrap();
    let found: Vec<_> = plan.findings.iter().map(|it| (it.field.as_str(), it.reason, it.blocks)).collect();
    assert_eq!(found, [("spec.firewall.provider", FindingReason::NotOffered, true)]);
    assert_eq!(plan.ready().count(), 0);
}

#[test]
fn without_servers_the_networks_are_held_against_the_firewalls_ground() {
    let lab = Lab::new(&["a"]);
    let mut outside = tenant(1, "a");
    outside.servers.clear();
    outside.compute = None;
    outside.firewall = Some(firewall("a"));
    outside.networks[0].cidr = "192.168.7.0/24".parse().unwrap();
    let world = lab.world([outside.clone()]);
    let findings = world.check(&outside, &BTreeMap::new());
    let fields: Vec<_> = findings.iter().map(|it| it.field.as_str()).collect();
    assert!(fields.contains(&"spec.networks[0].cidr"), "{findings:?}");
}

/// A name means something else on a firewall than in a vCenter: each provider is told only of what is named there.
#[test]
fn what_is_named_for_adoption_is_looked_for_where_it_is_named() {
    let mut named = tenant(1, "servers");
    named.servers[0].adopt = Some("a-machine".to_owned());
    let zone = Some("a-zone".to_owned());
    let adopt = Adopted {
        zone,
        addresses: [("servers".to_owned(), "a-net".to_owned())].into(),
        ..Adopted::default()
    };
    named.firewall = Some(Firewall { adopt, ..firewall("walls") });
    let world = Lab::new(&["servers", "walls", "other"]).world([named.clone(), tenant(2, "servers")]);
    for (provider, words) in
        [("servers", &["a-machine"][..]), ("walls", &["a-net", "a-zone"]), ("other", &[])]
    {
        let words: BTreeSet<String> = words.iter().map(|it| (*it).to_owned()).collect();
        let expected: BTreeMap<_, _> =
            [(named.name.clone(), words)].into_iter().filter(|(_, words)| !words.is_empty()).collect();
        assert_eq!(world.scope(&provider.into()).adopt, expected, "{provider}");
        let both = BTreeSet::from([named.name.clone(), "t2".into()]);
        assert_eq!(world.scope_of(&provider.into(), &both).adopt, expected, "{provider}");
        assert!(world.scope_of(&provider.into(), &["t2".into()].into()).adopt.is_empty(), "{provider}");
    }
}

fn firewall(provider: &str) -> Firewall {
    Firewall {
        provider: provider.into(),
        vdom: Vdom::Shared,
        adopt: Adopted::default(),
        addresses: Vec::new(),
        address_groups: Vec::new(),
        services: Vec::new(),
        service_groups: Vec::new(),
        schedules: Vec::new(),
        published: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
    }
}
