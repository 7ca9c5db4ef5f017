//! Streams that end in the middle: no snapshot stays on a server, no run is taken for whole, and the next one goes through.

use std::sync::Arc;
use std::time::Duration;

use vertskommune_core::names::TenantName;
use vertskommune_provider::context::Always;
use vertskommune_provider::testing::conformance::Peer as _;
use vertskommune_provider::{Moved, Provider, ProviderError};

use crate::servers::Servers;
use crate::stage::{Lease, SERVER, Stage};

const MIB: u64 = 1 << 20;

/// Nothing is left of a run that broke, and the next is whole.
async fn goes_on(stage: &Stage, provider: &dyn Provider, servers: &Servers, why: &str) {
    assert_eq!(servers.state().open, 0, "{why}: an export is open");
    servers.state().pause = Duration::ZERO;
    servers.state().breaks_at = None;
    let before = last_good(stage, provider).await;
    let moved = stage.take(provider, servers).await;
    assert!(moved.is_ok(), "{why}: {moved:?}");
    assert!(last_good(stage, provider).await > before, "{why}");
    let locks = stage.room.inside("ls /srv/vertskommune/lab/ibestad/repository/locks | wc -l").unwrap();
    assert_eq!(locks.trim(), "0", "{why}: a lock is left");
}

async fn last_good(stage: &Stage, provider: &dyn Provider) -> Option<jiff::Timestamp> {
    let seen = stage.look(provider).await;
    seen.backups[&TenantName::from("ibestad")].backups.servers.get(SERVER).and_then(|it| it.last_good)
}

#[test]
fn a_stream_that_breaks_is_no_backup() {
    let Some(stage) = Stage::start("ext4", "512M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let provider = provider.as_ref();
        let servers = Servers::new(&[("data", 40 * MIB)]);

        servers.state().breaks_at = Some(20 * MIB);
        let broken = stage.take(provider, &servers).await;
        assert!(matches!(broken, Err(ProviderError::Unreachable { .. })), "{broken:?}");
        assert_eq!(servers.state().closed, [false]);
        assert_eq!(last_good(&stage, provider).await, None);
        goes_on(&stage, provider, &servers, "the disk broke off").await;

        // The permit goes while bytes flow.
        servers.state().pause = Duration::from_millis(150);
        let lease = Arc::new(Lease::default());
        let (lost, taken) = (lease.clone(), stage.take_with(provider, &servers, lease));
        let (taken, ()) = futures::join!(taken, async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            lost.lose();
        });
        assert!(matches!(taken, Err(ProviderError::NotPermitted(_))), "{taken:?}");
        goes_on(&stage, provider, &servers, "the permit was lost").await;

        // The call is dropped, as when the process ends.
        servers.state().pause = Duration::from_millis(150);
        let dropped = tokio::time::timeout(Duration::from_secs(4), stage.take(provider, &servers)).await;
        assert!(dropped.is_err(), "{dropped:?}");
        goes_on(&stage, provider, &servers, "the call was dropped").await;
        stage.restic(&stage.password(), "check --read-data");
    });
}

#[test]
fn a_network_that_goes_or_stands_still_is_told() {
    let Some(stage) = Stage::start("ext4", "512M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let provider = provider.as_ref();
        let servers = Servers::new(&[("data", 60 * MIB)]);
        servers.state().pause = Duration::from_millis(150);
        let (taken, ()) = futures::join!(stage.take(provider, &servers), async {
            tokio::time::sleep(Duration::from_secs(6)).await;
            stage.room.order("cut").unwrap();
        });
        assert!(
            matches!(taken, Err(ProviderError::Unreachable { .. } | ProviderError::Timeout(_))),
            "{taken:?}"
        );
        stage.room.order("mend").unwrap();
        assert_eq!(servers.state().closed, [false]);
        goes_on(&stage, provider, &servers, "the network went").await;
        stage.restic(&stage.password(), "check --read-data");
    });
}

#[test]
fn a_room_without_room_is_told() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let provider = provider.as_ref();
        let servers = Servers::new(&[("data", 30 * MIB)]);
        stage.room.order("fill").unwrap();
        let full = stage.take(provider, &servers).await;
        assert!(matches!(full, Err(ProviderError::Capacity(_))), "{full:?}");
        stage.room.order("drain").unwrap();
        goes_on(&stage, provider, &servers, "the disk was full").await;
    });
    drop(stage);
    let Some(mut stage) = Stage::start("btrfs", "512M") else { return };
    stage.quota = Some(64 << 20);
    stage.block_on(async {
        let provider = stage.ready().await;
        let servers = Servers::new(&[("data", 100 * MIB)]);
        let full: Result<Moved, _> = stage.take(provider.as_ref(), &servers).await;
        assert!(matches!(full, Err(ProviderError::Capacity(_))), "{full:?}");
        assert_eq!(servers.state().closed, [false]);
    });
    stage.quota = Some(400 << 20);
    stage.block_on(async {
        let provider = stage.ready().await;
        let servers = Servers::new(&[("data", 100 * MIB)]);
        goes_on(&stage, provider.as_ref(), &servers, "the quota was reached").await;
        let _ = stage.ctx(Arc::new(Always));
        let _ = stage.host();
    });
}
