//! Preflight says what was found, and what would help.

use fortios_simulator::{Firmware, Options};
use serde_json::{Value as Json, json};
use vertskommune_core::host::Host;
use vertskommune_provider::testing::conformance::Peer as _;

use super::peer::FortiGate;
use super::sight::ctx;

/// What is wrong with this host's firewall, each with what would help.
async fn wrong(peer: &FortiGate, change: impl FnOnce(&mut Host)) -> Vec<(String, String)> {
    let host = peer.host_with(change);
    let checked = FortiGate::provider_of(&host).preflight(&ctx(peer.secrets())).await;
    checked.into_iter().filter_map(|it| Some((it.what, it.result.err()?))).collect()
}

#[tokio::test]
async fn all_is_well() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let host = peer.host_with(|host| host.settings["profiles"] = json!(["default", "protect_client"]));
    let checked = FortiGate::provider_of(&host).preflight(&ctx(peer.secrets())).await;
    assert!(checked.iter().all(|it| it.result.is_ok()), "{checked:#?}");
    let found = |what: &str| {
        let it = checked.iter().find(|it| it.what == what).unwrap_or_else(|| panic!("no line {what}"));
        it.result.clone().unwrap()
    };
    for (what, says) in [
        ("identity", "v7.4.8"),
        ("cluster", "1 in step"),
        ("rights to read", "15 tables"),
        ("rights to write", "all that is needed, by the profile super_admin"),
        ("virtual firewalls", "1 of 10 are used"),
        ("saving", "changes are saved at once"),
        ("manager", "none"),
        ("profile protect_client", "ips sensor"),
        ("profile default", "antivirus profile, ips sensor, webfilter profile, application list"),
    ] {
        assert_eq!(found(what), says, "{what}");
    }
    assert!(found("room").contains("2 of 201024 firewall-policy"), "{}", found("room"));
}

#[tokio::test]
async fn what_is_missing_is_named_and_all_of_it() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let wrong = wrong(&peer, |host| {
        host.settings["policyAnchor"]["before"] = json!("nowhere");
        host.settings["parent"] = json!("port77");
        host.settings["places"]["services"]["addresses"] = json!(["host-fax"]);
        host.settings["internet"]["ipPool"] = json!("outside");
        host.settings["profiles"] = json!(["strict", "default"]);
    })
    .await;
    let named: Vec<&str> = wrong.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(named, ["parent", "place services/host-fax", "ip pool", "profile strict", "anchor"]);
    assert!(wrong.iter().all(|(_, help)| help.contains(": make it, or correct")), "{wrong:#?}");
}

#[tokio::test]
async fn rights_are_told_by_table_and_by_profile_and_nothing_is_written() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let profile = json!({
        "name": "narrow", "scope": "global", "sysgrp": "read", "netgrp": "read", "fwgrp": "custom",
        "fwgrp-permission": {"policy": "read-write", "address": "read-write", "service": "read-write", "others": "read"},
    });
    peer.raw("POST", "system/accprofile?global=0", profile).await;
    peer.raw("PUT", "system/api-user/api", json!({"accprofile": "narrow"})).await;
    peer.admin("POST", "/hide?vdom=root&table=firewall/vip", Json::Null).await;
    peer.admin("POST", "/hide?vdom=root&table=router/static", Json::Null).await;
    peer.reset().await;
    let wrong = wrong(&peer, |_| {}).await;
    let expected = [
        ("rights to read", "firewall/vip, router/static in root"),
        ("rights to write", "the profile narrow lacks read-write for netgrp, fwgrp schedule, fwgrp others"),
    ];
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for ((what, says), (line, help)) in expected.iter().zip(&wrong) {
        assert!(line == what && help.contains(says), "{line}: {help}");
    }
    assert_eq!(peer.journal().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_the_device_does_not_tell_is_no_fault() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    for path in ["monitor/web-ui/state", "monitor/system/vdom-resource", "monitor/license/status"] {
        peer.admin("POST", "/fault", json!({"method": "GET", "path": path, "status": 403, "error": -37}))
            .await;
    }
    assert_eq!(wrong(&peer, |_| {}).await, []);
}

#[tokio::test]
async fn a_table_that_is_nearly_full_is_named() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    peer.admin("POST", "/limit?table=firewall/policy&rows=2", Json::Null).await;
    let wrong = wrong(&peer, |_| {}).await;
    assert!(
        matches!(&wrong[..], [(what, help)] if what == "room" && help.starts_with("2 of 2 firewall-policy are used")),
        "{wrong:#?}"
    );
}

#[tokio::test]
async fn a_cluster_is_those_that_are_pinned_and_no_others() {
    let peers = |serials: &[&str]| {
        let mut options = Options::default();
        options.identity.peers = serials.iter().map(|serial| (*serial).to_owned()).collect();
        options
    };
    let pin = |host: &mut Host| "FGVM04TM24000001, FGVM04TM24000002".clone_into(&mut host.identity);
    let whole = FortiGate::with(peers(&["FGVM04TM24000002"])).await;
    assert_eq!(wrong(&whole, pin).await, []);
    for (there, says) in [
        (&[][..], "FGVM04TM24000002 is in spec.identity and not in the cluster"),
        (
            &["FGVM04TM24000002", "FGVM04TM24000003"][..],
            "FGVM04TM24000003 is in the cluster and not in spec.identity",
        ),
    ] {
        let peer = FortiGate::with(peers(there)).await;
        let wrong = wrong(&peer, pin).await;
        assert!(
            matches!(&wrong[..], [(what, help)] if what == "cluster" && help.starts_with(says)),
            "{wrong:#?}"
        );
    }
}

#[tokio::test]
async fn whether_tenants_can_have_virtual_firewalls_of_their_own_is_told_where_they_may() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let named = async |change: fn(&mut Host)| {
        let wrong = wrong(&peer, change).await;
        wrong.into_iter().filter(|(what, _)| what == "virtual firewalls").map(|it| it.1).collect::<Vec<_>>()
    };
    assert_eq!(named(|_| {}).await, Vec::<String>::new());
    let full = "10 of 10 are used: extend the licence before another tenant has one of its own";
    for vdom in 2..=10 {
        peer.raw("POST", "system/vdom", json!({"name": format!("other{vdom}")})).await;
    }
    assert_eq!(named(super::dedicated::offered).await, [full]);
    peer.raw("PUT", "system/global", json!({"vdom-mode": "no-vdom"})).await;
    let off = "vdom-mode is no-vdom: set it to multi-vdom, or take dedicated out of spec.settings";
    assert_eq!(named(super::dedicated::offered).await, [off]);
}
