//! `vertskommune backup list`: what lies in the second room.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use vertskommune_core::backup::facts::{Outcome, Proof};
use vertskommune_core::render::size;
use vertskommune_provider::Run;
use vertskommune_provider::context::Always;

use super::whose::Whose;
use crate::arguments::Format;
use crate::exit::Exit;
use crate::{embedded, output, progress};

/// Lists a tenant's backups with their sizes and proofs, the newest first, whether it has a manifest or not
#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    whose: Whose,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl List {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        embedded::block_on(self.list())
    }

    async fn list(&self) -> anyhow::Result<Exit> {
        // A lock on the repository is a file of ours there; nothing else is written.
        let (embedded, provider) = self.whose.read(Arc::new(Always)).await?;
        let tenant = &self.whose.tenant;
        let listing = embedded.engine.runs(&provider, tenant);
        let runs = progress::during(&format!("listing the backups of {tenant}"), listing).await;
        let runs = runs.with_context(|| format!("the backups of {tenant} on {provider} cannot be listed"))?;
        match self.output {
            Format::Json => output::json(&runs)?,
            Format::Text if runs.is_empty() => {
                output::note(format_args!("there is no backup of {tenant} on {provider}"));
            }
            Format::Text => table(&runs)?,
        }
        Ok(Exit::Success)
    }
}

fn table(runs: &[Run]) -> anyhow::Result<()> {
    let lines: Vec<[String; 5]> = runs
        .iter()
        .flat_map(|run| {
            run.disks.iter().map(move |(name, disk)| {
                let proof = disk.proof.as_ref().map_or_else(|| "-".to_owned(), proof);
                [run.run.clone(), run.server.clone(), name.clone(), size(disk.bytes), proof]
            })
        })
        .collect();
    let wide = |column: usize, least: &str| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default().max(least.len())
    };
    let (run, server, disk, bytes) = (wide(0, "RUN"), wide(1, "SERVER"), wide(2, "DISK"), wide(3, "SIZE"));
    output::write(|out| {
        writeln!(out, "{:run$}  {:server$}  {:disk$}  {:>bytes$}  PROOF", "RUN", "SERVER", "DISK", "SIZE")?;
        for [id, of, name, all, proof] in &lines {
            writeln!(out, "{id:run$}  {of:server$}  {name:disk$}  {all:>bytes$}  {proof}")?;
        }
        Ok(())
    })
}

fn proof(proof: &Proof) -> String {
    match &proof.outcome {
        Outcome::Intact => format!("intact {:.0}", proof.at),
        Outcome::Damaged(what) => format!("DAMAGED {:.0}: {what}", proof.at),
    }
}
