//! Runs against the in-memory system.

use std::path::Path;
use std::sync::Arc;

use vertskommune_core::names::Installation;
use vertskommune_provider::Plugins;
use vertskommune_provider::context::Always;
use vertskommune_provider::secrets::FolderSecrets;
use vertskommune_provider::testing::{Cut, MemoryPlugin, MemorySystem};

use super::*;
use crate::embedded::Ground;
use crate::manifests;

/// An engine for the good manifests on this system.
fn embedded(system: &Arc<MemorySystem>, installation: &str) -> Embedded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/good");
    let ground =
        Ground { manifests: manifests::read(&[folder]).unwrap(), secrets: Arc::new(FolderSecrets::new("")) };
    let plugin = MemoryPlugin::default().with("memory://main", system.clone());
    let plugins = Plugins::default().with(plugin);
    Embedded::new(ground, &Installation::from(installation), Arc::new(Always), plugins)
}

fn system() -> Arc<MemorySystem> {
    Arc::new(MemorySystem::new("main"))
}

async fn run(embedded: &Embedded, interrupted: &CancellationToken) -> Ended {
    embedded.observe().await;
    let tenants = embedded.choose(&[]).unwrap();
    Convergence::new(embedded, tenants, None, interrupted.clone()).run().await
}

#[tokio::test(start_paused = true)]
async fn a_second_run_writes_nothing() {
    let system = system();
    let ended = run(&embedded(&system, "nord"), &CancellationToken::new()).await;
    assert!(ended.plans.iter().all(Plan::is_empty) && ended.given_up.is_empty());
    assert_eq!(system.journal().len(), 6);
    system.reset_journal();
    let ended = run(&embedded(&system, "nord"), &CancellationToken::new()).await;
    assert!(ended.plans.iter().all(Plan::is_empty) && ended.given_up.is_empty());
    assert_eq!(system.journal(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn where_another_writes_nothing_is_written_unless_it_is_taken_over() {
    let system = system();
    let other = embedded(&system, "sor");
    run(&other, &CancellationToken::new()).await;
    system.reset_journal();
    system.by_hand(BTreeMap::clear);
    let ours = embedded(&system, "nord");
    let ended = run(&ours, &CancellationToken::new()).await;
    assert!(
        ended.given_up.len() == 2 && ended.given_up.values().all(|why| why.contains("of installation sor"))
    );
    assert_eq!(system.journal(), Vec::<String>::new());
    let ours = embedded(&system, "nord");
    ours.engine.take_over().await.unwrap();
    let ended = run(&ours, &CancellationToken::new()).await;
    assert!(ended.given_up.is_empty(), "{:?}", ended.given_up);
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_given_back_for_the_next() {
    let system = system();
    let first = embedded(&system, "nord");
    run(&first, &CancellationToken::new()).await;
    first.engine.release_claims().await;
    system.by_hand(BTreeMap::clear);
    let ended = run(&embedded(&system, "sor"), &CancellationToken::new()).await;
    assert!(ended.given_up.is_empty(), "{:?}", ended.given_up);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_stops_before_the_next_step() {
    let system = system();
    let interrupted = CancellationToken::new();
    interrupted.cancel();
    let ended = run(&embedded(&system, "nord"), &interrupted).await;
    assert!(ended.interrupted && system.journal().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_system_that_goes_away_for_good_ends_the_run_in_doubt() {
    for cut in [Cut::Before, Cut::After] {
        let system = system();
        system.cut(2, cut);
        let ended = run(&embedded(&system, "nord"), &CancellationToken::new()).await;
        assert!(ended.plans.iter().any(|plan| !plan.doubts.is_empty()), "{:?}", ended.given_up);
        system.reset_journal();
    }
}

#[tokio::test(start_paused = true)]
async fn a_system_that_comes_back_is_waited_for() {
    let system = system();
    system.cut(2, Cut::After);
    let embedded = embedded(&system, "nord");
    let back = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        // Also ends the cut.
        system.reset_journal();
    };
    let never = CancellationToken::new();
    let (ended, ()) = tokio::join!(run(&embedded, &never), back);
    assert!(ended.plans.iter().all(Plan::is_empty), "{:?}", ended.given_up);
}
