//! The backup plugin: tenants' accounts and repositories in a second room, backups into them, and proofs out of them.
//!
//! Pure are [`settings`](settings), [`expand`](expand), [`steps`](steps), [`observe`](observe), [`due`](due),
//! [`records`](records), [`checks`](checks) and [`jobs`](jobs); [`room`](room) asks the agent, [`vault`](vault) opens a
//! repository, [`apply`](apply) carries out steps, [`taking`](taking), [`proving`](proving) and [`restoring`](restoring) move bytes. What it relies on:
//!
//! - **A run is whole when its configuration lies there**, which is written last. Whatever ends before leaves snapshots that
//!   are no backup, and that the keeper's rule takes away in time.
//! - **The Secret comes before all that it opens.** The other keys of a repository follow from it, so that no crash leaves
//!   one that nobody knows.
//! - **Nothing is ever deleted here.** Retention is the keeper's, and an exit is a person's.
//! - What is kept in memory only spares asking again. All of it may be lost.

mod apply;
mod checks;
mod due;
mod expand;
mod failure;
mod guard;
mod jobs;
mod look;
mod observe;
mod policy;
mod preflight;
mod proving;
mod records;
mod restoring;
mod room;
mod schema;
mod settings;
mod steps;
mod stream;
mod taking;
#[cfg(test)]
mod testing;
mod vault;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::TryFutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use second_room::protocol::Ask;
use tokio::sync::RwLock;
use vertskommune_core::difference::Difference;
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, ProviderName, TenantName};
use vertskommune_core::observation::{Observation, Scope};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::Schema;
use vertskommune_core::step::Step;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::{Due, Transfer, Work};
use vertskommune_core::violation::Violation;
use vertskommune_provider::{
    Applied, Around, Carried, Changes, Checked, Claim, Ctx, Domain, Imports, Inputs, Moved, Plugin, Proposal,
    Provider, ProviderError, Restore, RestoreServer, Restored, Run, Transfers, one_by_one,
};

use crate::guard::AtWork;
use crate::look::State;
use crate::room::Room;
use crate::settings::Settings;
use crate::vault::Vaults;

/// Makes providers for second rooms.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupPlugin;

impl Plugin for BackupPlugin {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn provider(
        &self,
        installation: &Installation,
        host: &Host,
    ) -> Result<Arc<dyn Provider>, Vec<Violation>> {
        Settings::read(host)
            .map(|settings| Arc::new(SecondRoom::new(installation, host, settings)) as Arc<dyn Provider>)
    }
}

/// One second room.
pub(crate) struct SecondRoom {
    installation: Installation,
    host: Host,
    settings: Settings,
    schema: Schema,
    room: Room,
    vaults: Vaults,
    at_work: AtWork,
    /// By tenant: shared by backups, had alone by a check.
    sharing: Mutex<BTreeMap<TenantName, Arc<RwLock<()>>>>,
    state: Mutex<State>,
}

impl SecondRoom {
    fn new(installation: &Installation, host: &Host, settings: Settings) -> Self {
        Self {
            installation: installation.clone(),
            host: host.clone(),
            schema: schema::schema(),
            room: Room::new(installation, &host.endpoint, &settings),
            settings,
            vaults: Vaults::new(),
            at_work: AtWork::default(),
            sharing: Mutex::default(),
            state: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes or renews the claim, which the agent keeps.
    async fn hold_claim(&self, claim: &Claim, ctx: &Ctx) -> Result<(), ProviderError> {
        ctx.permit()?;
        let ask =
            Ask::Claim { holder: claim.holder.clone(), expires: claim.expires, take_over: claim.take_over };
        self.room.ask(ask, ctx).await.map(drop)
    }
}

impl Domain for SecondRoom {
    fn name(&self) -> &ProviderName {
        &self.host.name
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn expand(&self, inputs: &Inputs) -> Result<Vec<Resource>, Vec<Violation>> {
        Ok(expand::expand(inputs, &self.host.name, &self.settings))
    }

    fn steps(&self, differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal {
        steps::steps(differences, seen, now)
    }

    fn due(&self, tenant: &ValidatedTenant, seen: &Observation, now: Timestamp) -> Due {
        due::due(&self.host.name, &self.installation, tenant, seen, now)
    }
}

impl Provider for SecondRoom {
    fn observe<'a>(
        &'a self,
        scope: &'a Scope,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Observation, ProviderError>> {
        Box::pin(ctx.in_time("the sweep did not end in time", self.look(scope, ctx)))
    }

    fn changed<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Result<Changes, ProviderError>> {
        Box::pin(self.wait_for_changes(ctx))
    }

    fn apply<'a>(&'a self, steps: &'a [Step], ctx: &'a Ctx) -> BoxFuture<'a, Vec<Applied>> {
        Box::pin(one_by_one(steps, |step| self.carry_out_step(step, ctx)))
    }

    fn preflight<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Vec<Checked>> {
        Box::pin(self.check_all(ctx))
    }

    fn transfers(&self) -> Option<&dyn Transfers> {
        Some(self)
    }

    fn claim<'a>(&'a self, claim: &'a Claim, ctx: &'a Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(ctx.in_time("the claim was not answered in time", self.hold_claim(claim, ctx)))
    }
}

impl Transfers for SecondRoom {
    fn carry_out<'a>(
        &'a self,
        transfer: &'a Transfer,
        tenant: &'a ValidatedTenant,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Carried, ProviderError>> {
        match &transfer.work {
            Work::Backup => Box::pin(self.take(&transfer.server, tenant, around, ctx).map_ok(Carried::from)),
            Work::Proof { disk } => {
                Box::pin(self.prove(&transfer.tenant, &transfer.server, disk, around, ctx))
            }
        }
    }

    fn restore<'a>(
        &'a self,
        restore: &'a Restore,
        to: Box<dyn Write + Send>,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Moved, ProviderError>> {
        Box::pin(self.give_back(restore, to, around, ctx))
    }

    fn restore_server<'a>(
        &'a self,
        restore: &'a RestoreServer,
        into: &'a dyn Imports,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Restored, ProviderError>> {
        Box::pin(self.make_anew(restore, into, around, ctx))
    }

    fn runs<'a>(
        &'a self,
        tenant: &'a TenantName,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Vec<Run>, ProviderError>> {
        Box::pin(async move {
            let vault = self.open(tenant, ctx).await?;
            Ok(proving::read(&vault, ctx).await?.listed())
        })
    }
}
