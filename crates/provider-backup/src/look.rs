//! Looking: the agent's list for all tenants at once, and restic only for repositories that have other snapshots than before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use restic::{Error as ResticError, Filter};
use second_room::protocol::{AccountState, Job, Snapshots};
use vertskommune_core::backup::{Backups, Known};
use vertskommune_core::names::TenantName;
use vertskommune_core::observation::{Observation, Scope};
use vertskommune_provider::secrets::{SecretError, of_secret};
use vertskommune_provider::{Changes, Ctx, ProviderError};

use crate::SecondRoom;
use crate::observe::{Inner, View};
use crate::proving::Found;
use crate::records::Records;
use crate::room::{Told, secret_name};
use crate::vault::{Keys, bounds, missing};

/// So many repositories are read at once, whatever the budget: each is a program of its own.
const AT_ONCE: usize = 4;

/// How often the agent is asked whether anything changed.
const POLL: Duration = Duration::from_secs(30);

/// What was last seen. All of it may be lost.
#[derive(Default)]
pub(crate) struct State {
    read: BTreeMap<TenantName, Read>,
    /// By tenant, server and disk: what a restore showed and could not be written down.
    pub(crate) unwritten: BTreeMap<(TenantName, String, String), Found>,
    used: BTreeMap<TenantName, u64>,
    /// What the last poll found; nothing where sight was lost since.
    polled: Option<Polled>,
}

/// What counts as a change.
#[derive(Clone)]
struct Polled {
    keeper: Option<String>,
    jobs: Result<Vec<Job>, String>,
    accounts: BTreeMap<TenantName, AccountState>,
}

/// What was read of a repository.
#[derive(Clone)]
struct Read {
    /// When it was so last.
    seen_at: Timestamp,
    snapshots: Snapshots,
    backups: Arc<Backups>,
    attempts: BTreeMap<String, Timestamp>,
}

impl SecondRoom {
    /// What a tenant's repository takes, as it was last told.
    pub(crate) fn used(&self, tenant: &TenantName) -> u64 {
        self.state().used.get(tenant).copied().unwrap_or(0)
    }

    pub(crate) async fn look(&self, scope: &Scope, ctx: &Ctx) -> Result<Observation, ProviderError> {
        let Told { description, accounts, jobs } = self.room.look(ctx).await?;
        let budget = usize::try_from(self.host.budget.concurrency).unwrap_or(1);
        let wanted = accounts.into_iter().filter(|it| scope.includes(&TenantName::from(it.tenant.as_str())));
        let looks = wanted.map(|state| async {
            let inner = self.inner(&state, ctx).await;
            (state, inner)
        });
        let tenants: Vec<_> =
            futures::stream::iter(looks).buffer_unordered(budget.clamp(1, AT_ONCE)).collect().await;
        let mut remembered = self.state();
        for (state, _) in &tenants {
            if let Some(used) = state.used_bytes {
                remembered.used.insert(state.tenant.as_str().into(), used);
            }
        }
        drop(remembered);
        let view = View {
            provider: &self.host.name,
            description: &description,
            now: Timestamp::now(),
            quota: self.settings.quota,
        };
        let jobs = jobs.as_deref().map_err(Clone::clone);
        Ok(view.observation(&tenants, scope.tenants.is_none().then_some(jobs)))
    }

    /// What the agent cannot tell of a tenant. What goes wrong with one is nobody else's matter.
    async fn inner(&self, state: &AccountState, ctx: &Ctx) -> Inner {
        let tenant = TenantName::from(state.tenant.as_str());
        let read = async {
            let fits = self.fits(&tenant, state, ctx).await?;
            let known = |read: &Read| Known { seen_at: read.seen_at, backups: read.backups.clone() };
            let known = self.state().read.get(&tenant).map(known);
            if !state.repository {
                return Ok(Inner::Nothing { fits, known });
            }
            if !fits {
                return Ok(Inner::ShutOut { known });
            }
            let Read { backups, attempts, .. } = self.read(&tenant, state, ctx).await?;
            Ok(Inner::Read { fits, backups, attempts })
        };
        read.await.unwrap_or_else(|error: ProviderError| {
            tracing::warn!(%tenant, %error, "the repository cannot be read");
            Inner::Blind(error.blindness())
        })
    }

    /// Whether the account is let in with the key of its Secret, and no other.
    pub(crate) async fn fits(
        &self,
        tenant: &TenantName,
        state: &AccountState,
        ctx: &Ctx,
    ) -> Result<bool, ProviderError> {
        let name = secret_name(tenant);
        let secret = match ctx.secrets.get(&name).await {
            Ok(secret) => secret,
            Err(error @ SecretError::NotFound(_)) if state.repository => return Err(missing(&name, &error)),
            Err(SecretError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(of_secret(&name, &error)),
        };
        let public = Keys::read(&name, &secret)?.key.public();
        Ok(matches!(state.keys.as_slice(), [only] if Some(only.to_string()) == public))
    }

    async fn read(
        &self,
        tenant: &TenantName,
        state: &AccountState,
        ctx: &Ctx,
    ) -> Result<Read, ProviderError> {
        let seen_at = Timestamp::now();
        let before = self.state().read.get(tenant).cloned().map(|read| Read { seen_at, ..read });
        if let (Some(before), Some(now)) = (&before, &state.snapshots)
            && before.snapshots == *now
        {
            self.state().read.insert(tenant.clone(), before.clone());
            return Ok(before.clone());
        }
        let vault = self.open(tenant, ctx).await?;
        let read = match vault.repository.snapshots(&Filter::default(), &bounds(ctx)).await {
            Ok(snapshots) => {
                let records = Records::read(&snapshots, seen_at);
                let attempts = records.attempts.iter();
                let attempts = attempts.map(|(server, attempt)| (server.clone(), attempt.begun)).collect();
                let backups = Arc::new(records.backups(seen_at));
                let snapshots = state.snapshots.clone();
                Read { seen_at, snapshots: snapshots.unwrap_or_else(never), backups, attempts }
            }
            // It is there and answers, and is not what it was: that is no blindness.
            Err(ResticError::Damaged(damage)) => {
                let before = before.unwrap_or_else(|| Read {
                    seen_at,
                    snapshots: never(),
                    backups: Arc::default(),
                    attempts: BTreeMap::new(),
                });
                let mut backups = Backups::clone(&before.backups);
                backups.damage = Some(format!("its snapshots cannot be read: {damage}"));
                return Ok(Read { backups: Arc::new(backups), ..before });
            }
            Err(error) => return Err(vault.error(&error)),
        };
        self.state().read.insert(tenant.clone(), read.clone());
        Ok(read)
    }

    pub(crate) async fn wait_for_changes(&self, ctx: &Ctx) -> Result<Changes, ProviderError> {
        loop {
            let first = self.state().polled.is_none();
            if !first {
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    () = ctx.cancel.cancelled() => {
                        return Err(ProviderError::NotPermitted("the process is stopping".to_owned()));
                    }
                }
            }
            let asked = Ctx { deadline: tokio::time::Instant::now() + POLL * 4, ..ctx.clone() };
            let now = match self.room.look(&asked).await {
                Ok(told) => polled(told),
                Err(error) => {
                    self.state().polled = None;
                    return Err(error);
                }
            };
            let Some(before) = self.state().polled.replace(now.clone()) else { return Ok(Changes::Anything) };
            if (&before.keeper, &before.jobs) != (&now.keeper, &now.jobs) {
                return Ok(Changes::Anything);
            }
            let named: BTreeSet<&TenantName> = before.accounts.keys().chain(now.accounts.keys()).collect();
            let differ = |tenant: &&TenantName| before.accounts.get(*tenant) != now.accounts.get(*tenant);
            let changed: BTreeSet<TenantName> = named.into_iter().filter(differ).cloned().collect();
            if !changed.is_empty() {
                return Ok(Changes::Tenants(changed));
            }
        }
    }
}

/// The digest of what was never read.
fn never() -> Snapshots {
    Snapshots { count: 0, digest: String::new() }
}

/// How much a repository takes grows all the time while a backup runs, and is no change.
fn polled(told: Told) -> Polled {
    let Told { description, accounts, jobs } = told;
    let accounts = accounts.into_iter().map(|state| {
        let tenant = TenantName::from(state.tenant.as_str());
        (tenant, AccountState { used_bytes: None, ..state })
    });
    Polled { keeper: description.keeper, jobs, accounts: accounts.collect() }
}
