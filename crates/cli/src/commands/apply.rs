//! `vertskommune apply`: carries out what `plan` shows, until all that is left needs a person or a time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::Args;
use tokio_util::sync::CancellationToken;
use vertskommune_core::names::TenantName;
use vertskommune_core::plan::Plan;
use vertskommune_core::render;
use vertskommune_core::step::{StepId, Wait};
use vertskommune_provider::context::Always;

use crate::arguments::{Global, Source};
use crate::convergence::{Convergence, Ended};
use crate::embedded::{self, Embedded};
use crate::exit::Exit;
use crate::plugins::plugins;
use crate::saved_plan::SavedPlan;
use crate::{interrupt, output, progress};

/// Carries out what `plan` shows, until all that is left needs a person or a maintenance window
///
/// What it was stopped in, or crashed in, the next run takes up where the real systems are.
#[derive(Args)]
pub(crate) struct Apply {
    /// Tenants, all where none is named, or one plan that `plan --out` saved: a name holds no dot or slash, a file does
    #[arg(value_name = "TENANT|PLANFILE")]
    what: Vec<String>,
    #[command(flatten)]
    source: Source,
    /// Allow a step that destroys data, by its id or at least the first 12 characters of it
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    allow_destroy: Vec<String>,
    /// Write even where another holds a living claim. Only when that one has stopped for good
    #[arg(long)]
    take_over: bool,
}

impl Apply {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.apply(global))
    }

    async fn apply(&self, global: &Global) -> anyhow::Result<Exit> {
        let (saved, names) = self.what()?;
        let ground = embedded::read(&self.source).await?;
        let mut embedded =
            Embedded::new(ground, &self.source.installation.installation, Arc::new(Always), plugins());
        embedded.show_problems();
        let mut tenants = embedded.choose(&names)?;
        if let Some(saved) = saved.as_ref().filter(|_| names.is_empty()) {
            tenants = embedded.choose(&saved.tenants().into_iter().collect::<Vec<_>>())?;
        }
        embedded.allow_destroy(&tenants, &self.allow_destroy);
        embedded.observe().await;
        let plans = embedded.plans(&tenants);
        self.must_mean_steps(&plans)?;
        if let Some(saved) = &saved {
            saved.must_be_fresh(&plans)?;
        }
        let ended = self.converge(&embedded, tenants, saved.map(|saved| saved.steps())).await;
        // Whatever happened, the next one need not wait for the end of our claims.
        progress::during("giving our claims back", embedded.engine.release_claims()).await;
        let ended = ended?;
        let colour = global.color.on(&std::io::stdout());
        output::write(|out| {
            ended.plans.iter().try_for_each(|plan| out.write_all(render::plan(plan, colour).as_bytes()))?;
            for why in ended.given_up.values() {
                writeln!(out, "{why}")?;
            }
            Ok(())
        })?;
        Ok(exit(&ended, &embedded))
    }

    async fn converge(
        &self,
        embedded: &Embedded,
        tenants: BTreeSet<TenantName>,
        agreed: Option<BTreeSet<StepId>>,
    ) -> anyhow::Result<Ended> {
        let interrupted = CancellationToken::new();
        let _listening = interrupt::listen(interrupted.clone())?;
        if self.take_over {
            progress::during("taking over", embedded.engine.take_over()).await?;
        }
        Ok(Convergence::new(embedded, tenants, agreed, interrupted).run().await)
    }

    /// The saved plan and the tenants that the command line names.
    fn what(&self) -> anyhow::Result<(Option<SavedPlan>, Vec<TenantName>)> {
        let (files, names): (Vec<_>, Vec<_>) = self.what.iter().partition(|word| word.contains(['.', '/']));
        ensure!(files.len() < 2, "name one saved plan, not {}", files.len());
        let saved = files
            .first()
            .map(|file| SavedPlan::read(&PathBuf::from(file), &self.source.installation.installation));
        let saved = saved.transpose()?;
        let names: Vec<_> = names.into_iter().map(|name| TenantName::from(name.as_str())).collect();
        if let Some(saved) = &saved {
            let planned = saved.tenants();
            if let Some(name) = names.iter().find(|name| !planned.contains(*name)) {
                bail!("the saved plan does not hold tenant {name}: plan again");
            }
        }
        Ok((saved, names))
    }

    /// A word that means nothing is a mistake, and better found before anything is done.
    fn must_mean_steps(&self, plans: &[Plan]) -> anyhow::Result<()> {
        let steps = || plans.iter().flat_map(|plan| &plan.steps);
        for word in &self.allow_destroy {
            let word = word.to_ascii_lowercase();
            ensure!(
                steps().any(|planned| planned.id.is_meant_by(&word)),
                "--allow-destroy {word}: there is no such step; write at least the first {} characters of an id that \
                 the plan shows",
                StepId::SHORT
            );
        }
        Ok(())
    }
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
