//! `vertskommune tree`: all real things of a tenant, with the state of each.

use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::Args;
use vertskommune_core::names::TenantName;
use vertskommune_core::tree;

use crate::arguments::{Format, Global, InCluster, MaybeInstallation};
use crate::embedded::{self, Embedded};
use crate::exit::Exit;
use crate::output;

/// Shows all real things of a tenant by provider, with the state of each, and changes nothing
///
/// It looks at the real systems and plans as `plan --cluster` does. Ends with 0 where all is as wanted, with 2 where
/// something is not, and with 1 where a manifest is refused.
#[derive(Args)]
pub(crate) struct Tree {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    #[command(flatten)]
    cluster: InCluster,
    #[command(flatten)]
    installation: MaybeInstallation,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl Tree {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.tree(global))
    }

    async fn tree(&self, global: &Global) -> anyhow::Result<Exit> {
        let embedded = Embedded::in_cluster(&self.cluster, &self.installation, None).await?;
        embedded.show_problems();
        let tenants: BTreeSet<_> = embedded.choose(std::slice::from_ref(&self.tenant))?;
        embedded.observe().await;
        let plan = tenants.first().and_then(|tenant| embedded.plan(tenant));
        let plan = plan.with_context(|| super::no_tenant(self.tenant.as_str()))?;
        let engine = &embedded.engine;
        let tree = tree::tree(&plan, &engine.observations(), &|provider| engine.concern(provider));
        match self.output {
            Format::Json => output::json(&tree)?,
            Format::Text => {
                let text = tree::text(&tree, global.color.on(&std::io::stdout()));
                output::write(|out| out.write_all(text.as_bytes()))?;
            }
        }
        Ok(if tree.is_as_wanted() { Exit::Success } else { Exit::Changes })
    }
}
