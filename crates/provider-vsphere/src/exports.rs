//! Giving out the disks of servers: a snapshot that is brought to rest, its disks as a stream, and the way back.
//!
//! A snapshot of ours carries its mark in its description, and is on a machine only while its export is open. Whoever
//! began it removes it; [`tidy`](Vsphere::tidy_up) removes those whose process is no more. No other snapshot is touched.

mod configuration;
mod disks;
mod held;
mod open;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use vertskommune_core::backup::facts::{Hindrance, Obstacle};
use vertskommune_core::names::{ResourceId, ResourceKey, TenantName};
use vertskommune_core::observation::Scope;
use vertskommune_provider::{Ctx, Export, ExportError, Exports, ProviderError, Wanted};
use vsphere_client::{
    Error, Fault, FaultClass, LeaseError, LeaseTimeouts, Mor, NewSnapshot, Object, Outcome, Scope as Within,
    Select, Snapshot, TaskState, devices,
};

use crate::Vsphere;
use crate::failure::{of_fault, of_lease};
use crate::index::Index;
use crate::inventory::{Ground, Inventory};
use crate::layout::Paths;
use crate::ledger::task_error;
use crate::link::Session;
use crate::marks::{self, SERVER};
use crate::rows::{SLIM, Slim, Vm, full, is_gone, unreadable};
use crate::task::ended;
use crate::under_way::is_under_way;
use configuration::CONFIGURATION;
use disks::{Given, hinders_all};
use held::{Held, remove};
use open::Opened;

/// Machines in one answer.
const PAGE: u32 = 500;

const DEVICES: &str = "config.hardware.device";

/// How long a guest may take to come to rest. Windows' writers have 10 minutes.
const REST: Duration = Duration::from_mins(20);

impl Exports for Vsphere {
    fn export<'a>(
        &'a self,
        wanted: &'a Wanted,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Export>, ExportError>> {
        Box::pin(ctx.in_time("the export was not open in time", self.begin(wanted, ctx)))
    }

    fn tidy<'a>(
        &'a self,
        tenant: &'a TenantName,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<usize, ProviderError>> {
        Box::pin(ctx.in_time("not all was removed in time", self.tidy_up(tenant, ctx)))
    }
}

/// The machine that is wanted, as it is before its snapshot.
struct Machine {
    vm: Vm,
    object: Object,
    given: Given,
}

impl Vsphere {
    async fn begin(&self, wanted: &Wanted, ctx: &Ctx) -> Result<Box<dyn Export>, ExportError> {
        let session = self.link.session(&self.settings, ctx).await?;
        let mut machine = self.unhindered(&session, wanted).await?;
        if self.remove_stale(&session, &machine.vm.slim, &wanted.tenant, ctx).await? > 0 {
            // That may have taken hours, in which somebody has started or changed it.
            machine = self.unhindered(&session, wanted).await?;
        }
        let name = &machine.vm.slim.name;
        let mark = marks::backup_mark(&self.installation, &wanted.tenant, &wanted.server, &wanted.run);
        let mut held = Held::new(self, ctx, machine.vm.slim.mor.clone(), mark)?;
        match self.open(&session, &machine, wanted, &mut held, ctx).await {
            Ok(open) => Ok(Box::new(open.held_by(held))),
            Err(error) => {
                if let Err(left) = held.release().await {
                    tracing::warn!(server = %name, error = %left, "a snapshot of ours may be left, and is looked for again");
                }
                Err(error)
            }
        }
    }

    /// The machine of a server, if a snapshot of it may be taken now and has something to give.
    async fn unhindered(&self, session: &Session, wanted: &Wanted) -> Result<Machine, ExportError> {
        let machine = self.machine(session, wanted).await?;
        if machine.vm.order.is_some() {
            // A snapshot would hold up the start of a server that we have stopped ourselves.
            let name = &machine.vm.slim.name;
            return Err(ProviderError::Conflict(format!("{name} is being restarted")).into());
        }
        if hinders_all(&machine.given.obstacles) || machine.given.names.is_empty() {
            return Err(ExportError::Hindered(machine.given.obstacles));
        }
        Ok(machine)
    }

    /// Takes the snapshot and opens its lease. What was made until it fails is for `held` to remove.
    async fn open(
        &self,
        session: &Arc<Session>,
        machine: &Machine,
        wanted: &Wanted,
        held: &mut Held,
        ctx: &Ctx,
    ) -> Result<Opened, ExportError> {
        let snapshot = self.snapshot(session, machine, wanted, held, ctx).await?;
        let object = session.client.read(&snapshot.mor, &[DEVICES]).await.map_err(|e| session.fail(&e))?;
        let hardware: Vec<_> =
            object.iter().filter_map(|object| object.get(DEVICES)).flat_map(devices).collect();
        let known = &machine.given.obstacles;
        let begun = session.client.writer(&*session.permit(ctx)).export_snapshot(&snapshot.mor).await;
        let lease = begun.map_err(|error| of_call(session, &error, Hindrance::ExportRefused, known))?;
        let opening = vsphere_client::Export::open(session.client.clone(), lease, LeaseTimeouts::default());
        let lease = tokio::select! {
            lease = opening => lease,
            () = ctx.cancel.cancelled() => return Err(stopping().into()),
        };
        let lease = lease.map_err(|error| match &error {
            LeaseError::Failed(fault) => of_refusal(fault, Hindrance::ExportRefused, known),
            error => of_lease(&session.endpoint, error).into(),
        })?;
        let networks = self.networks(session, machine).await;
        let configuration = self.configuration(session, machine, wanted, &snapshot, &hardware, &networks);
        Ok(Opened::new(lease, &session.endpoint, &machine.given, &hardware, configuration))
    }

    /// A snapshot of a machine, brought to rest unless it is off.
    async fn snapshot(
        &self,
        session: &Session,
        machine: &Machine,
        wanted: &Wanted,
        held: &mut Held,
        ctx: &Ctx,
    ) -> Result<Snapshot, ExportError> {
        let (vm, known) = (&machine.vm.slim, &machine.given.obstacles);
        let new = NewSnapshot {
            name: format!("vertskommune backup {}", wanted.run),
            description: held.mark().to_owned(),
            quiesce: !vm.powered_off,
        };
        held.asks(None);
        let sent = session.client.writer(&*session.permit(ctx)).create_snapshot(&vm.mor, &new).await;
        let task = sent.map_err(|error| {
            if error.outcome() == Outcome::NotDone {
                held.settles();
            }
            of_call(session, &error, Hindrance::SnapshotRefused, known)
        })?;
        held.asks(Some(&task.0));
        let info = tokio::select! {
            info = ended(session, &task.0, REST) => info?,
            () = ctx.cancel.cancelled() => return Err(stopping().into()),
        };
        if let Some(info) = info {
            held.settles();
            if info.state == TaskState::Error {
                return Err(match &info.error {
                    Some(fault) => of_refusal(fault, Hindrance::SnapshotRefused, known),
                    None => task_error(&info).into(),
                });
            }
        }
        let found = session.client.snapshots(&vm.mor).await.map_err(|error| session.fail(&error))?;
        let taken = found.into_iter().find(|snapshot| snapshot.description == held.mark());
        let taken = taken.ok_or_else(|| {
            ProviderError::Conflict("the snapshot is not there: somebody has removed it".to_owned())
        })?;
        if !taken.quiesced {
            self.was_off(session, machine).await?;
        }
        Ok(taken)
    }

    /// An error unless the machine was off before its snapshot and still is: only then is it at rest by itself.
    async fn was_off(&self, session: &Session, machine: &Machine) -> Result<(), ExportError> {
        const POWER: &str = "runtime.powerState";
        let (vm, known) = (&machine.vm.slim, &machine.given.obstacles);
        let now = session.client.read(&vm.mor, &[POWER]).await.map_err(|error| session.fail(&error))?;
        let is_off = now.is_some_and(|now| now.text(POWER) == Some("poweredOff"));
        let detail = match (vm.powered_off, vm.powered_on) {
            (true, _) if is_off => return Ok(()),
            (true, _) => "it was started while the snapshot was taken",
            (_, true) => "VMware Tools do not run in it, so that vCenter took the snapshot as it was",
            _ => "it is suspended, and nothing in it can be brought to rest",
        };
        Err(hindered(known, Hindrance::QuiesceFailed, detail))
    }

    /// The machine of a server, found by its mark.
    async fn machine(&self, session: &Session, wanted: &Wanted) -> Result<Machine, ProviderError> {
        let key = ResourceKey::new(SERVER, wanted.server.as_str());
        let id = ResourceId::new(&wanted.tenant, &self.host.name, key);
        let mark = marks::mark(&self.installation, &id).to_string();
        let mut places = self.hint(|all, ground| Some(all.whereabouts(ground, &id))).unwrap_or_default();
        if places.is_empty() {
            let path = Paths(&self.settings).server(&wanted.tenant, &wanted.server);
            let found = session.client.find_by_inventory_path(&path).await;
            places.extend(found.map_err(|error| session.fail(&error))?);
        }
        let paths: Vec<&str> = full().into_iter().chain(CONFIGURATION.iter().copied()).collect();
        let mut machines = Vec::new();
        for place in places {
            let read = session.client.read(&place, &paths).await.map_err(|error| session.fail(&error))?;
            let Some(object) = read else { continue };
            if let Some(why) = unreadable(&object) {
                return Err(ProviderError::NoSight(why));
            }
            let vm = Vm::read(&object);
            if !is_gone(&object) && vm.slim.mark.as_ref() == Some(&mark) {
                machines.push((vm, object));
            }
        }
        let mut machines = machines.into_iter();
        match (machines.next(), machines.next()) {
            (Some((vm, object)), None) => {
                let hardware: Vec<_> = object.get(DEVICES).into_iter().flat_map(devices).collect();
                let is_encrypted = object.get(configuration::KEY).is_some();
                let given = Given::of(&vm, &hardware, is_encrypted);
                Ok(Machine { vm, object, given })
            }
            (None, _) => Err(ProviderError::Conflict(format!("{} is not there", wanted.server))),
            (Some(_), Some(_)) => {
                Err(ProviderError::Conflict(format!("two machines are marked as {}", wanted.server)))
            }
        }
    }

    /// Removes the snapshots of ours on this tenant's machines that no open export has.
    async fn tidy_up(&self, tenant: &TenantName, ctx: &Ctx) -> Result<usize, ProviderError> {
        let known = |all: &Inventory, ground: Ground<'_>| {
            let index = Index::of(all, ground);
            Some(index.vms(tenant).iter().map(|(_, vm)| vm.slim.mor.clone()).collect::<Vec<Mor>>())
        };
        let mut machines = self.hint(known).unwrap_or_default();
        if machines.is_empty() {
            // Nobody has looked yet, as at the start of a process.
            self.look(&Scope::of([tenant.clone()]), ctx).await?;
            machines = self.hint(known).unwrap_or_default();
        }
        let session = self.link.session(&self.settings, ctx).await?;
        let mut found = Vec::new();
        let select = [Select { kind: "VirtualMachine", paths: SLIM }];
        let read = session.client.retrieve(Within::Objects(&machines), &select, PAGE, |object| {
            found.push(Slim::read(&object));
        });
        read.await.map_err(|error| session.fail(&error))?;
        let (mut removals, mut failed) = (Vec::new(), Vec::new());
        for vm in &found {
            let owner = vm.mark.as_deref().and_then(|mark| marks::ours(&self.installation, mark));
            if let Some(why) = &vm.unreadable {
                failed.push(ProviderError::NoSight(why.clone()));
            } else if owner.is_some_and(|(owner, _)| owner == *tenant) {
                removals.push(self.remove_stale(&session, vm, tenant, ctx));
            }
        }
        // Beside each other, so that one that is stuck keeps none of the others.
        let mut removed = 0;
        for outcome in join_all(removals).await {
            match outcome {
                Ok(count) => removed += count,
                Err(error) => {
                    tracing::warn!(%tenant, %error, "a snapshot of ours is not removed yet");
                    failed.push(error);
                }
            }
        }
        failed.into_iter().next().map_or(Ok(removed), Err)
    }

    /// The same of one machine.
    async fn remove_stale(
        &self,
        session: &Session,
        vm: &Slim,
        tenant: &TenantName,
        ctx: &Ctx,
    ) -> Result<usize, ProviderError> {
        let is_stale = |description: &str| {
            marks::read_backup_mark(&self.installation, description).as_ref() == Some(tenant)
                && !is_under_way(&self.host.identity, description)
        };
        if !vm.snapshots.iter().any(|description| is_stale(description)) {
            return Ok(0);
        }
        let permit = session.permit(ctx);
        let removed = remove(session, &*permit, &vm.mor, &is_stale).await?;
        tracing::warn!(%tenant, server = %vm.name, provider = %self.host.name, removed, "a backup that had ended left snapshots; they are removed");
        Ok(removed)
    }
}

pub(crate) fn stopping() -> ProviderError {
    ProviderError::NotPermitted("the process is stopping".to_owned())
}

/// What a call means that did not begin what it was to begin.
fn of_call(session: &Session, error: &Error, why: Hindrance, known: &[Obstacle]) -> ExportError {
    match error {
        Error::Fault(fault) => of_refusal(fault, why, known),
        error => session.fail(error).into(),
    }
}

/// What a fault means: that it cannot be as the machine is, or that it did not succeed this time.
fn of_refusal(fault: &Fault, why: Hindrance, known: &[Obstacle]) -> ExportError {
    if fault.is_quiesce_failure() {
        return hindered(known, Hindrance::QuiesceFailed, &fault.to_string());
    }
    match fault.class() {
        FaultClass::Final | FaultClass::Other => {
            // vSphere says it in as many ways as it has versions.
            let shared = known.iter().any(|obstacle| obstacle.why == Hindrance::SharedDisk);
            hindered(known, if shared { Hindrance::SharedDisk } else { why }, &fault.to_string())
        }
        _ => of_fault(fault).into(),
    }
}

/// The server as a whole is hindered, besides what was known of its disks.
fn hindered(known: &[Obstacle], why: Hindrance, detail: &str) -> ExportError {
    let whole = Obstacle { disk: None, why, detail: Some(detail.to_owned()) };
    ExportError::Hindered(std::iter::once(whole).chain(known.iter().cloned()).collect())
}
