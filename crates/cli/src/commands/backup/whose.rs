//! Whose backups, and where they lie.

use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::Args;
use jiff::Timestamp;
use vertskommune_core::backup::Backup;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::schema::Concern;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::{Transfer, Work};
use vertskommune_provider::Permit;
use vertskommune_provider::context::Always;

use crate::arguments::Source;
use crate::carrying_out::Writer;
use crate::embedded::{self, Embedded};
use crate::exit::Exit;
use crate::plugins::plugins;
use crate::{moving, output};

/// A tenant that has a manifest.
#[derive(Args)]
pub(super) struct Asked {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    writer: Writer,
}

/// A tenant whose manifest may be gone.
#[derive(Args)]
pub(super) struct Whose {
    /// The tenant; its manifest need not be there any more
    #[arg(value_name = "TENANT")]
    pub(super) tenant: TenantName,
    /// The HostProvider that has its backups; that of the tenant's manifest, or the only one for backups that there is
    #[arg(long, value_name = "HOSTPROVIDER")]
    provider: Option<ProviderName>,
    #[command(flatten)]
    source: Source,
}

/// A tenant's manifest, with an engine that has looked at everything.
pub(super) struct Wanted {
    pub(super) embedded: Embedded,
    pub(super) tenant: ValidatedTenant,
    pub(super) backup: Backup,
}

impl Asked {
    /// Looks at everything.
    pub(super) async fn look(&self) -> anyhow::Result<Wanted> {
        let ground = embedded::read(&self.source).await?;
        let installation = &self.source.installation.installation;
        let embedded = Embedded::new(ground, installation, Arc::new(Always), plugins());
        embedded.show_problems();
        embedded.choose(std::slice::from_ref(&self.tenant))?;
        let Some(tenant) = embedded.world.tenant(&self.tenant).cloned() else {
            bail!("there is no tenant {}", self.tenant);
        };
        let Some(backup) = tenant.backup.clone() else {
            bail!("the manifest of {} asks for no backup: give it spec.backup", self.tenant);
        };
        embedded.observe().await;
        Ok(Wanted { embedded, tenant, backup })
    }

    /// Carries these out, and tells whether the tenant is protected then.
    pub(super) async fn carry_out(
        &self,
        wanted: &Wanted,
        works: Vec<(String, Work)>,
    ) -> anyhow::Result<Exit> {
        let transfer = |(server, work)| Transfer {
            due: Timestamp::now(),
            provider: wanted.backup.provider.clone(),
            tenant: self.tenant.clone(),
            server,
            work,
        };
        let transfers: Vec<Transfer> = works.into_iter().map(transfer).collect();
        for transfer in &transfers {
            // Before anything is begun: a person can mend it now, and not at three in the morning.
            wanted.embedded.engine.held(&wanted.embedded.world, transfer)?;
        }
        let exit = moving::carry_out(&wanted.embedded, &self.writer, transfers).await?;
        let report = wanted.embedded.plan(&self.tenant).and_then(|plan| plan.backup);
        output::write(|out| match &report {
            Some(report) if report.problems.is_empty() => {
                writeln!(out, "tenant {}  every server has a fresh, proven backup", self.tenant)
            }
            Some(report) => writeln!(out, "tenant {}  {}", self.tenant, report.line()),
            None => Ok(()),
        })?;
        Ok(exit)
    }
}

impl Whose {
    /// Reads the manifests, and looks at nothing: what is wrong elsewhere is no reason to wait for a restore.
    pub(super) async fn read(&self, permit: Arc<dyn Permit>) -> anyhow::Result<(Embedded, ProviderName)> {
        let ground = embedded::read(&self.source).await?;
        let embedded = Embedded::new(ground, &self.source.installation.installation, permit, plugins());
        embedded.show_problems();
        let provider = self.provider(&embedded)?;
        Ok((embedded, provider))
    }

    fn provider(&self, embedded: &Embedded) -> anyhow::Result<ProviderName> {
        let has_backups = |name: &ProviderName| embedded.engine.concern(name) == Some(Concern::Backup);
        let tenant = embedded.world.tenant(&self.tenant);
        let named = tenant.and_then(|tenant| Some(&tenant.backup.as_ref()?.provider));
        if let Some(provider) = self.provider.as_ref().or(named) {
            ensure!(has_backups(provider), "there is no HostProvider {provider} that has backups");
            return Ok(provider.clone());
        }
        let all: Vec<&ProviderName> =
            embedded.world.hosts().keys().filter(|name| has_backups(name)).collect();
        match all.as_slice() {
            [one] => Ok((*one).clone()),
            [] => bail!("there is no HostProvider that has backups"),
            several => {
                let known: Vec<_> = several.iter().map(|name| name.as_str()).collect();
                bail!("name the second room with --provider: there is {}", known.join(", "))
            }
        }
    }
}
