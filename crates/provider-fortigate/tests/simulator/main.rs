//! The plugin against the FortiOS simulator, through the contract alone.

#![expect(clippy::unwrap_used, reason = "a test fails where it must")]

mod adoption;
mod dedicated;
mod drift;
mod looking;
mod packets;
mod peer;
mod preflight;
mod random;
mod refused;
mod rollback;
mod sight;

use std::path::Path;

use fortios_simulator::{Firmware, Options};
use vertskommune_core::tenant::{Deletion, ValidatedTenant};
use vertskommune_provider::testing::conformance::{self, CrashFigures, Drive, Peer as _};

use peer::{FortiGate, example};

/// With batch transactions, and from before there were any.
fn firmwares() -> [Firmware; 2] {
    [Firmware::new(7, 4, 8), Firmware::new(7, 2, 8)]
}

fn drive(peer: &FortiGate, tenant: ValidatedTenant) -> Drive<'_> {
    Drive { peer, tenant, leaving: false }
}

#[tokio::test]
async fn every_example_converges_and_then_rests() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        for name in ["ibestad", "dyroy", "gratangen"] {
            let drive = drive(&peer, example(name));
            conformance::looking_writes_nothing(&drive).await;
            conformance::converges(&drive).await;
            conformance::looking_writes_nothing(&drive).await;
        }
    }
}

#[tokio::test]
async fn there_is_one_writer() {
    conformance::has_one_writer(&FortiGate::start(Firmware::new(7, 4, 8)).await).await;
}

/// Crashes at every write on the way from one form of a tenant to another, or from nothing.
async fn crashes(peer: &FortiGate, before: Option<ValidatedTenant>, drive: &Drive<'_>) -> CrashFigures {
    let anew = peer.clone();
    let figures = conformance::survives_a_crash_at_every_write(drive, &move || {
        let (peer, before) = (anew.clone(), before.clone());
        Box::pin(async move {
            peer.clear().await;
            if let Some(before) = before {
                self::drive(&peer, before).converge().await;
            }
            peer.reset().await;
        })
    })
    .await;
    assert_eq!(figures.visited, figures.writes * 2);
    figures
}

/// Crashes at every write of a tenant's onboarding, of a change from one form to another, and of the tenant's removal.
async fn crashes_of_a_life(
    peer: &FortiGate,
    firmware: Firmware,
    tenant: ValidatedTenant,
    [before, after]: [ValidatedTenant; 2],
) {
    let onboarding = crashes(peer, None, &drive(peer, tenant.clone())).await;
    let change = crashes(peer, Some(before), &drive(peer, after)).await;
    let mut gone = tenant.clone();
    gone.deletion_policy.firewall = Deletion::Remove;
    let removal = Drive { peer, tenant: gone, leaving: true };
    let removal = crashes(peer, Some(tenant), &removal).await;
    println!("{firmware:?}: onboarding {onboarding:?}, change {change:?}, removal {removal:?}");
}

/// Another order, a rule that changes, one that comes, one that goes, and an address that goes with it.
fn changed(mut tenant: ValidatedTenant) -> ValidatedTenant {
    let firewall = tenant.firewall.as_mut().unwrap();
    let rules = &mut firewall.rules;
    rules.retain(|rule| rule.id != "supplier-to-cases");
    firewall.addresses.retain(|address| address.name != "case-supplier");
    rules[0].services = vec!["NTP".to_owned()];
    rules[2].enabled = false;
    let last = rules.pop().unwrap();
    let mut fresh = rules[1].clone();
    "fresh".clone_into(&mut fresh.id);
    rules.insert(1, last);
    rules.push(fresh);
    tenant
}

#[tokio::test]
async fn a_crash_at_every_write_leaves_nothing_double_and_nothing_lost() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        let ibestad = example("ibestad");
        crashes_of_a_life(&peer, firmware, example("gratangen"), [ibestad.clone(), changed(ibestad)]).await;
    }
}

#[tokio::test]
async fn a_device_that_refuses_moves_in_transactions_is_served_one_by_one() {
    let peer = FortiGate::with(Options { moves_in_transactions: false, ..Options::default() }).await;
    conformance::converges(&drive(&peer, example("gratangen"))).await;
    assert!(peer.ours().await.len() > 5);
}

/// What the examples become, as FortiOS writes it down. `UPDATE=1` writes it anew.
#[tokio::test]
async fn the_examples_read_well_on_the_device() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    for name in ["ibestad", "dyroy", "gratangen"] {
        drive(&peer, example(name)).converge().await;
    }
    let tables = [
        "interface",
        "zone",
        "address",
        "addrgrp",
        "custom",
        "group",
        "recurring",
        "vip",
        "static",
        "policy",
    ];
    let export = peer.tables(&tables).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/examples.conf");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &export).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), export, "UPDATE=1 writes it anew");
}
