//! What a provider of servers gives out of them to one that backs them up, so that neither knows the other.

use std::io::Read;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use vertskommune_core::backup::facts::Obstacle;
use vertskommune_core::names::TenantName;

use crate::{Ctx, ProviderError};

/// Gives out the disks of servers, as they are at one moment.
pub trait Exports: Send + Sync {
    /// Brings a server to rest, holds that moment fast, and opens it. Whatever is made for it carries our mark, and is gone
    /// when the export was [closed](Export::close).
    ///
    /// # Errors
    /// [`ExportError::Hindered`] where nothing of the server can be given out as it is. Nothing is left behind then.
    fn export<'a>(
        &'a self,
        wanted: &'a Wanted,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Export>, ExportError>>;

    /// Removes what exports of this tenant left that are no more, as after a crash, and says how much it was. What belongs
    /// to an export that is open in this process stays; there is no other process, by our claim. It logs what it removed, of
    /// which server: whoever asks has nothing to add.
    ///
    /// # Errors
    /// Something may be left.
    fn tidy<'a>(
        &'a self,
        tenant: &'a TenantName,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<usize, ProviderError>>;
}

/// The server that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Whose it is.
    pub tenant: TenantName,
    /// Its name in the manifest.
    pub server: String,
    /// What it is for, by which what is made for it can be told apart: a run's id.
    pub run: String,
}

/// A server as it was at one moment. Dropped without being closed, it is closed in the background as far as that goes, and
/// [`Exports::tidy`] finds the rest.
pub trait Export: Send + Sync {
    /// What is needed to make the server anew, for people and for a restore. Holds no secret.
    fn configuration(&self) -> &Json;

    /// The disks that can be read.
    fn disks(&self) -> &[ExportedDisk];

    /// Those that cannot, and why.
    fn obstacles(&self) -> &[Obstacle];

    /// Opens a disk: its raw bytes, exactly as many as it has. Blocking: read it outside of asynchronous code. Bytes that
    /// did not all arrive end with an error and never with an end.
    fn read<'a>(&'a self, disk: &'a str) -> BoxFuture<'a, Result<Box<dyn Read + Send>, ProviderError>>;

    /// Ends it and removes what was made for it. `whole` says whether all was read that was wanted.
    ///
    /// # Errors
    /// Something may be left, which [`Exports::tidy`] finds.
    fn close(self: Box<Self>, whole: bool) -> BoxFuture<'static, Result<(), ProviderError>>;
}

/// A disk of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedDisk {
    /// Its name in the manifest; `system`, `system-2` and so on for those of the template, in the machine's order.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// Why a server is not given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ExportError {
    /// It cannot be given out as it is, for these reasons; trying again soon helps only where they pass.
    #[error("{}", .0.iter().map(|it| it.why.to_string()).collect::<Vec<_>>().join("; "))]
    Hindered(Vec<Obstacle>),
    /// The call failed.
    #[error(transparent)]
    Failed(#[from] ProviderError),
}
