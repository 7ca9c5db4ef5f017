//! Tenants with virtual firewalls of their own.

use std::fmt::Write as _;
use std::path::Path;

use fortios_simulator::Firmware;
use serde_json::{Value as Json, json};
use vertskommune_core::firewall::{Peer, Peers, Side, Vdom};
use vertskommune_core::host::Host;
use vertskommune_core::observation::{Blindness, Scope};
use vertskommune_core::step::RefusalReason;
use vertskommune_core::tenant::{Deletion, ValidatedTenant};
use vertskommune_provider::ProviderError;
use vertskommune_provider::testing::conformance::{self, Drive, Peer as _};

use super::looking::{calls, part};
use super::peer::{Edit, FortiGate, edits, example, is_marked, tenant};
use super::sight::ctx;
use super::{crashes_of_a_life, drive, firmwares};

mod drift;
mod passing;
mod refused;

/// The host lets tenants have virtual firewalls of their own, and says what lies where.
pub(super) fn offered(host: &mut Host) {
    host.settings["dedicated"] = json!({"profiles": ["default", "certificate-inspection"]});
    host.settings["profiles"] = json!(["default", "host-only"]);
    let services = &mut host.settings["places"]["services"];
    services["networks"] = json!(["10.13.0.0/24"]);
    services["addresses"] = json!({
        "host-dns": "10.13.0.5", "host-ntp": "10.13.0.6", "host-directory": "10.13.0.16/28", "host-backup": "10.13.0.40",
        "host-patching": "10.13.0.41", "host-proxy": "10.13.0.42", "host-health-gateway": "10.13.0.50",
    });
}

async fn start(firmware: Firmware) -> FortiGate {
    FortiGate::start(firmware).await.changed(offered)
}

pub(super) fn salangen() -> ValidatedTenant {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tenants/salangen.yaml");
    tenant(&std::fs::read_to_string(file).unwrap())
}

/// The name of a tenant's virtual firewall, as the device tells it.
async fn vdom_of(peer: &FortiGate, tenant: &str) -> String {
    let marked = format!("\"nord/{tenant}/vdom/tenant");
    let edits = edits(&peer.export().await);
    let edit = edits.iter().find(|edit| edit.table.ends_with("vdom-property") && edit.text.contains(&marked));
    let name =
        edit.unwrap_or_else(|| panic!("{tenant} has no virtual firewall")).text.lines().next().unwrap();
    name.trim_start_matches("edit ").trim_matches('"').to_owned()
}

/// The row of a table that has this mark, by its key.
async fn row(peer: &FortiGate, vdom: &str, table: &str, mark: &str) -> String {
    let answer = peer.raw("GET", &format!("{table}?vdom={vdom}"), Json::Null).await;
    let is = |row: &&Json| {
        let comment = row.get("comments").or(row.get("comment")).or(row.get("description"));
        comment.and_then(Json::as_str).unwrap_or_default().split(" | ").next() == Some(mark)
    };
    let row = answer["results"].as_array().unwrap().iter().find(is);
    let key = &row.unwrap_or_else(|| panic!("no {mark} in {table} of {vdom}"))["q_origin_key"];
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}

#[tokio::test]
async fn a_virtual_firewall_is_made_and_then_rests() {
    for firmware in firmwares() {
        let peer = start(firmware).await;
        let drive = drive(&peer, salangen());
        conformance::looking_writes_nothing(&drive).await;
        conformance::converges(&drive).await;
        conformance::looking_writes_nothing(&drive).await;
        assert!(vdom_of(&peer, "salangen").await.len() <= 11);
    }
}

/// What it becomes, as FortiOS writes it down. `UPDATE=1` writes it anew.
#[tokio::test]
async fn it_reads_well_on_the_device() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    drive(&peer, salangen()).converge().await;
    let (mut text, mut at) = (String::new(), (String::new(), String::new()));
    for Edit { vdom, table, text: edit } in edits(&peer.export().await).iter().filter(|edit| is_marked(edit))
    {
        if (vdom, table) != (&at.0, &at.1) {
            let place = if vdom.is_empty() { "the device" } else { vdom };
            let end = if text.is_empty() { "" } else { "end\n\n" };
            writeln!(text, "{end}# {place}\n{table}").unwrap();
            at = (vdom.clone(), table.clone());
        }
        for (i, line) in edit.lines().filter(|line| !line.starts_with("set uuid ")).enumerate() {
            let indent = if i == 0 { "    " } else { "        " };
            writeln!(text, "{indent}{line}").unwrap();
        }
        text.push_str("    next\n");
    }
    text.push_str("end\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dedicated.conf");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "UPDATE=1 writes it anew");
}

/// The same municipality, small, with a virtual firewall of its own.
fn gratangen() -> ValidatedTenant {
    let mut tenant = example("gratangen");
    tenant.firewall.as_mut().unwrap().vdom = Vdom::Dedicated;
    tenant
}

/// Another order, a rule that changes, one that opens another side, one that goes, and another network.
fn changed(mut tenant: ValidatedTenant) -> ValidatedTenant {
    let mut network = tenant.networks[0].clone();
    "phones".clone_into(&mut network.name);
    (network.vlan, network.cidr, network.gateway) =
        (1331, "10.13.31.0/24".parse().unwrap(), Some("10.13.31.1".parse().unwrap()));
    tenant.networks.push(network);
    let rules = &mut tenant.firewall.as_mut().unwrap().rules;
    let mut out = rules.pop().unwrap();
    rules.swap(0, 2);
    rules[1].services = vec!["HTTP".to_owned()];
    "out".clone_into(&mut out.id);
    out.to = Peers { side: Side::Internet, members: vec![Peer::Any] };
    rules.push(out);
    tenant
}

async fn crash_at_every_write(firmware: Firmware) {
    let peer = start(firmware).await;
    let small = gratangen();
    crashes_of_a_life(&peer, firmware, small.clone(), [small.clone(), changed(small)]).await;
}

#[tokio::test]
async fn a_crash_at_every_write_leaves_nothing_double_and_nothing_lost() {
    crash_at_every_write(firmwares()[0]).await;
}

#[tokio::test]
async fn nor_does_one_without_transactions() {
    crash_at_every_write(firmwares()[1]).await;
}

/// A tenant that leaves leaves nothing behind, and the virtual firewall itself is gone.
#[tokio::test]
async fn nothing_is_left_of_one_that_goes() {
    for firmware in firmwares() {
        let peer = start(firmware).await;
        let before = peer.export().await;
        drive(&peer, salangen()).converge().await;
        let mut gone = salangen();
        gone.deletion_policy.firewall = Deletion::Remove;
        Drive { peer: &peer, tenant: gone, leaving: true }.converge().await;
        let body = |export: &str| {
            export.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(body(&peer.export().await), body(&before));
    }
}

/// With the virtual firewall all that stands in it would go.
#[tokio::test]
async fn one_in_which_something_of_others_stands_stays() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    let small = gratangen();
    let (all, any) = (json!([{"name": "all"}]), json!([{"name": "any"}]));
    let rule = json!({
        "name": "mine", "srcintf": any, "dstintf": any, "srcaddr": all, "dstaddr": all, "service": [{"name": "ALL"}],
        "schedule": "always",
    });
    let net = |name: &str| json!({"name": name, "subnet": "192.0.2.0/24"});
    for (table, row, told) in [
        ("firewall/address", net("mine"), "address mine"),
        ("firewall/address", net("host-dns"), "address host-dns"),
        ("router/static", json!({"dst": "192.0.2.0/24", "blackhole": "enable"}), "route "),
        ("firewall/policy", rule, "(mine)"),
    ] {
        drive(&peer, small.clone()).converge().await;
        let vdom = vdom_of(&peer, "gratangen").await;
        let made = peer.raw("POST", &format!("{table}?vdom={vdom}"), row).await["mkey"].clone();
        let mkey = made.as_str().map_or_else(|| made.to_string(), str::to_owned);
        stays(&peer, &small, told).await;
        peer.raw("GET", &format!("{table}/{mkey}?vdom={vdom}"), Json::Null).await;
        peer.raw("DELETE", &format!("{table}/{mkey}?vdom={vdom}"), Json::Null).await;
    }
    drive(&peer, small.clone()).converge().await;
    let vdom = vdom_of(&peer, "gratangen").await;
    let vlan = json!({"name": "by-hand", "vdom": vdom, "type": "vlan", "interface": "port4", "vlanid": 7});
    peer.raw("POST", "system/interface", vlan).await;
    stays(&peer, &small, "interface by-hand").await;
    peer.raw("DELETE", "system/interface/by-hand", Json::Null).await;
    let mut gone = small.clone();
    gone.deletion_policy.firewall = Deletion::Remove;
    let plan = Drive { peer: &peer, tenant: gone, leaving: true }.converge().await;
    assert!(plan.is_empty(), "{plan:#?}");
    assert!(!peer.export().await.contains(&vdom));
}

/// What a virtual firewall has from its birth, and what somebody has made of it since, are told apart by every attribute.
#[tokio::test]
async fn one_in_which_others_have_changed_what_was_there_from_its_birth_stays() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    let small = gratangen();
    drive(&peer, small.clone()).converge().await;
    let vdom = vdom_of(&peer, "gratangen").await;
    let path = |vdom: &str| format!("firewall.service/custom/HTTP?vdom={vdom}");
    let before = peer.raw("GET", &path(&vdom), Json::Null).await["results"][0].clone();
    // A change in the host's own is one, too: which of the two is as they were born cannot be told.
    for (place, attribute, value) in [
        (vdom.as_str(), "tcp-portrange", "81"),
        (vdom.as_str(), "comment", "mine"),
        ("root", "tcp-portrange", "80 8080"),
        ("root", "comment", "of the host"),
    ] {
        peer.raw("PUT", &path(place), json!({attribute: value})).await;
        stays(&peer, &small, "service HTTP").await;
        peer.raw("PUT", &path(place), json!({attribute: before[attribute]})).await;
        drive(&peer, small.clone()).converge().await;
    }
}

async fn stays(peer: &FortiGate, tenant: &ValidatedTenant, told: &str) {
    let mut gone = tenant.clone();
    gone.deletion_policy.firewall = Deletion::Remove;
    let plan = Drive { peer, tenant: gone, leaving: true }.converge().await;
    let refused: Vec<_> = plan.refusals.iter().map(|it| (it.reason, it.message.as_str())).collect();
    assert!(
        matches!(&refused[..], [(RefusalReason::NotOurs, why)] if why.contains(told)),
        "{told}: {refused:?}"
    );
    assert!(plan.steps.is_empty(), "{plan:#?}");
}

#[tokio::test]
async fn lookalikes_stay_as_they_are() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    let made = drive(&peer, salangen());
    made.converge().await;
    // A virtual firewall with the mark of another one's, one that is named nearly so, and a link nearly so.
    for (name, description) in
        [("grat-abcdef", "nord/gratangen/vdom/tenant | copied"), ("grat-bcdefg", "by hand")]
    {
        peer.raw("POST", "system/vdom", json!({"name": name})).await;
        let path = format!("system/vdom-property/{name}");
        peer.raw("PUT", &path, json!({"description": description})).await;
        let theirs = json!({"name": "gratangen.servers", "subnet": "192.0.2.0/24"});
        peer.raw("POST", &format!("firewall/address?vdom={name}"), theirs).await;
    }
    peer.raw("POST", "system/vdom-link", json!({"name": "grat_abcdef"})).await;
    // What stands in one virtual firewall is in nobody's way in another.
    let theirs = json!({"name": "gratangen.gra-fs01", "subnet": "192.0.2.1/32"});
    peer.raw("POST", "firewall/address?vdom=root", theirs).await;
    let strange = |export: &str| {
        let words = ["grat-abcdef", "grat-bcdefg", "grat_abcdef", "gra-fs01\"\nset subnet 192"];
        let edits =
            edits(export).into_iter().map(|edit| format!("{} {} {}", edit.vdom, edit.table, edit.text));
        let lines = edits.map(|text| {
            text.lines().filter(|line| !line.starts_with("set uuid")).collect::<Vec<_>>().join("\n")
        });
        lines.filter(|text| words.iter().any(|word| text.contains(word))).collect::<Vec<_>>()
    };
    let before = strange(&peer.export().await);
    assert!(before.len() > 100, "the virtual firewalls with all that they have from their birth");
    let small = drive(&peer, gratangen());
    conformance::converges(&small).await;
    let mut gone = gratangen();
    gone.deletion_policy.firewall = Deletion::Remove;
    Drive { peer: &peer, tenant: gone, leaving: true }.converge().await;
    assert_eq!(strange(&peer.export().await), before);
    assert!(made.look().await.is_empty());
    // One in whose place something stands is refused.
    peer.raw(
        "POST",
        "firewall/address?vdom=root",
        json!({"name": "gratangen.transit.servers", "subnet": "192.0.2.0/24"}),
    )
    .await;
    let plan = small.converge().await;
    let refused: Vec<_> = plan.refusals.iter().map(|it| (it.resource.key.to_string(), it.reason)).collect();
    assert_eq!(refused, [("address/transit:servers".to_owned(), RefusalReason::NotOurs)]);
}

#[tokio::test]
async fn one_more_than_the_licence_allows_waits() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    for nth in 1..10 {
        peer.raw("POST", "system/vdom", json!({"name": format!("v{nth}")})).await;
    }
    let drive = drive(&peer, gratangen());
    peer.reset().await;
    let plan = drive.converge().await;
    assert_eq!(peer.journal().await, Vec::<String>::new(), "nothing is begun");
    let waits: Vec<_> = plan.steps.iter().filter(|it| it.step.resource.key.kind.as_str() == "vdom").collect();
    let text = waits[0].wait.as_ref().unwrap().to_string();
    assert_eq!(text, "no room: needs 1 of virtual firewalls, 0 free");
    peer.raw("DELETE", "system/vdom/v9", Json::Null).await;
    conformance::converges(&drive).await;
    assert!(drive.look().await.is_empty(), "one that is there needs no more room");
}

#[tokio::test]
async fn what_is_hidden_is_unknown_and_the_others_go_on() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    let (own, shared) = (drive(&peer, salangen()), drive(&peer, example("gratangen")));
    own.converge().await;
    shared.converge().await;
    let vdom = vdom_of(&peer, "salangen").await;
    for hide in [
        format!("/hide?vdom={vdom}"),
        format!("/hide?vdom={vdom}&table=firewall/policy"),
        "/hide?table=system/vdom-property".to_owned(),
    ] {
        peer.admin("POST", &hide, Json::Null).await;
        peer.reset().await;
        let plan = own.look().await;
        assert!(plan.steps.is_empty() && plan.doubts.len() > 10, "{hide}: {plan:#?}");
        assert!(
            plan.doubts.iter().all(|doubt| matches!(doubt.why, Blindness::NoSight(_))),
            "{hide}: {plan:#?}"
        );
        assert!(shared.look().await.is_empty(), "{hide}");
        let mut gone = salangen();
        gone.deletion_policy.firewall = Deletion::Remove;
        let plan = Drive { peer: &peer, tenant: gone, leaving: true }.look().await;
        let goes = plan.steps.iter().filter(|it| {
            let place = it.step.expects.get("vdom").and_then(Json::as_str);
            place != Some("root") || ["vdom", "link"].contains(&it.step.resource.key.kind.as_str())
        });
        assert_eq!(goes.count(), 0, "{hide}: {plan:#?}");
        peer.admin("DELETE", "/hide", Json::Null).await;
        conformance::converges(&own).await;
    }
}

/// Where a tenant stands is settled when it comes, and never changed by removing the one and making the other.
#[tokio::test]
async fn a_tenant_is_not_moved_and_not_made_twice() {
    for (first, then) in [(Vdom::Shared, Vdom::Dedicated), (Vdom::Dedicated, Vdom::Shared)] {
        let peer = start(Firmware::new(7, 4, 8)).await;
        let with = |vdom: Vdom| {
            let mut tenant = salangen();
            tenant.firewall.as_mut().unwrap().vdom = vdom;
            tenant
        };
        drive(&peer, with(first)).converge().await;
        let before = peer.export().await;
        let plan = drive(&peer, with(then)).converge().await;
        assert_eq!(peer.export().await, before);
        assert!(plan.steps.is_empty(), "{plan:#?}");
        let ours: Vec<_> = plan.refusals.iter().filter(|it| it.field == "spec.firewall.vdom").collect();
        assert!(ours.iter().any(|it| it.message.contains("this tenant's rules stand in")), "{ours:#?}");
        assert!(plan.refusals.iter().all(|it| it.reason == RefusalReason::Immutable), "{plan:#?}");
    }
}

/// Neither changes a byte of the other's.
#[tokio::test]
async fn shared_and_own_stand_side_by_side() {
    for firmware in firmwares() {
        let peer = start(firmware).await;
        let of = async |tenant: &str| {
            let mark = format!("\"nord/{tenant}/");
            let edits = edits(&peer.export().await);
            edits.into_iter().filter(|edit| edit.text.contains(&mark)).collect::<Vec<_>>()
        };
        drive(&peer, example("ibestad")).converge().await;
        let ibestad = of("ibestad").await;
        conformance::converges(&drive(&peer, gratangen())).await;
        conformance::converges(&drive(&peer, changed(gratangen()))).await;
        assert_eq!(of("ibestad").await, ibestad);
        let gratangen = of("gratangen").await;
        let mut other = example("ibestad");
        other.firewall.as_mut().unwrap().rules.swap(0, 3);
        conformance::converges(&drive(&peer, other)).await;
        conformance::converges(&drive(&peer, salangen())).await;
        assert_eq!(of("gratangen").await, gratangen);
    }
}

/// A look at one tenant sees at every stage what a reading of everything sees.
#[tokio::test]
async fn a_look_at_one_tenant_sees_what_a_look_at_all_sees() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("gratangen")).converge().await;
    let own = drive(&peer, salangen());
    let (provider, ctx) = (peer.provider(), ctx(peer.secrets()));
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    let same = async |when: &str| {
        let seen = provider.observe(&Scope::of(["salangen".into()]), &ctx).await.unwrap();
        let whole = peer.provider().observe(&Scope::default(), &ctx).await.unwrap();
        assert_eq!(seen.coverage, whole.coverage, "{when}");
        assert_eq!(seen.capacity, whole.capacity, "{when}");
        assert_eq!(part(&seen, "salangen"), part(&whole, "salangen"), "{when}");
        seen
    };
    let mut passes = 0;
    loop {
        let plan = own.plan(provider.as_ref(), same(&format!("pass {passes}")).await);
        if plan.is_empty() {
            break;
        }
        own.carry_out(provider.as_ref(), &plan).await;
        passes += 1;
        assert!(passes < 10, "{plan:#?}");
    }
    let vdom = vdom_of(&peer, "salangen").await;
    let dns = row(&peer, &vdom, "firewall/policy", "nord/salangen/policy/municipality-baseline.dns").await;
    let end = row(&peer, "root", "system/interface", "nord/salangen/link-end/host").await;
    for (method, path, body) in [
        // The end of a link is known by its name, whatever stands in its comment.
        ("PUT", format!("system/interface/{end}"), json!({"description": "nord/gratangen/link-end/host"})),
        ("PUT", format!("system/interface/{end}"), json!({"description": "nord/salangen/link-end/host"})),
        ("PUT", format!("firewall/policy/{dns}?vdom={vdom}"), json!({"status": "disable"})),
        ("PUT", format!("firewall/policy/{dns}?vdom={vdom}&action=move&after=7"), Json::Null),
        ("POST", format!("firewall/address?vdom={vdom}"), json!({"name": "mine"})),
        (
            "POST",
            "system/interface".to_owned(),
            json!({
                "name": "by-hand", "vdom": vdom, "type": "vlan", "interface": "port4", "vlanid": 7,
            }),
        ),
        ("PUT", format!("system/vdom-property/{vdom}"), json!({"description": "no mark"})),
        ("PUT", format!("system/vdom-property/{vdom}"), json!({"description": "nord/salangen/vdom/tenant"})),
        ("DELETE", format!("firewall/policy/{dns}?vdom={vdom}"), Json::Null),
    ] {
        peer.raw(method, &path, body).await;
        same(&path).await;
    }
    conformance::converges(&own).await;
    // Which virtual firewalls there are, links, room, who it is, and five sorts of profiles, besides what everybody has.
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    calls(&peer).await;
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    assert_eq!(calls(&peer).await, 10 + 4 + 5);
}

#[tokio::test]
async fn no_revision_takes_a_virtual_firewall_back() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    drive(&peer, salangen()).converge().await;
    let (provider, ctx) = (peer.provider(), ctx(peer.secrets()));
    let records = provider.records(&ctx).await.unwrap();
    let refused = provider.recorded(&records[0].id, &"salangen".into(), &ctx).await;
    assert!(
        matches!(&refused, Err(ProviderError::Refused(why)) if why.contains("a virtual firewall of its own")),
        "{refused:?}"
    );
}
