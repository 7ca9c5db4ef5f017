//! `vertskommune backup run`: takes a backup now, whatever is due.

use anyhow::{bail, ensure};
use clap::Args;
use vertskommune_core::transfer::Work;

use super::whose::Asked;
use crate::embedded;
use crate::exit::Exit;

/// Takes a backup of a tenant's servers now, whatever is due
///
/// The servers are brought to rest by a snapshot each, which is gone when its disks were read. It holds our claim on both
/// systems meanwhile, as `apply` does: where a controller runs, it takes the backups.
#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    asked: Asked,
    /// The servers; all that the manifest has backed up where none is named
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
}

impl Run {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        embedded::block_on(self.take())
    }

    async fn take(&self) -> anyhow::Result<Exit> {
        let wanted = self.asked.look().await?;
        let covered = wanted.tenant.servers.iter().filter(|server| wanted.backup.selection.covers(server));
        let covered: Vec<&str> = covered.map(|server| server.name.as_str()).collect();
        for name in &self.servers {
            if !covered.contains(&name.as_str()) {
                bail!("no server {name} is backed up: there is {}", covered.join(", "));
            }
        }
        ensure!(
            !covered.is_empty(),
            "the manifest of {} has no server that is backed up",
            wanted.tenant.name
        );
        let chosen = |name: &&str| self.servers.is_empty() || self.servers.iter().any(|it| it == name);
        let works = covered.into_iter().filter(chosen).map(|server| (server.to_owned(), Work::Backup));
        self.asked.carry_out(&wanted, works.collect()).await
    }
}
