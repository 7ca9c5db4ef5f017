//! What cannot be done is refused before anything is sent, all at once and with a remedy; what the device refuses has a name
//! of its own.

use std::sync::Arc;
use std::time::Duration;

use fortios_simulator::Firmware;
use serde_json::{Value as Json, json};
use vertskommune_core::firewall::{Group, Side, Written};
use vertskommune_core::observation::Scope;
use vertskommune_core::plan::Plan;
use vertskommune_core::step::RefusalReason;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_provider::context::Always;
use vertskommune_provider::testing::conformance::{self, Peer as _};
use vertskommune_provider::{Applied, Changes, Claim, Ctx, Provider, ProviderError};

use super::peer::{FortiGate, example};
use super::sight::ctx;
use super::{drive, firmwares};

/// What is refused, each as resource, field and the thing that is not there.
fn refused(plan: &Plan) -> Vec<String> {
    let text = |message: &str| message.split(" in root").next().unwrap_or_default().to_owned();
    let one = |it: &vertskommune_core::step::Refusal| {
        assert_eq!(it.reason, RefusalReason::NotFound, "{it:?}");
        assert!(it.message.contains(": make it there"), "{it:?}");
        format!("{} {}: {}", it.resource.key, it.field, text(&it.message))
    };
    plan.refusals.iter().map(one).collect()
}

/// Gratangen, whose rules and groups name what the device does not have.
fn asks_too_much() -> ValidatedTenant {
    let mut tenant = example("gratangen");
    let firewall = tenant.firewall.as_mut().unwrap();
    firewall.rules[0].services = vec!["DNS".to_owned(), "FAX".to_owned(), "TELEX".to_owned()];
    firewall.rules[1].profiles.antivirus = Some("strict".to_owned());
    firewall.rules[1].profiles.ips = Some("default".to_owned());
    firewall.rules[5].services = vec!["office".to_owned()];
    let written = Written { origin: "spec.firewall.serviceGroups[0]".to_owned(), ..Written::default() };
    let members = vec!["HTTP".to_owned(), "FAX".to_owned()];
    firewall.service_groups.push(Group { name: "office".to_owned(), members, side: Side::Tenant, written });
    tenant
}

fn provider(peer: &FortiGate) -> Arc<dyn Provider> {
    let host = peer.host_with(|host| {
        host.settings["profiles"] = json!(["strict", "default"]);
        host.settings["internet"]["ipPool"] = json!("outside");
        host.settings["places"]["services"]["addresses"] =
            json!(["host-dns", "host-ntp", "host-directory", "host-backup", "host-patching", "host-proxy"]);
    });
    FortiGate::provider_of(&host)
}

const ALL: [&str; 5] = [
    "service-group/office spec.firewall.serviceGroups[0].members: there is no service FAX",
    "policy/municipality-baseline.dns spec.firewall.ruleSets[0].services: there is no service FAX",
    "policy/municipality-baseline.dns spec.firewall.ruleSets[0].services: there is no service TELEX",
    "policy/municipality-baseline.ntp spec.firewall.ruleSets[0].profiles: there is no antivirus profile strict",
    "policy/municipality-baseline.patching spec.firewall.ruleSets[0].to: there is no address host-patching",
];

#[tokio::test]
async fn what_rules_name_and_the_device_lacks_is_refused_in_the_plan_and_all_at_once() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        peer.raw("DELETE", "firewall/address/host-patching?vdom=root", Json::Null).await;
        let (provider, drive) = (provider(&peer), drive(&peer, asks_too_much()));
        let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
        assert_eq!(refused(&plan), ALL);
        let rules = |plan: &Plan| {
            plan.steps.iter().filter(|it| it.step.resource.key.kind.as_str() == "policy").count()
        };
        assert_eq!(rules(&plan), 0, "a rule set is carried out whole or not at all");
        drive.carry_out(provider.as_ref(), &plan).await;
        assert!(!peer.ours().await.iter().any(|row| row.contains("firewall policy")));

        // As soon as it is there, the plan goes on by itself.
        for name in ["FAX", "TELEX"] {
            let service = json!({"name": name, "tcp-portrange": "4000"});
            peer.raw("POST", "firewall.service/custom?vdom=root", service).await;
        }
        peer.raw("POST", "antivirus/profile?vdom=root", json!({"name": "strict"})).await;
        let address = json!({"name": "host-patching", "subnet": "10.13.0.41/32"});
        peer.raw("POST", "firewall/address?vdom=root", address).await;
        let mut made = 0;
        for _ in 0..3 {
            let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
            assert_eq!(refused(&plan).len(), 0, "{plan:#?}");
            made = made.max(rules(&plan));
            let outcomes = drive.carry_out(provider.as_ref(), &plan).await;
            assert!(outcomes.iter().all(|it| *it == Applied::Done), "{outcomes:?}");
        }
        assert_eq!(made, 6);
        let rows = peer.ours().await;
        assert_eq!(rows.iter().filter(|row| row.contains("firewall policy")).count(), 6, "{rows:#?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_missing() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let (provider, drive) = (provider(&peer), drive(&peer, asks_too_much()));
    peer.admin("POST", "/hide?vdom=root&table=antivirus/profile", Json::Null).await;
    peer.admin("POST", "/hide?vdom=root&table=firewall.service/group", Json::Null).await;
    let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
    assert_eq!(refused(&plan), Vec::<String>::new(), "what the tables hold is not known");
}

#[tokio::test]
async fn rules_that_stand_stay_as_they_are_while_one_is_refused() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("gratangen")).converge().await;
    let before = peer.tables(&["policy", "address"]).await;
    let mut tenant = example("gratangen");
    let firewall = tenant.firewall.as_mut().unwrap();
    firewall.rules[2].services = vec!["FAX".to_owned()];
    firewall.rules.swap(0, 1);
    firewall.rules.pop();
    tenant.servers.clear();
    let drive = drive(&peer, tenant);
    let plan = drive.converge().await;
    assert_eq!(refused(&plan).len(), 1, "{plan:#?}");
    assert_eq!(peer.tables(&["policy", "address"]).await, before, "no part of it was done");
}

#[tokio::test]
async fn a_look_at_what_is_offered_costs_a_request_for_each_table_however_many_rules_there_are() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let (with, without) = (provider(&peer), peer.provider());
    let ctx = ctx(peer.secrets());
    let mut requests = Vec::new();
    for provider in [&without, &with, &without, &with] {
        peer.admin("POST", "/stats/reset", Json::Null).await;
        provider.observe(&Scope::default(), &ctx).await.unwrap();
        let calls = peer.admin("GET", "/stats", Json::Null).await["calls"].clone();
        requests.push(calls.as_object().unwrap().values().filter_map(Json::as_u64).sum::<u64>());
    }
    // Five tables of profiles and the ip pools, whose names are read at the first look.
    assert_eq!((requests[1] - requests[0], requests[3] - requests[2]), (12, 6), "{requests:?}");
}

#[tokio::test]
async fn what_the_host_adds_is_noticed() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let (provider, ctx) = (provider(&peer), ctx(peer.secrets()));
    assert_eq!(provider.changed(&ctx).await, Ok(Changes::Anything), "the first answer");
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    let service = json!({"name": "FAX", "tcp-portrange": "4000"});
    for (table, row) in
        [("firewall.service/custom", service), ("antivirus/profile", json!({"name": "strict"}))]
    {
        peer.raw("POST", &format!("{table}?vdom=root"), row).await;
        // A look at one tenant does not take the news from the others.
        provider.observe(&Scope::of(["ibestad".into()]), &ctx).await.unwrap();
        let changes = provider.changed(&ctx).await;
        assert_eq!(changes, Ok(Changes::Anything), "{table}: somebody's rule may have waited for it");
        provider.observe(&Scope::default(), &ctx).await.unwrap();
    }
}

#[tokio::test]
async fn another_vlan_is_refused_with_what_would_help() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("gratangen")).converge().await;
    let mut tenant = example("gratangen");
    tenant.networks[0].vlan = 1399;
    let plan = drive(&peer, tenant).look().await;
    assert_eq!(plan.steps.len(), 0, "{plan:#?}");
    let refusal = &plan.refusals[0];
    assert_eq!((refusal.reason, refusal.field.as_str()), (RefusalReason::Immutable, "spec.networks[0]"));
    assert!(
        refusal.message.contains("1330 and cannot become 1399") && refusal.message.contains("add a network"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn names_and_comments_of_people_are_taken_by_the_device() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        let mut tenant = example("gratangen");
        tenant.display_name = "Gáivuotna \"Kåfjord\" (<#'>) ".to_owned() + &"🏫".repeat(20);
        let firewall = tenant.firewall.as_mut().unwrap();
        for service in &mut firewall.services {
            service.written.comment = "the \"new\" one (#2) ".to_owned() + &"ááá🏫".repeat(40);
        }
        for rule in &mut firewall.rules {
            rule.written.comment = "Bo's <own>\n".to_owned() + &"å".repeat(1000);
        }
        conformance::converges(&drive(&peer, tenant)).await;
    }
}

/// Passes until something is not done.
async fn first_not_done(peer: &FortiGate, provider: &dyn Provider, tenant: ValidatedTenant) -> Applied {
    let drive = drive(peer, tenant);
    for _ in 0..5 {
        let plan = drive.plan(provider, drive.observe(provider).await);
        let outcomes = drive.carry_out(provider, &plan).await;
        if let Some(outcome) =
            outcomes.into_iter().find(|it| !matches!(it, Applied::Done | Applied::NotSent(_)))
        {
            return outcome;
        }
    }
    panic!("all of it was done")
}

#[tokio::test]
async fn what_vanished_after_the_plan_is_told_by_its_name() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("gratangen")).converge().await;
    let mut tenant = example("gratangen");
    tenant.firewall.as_mut().unwrap().rules[0].services = vec!["SNMP".to_owned()];
    let (provider, drive) = (peer.provider(), drive(&peer, tenant));
    let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
    peer.raw("DELETE", "firewall.service/custom/SNMP?vdom=root", Json::Null).await;
    let outcomes = drive.carry_out(provider.as_ref(), &plan).await;
    let expected = "it names what is not on the firewall: SNMP".to_owned();
    assert_eq!(outcomes, [Applied::Failed(ProviderError::Refused(expected))]);
}

#[tokio::test]
async fn a_move_that_is_refused_for_a_reason_of_its_own_does_not_end_transactions() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let provider = peer.provider();
    let fault =
        json!({"method": "PUT", "path": "cmdb/firewall/policy", "status": 500, "error": -1, "count": 1});
    peer.admin("POST", "/fault", fault).await;
    let failed = first_not_done(&peer, provider.as_ref(), example("gratangen")).await;
    assert!(matches!(failed, Applied::Failed(ProviderError::Refused(_))), "{failed:?}");
    let seen = provider.observe(&Scope::default(), &ctx(peer.secrets())).await.unwrap();
    assert_eq!(seen.version, "v7.4.8");
}

#[tokio::test]
async fn a_transaction_that_ended_by_itself_left_nothing() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("gratangen")).converge().await;
    let before = peer.tables(&["policy"]).await;
    let mut tenant = example("gratangen");
    tenant.firewall.as_mut().unwrap().rules[0].enabled = false;
    // The start passes, and before the commit the time is over.
    let fault = json!({
        "method": "POST", "path": "cmdb", "skip": 1, "count": 1, "status": 500, "error": -3,
        "cli_error": "Transaction 9 does not exist or has expired\nCommand fail. Return code -3\n",
    });
    peer.admin("POST", "/fault", fault).await;
    let provider = peer.provider();
    let late = drive(&peer, tenant.clone());
    let plan = late.plan(provider.as_ref(), late.observe(provider.as_ref()).await);
    let outcomes = late.carry_out(provider.as_ref(), &plan).await;
    assert!(
        matches!(&outcomes[..], [Applied::NotSent(why)] if why.contains("not open any more")),
        "{outcomes:?}"
    );
    assert_eq!(peer.tables(&["policy"]).await, before);
    conformance::converges(&drive(&peer, tenant)).await;
}

#[tokio::test]
async fn of_two_that_claim_at_one_moment_the_loser_meets_a_conflict() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    peer.admin("POST", "/delay?ms=100", Json::Null).await;
    let ctx = Ctx { permit: Arc::new(Always), ..ctx(peer.secrets()) };
    let claim = |holder: &str| Claim {
        installation: "nord".into(),
        holder: holder.to_owned(),
        expires: jiff::Timestamp::now() + Duration::from_mins(5),
        take_over: false,
    };
    let (providers, claims) = ([peer.provider(), peer.provider()], [claim("a"), claim("b")]);
    let answers = tokio::join!(providers[0].claim(&claims[0], &ctx), providers[1].claim(&claims[1], &ctx));
    let answers = [answers.0, answers.1];
    assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 1, "{answers:?}");
    assert!(answers.iter().any(|it| matches!(it, Err(ProviderError::Conflict(_)))), "{answers:?}");
}
