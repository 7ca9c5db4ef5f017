//! Sight: a revoked right, another vCenter at the address and a sweep that breaks off are Unknown. Nothing is planned or
//! written while it lasts, not even what the manifest asks for meanwhile and not by a controller that has just started;
//! and it goes on by itself afterwards.

use std::time::Instant;

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{condition, message, of_condition, reason, server, server_name};

use crate::stage::{Stage, since};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_seen_is_unknown_and_nothing_is_done_about_it() {
    let Some(mut stage) = Stage::set(2).await else { return };
    stage.onboard([1, 2]).await;
    let neighbour = stage.ready(2).await;

    the_right_on_a_folder_is_lost(&mut stage).await;
    let after = stage.ready(2).await;
    assert_eq!(since_when(&after), since_when(&neighbour), "the neighbour was never anything but Ready");

    for (wanted, loss) in (4..).zip(all_is_lost(&stage)) {
        a_loss_of_all(&mut stage, &loss, wanted).await;
    }
}

/// How sight of everything is lost, and given back.
struct Loss {
    what: &'static str,
    reason: &'static str,
    /// What its advice says.
    advice: &'static str,
    order: Order,
}

enum Order {
    /// To the vCenter's admin port: there and back again.
    Admin([(&'static str, &'static str, Json); 2]),
    /// Changes of the HostProvider's spec: there and back again.
    Host([Json; 2]),
}

fn all_is_lost(stage: &Stage) -> [Loss; 4] {
    let host = |vcenter| vertskommune_tests::estate::host(vcenter).unwrap()["spec"].take();
    let (ours, theirs) = (host(stage.main()), host(stage.other()));
    let swapped = |fields: &[&str]| {
        let of = |spec: &Json| fields.iter().map(|field| (*field, spec[*field].clone())).collect::<Json>();
        Order::Host([of(&theirs), of(&ours)])
    };
    let half = json!({"method": "RetrievePropertiesEx", "type": "SystemError", "message": "a test broke it", "skip": 1});
    [
        Loss {
            what: "the right on the root of tenants",
            reason: "NoSight",
            advice: "give the account of HostProvider vcenter-main back what it may not see",
            order: Order::Admin([
                ("POST", "/hide?folder=Tenants", Json::Null),
                ("DELETE", "/hide?folder=Tenants", Json::Null),
            ]),
        },
        Loss {
            what: "half of each sweep",
            reason: "Incomplete",
            advice: "it is asked again by itself",
            order: Order::Admin([("POST", "/fault", half), ("DELETE", "/fault", Json::Null)]),
        },
        Loss {
            what: "the address, which leads to a vCenter with another certificate",
            reason: "Unreachable",
            advice: "bring vcenter-main back",
            order: swapped(&["endpoint"]),
        },
        Loss {
            what: "the address, which leads to another vCenter that we may enter",
            reason: "Misidentified",
            advice: "see who answers at the address",
            order: swapped(&["endpoint", "caBundle", "credentials"]),
        },
    ]
}

impl Order {
    async fn give(&self, stage: &Stage, back: bool) {
        match self {
            Self::Admin(orders) => {
                let (method, path, body) = &orders[usize::from(back)];
                stage.main().admin(method, path, body.clone()).await.unwrap();
            }
            Self::Host(changes) => {
                let change = json!({"spec": changes[usize::from(back)]});
                stage.cluster.patch("hostprovider", "vcenter-main", &change).unwrap();
            }
        }
    }
}

async fn the_right_on_a_folder_is_lost(stage: &mut Stage) {
    let before = stage.things(1);
    stage.forget_writes().await;
    let begun = Instant::now();
    stage.main().admin("POST", "/hide?folder=Tenants/t0001", Json::Null).await.unwrap();
    is_unknown(stage, 1, "NoSight").await;
    println!("sight: the right on a tenant's folder seen lost after {}", since(begun));
    want_servers(stage, 3);
    nothing_is_done(stage, "NoSight").await;
    stage.restart();
    nothing_is_done(stage, "NoSight").await;

    let begun = Instant::now();
    stage.main().admin("DELETE", "/hide", Json::Null).await.unwrap();
    stage.settled(1).await;
    println!(
        "sight: the right on a tenant's folder back, and the work of meanwhile done, after {}",
        since(begun)
    );
    let after = stage.things(1);
    for (path, vm) in before.iter().filter(|(path, _)| path.starts_with("vms ")) {
        assert_eq!(after.get(path), Some(vm), "what was there is as it was");
    }
    is_there(stage, 3);
}

/// One loss for all tenants of the vCenter, while the first wants another server.
async fn a_loss_of_all(stage: &mut Stage, loss: &Loss, wanted: u16) {
    stage.forget_writes().await;
    let begun = Instant::now();
    loss.order.give(stage, false).await;
    // A broken sweep is noticed by the next, whoever asks for it.
    let _ = stage.cluster.ask("hostprovider", "vcenter-main").await.unwrap();
    is_unknown(stage, 1, loss.reason).await;
    is_unknown(stage, 2, loss.reason).await;
    let told = stage.hindered(2, loss.reason, loss.advice).await;
    assert_eq!(told["what"], "HostProvider/vcenter-main", "the endpoint tells it: {told:#}");
    println!("sight: {} seen lost after {}", loss.what, since(begun));
    want_servers(stage, wanted);
    for restarted in [false, true] {
        if restarted {
            stage.restart();
        }
        nothing_is_done(stage, loss.reason).await;
        let blind = |host: &Json| condition(host, "Ready") == "False" && reason(host, "Ready") == loss.reason;
        let host = stage.cluster.wait_for_host("vcenter-main", "blind", blind).await.unwrap();
        assert!(!message(&host, "Ready").is_empty(), "{host:#}");
    }

    let begun = Instant::now();
    loss.order.give(stage, true).await;
    stage.settled(2).await;
    println!("sight: {} back after {}", loss.what, since(begun));
    stage.unhindered(2).await;
    stage.settled(1).await;
    println!("sight: the work of meanwhile done {} after {} was back", since(begun), loss.what);
    is_there(stage, wanted);
    let seen = |host: &Json| condition(host, "Ready") == "True";
    stage.cluster.wait_for_host("vcenter-main", "seen again", seen).await.unwrap();
}

async fn is_unknown(stage: &Stage, number: u16, why: &str) {
    let unknown = |tenant: &Json| condition(tenant, "Ready") == "Unknown" && reason(tenant, "Ready") == why;
    let tenant = stage.tenant(number, &format!("Unknown for {why}"), unknown).await;
    assert_eq!(condition(&tenant, "ServersReady"), "Unknown", "{tenant:#}");
    assert!(message(&tenant, "Ready").starts_with("Unknown: "), "{tenant:#}");
}

/// The first tenant's manifest asks for more, which is the temptation to make what may be there.
fn want_servers(stage: &Stage, count: u16) {
    let servers: Vec<Json> = (1..=count).map(|index| server(1, index)).collect();
    stage.change(1, &json!({"servers": servers}));
}

/// After another look nothing is planned, and nothing was written.
async fn nothing_is_done(stage: &Stage, why: &str) {
    let tenant = stage.cluster.ask("tenant", "t0001").await.unwrap();
    assert_eq!(condition(&tenant, "Ready"), "Unknown", "{tenant:#}");
    assert_eq!(reason(&tenant, "Ready"), why, "{tenant:#}");
    assert_eq!(tenant["status"]["plan"], Json::Null, "nothing is planned of what cannot be seen");
    assert_eq!(stage.writes().await, Vec::<String>::new(), "nothing is written while blind");
}

/// Every server that the first tenant wants, once.
fn is_there(stage: &Stage, count: u16) {
    let things = stage.things(1);
    let servers: Vec<_> = things.iter().filter(|(path, _)| path.starts_with("vms ")).collect();
    assert_eq!(servers.len(), usize::from(count), "{things:#?}");
    assert!(servers.iter().all(|(_, twins)| twins.len() == 1), "{things:#?}");
    assert_ne!(stage.vm(&format!("/DC0/vm/Tenants/t0001/{}", server_name(1, count))), Json::Null);
}

fn since_when(tenant: &Json) -> &str {
    of_condition(tenant, "Ready", "lastTransitionTime")
}
