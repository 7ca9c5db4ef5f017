//! Giving back what was backed up: a disk, or a whole server as a new machine. Here no manifest is needed: the repository
//! and its Secret are enough.

use std::io::Write;

use serde_json::Value as Json;
use vertskommune_provider::{
    Around, Ctx, ExportedDisk, Import, Imports, Moved, NewServer, ProviderError, Restore, RestoreServer,
    Restored,
};

use crate::SecondRoom;
use crate::proving::{Dumped, dump, read};
use crate::records::{Records, Run, Whose, configuration_path};
use crate::stream::Passed;
use crate::vault::{Vault, bounds};

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
        let vault = self.open_for_work(tenant, ctx).await?;
        let records = read(&vault, ctx).await?;
        let found = records.find(server, disk, run.as_deref()).ok_or_else(|| {
            let has = |it: &Run| it.server == *server && it.disks.contains_key(disk);
            missing(&records, &format!("{server}/{disk}"), run.as_deref(), has)
        })?;
        match dump(&vault, found, disk, Some(to), &Passed::default(), around, ctx).await? {
            Dumped::Same(bytes) => Ok(Moved { bytes, of: bytes, stored: 0 }),
            Dumped::Other(why) => Err(ProviderError::Refused(format!(
                "the backup {} of {server}/{disk} is damaged, do not use what was written: {why}",
                found.id
            ))),
        }
    }

    /// Makes a machine anew as a run has it.
    pub(crate) async fn make_anew(
        &self,
        restore: &RestoreServer,
        into: &dyn Imports,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<Restored, ProviderError> {
        let RestoreServer { tenant, server, run, name } = restore;
        let vault = self.open_for_work(tenant, ctx).await?;
        let records = read(&vault, ctx).await?;
        let found = records.find_whole(server, run.as_deref());
        let found =
            found.ok_or_else(|| missing(&records, server, run.as_deref(), |it| it.server == *server))?;
        let whose = Whose { installation: &self.installation, tenant, server };
        let document = document(&vault, found, ctx).await?;
        let configuration = configuration(&document, whose, &found.id).map_err(|why| {
            ProviderError::Refused(format!("the configuration of the backup {} of {server}: {why}", found.id))
        })?;
        let mut without = left_out(found, configuration);
        let wanted = NewServer {
            tenant: tenant.clone(),
            name: name.clone(),
            server: server.clone(),
            run: found.id.clone(),
            configuration: configuration.clone(),
            disks: found
                .disks
                .iter()
                .map(|(name, sum)| ExportedDisk { name: name.clone(), bytes: sum.bytes })
                .collect(),
        };
        ctx.permit()?;
        let import = into.import(&wanted, ctx).await?;
        without.extend(import.without().iter().cloned());
        let written = fill(&vault, found, import.as_ref(), around, ctx).await;
        // Whatever happened, nothing half made stays.
        let closed = import.close(written.is_ok()).await;
        match (written, closed) {
            (Ok(moved), Ok(())) => {
                tracing::info!(%tenant, server, run = %found.id, name, "a server was restored as a new machine");
                Ok(Restored { run: found.id.clone(), moved, without })
            }
            (Ok(_), Err(error)) => Err(error),
            (Err(error), closed) => {
                if let Err(left) = closed {
                    tracing::warn!(%tenant, name, error = %left, "of a machine that was not made whole something may be left");
                }
                Err(error)
            }
        }
    }
}

/// Writes all disks of a run to a machine that is being made.
async fn fill(
    vault: &Vault,
    run: &Run,
    import: &dyn Import,
    around: &Around<'_>,
    ctx: &Ctx,
) -> Result<Moved, ProviderError> {
    let of = run.disks.values().map(|sum| sum.bytes).sum();
    let mut moved = Moved { of, ..Moved::default() };
    for name in run.disks.keys() {
        ctx.permit()?;
        let to = import.write(name).await?;
        let before = moved;
        let progress = |now: Moved| (around.progress)(Moved { bytes: before.bytes + now.bytes, ..before });
        let around = Around { servers: None, progress: &progress };
        match dump(vault, run, name, Some(to), &Passed::default(), &around, ctx).await? {
            Dumped::Same(bytes) => moved.bytes += bytes,
            Dumped::Other(why) => {
                return Err(ProviderError::Refused(format!(
                    "the backup {} of {}/{name} is damaged: {why}",
                    run.id, run.server
                )));
            }
        }
    }
    Ok(moved)
}

/// The document that makes a run whole.
async fn document(vault: &Vault, run: &Run, ctx: &Ctx) -> Result<Json, ProviderError> {
    let mut text = Vec::new();
    let path = configuration_path(&run.server);
    let dumped = vault.repository.dump(&run.configuration, &path, &mut text, &bounds(ctx)).await;
    dumped.map_err(|error| vault.error(&error))?;
    serde_json::from_slice(&text).map_err(|error| ProviderError::Protocol(format!("{path}: {error}")))
}

/// The machine's configuration in it, if it is that of this run.
fn configuration<'a>(document: &'a Json, whose: Whose<'_>, run: &str) -> Result<&'a Json, String> {
    let expected = [
        ("installation", whose.installation.as_str()),
        ("tenant", whose.tenant.as_str()),
        ("server", whose.server),
        ("run", run),
    ];
    for (field, expected) in expected {
        let found = document.get(field).and_then(Json::as_str).unwrap_or_default();
        if found != expected {
            return Err(format!("its {field} is {found:?} and not {expected:?}"));
        }
    }
    document.get("configuration").ok_or_else(|| "it tells nothing of the machine".to_owned())
}

/// The disks that the machine had and the run has not, and why.
fn left_out(run: &Run, configuration: &Json) -> Vec<String> {
    let disks = configuration.get("disks").and_then(Json::as_array);
    let names = disks.into_iter().flatten().filter_map(|disk| disk.get("name")?.as_str());
    let mut left: Vec<String> = Vec::new();
    for obstacle in &run.obstacles {
        left.extend(obstacle.disk.as_ref().map(|disk| format!("disk {disk}: {}", obstacle.why)));
    }
    let known = |name: &str| run.obstacles.iter().any(|it| it.disk.as_deref() == Some(name));
    let unselected = names.filter(|name| !run.disks.contains_key(*name) && !known(name));
    left.extend(unselected.map(|name| format!("disk {name}: it was not backed up")));
    left
}

/// What there is instead of a backup that is not there.
fn missing(records: &Records, what: &str, run: Option<&str>, has: impl Fn(&Run) -> bool) -> ProviderError {
    let runs: Vec<_> =
        records.runs.iter().rev().filter(|it| has(it)).take(10).map(|run| run.id.as_str()).collect();
    let there =
        if runs.is_empty() { "there is none".to_owned() } else { format!("there is {}", runs.join(", ")) };
    let run = run.map_or_else(String::new, |run| format!("{run} "));
    ProviderError::Refused(format!("there is no backup {run}of {what}: {there}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vertskommune_core::names::{Installation, TenantName};

    use super::*;

    #[test]
    fn the_configuration_of_another_run_is_not_taken() {
        let (installation, tenant) = (Installation::from("nord"), TenantName::from("ibestad"));
        let whose = Whose { installation: &installation, tenant: &tenant, server: "ibe-fs01" };
        let document = json!({
            "installation": "nord", "tenant": "ibestad", "server": "ibe-fs01", "run": "20261128T221500Z",
            "configuration": {"machine": {}},
        });
        assert_eq!(configuration(&document, whose, "20261128T221500Z"), Ok(&json!({"machine": {}})));
        for (field, value) in [
            ("installation", json!("sor")),
            ("tenant", json!("gratangen")),
            ("server", json!(7)),
            ("run", json!("20261127T221500Z")),
        ] {
            let mut other = document.clone();
            other[field] = value;
            let why = configuration(&other, whose, "20261128T221500Z").unwrap_err();
            assert!(why.contains(field), "{why}");
        }
        let mut empty = document.clone();
        empty.as_object_mut().unwrap().remove("configuration");
        assert!(configuration(&empty, whose, "20261128T221500Z").is_err());
    }
}
