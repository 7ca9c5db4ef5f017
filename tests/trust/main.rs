//! Trusts between two real forests, made, tried, healed and removed by the directory plugin: tests/lab/directories.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod canary;
mod conflicts;
mod crashing;
mod failures;
mod kinds;
mod manual;
mod stage;
mod told;
mod watch;
mod watched;

use vertskommune_core::directory::Verdict;
use vertskommune_provider::testing::conformance::{Drive, Peer as _, converges, looking_writes_nothing};

use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_is_made_and_works_both_ways() {
    let Some(stage) = Stage::set().await else { return };
    let drive = stage.drive();
    looking_writes_nothing(&drive).await;
    let mut selective = stage.drive();
    selective.tenant.directory.as_mut().unwrap().to_host.as_mut().unwrap().selective = true;
    let (report, plan) = stage.report(&selective).await;
    assert_eq!(report.word(), "SelectiveAuthenticationUnsupported", "{plan:#?}");
    let (before, plan) = stage.report(&drive).await;
    assert_eq!(before.verdict, Verdict::NotMade, "{plan:#?}");
    converges(&drive).await;
    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.verdict, Verdict::Valid, "{plan:#?}");
    assert!(plan.is_empty(), "{plan:#?}");
    looking_writes_nothing(&drive).await;

    let leaving = Drive { leaving: true, ..stage.drive() };
    leaving.converge().await;
    assert_eq!(stage.ours().await, Vec::<String>::new(), "something of the trust is left");
}
