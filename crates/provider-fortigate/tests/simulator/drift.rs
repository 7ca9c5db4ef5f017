//! What another client changes is named and healed, and nothing else; what is not ours stays as it is.

use std::collections::BTreeSet;

use fortios_simulator::Firmware;
use serde_json::{Value as Json, json};
use vertskommune_core::plan::Plan;
use vertskommune_core::step::RefusalReason;
use vertskommune_provider::Applied;
use vertskommune_provider::testing::conformance::{self, Peer as _};

use super::peer::{FortiGate, example};
use super::{drive, firmwares};

/// What a plan would change, in short.
pub(super) fn named(plan: &Plan) -> BTreeSet<String> {
    let fields = plan.steps.iter().flat_map(|planned| {
        let step = &planned.step;
        let expects = step.expects.iter().filter(|(field, _)| !["mkey", "vdom"].contains(field));
        let expects = expects.map(|(field, _)| field.to_owned());
        let place = step.fields.contains_key("place").then(|| "place".to_owned());
        expects.chain(place).map(move |field| format!("{} {field}", step.resource.key))
    });
    fields.collect()
}

/// The id of the policy with that mark.
pub(super) async fn policy(peer: &FortiGate, mark: &str) -> u64 {
    let answer = peer.raw("GET", "firewall/policy?vdom=root&format=policyid|comments", Json::Null).await;
    let is = |row: &&Json| row["comments"].as_str().unwrap_or_default().split(" | ").next() == Some(mark);
    let rows = answer["results"].as_array().unwrap();
    rows.iter().find(is).unwrap_or_else(|| panic!("no {mark}"))["policyid"].as_u64().unwrap()
}

/// Where it is changed, to what, and what the next plan names.
type Row = (&'static str, Json, &'static str);

fn rows() -> Vec<Row> {
    let names = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Json>();
    vec![
        (
            "system/interface/ibestad.servers",
            json!({"ip": "10.13.10.2 255.255.255.0"}),
            "interface/servers ip",
        ),
        (
            "system/interface/ibestad.servers",
            json!({"allowaccess": "ping ssh"}),
            "interface/servers allowaccess",
        ),
        ("system/zone/zone.ibestad", json!({"intrazone": "allow"}), "zone/tenant intrazone"),
        (
            "firewall/address/ibestad.case-supplier",
            json!({"subnet": "192.0.2.0/28"}),
            "address/case-supplier subnet",
        ),
        (
            "firewall/address/ibestad.ibe-fs01",
            json!({"comment": "nord/ibestad/address/ibe-fs01 | mine"}),
            "address/ibe-fs01 comment",
        ),
        (
            "firewall.service/custom/ibestad.case-system",
            json!({"tcp-portrange": "8443"}),
            "service/case-system tcp-portrange",
        ),
        (
            "firewall.service/custom/ibestad.case-system",
            json!({"udp-portrange": "53"}),
            "service/case-system udp-portrange",
        ),
        (
            "firewall/vip/ibestad.citizen-portal",
            json!({"mappedport": "9443"}),
            "vip/citizen-portal mappedport",
        ),
        ("firewall/vip/ibestad.citizen-portal", json!({"extip": "203.0.113.21"}), "vip/citizen-portal extip"),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"action": "deny"}),
            "policy/clients-to-files action",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"status": "disable"}),
            "policy/clients-to-files status",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"logtraffic": "utm"}),
            "policy/clients-to-files logtraffic",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"nat": "enable"}),
            "policy/clients-to-files nat",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"service": names(&["ALL"])}),
            "policy/clients-to-files service",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"srcaddr": names(&["all"])}),
            "policy/clients-to-files srcaddr",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"dstaddr": names(&["all"])}),
            "policy/clients-to-files dstaddr",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"dstintf": names(&["port1"])}),
            "policy/clients-to-files dstintf",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"schedule": "none"}),
            "policy/clients-to-files schedule",
        ),
        (
            "policy nord/ibestad/policy/clients-to-files",
            json!({"name": "renamed"}),
            "policy/clients-to-files name",
        ),
    ]
}

#[tokio::test]
async fn what_another_client_changes_is_named_and_nothing_else() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, example("ibestad"));
    drive.converge().await;
    for (place, change, expected) in rows() {
        let path = match place.strip_prefix("policy ") {
            Some(name) => format!("firewall/policy/{}", policy(&peer, name).await),
            None => place.to_owned(),
        };
        peer.raw("PUT", &format!("{path}?vdom=root"), change.clone()).await;
        let plan = drive.look().await;
        assert_eq!(named(&plan), BTreeSet::from([expected.to_owned()]), "{change}: {plan:#?}");
        conformance::converges(&drive).await;
    }
}

#[tokio::test]
async fn members_in_another_order_and_other_forms_are_no_difference() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, example("ibestad"));
    drive.converge().await;
    let id = policy(&peer, "nord/ibestad/policy/clients-to-files").await;
    let members = json!([{"name": "ibestad.ibe-print01"}, {"name": "ibestad.ibe-fs01"}]);
    peer.raw("PUT", &format!("firewall/policy/{id}?vdom=root"), json!({"dstaddr": members})).await;
    peer.raw("PUT", "firewall/address/ibestad.case-supplier?vdom=root", json!({"subnet": "198.51.100.0/28"}))
        .await;
    peer.raw(
        "PUT",
        "firewall.service/custom/ibestad.case-system?vdom=root",
        json!({"tcp-portrange": "9000-9010 8443"}),
    )
    .await;
    let plan = drive.look().await;
    assert!(plan.is_empty(), "{plan:#?}");
}

#[tokio::test]
async fn a_policy_that_was_moved_is_brought_back_and_others_stay_where_they_are() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        let drive = drive(&peer, example("ibestad"));
        drive.converge().await;
        let first = policy(&peer, "nord/ibestad/policy/municipality-baseline.dns").await;
        let last = policy(&peer, "nord/ibestad/policy/citizens-to-portal").await;
        peer.raw("PUT", &format!("firewall/policy/{first}?vdom=root&action=move&after={last}"), Json::Null)
            .await;
        let plan = drive.look().await;
        let moves = BTreeSet::from(["policy/municipality-baseline.dns place".to_owned()]);
        assert_eq!(named(&plan), moves, "{plan:#?}");
        conformance::converges(&drive).await;
        // Below the host's last word nothing matches.
        peer.raw("PUT", &format!("firewall/policy/{first}?vdom=root&action=move&after=2"), Json::Null).await;
        assert_eq!(named(&drive.look().await), moves);
        conformance::converges(&drive).await;
        // Somebody's own rule in the middle of ours is not touched: ours move out of its way.
        let rule = json!({
            "name": "by-hand", "srcintf": [{"name": "port3"}], "dstintf": [{"name": "port1"}], "srcaddr": [{"name": "all"}],
            "dstaddr": [{"name": "all"}], "service": [{"name": "ALL"}], "schedule": "always", "action": "accept",
        });
        let id = peer.raw("POST", "firewall/policy?vdom=root", rule).await["mkey"].as_u64().unwrap();
        peer.raw("PUT", &format!("firewall/policy/{id}?vdom=root&action=move&after={first}"), Json::Null)
            .await;
        conformance::converges(&drive).await;
    }
}

/// What people added by hand is named where it concerns ours, and nothing else of it.
#[tokio::test]
async fn rules_of_others_that_concern_ours_are_shown() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, example("gratangen"));
    drive.converge().await;
    let all = json!([{"name": "all"}]);
    let rule = |name: &str, from: &str, service: &str| {
        json!({
            "name": name, "srcintf": [{"name": from}], "dstintf": [{"name": "any"}], "srcaddr": all, "dstaddr": all,
            "service": [{"name": service}], "schedule": "always", "action": "deny",
        })
    };
    let first = policy(&peer, "nord/gratangen/policy/municipality-baseline.dns").await;
    let add = async |rule: Json, place: &str| {
        let id = peer.raw("POST", "firewall/policy?vdom=root", rule).await["mkey"].as_u64().unwrap();
        peer.raw("PUT", &format!("firewall/policy/{id}?vdom=root&action=move&{place}={first}"), Json::Null)
            .await;
        id
    };
    add(rule("elsewhere", "port3", "ALL"), "before").await;
    let above = add(rule("no-names", "any", "DNS"), "before").await;
    let amid = add(rule("emergency", "zone.gratangen", "PING"), "after").await;
    let plan = drive.look().await;
    let notices: Vec<&str> = plan.notices.iter().map(|it| it.message.as_str()).collect();
    let expected = [
        format!(
            "policy {above} (no-names, deny) is not ours, stands above and takes all packets of municipality-baseline.dns"
        ),
        format!("policy {amid} (emergency, deny) is not ours and stands amid this tenant's rules"),
    ];
    assert_eq!(notices, expected);
    drive.converge().await;
    let plan = drive.look().await;
    assert!(plan.is_empty());
    assert_eq!(plan.notices.len(), 1, "what stands above stays and is still told: {:?}", plan.notices);
}

#[tokio::test]
async fn lookalikes_stay_as_they_are() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let stranger = json!({"name": "gratangen.gra-fs01", "subnet": "192.0.2.1/32", "comment": "by hand"});
    peer.raw("POST", "firewall/address?vdom=root", stranger).await;
    let another = json!({"name": "gratangen.servers", "subnet": "192.0.2.0/24", "comment": "sor/gratangen/address/servers"});
    peer.raw("POST", "firewall/address?vdom=root", another).await;
    let schedule = json!({"name": "gratangen.lunch", "day": "monday", "start": "11:00", "end": "12:00"});
    peer.raw("POST", "firewall.schedule/recurring?vdom=root", schedule).await;
    let foreign = peer.foreign().await;
    let drive = drive(&peer, example("gratangen"));
    let plan = drive.converge().await;
    let refused: Vec<_> = plan.refusals.iter().map(|it| (it.resource.key.to_string(), it.reason)).collect();
    let not_ours = |key: &str| (key.to_owned(), RefusalReason::NotOurs);
    assert_eq!(refused, [not_ours("address/servers"), not_ours("address/gra-fs01")]);
    assert_eq!(peer.foreign().await, foreign);
}

#[tokio::test]
async fn a_copy_of_a_policy_of_ours_is_not_ours() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, example("gratangen"));
    drive.converge().await;
    let id = policy(&peer, "nord/gratangen/policy/municipality-baseline.dns").await;
    let mut copy =
        peer.raw("GET", &format!("firewall/policy/{id}?vdom=root"), Json::Null).await["results"][0].clone();
    for drawn in ["policyid", "uuid", "q_origin_key"] {
        copy.as_object_mut().unwrap().remove(drawn);
    }
    copy["name"] = json!("copy-of-dns");
    let made = peer.raw("POST", "firewall/policy?vdom=root", copy).await["mkey"].as_u64().unwrap();
    let plan = drive.look().await;
    assert!(plan.is_empty(), "{plan:#?}");
    peer.raw("PUT", &format!("firewall/policy/{made}?vdom=root&action=move&before={id}"), Json::Null).await;
    assert!(drive.look().await.is_empty());
}

/// A crash between the writes of a replacement leaves the old rule and the new one without effect: both of their names are
/// taken, and a third form of the rule comes before either of them goes.
#[tokio::test]
async fn a_rule_is_never_gone_while_what_a_crash_left_is_replaced() {
    let peer = FortiGate::start(Firmware::new(7, 2, 8)).await;
    let tenant = example("ibestad");
    super::drive(&peer, tenant.clone()).converge().await;
    let rule = "policy/municipality-baseline.dns";
    let id = policy(&peer, &format!("nord/ibestad/{rule}")).await;
    let path = format!("firewall/policy/{id}?vdom=root");
    let mut half = peer.raw("GET", &path, Json::Null).await["results"][0].clone();
    for drawn in ["policyid", "uuid", "q_origin_key"] {
        half.as_object_mut().unwrap().remove(drawn);
    }
    half["name"] = json!(format!("{}~2", half["name"].as_str().unwrap()));
    half["status"] = json!("disable");
    half["service"] = json!([{"name": "HTTPS"}]);
    let half = peer.raw("POST", "firewall/policy?vdom=root", half).await["mkey"].as_u64().unwrap();
    let drive = drive(&peer, super::changed(tenant));
    let plan = drive.look().await;
    let steps = plan.steps.iter().map(|it| {
        let mkey = it.step.expects.get("mkey").and_then(Json::as_str).unwrap_or_default();
        format!("{} {} {mkey}", it.step.operation, it.step.resource.key)
    });
    let steps: Vec<String> = steps.collect();
    let at = |begin: &str, end: &str| {
        steps
            .iter()
            .position(|step| step.starts_with(begin) && step.ends_with(end))
            .unwrap_or_else(|| panic!("{steps:#?}"))
    };
    let comes = at(&format!("insert {rule}"), "");
    for gone in [id, half] {
        assert!(comes < at("remove policy/", &format!(" {gone}")), "{steps:#?}");
    }
    conformance::converges(&drive).await;
    assert_eq!(peer.export().await.matches("dns~").count(), 1, "one form of it is left");
}

#[tokio::test]
async fn what_came_in_place_of_ours_is_not_changed() {
    let peer = FortiGate::start(Firmware::new(7, 2, 8)).await;
    let drive = drive(&peer, example("gratangen"));
    drive.converge().await;
    let path = "firewall/address/gratangen.gra-fs01?vdom=root";
    peer.raw("PUT", path, json!({"subnet": "192.0.2.0/28"})).await;
    let plan = drive.look().await;
    peer.raw("PUT", path, json!({"comment": "made anew by hand"})).await;
    let foreign = peer.foreign().await;
    let outcomes = drive.carry_out(peer.provider().as_ref(), &plan).await;
    assert!(matches!(&outcomes[..], [Applied::NotSent(why)] if why.contains("our mark")), "{outcomes:?}");
    assert_eq!(peer.foreign().await, foreign);
}
