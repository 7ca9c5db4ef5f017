//! What a provider of servers makes anew from a backup, so that neither knows the other.

use std::io::Write;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use vertskommune_core::names::TenantName;

use crate::exports::ExportedDisk;
use crate::{Ctx, ProviderError};

/// Makes servers as they were at one moment, beside those that are there.
pub trait Imports: Send + Sync {
    /// Makes a machine where the tenant's servers are, switched off, unplugged, and with disks that are to be
    /// [written](Import::write). It carries no mark of a server, so that no pass ever changes or removes it; but for as long
    /// as it is not whole it carries one that says so, by which what a crash has left is removed here before another is
    /// made.
    ///
    /// # Errors
    /// Something has that name, or the machine cannot be made as it was. Nothing is left behind then.
    fn import<'a>(
        &'a self,
        wanted: &'a NewServer,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Import>, ProviderError>>;
}

/// The machine that is to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewServer {
    /// Whose it is.
    pub tenant: TenantName,
    /// Its name, which nothing may have.
    pub name: String,
    /// The server that was backed up.
    pub server: String,
    /// The run's id.
    pub run: String,
    /// What [`Export::configuration`](crate::Export::configuration) told of that server.
    pub configuration: Json,
    /// The disks that it gets.
    pub disks: Vec<ExportedDisk>,
}

/// A machine that is being made. Dropped without being closed, it is removed in the background as far as that goes, and the
/// next [`Imports::import`] removes the rest.
pub trait Import: Send + Sync {
    /// What of the configuration it does without, and why; a few words for each.
    fn without(&self) -> &[String];

    /// Opens a disk for its raw bytes, exactly as many as it has. Blocking: write it outside of asynchronous code. Its
    /// `flush` after the last byte says whether all of them have arrived.
    fn write<'a>(&'a self, disk: &'a str) -> BoxFuture<'a, Result<Box<dyn Write + Send>, ProviderError>>;

    /// Ends it. The machine stays only if it is `whole`, which says that all disks were written.
    ///
    /// # Errors
    /// The machine is not there as it should be, or something of it may be left; in words that say what stands there.
    fn close(self: Box<Self>, whole: bool) -> BoxFuture<'static, Result<(), ProviderError>>;
}
