//! Taking a backup of one server: its disks, each as a stream, and its configuration last, which makes the run whole.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use restic::{Backup, Bounds};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use vertskommune_core::backup::Selection;
use vertskommune_core::backup::facts::Obstacle;
use vertskommune_core::tenant::{Server, ValidatedTenant};
use vertskommune_provider::{
    Around, Ctx, Export, ExportError, ExportedDisk, Exports, Moved, ProviderError, Wanted,
};

use crate::SecondRoom;
use crate::guard::while_permitted;
use crate::proving::this_second;
use crate::records::{KIND, Sum, Whose, attempt_path, configuration_path, disk_path, run_id};
use crate::stream::{self, Passed};
use crate::vault::{Vault, bounds, hex};

/// How far our clock and the second room's may differ. A run's age is told by both.
const APART: SignedDuration = SignedDuration::from_mins(10);

/// So much of a hash tells one manifest from another.
const REVISION: usize = 12;

/// One run of one server.
pub(crate) struct Run<'a> {
    vault: Vault,
    whose: Whose<'a>,
    server: &'a Server,
    selection: &'a Selection,
    id: String,
    begun: Timestamp,
    revision: String,
    around: &'a Around<'a>,
    ctx: &'a Ctx,
}

impl SecondRoom {
    /// Takes a backup of a server.
    pub(crate) async fn take(
        &self,
        server: &str,
        tenant: &ValidatedTenant,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<Moved, ProviderError> {
        let refused = |why: String| ProviderError::Refused(why);
        let backup =
            tenant.backup.as_ref().ok_or_else(|| refused(format!("{} has no backup", tenant.name)))?;
        let found = tenant.servers.iter().find(|it| it.name == server);
        let found = found.ok_or_else(|| refused(format!("{} has no server {server}", tenant.name)))?;
        let servers = around.servers.ok_or_else(|| {
            refused(format!("the provider of the servers of {} gives no disks out", tenant.name))
        })?;
        let _alone = self.at_work.begin(&tenant.name, server)?;
        self.compare_clocks(ctx).await?;
        ctx.permit()?;
        // What of it cannot be removed is another server's, or the export of this one says so.
        if let Err(error) = servers.tidy(&tenant.name, ctx).await {
            tracing::warn!(tenant = %tenant.name, %error, "what backups that had ended left on servers is not all removed");
        }
        // Nobody checks the repository meanwhile: that excludes all others.
        let _shared = self.sharing(&tenant.name).read_owned().await;
        let vault = self.open_for_work(&tenant.name, ctx).await?;
        let begun = this_second();
        let run = Run {
            vault,
            whose: Whose { installation: &self.installation, tenant: &tenant.name, server: &found.name },
            server: found,
            selection: &backup.selection,
            id: run_id(begun),
            begun,
            revision: revision(tenant),
            around,
            ctx,
        };
        run.carry_out(servers).await
    }

    /// A clock that is wrong by a day makes a backup or a proof look new that is old, or the other way round.
    pub(crate) async fn compare_clocks(&self, ctx: &Ctx) -> Result<(), ProviderError> {
        same_time(Timestamp::now(), &self.room.describe(ctx).await?.clock)
    }
}

/// Whether the second room's clock tells about the same time as ours.
fn same_time(ours: Timestamp, theirs: &str) -> Result<(), ProviderError> {
    let theirs = theirs.parse::<Timestamp>();
    let theirs = theirs.map_err(|error| ProviderError::Protocol(format!("the agent's clock: {error}")))?;
    if ours.duration_since(theirs).abs() > APART {
        return Err(ProviderError::Refused(format!(
            "it is {ours:.0} here and {theirs:.0} in the second room: set the clock right that is wrong"
        )));
    }
    Ok(())
}

/// Tells one manifest of a tenant from another.
fn revision(tenant: &ValidatedTenant) -> String {
    // No value in it can fail to serialise, and maps are ordered.
    let text = serde_json::to_vec(tenant).unwrap_or_default();
    let mut hash = hex(&Sha256::digest(text));
    hash.truncate(REVISION);
    hash
}

impl Run<'_> {
    async fn carry_out(self, servers: &dyn Exports) -> Result<Moved, ProviderError> {
        let wanted = Wanted {
            tenant: self.whose.tenant.clone(),
            server: self.server.name.clone(),
            run: self.id.clone(),
        };
        self.ctx.permit()?;
        let export = match servers.export(&wanted, self.ctx).await {
            Ok(export) => export,
            Err(ExportError::Failed(error)) => return Err(error),
            Err(ExportError::Hindered(obstacles)) => return Err(self.hindered(&obstacles).await),
        };
        let taken = self.stream(export.as_ref()).await;
        // Whatever happened, nothing of it stays on the server.
        let closed = export.close(taken.is_ok()).await;
        match (taken, closed) {
            (Ok(Taken::Whole(moved)), closed) => {
                if let Err(error) = closed {
                    tracing::warn!(%error, server = %self.server.name, "the backup is whole; its snapshot goes with the next");
                }
                Ok(moved)
            }
            (Ok(Taken::Nothing(obstacles)), _) => Err(self.hindered(&obstacles).await),
            (Err(error), _) => Err(error),
        }
    }

    /// Everything of an export.
    async fn stream(&self, export: &dyn Export) -> Result<Taken, ProviderError> {
        let covered = |disk: &ExportedDisk| self.selection.covers_disk(self.server, &disk.name);
        let disks: Vec<_> = export.disks().iter().filter(|disk| covered(disk)).collect();
        let in_the_way = |obstacle: &&Obstacle| {
            obstacle.disk.as_ref().is_none_or(|disk| self.selection.covers_disk(self.server, disk))
        };
        let obstacles: Vec<_> = export.obstacles().iter().filter(in_the_way).cloned().collect();
        if disks.is_empty() {
            return Ok(Taken::Nothing(obstacles));
        }
        let mut moved = Moved { of: disks.iter().map(|disk| disk.bytes).sum(), ..Moved::default() };
        let (mut sums, started) = (BTreeMap::new(), Instant::now());
        for disk in disks {
            let sum = self.disk(export, disk, &mut moved).await?;
            sums.insert(disk.name.clone(), sum);
        }
        let seconds = started.elapsed().as_secs().max(1);
        let configuration = json!({
            "version": 1,
            "installation": self.whose.installation,
            "tenant": self.whose.tenant,
            "server": self.server.name,
            "run": self.id,
            "revision": self.revision,
            "disks": sums.iter().map(|(name, sum)| {
                json!({"name": name, "path": disk_path(&self.server.name, name), "bytes": sum.bytes, KIND: sum.hash.to_string()})
            }).collect::<Vec<_>>(),
            "obstacles": obstacles,
            "configuration": export.configuration(),
        });
        let tags = self.whose.configuration(&self.id, &self.revision, &sums, seconds, &obstacles);
        self.ctx.permit()?;
        let path = configuration_path(&self.server.name);
        note(&self.vault, &self.named(path, tags), &configuration, &bounds(self.ctx)).await?;
        tracing::info!(
            tenant = %self.whose.tenant, server = %self.server.name, run = %self.id, bytes = moved.bytes,
            stored = moved.stored, seconds, "a backup is whole"
        );
        Ok(Taken::Whole(moved))
    }

    async fn disk(
        &self,
        export: &dyn Export,
        disk: &ExportedDisk,
        moved: &mut Moved,
    ) -> Result<Sum, ProviderError> {
        self.ctx.permit()?;
        let passed = Passed::default();
        let mut from = export.read(&disk.name).await?;
        let tags = self.whose.disk(&self.id, &disk.name, &self.revision);
        let backup = self.named(disk_path(&self.server.name, &disk.name), tags);
        let bounds = bounds(self.ctx);
        let before = *moved;
        let tell = || {
            (self.around.progress)(Moved { bytes: before.bytes + passed.bytes(), ..before });
            Some(passed.bytes())
        };
        let (bytes, passing) = (disk.bytes, passed.clone());
        let source = move |into: &mut dyn Write| stream::read(from.as_mut(), bytes, &passing, into);
        let saving = self.vault.repository.backup(&backup, source, |_| {}, &bounds);
        let saved = while_permitted(self.ctx, &bounds.cancel, tell, saving).await?;
        let (summary, sum) = saved.map_err(|error| match error {
            restic::Error::Source(cause) => ProviderError::Unreachable {
                endpoint: format!("the disk {} of {}", disk.name, self.server.name),
                why: cause.to_string(),
            },
            error => self.vault.error(&error),
        })?;
        if summary.bytes != sum.bytes {
            return Err(ProviderError::Protocol(format!(
                "{}/{}: {} bytes were sent and restic took {}",
                self.server.name, disk.name, sum.bytes, summary.bytes
            )));
        }
        moved.bytes += sum.bytes;
        moved.stored += summary.added;
        Ok(sum)
    }

    /// Writes down that nothing could be taken, and says why. What stands there keeps it from being tried again at once.
    async fn hindered(&self, obstacles: &[Obstacle]) -> ProviderError {
        let why: Vec<_> = obstacles
            .iter()
            .map(|it| match &it.disk {
                Some(disk) => format!("{disk}: {}", it.why),
                None => it.why.to_string(),
            })
            .collect();
        let why =
            if why.is_empty() { "none of its disks is to be backed up".to_owned() } else { why.join("; ") };
        let tags = self.whose.attempt(&self.id, obstacles);
        let backup = self.named(attempt_path(&self.server.name), tags);
        let content =
            json!({"version": 1, "run": self.id, "server": self.server.name, "obstacles": obstacles});
        let written = match self.ctx.permit() {
            Ok(()) => note(&self.vault, &backup, &content, &bounds(self.ctx)).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => ProviderError::Refused(format!("{} cannot be backed up: {why}", self.server.name)),
            // It is tried again, which is better than that nobody knows.
            Err(error) => error,
        }
    }

    fn named(&self, path: String, tags: Vec<String>) -> Backup {
        Backup { path, host: self.server.name.clone(), tags, time: Some(self.begun) }
    }
}

/// What came of an export.
enum Taken {
    /// The run is whole.
    Whole(Moved),
    /// None of the disks could be taken.
    Nothing(Vec<Obstacle>),
}

/// Writes a small document as a snapshot.
pub(crate) async fn note(
    vault: &Vault,
    backup: &Backup,
    content: &serde_json::Value,
    bounds: &Bounds,
) -> Result<(), ProviderError> {
    let text = format!("{content:#}\n");
    let source = move |into: &mut dyn Write| into.write_all(text.as_bytes());
    let saved = vault.repository.backup(backup, source, |_| {}, bounds).await;
    saved.map(drop).map_err(|error| vault.error(&error))
}

impl SecondRoom {
    /// What backups of a tenant share and a check has alone.
    pub(crate) fn sharing(
        &self,
        tenant: &vertskommune_core::names::TenantName,
    ) -> Arc<tokio::sync::RwLock<()>> {
        let mut sharing = self.sharing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sharing.entry(tenant.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_minutes_and_no_more() {
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        for (theirs, same) in [
            ("2026-11-28T12:00:00Z", true),
            ("2026-11-28T11:51:00Z", true),
            ("2026-11-28T12:09:00.5Z", true),
            ("2026-11-27T12:00:00Z", false),
            ("2026-11-28T12:11:00Z", false),
            ("2027-11-28T12:00:00Z", false),
        ] {
            assert_eq!(same_time(now, theirs).is_ok(), same, "{theirs}");
        }
        assert!(matches!(same_time(now, "noon"), Err(ProviderError::Protocol(_))));
    }
}
