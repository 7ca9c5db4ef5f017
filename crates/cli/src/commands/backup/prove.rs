//! `vertskommune backup prove`: restores what lies in the second room and compares it with what was sent.

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use vertskommune_core::backup::proving::next_proofs;
use vertskommune_core::backup::{Backups, Item};
use vertskommune_core::transfer::Work;

use super::whose::{Asked, Wanted};
use crate::embedded;
use crate::exit::Exit;

/// Proves the last backup of a disk now: restores it into nowhere and compares its bytes with what was sent
///
/// Ends with 1 where it is damaged, or cannot be read.
#[derive(Args)]
pub(super) struct Prove {
    #[command(flatten)]
    asked: Asked,
    /// A server with all its disks, or one disk of it; the disk whose turn is next where none is named
    #[arg(value_name = "SERVER[/DISK]")]
    what: Option<String>,
}

impl Prove {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        embedded::block_on(self.prove())
    }

    async fn prove(&self) -> anyhow::Result<Exit> {
        let wanted = self.asked.look().await?;
        let seen = wanted.embedded.engine.observations().remove(&wanted.backup.provider);
        let known = seen.as_ref().and_then(|seen| seen.backups.get(&wanted.tenant.name));
        let known = known.with_context(|| {
            format!("{} tells of no backup of {}", wanted.backup.provider, wanted.tenant.name)
        })?;
        let works = self.works(&wanted, &known.backups)?;
        self.asked.carry_out(&wanted, works).await
    }

    fn works(&self, wanted: &Wanted, backups: &Backups) -> anyhow::Result<Vec<(String, Work)>> {
        let Some(what) = &self.what else {
            let next = next_proofs(&wanted.backup, &wanted.tenant.servers, backups, Timestamp::now());
            let next =
                next.into_iter().next().context("nothing lies in the backups yet that could be proven")?;
            return Ok(vec![(next.server, Work::Proof { disk: next.disk })]);
        };
        let Item { server, disk } = Item::from(what.as_str());
        let Some(of_server) = backups.servers.get(&server) else {
            let known: Vec<_> = backups.servers.keys().map(String::as_str).collect();
            bail!("there is no backup of server {server}: there is {}", known.join(", "));
        };
        let disks: Vec<&String> =
            of_server.disks.keys().filter(|it| disk.as_ref().is_none_or(|disk| disk == *it)).collect();
        if disks.is_empty() {
            let known: Vec<_> = of_server.disks.keys().map(String::as_str).collect();
            bail!("there is no backup of {what}: of {server} there is {}", known.join(", "));
        }
        Ok(disks.into_iter().map(|disk| (server.clone(), Work::Proof { disk: disk.clone() })).collect())
    }
}
