//! The process ends at any moment while an account and a repository are made, and the next one goes on.

use std::time::Duration;

use vertskommune_provider::Applied;
use vertskommune_provider::testing::conformance::Peer as _;

use crate::stage::{DiesAt, Stage, tenant};

/// Passes with this permit until nothing is left to do or it is refused. Says whether it was.
async fn dies(stage: &Stage, writes: usize) -> bool {
    let permit = DiesAt::question(writes);
    let provider = stage.provider();
    let drive = stage.drive(tenant());
    for _ in 0..10 {
        let plan = drive.plan(provider.as_ref(), stage.look(provider.as_ref()).await);
        let steps: Vec<_> = plan.ready().map(|planned| planned.step.clone()).collect();
        if steps.is_empty() {
            return false;
        }
        let applied = provider.apply(&steps, &stage.ctx(permit.clone())).await;
        if applied.iter().any(|it| matches!(it, Applied::NotSent(_))) {
            return true;
        }
        assert!(applied.iter().all(|it| *it == Applied::Done), "{applied:?}");
    }
    panic!("it does not converge");
}

/// All is there once, and each key opens it.
async fn is_whole(stage: &Stage, why: &str) {
    let plan = stage.drive(tenant()).converge().await;
    assert!(plan.steps.is_empty() && plan.refusals.is_empty() && plan.doubts.is_empty(), "{why}: {plan:#?}");
    let keys = stage.restic(&stage.password(), "key list --json");
    let keys: Vec<serde_json::Value> =
        serde_json::from_str(&keys).unwrap_or_else(|error| panic!("{why}: {error}: {keys}"));
    assert_eq!(keys.len(), 3, "{why}: {keys:?}");
    stage.restic(&stage.escrow_password(), "check");
    let left = stage
        .room
        .inside("cd /srv/vertskommune/lab/ibestad/repository && find . -maxdepth 1 -name '*.new' -o -path './locks/*' | wc -l")
        .unwrap();
    assert_eq!(left.trim(), "0", "{why}: something is left");
}

#[test]
fn wherever_it_dies_the_next_one_completes_it() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.keep();
    stage.block_on(async {
        let mut writes = 0;
        while dies(&stage, writes).await {
            is_whole(&stage, &format!("before write {writes}")).await;
            stage.clear().await;
            writes += 1;
        }
        // The Secret, the account, the repository, two keys with their seals, and the policy.
        assert_eq!(writes, 8);
    });
}

#[test]
fn killed_at_any_moment_it_is_completed() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.keep();
    stage.block_on(async {
        stage.drive(tenant()).converge().await;
        stage.clear().await;
        for after in (0..5).map(|n| Duration::from_millis(150 + n * 900)) {
            // Dropping a call kills its restic, as the kernel does when the process dies.
            let _ = tokio::time::timeout(after, dies(&stage, usize::MAX)).await;
            is_whole(&stage, &format!("after {after:?}")).await;
            stage.clear().await;
        }
        // A repository of which only a key was made: restic would take that for the right one.
        let provider = stage.provider();
        let _ = tokio::time::timeout(Duration::from_secs(60), dies(&stage, 3)).await;
        let half = "cd /srv/vertskommune/lab/ibestad/repository && rm -f config escrow.age keeper.age";
        stage.room.inside(half).unwrap();
        drop(provider);
        is_whole(&stage, "a key without its repository").await;
    });
}
