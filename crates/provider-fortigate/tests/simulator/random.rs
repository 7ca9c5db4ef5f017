//! Random rule sets and random edits, on the device: after each change the table has exactly the wanted order, and without
//! transactions no table on the way gives a packet an answer that neither the old nor the new one gives.

use std::collections::BTreeSet;

use fortios_simulator::Firmware;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestCaseResult, TestRunner};
use serde_json::{Value as Json, json};
use vertskommune_core::firewall::{Action, Log, Peer, Peers, Profiles, Rule, Side, Written};
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_provider::testing::conformance::Drive;

use super::peer::{FortiGate, example};
use super::{drive, firmwares};

/// Rule sets on one device, each an edit of the one before.
const EDITS: usize = 4;
/// How many devices; each of them for every firmware.
const CASES: u32 = 12;

/// A rule by numbers.
#[derive(Clone, Debug)]
struct Drawn {
    id: usize,
    from: usize,
    to: usize,
    services: Vec<usize>,
    accepts: bool,
    enabled: bool,
}

/// Few, so that rules take each other's packets.
const SERVERS: [&str; 2] = ["ibe-fs01", "ibe-web01"];
const SERVICES: [&str; 2] = ["HTTPS", "DNS"];

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let service = prop::collection::vec(0..SERVICES.len(), 1..3);
    let rule = (0_usize..9, 0_usize..3, 0_usize..3, service, any::<bool>(), prop::bool::weighted(0.9));
    let rule = rule.prop_map(|(id, from, to, services, accepts, enabled)| Drawn {
        id,
        from,
        to,
        services,
        accepts,
        enabled,
    });
    prop::collection::vec(rule, 3..9)
}

/// Some rules of the one before stay as they are, wherever they are now.
fn edits() -> impl Strategy<Value = Vec<Vec<Drawn>>> {
    let edit = (drawn(), any::<[bool; 9]>());
    prop::collection::vec(edit, EDITS).prop_map(|edits| {
        let mut sets: Vec<Vec<Drawn>> = Vec::new();
        for (mut rules, stays) in edits {
            if let Some(before) = sets.last() {
                for rule in &mut rules {
                    if let Some(same) = before.iter().find(|it| it.id == rule.id && stays[it.id]) {
                        *rule = same.clone();
                    }
                }
            }
            let mut seen = BTreeSet::new();
            rules.retain(|rule| seen.insert(rule.id));
            sets.push(rules);
        }
        sets
    })
}

impl Drawn {
    fn rule(&self) -> Rule {
        let peer = |number: usize| match number {
            0 => Peer::Any,
            _ => Peer::Server(SERVERS[number - 1].to_owned()),
        };
        let peers = |number: usize| Peers { side: Side::Tenant, members: vec![peer(number)] };
        let services: BTreeSet<usize> = self.services.iter().copied().collect();
        Rule {
            id: format!("r{}", self.id),
            from: peers(self.from),
            to: peers(self.to),
            services: services.into_iter().map(|it| SERVICES[it].to_owned()).collect(),
            action: if self.accepts { Action::Accept } else { Action::Deny },
            log: Log::None,
            nat: false,
            schedule: None,
            profiles: Profiles::default(),
            enabled: self.enabled,
            written: Written::default(),
        }
    }
}

/// A tenant with these rules and no others.
fn tenant(rules: &[Drawn]) -> ValidatedTenant {
    let mut tenant = example("ibestad");
    let firewall = tenant.firewall.as_mut().unwrap();
    firewall.rules = rules.iter().map(Drawn::rule).collect();
    tenant
}

/// What a table answers to each packet. What is in an address or a service is told by its name alone: two names have nothing
/// in common but where one is everything.
fn answers(table: &Json, packets: &[[String; 4]]) -> Vec<Option<String>> {
    let rows = table.as_array().unwrap();
    let has = |row: &Json, attribute: &str, name: &str| {
        let names = row[attribute].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
        names.into_iter().any(|it| it == name || matches!(it, "all" | "any" | "ALL"))
    };
    let fits = |row: &&Json, [interface, from, to, service]: &[String; 4]| {
        row["status"] == "enable"
            && has(row, "srcintf", interface)
            && has(row, "dstintf", interface)
            && has(row, "srcaddr", from)
            && has(row, "dstaddr", to)
            && has(row, "service", service)
    };
    let answer = |packet| {
        rows.iter().find(|row| fits(row, packet)).map(|row| row["action"].as_str().unwrap().to_owned())
    };
    packets.iter().map(answer).collect()
}

/// One packet for everything that a rule of these tables can tell apart.
fn packets(tables: &[&Json]) -> Vec<[String; 4]> {
    let names = |attribute: &str| -> BTreeSet<String> {
        let rows = tables.iter().flat_map(|table| table.as_array().unwrap());
        let names = rows.flat_map(|row| row[attribute].as_array().unwrap());
        names.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut packets = Vec::new();
    for from in names("srcaddr") {
        for to in names("dstaddr") {
            let one = |service| ["zone.ibestad".to_owned(), from.clone(), to.clone(), service];
            packets.extend(names("service").into_iter().map(one));
        }
    }
    packets
}

/// The names of the table from top to bottom; of ours without what tells two forms apart.
fn order(table: &Json) -> Vec<String> {
    let name = |row: &Json| row["name"].as_str().unwrap().split('~').next().unwrap().to_owned();
    table.as_array().unwrap().iter().map(name).collect()
}

async fn one_device(firmware: Firmware, sets: &[Vec<Drawn>]) -> TestCaseResult {
    let peer = FortiGate::start(firmware).await;
    for rules in sets {
        peer.admin("POST", "/record?vdom=root&table=firewall/policy", Json::Null).await;
        let drive: Drive<'_> = drive(&peer, tenant(rules));
        drive.converge().await;
        let tables = peer.admin("GET", "/record", Json::Null).await;
        let tables = tables.as_array().unwrap();
        let (old, new) = (&tables[0], &tables[tables.len() - 1]);
        let mut wanted = vec!["host-services-out".to_owned()];
        wanted.extend(rules.iter().map(|rule| format!("ibestad.r{}", rule.id)));
        wanted.push("deny-and-log".to_owned());
        prop_assert_eq!(order(new), wanted);
        let packets = packets(&[old, new]);
        let (before, after) = (answers(old, &packets), answers(new, &packets));
        for (step, table) in tables.iter().enumerate() {
            for (index, is) in answers(table, &packets).into_iter().enumerate() {
                if is != before[index] && is != after[index] {
                    let text = format!(
                        "{:?} after {step} writes: {is:?}, {:?}, {:?}",
                        packets[index], before[index], after[index]
                    );
                    return Err(TestCaseError::fail(text));
                }
            }
        }
        if firmware == Firmware::new(7, 4, 8) {
            let forms: BTreeSet<String> =
                tables.iter().map(|table| json!(order(table)).to_string()).collect();
            prop_assert!(forms.len() <= 2, "the table changes at once: {:?}", forms);
        }
        prop_assert!(drive.look().await.is_empty());
    }
    Ok(())
}

#[test]
fn after_each_edit_the_table_is_in_order_and_on_the_way_it_is_safe() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for firmware in firmwares() {
        let mut runner =
            TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let result = runner.run(&edits(), |sets| runtime.block_on(one_device(firmware, &sets)));
        result.unwrap_or_else(|failure| panic!("{firmware:?}: {failure}"));
    }
}
