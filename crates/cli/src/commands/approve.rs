//! `vertskommune approve`: the word for steps that destroy data.

use std::collections::BTreeSet;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use vertskommune_api::tenant::StepStatus;
use vertskommune_api::{ALLOW_DESTROY, Tenant, named_steps};
use vertskommune_core::names::TenantName;
use vertskommune_core::reason::{About, Reason};
use vertskommune_core::render::heading;
use vertskommune_core::step::StepId;

use crate::arguments::{Format, Global, InCluster};
use crate::embedded;
use crate::exit::Exit;
use crate::{output, program};

/// Shows the steps of a tenant that destroy data and wait, and what has to be set to let them go
///
/// A step is named by its id, in the annotation `vertskommune.no/allow-destroy` of the Tenant: that word fits this one
/// destruction and none that comes later. Ends with 0 where none waits for a word, and with 2 where one does.
#[derive(Args)]
pub(crate) struct Approve {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    /// The steps, each by its id or at least the first 12 characters of it
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
    /// Set it: the steps that are named are carried out
    #[arg(long, requires = "steps")]
    apply: bool,
    #[command(flatten)]
    cluster: InCluster,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// A step that destroys data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    id: String,
    summary: String,
    /// Whether an operator has named it.
    named: bool,
    /// What it waits for; nothing where it is done next.
    reason: Option<String>,
    message: Option<String>,
}

impl Approve {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.approve(global))
    }

    async fn approve(&self, global: &Global) -> anyhow::Result<Exit> {
        let name = self.tenant.as_str();
        let (cluster, mut tenant) = super::find(&self.cluster, name).await?;
        let words: Vec<String> = self.steps.iter().map(|word| word.to_ascii_lowercase()).collect();
        for word in &words {
            let is_there = destructive(&tenant).any(|step| means(word, &step.id));
            ensure!(
                is_there,
                "{word}: no such step of {name} destroys anything now; write at least the first {} characters of an id that \
                 {} approve {name} shows",
                StepId::SHORT,
                program::name()
            );
        }
        if self.apply {
            let patch = |tenant: &Tenant| {
                let value = with(tenant, &words);
                Some(json!({"metadata": {"annotations": {ALLOW_DESTROY: value}}}))
            };
            tenant = cluster.change(name, patch).await?;
        }
        let waiting: Vec<Waiting> = destructive(&tenant).map(|step| waiting(&tenant, step)).collect();
        match self.output {
            Format::Json => output::json(&waiting)?,
            Format::Text => self.show(&tenant, &waiting, &words, global)?,
        }
        Ok(if waiting.iter().all(|step| step.named) { Exit::Success } else { Exit::Changes })
    }

    fn show(
        &self,
        tenant: &Tenant,
        steps: &[Waiting],
        words: &[String],
        global: &Global,
    ) -> anyhow::Result<()> {
        let name = self.tenant.as_str();
        let colour = global.color.on(&std::io::stdout());
        let unnamed: Vec<&str> =
            steps.iter().filter(|step| !step.named).map(|step| step.id.as_str()).collect();
        let about = About {
            program: program::name(),
            tenant: name,
            namespace: &self.cluster.namespace.namespace,
            ..About::default()
        };
        output::write(|out| {
            let headline = match steps.len() {
                0 => "no step destroys anything".to_owned(),
                1 => "1 step destroys data".to_owned(),
                steps => format!("{steps} steps destroy data"),
            };
            writeln!(out, "{}  {headline}", heading(&format!("tenant {name}"), colour))?;
            for step in steps {
                let named = if step.named { "  named" } else { "" };
                writeln!(out, "  {} {}  {}{named}", colour.paint("31", "✗"), step.id, step.summary)?;
                let Some((reason, message)) = step.reason.as_deref().zip(step.message.as_deref()) else {
                    continue;
                };
                // What is named waits for that no more, though the status may not say so yet.
                if step.named && reason == Reason::ApprovalNeeded.word() {
                    continue;
                }
                writeln!(out, "      {message}  [{reason}]")?;
                if let Some(reason) = Reason::of(reason).filter(|reason| *reason == Reason::DestructionHalted)
                {
                    writeln!(out, "      {} {}", colour.paint("32", "→"), reason.advice(&about))?;
                }
            }
            if unnamed.is_empty() {
                return Ok(());
            }
            let chosen: Vec<&str> =
                if words.is_empty() { unnamed.clone() } else { words.iter().map(String::as_str).collect() };
            let owned: Vec<String> = chosen.iter().map(|word| (*word).to_owned()).collect();
            writeln!(
                out,
                "  to let {} go, look at what is destroyed, then",
                if chosen.len() == 1 { "it" } else { "them" }
            )?;
            writeln!(out, "      {} approve {name} {} --apply", program::name(), chosen.join(" "))?;
            writeln!(out, "  or set in the manifest")?;
            writeln!(
                out,
                "      metadata: {{annotations: {{{ALLOW_DESTROY}: \"{}\"}}}}",
                with(tenant, &owned)
            )
        })?;
        let plan = tenant.status.as_ref().and_then(|status| status.plan.as_ref());
        if let Some(plan) = plan.filter(|plan| usize::try_from(plan.total).unwrap_or(0) > plan.steps.len()) {
            output::note(format_args!(
                "the status lists the first {} of {} steps: {} diff {name} shows all",
                plan.steps.len(),
                plan.total,
                program::name()
            ));
        }
        Ok(())
    }
}

/// The steps of the status that destroy data.
fn destructive(tenant: &Tenant) -> impl Iterator<Item = &StepStatus> {
    let plan = tenant.status.as_ref().and_then(|status| status.plan.as_ref());
    plan.into_iter().flat_map(|plan| &plan.steps).filter(|step| step.class == "destroy")
}

/// Whether an operator's word means the step of this id, of which a status has the first 12 characters.
fn means(word: &str, id: &str) -> bool {
    word.len() >= StepId::SHORT && word.starts_with(id)
}

/// What the annotation has to be with these words: those of steps that are no more are left out.
fn with(tenant: &Tenant, words: &[String]) -> String {
    let still = |word: &String| destructive(tenant).any(|step| means(word, &step.id));
    let all: BTreeSet<String> =
        named_steps(tenant).into_iter().filter(still).chain(words.iter().cloned()).collect();
    Vec::from_iter(all).join(",")
}

fn waiting(tenant: &Tenant, step: &StepStatus) -> Waiting {
    Waiting {
        id: step.id.clone(),
        summary: step.summary.clone(),
        named: named_steps(tenant).iter().any(|word| means(word, &step.id)),
        reason: step.waiting.as_ref().map(|wait| wait.reason.clone()),
        message: step.waiting.as_ref().map(|wait| wait.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vertskommune_api::tenant::PlanStatus;
    use vertskommune_api::{TenantSpec, TenantStatus};

    use super::*;

    #[test]
    fn a_word_is_added_to_those_that_still_mean_something() {
        let step = |id: &str, class: &str| StepStatus {
            id: id.to_owned(),
            class: class.to_owned(),
            ..StepStatus::default()
        };
        let steps = vec![
            step("2330b43102f9", "destroy"),
            step("aaaaaaaaaaaa", "destroy"),
            step("cccccccccccc", "restart"),
        ];
        let mut tenant = Tenant::new("ibestad", TenantSpec::default());
        let plan = PlanStatus { digest: "d".to_owned(), total: 3, steps };
        tenant.status = Some(TenantStatus { plan: Some(plan), ..TenantStatus::default() });
        let new = "2330b43102f9".to_owned();
        for (before, expected) in [
            ("", "2330b43102f9"),
            ("AAAAAAAAAAAA", "2330b43102f9,aaaaaaaaaaaa"),
            (" aaaaaaaaaaaabbbb , bbbbbbbbbbbb", "2330b43102f9,aaaaaaaaaaaabbbb"),
            ("2330b43102f9", "2330b43102f9"),
        ] {
            let annotations = BTreeMap::from([(ALLOW_DESTROY.to_owned(), before.to_owned())]);
            tenant.metadata.annotations = Some(annotations);
            assert_eq!(with(&tenant, std::slice::from_ref(&new)), expected, "{before:?}");
        }
        assert_eq!(destructive(&tenant).count(), 2);
        assert!(!means("2330b43102f", "2330b43102f9"), "a word that is too short means nothing");
    }
}
