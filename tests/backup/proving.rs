//! Proofs: every byte comes back, or it is said that it does not.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use vertskommune_core::backup::facts::{Outcome, Proof};
use vertskommune_core::backup::{self};
use vertskommune_core::names::TenantName;
use vertskommune_provider::{Moved, Provider, ProviderError};

use crate::servers::Servers;
use crate::stage::{SERVER, Stage, another_second, tenant};

const MIB: u64 = 1 << 20;

async fn proof(stage: &Stage, provider: &dyn Provider, disk: &str) -> Option<Proof> {
    let seen = stage.look(provider).await;
    seen.backups[&TenantName::from("ibestad")].backups.servers[SERVER].disks[disk].proof.clone()
}

/// What is known to be damaged in the repository.
async fn damage(stage: &Stage, provider: &dyn Provider) -> Option<String> {
    let seen = stage.look(provider).await;
    seen.backups[&TenantName::from("ibestad")].backups.damage.clone()
}

/// Proves a disk in another second than the last.
async fn prove(stage: &Stage, provider: &dyn Provider, disk: &str) -> Result<Moved, ProviderError> {
    another_second().await;
    stage.prove(provider, disk).await
}

/// Flips a bit of a disk, or flips it back.
fn flip(stage: &Stage) {
    let packs = "find /srv/vertskommune/lab/ibestad/repository/data -type f -size +4M | sort | head -1";
    let pack = stage.room.inside(packs).unwrap();
    stage.room.flip_bit(pack.trim(), 1_000_000).unwrap();
}

/// The verdict on the tenant, as its status shows it.
async fn verdict(stage: &Stage, provider: &dyn Provider) -> String {
    let (tenant, seen) = (tenant(), stage.look(provider).await);
    let report = backup::report(
        tenant.backup.as_ref().unwrap(),
        &tenant.name,
        &tenant.servers,
        Some(&seen),
        Timestamp::now(),
    );
    report.word().to_owned()
}

#[test]
fn one_flipped_byte_is_found() {
    let Some(stage) = Stage::start("ext4", "512M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let provider = provider.as_ref();
        assert_eq!(verdict(&stage, provider).await, "NoBackupYet");
        let servers = Servers::new(&[("data", 20 * MIB), ("system", 3 * MIB)]);
        stage.take(provider, &servers).await.unwrap();
        assert_eq!(proof(&stage, provider, "data").await, None);
        let moved = stage.prove(provider, "data").await.unwrap();
        assert_eq!(moved.bytes, 20 * MIB);
        assert_eq!(proof(&stage, provider, "data").await.unwrap().outcome, Outcome::Intact);
        assert_eq!(verdict(&stage, provider).await, "NeverProven", "each disk has to be proven here");
        stage.prove(provider, "system").await.unwrap();
        assert_eq!(verdict(&stage, provider).await, "FreshAndProven");

        flip(&stage);
        prove(&stage, provider, "data").await.unwrap();
        let found = proof(&stage, provider, "data").await.unwrap();
        assert!(matches!(&found.outcome, Outcome::Damaged(why) if !why.is_empty()), "{found:?}");
        assert_eq!(verdict(&stage, provider).await, "CorruptionFound");
        // A disk that is not touched by it comes back, and the check says of the repository what it found in it.
        prove(&stage, provider, "system").await.unwrap();
        assert_eq!(proof(&stage, provider, "system").await.unwrap().outcome, Outcome::Intact);
        assert!(damage(&stage, provider).await.unwrap().contains("part 1 of 1"));
        // It is mended, which counts once both were read again.
        flip(&stage);
        assert_eq!(verdict(&stage, provider).await, "CorruptionFound");
        prove(&stage, provider, "data").await.unwrap();
        assert_eq!(damage(&stage, provider).await, None);
        assert_eq!(verdict(&stage, provider).await, "FreshAndProven");
    });
}

#[test]
fn what_came_back_is_written_down_as_soon_as_there_is_room() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let provider = provider.as_ref();
        stage.take(provider, &Servers::new(&[("data", 20 * MIB)])).await.unwrap();
        // The room fills up while the disk comes back.
        let filled = OnceLock::new();
        let progress = |moved: Moved| {
            if moved.bytes > 0 && filled.set(Timestamp::now()).is_ok() {
                stage.room.order("fill").unwrap();
                // So that it ends in another second than this.
                thread::sleep(Duration::from_secs(1));
            }
        };
        let full = stage.prove_with(provider, "data", &progress).await;
        assert!(matches!(full, Err(ProviderError::Capacity(_))), "{full:?}");
        stage.room.order("drain").unwrap();
        assert_eq!(proof(&stage, provider, "data").await, None);
        // By this it is seen that the disk is not read again, and that the check is a matter of its own.
        flip(&stage);
        let moved = prove(&stage, provider, "data").await.unwrap();
        assert_eq!(moved.bytes, 20 * MIB);
        let found = proof(&stage, provider, "data").await.unwrap();
        assert_eq!(found.outcome, Outcome::Intact);
        assert!(found.at <= *filled.get().unwrap(), "it is of when its restore began: {found:?}");
        assert_eq!(verdict(&stage, provider).await, "CorruptionFound");
        // What comes then is read.
        prove(&stage, provider, "data").await.unwrap();
        let found = proof(&stage, provider, "data").await.unwrap();
        assert!(matches!(&found.outcome, Outcome::Damaged(_)), "{found:?}");
    });
}

#[test]
fn by_a_clock_that_is_a_day_off_nothing_is_taken_or_proven() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let provider = provider.as_ref();
        let servers = Servers::new(&[("data", MIB)]);
        stage.take(provider, &servers).await.unwrap();
        // The agent tells another time from now on.
        stage.room.tell_tomorrow(true).unwrap();
        for refused in [stage.take(provider, &servers).await, prove(&stage, provider, "data").await] {
            assert!(
                matches!(&refused, Err(ProviderError::Refused(why)) if why.contains("set the clock right")),
                "{refused:?}"
            );
        }
        assert_eq!(servers.state().closed.len(), 1, "no server was touched");
        stage.room.tell_tomorrow(false).unwrap();
        assert_eq!(proof(&stage, provider, "data").await, None);
        prove(&stage, provider, "data").await.unwrap();
        assert_eq!(proof(&stage, provider, "data").await.unwrap().outcome, Outcome::Intact);
    });
}
