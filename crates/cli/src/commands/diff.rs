//! `vertskommune diff`: what the controller of a cluster would change, now or if files were applied there.

use std::path::PathBuf;

use clap::Args;
use vertskommune_core::names::TenantName;

use super::plan::{exit, show_plans};
use crate::arguments::{Format, Global, InCluster, MaybeInstallation};
use crate::embedded::{self, Embedded};
use crate::exit::Exit;
use crate::manifests;

/// Shows what the controller would change, now or if files were applied
///
/// It is `plan --cluster`, and with `-f` what that would say if these files were applied to the cluster first: the objects
/// in them take the place of the cluster's, and all else (other tenants, HostProviders, Secrets) stays the cluster's. `plan`
/// without `--cluster` knows nothing but its files. Ends as `plan` does.
#[derive(Args)]
pub(crate) struct Diff {
    /// The tenants; all where none is named
    #[arg(value_name = "TENANT")]
    tenants: Vec<TenantName>,
    /// Manifests to be laid over those of the cluster: files, or folders with all that is below them
    #[arg(short, long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    cluster: InCluster,
    #[command(flatten)]
    installation: MaybeInstallation,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl Diff {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.diff(global))
    }

    async fn diff(&self, global: &Global) -> anyhow::Result<Exit> {
        let over = (!self.files.is_empty()).then(|| manifests::files(&self.files)).transpose()?;
        let embedded = Embedded::in_cluster(&self.cluster, &self.installation, over).await?;
        let saved = show_plans(&embedded, &self.tenants, self.output, global).await?;
        Ok(exit(&saved.tenants, &embedded.problems))
    }
}
