//! `vertskommune apply`: carries out what `plan` shows, until all that is left needs a person or a time.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::Args;
use vertskommune_core::names::TenantName;
use vertskommune_core::plan::Plan;
use vertskommune_core::step::StepId;
use vertskommune_provider::context::Always;

use crate::arguments::{Global, Source};
use crate::carrying_out::Writer;
use crate::embedded::{self, Embedded};
use crate::exit::Exit;
use crate::plugins::plugins;
use crate::saved_plan::SavedPlan;

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
    #[command(flatten)]
    writer: Writer,
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
        let agreed = saved.map(|saved| saved.steps());
        self.writer.carry_out(&embedded, tenants, agreed, global).await
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
