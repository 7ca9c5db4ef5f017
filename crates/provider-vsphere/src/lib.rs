//! The vSphere plugin: tenants' folders, resource pools, networks, anti-affinity rules and servers in one vCenter.
//!
//! Pure are [`expand`](expand), [`steps`](steps), [`observe`](observe) and what they use; [`sweep`](sweep) reads,
//! [`apply`](apply) writes, [`watch`](watch) waits. What it relies on in vCenter:
//!
//! - **A name in a folder is the only lock.** Two clones of one name cannot both succeed; an instance UUID guards nothing.
//! - **Marks**: a VM carries its own in `extraConfig`, a port group in its description, both given with their creation.
//!   Folders, pools and rules are ours by their names below roots that the `HostProvider` gives wholly to us.
//! - **What we owe stands on the thing itself**: which restart is under way, which sizes we gave, which servers were born.
//! - **A machine that is restored** is nobody's; while it is not whole it has a mark of its own, see [`imports`](imports).
//! - **A snapshot of ours** has its mark in its description, and its backup alone takes and removes it; see [`exports`](exports).
//! - What is kept in memory only says where to look. Every write looks again first.

mod apply;
mod born;
mod claim;
mod expand;
mod exports;
mod failure;
mod guest;
mod imports;
mod index;
mod inventory;
mod layout;
mod ledger;
mod link;
mod marks;
mod observe;
mod order;
mod placement;
mod preflight;
mod rows;
mod schema;
mod settings;
mod steps;
mod sweep;
mod task;
#[cfg(test)]
mod tests;
mod under_way;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{Mutex, RwLock};
use vertskommune_core::difference::Difference;
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, ProviderName, TenantName};
use vertskommune_core::observation::{Observation, Scope};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::Schema;
use vertskommune_core::step::Step;
use vertskommune_core::violation::Violation;
use vertskommune_provider::{
    Applied, Changes, Checked, Claim, Ctx, Domain, Exports, Imports, Inputs, Plugin, Proposal, Provider,
    ProviderError, one_by_one,
};
use vsphere_client::Mor;

use crate::index::Index;
use crate::inventory::{Ground, Inventory};
use crate::layout::Paths;
use crate::ledger::Ledger;
use crate::link::{Link, Session};
use crate::observe::View;
use crate::rows::{Folder, Pool};
use crate::settings::Settings;
use crate::steps::Maker;
use crate::sweep::{Noted, Sweep};

/// Makes providers for vCenters.
#[derive(Clone, Copy, Debug, Default)]
pub struct VspherePlugin;

impl Plugin for VspherePlugin {
    fn name(&self) -> &'static str {
        "vsphere"
    }

    fn provider(
        &self,
        installation: &Installation,
        host: &Host,
    ) -> Result<Arc<dyn Provider>, Vec<Violation>> {
        let mut violations = Vec::new();
        if host.ca.is_none() {
            violations
                .push(Violation::new("spec.caBundle", "name the CA that signs the vCenter's certificate"));
        }
        if host.credentials.is_none() {
            violations.push(Violation::new("spec.credentials", "name a Secret with username and password"));
        }
        match Settings::read(&host.settings) {
            Ok(settings) if violations.is_empty() => Ok(Arc::new(Vsphere::new(installation, host, settings))),
            Ok(_) => Err(violations),
            Err(more) => Err(violations.into_iter().chain(more).collect()),
        }
    }
}

/// One vCenter.
pub(crate) struct Vsphere {
    installation: Installation,
    host: Host,
    settings: Arc<Settings>,
    schema: Schema,
    link: Arc<Link>,
    ledger: Ledger,
    state: SyncMutex<State>,
    /// A full sweep has it alone, looks at single tenants share it: an older answer never replaces a newer one.
    sweeping: RwLock<()>,
    watching: Mutex<Option<watch::Watching>>,
    /// Taken while a record on a folder is read, changed and written.
    records: Mutex<()>,
}

/// What was last read. All of it may be lost: it says where to look and spares reading what has not changed.
#[derive(Default)]
struct State {
    inventory: Arc<Inventory>,
    roots: Option<Roots>,
    noted: BTreeMap<TenantName, Noted>,
}

/// The places that make things ours.
#[derive(Clone)]
struct Roots {
    folder: Mor,
    pool: Mor,
    switch: Mor,
}

impl Vsphere {
    fn new(installation: &Installation, host: &Host, settings: Settings) -> Self {
        Self {
            installation: installation.clone(),
            host: host.clone(),
            settings: Arc::new(settings),
            schema: schema::schema(),
            link: Arc::new(Link::new(host.clone())),
            ledger: Ledger::default(),
            state: SyncMutex::default(),
            sweeping: RwLock::default(),
            watching: Mutex::default(),
            records: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ground<'a>(&'a self, roots: &'a Roots) -> Ground<'a> {
        Ground {
            installation: &self.installation,
            root_folder: &roots.folder,
            root_pool: &roots.pool,
            switch: &roots.switch,
        }
    }

    /// Something from what was last read, as a hint where to look.
    pub(crate) fn hint<T>(&self, ask: impl FnOnce(&Inventory, Ground<'_>) -> Option<T>) -> Option<T> {
        let state = self.state();
        let roots = state.roots.as_ref()?;
        ask(&state.inventory, self.ground(roots))
    }

    /// Notes a port group that is made for a tenant, so that a look at that tenant alone finds it.
    pub(crate) fn note_portgroup(&self, tenant: &TenantName, name: &str) {
        self.state().noted.entry(tenant.clone()).or_default().portgroups.insert(name.to_owned());
    }

    /// Notes a folder that was just made, so that the next look need not search for it.
    pub(crate) fn note_folder(&self, folder: Mor, tenant: &TenantName, root: &Mor) {
        let row = Folder::new(tenant.as_str(), root);
        Arc::make_mut(&mut self.state().inventory).folders.insert(folder, row);
    }

    /// Notes a pool that was just made, likewise.
    pub(crate) fn note_pool(&self, pool: Mor, tenant: &TenantName, root: &Mor) {
        let row = Pool::new(tenant.as_str(), root);
        Arc::make_mut(&mut self.state().inventory).pools.insert(pool, row);
    }

    async fn look(&self, scope: &Scope, ctx: &Ctx) -> Result<Observation, ProviderError> {
        let session = self.link.session(&self.settings, ctx).await?;
        let seen = self.look_in(&session, scope).await;
        if let Err(ProviderError::NoSight(_) | ProviderError::Unreachable { .. }) = &seen {
            // Perhaps a place was made anew, or the session has died with its view.
            self.link.forget_session().await;
        }
        let seen = seen?;
        // A login in the middle may have met another vCenter: what was read then proves nothing.
        if session.client.generation() != session.generation {
            let why = "the session was renewed in the middle of a sweep".to_owned();
            return Err(ProviderError::Unreachable { endpoint: self.host.endpoint.clone(), why });
        }
        Ok(seen)
    }

    async fn look_in(&self, session: &Session, scope: &Scope) -> Result<Observation, ProviderError> {
        let layout = &session.layout;
        let roots = Roots {
            folder: layout.root_folder.clone(),
            pool: layout.root_pool.clone(),
            switch: layout.switch.clone(),
        };
        let ground = self.ground(&roots);
        let sweep =
            Sweep { session, paths: Paths(&self.settings), ground, ledger: &self.ledger, look: scope };
        match &scope.tenants {
            None => {
                let _alone = self.sweeping.write().await;
                let before = self.state().inventory.clone();
                let inventory = sweep.everything(&before).await?;
                let mut state = self.state();
                state.inventory = Arc::new(inventory);
                state.roots = Some(roots.clone());
                state.noted.clear();
            }
            Some(tenants) => {
                let _shared = self.sweeping.read().await;
                let (known, noted) = self.known(ground, tenants);
                let part = sweep.of(tenants, &known, &noted).await?;
                let mut state = self.state();
                Arc::make_mut(&mut state.inventory).replace(ground, tenants, part);
                state.roots = Some(roots.clone());
            }
        }
        Ok(self.describe(session, ground, scope.tenants.as_ref()))
    }

    /// What is known of these tenants, small enough to be copied.
    fn known(
        &self,
        ground: Ground<'_>,
        tenants: &BTreeSet<TenantName>,
    ) -> (Inventory, BTreeMap<TenantName, Noted>) {
        let state = self.state();
        let objects = Index::of(&state.inventory, ground).objects(tenants);
        let noted = state.noted.iter().filter(|(tenant, _)| tenants.contains(*tenant));
        let noted = noted.map(|(tenant, noted)| (tenant.clone(), noted.clone())).collect();
        (state.inventory.only(&objects, tenants), noted)
    }

    fn describe(
        &self,
        session: &Session,
        ground: Ground<'_>,
        tenants: Option<&BTreeSet<TenantName>>,
    ) -> Observation {
        let state = self.state();
        let view = View {
            provider: &self.host.name,
            ground,
            settings: &self.settings,
            inventory: &state.inventory,
            ledger: &self.ledger,
            fields: session.field_names(),
            templates: session.layout.templates.values().collect(),
            version: &session.version,
        };
        view.observation(tenants)
    }
}

impl Domain for Vsphere {
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
        let maker = Maker {
            installation: &self.installation,
            settings: &self.settings,
            schema: &self.schema,
            seen,
            now,
        };
        maker.steps(differences)
    }
}

impl Provider for Vsphere {
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
        Box::pin(one_by_one(steps, |step| self.carry_out(step, ctx)))
    }

    fn preflight<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Vec<Checked>> {
        Box::pin(self.check_all(ctx))
    }

    fn exports(&self) -> Option<&dyn Exports> {
        Some(self)
    }

    fn imports(&self) -> Option<&dyn Imports> {
        Some(self)
    }

    fn claim<'a>(&'a self, claim: &'a Claim, ctx: &'a Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(ctx.in_time("the claim was not answered in time", self.hold_claim(claim, ctx)))
    }
}
