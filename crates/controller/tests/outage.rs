//! Connections to the API server that die without a word, as behind a firewall that has forgotten them.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in tests, not in what they share.

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, PostParams};
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use vertskommune_api::{HostProvider, RuleSet, Tenant};
use vertskommune_controller::client::connect;
use vertskommune_controller::watches::watch;

use support::{Stage, eventually, eventually_in, stage};

/// Passes connections on, until those that are there fall silent. New ones pass.
struct Firewall {
    url: String,
    forgets: Arc<tokio::sync::watch::Sender<u32>>,
}

impl Firewall {
    async fn before(url: &http::Uri) -> Self {
        let target = format!("{}:{}", url.host().unwrap(), url.port_u16().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let forgets = Arc::new(tokio::sync::watch::Sender::new(0));
        let told = forgets.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut forgotten) = (target.clone(), told.subscribe());
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = forgotten.changed() => {
                            // Neither end hears of it.
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self { url, forgets }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_died_silently_is_noticed_within_half_a_minute() {
    let Some(stage) = stage().await else { return };
    let firewall = Firewall::before(&stage.cluster.cluster_url).await;
    let mut cluster = stage.cluster.clone();
    cluster.cluster_url = firewall.url.parse().unwrap();
    let controller = stage.controller_in(cluster, "a").await;
    stage.host("main").await;
    let name = stage.tenant(1).await;
    stage.ready(&name, "True").await;

    firewall.forgets.send_modify(|count| *count += 1);
    let begun = Instant::now();
    let next = stage.tenant(2).await;
    eventually_in(Duration::from_secs(30), "the new tenant is seen", &mut async || {
        let tenant = stage.tenants().get(&next).await.ok()?;
        (tenant.status?.observed_generation == tenant.metadata.generation).then_some(())
    })
    .await;
    println!("seen {:?} after the connections died", begun.elapsed());
    stage.ready(&next, "True").await;
    assert_eq!(controller.metric("leader ", &[]).await, 1, "the lease outlived it");
    eventually("it is ready", async || (controller.get("/readyz").await?.0 == 200).then_some(())).await;
}

/// How many watches there are of each kind.
const OF_A_KIND: usize = 50;

/// What a watch has told: when it first named an object.
type Told = Arc<Mutex<BTreeMap<String, Instant>>>;

/// 200 watches, more than all replicas of all clusters at a host would have, behind one firewall.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_watches_that_die_at_once_are_all_begun_anew() {
    let Some(stage) = stage().await else { return };
    let firewall = Firewall::before(&stage.cluster.cluster_url).await;
    let mut cluster = stage.cluster.clone();
    cluster.cluster_url = firewall.url.parse().unwrap();
    let (mut watches, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..OF_A_KIND {
        // A client of its own, and so connections of its own, as a process has.
        let client = connect(&cluster).unwrap().build();
        watches.push(("tenants", follow(Api::<Tenant>::all(client.clone()))));
        watches.push(("hosts", follow(Api::<HostProvider>::all(client.clone()))));
        watches.push(("rule sets", follow(Api::<RuleSet>::all(client.clone()))));
        watches.push(("secrets", follow(Api::<Secret>::default_namespaced(client.clone()))));
        clients.push(client);
    }
    bring_one_of_each(&stage, 1).await;
    all_are_told(&watches, 1, Duration::from_secs(30)).await;
    leave_idle_connections(&clients).await;

    firewall.forgets.send_modify(|count| *count += 1);
    let begun = Instant::now();
    bring_one_of_each(&stage, 2).await;
    all_are_told(&watches, 2, Duration::from_secs(30)).await;
    let noticed =
        watches.iter().map(|(kind, (told, _))| told.lock().unwrap()[&name(kind, 2)].duration_since(begun));
    let noticed: Vec<Duration> = noticed.collect();
    println!(
        "of {} watches the first noticed after {:?}, the last after {:?}",
        noticed.len(),
        noticed.iter().min().unwrap(),
        noticed.iter().max().unwrap(),
    );
    // None of them is lost for good.
    bring_one_of_each(&stage, 3).await;
    all_are_told(&watches, 3, Duration::from_secs(10)).await;
}

/// Has each client use more connections at once than it needs afterwards, but for its watches.
async fn leave_idle_connections(clients: &[Client]) {
    let lists = clients.iter().flat_map(|client| std::iter::repeat_n(Api::<Tenant>::all(client.clone()), 5));
    join_all(lists.map(|api| async move { api.list(&ListParams::default()).await.unwrap() })).await;
}

/// The name of the object of that kind and number.
fn name(kind: &str, number: usize) -> String {
    if kind == "rule sets" { format!("baseline-v{number}") } else { format!("t{number}") }
}

/// Watches all objects of a kind as the controller does.
fn follow<K>(api: Api<K>) -> (Told, AbortOnDropHandle<()>)
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let told = Told::default();
    let telling = told.clone();
    let task = tokio::spawn(async move {
        let mut events = pin!(watch(api));
        while let Some(event) = events.next().await {
            if let Ok(Event::Apply(object) | Event::InitApply(object)) = event {
                telling.lock().unwrap().entry(object.name_any()).or_insert_with(Instant::now);
            }
        }
    });
    (told, AbortOnDropHandle::new(task))
}

/// An object of each kind.
async fn bring_one_of_each(stage: &Stage, number: usize) {
    stage.tenant(number).await;
    stage.host(&name("hosts", number)).await;
    stage.rule_set(i32::try_from(number).unwrap()).await;
    let secret = json!({ "metadata": { "name": name("secrets", number) } });
    let secrets: Api<Secret> = Api::default_namespaced(stage.client.clone());
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
}

async fn all_are_told(watches: &[(&str, (Told, AbortOnDropHandle<()>))], number: usize, limit: Duration) {
    let deaf = || -> Vec<&str> {
        let deaf = watches
            .iter()
            .filter(|(kind, (told, _))| !told.lock().unwrap().contains_key(&name(kind, number)));
        deaf.map(|(kind, _)| *kind).collect()
    };
    let begun = Instant::now();
    while !deaf().is_empty() {
        let deaf = deaf();
        assert!(begun.elapsed() < limit, "{} of {} watches are deaf: {deaf:?}", deaf.len(), watches.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
