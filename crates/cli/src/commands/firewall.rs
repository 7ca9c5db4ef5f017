//! `vertskommune firewall`: what the firewall keeps of how it was, and the way back there for one tenant.

mod revisions;
mod rollback;

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::plan::Plan;
use vertskommune_core::schema::Concern;
use vertskommune_provider::{Permit, Record};

use crate::arguments::{Global, Source};
use crate::embedded::{self, Embedded};
use crate::exit::Exit;
use crate::plugins::plugins;
use crate::progress;

/// Shows what the firewall keeps of how it was, and brings one tenant's part of it back
#[derive(Args)]
pub(crate) struct Firewall {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Revisions(revisions::Revisions),
    Rollback(rollback::Rollback),
}

impl Firewall {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(async {
            match &self.command {
                Command::Revisions(revisions) => revisions.list(global).await,
                Command::Rollback(rollback) => rollback.roll_back(global).await,
            }
        })
    }
}

/// Whose firewall.
#[derive(Args)]
struct Whose {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    /// The firewall's HostProvider; that of the tenant's manifest, or the only firewall there is
    #[arg(long, value_name = "HOSTPROVIDER")]
    provider: Option<ProviderName>,
    #[command(flatten)]
    source: Source,
}

/// A tenant's firewall as it is, and what its device keeps of how it was.
struct Kept {
    embedded: Embedded,
    tenant: TenantName,
    provider: ProviderName,
    /// Whether the tenant's manifest says that nothing is to be done.
    suspended: bool,
    /// The newest first.
    records: Vec<Record>,
}

/// What a revision says of the tenant, against how it is now.
struct Compared {
    /// The way back.
    plan: Plan,
    /// Whether the revision has anything of the tenant at all.
    has_any: bool,
}

impl Compared {
    fn differs(&self) -> bool {
        !self.plan.steps.is_empty() || !self.plan.refusals.is_empty()
    }
}

impl Whose {
    /// Looks at the firewall alone: what else is wrong is no reason to wait.
    async fn look(&self, permit: Arc<dyn Permit>) -> anyhow::Result<Kept> {
        let ground = embedded::read(&self.source).await?;
        let embedded = Embedded::new(ground, &self.source.installation.installation, permit, plugins());
        embedded.show_problems();
        embedded.choose(std::slice::from_ref(&self.tenant))?;
        let tenant = self.tenant.clone();
        ensure!(
            !embedded.world.is_leaving(&tenant),
            "the manifest of {tenant} is being deleted: what becomes of its firewall, its deletionPolicy says"
        );
        let provider = self.provider(&embedded)?;
        let looking = embedded.engine.observe_one(&provider, &embedded.world);
        progress::during(&format!("observing {provider}"), looking).await;
        let listing = embedded.engine.records(&provider);
        let records = progress::during(&format!("listing the revisions of {provider}"), listing).await;
        let records = records.with_context(|| format!("the revisions of {provider} cannot be listed"))?;
        let suspended = embedded.world.tenant(&tenant).is_some_and(|tenant| tenant.suspend);
        Ok(Kept { embedded, tenant, provider, suspended, records })
    }

    fn provider(&self, embedded: &Embedded) -> anyhow::Result<ProviderName> {
        let is_firewall = |name: &ProviderName| embedded.engine.concern(name) == Some(Concern::Firewall);
        let tenant = embedded.world.tenant(&self.tenant);
        let named = tenant.and_then(|tenant| Some(&tenant.firewall.as_ref()?.provider));
        if let Some(provider) = self.provider.as_ref().or(named) {
            ensure!(is_firewall(provider), "there is no HostProvider {provider} that is a firewall");
            return Ok(provider.clone());
        }
        let all: Vec<&ProviderName> =
            embedded.world.hosts().keys().filter(|name| is_firewall(name)).collect();
        match all.as_slice() {
            [one] => Ok((*one).clone()),
            [] => bail!("there is no HostProvider that is a firewall"),
            several => {
                let known: Vec<_> = several.iter().map(|name| name.as_str()).collect();
                bail!("name the firewall with --provider: there is {}", known.join(", "))
            }
        }
    }
}

impl Kept {
    /// What a revision says of the tenant. From then on it is what the tenant is to be, in the place of its manifest.
    async fn compare(&mut self, record: &str) -> anyhow::Result<Compared> {
        let reading = self.embedded.engine.recorded(&self.provider, record, &self.tenant);
        let recorded = progress::during(&format!("reading revision {record}"), reading).await?;
        let has_any = !recorded.resources.is_empty();
        self.embedded.world.roll_back(&self.tenant, &self.provider, recorded);
        let plan = self.embedded.plan(&self.tenant).context("the tenant is gone")?;
        if let Some(doubt) = plan.doubts.first() {
            bail!(
                "how {} is on {} cannot be told: {}: {}",
                self.tenant,
                self.provider,
                doubt.id.key,
                doubt.why
            );
        }
        Ok(Compared { plan, has_any })
    }
}
