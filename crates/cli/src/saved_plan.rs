//! A plan in a file: what a person has read and agreed to, and nothing else is carried out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use vertskommune_core::names::{Installation, TenantName};
use vertskommune_core::plan::{Plan, PlannedStep};
use vertskommune_core::step::StepId;

/// The version of the file's form. Another one is refused, never guessed at.
const VERSION: u32 = 1;

/// The plans of several tenants. The same form is written by `plan -o json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedPlan {
    /// The version of this form.
    pub(crate) version: u32,
    /// The installation that it is for.
    pub(crate) installation: Installation,
    /// The plans, each with its digest.
    pub(crate) tenants: Vec<Plan>,
}

impl SavedPlan {
    /// These plans.
    pub(crate) fn new(installation: &Installation, tenants: Vec<Plan>) -> Self {
        Self { version: VERSION, installation: installation.clone(), tenants }
    }

    /// Writes it beside the file and then in its place, so that nobody reads half of it.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let broken = || format!("the plan cannot be saved to {}", file.display());
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let mut beside = file.as_os_str().to_owned();
        beside.push(".new");
        fs::write(&beside, text).with_context(broken)?;
        fs::rename(&beside, file).with_context(broken)
    }

    /// Reads a plan of this installation.
    pub(crate) fn read(file: &Path, installation: &Installation) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        let broken =
            || format!("{} is no plan that `{} plan --out` saved", file.display(), crate::program::name());
        let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        // The version first: what else stands there depends on it.
        let form: Form = serde_json::from_str(&text).with_context(broken)?;
        ensure!(
            form.version == VERSION,
            "{} has version {} and this program reads {VERSION}: plan again",
            file.display(),
            form.version
        );
        let plan: Self = serde_json::from_str(&text).with_context(broken)?;
        ensure!(
            plan.installation == *installation,
            "{} is for installation {}, not {installation}",
            file.display(),
            plan.installation
        );
        Ok(plan)
    }

    /// The tenants that it plans.
    pub(crate) fn tenants(&self) -> BTreeSet<TenantName> {
        self.tenants.iter().map(|plan| plan.tenant.clone()).collect()
    }

    /// The steps that may be carried out.
    pub(crate) fn steps(&self) -> BTreeSet<StepId> {
        self.tenants.iter().flat_map(|plan| &plan.steps).map(|planned| planned.id.clone()).collect()
    }

    /// Refuses it where something would be done now that nobody has agreed to. That some of it is done already is no
    /// reason: the rest still holds.
    pub(crate) fn must_be_fresh(&self, fresh: &[Plan]) -> anyhow::Result<()> {
        let saved = self.steps();
        let steps = fresh.iter().flat_map(|plan| &plan.steps);
        let new: Vec<&PlannedStep> = steps.filter(|planned| !saved.contains(&planned.id)).collect();
        let Some(first) = new.first() else { return Ok(()) };
        let others = match new.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let resource = &first.step.resource;
        bail!(
            "the saved plan is stale: a manifest or the real world has changed since, and {} {} ({}){others} is not in \
             it: nothing was done, plan again",
            resource.tenant,
            resource.key,
            first.step.summary
        )
    }
}
