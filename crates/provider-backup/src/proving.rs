//! Proving a backup by restoring it: every byte comes back and is compared with what was sent. With it goes a check of the
//! whole repository, which reads a part of all that lies there.

use jiff::Timestamp;
use restic::{Backup, Error as ResticError, Filter, Read};
use serde_json::json;
use vertskommune_core::backup::facts::Outcome;
use vertskommune_core::names::TenantName;
use vertskommune_provider::{Around, Carried, Ctx, Moved, ProviderError};

use crate::SecondRoom;
use crate::checks::Checks;
use crate::guard::while_permitted;
use crate::records::{Records, Run, Whose, check_path, check_tags, disk_path, proof_path};
use crate::stream::{self, Passed};
use crate::taking::note;
use crate::vault::{Vault, bounds};

/// What a restore showed.
#[derive(Debug)]
pub(crate) struct Found {
    run: String,
    at: Timestamp,
    moved: Moved,
    outcome: Outcome,
}

impl SecondRoom {
    /// Proves the last backup of a disk, and checks the repository. What is found is written down, be it good or bad; an error
    /// means that something was not found out, or could not be written down.
    pub(crate) async fn prove(
        &self,
        tenant: &TenantName,
        server: &str,
        disk: &str,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<Carried, ProviderError> {
        let _alone = self.at_work.begin(tenant, server)?;
        self.compare_clocks(ctx).await?;
        // Until it has its own turn to check, nobody checks the repository: that excludes all others.
        let shared = self.sharing(tenant).read_owned().await;
        let vault = self.open_for_work(tenant, ctx).await?;
        let records = read(&vault, ctx).await?;
        let run = records.find(server, disk, None);
        let run =
            run.ok_or_else(|| ProviderError::Refused(format!("there is no backup of {server}/{disk}")))?;
        let key = (tenant.clone(), server.to_owned(), disk.to_owned());
        let kept = self.state().unwritten.remove(&key).filter(|found| found.run == run.id);
        let found = match kept {
            Some(found) => found,
            None => self.restored(&vault, run, disk, around, ctx).await?,
        };
        let whose = Whose { installation: &self.installation, tenant, server };
        if let Err(error) = write(&vault, whose, disk, &found, ctx).await {
            // A disk that took hours is not read again because the room is full.
            self.state().unwritten.insert(key, found);
            return Err(error);
        }
        let damage = found.outcome.damage().map(str::to_owned);
        match &damage {
            None => tracing::info!(%tenant, server, disk, run = %run.id, "a backup is proven"),
            Some(why) => tracing::error!(%tenant, server, disk, run = %run.id, why, "a backup is damaged"),
        }
        drop(shared);
        // Only now: whatever hinders the check, the proof stands.
        let in_repository = self.check(&vault, tenant, &records.checks, ctx).await?;
        Ok(Carried { moved: found.moved, damage: damage.or(in_repository) })
    }

    /// Restores the disk to nowhere.
    async fn restored(
        &self,
        vault: &Vault,
        run: &Run,
        disk: &str,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<Found, ProviderError> {
        let (at, of) = (this_second(), run.disks.get(disk).map_or(0, |sum| sum.bytes));
        let passed = Passed::default();
        let (bytes, outcome) = match dump(vault, run, disk, None, &passed, around, ctx).await? {
            Dumped::Same(bytes) => (bytes, Outcome::Intact),
            Dumped::Other(why) => (passed.bytes(), Outcome::Damaged(why)),
        };
        Ok(Found { run: run.id.clone(), at, moved: Moved { bytes, of, stored: 0 }, outcome })
    }

    /// Checks the repository, reads the part of it whose turn it is, writes down what that showed, and tells what is damaged.
    /// It needs the repository alone: where a backup or another proof runs, that goes first, and the part's turn comes with
    /// the next proof.
    async fn check(
        &self,
        vault: &Vault,
        tenant: &TenantName,
        checks: &Checks,
        ctx: &Ctx,
    ) -> Result<Option<String>, ProviderError> {
        let part = checks.next(self.used(tenant), Timestamp::now());
        let checked = {
            let Ok(_alone) = self.sharing(tenant).try_write_owned() else {
                tracing::info!(%tenant, "the repository is not checked while others work in it");
                return Ok(None);
            };
            ctx.permit()?;
            let bounds = bounds(ctx);
            let read = Read::Part { part: part.part, of: part.of };
            let checking = vault.repository.check(read, &bounds);
            while_permitted(ctx, &bounds.cancel, || None, checking).await?
        };
        let outcome = match checked {
            Ok(()) => Outcome::Intact,
            Err(ResticError::Damaged(damage)) => {
                tracing::error!(%tenant, %part, %damage, "a repository is damaged");
                Outcome::Damaged(damage.to_string())
            }
            Err(ResticError::Locked(holder)) => {
                tracing::info!(%tenant, %holder, "the repository is not checked while somebody works in it");
                return Ok(None);
            }
            Err(error) => return Err(vault.error(&error)),
        };
        let backup = Backup {
            path: check_path(),
            host: tenant.to_string(),
            tags: check_tags(&self.installation, tenant, part, &outcome),
            time: Some(this_second()),
        };
        let content = json!({"version": 1, "part": part.part, "of": part.of, "outcome": outcome});
        ctx.permit()?;
        note(vault, &backup, &content, &bounds(ctx)).await?;
        Ok(outcome.damage().map(|damage| format!("the check of the repository found damage: {damage}")))
    }
}

/// Writes a proof down.
async fn write(
    vault: &Vault,
    whose: Whose<'_>,
    disk: &str,
    found: &Found,
    ctx: &Ctx,
) -> Result<(), ProviderError> {
    let Found { run, at, outcome, .. } = found;
    let server = whose.server;
    let backup = Backup {
        path: proof_path(server, disk),
        host: server.to_owned(),
        tags: whose.proof(run, disk, outcome),
        time: Some(*at),
    };
    let content = json!({"version": 1, "run": run, "server": server, "disk": disk, "outcome": outcome});
    ctx.permit()?;
    note(vault, &backup, &content, &bounds(ctx)).await
}

/// What restic writes down of a time.
pub(crate) fn this_second() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What lies in a repository.
pub(crate) async fn read(vault: &Vault, ctx: &Ctx) -> Result<Records, ProviderError> {
    let snapshots = vault.repository.snapshots(&Filter::default(), &bounds(ctx)).await;
    Ok(Records::read(&snapshots.map_err(|error| vault.error(&error))?, Timestamp::now()))
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
    let tell = || {
        (around.progress)(Moved { bytes: passed.bytes(), of: sum.bytes, stored: 0 });
        Some(passed.bytes())
    };
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
            came.bytes, came.hash, sum.bytes, sum.hash
        ))
    })
}
