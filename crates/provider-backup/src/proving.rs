//! Proving a backup by restoring it: every byte comes back and is compared with what was sent; and a part of all that lies
//! there is read.

use jiff::Timestamp;
use restic::{Backup, Error as ResticError, Filter, Read};
use serde_json::json;
use vertskommune_core::backup::facts::Outcome;
use vertskommune_core::names::TenantName;
use vertskommune_provider::{Around, Ctx, Moved, ProviderError};

use crate::SecondRoom;
use crate::guard::while_permitted;
use crate::records::{Records, Run, Whose, disk_path, proof_path};
use crate::stream::{self, Passed};
use crate::taking::note;
use crate::vault::{Vault, bounds};

/// A check reads about so much, and a repository's parts take turns by the day.
const PART: u64 = 1 << 30;

/// In so many days everything was read.
const PARTS: u64 = 90;

impl SecondRoom {
    /// Proves the last backup of a disk. What is found is written down, be it good or bad; an error means that nothing was
    /// found out.
    pub(crate) async fn prove(
        &self,
        tenant: &TenantName,
        server: &str,
        disk: &str,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<Moved, ProviderError> {
        let _alone = self.at_work.begin(tenant, server)?;
        let vault = self.vaults.open(&self.settings, &self.room, tenant, ctx).await?;
        let records = read(&vault, ctx).await?;
        let run = records.find(server, disk, None);
        let run =
            run.ok_or_else(|| ProviderError::Refused(format!("there is no backup of {server}/{disk}")))?;
        let (moved, mut outcome) = self.restored(&vault, run, disk, around, ctx).await?;
        if outcome == Outcome::Intact {
            outcome = self.checked(&vault, tenant, ctx).await?;
        }
        let whose = Whose { installation: &self.installation, tenant, server };
        let backup = Backup {
            path: proof_path(server, disk),
            host: server.to_owned(),
            tags: whose.proof(&run.id, disk, &outcome),
            time: Timestamp::from_second(Timestamp::now().as_second()).ok(),
        };
        let content =
            json!({"version": 1, "run": run.id, "server": server, "disk": disk, "outcome": outcome});
        ctx.permit()?;
        note(&vault, &backup, &content, &bounds(ctx)).await?;
        match &outcome {
            Outcome::Intact => tracing::info!(%tenant, server, disk, run = %run.id, "a backup is proven"),
            Outcome::Damaged(why) => {
                tracing::error!(%tenant, server, disk, run = %run.id, why, "a backup is damaged");
            }
        }
        Ok(moved)
    }

    /// Restores the disk to nowhere.
    async fn restored(
        &self,
        vault: &Vault,
        run: &Run,
        disk: &str,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<(Moved, Outcome), ProviderError> {
        let of = run.disks.get(disk).map_or(0, |sum| sum.bytes);
        let passed = Passed::default();
        let (bytes, what) = match dump(vault, run, disk, None, &passed, around, ctx).await? {
            Dumped::Same(bytes) => (bytes, Outcome::Intact),
            Dumped::Other(why) => (passed.bytes(), Outcome::Damaged(why)),
        };
        Ok((Moved { bytes, of, stored: 0 }, what))
    }

    /// Checks the repository, and reads today's part of it. It needs the repository alone: where a backup runs, that goes
    /// first, and the check comes with the next proof.
    async fn checked(&self, vault: &Vault, tenant: &TenantName, ctx: &Ctx) -> Result<Outcome, ProviderError> {
        let sharing = self.sharing(tenant);
        let Ok(_alone) = sharing.try_write() else { return Ok(Outcome::Intact) };
        let of = self.used(tenant).div_ceil(PART).clamp(1, PARTS);
        let today = u64::try_from(Timestamp::now().as_second() / (24 * 60 * 60)).unwrap_or(0);
        let number = |it: u64| u32::try_from(it).unwrap_or(1);
        let read = Read::Part { part: number(today % of + 1), of: number(of) };
        ctx.permit()?;
        let bounds = bounds(ctx);
        let checking = vault.repository.check(read, &bounds);
        match while_permitted(ctx, &bounds.cancel, || {}, checking).await? {
            Ok(()) => Ok(Outcome::Intact),
            Err(ResticError::Damaged(damage)) => {
                Ok(Outcome::Damaged(format!("the check of the repository found damage: {damage}")))
            }
            Err(ResticError::Locked(holder)) => {
                tracing::info!(%tenant, %holder, "the repository is not checked while somebody works in it");
                Ok(Outcome::Intact)
            }
            Err(error) => Err(vault.error(&error)),
        }
    }
}

/// What lies in a repository.
pub(crate) async fn read(vault: &Vault, ctx: &Ctx) -> Result<Records, ProviderError> {
    let snapshots = vault.repository.snapshots(&Filter::default(), &bounds(ctx)).await;
    Ok(Records::read(&snapshots.map_err(|error| vault.error(&error))?))
}

/// What came back of a disk.
pub(crate) enum Dumped {
    /// What was sent; so many bytes.
    Same(u64),
    /// Something else, in one sentence.
    Other(String),
}

/// Restores a disk, to `to` or nowhere, and compares it with what was sent.
pub(crate) async fn dump(
    vault: &Vault,
    run: &Run,
    disk: &str,
    to: Option<Box<dyn std::io::Write + Send>>,
    passed: &Passed,
    around: &Around<'_>,
    ctx: &Ctx,
) -> Result<Dumped, ProviderError> {
    let (Some(sum), Some(snapshot)) = (run.disks.get(disk), run.snapshots.get(disk)) else {
        return Err(ProviderError::Refused(format!("there is no backup of {}/{disk}", run.server)));
    };
    let (mut outgoing, writing) = stream::write(to, passed);
    let bounds = bounds(ctx);
    let tell = || (around.progress)(Moved { bytes: passed.bytes(), of: sum.bytes, stored: 0 });
    let path = disk_path(&run.server, disk);
    let dumping = vault.repository.dump(snapshot, &path, &mut outgoing, &bounds);
    let dumped = while_permitted(ctx, &bounds.cancel, tell, dumping).await?;
    let lost = |error: &dyn std::fmt::Display| ProviderError::Protocol(error.to_string());
    match dumped {
        Ok(()) => {}
        Err(ResticError::Damaged(damage)) => return Ok(Dumped::Other(damage.to_string())),
        Err(ResticError::Target(_)) => {
            drop(outgoing);
            let why = match writing.await.map_err(|error| lost(&error))? {
                Err(error) => error.to_string(),
                Ok(_) => "it takes no more".to_owned(),
            };
            return Err(ProviderError::Refused(format!("what is restored cannot be written: {why}")));
        }
        Err(error) => return Err(vault.error(&error)),
    }
    let ended = outgoing.end().await;
    let came = writing.await.map_err(|error| lost(&error))?;
    let came = came.and_then(|came| ended.map(|()| came));
    let came =
        came.map_err(|error| ProviderError::Refused(format!("what is restored cannot be written: {error}")))?;
    Ok(if came == *sum {
        Dumped::Same(came.bytes)
    } else {
        Dumped::Other(format!(
            "{} bytes of hash {} came back, and {} of hash {} were sent",
            came.bytes, came.sha256, sum.bytes, sum.sha256
        ))
    })
}
