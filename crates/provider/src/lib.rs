//! The provider contract.
//!
//! A plugin is two halves. The pure half, [`Domain`], says what a tenant should have and which steps lead there; it
//! stands in `core`, because the plan calls it. This crate is the other half, [`Provider`]: look at the real system,
//! and carry out exactly the steps of a plan. With it comes what every plugin needs to do that safely: errors that say
//! what they left behind, secrets by handle, and the [`Permit`] that is asked before each single write.
//!
//! ## Flow
//! `observe` → (core: plan) → `apply` → `observe` → … until the plan is empty. Nothing is remembered between passes
//! that a crash could take away; a pass after a crash is a pass like any other.
//!
//! ## Guarantees that a plugin gives
//! - `observe` never writes; what it did not read completely it reports as unknown, never as absent.
//! - `apply` carries out exactly these steps. Repeating a step that was done is harmless.
//! - Before each write it asks [`Permit::check`], immediately before the request is sent.
//! - What does not carry a mark of this installation is never changed or deleted, but by a step of class `Adopt`.
//! - `apply` never waits for a task of the system: it answers `Started`, and `observe` reports the progress.
//!
//! The suite in [`testing`] (feature `testing`) holds a plugin to it, against its real peer.

pub mod claim;
pub mod context;
pub mod error;
pub mod exports;
pub mod imports;
pub mod record;
pub mod registry;
pub mod secrets;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transfers;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub use claim::Claim;
pub use context::{Ctx, Fenced, Permit};
pub use error::{Left, ProviderError};
pub use exports::{Export, ExportError, ExportedDisk, Exports, Wanted};
pub use imports::{Import, Imports, NewServer};
pub use record::{Record, Recorded};
pub use registry::{Plugin, Plugins};
pub use transfers::{Around, Carried, Moved, Restore, RestoreServer, Restored, Run, RunDisk, Transfers};
pub use vertskommune_core::domain::{Domain, Inputs, Proposal};

use vertskommune_core::names::TenantName;
use vertskommune_core::observation::{Observation, Scope};
use vertskommune_core::step::Step;

/// One endpoint of the host's infrastructure, as a plugin speaks to it. See the crate's page for the contract.
pub trait Provider: Domain {
    /// All that carries our marks or that a tenant names, with its coverage. Never writes.
    ///
    /// # Errors
    /// Where nothing at all could be seen. What was seen in part is an observation with gaps in its coverage.
    fn observe<'a>(
        &'a self,
        scope: &'a Scope,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Observation, ProviderError>>;

    /// Resolves when something here may have changed since the last call: pushed by the system, or found by a cheap
    /// poll. The first call after a start, or after sight was lost, answers [`Changes::Anything`].
    ///
    /// # Errors
    /// Where the system could not be asked; the caller looks at everything and asks again.
    fn changed<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Result<Changes, ProviderError>>;

    /// Carries out these steps, in this order, and stops at the first that is not done. One answer for each step that
    /// was looked at.
    fn apply<'a>(&'a self, steps: &'a [Step], ctx: &'a Ctx) -> BoxFuture<'a, Vec<Applied>>;

    /// Whether identity, rights, licences and reachability are as needed, one line for each, for `preflight`.
    fn preflight<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Vec<Checked>>;

    /// What the system keeps of how it was before, the newest first; nothing where it keeps none.
    ///
    /// # Errors
    /// Where it cannot be told.
    fn records<'a>(&'a self, _ctx: &'a Ctx) -> BoxFuture<'a, Result<Vec<Record>, ProviderError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// What the record with this id says of a tenant: all of its things here as they were then. Never writes, and says
    /// nothing of others.
    ///
    /// # Errors
    /// Where it cannot be read completely.
    fn recorded<'a>(
        &'a self,
        _record: &'a str,
        _tenant: &'a TenantName,
        _ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Recorded, ProviderError>> {
        Box::pin(async {
            Err(ProviderError::Refused("this system keeps no record of how it was".to_owned()))
        })
    }

    /// What this provider gives out of the servers that it runs; nothing where it runs none, or cannot.
    fn exports(&self) -> Option<&dyn Exports> {
        None
    }

    /// What this provider makes anew from a backup; nothing where it runs no servers, or cannot.
    fn imports(&self) -> Option<&dyn Imports> {
        None
    }

    /// What carries out the work that [`Domain::due`] names; nothing where it never names any.
    fn transfers(&self) -> Option<&dyn Transfers> {
        None
    }

    /// Takes or renews our claim as the one writer of this system, until `ttl` from now.
    ///
    /// # Errors
    /// [`ProviderError::Claimed`] where a living claim of another is there.
    fn claim<'a>(&'a self, claim: &'a Claim, ctx: &'a Ctx) -> BoxFuture<'a, Result<(), ProviderError>>;
}

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Changes {
    /// Things of these tenants.
    Tenants(BTreeSet<TenantName>),
    /// Anything: only a full sweep tells.
    Anything,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// It is done.
    Done,
    /// The system works on it; the next observation tells how far.
    Started {
        /// What the system calls the operation, for people.
        operation: String,
    },
    /// It was not sent, because what it expects was not there any more or because the permit was refused.
    NotSent(String),
    /// It was sent and no answer was read. The next observation tells.
    Unknown(String),
    /// It was refused or failed.
    Failed(ProviderError),
}

impl Applied {
    /// Whether anything may have changed by it.
    pub fn may_have_changed(&self) -> bool {
        match self {
            Self::Done | Self::Started { .. } | Self::Unknown(_) => true,
            Self::Failed(error) => error.left() == Left::Unknown,
            Self::NotSent(_) => false,
        }
    }
}

/// Carries out steps one after the other, for a system without transactions: the first that is not done ends it.
pub async fn one_by_one<'a, F: Future<Output = Applied>>(
    steps: &'a [Step],
    carry_out: impl Fn(&'a Step) -> F,
) -> Vec<Applied> {
    let mut outcomes = Vec::new();
    for step in steps {
        let applied = carry_out(step).await;
        let is_done = applied == Applied::Done;
        outcomes.push(applied);
        if !is_done {
            break;
        }
    }
    outcomes
}

/// One line of `preflight`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What was checked, such as `identity`.
    pub what: String,
    /// What was found, or what is wrong and what would help.
    pub result: Result<String, String>,
}

impl Checked {
    /// A line.
    pub fn new(what: &str, result: Result<String, String>) -> Self {
        Self { what: what.to_owned(), result }
    }
}
