//! `vertskommune plan`: what would be done, by the same code that does it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use vertskommune_api::manifest::Problem;
use vertskommune_core::names::TenantName;
use vertskommune_core::plan;
use vertskommune_provider::context::Never;

use crate::arguments::{Format, Global, Source};
use crate::carrying_out::show;
use crate::embedded::{self, Embedded};
use crate::exit::Exit;
use crate::plugins::plugins;
use crate::saved_plan::SavedPlan;
use crate::{output, program};

/// Shows what would be done, and changes nothing
///
/// Ends with 0 where nothing would change, with 2 where something would, and with 1 where a manifest is refused or
/// something cannot be told.
#[derive(Args)]
pub(crate) struct Plan {
    /// The tenants; all where none is named
    #[arg(value_name = "TENANT")]
    tenants: Vec<TenantName>,
    #[command(flatten)]
    source: Source,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// Save the plan, so that `apply` carries out this and nothing else
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What `-o json` writes: a saved plan with what is wrong with the manifests.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    plan: &'a SavedPlan,
    problems: &'a [Problem],
}

impl Plan {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.plan(global))
    }

    async fn plan(&self, global: &Global) -> anyhow::Result<Exit> {
        let ground = embedded::read(&self.source).await?;
        let embedded =
            Embedded::new(ground, &self.source.installation.installation, Arc::new(Never), plugins());
        let saved = show_plans(&embedded, &self.tenants, self.output, global).await?;
        if let Some(file) = &self.out {
            saved.write(file)?;
            let program = program::name();
            output::note(format_args!("saved to {0}: {program} apply {0}", file.display()));
        }
        Ok(exit(&saved.tenants, &embedded.problems))
    }
}

/// Looks, and shows the plans of these tenants, of all where none is named.
pub(super) async fn show_plans(
    embedded: &Embedded,
    tenants: &[TenantName],
    format: Format,
    global: &Global,
) -> anyhow::Result<SavedPlan> {
    embedded.show_problems();
    let tenants = embedded.choose(tenants)?;
    embedded.observe().await;
    let saved = SavedPlan::new(&embedded.installation, embedded.plans(&tenants));
    match format {
        Format::Json => output::json(&Report { plan: &saved, problems: &embedded.problems })?,
        Format::Text => show(&saved.tenants, global)?,
    }
    Ok(saved)
}

/// How it ends where these plans were shown.
pub(super) fn exit(plans: &[plan::Plan], problems: &[Problem]) -> Exit {
    let stuck = |plan: &plan::Plan| {
        !plan.refusals.is_empty()
            || !plan.doubts.is_empty()
            || plan.findings.iter().any(|finding| finding.blocks)
    };
    if !problems.is_empty() || plans.iter().any(stuck) {
        Exit::Failure
    } else if plans.iter().all(plan::Plan::is_empty) {
        Exit::Success
    } else {
        Exit::Changes
    }
}
