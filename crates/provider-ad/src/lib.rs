//! The directory plugin: trusts between tenants' Active Directory and the host's.
//!
//! Pure are [`settings`](settings), [`expand`](expand), [`observe`](observe), [`steps`](steps) and [`todo`](todo); [`agent`](agent)
//! asks an agent in the words of [`protocol`](protocol), [`ldap`](ldap) reads a directory, [`look`](look) does both and tries whether
//! trusts work, and [`apply`](apply) carries out steps. What it relies on:
//!
//! - **A trust with one side works for nobody.** So one step makes both sides with a secret that it forgets, and whoever dies between
//!   the two leaves what the next look sees, and what may be made anew without harm.
//! - **An agent's record is our mark**, written before what it tells of and removed after it.
//! - **Nothing is read back from LDAP to be written**, and nothing is written over it.
//! - What is kept in memory only spares asking again. All of it may be lost.

mod agent;
pub mod agents;
mod apply;
mod expand;
mod failure;
mod ldap;
mod look;
mod observe;
mod preflight;
mod protocol;
mod schema;
mod settings;
mod steps;
#[cfg(test)]
mod testing;
mod todo;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use vertskommune_core::difference::Difference;
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, ProviderName, ResourceId, TenantName};
use vertskommune_core::observation::{Observation, Scope};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::Schema;
use vertskommune_core::step::Step;
use vertskommune_core::violation::Violation;
use vertskommune_provider::{
    Applied, Changes, Checked, Claim, Ctx, Domain, Inputs, Plugin, Proposal, Provider, ProviderError,
    one_by_one,
};

use crate::agent::{Address, Agent};
use crate::failure::{AskError, of_refusal};
use crate::look::State;
use crate::protocol::Ask;
use crate::settings::Settings;

/// Makes providers for Active Directories.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdPlugin;

impl Plugin for AdPlugin {
    fn name(&self) -> &'static str {
        "ad"
    }

    fn provider(
        &self,
        installation: &Installation,
        host: &Host,
    ) -> Result<Arc<dyn Provider>, Vec<Violation>> {
        Settings::read(host)
            .map(|settings| Arc::new(HostDirectory::new(installation, host, settings)) as Arc<dyn Provider>)
    }
}

/// The host's directory.
pub(crate) struct HostDirectory {
    installation: Installation,
    host: Host,
    settings: Settings,
    schema: Schema,
    agent: Agent,
    state: Mutex<State>,
}

impl HostDirectory {
    fn new(installation: &Installation, host: &Host, settings: Settings) -> Self {
        let agent = Agent::new(
            installation,
            settings.agent.clone(),
            settings.host_key.clone(),
            &settings.credentials,
        );
        Self {
            installation: installation.clone(),
            host: host.clone(),
            schema: schema::schema(),
            agent,
            settings,
            state: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent on a tenant's side, as its manifest names it.
    pub(crate) fn partner(
        &self,
        tenant: &TenantName,
        endpoint: &str,
        identity: &str,
        secret: &str,
    ) -> Result<Agent, ProviderError> {
        let wrong = |field: &str, why: String| {
            ProviderError::Refused(format!("spec.directory.partnerSide.{field} of {tenant}: {why}"))
        };
        let address = Address::read(endpoint).ok_or_else(|| {
            wrong("endpoint", format!("{endpoint:?} is no place of an agent: write ssh://root@host:port"))
        })?;
        let host_key = identity.parse().map_err(|error| wrong("identity", format!("{error}")))?;
        Ok(Agent::new(&self.installation, address, host_key, secret).of_tenant(tenant))
    }

    /// Takes or renews the claim, which the host's agent keeps.
    async fn hold_claim(&self, claim: &Claim, ctx: &Ctx) -> Result<(), ProviderError> {
        ctx.permit()?;
        let Claim { holder, expires, take_over, .. } = claim.clone();
        let agent = self.agent.clone().of_installation(&claim.installation);
        match agent.ask(Ask::Claim { holder, expires, take_over }, ctx).await {
            Ok(_) => Ok(()),
            Err(AskError::Failed(error)) => Err(error),
            Err(AskError::Refused(refusal)) => Err(of_refusal(&claim.installation, refusal)),
        }
    }
}

impl Domain for HostDirectory {
    fn name(&self) -> &ProviderName {
        &self.host.name
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn expand(&self, inputs: &Inputs) -> Result<Vec<Resource>, Vec<Violation>> {
        Ok(expand::expand(inputs, &self.host.name))
    }

    fn steps(&self, differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal {
        let healed = |id: &ResourceId, of: &str| {
            self.state().healed.get(&(id.tenant.clone(), steps::which(of))).copied()
        };
        steps::steps(differences, seen, &healed, now)
    }
}

impl Provider for HostDirectory {
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

    fn claim<'a>(&'a self, claim: &'a Claim, ctx: &'a Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(ctx.in_time("the claim was not answered in time", self.hold_claim(claim, ctx)))
    }
}
