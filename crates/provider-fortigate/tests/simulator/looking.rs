//! What a look costs, and that a cheap one sees as much as one that reads everything.

use fortios_simulator::Firmware;
use serde_json::{Value as Json, json};
use vertskommune_core::observation::{Foreign, Observation, Scope, Things};
use vertskommune_provider::testing::conformance::Peer as _;

use super::drift::policy;
use super::drive;
use super::peer::{FortiGate, example};
use super::sight::ctx;

pub(super) async fn calls(peer: &FortiGate) -> u64 {
    let calls = peer.admin("GET", "/stats", Json::Null).await["calls"].clone();
    peer.admin("POST", "/stats/reset", Json::Null).await;
    calls.as_object().unwrap().values().filter_map(Json::as_u64).sum()
}

#[tokio::test]
async fn a_look_again_costs_a_request_for_each_table() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    for name in ["ibestad", "dyroy", "gratangen"] {
        drive(&peer, example(name)).converge().await;
    }
    let (provider, ctx) = (peer.provider(), ctx(peer.secrets()));
    calls(&peer).await;
    for _ in 0..2 {
        provider.observe(&Scope::default(), &ctx).await.unwrap();
        assert_eq!(calls(&peer).await, 11, "ten tables and who it is, read or asked whether they changed");
    }
    let ibestad = Scope::of(["ibestad".into()]);
    for (path, body, requests, why) in [
        (
            "firewall/address/ibestad.ibe-fs01",
            json!({"subnet": "192.0.2.7/32"}),
            12,
            "and the tenant's rows of one",
        ),
        ("firewall/policy/3", json!({"status": "disable"}), 13, "and the order of all policies"),
    ] {
        provider.observe(&Scope::default(), &ctx).await.unwrap();
        peer.raw("PUT", &format!("{path}?vdom=root"), body).await;
        calls(&peer).await;
        provider.observe(&ibestad, &ctx).await.unwrap();
        assert_eq!(calls(&peer).await, requests, "{why}");
    }
}

/// What is seen of one tenant.
pub(super) fn part(seen: &Observation, tenant: &str) -> (Option<Things>, Vec<Foreign>) {
    let foreign = seen.foreign.iter().filter(|it| it.tenant.as_str() == tenant);
    (seen.seen.get(tenant).cloned(), foreign.cloned().collect())
}

/// Whatever another client does, a look at one tenant sees of it what a reading of everything sees.
#[tokio::test]
async fn a_look_at_one_tenant_sees_what_a_look_at_all_sees() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    for name in ["ibestad", "dyroy", "gratangen"] {
        drive(&peer, example(name)).converge().await;
    }
    let (provider, ctx) = (peer.provider(), ctx(peer.secrets()));
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    let first = policy(&peer, "nord/ibestad/policy/municipality-baseline.dns").await;
    let last = policy(&peer, "nord/ibestad/policy/citizens-to-portal").await;
    let other = policy(&peer, "nord/dyroy/policy/municipality-baseline.dns").await;
    let path_of = |id: u64| format!("firewall/policy/{id}?vdom=root");
    let stranger = json!({"name": "ibestad.by-hand", "subnet": "192.0.2.1/32"});
    let edits = [
        ("PUT", "firewall/address/ibestad.ibe-fs01?vdom=root".to_owned(), json!({"subnet": "192.0.2.7/32"})),
        ("PUT", "firewall/address/ibestad.ibe-fs01?vdom=root".to_owned(), json!({"comment": "no mark"})),
        ("POST", "firewall/address?vdom=root".to_owned(), stranger),
        ("PUT", path_of(first), json!({"status": "disable"})),
        ("PUT", format!("{}&action=move&after={last}", path_of(first)), Json::Null),
        ("PUT", format!("{}&action=move&after={first}", path_of(other)), Json::Null),
        ("PUT", format!("{}&action=move&before={first}", path_of(1)), Json::Null),
        ("PUT", path_of(last), json!({"comments": "mine now"})),
        ("DELETE", path_of(first), Json::Null),
        ("PUT", path_of(2), json!({"name": "another"})),
        ("PUT", path_of(2), json!({"name": "deny-and-log"})),
        ("DELETE", path_of(last), Json::Null),
    ];
    for (method, path, body) in edits {
        peer.raw(method, &path, body).await;
        let seen = provider.observe(&Scope::of(["ibestad".into()]), &ctx).await.unwrap();
        let whole = peer.provider().observe(&Scope::default(), &ctx).await.unwrap();
        assert_eq!(seen.coverage, whole.coverage, "{method} {path}");
        let (seen, whole) = (part(&seen, "ibestad"), part(&whole, "ibestad"));
        assert_eq!(seen.0, whole.0, "{method} {path}");
        if seen.1 != whole.1 {
            // What is others' is as old as the last reading of everything, which a watch makes.
            provider.changed(&ctx).await.unwrap();
            provider.changed(&ctx).await.unwrap();
            let seen = provider.observe(&Scope::of(["ibestad".into()]), &ctx).await.unwrap();
            assert_eq!(part(&seen, "ibestad").1, whole.1, "{method} {path}");
        }
    }
}
