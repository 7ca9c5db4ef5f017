//! Giving a disk back. It needs no manifest: the repository and its Secret are enough.

use std::io::Write;

use vertskommune_provider::{Around, Ctx, Moved, ProviderError, Restore};

use crate::SecondRoom;
use crate::proving::{Dumped, dump, read};
use crate::stream::Passed;

impl SecondRoom {
    /// Writes a disk as a backup has it.
    pub(crate) async fn give_back(
        &self,
        restore: &Restore,
        to: Box<dyn Write + Send>,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<Moved, ProviderError> {
        let Restore { tenant, server, disk, run } = restore;
        let vault = self.vaults.open(&self.settings, &self.room, tenant, ctx).await?;
        let records = read(&vault, ctx).await?;
        let found = records.find(server, disk, run.as_deref()).ok_or_else(|| {
            let of = |run: &&crate::records::Run| run.server == *server && run.disks.contains_key(disk);
            let runs: Vec<_> =
                records.runs.iter().rev().filter(of).take(10).map(|run| run.id.as_str()).collect();
            let there = if runs.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there is {}", runs.join(", "))
            };
            ProviderError::Refused(format!(
                "there is no backup {}of {server}/{disk}: {there}",
                run.as_ref().map_or_else(String::new, |run| format!("{run} "))
            ))
        })?;
        match dump(&vault, found, disk, Some(to), &Passed::default(), around, ctx).await? {
            Dumped::Same(bytes) => Ok(Moved { bytes, of: bytes, stored: 0 }),
            Dumped::Other(why) => Err(ProviderError::Refused(format!(
                "the backup {} of {server}/{disk} is damaged, do not use what was written: {why}",
                found.id
            ))),
        }
    }
}
