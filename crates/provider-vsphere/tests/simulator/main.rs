//! The plugin against govmomi's vCenter simulator, through the contract alone.

#![expect(clippy::unwrap_used, reason = "a test fails where it must")]

macro_rules! peer {
    () => {
        match crate::lab::VCenter::start() {
            Some(vcenter) => crate::lab::TestPeer(vcenter),
            None => return,
        }
    };
}

mod exports;
mod imports;
mod lab;
mod tenant;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::observation::{Blindness, Scope, Seen};
use vertskommune_core::plan::{Plan, PlannedStep};
use vertskommune_core::step::{Class, RefusalReason, Wait};
use vertskommune_provider::context::{Always, Never};
use vertskommune_provider::testing::conformance::{self, Drive, Peer as _};
use vertskommune_provider::{Applied, Changes, Ctx, Permit, ProviderError};

use lab::{TestPeer, VCenter};
use tenant::{ibestad, small};

fn drive(peer: &TestPeer, tenant: vertskommune_core::tenant::ValidatedTenant) -> Drive<'_> {
    Drive { peer, tenant, leaving: false }
}

fn ctx(peer: &TestPeer, permit: Arc<dyn Permit>) -> Ctx {
    Ctx {
        deadline: Instant::now() + Duration::from_secs(20),
        cancel: CancellationToken::new(),
        secrets: peer.secrets(),
        permit,
    }
}

/// What a plan would change and what it only shows, in short.
fn named(plan: &Plan) -> BTreeSet<String> {
    let steps = plan.steps.iter().flat_map(|planned| {
        planned.step.expects.iter().map(move |(field, _)| format!("{} {field}", planned.step.resource.key))
    });
    let shown = plan.shown.iter().map(|shown| format!("{} {}", shown.id.key, shown.field));
    steps.chain(shown).collect()
}

fn operations(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|planned| planned.step.operation.as_str()).collect()
}

#[tokio::test]
async fn a_tenant_with_three_servers_converges() {
    let peer = peer!();
    let drive = drive(&peer, ibestad());
    conformance::looking_writes_nothing(&drive).await;
    conformance::converges(&drive).await;
    conformance::looking_writes_nothing(&drive).await;
    let vm = peer.0.vm("/DC0/vm/Tenants/ibestad/ibe-fs01");
    assert_eq!((vm["cpus"].clone(), vm["memoryMB"].clone()), (json!(4), json!(4096)), "{vm}");
    assert_eq!(vm["power"], "poweredOn");
    assert_eq!(vm["extraConfig"]["vertskommune.mark"], "nord/ibestad/server/ibe-fs01");
    assert_eq!(vm["disks"].as_array().map(Vec::len), Some(2), "{vm}");
    assert_eq!(vm["nics"][0]["network"], "ibestad-servers");
    assert_eq!(vm["pool"], "/DC0/host/DC0_C0/Resources/Tenants/ibestad");
    let extra = &peer.0.vm("/DC0/vm/Tenants/ibestad/ibe-app01")["extraConfig"];
    assert!(extra["guestinfo.userdata"].is_string(), "{extra}");
}

#[tokio::test]
async fn a_crash_at_every_write_leaves_nothing_double_and_nothing_lost() {
    let peer = peer!();
    let drive = drive(&peer, small());
    let cleared = peer.clone();
    let figures = conformance::survives_a_crash_at_every_write(&drive, &move || {
        let peer = cleared.clone();
        Box::pin(async move {
            peer.reset().await;
            peer.clear().await;
        })
    })
    .await;
    println!("{figures:?}");
    assert_eq!(figures.visited, figures.writes * 2);
}

#[tokio::test]
async fn a_crash_in_a_change_or_a_removal_is_gone_on_from() {
    let peer = peer!();
    let mut change = small();
    change.servers[0].vcpus = 8;
    change.servers[0].restart_before = Some(Timestamp::MAX);
    change.servers[0].disks[0].size = 2 << 30;
    change.networks[0].vlan = 1330;
    change.servers.push(tenant::second());
    let changed = crashes(&peer, &drive(&peer, change)).await;
    let mut removal = small();
    removal.servers.clear();
    let retired = crashes(&peer, &drive(&peer, removal)).await;
    println!("change {changed:?}, retirement {retired:?}");
    assert!(changed.writes > 8 && retired.writes > 2);
}

/// Crashes at every write on the way from the small tenant to this one.
async fn crashes(peer: &TestPeer, drive: &Drive<'_>) -> conformance::CrashFigures {
    let before = peer.clone();
    conformance::survives_a_crash_at_every_write(drive, &move || {
        let peer = before.clone();
        Box::pin(async move {
            peer.reset().await;
            peer.clear().await;
            self::drive(&peer, small()).converge().await;
        })
    })
    .await
}

#[tokio::test]
async fn what_another_client_changes_is_named_and_nothing_else() {
    let peer = peer!();
    let drive = drive(&peer, ibestad());
    drive.converge().await;
    let fs01 = "/DC0/vm/Tenants/ibestad/ibe-fs01";
    let client = peer.0.client().await;
    let rows: [(&[&str], &[&str]); 8] = [
        (&["vm.change", "-vm", fs01, "-c", "2"], &["server/ibe-fs01 vcpus"]),
        (&["vm.change", "-vm", fs01, "-m", "2048"], &["server/ibe-fs01 memory"]),
        (&["object.rename", fs01, "renamed"], &["server/ibe-fs01 name"]),
        (&["object.mv", fs01, "/DC0/vm/Drift"], &["server/ibe-fs01 folder"]),
        (
            &["vm.network.change", "-vm", fs01, "-net", "drift-servers", "ethernet-0"],
            &["server/ibe-fs01 interfaces.0.network"],
        ),
        (&["vm.power", "-off", fs01], &["server/ibe-fs01 power"]),
        (
            &["pool.change", "-mem.limit", "1000", "/DC0/host/DC0_C0/Resources/Tenants/ibestad"],
            &["pool/ibestad limits"],
        ),
        (
            &[
                "cluster.rule.change",
                "-cluster",
                "DC0_C0",
                "-name",
                "vertskommune/nord/ibestad/fs",
                "-enable=false",
            ],
            &["anti-affinity/fs enabled"],
        ),
    ];
    for (arguments, expected) in rows {
        peer.0.govc(arguments);
        let plan = drive.look().await;
        let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(named(&plan), expected, "after {arguments:?}: {plan:#?}");
        assert!(plan.refusals.is_empty() && plan.doubts.is_empty(), "{plan:#?}");
        drive.converge().await;
        if arguments[0] == "vm.power" {
            assert_eq!(peer.0.vm(fs01)["power"], "poweredOff", "power is the operator's");
            peer.0.govc(&["vm.power", "-on", fs01]);
        }
        if arguments.contains(&"-c") || arguments.contains(&"-m") {
            // A drift that needs a restart is shown, and its own doing undoes it.
            peer.0.govc(&["vm.change", "-vm", fs01, "-c", "4", "-m", "4096"]);
        }
        let after = drive.look().await;
        assert_eq!(named(&after), BTreeSet::new(), "after {arguments:?} and healing: {after:#?}");
        assert!(after.is_empty(), "{after:#?}");
    }
    // govc's own change of a VLAN leaves out the description, which the simulator takes for an empty one.
    let path = "DC0/network/ibestad-clients";
    let portgroup = client.find_by_inventory_path(path).await.unwrap().unwrap();
    let change = vsphere_client::PortgroupChange {
        vlan: Some(77),
        name: Some("ibestad-clients".to_owned()),
        description: Some("nord/ibestad/network/clients".to_owned()),
        ..Default::default()
    };
    let _ = client.writer(&|| Ok(())).reconfigure_portgroup(&portgroup, &change).await.unwrap();
    assert_eq!(named(&drive.look().await), BTreeSet::from(["network/clients vlan".to_owned()]));
    drive.converge().await;
    assert!(drive.look().await.is_empty());
    // The simulator does not let a port group have its old name again, so that this one is not healed.
    peer.0.govc(&["object.rename", "/DC0/network/ibestad-clients", "renamed"]);
    assert_eq!(named(&drive.look().await), BTreeSet::from(["network/clients name".to_owned()]));
}

#[tokio::test]
async fn what_is_not_ours_in_our_place_is_left_alone() {
    let peer = peer!();
    peer.0.govc(&["folder.create", "/DC0/vm/Tenants/ibestad"]);
    peer.0.govc(&["pool.create", "/DC0/host/DC0_C0/Resources/Tenants/ibestad"]);
    peer.0.govc(&["dvs.portgroup.add", "-dvs", "DVS0", "-vlan", "9", "ibestad-clients"]);
    let (folder, pool) = ("/DC0/vm/Tenants/ibestad", "/DC0/host/DC0_C0/Resources/Tenants");
    peer.0.govc(&[
        "vm.create",
        "-folder",
        folder,
        "-pool",
        pool,
        "-ds",
        "LocalDS_0",
        "-net",
        "drift-servers",
        "-on=false",
        "ibe-fs01",
    ]);
    let before = (peer.0.vm("/DC0/vm/Tenants/ibestad/ibe-fs01"), peer.foreign().await);
    let drive = drive(&peer, ibestad());
    let plan = drive.converge().await;
    let refused: Vec<_> = plan.refusals.iter().map(|r| (r.resource.key.to_string(), r.reason)).collect();
    assert_eq!(
        refused,
        [
            ("network/clients".to_owned(), RefusalReason::NotOurs),
            ("server/ibe-fs01".to_owned(), RefusalReason::NotOurs)
        ]
    );
    assert_eq!((peer.0.vm("/DC0/vm/Tenants/ibestad/ibe-fs01"), peer.foreign().await), before);
}

#[tokio::test]
async fn a_server_that_vanished_is_lost_and_made_anew_only_by_a_word() {
    let peer = peer!();
    let mut drive = drive(&peer, ibestad());
    drive.converge().await;
    let uuid = peer.0.vm("/DC0/vm/Tenants/ibestad/ibe-app01")["instanceUuid"].as_str().unwrap().to_owned();
    peer.0.govc(&["vm.destroy", "/DC0/vm/Tenants/ibestad/ibe-app01"]);
    let plan = drive.look().await;
    assert_eq!(plan.refusals.len(), 1, "{plan:#?}");
    assert_eq!(plan.refusals[0].reason, RefusalReason::Lost);
    assert!(plan.refusals[0].message.contains(&uuid), "{plan:#?}");
    assert!(plan.steps.is_empty(), "{plan:#?}");
    drive.tenant.servers[2].recreate = Some(uuid.clone());
    drive.converge().await;
    let anew = peer.0.vm("/DC0/vm/Tenants/ibestad/ibe-app01");
    assert!(anew["instanceUuid"].is_string() && anew["instanceUuid"] != json!(uuid), "{anew}");
    assert!(drive.look().await.is_empty());
}

#[tokio::test]
async fn a_server_that_is_gone_from_the_manifest_is_retired_and_destroyed_by_a_word() {
    let peer = peer!();
    let mut drive = drive(&peer, ibestad());
    drive.converge().await;
    let server = drive.tenant.servers.pop().unwrap();
    let plan = drive.converge().await;
    let path = "/DC0/vm/Tenants/ibestad/ibe-app01";
    let vm = peer.0.vm(path);
    assert_eq!(vm["power"], "poweredOff", "{vm}");
    assert!(vm["extraConfig"]["vertskommune.retired"].is_string(), "{vm}");
    assert!(matches!(plan.steps[0].wait, Some(Wait::Retired { .. })), "{plan:#?}");
    // Wanted again.
    drive.tenant.servers.push(server);
    drive.converge().await;
    assert_eq!(peer.0.vm(path)["power"], "poweredOn");
    assert!(drive.look().await.is_empty(), "{:#?}", drive.look().await);
    // And gone for good.
    drive.tenant.servers.pop();
    drive.tenant.compute.as_mut().unwrap().retire_after = jiff::SignedDuration::ZERO;
    let plan = drive.converge().await;
    assert_eq!(plan.steps[0].wait, Some(Wait::Word), "{plan:#?}");
    assert_eq!(plan.steps[0].step.class, Class::Destroy);
    drive.tenant.allow_destroy.insert(plan.steps[0].id.to_string());
    drive.converge().await;
    assert_eq!(peer.0.vm(path), json!(null));
    assert!(drive.look().await.is_empty(), "{:#?}", drive.look().await);
}

#[tokio::test]
async fn a_tenant_that_leaves_takes_all_along_and_the_folder_last() {
    let peer = peer!();
    let foreign = peer.foreign().await;
    let mut drive = drive(&peer, ibestad());
    drive.converge().await;
    drive.tenant.compute.as_mut().unwrap().retire_after = jiff::SignedDuration::ZERO;
    drive.tenant.deletion_policy.servers = vertskommune_core::tenant::Deletion::Remove;
    drive.leaving = true;
    let plan = drive.converge().await;
    let words =
        plan.steps.iter().filter(|step| step.step.class == Class::Destroy).map(|step| step.id.to_string());
    drive.tenant.allow_destroy = words.collect();
    assert_eq!(drive.tenant.allow_destroy.len(), 3, "{plan:#?}");
    let plan = drive.converge().await;
    assert!(plan.is_empty(), "{plan:#?}");
    assert_eq!(peer.ours().await, Vec::<String>::new());
    assert_eq!(peer.foreign().await, foreign);
}

#[tokio::test]
async fn a_change_that_needs_a_restart_waits_for_it_and_ends_powered_on() {
    let peer = peer!();
    let mut drive = drive(&peer, ibestad());
    drive.converge().await;
    drive.tenant.servers[0].vcpus = 8;
    let plan = drive.converge().await;
    assert_eq!(operations(&plan), ["shut-down", "resize", "power-on"]);
    assert!(plan.steps.iter().all(PlannedStep::is_deferred), "{plan:#?}");
    let ids: Vec<_> = plan.steps.iter().map(|step| step.id.clone()).collect();
    drive.tenant.servers[0].restart_before = Some(Timestamp::MAX);
    let plan = drive.look().await;
    assert_eq!(plan.steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>(), ids, "the same steps");
    drive.converge().await;
    let vm = peer.0.vm("/DC0/vm/Tenants/ibestad/ibe-fs01");
    assert_eq!((&vm["cpus"], &vm["power"]), (&json!(8), &json!("poweredOn")), "{vm}");
    assert!(drive.look().await.is_empty(), "{:#?}", drive.look().await);
    // With hot-add there is no restart.
    peer.0.govc(&["vm.change", "-vm", "ibe-fs01", "-cpu-hot-add-enabled", "-memory-hot-add-enabled"]);
    drive.tenant.servers[0].vcpus = 16;
    drive.tenant.servers[0].memory = 8 << 30;
    drive.tenant.servers[0].restart_before = None;
    assert_eq!(operations(&drive.look().await), ["resize"]);
    drive.converge().await;
    assert!(drive.look().await.is_empty());
}

#[tokio::test]
async fn disks_grow_and_are_added_and_never_shrink() {
    let peer = peer!();
    let mut drive = drive(&peer, ibestad());
    drive.converge().await;
    let disks = &mut drive.tenant.servers[0].disks;
    disks[0].size = 20 << 30;
    disks.push(tenant::disk("logs", 5, None));
    drive.converge().await;
    let vm = peer.0.vm("/DC0/vm/Tenants/ibestad/ibe-fs01");
    let sizes: Vec<_> =
        vm["disks"].as_array().unwrap().iter().map(|d| d["capacityKB"].as_u64().unwrap() >> 20).collect();
    assert_eq!(sizes, [40, 20, 5], "{vm}");
    assert!(drive.look().await.is_empty(), "{:#?}", drive.look().await);
    drive.tenant.servers[0].disks[0].size = 10 << 30;
    let plan = drive.look().await;
    assert_eq!(plan.refusals[0].reason, RefusalReason::CannotShrink, "{plan:#?}");
}

#[tokio::test]
async fn an_existing_machine_is_adopted_and_then_changed_step_by_step() {
    let peer = peer!();
    let mut drive = drive(&peer, small());
    drive.converge().await;
    let mut server = drive.tenant.servers[0].clone();
    server.name = "dyr-old".to_owned();
    server.adopt = Some("/DC0/vm/Drift/legacy-db01".to_owned());
    (server.vcpus, server.memory, server.disks) = (4, 8 << 30, Vec::new());
    drive.tenant.servers.push(server);
    let plan = drive.look().await;
    assert_eq!(
        operations(&plan),
        ["adopt", "rename", "move", "move-pool", "connect", "record-birth"],
        "{plan:#?}"
    );
    assert!(plan.steps[0].is_ready() && !plan.steps[1].is_ready());
    drive.converge().await;
    let vm = peer.0.vm("/DC0/vm/Tenants/dyroy/dyr-old");
    assert_eq!((&vm["annotation"], &vm["power"]), (&json!("Payroll"), &json!("poweredOn")), "{vm}");
    assert!(drive.look().await.is_empty(), "{:#?}", drive.look().await);
    drive.tenant.servers[1].name = "dyr-none".to_owned();
    drive.tenant.servers[1].adopt = Some("/DC0/vm/Drift/nothing".to_owned());
    let plan = drive.look().await;
    assert!(plan.refusals.iter().any(|refusal| refusal.reason == RefusalReason::NotFound), "{plan:#?}");
}

#[tokio::test]
async fn lost_sight_is_unknown() {
    let peer = peer!();
    let drive = drive(&peer, ibestad());
    drive.converge().await;
    peer.0.post("/hide?folder=Tenants/ibestad").await;
    let plan = drive.look().await;
    assert!(plan.steps.is_empty() && !plan.doubts.is_empty(), "{plan:#?}");
    assert!(plan.doubts.iter().all(|doubt| matches!(doubt.why, Blindness::NoSight(_))), "{plan:#?}");
    peer.0.admin(reqwest::Method::DELETE, "/hide?folder=Tenants/ibestad", None).await;
    assert!(drive.look().await.is_empty());
    peer.0.post("/hide?folder=Tenants").await;
    let seen = drive.observe(peer.provider().as_ref()).await;
    assert!(matches!(seen.coverage.blind, Some(Blindness::NoSight(_))), "{seen:#?}");
}

#[tokio::test]
async fn another_vcenter_and_wrong_credentials_are_told_apart() {
    let peer = peer!();
    let scope = Scope::default();
    let host = peer.0.host_with(|host| host.identity = "another".to_owned());
    let seen = VCenter::provider_of("nord", &host).observe(&scope, &ctx(&peer, Arc::new(Never))).await;
    assert!(matches!(seen, Err(ProviderError::Misidentified { .. })), "{seen:?}");
    let files = tempfile::tempdir().unwrap();
    std::fs::create_dir(files.path().join("vcenter")).unwrap();
    std::fs::write(files.path().join("vcenter/username"), "nobody").unwrap();
    std::fs::write(files.path().join("vcenter/password"), "wrong").unwrap();
    let secrets = Arc::new(vertskommune_provider::secrets::FolderSecrets::new(files.path()));
    let wrong = Ctx { secrets, ..ctx(&peer, Arc::new(Never)) };
    let seen = peer.provider().observe(&scope, &wrong).await;
    assert!(matches!(seen, Err(ProviderError::CredentialsRefused)), "{seen:?}");
    peer.0.post("/pause").await;
    let seen = peer.provider().observe(&scope, &ctx(&peer, Arc::new(Never))).await;
    assert!(matches!(seen, Err(ProviderError::Unreachable { .. })), "{seen:?}");
}

#[tokio::test]
async fn there_is_one_writer() {
    let peer = peer!();
    conformance::has_one_writer(&peer).await;
}

#[tokio::test]
async fn nothing_is_written_without_a_permit() {
    let peer = peer!();
    let drive = drive(&peer, small());
    let provider = peer.provider();
    let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
    peer.reset().await;
    let step = plan.ready().next().unwrap().step.clone();
    let applied = provider.apply(&[step], &ctx(&peer, Arc::new(Never))).await;
    assert!(matches!(&applied[..], [Applied::NotSent(_)]), "{applied:?}");
    assert_eq!(peer.journal().await, Vec::<String>::new());
}

#[tokio::test]
async fn changes_are_pushed_and_name_their_tenant() {
    let peer = peer!();
    let drive = drive(&peer, ibestad());
    let provider = peer.provider();
    drive.converge().await;
    let ctx = ctx(&peer, Arc::new(Never));
    assert_eq!(provider.changed(&ctx).await, Ok(Changes::Anything));
    drive.observe(provider.as_ref()).await;
    let ibestad = Changes::Tenants(BTreeSet::from(["ibestad".into()]));
    for arguments in [
        &["vm.change", "-vm", "ibe-fs01", "-annotation", "x"] as &[&str],
        &["vm.power", "-off", "ibe-fs01"],
        &["object.rename", "/DC0/vm/Tenants/ibestad/ibe-fs02", "renamed"],
        &["object.mv", "/DC0/vm/Tenants/ibestad/ibe-app01", "/DC0/vm/Drift"],
        &["vm.destroy", "/DC0/vm/Tenants/ibestad/renamed"],
    ] {
        peer.0.govc(arguments);
        let began = Instant::now();
        let ctx = Ctx { deadline: Instant::now() + Duration::from_secs(20), ..ctx.clone() };
        let changed = provider.changed(&ctx).await;
        // Of a move the simulator tells only that there was one.
        let expected = if arguments[0] == "object.mv" { Changes::Anything } else { ibestad.clone() };
        assert_eq!(changed, Ok(expected), "{arguments:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{arguments:?}");
        // Whatever else the same command did.
        let short = Ctx { deadline: Instant::now() + Duration::from_millis(500), ..ctx.clone() };
        while provider.changed(&short).await != Ok(Changes::Tenants(BTreeSet::new())) {}
    }
    peer.reset().await;
    let short = Ctx { deadline: Instant::now() + Duration::from_millis(500), ..ctx.clone() };
    provider.changed(&short).await.unwrap();
    assert_eq!(peer.0.calls().await, json!({"WaitForUpdatesEx": 1}), "a quiet pass");
    peer.0.post("/sessions/expire").await;
    assert_eq!(provider.changed(&ctx).await, Ok(Changes::Anything));
}

#[tokio::test]
async fn a_wait_that_nobody_hears_any_more_hides_no_change() {
    let peer = peer!();
    let drive = drive(&peer, small());
    let provider = peer.provider();
    drive.converge().await;
    let within = |millis| Ctx {
        deadline: Instant::now() + Duration::from_millis(millis),
        ..ctx(&peer, Arc::new(Never))
    };
    assert_eq!(provider.changed(&within(20_000)).await, Ok(Changes::Anything));
    let path = "/DC0/vm/Tenants/dyroy/dyr-fs01";
    for note in ["a", "b", "c"] {
        while provider.changed(&within(500)).await != Ok(Changes::Tenants(BTreeSet::new())) {}
        let wait = within(20_000);
        let broken = tokio::time::timeout(Duration::from_millis(300), provider.changed(&wait));
        broken.await.expect_err("nothing changes");
        // Its answer may have told of anything, and goes on to take what comes if it is let.
        assert_eq!(provider.changed(&within(20_000)).await, Ok(Changes::Anything));
        peer.0.govc(&["vm.change", "-vm", path, "-annotation", note]);
        let dyroy = Changes::Tenants(BTreeSet::from(["dyroy".into()]));
        assert_eq!(provider.changed(&within(20_000)).await, Ok(dyroy), "{note}");
    }
}

#[tokio::test]
async fn a_look_at_one_tenant_sees_what_a_sweep_sees_in_a_constant_number_of_requests() {
    let peer = peer!();
    let (first, second) = (drive(&peer, ibestad()), drive(&peer, small()));
    first.converge().await;
    let provider = peer.provider();
    let ctx = ctx(&peer, Arc::new(Never));
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    peer.reset().await;
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    let one = peer.0.calls().await;
    second.converge().await;
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    peer.reset().await;
    let all = provider.observe(&Scope::default(), &ctx).await.unwrap();
    assert_eq!(peer.0.calls().await, one, "as many requests with two tenants as with one");
    assert_eq!(one, json!({"CreateContainerView": 1, "DestroyView": 1, "RetrievePropertiesEx": 2}));
    for tenant in [first.tenant.name.clone(), second.tenant.name.clone()] {
        peer.reset().await;
        let part = provider.observe(&Scope::of([tenant.clone()]), &ctx).await.unwrap();
        assert_eq!(part.seen.get(&tenant), all.seen.get(&tenant));
        assert_eq!(peer.0.calls().await, json!({"RetrievePropertiesEx": 2}));
    }
}

#[tokio::test]
async fn a_tenant_is_onboarded_by_looks_at_it_alone() {
    let peer = peer!();
    let drive = drive(&peer, ibestad());
    let provider = peer.provider();
    let permit = ctx(&peer, Arc::new(Always));
    let mut seen = drive.observe(provider.as_ref()).await;
    let scope = Scope::of([drive.tenant.name.clone()]);
    for _ in 0..100 {
        let plan = drive.plan(provider.as_ref(), seen.clone());
        if plan.is_empty() {
            return;
        }
        for planned in plan.ready() {
            let permit = Ctx { deadline: Instant::now() + Duration::from_secs(20), ..permit.clone() };
            provider.apply(std::slice::from_ref(&planned.step), &permit).await;
        }
        seen.absorb(provider.observe(&scope, &permit).await.unwrap(), &scope);
    }
    panic!("{:#?}", drive.plan(provider.as_ref(), seen));
}

#[tokio::test]
async fn a_running_clone_is_in_progress_and_after_a_crash_may_be() {
    let peer = peer!();
    peer.0.post("/clone-time?ms=3000").await;
    let drive = drive(&peer, small());
    let provider = peer.provider();
    let permit = ctx(&peer, Arc::new(Always));
    let started = loop {
        let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
        let mut started = false;
        for planned in plan.ready() {
            let applied = provider.apply(std::slice::from_ref(&planned.step), &permit).await;
            started |= planned.step.resource.key.kind.as_str() == "server"
                && matches!(applied[0], Applied::Started { .. });
        }
        if started {
            break drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
        }
    };
    assert_eq!(started.progress[0].operation, "Cloning", "{started:#?}");
    let after_crash = drive.look().await;
    assert!(matches!(after_crash.doubts[0].why, Blindness::MaybeInProgress(_)), "{after_crash:#?}");
    drive.converge().await;
    assert!(drive.look().await.is_empty());
    let vms =
        peer.0.inventory()["vms"].as_array().unwrap().iter().filter(|vm| vm["name"] == "dyr-fs01").count();
    assert_eq!(vms, 1);
}

#[tokio::test]
async fn two_things_with_one_mark_are_unknown_and_a_snapshot_is_waited_for() {
    let peer = peer!();
    let mut drive = drive(&peer, ibestad());
    drive.converge().await;
    peer.0.govc(&["snapshot.create", "-vm", "ibe-fs02", "before-patch"]);
    drive.tenant.servers[1].disks.push(tenant::disk("more", 1, None));
    let plan = drive.look().await;
    assert!(matches!(plan.steps[0].wait, Some(Wait::Busy(_))), "{plan:#?}");
    let mark = "vertskommune.mark=nord/ibestad/server/ibe-fs01";
    peer.0.govc(&["vm.change", "-vm", "/DC0/vm/Drift/legacy-fs01", "-e", mark]);
    let seen = drive.observe(peer.provider().as_ref()).await;
    let things = seen.seen.get(&drive.tenant.name).unwrap();
    let key = vertskommune_core::names::ResourceKey::new("server", "ibe-fs01");
    assert!(matches!(things.get(&key), Some(Seen::Unknown(Blindness::Ambiguous(_)))), "{things:#?}");
}

#[tokio::test]
async fn preflight_finds_everything_as_needed() {
    let peer = peer!();
    let lines = peer.provider().preflight(&ctx(&peer, Arc::new(Never))).await;
    let words: BTreeMap<_, _> = lines.iter().map(|line| (line.what.as_str(), line.result.is_ok())).collect();
    assert!(words.len() >= 5, "{lines:#?}");
    for what in ["identity", "version", "places", "datastores", "templates"] {
        assert_eq!(words.get(what), Some(&true), "{lines:#?}");
    }
}
