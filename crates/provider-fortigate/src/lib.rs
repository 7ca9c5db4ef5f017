//! FortiGate as a plugin: a tenant's firewall in one piece, in the right order.
//!
//! `settings` reads what a `HostProvider` says, `expand` says what a tenant should have, `observe` what is there, `steps`
//! which way leads from the one to the other (`order` the part of it that needs thought, `offered` what it may name), and
//! `apply` goes it. `client` speaks FortiOS's REST API and knows no tenant. How facts lie in FortiOS: docs/adr/0008.

mod adoptees;
mod apply;
mod claim;
mod client;
mod entry;
mod expand;
mod firmware;
mod marks;
mod names;
mod observe;
mod offered;
mod order;
mod preflight;
mod record;
mod schema;
mod settings;
mod shadow;
mod steps;
mod strangers;
mod tables;
#[cfg(test)]
mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::TryFutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use vertskommune_core::difference::Difference;
use vertskommune_core::domain::{Domain, Inputs, Proposal};
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, ProviderName, TenantName};
use vertskommune_core::observation::{Capacity, Observation, Scope};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::Schema;
use vertskommune_core::step::Step;
use vertskommune_core::violation::Violation;
use vertskommune_provider::secrets::{SecretError, of_secret};
use vertskommune_provider::{
    Applied, Changes, Checked, Claim, Ctx, Plugin, Provider, ProviderError, Record, Recorded,
};

use client::{Client, Config, Error, Token, provider_error};
use observe::View;
use offered::{Offered, Offers};
use settings::Settings;
use tables::{Known, Read, Tables};

/// How often the tables' revisions are asked for. Ten small requests; FortiOS pushes nothing.
const POLL: Duration = Duration::from_secs(3);

/// Makes providers for FortiGates.
#[derive(Clone, Copy, Debug, Default)]
pub struct FortigatePlugin;

impl Plugin for FortigatePlugin {
    fn name(&self) -> &'static str {
        "fortigate"
    }

    fn provider(
        &self,
        installation: &Installation,
        host: &Host,
    ) -> Result<Arc<dyn Provider>, Vec<Violation>> {
        let settings = Settings::read(&host.settings)?;
        Ok(Arc::new(Fortigate::new(installation, host, settings)))
    }
}

/// One FortiGate, or a cluster that answers as one.
pub(crate) struct Fortigate {
    host: Host,
    installation: Installation,
    settings: Settings,
    schema: Schema,
    link: Mutex<Option<(Arc<Client>, String)>>,
    tables: Tables,
    offers: Offers,
    /// Whose turn it is to have a transaction, by virtual firewall: FortiOS locks the tables of an open one.
    turns: SyncMutex<BTreeMap<String, Arc<Mutex<()>>>>,
    state: SyncMutex<State>,
    /// When the device's configuration is saved before a change.
    keeping: Mutex<record::Keeping>,
}

/// What is remembered. All of it can be lost: the next look brings it back.
#[derive(Default)]
struct State {
    /// Whether the last question for changes was answered.
    watches: bool,
    /// What was offered when all tenants were last told to look.
    offered: Option<Offered>,
    version: String,
    /// What tenants name for adoption, as the last looks were told.
    adopt: BTreeMap<TenantName, BTreeSet<String>>,
    /// What was last seen of all tenants.
    sight: Option<Sight>,
    /// The device refused a move within a transaction.
    no_moves: bool,
}

/// What is being made of tables without policies.
type Begun = BoxFuture<'static, Result<Observation, ProviderError>>;

/// What was seen of all tenants, and from what: the same is not made of the same tables again.
struct Sight {
    read: Read,
    scope: Scope,
    seen: Observation,
}

impl State {
    fn note_adoptions(&mut self, scope: &Scope) {
        self.adopt.retain(|tenant, _| !scope.includes(tenant));
        self.adopt.extend(scope.adopt.clone());
    }
}

impl Fortigate {
    fn new(installation: &Installation, host: &Host, settings: Settings) -> Self {
        Self {
            host: host.clone(),
            installation: installation.clone(),
            schema: schema::schema(),
            link: Mutex::default(),
            tables: Tables::new(installation, &settings),
            offers: Offers::default(),
            settings,
            turns: SyncMutex::default(),
            state: SyncMutex::default(),
            keeping: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version with what was found out about it, as plans read it.
    fn version(&self) -> String {
        let state = self.state();
        if state.no_moves {
            format!("{}{}", state.version, firmware::NO_MOVES)
        } else {
            state.version.clone()
        }
    }

    fn note_no_moves(&self) {
        tracing::warn!(provider = %self.host.name, "the device refuses moves within transactions: rules go one by one");
        self.state().no_moves = true;
    }

    /// What is held while a transaction of this virtual firewall is open.
    fn turn(&self, vdom: &str) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(vdom.to_owned()).or_default().clone()
    }

    fn serials(&self) -> impl Iterator<Item = &str> {
        self.host.identity.split(',').map(str::trim)
    }

    fn fail(&self, error: &Error) -> ProviderError {
        provider_error(&self.host.endpoint, error)
    }

    /// The client, made when it is first needed. A secret of another version is taken up.
    async fn client(&self, ctx: &Ctx) -> Result<Arc<Client>, ProviderError> {
        let mut link = self.link.lock().await;
        let name = self.host.credentials.as_deref().unwrap_or_default();
        let secret = match (ctx.secrets.get(name).await, &*link) {
            // What we came in with is as good as it was, and without it we would be blind for as long.
            (Err(SecretError::Store(_)), Some((client, _))) => return Ok(client.clone()),
            (secret, _) => secret.map_err(|error| of_secret(name, &error))?,
        };
        let token = secret.text("token").map_err(|error| of_secret(name, &error))?;
        let token = Token::new(token);
        if let Some((client, version)) = link.as_mut() {
            if *version != secret.version {
                client.set_token(token);
                version.clone_from(&secret.version);
            }
            return Ok(client.clone());
        }
        let config = Config {
            url: self.host.endpoint.clone(),
            ca: self.host.ca.clone().unwrap_or_default(),
            concurrency: usize::try_from(self.host.budget.concurrency).unwrap_or(1),
            requests_per_second: self.host.budget.requests_per_second,
        };
        let client = Arc::new(Client::new(&config, token).map_err(|error| self.fail(&error))?);
        *link = Some((client.clone(), secret.version));
        Ok(client)
    }

    /// Whether the one that answers is pinned. Gives its version, and notes it.
    async fn identify(&self, client: &Client) -> Result<String, ProviderError> {
        let (_, serial, version) =
            client.monitor("system/status", None).await.map_err(|error| self.fail(&error))?;
        self.is_pinned(&serial)?;
        self.state().version.clone_from(&version);
        Ok(version)
    }

    fn is_pinned(&self, serial: &str) -> Result<(), ProviderError> {
        if self.serials().any(|pinned| pinned == serial) {
            return Ok(());
        }
        Err(ProviderError::Misidentified { expected: self.host.identity.clone(), found: serial.to_owned() })
    }

    async fn look(&self, scope: &Scope, ctx: &Ctx) -> Result<Observation, ProviderError> {
        let client = self.client(ctx).await?;
        self.identify(&client).await?;
        let read = self.tables.read(&client, scope, |others| self.begun(&others, scope)).await;
        let (read, begun) = read.map_err(|error| self.fail(&error))?;
        self.is_of_pinned(&read).await?;
        // The one is our work and the other the device's, so that neither waits for the other.
        let (seen, (offered, room)) =
            tokio::try_join!(self.seen(&read, scope, begun), self.asked_besides(&client, &read))?;
        self.state().note_adoptions(scope);
        if scope.tenants.is_none() {
            self.state().offered = Some(offered.clone());
        }
        let mut seen = Observation { offered, ..seen };
        seen.capacity.extend(room.map(|room| (steps::VIRTUAL_FIREWALLS.to_owned(), room)));
        Ok(seen)
    }

    /// What tenants' things may name besides their own, and how many more virtual firewalls there can be.
    async fn asked_besides(
        &self,
        client: &Client,
        read: &Read,
    ) -> Result<(Offered, Option<Capacity>), ProviderError> {
        let offered = self.offered(client, read).await?;
        if self.settings.dedicated.is_none() {
            return Ok((offered, None));
        }
        Ok((offered, self.licensed(client).await.map_err(|error| self.fail(&error))?))
    }

    /// How many more virtual firewalls the licence allows, where the device tells it.
    async fn licensed(&self, client: &Client) -> Result<Option<Capacity>, Error> {
        let (licence, ..) = client.monitor("license/status", None).await?;
        let count = |name: &str| licence["vdom"][name].as_u64();
        let room = |(total, used): (u64, u64)| Capacity { free: total.saturating_sub(used), total };
        Ok(count("max").zip(count("used")).map(room))
    }

    /// All tables, at least as far as this scope goes.
    async fn read(&self, client: &Client, scope: &Scope) -> Result<Read, ProviderError> {
        let read = self.tables.read(client, scope, drop).await;
        let (read, ()) = read.map_err(|error| self.fail(&error))?;
        self.is_of_pinned(&read).await?;
        Ok(read)
    }

    /// Refuses what another device said, and forgets it: it is not to be taken for this one's.
    async fn is_of_pinned(&self, read: &Read) -> Result<(), ProviderError> {
        let serials = read.values().flatten().flat_map(Known::values).map(|read| &read.serial);
        let Some(Err(other)) = serials.map(|serial| self.is_pinned(serial)).find(Result::is_err) else {
            return Ok(());
        };
        self.tables.forget().await;
        Err(other)
    }

    /// What tenants' things may name besides their own.
    async fn offered(&self, client: &Client, read: &Read) -> Result<Offered, ProviderError> {
        let offered = self.offers.look(client, &self.settings, read).await;
        offered.map_err(|error| self.fail(&error))
    }

    /// Begins to go through these tables, in which policies are not yet; nothing where they say the same as when all was
    /// last seen.
    fn begun(&self, others: &Read, scope: &Scope) -> Option<Begun> {
        if self.last_seen(others, scope).is_some() {
            return None;
        }
        Some(self.view(others, scope, |view| view.without_policies()))
    }

    /// What these tables say of what is looked at, from what was [begun](Self::begun) of them.
    async fn seen(
        &self,
        read: &Read,
        scope: &Scope,
        begun: Option<Begun>,
    ) -> Result<Observation, ProviderError> {
        if let Some(last) = self.last_seen(read, scope) {
            return Ok(last);
        }
        let begun = match begun {
            Some(begun) => Some(begun.await?),
            None => None,
        };
        let seen = self
            .view(read, scope, |view| {
                let begun = begun.unwrap_or_else(|| view.without_policies());
                view.with_policies(begun)
            })
            .await?;
        if scope.tenants.is_none() {
            let (read, scope, seen) = (read.clone(), scope.clone(), seen.clone());
            self.state().sight = Some(Sight { read, scope, seen });
        }
        Ok(seen)
    }

    /// What was last seen of all, where that was made of the same.
    fn last_seen(&self, read: &Read, scope: &Scope) -> Option<Observation> {
        let version = self.version();
        let is_same = |last: &&Sight| {
            last.scope == *scope && last.seen.version == version && tables::is_same(&last.read, read)
        };
        self.state().sight.as_ref().filter(is_same).map(|last| last.seen.clone())
    }

    /// Looks at these tables in another thread, from now on: of many tenants it takes long.
    fn view<T: Send + 'static>(
        &self,
        read: &Read,
        scope: &Scope,
        look: impl FnOnce(View<'_>) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ProviderError>> {
        let version = self.version();
        let (provider, installation) = (self.host.name.clone(), self.installation.clone());
        let (anchor, transit) = (self.settings.anchor.clone(), self.settings.vdom.clone());
        let (read, scope) = (read.clone(), scope.clone());
        let look = spawn_blocking(move || {
            look(View {
                provider: &provider,
                installation: &installation,
                anchor: &anchor,
                transit: &transit,
                version: &version,
                scope: &scope,
                read: &read,
            })
        });
        Box::pin(look.map_err(|error| {
            ProviderError::Protocol(format!("what was read cannot be gone through: {error}"))
        }))
    }

    async fn wait_for_changes(&self, ctx: &Ctx) -> Result<Changes, ProviderError> {
        loop {
            let begun = Instant::now();
            let changes = self.changes(ctx).await;
            self.state().watches = changes.is_ok();
            match changes? {
                Changes::Tenants(tenants) if tenants.is_empty() => {}
                changes => return Ok(changes),
            }
            // Where the reading itself takes long, it is not done all the time.
            let pause = POLL.max(begun.elapsed() * 9);
            tokio::select! {
                () = sleep(pause) => {}
                () = ctx.cancel.cancelled() => return Ok(Changes::Tenants(BTreeSet::new())),
            }
            if Instant::now() >= ctx.deadline {
                return Ok(Changes::Tenants(BTreeSet::new()));
            }
        }
    }

    /// Of which tenants something is other than when it was last read.
    async fn changes(&self, ctx: &Ctx) -> Result<Changes, ProviderError> {
        let client = self.client(ctx).await?;
        let before = self.tables.last().await.filter(|_| self.state().watches);
        let Some(before) = before else { return Ok(Changes::Anything) };
        let scope = Scope { adopt: self.state().adopt.clone(), ..Scope::default() };
        let now = self.read(&client, &scope).await?;
        let offered = self.offered(&client, &now).await?;
        let before_offered = self.state().offered.replace(offered.clone());
        if before_offered.is_some_and(|before| before != offered) {
            // Whose rules wait for it is not known here.
            return Ok(Changes::Anything);
        }
        if tables::is_same(&before, &now) {
            return Ok(Changes::Tenants(BTreeSet::new()));
        }
        let (before, now) =
            tokio::try_join!(self.seen(&before, &scope, None), self.seen(&now, &scope, None))?;
        if before.coverage != now.coverage {
            return Ok(Changes::Anything);
        }
        let differs = |tenant: &&TenantName| before.seen.get(*tenant) != now.seen.get(*tenant);
        let tenants = before.seen.keys().chain(now.seen.keys()).filter(differs);
        let strangers = before.foreign.iter().filter(|it| !now.foreign.contains(it));
        let strangers = strangers.chain(now.foreign.iter().filter(|it| !before.foreign.contains(it)));
        Ok(Changes::Tenants(tenants.chain(strangers.map(|it| &it.tenant)).cloned().collect()))
    }
}

impl Domain for Fortigate {
    fn name(&self) -> &ProviderName {
        &self.host.name
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn expand(&self, inputs: &Inputs) -> Result<Vec<Resource>, Vec<Violation>> {
        expand::expand(inputs, &self.host.name, &self.settings)
    }

    fn steps(&self, differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal {
        steps::steps(differences, seen, &self.settings, now)
    }
}

impl Provider for Fortigate {
    fn observe<'a>(
        &'a self,
        scope: &'a Scope,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Observation, ProviderError>> {
        Box::pin(ctx.in_time("the look did not end in time", self.look(scope, ctx)))
    }

    fn changed<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Result<Changes, ProviderError>> {
        Box::pin(self.wait_for_changes(ctx))
    }

    fn apply<'a>(&'a self, steps: &'a [Step], ctx: &'a Ctx) -> BoxFuture<'a, Vec<Applied>> {
        Box::pin(async move {
            let late = |_| vec![Applied::Unknown("the steps did not end in time".to_owned())];
            timeout_at(ctx.deadline, self.carry_out(steps, ctx)).await.unwrap_or_else(late)
        })
    }

    fn preflight<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Vec<Checked>> {
        Box::pin(self.check_all(ctx))
    }

    fn records<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Result<Vec<Record>, ProviderError>> {
        Box::pin(ctx.in_time("the revisions were not listed in time", self.list_records(ctx)))
    }

    fn recorded<'a>(
        &'a self,
        record: &'a str,
        tenant: &'a TenantName,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Recorded, ProviderError>> {
        Box::pin(ctx.in_time("the revision was not read in time", self.read_record(record, tenant, ctx)))
    }

    fn claim<'a>(&'a self, claim: &'a Claim, ctx: &'a Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(ctx.in_time("the claim was not answered in time", self.hold_claim(claim, ctx)))
    }
}
