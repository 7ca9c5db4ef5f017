//! Proofs: every byte comes back, or it is said that it does not.

use vertskommune_core::backup::facts::{Outcome, Proof};
use vertskommune_core::backup::{self};
use vertskommune_core::names::TenantName;
use vertskommune_provider::Provider;

use crate::servers::Servers;
use crate::stage::{SERVER, Stage, tenant};

const MIB: u64 = 1 << 20;

async fn proof(stage: &Stage, provider: &dyn Provider, disk: &str) -> Option<Proof> {
    let seen = stage.look(provider).await;
    seen.backups[&TenantName::from("ibestad")].backups.servers[SERVER].disks[disk].proof.clone()
}

/// The verdict on the tenant, as its status shows it.
async fn verdict(stage: &Stage, provider: &dyn Provider) -> String {
    let (tenant, seen) = (tenant(), stage.look(provider).await);
    let report = backup::report(
        tenant.backup.as_ref().unwrap(),
        &tenant.name,
        &tenant.servers,
        Some(&seen),
        jiff::Timestamp::now(),
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

        let flip = "cd /srv/vertskommune/lab/ibestad/repository/data && pack=$(find . -type f -size +4M | sort | head -1) &&
            byte=$(dd if=$pack bs=1 skip=1000000 count=1 status=none | od -An -tu1) &&
            printf \"\\\\x$(printf %02x $((byte ^ 1)))\" | dd of=$pack bs=1 seek=1000000 conv=notrunc status=none";
        stage.room.inside(flip).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        stage.prove(provider, "data").await.unwrap();
        let found = proof(&stage, provider, "data").await.unwrap();
        assert!(matches!(&found.outcome, Outcome::Damaged(why) if !why.is_empty()), "{found:?}");
        assert_eq!(verdict(&stage, provider).await, "CorruptionFound");
        // A disk that is not touched by it: the check finds it all the same, since it reads everything of a small one.
        stage.prove(provider, "system").await.unwrap();
        let found = proof(&stage, provider, "system").await.unwrap();
        assert!(matches!(&found.outcome, Outcome::Damaged(_)), "{found:?}");
    });
}
