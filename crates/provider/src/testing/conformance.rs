//! The suite that holds a plugin to the contract, against its real peer.
//!
//! A plugin's test implements [`Peer`] and calls these functions. Each panics with what was found.
#![expect(clippy::missing_panics_doc, reason = "these are assertions: to panic is what they are for")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::domain::{Domain, Inputs};
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, ProviderName};
use vertskommune_core::observation::{Blindness, Observation, Observations, Scope};
use vertskommune_core::plan::{Basis, Plan, PlannedStep, plan};
use vertskommune_core::resource::Resource;
use vertskommune_core::step::Step;
use vertskommune_core::tenant::ValidatedTenant;

use super::system::Cut;
use crate::context::Always;
use crate::secrets::SecretStore;
use crate::{Applied, Claim, Ctx, Permit, Provider, ProviderError};

/// How many passes a tenant may take; more means that it never converges.
const PASSES: usize = 600;

/// What is on a peer.
#[derive(Clone, Debug)]
pub struct Things {
    /// Everything that carries a mark of ours, one line each.
    pub ours: Vec<String>,
    /// Everything else, as text that changes with the smallest change.
    pub foreign: String,
}

/// The real peer of a plugin, with what a test can do to it.
pub trait Peer: Send + Sync {
    /// The endpoint.
    fn host(&self) -> Host;
    /// The installation whose mark things carry.
    fn installation(&self) -> Installation;
    /// A new provider that remembers nothing, as after a crash.
    fn provider(&self) -> Arc<dyn Provider>;
    /// The secrets.
    fn secrets(&self) -> Arc<dyn SecretStore>;
    /// The writes since the last reset, as the peer itself counts them.
    fn journal(&self) -> BoxFuture<'_, Vec<String>>;
    /// Empties the journal, and mends a cut.
    fn reset(&self) -> BoxFuture<'_, ()>;
    /// Cuts the connection at the `nth` write from now on.
    fn cut(&self, nth: usize, cut: Cut) -> BoxFuture<'_, ()>;
    /// Everything that is there, read without any code of ours.
    fn things(&self) -> BoxFuture<'_, Things>;
    /// Of that what carries a mark of ours.
    fn ours(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { self.things().await.ours })
    }
    /// Of that all else.
    fn foreign(&self) -> BoxFuture<'_, String> {
        Box::pin(async { self.things().await.foreign })
    }
    /// Lets time pass while nothing can be done but wait.
    fn let_time_pass(&self) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(Duration::from_millis(5)))
    }
    /// Removes all that carries our marks, to begin anew.
    fn clear(&self) -> BoxFuture<'_, ()>;
}

/// What a test drives: one tenant on one provider, straight through the contract.
pub struct Drive<'a> {
    /// The peer.
    pub peer: &'a dyn Peer,
    /// The tenant.
    pub tenant: ValidatedTenant,
    /// Whether its manifest is being deleted.
    pub leaving: bool,
}

impl Drive<'_> {
    /// Observes everything.
    pub async fn observe(&self, provider: &dyn Provider) -> Observation {
        let adopt = self.tenant.adoptions(provider.name());
        let name = &self.tenant.name;
        let directory = self.tenant.directory.clone();
        let scope = Scope {
            adopt: BTreeMap::from([(name.clone(), adopt)]),
            trusts: directory.into_iter().map(|directory| (name.clone(), directory)).collect(),
            ..Scope::default()
        };
        provider
            .observe(&scope, &self.ctx(Arc::new(Always)))
            .await
            .unwrap_or_else(|error| Observation::blind(provider.name(), error.blindness()))
    }

    /// Plans from an observation.
    pub fn plan(&self, provider: &dyn Provider, seen: Observation) -> Plan {
        let host = self.peer.host();
        let inputs = Inputs { installation: self.peer.installation(), tenant: self.tenant.clone() };
        let desired: BTreeMap<ProviderName, Vec<Resource>> = match provider.expand(&inputs) {
            Ok(resources) if !self.leaving => BTreeMap::from([(host.name.clone(), resources)]),
            Ok(_) => BTreeMap::new(),
            Err(violations) => panic!("the tenant cannot be expanded: {violations:?}"),
        };
        let domains = BTreeMap::from([(host.name.clone(), provider as &dyn Domain)]);
        let observations = Observations::from([(host.name.clone(), Arc::new(seen))]);
        plan(&Basis {
            now: Timestamp::now(),
            tenant: &self.tenant,
            leaving: self.leaving,
            desired: &desired,
            hosts: &BTreeMap::from([(host.name.clone(), host)]),
            domains: &domains,
            observations: &observations,
            findings: &[],
            retries: &BTreeMap::new(),
            halted: None,
        })
    }

    /// Observes and plans with a new provider.
    pub async fn look(&self) -> Plan {
        let provider = self.peer.provider();
        let seen = self.observe(provider.as_ref()).await;
        self.plan(provider.as_ref(), seen)
    }

    /// Passes until nothing is left to do that could be done, or until the connection is cut. Gives the last plan.
    pub async fn converge(&self) -> Plan {
        let provider = self.peer.provider();
        let mut last = Vec::new();
        for _ in 0..PASSES {
            let seen = self.observe(provider.as_ref()).await;
            let blind = matches!(seen.coverage.blind, Some(Blindness::Unreachable(_)));
            let plan = self.plan(provider.as_ref(), seen);
            let idle = plan.ready().next().is_none() && plan.progress.is_empty();
            if idle && (blind || plan.doubts.is_empty()) {
                return plan;
            }
            last = self.carry_out(provider.as_ref(), &plan).await;
            let done_nothing = !last.contains(&Applied::Done);
            if done_nothing {
                // A task of the system is under way; its end is observed, not slept for, but not in a hot loop.
                self.peer.let_time_pass().await;
            }
        }
        panic!("{} does not converge: {last:?}: {:#?}", self.tenant.name, self.look().await)
    }

    /// Carries a plan out, to its end or to the first step that is not. Gives what became of each.
    pub async fn carry_out(&self, provider: &dyn Provider, plan: &Plan) -> Vec<Applied> {
        let mut outcomes = Vec::new();
        for turn in plan.turns(&|_| true) {
            let ctx = self.ctx(Arc::new(Always));
            let steps: Vec<Step> = turn.iter().map(|planned| planned.step.clone()).collect();
            outcomes.extend(provider.apply(&steps, &ctx).await);
            if !matches!(outcomes.last(), Some(Applied::Done | Applied::Started { .. })) {
                break;
            }
        }
        outcomes
    }

    fn ctx(&self, permit: Arc<dyn Permit>) -> Ctx {
        Ctx {
            deadline: Instant::now() + Duration::from_secs(60),
            cancel: CancellationToken::new(),
            secrets: self.peer.secrets(),
            permit,
        }
    }
}

/// Plan, apply, plan again: the second plan is empty and makes no write, and what is foreign stays byte for byte.
pub async fn converges(drive: &Drive<'_>) {
    let foreign = drive.peer.foreign().await;
    let last = drive.converge().await;
    assert!(last.steps.iter().all(PlannedStep::is_deferred), "steps are left: {last:#?}");
    assert!(last.refusals.is_empty() && last.doubts.is_empty(), "refused or unknown: {last:#?}");
    drive.peer.reset().await;
    let again = drive.converge().await;
    assert_eq!(again.digest, last.digest, "another plan than before");
    assert_eq!(drive.peer.journal().await, Vec::<String>::new(), "the second plan wrote");
    assert_eq!(drive.peer.foreign().await, foreign, "something foreign was touched");
}

/// Observation and plan write nothing, on a fresh system and on a converged one.
pub async fn looking_writes_nothing(drive: &Drive<'_>) {
    drive.peer.reset().await;
    drive.look().await;
    assert_eq!(drive.peer.journal().await, Vec::<String>::new(), "looking wrote");
}

/// Of two that would write, one is refused by the claim in the system itself: another installation, and just the same
/// another holder of our own, such as a rebuilt cluster beside the one it replaces. A claim that has run out, or that is
/// taken over explicitly, is in nobody's way.
pub async fn has_one_writer(peer: &dyn Peer) {
    let ctx = Ctx {
        deadline: Instant::now() + Duration::from_secs(60),
        cancel: CancellationToken::new(),
        secrets: peer.secrets(),
        permit: Arc::new(Always),
    };
    let provider = peer.provider();
    let claim = |installation: &Installation, holder: &str, minutes: u64, take_over| Claim {
        installation: installation.clone(),
        holder: holder.to_owned(),
        expires: Timestamp::now() + Duration::from_mins(minutes),
        take_over,
    };
    let (ours, other) = (peer.installation(), Installation::from("another"));
    let rows = [
        (&ours, "a", 5, false, true, "the first"),
        (&ours, "a", 5, false, true, "it renews its claim"),
        (&other, "a", 5, false, false, "another installation"),
        (&ours, "b", 5, false, false, "another holder of ours"),
        (&other, "a", 5, true, true, "it takes over"),
        (&ours, "a", 5, false, false, "the first has lost it"),
        (&other, "a", 0, false, true, "it gives it back"),
        (&ours, "b", 5, false, true, "it is free"),
        (&ours, "b", 0, false, true, "and is left free"),
    ];
    for (installation, holder, minutes, take_over, granted, why) in rows {
        let answer = provider.claim(&claim(installation, holder, minutes, take_over), &ctx).await;
        let as_expected = match &answer {
            Ok(()) => granted,
            Err(ProviderError::Claimed { .. }) => !granted,
            Err(_) => false,
        };
        assert!(as_expected, "{why}: {answer:?}");
    }
}

/// Figures of [`survives_a_crash_at_every_write`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashFigures {
    /// Writes that the peer's journal knows of in an uncut run.
    pub writes: usize,
    /// Cuts that were made: two for each write.
    pub visited: usize,
}

/// Cuts the connection at every write, before and after it is carried out, drops all state, and goes on. In the end
/// exactly the same is there as in a run without a cut, and what is foreign stays byte for byte.
///
/// `prepare` brings the peer to where the run begins.
pub async fn survives_a_crash_at_every_write(
    drive: &Drive<'_>,
    prepare: &(dyn Fn() -> BoxFuture<'static, ()> + Sync),
) -> CrashFigures {
    prepare().await;
    let before = drive.peer.foreign().await;
    drive.peer.reset().await;
    drive.converge().await;
    let Things { ours: wanted, foreign } = drive.peer.things().await;
    // What is adopted is foreign no more.
    let adopts = !drive.tenant.adoptions(&drive.peer.host().name).is_empty();
    assert!(adopts || foreign == before, "foreign things without a crash");
    let mut figures = CrashFigures { writes: drive.peer.journal().await.len(), visited: 0 };
    for nth in 0..figures.writes {
        for cut in [Cut::Before, Cut::After] {
            prepare().await;
            drive.peer.cut(nth, cut).await;
            drive.converge().await;
            drive.peer.reset().await;
            drive.converge().await;
            let found = drive.peer.things().await;
            assert_eq!(found.ours, wanted, "after a crash {cut:?} write {nth}");
            assert_eq!(found.foreign, foreign, "foreign things after a crash {cut:?} write {nth}");
            figures.visited += 1;
        }
    }
    figures
}
