//! What stands on the firewall already is taken over by its name: the mark and nothing else, and then field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fortios_simulator::Firmware;
use serde_json::{Value as Json, json};
use vertskommune_core::observation::{Foreign, Observation, Scope};
use vertskommune_core::plan::{Plan, PlannedStep};
use vertskommune_core::render::{self, Colour};
use vertskommune_core::step::{Class, RefusalReason};
use vertskommune_core::tenant::{Deletion, ValidatedTenant};
use vertskommune_provider::context::Always;
use vertskommune_provider::testing::conformance::{self, Drive, Peer as _};
use vertskommune_provider::{Applied, Changes, Ctx, ProviderError};

use super::peer::{FortiGate, example, example_with};
use super::sight::ctx;
use super::{drive, firmwares};

/// Gratangen, which was migrated by hand.
const GRATANGEN: &str = r#"
provider: fortigate-main
adopt:
  zone: GRATANGEN
  networks: [{name: servers, interface: vlan1330, address: NET-Gratangen}]
  servers: [{name: gra-fs01, address: GRA-FS01}]
addresses:
  - {name: case-supplier, cidr: 198.51.100.0/28, comment: the supplier of the case system, adopt: H-supplier}
addressGroups: [{name: suppliers, members: [case-supplier], adopt: G-suppliers}]
services: [{name: case-system, tcp: ["8443", 9000-9010], adopt: TCP-8443}]
serviceGroups: [{name: office, members: [case-system, HTTPS], adopt: S-office}]
published:
  - {name: portal, external: 203.0.113.20, server: gra-fs01, port: {external: 443, internal: 8443}, adopt: VIP-portal}
routes: [{name: water-works, to: 192.168.40.0/24, via: 10.13.30.254, adopt: "7"}]
rules:
  - {id: ask-dns, from: [servers], to: ["host:services/host-dns"], services: [DNS]}
  - {id: supplier-in, from: [suppliers], to: [gra-fs01], services: [office], adopt: Gratangen sak}
  - {id: portal-in, from: [internet], to: [portal], services: [HTTPS], adopt: "41"}
"#;

/// What was made by hand for it: one of every kind that can be taken over.
fn by_hand() -> Vec<(&'static str, Json)> {
    let names = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Json>();
    let mut rows = vec![
        (
            "system/interface",
            json!({"name": "vlan1330", "vdom": "root", "interface": "port2", "vlanid": 1330,
                   "ip": "10.13.30.1 255.255.255.0", "allowaccess": "ping https", "description": "Gratangen | servere"}),
        ),
        ("system/zone", json!({"name": "GRATANGEN", "interface": [{"interface-name": "vlan1330"}]})),
        (
            "firewall/address",
            json!({"name": "NET-Gratangen", "subnet": "10.13.30.0/24", "comment": "moved in 2019"}),
        ),
        ("firewall/address", json!({"name": "GRA-FS01", "subnet": "10.13.30.11/32"})),
        ("firewall/address", json!({"name": "H-supplier", "subnet": "198.51.100.0/24"})),
        ("firewall/addrgrp", json!({"name": "G-suppliers", "member": names(&["H-supplier"])})),
        (
            "firewall.service/custom",
            json!({"name": "TCP-8443", "protocol": "TCP/UDP/SCTP", "tcp-portrange": "8443", "comment": "case system"}),
        ),
        ("firewall.service/group", json!({"name": "S-office", "member": names(&["TCP-8443"])})),
        (
            "firewall/vip",
            json!({"name": "VIP-portal", "extintf": "port1", "extip": "203.0.113.20", "portforward": "enable",
                   "mappedip": [{"range": "10.13.30.11"}], "protocol": "tcp", "extport": "443", "mappedport": "443"}),
        ),
        (
            "router/static",
            json!({"seq-num": 7, "dst": "192.168.40.0/24", "gateway": "10.13.30.253", "device": "vlan1330"}),
        ),
    ];
    for (id, name, source, target, service, comment) in [
        (40, "Gratangen sak", "H-supplier", "GRA-FS01", "TCP-8443", "ticket 4711"),
        (41, "Gratangen portal", "all", "VIP-portal", "HTTPS", ""),
    ] {
        let policy = json!({
            "policyid": id, "name": name, "srcintf": names(&["port1"]), "dstintf": names(&["GRATANGEN"]),
            "srcaddr": names(&[source]), "dstaddr": names(&[target]), "service": names(&[service]),
            "schedule": "always", "action": "accept", "comments": comment,
        });
        rows.push(("firewall/policy", policy));
    }
    rows
}

async fn migrate(peer: &FortiGate) {
    for (table, row) in by_hand() {
        peer.raw("POST", &format!("{table}?vdom=root"), row).await;
    }
}

async fn migrated(firmware: Firmware) -> FortiGate {
    let peer = FortiGate::start(firmware).await;
    migrate(&peer).await;
    peer
}

fn gratangen() -> ValidatedTenant {
    example_with("gratangen", GRATANGEN)
}

/// Gratangen with other words in its manifest.
fn gratangen_but(this: &str, that: &str) -> ValidatedTenant {
    assert!(GRATANGEN.contains(this), "{this}");
    example_with("gratangen", &GRATANGEN.replace(this, that))
}

/// The lines of an export that are gone and those that have come, where all that differs stands together.
fn difference(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    // The head counts the saves.
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().to_owned()).collect()
    };
    let (mut before, mut after) = (lines(before), lines(after));
    let same = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    (before, after) = (before.split_off(same), after.split_off(same));
    let same = before.iter().rev().zip(after.iter().rev()).take_while(|(one, other)| one == other).count();
    before.truncate(before.len() - same);
    after.truncate(after.len() - same);
    (before, after)
}

fn adoptions(plan: &Plan) -> Vec<&PlannedStep> {
    plan.steps.iter().filter(|it| it.step.class == Class::Adopt).collect()
}

#[tokio::test]
async fn the_mark_is_written_and_nothing_else_and_the_rest_is_as_it_was_shown() {
    for firmware in firmwares() {
        let peer = migrated(firmware).await;
        let drive = drive(&peer, gratangen());
        let plan = drive.look().await;
        assert!(plan.refusals.is_empty() && plan.doubts.is_empty(), "{plan:#?}");
        let adopts = adoptions(&plan);
        assert_eq!(adopts.len(), by_hand().len(), "{plan:#?}");
        assert_eq!(adopts, plan.ready().collect::<Vec<_>>(), "everything else waits");
        let (provider, permit) = (peer.provider(), Arc::new(Always));
        let ctx = Ctx { permit, ..ctx(peer.secrets()) };
        for planned in &adopts {
            let before = peer.export().await;
            let outcome = provider.apply(std::slice::from_ref(&planned.step), &ctx).await;
            assert_eq!(outcome, [Applied::Done], "{planned:#?}");
            let (gone, come) = difference(&before, &peer.export().await);
            let [line] = &come[..] else { panic!("{gone:?} {come:?}") };
            let attribute = line.split('"').next().unwrap();
            let mark = format!("nord/gratangen/{}", planned.step.resource.key);
            assert!(attribute.starts_with("set ") && line.contains(&mark), "{line}");
            assert!(gone.len() < 2 && gone.iter().all(|it| it.starts_with(attribute)), "{gone:?}");
            let kept = gone
                .iter()
                .all(|it| line.ends_with(it.trim_start_matches(attribute).trim_start_matches('"')));
            assert!(kept, "{gone:?} → {line}");
        }
        let next = drive.look().await;
        assert!(adoptions(&next).is_empty(), "{next:#?}");
        // A rule that changes together with others is replaced where there are no transactions.
        let as_shown = |it: &&PlannedStep| {
            firmware >= Firmware::new(7, 4, 1) || it.step.resource.key.kind.as_str() != "policy"
        };
        let taken: BTreeSet<_> = adopts.iter().map(|it| &it.step.resource).collect();
        let shown =
            plan.steps.iter().filter(|it| taken.contains(&it.step.resource) && it.step.operation == "set");
        let shown: BTreeSet<_> = shown.filter(as_shown).map(|it| it.id.as_str()).collect();
        let planned: BTreeSet<_> = next.steps.iter().map(|it| it.id.as_str()).collect();
        assert!(shown.len() > 5 && shown.is_subset(&planned), "{plan:#?} {next:#?}");
        assert_eq!(planned.len(), next.steps.len(), "each step once: {next:#?}");
        // Nothing goes but what another form of it replaces.
        let gone = next.steps.iter().filter(|it| it.step.class == Class::Remove);
        assert!(gone.clone().all(|it| it.step.resource.key.name.ends_with('~')), "{next:#?}");
        assert!(gone.clone().all(|it| !it.is_ready()), "named before it is replaced: {next:#?}");
        conformance::converges(&drive).await;
        let export = peer.export().await;
        for (table, row) in by_hand().iter().filter(|(table, _)| !table.ends_with("policy")) {
            let name = row["name"].as_str().unwrap_or("7");
            let edits = [format!("edit \"{name}\"\n"), format!("edit {name}\n")];
            let count: usize = edits.iter().map(|edit| export.matches(edit).count()).sum();
            assert!(count >= 1, "{table} {name} keeps its name");
        }
        assert!(!export.contains("Gratangen sak"), "a policy's name is an attribute like any other");
        assert!(!export.contains("edit \"gratangen."), "nothing stands beside what was taken over");
    }
}

/// What a plan looks like in which everything is taken over, and the plan after it. `UPDATE=1` writes it anew.
#[tokio::test]
async fn the_plans_of_an_adoption_read_well() {
    let peer = migrated(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, gratangen());
    let first = drive.look().await;
    let provider = peer.provider();
    let outcomes = drive.carry_out(provider.as_ref(), &first).await;
    assert!(outcomes.iter().all(|it| *it == Applied::Done), "{outcomes:?}");
    let text = [first, drive.look().await].map(|plan| render::plan(&plan, Colour::Never)).join("\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/adoption.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), text, "UPDATE=1 writes it anew");
}

#[tokio::test]
async fn what_must_not_be_taken_over_is_refused_with_its_reason() {
    let peer = migrated(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("dyroy")).converge().await;
    let of_sor =
        json!({"name": "of-sor", "subnet": "192.0.2.0/24", "comment": "sor/gratangen/address/x | theirs"});
    peer.raw("POST", "firewall/address?vdom=root", of_sor).await;
    let vlan = json!({"name": "vlan1331", "vdom": "root", "interface": "port2", "vlanid": 1331});
    peer.raw("POST", "system/interface?vdom=root", vlan).await;
    let of_dyroy = peer.export().await;
    let of_dyroy = of_dyroy.lines().filter_map(|line| line.trim().strip_prefix("edit \"")?.strip_suffix('"'));
    let of_dyroy: Vec<&str> = of_dyroy.filter(|name| name.starts_with("dyroy.dyr-")).collect();
    let of_dyroy = format!("adopt: {}", of_dyroy[0]);
    let (address, interface) = ("address/case-supplier", "interface/servers");
    let (portal, supplier) = ("policy/portal-in", "policy/supplier-in");
    for (this, that, key, reason, says) in [
        (
            "adopt: H-supplier",
            "adopt: H-nobody",
            address,
            RefusalReason::NotFound,
            "there is no H-nobody in firewall/address",
        ),
        (
            "adopt: H-supplier",
            of_dyroy.as_str(),
            address,
            RefusalReason::NotOurs,
            "belongs to nord/dyroy/address/dyr-",
        ),
        (
            "adopt: H-supplier",
            "adopt: of-sor",
            address,
            RefusalReason::NotOurs,
            "belongs to sor/gratangen/address/x",
        ),
        (
            "adopt: H-supplier",
            "adopt: host-dns",
            address,
            RefusalReason::NotOurs,
            "host's own, rules of all tenants",
        ),
        ("interface: vlan1330", "interface: port3", interface, RefusalReason::NotOurs, "host's own, a place"),
        (
            "interface: vlan1330",
            "interface: vlan1331",
            interface,
            RefusalReason::Immutable,
            "vlanid of system/interface vlan1331 is 1331 and cannot become 1330",
        ),
        (
            "adopt: \"41\"",
            "adopt: \"2\"",
            portal,
            RefusalReason::NotOurs,
            "host's own, tenants' rules stand above it",
        ),
        (
            "adopt: \"41\"",
            "adopt: deny-and-log",
            portal,
            RefusalReason::NotOurs,
            "host's own, tenants' rules stand above it",
        ),
        (
            "adopt: Gratangen sak",
            "adopt: \"99\"",
            supplier,
            RefusalReason::NotFound,
            "there is no 99 in firewall/policy",
        ),
        (
            "adopt: \"7\"",
            "adopt: \"8\"",
            "route/water-works",
            RefusalReason::NotFound,
            "there is no 8 in router/static",
        ),
    ] {
        let drive = drive(&peer, gratangen_but(this, that));
        let plan = drive.look().await;
        let [refusal] = &plan.refusals[..] else { panic!("{that}: {plan:#?}") };
        assert_eq!((refusal.resource.key.to_string().as_str(), refusal.reason), (key, reason), "{refusal:?}");
        assert!(refusal.message.contains(says), "{that}: {}", refusal.message);
        assert!(plan.steps.iter().all(|it| it.step.resource != refusal.resource), "{plan:#?}");
    }
    // To the end: nothing but what is taken over is touched, and no rule without the one that is refused.
    let drive = drive(&peer, gratangen_but("adopt: \"41\"", "adopt: deny-and-log"));
    let rules = peer.tables(&["policy"]).await;
    drive.converge().await;
    let now = peer.tables(&["policy"]).await;
    let (gone, come) = difference(&rules, &now);
    assert_eq!((gone.len(), come.len()), (1, 1), "{gone:?} {come:?}");
    assert!(come[0].contains("nord/gratangen/policy/supplier-in | ticket 4711"), "{come:?}");
}

#[tokio::test]
async fn without_the_word_what_is_there_is_in_the_way() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let tenant = example_with(
        "dyroy",
        "provider: fortigate-main\nservices: [{name: case-system, tcp: ['8443']}]\nrules:\n  - {id: a, from: [servers], \
         to: [internet], services: [case-system]}\n  - {id: b, from: [servers], to: [internet], services: [DNS]}\n",
    );
    drive(&peer, tenant.clone()).converge().await;
    // Everything as it would be, but without our marks.
    let ours: Vec<String> = peer.ours().await;
    assert!(ours.len() > 5, "{ours:?}");
    for (table, comment) in [
        ("system/interface", "description"),
        ("system/zone", "description"),
        ("firewall/address", "comment"),
        ("firewall.service/custom", "comment"),
        ("firewall/policy", "comments"),
    ] {
        let rows = peer.raw("GET", &format!("{table}?vdom=root"), Json::Null).await["results"].clone();
        for row in rows.as_array().unwrap() {
            if row[comment].as_str().unwrap_or_default().starts_with("nord/") {
                let key = row["q_origin_key"]
                    .as_str()
                    .map_or_else(|| row["q_origin_key"].to_string(), str::to_owned);
                peer.raw("PUT", &format!("{table}/{key}?vdom=root"), json!({comment: "by hand"})).await;
            }
        }
    }
    let before = peer.export().await;
    let drive = drive(&peer, tenant);
    let plan = drive.converge().await;
    let refused: Vec<_> =
        plan.refusals.iter().map(|it| (it.resource.key.to_string(), it.message.clone())).collect();
    let ids: Vec<u64> = {
        let rows = peer.raw("GET", "firewall/policy?vdom=root", Json::Null).await["results"].clone();
        let ours = rows.as_array().unwrap().iter().filter(|it| it["comments"] == "by hand");
        ours.map(|it| it["policyid"].as_u64().unwrap()).collect()
    };
    for (key, remedy) in [
        ("interface/servers", "or name it in spec.firewall.adopt".to_owned()),
        ("zone/tenant", "or name it in spec.firewall.adopt".to_owned()),
        ("address/servers", "or name it in spec.firewall.adopt".to_owned()),
        ("address/dyr-fs01", "or name it in spec.firewall.adopt".to_owned()),
        ("service/case-system", "or set adopt: \"dyroy.case-system\"".to_owned()),
        ("policy/a", format!("or set adopt: \"{}\"", ids[0])),
        ("policy/b", format!("or set adopt: \"{}\"", ids[1])),
    ] {
        assert!(
            refused.iter().any(|(it, message)| it == key && message.ends_with(&remedy)),
            "{key}: {refused:#?}"
        );
    }
    assert_eq!(refused.len(), 3 + 1 + 3 + 5 + 1 + 2, "{refused:#?}");
    assert_eq!(difference(&before, &peer.export().await), (vec![], vec![]));
}

#[tokio::test]
async fn a_crash_at_every_write_of_an_adoption_leaves_nothing_double() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        let anew = peer.clone();
        let figures = conformance::survives_a_crash_at_every_write(&drive(&peer, gratangen()), &move || {
            let peer = anew.clone();
            Box::pin(async move {
                peer.clear().await;
                migrate(&peer).await;
                peer.reset().await;
            })
        })
        .await;
        assert!(figures.writes > 12 && figures.visited == figures.writes * 2, "{figures:?}");
        println!("{firmware:?}: {figures:?}");
    }
}

/// The word is a permission for the taking over. Without it later, what stands keeps its name, and so does all that
/// refers to it.
#[tokio::test]
async fn what_was_taken_over_keeps_its_name_when_the_word_is_taken_out() {
    for firmware in firmwares() {
        let peer = migrated(firmware).await;
        drive(&peer, gratangen()).converge().await;
        let before = peer.export().await;
        let (head, rest) = GRATANGEN.split_once("adopt:\n").unwrap();
        let rest = rest.split_once("addresses:").unwrap().1;
        let mut manifest = format!("{head}addresses:{rest}");
        for word in [
            "H-supplier",
            "G-suppliers",
            "TCP-8443",
            "S-office",
            "VIP-portal",
            "\"7\"",
            "Gratangen sak",
            "\"41\"",
        ] {
            manifest = manifest.replace(&format!(", adopt: {word}"), "");
        }
        assert!(!manifest.contains("adopt"), "{manifest}");
        let drive = drive(&peer, example_with("gratangen", &manifest));
        let plan = drive.converge().await;
        assert!(plan.is_empty() && plan.refusals.is_empty(), "{plan:#?}");
        let shown: Vec<_> = plan.shown.iter().map(|it| (it.id.key.to_string(), it.field.as_str())).collect();
        assert_eq!(shown.len(), 9, "{shown:?}");
        assert!(shown.contains(&("service/case-system".to_owned(), "name")), "{shown:?}");
        assert_eq!(difference(&before, &peer.export().await), (vec![], vec![]));
        // What is written anew names what stands.
        let manifest = manifest.replace(
            "rules:\n",
            "rules:\n  - {id: fresh, from: [servers], to: [suppliers], services: [case-system]}\n",
        );
        let drive = super::drive(&peer, example_with("gratangen", &manifest));
        conformance::converges(&drive).await;
        let rules = peer.tables(&["policy"]).await;
        let fresh = rules.split("next").find(|row| row.contains("policy/fresh")).unwrap();
        for name in ["GRATANGEN", "NET-Gratangen", "G-suppliers", "TCP-8443"] {
            assert!(fresh.contains(&format!("\"{name}\"")), "{fresh}");
        }
    }
}

#[tokio::test]
async fn what_was_taken_over_goes_with_the_tenant_like_all_else() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        let before = peer.foreign().await;
        migrate(&peer).await;
        let mut tenant = gratangen();
        drive(&peer, tenant.clone()).converge().await;
        tenant.deletion_policy.firewall = Deletion::Remove;
        let removal = Drive { peer: &peer, tenant, leaving: true };
        conformance::converges(&removal).await;
        assert_eq!((peer.ours().await, peer.foreign().await), (vec![], before));
    }
}

#[tokio::test]
async fn what_changed_since_the_plan_is_not_taken_over() {
    let peer = migrated(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, gratangen());
    let plan = drive.look().await;
    peer.raw("PUT", "firewall/address/H-supplier?vdom=root", json!({"subnet": "192.0.2.0/28"})).await;
    peer.raw("PUT", "firewall/address/GRA-FS01?vdom=root", json!({"comment": "sor/x/address/y"})).await;
    let before = peer.export().await;
    let (provider, mut tried) = (peer.provider(), 0);
    for planned in adoptions(&plan) {
        let key = planned.step.resource.key.to_string();
        if !["address/case-supplier", "address/gra-fs01"].contains(&key.as_str()) {
            continue;
        }
        tried += 1;
        let one = Plan { steps: vec![planned.clone()], ..plan.clone() };
        let outcomes = drive.carry_out(provider.as_ref(), &one).await;
        assert!(
            matches!(&outcomes[..], [Applied::NotSent(why)] if why.contains("any more") || why.contains("by now")),
            "{outcomes:?}"
        );
    }
    assert_eq!(tried, 2);
    assert_eq!(difference(&before, &peer.export().await), (vec![], vec![]));
}

/// Two routes to one network would share its traffic.
#[tokio::test]
async fn a_route_that_goes_the_same_way_is_in_the_way() {
    let peer = migrated(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, gratangen_but(", adopt: \"7\"", ""));
    let says = "router/static 7 stands in its place and has no mark of ours: take it off the firewall, or set adopt: \"7\"";
    let first = drive.look().await;
    let last = drive.converge().await;
    for plan in [first, last] {
        let [refusal] = &plan.refusals[..] else { panic!("{plan:#?}") };
        assert_eq!(
            (refusal.resource.key.to_string().as_str(), refusal.message.as_str()),
            ("route/water-works", says)
        );
    }
    let routes = peer.tables(&["static"]).await;
    assert_eq!(routes.matches("set dst").count(), 1, "{routes}");
}

/// A VLAN has one interface, whatever that is called.
#[tokio::test]
async fn an_interface_of_the_same_vlan_is_in_the_way() {
    let peer = migrated(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, gratangen_but("interface: vlan1330, address", "address"));
    let plan = drive.look().await;
    let makes = plan.ready().find(|it| it.step.resource.key.to_string() == "interface/servers").cloned();
    let outcomes =
        drive.carry_out(peer.provider().as_ref(), &Plan { steps: makes.into_iter().collect(), ..plan }).await;
    let says = "VLAN 1330 on port2 is vlan1330 already: name it in spec.firewall.adopt";
    assert!(
        matches!(&outcomes[..], [Applied::Failed(ProviderError::Refused(why))] if why.contains(says)),
        "{outcomes:?}"
    );
}

/// What an entry of another name names is the old entry's by its mark: it is neither taken over nor taken away.
#[tokio::test]
async fn an_entry_of_another_name_takes_nothing_away() {
    let peer = migrated(Firmware::new(7, 4, 8)).await;
    drive(&peer, gratangen()).converge().await;
    let before = peer.export().await;
    let renamed = GRATANGEN.replace("case-system", "sak").replace("case-supplier", "vendor");
    let plan = drive(&peer, example_with("gratangen", &renamed)).converge().await;
    let refused: Vec<_> = plan.refusals.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        refused,
        [
            "firewall/address H-supplier is address/case-supplier already: one thing can be only one entry",
            "firewall.service/custom TCP-8443 is service/case-system already: one thing can be only one entry",
        ]
    );
    assert_eq!(difference(&before, &peer.export().await), (vec![], vec![]));
}

/// By its id and by its name: the first has it, and the second is told so.
#[tokio::test]
async fn one_policy_is_only_one_rule() {
    let peer = migrated(Firmware::new(7, 4, 8)).await;
    let plan =
        drive(&peer, gratangen_but("adopt: Gratangen sak", "adopt: Gratangen portal")).converge().await;
    let [refusal] = &plan.refusals[..] else { panic!("{plan:#?}") };
    assert!(refusal.message.contains("already: one thing can be only one entry"), "{}", refusal.message);
    assert_eq!(peer.export().await.matches("/policy/").count(), 1);
}

/// A look at one tenant sees what it names as a look at all does, whatever another client has done, and a watch tells of it.
#[tokio::test]
async fn what_is_named_is_looked_at() {
    let peer = migrated(Firmware::new(7, 4, 8)).await;
    for name in ["ibestad", "dyroy"] {
        drive(&peer, example(name)).converge().await;
    }
    let (provider, ctx) = (peer.provider(), ctx(peer.secrets()));
    let tenant = gratangen();
    let adopt = BTreeMap::from([(tenant.name.clone(), tenant.adoptions(provider.name()))]);
    let whole = Scope { adopt: adopt.clone(), ..Scope::default() };
    let part = Scope { adopt, ..Scope::of([tenant.name.clone()]) };
    provider.observe(&whole, &ctx).await.unwrap();
    provider.changed(&ctx).await.unwrap();
    let policy = json!({"name": "Gratangen sak", "srcintf": [{"name": "port1"}], "dstintf": [{"name": "GRATANGEN"}],
        "srcaddr": [{"name": "all"}], "dstaddr": [{"name": "GRA-FS01"}], "service": [{"name": "HTTPS"}],
        "schedule": "always", "action": "accept"});
    for (method, path, body) in [
        ("PUT", "firewall/address/H-supplier?vdom=root", json!({"subnet": "192.0.2.0/24"})),
        ("PUT", "firewall/address/GRA-FS01?vdom=root", json!({"comment": "sor/gratangen/address/gra-fs01"})),
        (
            "PUT",
            "firewall/address/NET-Gratangen?vdom=root",
            json!({"comment": "nord/dyroy/address/servers-2 | x"}),
        ),
        ("PUT", "router/static/7?vdom=root", json!({"gateway": "10.13.30.250"})),
        ("PUT", "firewall/policy/41?vdom=root", json!({"comments": "nord/gratangen/policy/portal-in"})),
        ("PUT", "firewall/policy/40?vdom=root", json!({"action": "deny"})),
        ("DELETE", "firewall/policy/40?vdom=root", Json::Null),
        ("POST", "firewall/policy?vdom=root", policy),
        ("DELETE", "router/static/7?vdom=root", Json::Null),
    ] {
        peer.raw(method, path, body).await;
        let seen = provider.observe(&part, &ctx).await.unwrap();
        let all = peer.provider().observe(&whole, &ctx).await.unwrap();
        assert_eq!(seen.seen.get(&tenant.name), all.seen.get(&tenant.name), "{method} {path}");
        let of = |seen: &Observation| -> Vec<Foreign> {
            seen.foreign.iter().filter(|it| it.tenant == tenant.name).cloned().collect()
        };
        assert_eq!(sorted(of(&seen)), sorted(of(&all)), "{method} {path}");
    }
    // A watch that saw the last of it tells of the next.
    provider.changed(&ctx).await.unwrap();
    let route =
        json!({"seq-num": 7, "dst": "192.168.40.0/24", "gateway": "10.13.30.253", "device": "vlan1330"});
    peer.raw("POST", "router/static?vdom=root", route).await;
    assert_eq!(provider.changed(&ctx).await, Ok(Changes::Tenants([tenant.name.clone()].into())));
}

fn sorted(mut foreign: Vec<Foreign>) -> Vec<Foreign> {
    foreign.sort_by(|one, other| (&one.kind, &one.identity).cmp(&(&other.kind, &other.identity)));
    foreign
}
