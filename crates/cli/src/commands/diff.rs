//! `vertskommune diff`: what the controller of a cluster would change, now or if files were applied there.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use vertskommune_core::names::TenantName;
use vertskommune_provider::context::Never;

use super::plan::{Report, exit};
use crate::arguments::{Format, Global, InCluster, MaybeInstallation};
use crate::carrying_out::show;
use crate::embedded::{self, Embedded};
use crate::exit::Exit;
use crate::plugins::plugins;
use crate::saved_plan::SavedPlan;
use crate::{manifests, output};

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
        let namespace = &self.cluster.namespace.namespace;
        let over = (!self.files.is_empty()).then(|| manifests::files(&self.files)).transpose()?;
        let cluster = self.cluster.access.connect().await?;
        let installation = self.installation.find(&cluster, namespace).await?;
        let ground = embedded::read_cluster(&cluster, namespace, over).await?;
        let embedded = Embedded::new(ground, &installation, Arc::new(Never), plugins());
        embedded.show_problems();
        let tenants = embedded.choose(&self.tenants)?;
        embedded.observe().await;
        let saved = SavedPlan::new(&embedded.installation, embedded.plans(&tenants));
        match self.output {
            Format::Json => output::json(&Report { plan: &saved, problems: &embedded.problems })?,
            Format::Text => show(&saved.tenants, global)?,
        }
        Ok(exit(&saved.tenants, &embedded.problems))
    }
}
