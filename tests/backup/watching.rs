//! Another product's job: nothing of ours is made for it, and what it leaves is judged.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use vertskommune_core::backup::{self, Mode};
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_provider::Changes;
use vertskommune_provider::context::Always;
use vertskommune_provider::testing::conformance::{self, Peer as _};

use crate::stage::{SERVER, Stage, key, tenant};

const JOB: &str = "Ibestad nightly";

fn watched() -> ValidatedTenant {
    let mut tenant = tenant();
    tenant.backup.as_mut().unwrap().mode = Mode::External { job: JOB.to_owned() };
    tenant
}

/// The reason of the verdict, as the tenant's status shows it.
async fn verdict(stage: &Stage) -> String {
    let (tenant, seen) = (watched(), stage.look(stage.provider().as_ref()).await);
    let backup = tenant.backup.as_ref().unwrap();
    let report = backup::report(backup, &tenant.name, &tenant.servers, Some(&seen), Timestamp::now());
    report.word().to_owned()
}

/// Leaves a status as the product's script does.
fn leave(stage: &Stage, server: &serde_json::Value) {
    let status = json!({"version": 1, "job": JOB, "servers": {SERVER: server}}).to_string();
    let output = stage.room.job_status(&status).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_job_of_another_product_is_judged_by_what_it_leaves() {
    let Some(stage) = Stage::start("ext4", "64M") else { return };
    stage.block_on(async {
        let drive = stage.drive(watched());
        conformance::looking_writes_nothing(&drive).await;
        assert!(drive.look().await.is_empty(), "nothing is made for it");
        assert_eq!(verdict(&stage).await, "NoJobStatus");
        let provider = stage.provider();
        let ctx = stage.ctx(Arc::new(Always));
        assert_eq!(provider.changed(&ctx).await, Ok(Changes::Anything), "the first call");
        let changing = provider.changed(&ctx);
        let night = Timestamp::now() - SignedDuration::from_hours(3);
        leave(&stage, &json!({"lastGood": night}));
        assert_eq!(changing.await, Ok(Changes::Anything), "whose the job is stands in no system");
        assert_eq!(verdict(&stage).await, "NeverProven");
        leave(&stage, &json!({"lastGood": night, "proof": {"at": night, "outcome": "intact"}}));
        assert_eq!(verdict(&stage).await, "FreshAndProven");
        leave(&stage, &json!({"lastGood": night, "proof": {"at": night, "outcome": "damaged"}}));
        assert_eq!(verdict(&stage).await, "CorruptionFound");
        stage.room.inside("echo '{' >'/srv/vertskommune/.external/lab/Ibestad%20nightly.json'").unwrap();
        assert_eq!(verdict(&stage).await, "JobStatusUnreadable");
        // A folder that others may write hides the jobs and nothing else.
        stage.room.inside("chmod 0777 /srv/vertskommune/.external").unwrap();
        assert_eq!(verdict(&stage).await, "Incomplete");
        conformance::converges(&stage.drive(tenant())).await;
    });
}

#[test]
fn who_goes_over_to_another_product_leaves_all_that_lies_there() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        stage.ready().await;
        let before = stage.ours().await;
        let drive = stage.drive(watched());
        let plan = drive.look().await;
        let steps: Vec<_> = plan.steps.iter().map(|it| it.step.operation.as_str()).collect();
        assert_eq!(steps, ["leave"]);
        conformance::converges(&drive).await;
        assert_eq!(stage.ours().await, before, "nothing went");
        let seen = stage.look(stage.provider().as_ref()).await;
        assert!(seen.present(&"ibestad".into(), &key("repository")).unwrap().retired_at.is_some());
        // What lies there is not the job's.
        assert_eq!(verdict(&stage).await, "NoJobStatus");
        assert_eq!(stage.drive(tenant()).look().await.steps[0].step.operation, "come-back");
    });
}
