//! What another client changes is named, of all that a virtual firewall of its own brings with it, and nothing else.

use std::collections::BTreeSet;

use fortios_simulator::Firmware;
use serde_json::{Value as Json, json};
use vertskommune_provider::testing::conformance;

use super::{row, salangen, start, vdom_of};
use crate::drift::named;
use crate::drive;

/// In which virtual firewall or, where there is none, on the device; the table; whose row; what it gets; and the field that
/// is named.
type Row<'a> = (&'a str, &'static str, &'static str, Json, &'static str);

fn things(own: &str) -> Vec<Row<'_>> {
    vec![
        (
            "",
            "system/vdom-property",
            "vdom/tenant",
            json!({"description": "nord/salangen/vdom/tenant | mine"}),
            "description",
        ),
        (
            "",
            "system/interface",
            "link-end/host",
            json!({"description": "nord/salangen/link-end/host | mine"}),
            "description",
        ),
        ("", "system/interface", "link-end/host", json!({"allowaccess": "ping"}), "allowaccess"),
        ("", "system/interface", "link-end/tenant", json!({"ip": "192.0.2.9 255.255.255.0"}), "ip"),
        ("root", "system/zone", "zone/transit:tenant", json!({"intrazone": "allow"}), "intrazone"),
        (
            "root",
            "system/zone",
            "zone/transit:tenant",
            json!({"description": "nord/salangen/zone/transit:tenant"}),
            "description",
        ),
        (own, "system/zone", "zone/tenant", json!({"intrazone": "allow"}), "intrazone"),
        ("root", "firewall/address", "address/transit:servers", json!({"subnet": "10.13.40.0/25"}), "subnet"),
        (own, "firewall/address", "address/servers", json!({"subnet": "10.13.40.0/25"}), "subnet"),
        (
            own,
            "firewall/address",
            "address/host:services:host-dns",
            json!({"subnet": "10.13.0.0/16"}),
            "subnet",
        ),
        (
            own,
            "firewall/address",
            "address/net:services:10.13.0.0-24",
            json!({"subnet": "10.13.0.0/16"}),
            "subnet",
        ),
        ("root", "firewall/vip", "vip/portal", json!({"mappedport": "80"}), "mappedport"),
        ("root", "router/static", "route/transit:servers", json!({"dst": "10.13.41.0/24"}), "dst"),
        ("root", "router/static", "route/transit:servers", json!({"device": "port3"}), "device"),
        ("root", "router/static", "route/transit:servers", json!({"gateway": "10.13.0.9"}), "gateway"),
        (own, "router/static", "route/link:default", json!({"dst": "10.0.0.0/8"}), "dst"),
        (own, "router/static", "route/branch", json!({"gateway": "10.13.40.3"}), "gateway"),
    ]
}

fn policies(own: &str) -> Vec<Row<'_>> {
    let names = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Json>();
    vec![
        (
            "root",
            "firewall/policy",
            "policy/transit:in:internet",
            json!({"srcaddr-negate": "disable"}),
            "srcaddr-negate",
        ),
        (
            "root",
            "firewall/policy",
            "policy/transit:in:internet",
            json!({"dstaddr": names(&["salangen.transit.servers"])}),
            "dstaddr",
        ),
        (
            "root",
            "firewall/policy",
            "policy/transit:out:internet",
            json!({"dstaddr-negate": "disable"}),
            "dstaddr-negate",
        ),
        ("root", "firewall/policy", "policy/transit:out:internet", json!({"nat": "disable"}), "nat"),
        ("root", "firewall/policy", "policy/transit:out:services", json!({"status": "disable"}), "status"),
        (
            "root",
            "firewall/policy",
            "policy/transit:out:services",
            json!({"service": names(&["DNS"])}),
            "service",
        ),
        (
            "root",
            "firewall/policy",
            "policy/transit:out:services",
            json!({"logtraffic": "all"}),
            "logtraffic",
        ),
        (
            "root",
            "firewall/policy",
            "policy/transit:out:services",
            json!({"srcaddr": names(&["all"])}),
            "srcaddr",
        ),
        ("root", "firewall/policy", "policy/transit:out:services", json!({"name": "renamed"}), "name"),
        (
            own,
            "firewall/policy",
            "policy/clients-out",
            json!({"dstaddr-negate": "disable"}),
            "dstaddr-negate",
        ),
        (own, "firewall/policy", "policy/clients-out", json!({"av-profile": "wifi-default"}), "av-profile"),
        (own, "firewall/policy", "policy/clients-out", json!({"nat": "enable"}), "nat"),
        (own, "firewall/policy", "policy/citizens-to-portal", json!({"dstaddr": names(&["all"])}), "dstaddr"),
    ]
}

#[tokio::test]
async fn what_another_client_changes_is_named_and_nothing_else() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, salangen());
    drive.converge().await;
    let own = vdom_of(&peer, "salangen").await;
    for (vdom, table, key, change, field) in things(&own).into_iter().chain(policies(&own)) {
        let scope = if vdom.is_empty() { "root" } else { vdom };
        let mkey = row(&peer, scope, table, &format!("nord/salangen/{key}")).await;
        peer.raw("PUT", &format!("{table}/{mkey}?vdom={scope}"), change.clone()).await;
        let plan = drive.look().await;
        assert_eq!(named(&plan), BTreeSet::from([format!("{key} {field}")]), "{change}: {plan:#?}");
        conformance::converges(&drive).await;
    }
    // Each of the two blocks has an order of its own.
    for (vdom, first, last) in [
        ("root", "transit:in:internet", "transit:out:services"),
        (own.as_str(), "municipality-baseline.dns", "idle"),
    ] {
        let id = async |rule: &str| {
            row(&peer, vdom, "firewall/policy", &format!("nord/salangen/policy/{rule}")).await
        };
        let (above, below) = (id(first).await, id(last).await);
        peer.raw(
            "PUT",
            &format!("firewall/policy/{above}?vdom={vdom}&action=move&after={below}"),
            Json::Null,
        )
        .await;
        let plan = drive.look().await;
        assert_eq!(named(&plan), BTreeSet::from([format!("policy/{first} place")]), "{plan:#?}");
        conformance::converges(&drive).await;
    }
}
