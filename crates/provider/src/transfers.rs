//! Work that moves bytes: taking backups, proving them, restoring them.
//!
//! It takes hours, so it is no step: the engine runs it beside the passes over a tenant, with a budget of its own. What was
//! moved is told by the next observation; nothing is remembered. What a crash left is found and removed by the next run.

use std::collections::BTreeMap;
use std::io::Write;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vertskommune_core::backup::facts::Proof;
use vertskommune_core::names::TenantName;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::Transfer;

use crate::exports::Exports;
use crate::imports::Imports;
use crate::{Ctx, ProviderError};

/// Carries out what is due.
pub trait Transfers: Send + Sync {
    /// Carries out one piece of work. Asks the permit before each write, and while bytes flow at least every few seconds.
    ///
    /// # Errors
    /// It was not done. What was begun is ended and removed as far as that goes; the rest is found by the next run.
    fn carry_out<'a>(
        &'a self,
        transfer: &'a Transfer,
        tenant: &'a ValidatedTenant,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Carried, ProviderError>>;

    /// Writes a disk's raw bytes as a backup has them, and says how many. Changes nothing here.
    ///
    /// # Errors
    /// There is no such backup, or its bytes are not what was sent: then `to` was given something else, and must not be used.
    fn restore<'a>(
        &'a self,
        restore: &'a Restore,
        to: Box<dyn Write + Send>,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Moved, ProviderError>>;

    /// Makes a machine anew as a run has it, by all of its disks. Changes nothing here.
    ///
    /// # Errors
    /// There is no such run, its bytes are not what was sent, or the machine could not be made. Nothing of it is left, as far
    /// as `into` can see to that.
    fn restore_server<'a>(
        &'a self,
        restore: &'a RestoreServer,
        into: &'a dyn Imports,
        around: &'a Around<'a>,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Restored, ProviderError>>;

    /// The runs of a tenant that are whole, the newest first, whether it has a manifest or not. Never writes.
    ///
    /// # Errors
    /// Where they cannot be told completely.
    fn runs<'a>(
        &'a self,
        _tenant: &'a TenantName,
        _ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Vec<Run>, ProviderError>> {
        Box::pin(async { Err(ProviderError::Refused("this system does not tell its runs".to_owned())) })
    }
}

/// What such work needs besides its own system.
pub struct Around<'a> {
    /// The servers, where the tenant's provider of them gives them out.
    pub servers: Option<&'a dyn Exports>,
    /// Takes how far it is. Called often; must return at once.
    pub progress: &'a (dyn Fn(Moved) + Send + Sync),
}

/// How much was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Bytes that were read or restored.
    pub bytes: u64,
    /// Of how many; 0 where that is not known yet.
    pub of: u64,
    /// Bytes of them that were not there yet, before they are compressed, of a backup that has ended.
    pub stored: u64,
}

/// A piece of work that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// How much was moved.
    pub moved: Moved,
    /// What a proof found damaged, in one sentence. That is no failure: it was found out and written down.
    pub damage: Option<String>,
}

impl From<Moved> for Carried {
    fn from(moved: Moved) -> Self {
        Self { moved, damage: None }
    }
}

/// The disk that is wanted back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// Whose it is. Its manifest need not be there any more.
    pub tenant: TenantName,
    /// The server's name, which may be gone.
    pub server: String,
    /// The disk's name.
    pub disk: String,
    /// The run's id; the last good one where none is named.
    pub run: Option<String>,
}

/// The server that is wanted back as a new machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreServer {
    /// Whose it is.
    pub tenant: TenantName,
    /// The server's name, which may be gone.
    pub server: String,
    /// The run's id; the last good one where none is named.
    pub run: Option<String>,
    /// The new machine's name.
    pub name: String,
}

/// A machine that was made anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The run that it was made from.
    pub run: String,
    /// How much of it.
    pub moved: Moved,
    /// What the server had and the machine has not, and why; a few words for each.
    pub without: Vec<String>,
}

/// A run that is whole: a server as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub run: String,
    /// The server's name.
    pub server: String,
    /// When it began, which is the moment that a restore brings back.
    pub begun: Timestamp,
    /// Its disks by name.
    pub disks: BTreeMap<String, RunDisk>,
}

/// A disk in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDisk {
    /// Its size, as it is restored.
    pub bytes: u64,
    /// What the last restore of it from this run showed.
    pub proof: Option<Proof>,
}
