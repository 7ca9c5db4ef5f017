//! Moving bytes beside the passes: what is due, whose turn it is, and what became of it.
//!
//! A backup takes hours and is no step of a plan. Here is what holds for all such work whatever plugin does it: as many
//! at once as the endpoint's budget says, never two for one server, no tenant before its turn, under our claim on both
//! systems, and ended in good order when the permit, the claim or a person's word is gone.

mod held;
mod leftover;
mod turns;
mod under;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::{Due, Failed, Transfer, Underway};
use vertskommune_provider::{
    Around, Carried, Ctx, Exports, Fenced, Moved, Permit, ProviderError, Restore, RestoreServer, Restored,
    Run, Transfers,
};

use crate::claim::Claimed;
use crate::endpoint::Endpoint;
use crate::{Engine, Scopes, World};

pub use held::Held;
pub use leftover::Leftover;
use turns::{Taken, Turns};
use under::Under;

/// How long one piece of work may take at all: 20 TiB at 80 MiB a second. Silence is the plugin's to notice.
const LIMIT: Duration = Duration::from_hours(72);
/// How often the permit is asked and our claims are renewed meanwhile.
const BEAT: Duration = Duration::from_secs(5);
/// How long one that has to end may take for that.
const LEAVE: Duration = Duration::from_secs(15);
/// How long listing the runs of one tenant may take.
const LIST: Duration = Duration::from_mins(5);

/// What is remembered of such work.
pub(crate) struct Moving {
    turns: Arc<Turns>,
    /// Cancelled when nothing more is begun.
    over: CancellationToken,
}

/// A transfer whose turn it is. Dropped, it gives its place back.
pub struct Turn {
    transfer: Transfer,
    tenant: ValidatedTenant,
    room: Arc<Endpoint>,
    servers: Option<Arc<Endpoint>>,
    cancel: CancellationToken,
    _taken: Taken,
}

/// What became of a transfer.
#[derive(Clone, Debug)]
pub struct Transferred {
    /// What it was.
    pub transfer: Transfer,
    /// When it began.
    pub begun: Timestamp,
    /// How it ended.
    pub ended: Ended,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is done.
    Done(Moved),
    /// It is done, and what came back is not what was sent; in one sentence.
    Damaged(Moved, String),
    /// It was ended before its time, because it may not go on.
    Stopped(String),
    /// It failed.
    Failed {
        /// Why.
        error: ProviderError,
        /// After which pause it may be tried again.
        again: Duration,
    },
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.transfer).finish()
    }
}

impl Turn {
    /// What is to be done.
    pub fn transfer(&self) -> &Transfer {
        &self.transfer
    }
}

impl Moving {
    pub(crate) fn new(cancel: &CancellationToken) -> Self {
        Self { turns: Arc::default(), over: cancel.child_token() }
    }
}

impl Engine {
    /// What time has brought for a tenant and may be begun now, and when to ask again by the clock. What runs is not in
    /// it, nor what failed a moment ago, nor what is [held](Self::held).
    ///
    /// # Errors
    /// Why nothing may be begun for this tenant at all.
    pub fn due(&self, world: &World, tenant: &TenantName) -> Result<Due, Held> {
        let (manifest, room) = self.room(world, tenant)?;
        let now = self.now();
        let mut due = room.provider.due(manifest, &room.observation(), now);
        let mut next = due.next.filter(|next| *next > now);
        if due.now.is_empty() {
            // Almost always, and for every tenant: what it would stand on need not be looked at.
            return Ok(Due { next, ..due });
        }
        let ground = self.ground(world, tenant)?;
        due.now.retain(|transfer| {
            let rest = self.moving.turns.rest(transfer);
            if let Err(Some(rest)) = rest {
                let then = now.checked_add(rest).unwrap_or(Timestamp::MAX);
                next = Some(next.map_or(then, |next| next.min(then)));
            }
            rest.is_ok() && ground.servers_for(transfer).is_ok()
        });
        Ok(Due { now: due.now, next })
    }

    /// Whether a transfer may be begun at all, due or not.
    ///
    /// # Errors
    /// Why not.
    pub fn held(&self, world: &World, transfer: &Transfer) -> Result<(), Held> {
        self.ground(world, &transfer.tenant)?.servers_for(transfer).map(drop)
    }

    /// Takes out of `wanted` those whose turn it is, as many as there is room for, and gives them a place each. What is
    /// [held](Self::held) stays in it.
    pub fn turns(&self, world: &World, wanted: &mut Vec<Transfer>) -> Vec<Turn> {
        let mut turns = Vec::new();
        let (mut held, mut full) = (BTreeSet::new(), BTreeSet::new());
        while !self.moving.over.is_cancelled() {
            let may = |it: &Transfer| !held.contains(it) && !full.contains(&it.provider);
            let Some(index) = self.moving.turns.fairest(wanted, may) else { break };
            match self.turn(world, &wanted[index]) {
                Ok(Some(turn)) => {
                    wanted.remove(index);
                    turns.push(turn);
                }
                Ok(None) => drop(full.insert(wanted[index].provider.clone())),
                Err(_) => drop(held.insert(wanted[index].clone())),
            }
        }
        turns
    }

    /// A place for this transfer; nothing where all that its endpoint has are taken.
    fn turn(&self, world: &World, transfer: &Transfer) -> Result<Option<Turn>, Held> {
        let ground = self.ground(world, &transfer.tenant)?;
        let servers = ground.servers_for(transfer)?;
        let Ok(budget) = ground.room.moving.clone().try_acquire_owned() else { return Ok(None) };
        let cancel = self.moving.over.child_token();
        let taken = self.moving.turns.take(transfer, self.now(), cancel.clone(), budget);
        Ok(taken.map(|taken| Turn {
            transfer: transfer.clone(),
            tenant: ground.tenant.clone(),
            room: ground.room,
            servers,
            cancel,
            _taken: taken,
        }))
    }

    /// Carries out what has its turn, and looks again at the tenant where the backups lie.
    #[tracing::instrument(level = "info", skip_all, fields(tenant = %turn.transfer.tenant, server = %turn.transfer.server, provider = %turn.transfer.provider))]
    pub async fn transfer(&self, world: &(impl Scopes + ?Sized), turn: Turn) -> Transferred {
        let begun = self.now();
        tracing::info!("{}", turn.transfer);
        let result = self.carry_out(&turn).await;
        if !self.cancel.is_cancelled() {
            // Also after a failure: what could not be backed up is written down there.
            let tenants = std::iter::once(turn.transfer.tenant.clone()).collect();
            self.observe_tenants(&turn.transfer.provider, world, &tenants).await;
        }
        let stopped = turn.cancel.is_cancelled();
        let ended = match result {
            Err(error @ ProviderError::NotPermitted(_)) if stopped => Ended::Stopped(error.to_string()),
            result => match (self.moving.turns.note(&turn.transfer, &result, begun, self.now()), result) {
                (_, Ok(Carried { moved, damage: Some(what) })) => Ended::Damaged(moved, what),
                (_, Ok(Carried { moved, damage: None })) => Ended::Done(moved),
                (again, Err(error)) => Ended::Failed { error, again: again.unwrap_or_default() },
            },
        };
        tracing::info!(?ended, "{}", turn.transfer);
        Transferred { transfer: turn.transfer.clone(), begun, ended }
    }

    /// What runs now, by tenant, in the order in which it began.
    pub fn underway(&self) -> BTreeMap<TenantName, Vec<Underway>> {
        let mut by_tenant: BTreeMap<TenantName, Vec<Underway>> = BTreeMap::new();
        for underway in self.moving.turns.underway() {
            by_tenant.entry(underway.transfer.tenant.clone()).or_default().push(underway);
        }
        by_tenant
    }

    /// What of a tenant failed the last time it was tried here, in the order in which it did.
    pub fn failed(&self, tenant: &TenantName) -> Vec<Failed> {
        self.moving.turns.failed(tenant)
    }

    /// Ends what runs for tenants of which a person has said meanwhile that nothing is to be done.
    pub fn end_held(&self, world: &World) {
        let ordered = |transfer: &Transfer| {
            let held = self.held(world, transfer).err();
            // A proof needs no server in the manifest.
            held.is_some_and(|held| held.is_order())
        };
        self.moving.turns.end(|transfer| !ordered(transfer));
    }

    /// Ends everything that runs, in good order, and begins nothing any more.
    pub fn end_transfers(&self) {
        self.moving.over.cancel();
    }

    /// Gives a disk back as a backup has it: its raw bytes into `to`, which must not be used unless this succeeds. The
    /// tenant needs no manifest.
    ///
    /// # Errors
    /// There is no such backup, or it could not be read whole.
    pub async fn restore(
        &self,
        provider: &ProviderName,
        restore: &Restore,
        to: Box<dyn Write + Send>,
        progress: &(dyn Fn(Moved) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Moved, ProviderError> {
        let endpoint = self.known(provider)?;
        let transfers = moves(&endpoint)?;
        let ctx = Ctx { cancel: cancel.clone(), ..self.at_rest(&endpoint, LIMIT) };
        let around = Around { servers: None, progress };
        let work = transfers.restore(restore, to, &around, &ctx);
        until(work, cancel.cancelled(), cancel, || stopped("it was interrupted")).await
    }

    /// Makes a machine anew as a run has it, where the tenant's servers are, beside the one that was backed up. It stays
    /// nobody's: no pass changes or removes it.
    ///
    /// # Errors
    /// There is no such run, or the machine could not be made whole: then it is not there. Where nothing may be begun at all,
    /// [`ProviderError::Refused`] says what [`lands`](Self::lands) does.
    pub async fn restore_server(
        &self,
        world: &World,
        provider: &ProviderName,
        restore: &RestoreServer,
        progress: &(dyn Fn(Moved) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Restored, ProviderError> {
        let room = self.known(provider)?;
        let transfers = moves(&room)?;
        let refused = |held: Held| ProviderError::Refused(held.to_string());
        let servers = self.landing(world, &restore.tenant, &restore.name).map_err(refused)?;
        let into = servers.provider.imports().ok_or_else(|| {
            refused(Held::NotOffered(servers.host().name.clone(), "makes servers from a backup"))
        })?;
        self.ensure_claim(&servers).await?;
        // What it writes to is the servers' system alone: the room is only read.
        let deadline = Instant::now() + LIMIT;
        let ctx = Ctx { deadline, cancel: cancel.clone(), ..self.ctx(&servers) };
        let around = Around { servers: None, progress };
        let work = transfers.restore_server(restore, into, &around, &ctx);
        self.hold(work, &[&servers], &*ctx.permit, &ctx, "it was interrupted").await
    }

    /// Whether a new server of this name may be made for a tenant from a backup.
    ///
    /// # Errors
    /// Why not.
    pub fn lands(&self, world: &World, tenant: &TenantName, name: &str) -> Result<(), Held> {
        self.landing(world, tenant, name).map(drop)
    }

    /// The runs of a tenant that lie in the backups, the newest first. The tenant needs no manifest.
    ///
    /// # Errors
    /// Where they cannot be told completely.
    pub async fn runs(
        &self,
        provider: &ProviderName,
        tenant: &TenantName,
    ) -> Result<Vec<Run>, ProviderError> {
        let endpoint = self.known(provider)?;
        let ctx = self.at_rest(&endpoint, LIST);
        let runs = timeout(LIST, moves(&endpoint)?.runs(tenant, &ctx)).await;
        runs.unwrap_or_else(|_| Err(ProviderError::Timeout("listing the runs did not end".to_owned())))
    }

    /// For what changes nothing there: it needs no claim of ours.
    fn at_rest(&self, endpoint: &Arc<Endpoint>, limit: Duration) -> Ctx {
        let deadline = Instant::now() + limit;
        Ctx { deadline, permit: self.settings.permit.clone(), ..self.ctx(endpoint) }
    }

    async fn carry_out(&self, turn: &Turn) -> Result<Carried, ProviderError> {
        let endpoints: Vec<_> = std::iter::once(&turn.room).chain(&turn.servers).collect();
        for endpoint in &endpoints {
            self.ensure_claim(endpoint).await?;
        }
        let permit = Arc::new(Every(endpoints.iter().map(|it| self.claimed(it)).collect()));
        let deadline = Instant::now() + LIMIT;
        let ctx =
            Ctx { deadline, cancel: turn.cancel.clone(), permit: permit.clone(), ..self.ctx(&turn.room) };
        let progress = |moved| self.moving.turns.moved(&turn.transfer, moved);
        let servers = turn.servers.as_ref().and_then(|servers| {
            let exports = servers.provider.exports()?;
            Some(Under { exports, permit: Arc::new(self.claimed(servers)) })
        });
        let servers = servers.as_ref().map(|it| it as &dyn Exports);
        let around = Around { servers, progress: &progress };
        let work = moves(&turn.room)?.carry_out(&turn.transfer, &turn.tenant, &around, &ctx);
        self.hold(work, &endpoints, &*permit, &ctx, "it is not to go on").await
    }

    fn claimed(&self, endpoint: &Arc<Endpoint>) -> Claimed {
        Claimed { permit: self.settings.permit.clone(), endpoint: endpoint.clone() }
    }

    /// Waits for the work under our claims on these. Two questions are asked meanwhile: whether it may go on, and whether it
    /// still has time.
    async fn hold<T>(
        &self,
        work: impl Future<Output = Result<T, ProviderError>>,
        endpoints: &[&Arc<Endpoint>],
        permit: &dyn Permit,
        ctx: &Ctx,
        cancelled: &str,
    ) -> Result<T, ProviderError> {
        let why = std::sync::Mutex::new(None);
        let say = |error| *why.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
        let ending = async {
            tokio::select! {
                fenced = self.keep_claims(endpoints, permit) => say(stopped(&fenced.to_string())),
                () = sleep_until(ctx.deadline) => say(ProviderError::Timeout("it did not end within three days".to_owned())),
                () = gone(endpoints) => say(stopped("its HostProvider was changed")),
                () = ctx.cancel.cancelled() => say(stopped(cancelled)),
            }
        };
        let took = || why.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        until(work, ending, &ctx.cancel, || took().unwrap_or_else(|| stopped("it was ended"))).await
    }

    /// Renews our claims for as long as they are needed, and says when we may not go on.
    async fn keep_claims(&self, endpoints: &[&Arc<Endpoint>], permit: &dyn Permit) -> Fenced {
        loop {
            sleep(BEAT).await;
            // At once: one that does not answer must not cost us the other.
            futures::future::join_all(endpoints.iter().map(|endpoint| async move {
                if let Err(error) = self.ensure_claim(endpoint).await {
                    // What we hold, we hold until it ends.
                    tracing::warn!(provider = %endpoint.host().name, %error, "the claim could not be renewed");
                }
            }))
            .await;
            if let Err(fenced) = permit.check() {
                return fenced;
            }
        }
    }
}

/// Waits for the work. When it has to end, it is told, and given a moment to do that in good order.
async fn until<T>(
    work: impl Future<Output = Result<T, ProviderError>>,
    ending: impl Future<Output = ()>,
    cancel: &CancellationToken,
    why: impl Fn() -> ProviderError,
) -> Result<T, ProviderError> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return result,
        () = ending => cancel.cancel(),
    }
    match timeout(LEAVE, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            tracing::debug!(%error, "it has ended");
            Err(why())
        }
        Err(_) => {
            tracing::warn!("it did not end in time and is broken off: what it left, the next run removes");
            Err(why())
        }
    }
}

/// Resolves when one of these is not the endpoint that the host describes any more.
async fn gone(endpoints: &[&Arc<Endpoint>]) {
    let gone = endpoints.iter().map(|endpoint| Box::pin(endpoint.gone.cancelled()));
    futures::future::select_all(gone).await;
}

fn stopped(why: &str) -> ProviderError {
    ProviderError::NotPermitted(why.to_owned())
}

fn moves(endpoint: &Endpoint) -> Result<&dyn Transfers, ProviderError> {
    endpoint.provider.transfers().ok_or_else(|| {
        ProviderError::Refused(format!(
            "{} takes no backups: name a HostProvider that does",
            endpoint.host().name
        ))
    })
}

/// Several permits at once: work between two systems needs both.
struct Every(Vec<Claimed>);

impl Permit for Every {
    fn check(&self) -> Result<(), Fenced> {
        self.0.iter().try_for_each(Permit::check)
    }
}
