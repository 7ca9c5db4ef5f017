//! Which packets pass, in a virtual firewall of its own and in the shared one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use fortios_simulator::Firmware;
use serde_json::json;
use vertskommune_core::firewall::{Action, Profiles, Side, Vdom};
use vertskommune_core::tenant::ValidatedTenant;

use super::{salangen, start};
use crate::drive;
use crate::packets::{Device, Packet, Passed};
use crate::peer::{FortiGate, edits};

/// Packets from the boundaries of what the rules name: by which interface they come, and what they are.
fn probes() -> Vec<(&'static str, Packet)> {
    let ours: [(&str, &[&str]); 2] = [
        ("servers", &["10.13.40.0", "10.13.40.11", "10.13.40.41", "10.13.40.255", "10.13.200.9"]),
        ("clients", &["10.13.44.0", "10.13.47.255"]),
    ];
    let services = [
        "10.13.0.0",
        "10.13.0.5",
        "10.13.0.6",
        "10.13.0.15",
        "10.13.0.16",
        "10.13.0.31",
        "10.13.0.32",
        "10.13.0.40",
        "10.13.0.41",
        "10.13.0.42",
        "10.13.0.255",
    ];
    let internet = [
        "10.12.255.255",
        "10.13.1.0",
        "192.0.2.9",
        "198.51.99.255",
        "198.51.100.0",
        "198.51.100.15",
        "198.51.100.16",
    ];
    let outer = ["203.0.113.24", "203.0.113.25"];
    let ports = [21, 22, 25, 53, 80, 123, 443, 445, 636, 8442, 8443, 8444, 9000, 9010, 9011];
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    let sources = ours.into_iter().flat_map(|(by, from)| from.iter().map(move |from| (by, *from)));
    let sources =
        sources.chain(services.map(|from| ("port3", from))).chain(internet.map(|from| ("port1", from)));
    let sources: Vec<_> = sources.collect();
    let targets: Vec<&str> = ours
        .iter()
        .flat_map(|(_, to)| to.iter().copied())
        .chain(services)
        .chain(internet)
        .chain(outer)
        .collect();
    let mut probes = Vec::new();
    for (by, from) in sources {
        for to in &targets {
            for port in ports {
                for (is_tcp, at_work) in [(true, true), (true, false), (false, true)] {
                    let (from, to) = (address(from), address(to));
                    probes.push((by, Packet { from, to, is_tcp, port, at_work }));
                }
            }
        }
    }
    probes
}

/// The interface of a tenant's network on the device.
fn carrier(export: &str, network: &str) -> String {
    let marked = format!("\"nord/salangen/interface/{network} ");
    let edit = edits(export).into_iter().find(|edit| edit.text.contains(&marked)).unwrap();
    edit.text.lines().next().unwrap().trim_start_matches("edit ").trim_matches('"').to_owned()
}

fn decide_all(export: &str, probes: &[(&str, Packet)]) -> Vec<Option<Passed>> {
    let device = Device::new(export);
    let names = ["servers", "clients"].map(|network| (network, carrier(export, network)));
    let by = |by: &str| {
        names.iter().find(|(name, _)| *name == by).map_or_else(|| by.to_owned(), |(_, it)| it.clone())
    };
    probes.iter().map(|(interface, packet)| device.decide(&by(interface), *packet)).collect()
}

/// A device that knows the way to the internet.
async fn routed(firmware: Firmware) -> FortiGate {
    let peer = start(firmware).await;
    peer.raw("POST", "router/static?vdom=root", json!({"device": "port1", "gateway": "203.0.113.2"})).await;
    peer
}

/// The same manifest in the shared virtual firewall and in one of its own gives every packet the same answer.
#[tokio::test]
async fn it_lets_through_what_the_shared_one_would() {
    let mut exports = Vec::new();
    for vdom in [Vdom::Shared, Vdom::Dedicated] {
        let peer = routed(Firmware::new(7, 4, 8)).await;
        let mut tenant = salangen();
        tenant.firewall.as_mut().unwrap().vdom = vdom;
        drive(&peer, tenant).converge().await;
        exports.push(peer.export().await);
    }
    let (shared, own) = (&exports[0], &exports[1]);
    let probes = probes();
    let (expected, found) = (decide_all(shared, &probes), decide_all(own, &probes));
    let other =
        probes.iter().zip(expected.iter().zip(&found)).find(|(_, (expected, found))| expected != found);
    assert_eq!(other, None, "another answer than in the shared one");
    let passed = expected.iter().flatten().count();
    let hidden = expected.iter().flatten().filter(|it| it.hidden).count();
    let inward = expected.iter().flatten().filter(|it| it.to.1 == 8443).count();
    println!("{} packets, {passed} pass, {hidden} of them hidden, {inward} to 8443", probes.len());
    assert!(passed > 500 && hidden > 100 && inward > 10, "{passed} {hidden} {inward}");
    // The proof would find what is wrong: each of these would let something else through.
    for (word, other) in [
        ("set srcaddr-negate enable", ""),
        ("set dstaddr-negate enable", ""),
        ("set extintf \"port1\"", "set extintf \"port9\""),
        ("set service \"DNS\"", "set service \"HTTPS\""),
    ] {
        assert_ne!(decide_all(&own.replace(word, other), &probes), expected, "{word}");
    }
    // Whoever has addresses of another side is let through nowhere where the shared one would not.
    let liars: Vec<_> = probes
        .into_iter()
        .filter_map(|(by, packet)| {
            Some((
                if by == "port1" {
                    "port3"
                } else if by == "port3" {
                    "port1"
                } else {
                    return None;
                },
                packet,
            ))
        })
        .collect();
    let (expected, found) = (decide_all(shared, &liars), decide_all(own, &liars));
    let opened = liars
        .iter()
        .zip(expected.iter().zip(&found))
        .find(|(_, (expected, found))| found.is_some() && expected != found);
    assert_eq!(opened, None);
}

/// The same rules in another order, some of them turned round, switched on or off.
fn shuffled(seed: u64) -> ValidatedTenant {
    let mut state = seed;
    let mut below = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % most
    };
    let mut tenant = salangen();
    let rules = &mut tenant.firewall.as_mut().unwrap().rules;
    for at in (1..rules.len()).rev() {
        rules.swap(at, below(at + 1));
    }
    for rule in rules {
        if below(4) == 0 {
            rule.action = if rule.action == Action::Accept { Action::Deny } else { Action::Accept };
            rule.nat = rule.action == Action::Accept && rule.to.side == Side::Internet;
            rule.profiles = Profiles::default();
        }
        rule.enabled ^= below(5) == 0;
    }
    tenant
}

/// Whatever the rules are, and however they became what they are.
#[tokio::test]
async fn so_it_is_with_any_rules_in_any_order() {
    let probes = probes();
    let peers = [routed(Firmware::new(7, 4, 8)).await, routed(Firmware::new(7, 2, 8)).await];
    let mut answers = BTreeSet::new();
    for seed in 0..8 {
        let mut found = Vec::new();
        for (peer, vdom) in peers.iter().zip([Vdom::Shared, Vdom::Dedicated]) {
            let mut tenant = shuffled(seed);
            tenant.firewall.as_mut().unwrap().vdom = vdom;
            drive(peer, tenant).converge().await;
            found.push(decide_all(&peer.export().await, &probes));
        }
        let other =
            probes.iter().zip(found[0].iter().zip(&found[1])).find(|(_, (shared, own))| shared != own);
        assert_eq!(other, None, "seed {seed}: another answer than in the shared one");
        answers.insert(found[0].iter().flatten().count());
    }
    assert!(answers.len() > 4, "the rules differ in what they let through: {answers:?}");
}
