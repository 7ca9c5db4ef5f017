//! Disks of in-memory servers, and how they come into an in-memory second room and back.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_core::backup::facts::Obstacle;
use vertskommune_core::backup::proving::next_proofs;
use vertskommune_core::backup::{Mode, SYSTEM, Schedule};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{Installation, ResourceId, ResourceKey, TenantName};
use vertskommune_core::observation::Observation;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::{Due, Transfer, Work};

use super::memory::{Memory, path};
use super::system::{MemorySystem, Thing};
use super::vault::{KeptDisk, run_id};
use crate::{
    Around, Carried, Ctx, Export, ExportError, ExportedDisk, Exports, Import, Imports, Moved, NewServer,
    Permit, ProviderError, Restore, RestoreServer, Restored, Run, Transfers, Wanted,
};

/// Bytes of a disk here, whatever size it says: no whole number of chunks.
const DISK: usize = 40_000;
/// As many are moved between two questions whether to go on.
const CHUNK: usize = 16 << 10;

/// What is due for a tenant here.
pub(super) fn due(
    installation: &Installation,
    tenant: &ValidatedTenant,
    seen: &Observation,
    now: Timestamp,
) -> Due {
    let Some(backup) = &tenant.backup else { return Due::default() };
    let Mode::Managed { window, .. } = &backup.mode else { return Due::default() };
    let schedule = Schedule::new(window, installation, &tenant.name);
    let known = seen.backups.get(&tenant.name).map(|known| known.backups.as_ref());
    let transfer = |due, server: &str, work| Transfer {
        due,
        provider: backup.provider.clone(),
        tenant: tenant.name.clone(),
        server: server.to_owned(),
        work,
    };
    let mut due = Due { now: Vec::new(), next: schedule.next(now).map(|turn| turn.begins) };
    for server in tenant.servers.iter().filter(|server| backup.selection.covers(server)) {
        let last = known.and_then(|known| known.servers.get(&server.name)?.last_good);
        if let Some(turn) = schedule.turn(now).filter(|_| schedule.is_due(last, now)) {
            due.now.push(transfer(turn.begins, &server.name, Work::Backup));
        }
    }
    for next in known.into_iter().flat_map(|known| next_proofs(backup, &tenant.servers, known, now)) {
        if next.due <= now {
            due.now.push(transfer(next.due, &next.server, Work::Proof { disk: next.disk }));
        } else {
            due.next = due.next.map(|at| at.min(next.due));
        }
    }
    due
}

impl Exports for Memory {
    fn export<'a>(
        &'a self,
        wanted: &'a Wanted,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Export>, ExportError>> {
        Box::pin(async move {
            ctx.permit()?;
            let key = ResourceKey::new("server", wanted.server.as_str());
            let path = path(&ResourceId::new(&wanted.tenant, &self.host.name, key));
            let thing = self.system.thing(&path)?;
            let thing = thing.ok_or_else(|| ProviderError::Refused(format!("{path} is not there")))?;
            self.system.snapshot(&path, true)?;
            let named = thing.fields.iter().filter_map(|(field, _)| {
                Some(field.strip_prefix("disks.")?.strip_suffix(".size")?.to_owned())
            });
            let disk = |name: String| ExportedDisk { name, bytes: DISK as u64 };
            let disks = named.chain([SYSTEM.to_owned()]).map(disk).collect();
            let export = MemoryExport {
                system: self.system.clone(),
                configuration: json!({ "fields": thing.fields }),
                disks,
                written: thing.disks,
                path,
                permit: ctx.permit.clone(),
            };
            Ok(Box::new(export) as Box<dyn Export>)
        })
    }

    fn tidy<'a>(
        &'a self,
        tenant: &'a TenantName,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<usize, ProviderError>> {
        Box::pin(async move {
            let left = self.system.left(tenant);
            for path in &left {
                ctx.permit()?;
                self.system.snapshot(path, false)?;
            }
            Ok(left.len())
        })
    }
}

struct MemoryExport {
    system: Arc<MemorySystem>,
    path: String,
    configuration: Json,
    disks: Vec<ExportedDisk>,
    written: BTreeMap<String, Vec<u8>>,
    /// Also what a stop ends is removed, but only under the claim.
    permit: Arc<dyn Permit>,
}

impl Drop for MemoryExport {
    fn drop(&mut self) {
        self.system.close(&self.path);
    }
}

impl Export for MemoryExport {
    fn configuration(&self) -> &Json {
        &self.configuration
    }

    fn disks(&self) -> &[ExportedDisk] {
        &self.disks
    }

    fn obstacles(&self) -> &[Obstacle] {
        &[]
    }

    fn read<'a>(&'a self, disk: &'a str) -> BoxFuture<'a, Result<Box<dyn Read + Send>, ProviderError>> {
        let written = self.written.get(disk).cloned();
        let bytes = Cursor::new(written.unwrap_or_else(|| disk_bytes(&self.path, disk)));
        Box::pin(async move { Ok(Box::new(bytes) as Box<dyn Read + Send>) })
    }

    fn close(self: Box<Self>, _: bool) -> BoxFuture<'static, Result<(), ProviderError>> {
        Box::pin(async move {
            self.permit.check().map_err(|fenced| ProviderError::NotPermitted(fenced.to_string()))?;
            self.system.snapshot(&self.path, false)
        })
    }
}

/// What a disk holds: the same whenever it is read, and never the same as another.
pub fn disk_bytes(path: &str, disk: &str) -> Vec<u8> {
    let seed =
        format!("{path}/{disk}").bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31) ^ u64::from(byte));
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let words = std::iter::successors(Some(seed), next);
    words.flat_map(|word| word.to_be_bytes().into_iter().take(2)).take(DISK).collect()
}

impl Imports for Memory {
    fn import<'a>(
        &'a self,
        wanted: &'a NewServer,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Import>, ProviderError>> {
        Box::pin(async move {
            let key = ResourceKey::new("server", wanted.name.as_str());
            let path = path(&ResourceId::new(&wanted.tenant, &self.host.name, key));
            match self.system.thing(&path)? {
                Some(there) if there.fields.contains_key(RESTORING) => {
                    ctx.permit()?;
                    self.system.removed(&path)?;
                }
                Some(_) => return Err(ProviderError::Refused(format!("{path} is there already"))),
                None => {}
            }
            ctx.permit()?;
            let fields = wanted.configuration.get("fields").cloned().unwrap_or_default();
            let mut fields: Facts = serde_json::from_value(fields).unwrap_or_default();
            fields.insert("power".to_owned(), json!("off"));
            fields.insert(RESTORING.to_owned(), json!(wanted.run));
            self.system.write(format!("import {path}"), |things, _| {
                things.insert(path.clone(), Thing { fields, ..Thing::default() });
                Some(wanted.tenant.clone())
            })?;
            let written = Arc::default();
            Ok(Box::new(MemoryImport { system: self.system.clone(), path, written }) as Box<dyn Import>)
        })
    }
}

/// The field of a machine that is not whole yet.
const RESTORING: &str = "restoring";

type Written = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct MemoryImport {
    system: Arc<MemorySystem>,
    path: String,
    written: Written,
}

/// A disk that is kept when it is flushed.
struct Disk {
    name: String,
    bytes: Vec<u8>,
    written: Written,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(self.name.clone(), self.bytes.clone());
        Ok(())
    }
}

impl Import for MemoryImport {
    fn without(&self) -> &[String] {
        &[]
    }

    fn write<'a>(&'a self, disk: &'a str) -> BoxFuture<'a, Result<Box<dyn Write + Send>, ProviderError>> {
        let disk = Disk { name: disk.to_owned(), bytes: Vec::new(), written: self.written.clone() };
        Box::pin(async move { Ok(Box::new(disk) as Box<dyn Write + Send>) })
    }

    fn close(self: Box<Self>, whole: bool) -> BoxFuture<'static, Result<(), ProviderError>> {
        Box::pin(async move {
            if !whole {
                return self.system.removed(&self.path);
            }
            let disks = std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
            self.system.write(format!("complete {}", self.path), |things, _| {
                let thing = things.get_mut(&self.path)?;
                thing.fields.remove(RESTORING);
                thing.disks = disks;
                None
            })
        })
    }
}

impl Memory {
    async fn take(
        &self,
        transfer: &Transfer,
        tenant: &ValidatedTenant,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<Moved, ProviderError> {
        let refused = |why: &str| ProviderError::Refused(why.to_owned());
        let servers = around.servers.ok_or_else(|| refused("the servers are not given out"))?;
        let backup = tenant.backup.as_ref().ok_or_else(|| refused("no backup is asked for"))?;
        let server = tenant.servers.iter().find(|server| server.name == transfer.server);
        let server = server.ok_or_else(|| refused("there is no such server"))?;
        servers.tidy(&tenant.name, ctx).await?;
        let begun = Timestamp::now();
        let wanted = Wanted { tenant: tenant.name.clone(), server: server.name.clone(), run: run_id(begun) };
        let export = servers.export(&wanted, ctx).await.map_err(|error| match error {
            ExportError::Failed(error) => error,
            ExportError::Hindered(_) => refused(&error.to_string()),
        })?;
        let covered = export.disks().iter().filter(|disk| backup.selection.covers_disk(server, &disk.name));
        let disks: Vec<ExportedDisk> = covered.cloned().collect();
        let copied = self.copy(&disks, export.as_ref(), around, ctx).await;
        let closed = export.close(copied.is_ok()).await;
        let (copied, moved, configuration) = copied?;
        closed?;
        ctx.permit()?;
        self.system.vault.put(transfer, begun, configuration, copied);
        Ok(moved)
    }

    async fn copy(
        &self,
        disks: &[ExportedDisk],
        export: &dyn Export,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<(BTreeMap<String, KeptDisk>, Moved, Json), ProviderError> {
        let mut moved = Moved { of: disks.iter().map(|disk| disk.bytes).sum(), ..Moved::default() };
        let mut copied = BTreeMap::new();
        for disk in disks {
            let mut from = export.read(&disk.name).await?;
            let mut bytes = Vec::new();
            while bytes.len() < DISK {
                let most = CHUNK.min(DISK - bytes.len()) as u64;
                let read = from.by_ref().take(most).read_to_end(&mut bytes);
                moved.bytes += read.map_err(|error| ProviderError::Protocol(error.to_string()))? as u64;
                (around.progress)(moved);
                self.system.vault.pass(ctx).await?;
            }
            copied.insert(disk.name.clone(), KeptDisk::new(bytes));
        }
        moved.stored = moved.bytes;
        Ok((copied, moved, export.configuration().clone()))
    }
}

impl Memory {
    async fn write(
        &self,
        import: &dyn Import,
        disks: BTreeMap<String, (Vec<u8>, bool)>,
        around: &Around<'_>,
        ctx: &Ctx,
    ) -> Result<Moved, ProviderError> {
        let of = disks.values().map(|(bytes, _)| bytes.len() as u64).sum();
        let mut moved = Moved { of, ..Moved::default() };
        for (name, (bytes, sound)) in disks {
            let mut to = import.write(&name).await?;
            for chunk in bytes.chunks(CHUNK) {
                self.system.vault.pass(ctx).await?;
                to.write_all(chunk).map_err(|error| ProviderError::Refused(error.to_string()))?;
                moved.bytes += chunk.len() as u64;
                (around.progress)(moved);
            }
            to.flush().map_err(|error| ProviderError::Refused(error.to_string()))?;
            if !sound {
                return Err(ProviderError::Refused("its bytes are not what was sent".to_owned()));
            }
        }
        Ok(moved)
    }
}

impl Transfers for Memory {
    fn carry_out<'a>(
        &'a self,
        transfer: &'a Transfer,
        tenant: &'a ValidatedTenant,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Carried, ProviderError>> {
        Box::pin(async move {
            let _entered = self.system.vault.enter(transfer)?;
            ctx.permit()?;
            let carried = match &transfer.work {
                Work::Backup => self.take(transfer, tenant, around, ctx).await?.into(),
                Work::Proof { disk } => {
                    self.system.vault.pass(ctx).await?;
                    let (bytes, outcome) = self.system.vault.prove(transfer, disk, Timestamp::now())?;
                    let damage = outcome.damage().map(str::to_owned);
                    Carried { moved: Moved { bytes, of: bytes, stored: 0 }, damage }
                }
            };
            self.system.came(&transfer.tenant);
            Ok(carried)
        })
    }

    fn restore<'a>(
        &'a self,
        restore: &'a Restore,
        mut to: Box<dyn Write + Send>,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Moved, ProviderError>> {
        Box::pin(async move {
            let (bytes, sound) = self.system.vault.disk(restore)?;
            let mut moved = Moved { of: bytes.len() as u64, ..Moved::default() };
            for chunk in bytes.chunks(CHUNK) {
                self.system.vault.pass(ctx).await?;
                to.write_all(chunk).map_err(|error| ProviderError::Refused(error.to_string()))?;
                moved.bytes += chunk.len() as u64;
                (around.progress)(moved);
            }
            if sound {
                Ok(moved)
            } else {
                Err(ProviderError::Refused("its bytes are not what was sent".to_owned()))
            }
        })
    }

    fn restore_server<'a>(
        &'a self,
        restore: &'a RestoreServer,
        into: &'a dyn Imports,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Restored, ProviderError>> {
        Box::pin(async move {
            let (run, configuration, disks) = self.system.vault.whole(restore)?;
            let sized = |(name, (bytes, _)): (&String, &(Vec<u8>, bool))| ExportedDisk {
                name: name.clone(),
                bytes: bytes.len() as u64,
            };
            let wanted = NewServer {
                tenant: restore.tenant.clone(),
                name: restore.name.clone(),
                server: restore.server.clone(),
                run: run.clone(),
                configuration,
                disks: disks.iter().map(sized).collect(),
            };
            let import = into.import(&wanted, ctx).await?;
            let without = import.without().to_vec();
            let written = self.write(import.as_ref(), disks, around, ctx).await;
            let closed = import.close(written.is_ok()).await;
            let moved = written?;
            closed.map(|()| Restored { run, moved, without })
        })
    }

    fn runs<'a>(
        &'a self,
        tenant: &'a TenantName,
        _: &'a Ctx,
    ) -> BoxFuture<'a, Result<Vec<Run>, ProviderError>> {
        Box::pin(async move { Ok(self.system.vault.runs_of(tenant)) })
    }
}
