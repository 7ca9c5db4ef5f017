//! Carrying plans out while a person watches, what every command that writes has in common.

use std::collections::BTreeSet;

use clap::Args;
use tokio_util::sync::CancellationToken;
use vertskommune_core::names::TenantName;
use vertskommune_core::plan::Plan;
use vertskommune_core::render;
use vertskommune_core::step::{StepId, Wait};

use crate::arguments::Global;
use crate::convergence::{Convergence, Ended};
use crate::embedded::Embedded;
use crate::exit::Exit;
use crate::{interrupt, output, progress};

/// As which writer.
#[derive(Args)]
pub(crate) struct Writer {
    /// Write even where another holds a living claim. Only when that one has stopped for good
    #[arg(long)]
    take_over: bool,
}

impl Writer {
    /// Passes over these tenants until all that is left needs a person or a time, and shows that. Carries out the steps
    /// that were agreed to, or all.
    pub(crate) async fn carry_out(
        &self,
        embedded: &Embedded,
        tenants: BTreeSet<TenantName>,
        agreed: Option<BTreeSet<StepId>>,
        global: &Global,
    ) -> anyhow::Result<Exit> {
        let ended = self.converge(embedded, tenants, agreed).await;
        // Whatever happened, the next one need not wait for the end of our claims.
        progress::during("giving our claims back", embedded.engine.release_claims()).await;
        let ended = ended?;
        show(&ended.plans, global)?;
        output::write(|out| ended.given_up.values().try_for_each(|why| writeln!(out, "{why}")))?;
        Ok(exit(&ended, embedded))
    }

    /// Takes the claims of others over, where that is asked for.
    pub(crate) async fn take_over(&self, embedded: &Embedded) -> anyhow::Result<()> {
        if self.take_over {
            progress::during("taking over", embedded.engine.take_over()).await?;
        }
        Ok(())
    }

    async fn converge(
        &self,
        embedded: &Embedded,
        tenants: BTreeSet<TenantName>,
        agreed: Option<BTreeSet<StepId>>,
    ) -> anyhow::Result<Ended> {
        let interrupted = CancellationToken::new();
        let _listening = interrupt::listen(interrupted.clone())?;
        self.take_over(embedded).await?;
        Ok(Convergence::new(embedded, tenants, agreed, interrupted).run().await)
    }
}

/// Writes these plans for people.
pub(crate) fn show(plans: &[Plan], global: &Global) -> anyhow::Result<()> {
    let colour = global.color.on(&std::io::stdout());
    output::write(|out| {
        plans.iter().try_for_each(|plan| out.write_all(render::plan(plan, colour).as_bytes()))
    })
}

fn exit(ended: &Ended, embedded: &Embedded) -> Exit {
    let intended = |plan: &Plan| {
        plan.steps
            .iter()
            .filter(|planned| !planned.is_deferred())
            .all(|planned| matches!(planned.wait, Some(Wait::Suspended | Wait::ObserveOnly)))
            && plan.refusals.is_empty()
            && plan.doubts.is_empty()
            && plan.progress.is_empty()
            && !plan.findings.iter().any(|finding| finding.blocks)
    };
    if ended.interrupted {
        Exit::Interrupted
    } else if ended.given_up.is_empty() && embedded.problems.is_empty() && ended.plans.iter().all(intended) {
        Exit::Success
    } else {
        Exit::Failure
    }
}
