//! What the device exports, against what it tells by REST.

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::Installation;

use super::rows;
use super::text::Section;
use crate::client::{Ask, At};
use crate::entry::{Attributes as _, Entry};
use crate::schema::TABLES;
use crate::testing::device;

/// Text with what has a meaning in a configuration, but for the signs that FortiOS takes in no comment.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 ._/-]{0,20}",
        r"[a-z\\ å\n|]{0,12}",
        Just("end\nnext\nconfig x".to_owned()),
        Just("nord/ibestad/policy/x | so".to_owned()),
    ]
}

fn choice(of: &'static [&'static str]) -> impl Strategy<Value = Json> {
    prop::sample::select(of).prop_map(Json::from)
}

fn names(of: &'static [&'static str]) -> impl Strategy<Value = Json> {
    prop::sample::subsequence(of, 1..=of.len())
        .prop_map(|names| names.iter().map(|name| json!({"name": name})).collect())
}

/// An attribute that may be left at its default.
fn maybe(
    name: &'static str,
    value: impl Strategy<Value = Json>,
) -> impl Strategy<Value = Vec<(String, Json)>> {
    prop::option::of(value)
        .prop_map(move |value| value.map(|value| (name.to_owned(), value)).into_iter().collect())
}

fn address() -> impl Strategy<Value = Json> {
    let what = prop_oneof![
        (any::<u8>(), 8..=32_u8).prop_map(|(net, bits)| json!({"subnet": format!("10.{net}.0.0/{bits}")})),
        any::<u8>().prop_map(
            |last| json!({"type": "iprange", "start-ip": "10.0.0.1", "end-ip": format!("10.0.1.{last}")})
        ),
        Just(json!({"type": "fqdn", "fqdn": "www.ibestad.example"})),
        Just(json!({})),
    ];
    (what, text()).prop_map(|(mut row, comment)| {
        row["comment"] = json!(comment);
        row
    })
}

fn policy() -> impl Strategy<Value = Json> {
    const ADDRESSES: &[&str] = &["all", "none", "a 0", "a 1"];
    let set = (
        maybe("action", choice(&["accept", "deny"])),
        maybe("nat", choice(&["enable", "disable"])),
        maybe("status", choice(&["enable", "disable"])),
        maybe("logtraffic", choice(&["all", "utm", "disable"])),
        maybe("utm-status", choice(&["enable", "disable"])),
        maybe("ssl-ssh-profile", choice(&["no-inspection", "certificate-inspection"])),
        maybe("comments", text().prop_map(Json::from)),
        (names(ADDRESSES), names(ADDRESSES), names(&["HTTPS", "SMB", "DNS"])),
    );
    set.prop_map(|(a, b, c, d, e, f, g, (srcaddr, dstaddr, service))| {
        let mut row: Map<String, Json> = [a, b, c, d, e, f, g].into_iter().flatten().collect();
        let fixed = json!({
            "srcintf": [{"name": "port1"}], "dstintf": [{"name": "any"}], "schedule": "always",
            "srcaddr": srcaddr, "dstaddr": dstaddr, "service": service,
        });
        row.extend(fixed.as_object().unwrap().clone());
        Json::Object(row)
    })
}

fn service() -> impl Strategy<Value = Json> {
    let ports = || prop::sample::select(&["", "443", "80 443", "1000-2000 53"][..]);
    (ports(), ports(), text()).prop_map(|(tcp, udp, comment)| {
        json!({"protocol": "TCP/UDP/SCTP", "tcp-portrange": tcp, "udp-portrange": udp, "comment": comment})
    })
}

fn schedule() -> impl Strategy<Value = Json> {
    (
        maybe("start", choice(&["07:00"])),
        maybe("end", choice(&["16:30"])),
        choice(&["monday", "monday friday"]),
    )
        .prop_map(|(start, end, day)| {
            let mut row: Map<String, Json> = start.into_iter().chain(end).collect();
            row.insert("day".to_owned(), day);
            Json::Object(row)
        })
}

fn vip() -> impl Strategy<Value = Json> {
    let forward = prop_oneof![
        Just(json!({})),
        Just(json!({"portforward": "enable", "protocol": "udp", "extport": "53", "mappedport": "5353"})),
        Just(json!({"portforward": "enable", "extport": "443", "mappedport": "8443"})),
    ];
    (forward, text()).prop_map(|(mut row, comment)| {
        row["extintf"] = json!("port1");
        row["mappedip"] = json!([{"range": "10.13.10.20"}]);
        row["comment"] = json!(comment);
        row
    })
}

async fn both_ways(rows: Vec<(&'static str, Json)>) -> Result<(), TestCaseError> {
    let (_simulator, client) = device(&rows).await;
    client.writer(&|| Ok(())).save_revision(super::REVISIONS, "").await.unwrap();
    let text = client.text("system/config-revision/file", &[("config_id", "1")]).await.unwrap();
    let mut defaults = rows::Defaults::new();
    for table in TABLES {
        let at = At { vdom: "root", table: table.path };
        defaults.insert(table.kind, client.defaults(at).await.unwrap());
    }
    let nord = Installation::from("nord");
    let read = rows::read(&Section::read(&text).unwrap(), &["root"], &nord, &defaults).unwrap();
    for table in TABLES {
        // Of what a device has by itself, it tells some things only in one way.
        let made =
            |entry: &&Entry| table.path != "firewall.service/custom" || entry.text("name").starts_with("s å");
        // What is without effect is told or not, as versions please.
        let only = |entry: &Entry, name: &str| {
            table.only(name).is_none_or(|(decides, value)| entry.text(decides) == value)
        };
        let meant = |entry: &Entry| -> Facts {
            let facts = entry.present.fields.iter().filter(|(name, _)| only(entry, name));
            facts.map(|(name, it)| (name.to_owned(), it.clone())).collect()
        };
        let facts = |entries: &mut dyn Iterator<Item = &Entry>| {
            entries
                .filter(made)
                .map(|entry| (entry.present.identity.clone(), meant(entry)))
                .collect::<Vec<_>>()
        };
        let told =
            client.rows(At { vdom: "root", table: table.path }, &Ask::all(&table.read())).await.unwrap();
        let told: Vec<Entry> =
            told.iter().map(|row| Entry::read(table, "root", &nord, row).unwrap()).collect();
        let known = read[table.kind].as_ref().unwrap();
        prop_assert_eq!(
            facts(&mut known["root"].rows.iter().map(|it| &**it)),
            facts(&mut told.iter()),
            "{}",
            table.path
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_revision_has_the_rows_that_rest_gives(
        addresses in prop::collection::vec(address(), 2..6),
        policies in prop::collection::vec(policy(), 1..6),
        services in prop::collection::vec(service(), 0..4),
        schedules in prop::collection::vec(schedule(), 0..3),
        vips in prop::collection::vec(vip(), 0..3),
        comment in text(),
    ) {
        let mut rows = Vec::new();
        let mut add = |table: &'static str, prefix: &str, made: Vec<Json>| {
            for (index, mut row) in made.into_iter().enumerate() {
                row["name"] = json!(format!("{prefix} {index}"));
                if table == "firewall/vip" {
                    row["extip"] = json!(format!("203.0.113.{}", 20 + index));
                }
                rows.push((table, row));
            }
        };
        add("firewall/address", "a", addresses);
        add("firewall.service/custom", "s å", services);
        add("firewall.schedule/recurring", "t", schedules);
        add("firewall/vip", "v", vips);
        add("firewall/addrgrp", "g", vec![json!({"member": [{"name": "a 0"}, {"name": "a 1"}], "comment": comment})]);
        add("firewall/policy", "p", policies);
        let vlan = json!({"name": "vlan.1310", "vdom": "root", "interface": "port2", "vlanid": 1310,
            "ip": "10.13.10.1 255.255.255.0", "allowaccess": "ping https", "description": comment});
        rows.push(("system/interface", vlan));
        rows.push(("system/zone", json!({"name": "z", "interface": [{"interface-name": "vlan.1310"}], "intrazone": "allow"})));
        rows.push(("router/static", json!({"dst": "10.9.0.0/16", "gateway": "10.13.10.2", "device": "vlan.1310"})));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(both_ways(rows))?;
    }
}
