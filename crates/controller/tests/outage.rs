//! Connections to the API server that die without a word, as behind a firewall that has forgotten them.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in tests, not in what they share.

mod support;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use support::{eventually, eventually_in, stage};

/// Passes connections on, until those that are there fall silent. New ones pass.
struct Firewall {
    url: String,
    forgets: Arc<watch::Sender<u32>>,
}

impl Firewall {
    async fn before(url: &http::Uri) -> Self {
        let target = format!("{}:{}", url.host().unwrap(), url.port_u16().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let forgets = Arc::new(watch::Sender::new(0));
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
        tenant.status.is_some().then_some(())
    })
    .await;
    println!("seen {:?} after the connections died", begun.elapsed());
    stage.ready(&next, "True").await;
    assert_eq!(controller.metric("leader ", &[]).await, 1, "the lease outlived it");
    eventually("it is ready", async || (controller.get("/readyz").await?.0 == 200).then_some(())).await;
}
