//! Killed at every call that changes a directory, on either side: what is left is gone on with, and in the end all is as without it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;
use vertskommune_provider::testing::conformance::{
    Drive, Peer as _, Things, survives_a_crash_at_every_write,
};
use vertskommune_provider::{Claim, ProviderError};

use vertskommune_provider::testing::system::Cut;

use super::failures::{RECORDS_GONE, becomes_valid};
use super::stage::Stage;

type Prepare = Box<dyn Fn() -> BoxFuture<'static, ()> + Sync>;

/// Of two that would write for an installation, one is refused. Another installation has records of its own, and its administrators'
/// word: neither touches what is the other's.
async fn has_one_writer(stage: &Stage) {
    let provider = stage.provider();
    for (holder, seconds, take_over, granted) in [
        ("a", 300, false, true),
        ("a", 300, false, true),
        ("b", 300, false, false),
        ("b", 300, true, true),
        ("a", 300, false, false),
        ("b", 0, false, true),
        ("a", 0, false, true),
    ] {
        let claim = Claim {
            installation: stage.installation(),
            holder: holder.to_owned(),
            expires: Timestamp::now() + Duration::from_secs(seconds),
            take_over,
        };
        let answer = provider.claim(&claim, &stage.ctx()).await;
        let is_refused = matches!(answer, Err(ProviderError::Claimed { .. }));
        assert_eq!((answer.is_ok(), is_refused), (granted, !granted), "{holder}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_killed_at_every_call() {
    let Some(stage) = Stage::set().await else { return };
    let stage = Arc::new(stage);
    has_one_writer(&stage).await;
    let again = stage.clone();
    let prepare: Prepare = Box::new(move || {
        let stage = again.clone();
        Box::pin(async move { stage.clear_all() })
    });
    let figures = survives_a_crash_at_every_write(&stage.drive(), &prepare).await;
    assert!(figures.writes >= 3, "{figures:?}");
    eprintln!("{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_and_a_removal_are_killed_at_every_call() {
    let Some(stage) = Stage::set().await else { return };
    let stage = Arc::new(stage);
    stage.drive().converge().await;
    // What is left when an answer was lost is what is left before the next call. Of the last, a new channel, it is as if it was done.
    for nth in 0..3 {
        let mut anew = stage.drive();
        let directory = anew.tenant.directory.as_mut().unwrap();
        directory.new_secret_after = Some(Timestamp::now());
        directory.restart_before = Some(Timestamp::MAX);
        // So that it is younger than what was made before.
        tokio::time::sleep(Duration::from_secs(2)).await;
        stage.reset().await;
        stage.cut(nth, Cut::After).await;
        anew.converge().await;
        stage.reset().await;
        let plan = anew.converge().await;
        let report = plan.directory.as_ref().unwrap();
        assert_eq!(report.word(), "Valid", "killed after call {nth}: {plan:#?}");
    }
    stage.reset().await;
    stage.cut(0, Cut::After).await;
    let leaving = Drive { leaving: true, ..stage.drive() };
    leaving.converge().await;
    assert!(!stage.ours().await.is_empty(), "nothing was left by the death");
    stage.reset().await;
    leaving.converge().await;
    assert_eq!(stage.ours().await, Vec::<String>::new(), "something is left");
}

/// How often anything in the directory's trusts was written, in its own counting: a secret does not show otherwise.
const WRITTEN: &str = "for entry in directory.search(expression='(objectClass=trustedDomain)', attrs=['uSNChanged']): \
                       print(entry.dn, entry['uSNChanged'])\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_is_killed_between_its_sides() {
    let Some(stage) = Stage::set().await else { return };
    let drive = stage.drive();
    let sides = [stage.host_side(), stage.tenant_side()];
    let written = || sides.map(|side| stage.python(side, WRITTEN));
    for (nth, cut) in [(0, Cut::After), (1, Cut::Before)] {
        stage.clear_all();
        for side in sides {
            stage.ensure(side, "sor", "a-secret-that-others-agreed-on", &json!({}));
            stage.run(side, RECORDS_GONE, &[]);
        }
        let Things { ours: before, foreign } = stage.things().await;
        let theirs = (before, foreign, written());
        let added = |now: Vec<String>| -> Vec<String> {
            assert!(theirs.0.iter().all(|line| now.contains(line)), "{now:#?} and not {:#?}", theirs.0);
            now.into_iter().filter(|line| !theirs.0.contains(line)).collect()
        };
        stage.reset().await;
        stage.cut(nth, cut).await;
        drive.converge().await;
        let left = added(stage.ours().await);
        let is_between = matches!(left.as_slice(), [record] if record.starts_with("host: record"));
        assert!(is_between, "killed {cut:?} call {nth}: {left:#?}");

        stage.reset().await;
        becomes_valid(&stage, &drive, &format!("the death of its adoption {cut:?} call {nth}")).await;
        assert!(drive.look().await.is_empty());
        let Things { ours, foreign } = stage.things().await;
        let records = added(ours);
        assert!(records.len() == 2 && records.iter().all(|it| it.contains("record")), "{records:#?}");
        assert_eq!((foreign, written()), (theirs.1, theirs.2), "what others made was changed");
        let calls = stage.journal().await;
        assert!(!calls.iter().any(|call| call.starts_with("hostdc adopt")), "adopted twice: {calls:?}");
    }
}
