//! Killed at every call that changes a directory, on either side: what is left is gone on with, and in the end all is as without it.

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use vertskommune_provider::testing::conformance::has_one_writer;
use vertskommune_provider::testing::conformance::{Drive, Peer as _, survives_a_crash_at_every_write};

use super::stage::Stage;

type Prepare = Box<dyn Fn() -> BoxFuture<'static, ()> + Sync>;

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_killed_at_every_call() {
    let Some(stage) = Stage::set().await else { return };
    let stage = Arc::new(stage);
    has_one_writer(stage.as_ref()).await;
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
    for nth in 0..4 {
        for cut in [
            vertskommune_provider::testing::system::Cut::Before,
            vertskommune_provider::testing::system::Cut::After,
        ] {
            let mut anew = stage.drive();
            let directory = anew.tenant.directory.as_mut().unwrap();
            directory.new_secret_after = Some(Timestamp::now());
            directory.restart_before = Some(Timestamp::MAX);
            // So that it is younger than what was made before.
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            stage.reset().await;
            stage.cut(nth, cut).await;
            anew.converge().await;
            stage.reset().await;
            anew.converge().await;
            let (report, plan) = stage.report(&anew).await;
            assert_eq!(report.word(), "Valid", "{cut:?} {nth}: {plan:#?}");
        }
    }
    for nth in 0..2 {
        for cut in [
            vertskommune_provider::testing::system::Cut::Before,
            vertskommune_provider::testing::system::Cut::After,
        ] {
            stage.reset().await;
            stage.drive().converge().await;
            stage.reset().await;
            stage.cut(nth, cut).await;
            let leaving = Drive { leaving: true, ..stage.drive() };
            leaving.converge().await;
            stage.reset().await;
            leaving.converge().await;
            assert_eq!(stage.ours().await, Vec::<String>::new(), "{cut:?} {nth}: something is left");
        }
    }
}
