//! `vertskommune history`: what has happened to a tenant.

use clap::Args;
use jiff::Timestamp;
use vertskommune_api::history;
use vertskommune_core::names::TenantName;

use crate::arguments::{Format, Global, InCluster};
use crate::embedded;
use crate::exit::Exit;
use crate::output;

/// Shows what has happened to a tenant, oldest first
///
/// That is the cluster's events, which an API server keeps for an hour unless it is told otherwise, and what the status
/// keeps: since when each condition holds, the last change, backup and proof.
#[derive(Args)]
pub(crate) struct History {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    #[command(flatten)]
    cluster: InCluster,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl History {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.history(global))
    }

    async fn history(&self, global: &Global) -> anyhow::Result<Exit> {
        let name = self.tenant.as_str();
        let (cluster, tenant) = super::find(&self.cluster, name).await?;
        let history = history::history(&tenant, cluster.events(&tenant).await?);
        match self.output {
            Format::Json => output::json(&history)?,
            Format::Text => {
                let text = history::text(&history, Timestamp::now(), global.color.on(&std::io::stdout()));
                output::write(|out| out.write_all(text.as_bytes()))?;
            }
        }
        Ok(Exit::Success)
    }
}
