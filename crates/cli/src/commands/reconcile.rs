//! `vertskommune reconcile`: asks the controller to look at a tenant now.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, value_parser};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, sleep};
use vertskommune_api::conditions::{READY, find};
use vertskommune_api::{BACKUP_AFTER, REQUESTED_AT, Tenant};
use vertskommune_controller::Cluster;
use vertskommune_core::names::TenantName;

use crate::arguments::InCluster;
use crate::embedded;
use crate::exit::Exit;
use crate::{output, program, progress};

/// How often the answer is asked for.
const BEAT: Duration = Duration::from_millis(250);

/// Asks the controller to look at a tenant now, and waits until it has
///
/// It sets the annotation `reconcile.fluxcd.io/requestedAt`, as `flux reconcile` does, and waits for the controller's
/// answer, `status.lastHandledReconcileAt`. What the tenant then waits for tells `vertskommune why`. With `--backup` it sets
/// `vertskommune.no/backup-after` as well: the controller takes a backup and a proof that are younger than that.
#[derive(Args)]
pub(crate) struct Reconcile {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    #[command(flatten)]
    cluster: InCluster,
    /// Have its servers backed up and the backups proven now, whatever is due
    #[arg(long)]
    backup: bool,
    /// Ask, and do not wait for the answer
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the answer; in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = value_parser!(u64).range(1..))]
    timeout: u64,
}

impl Reconcile {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        embedded::block_on(self.reconcile())
    }

    async fn reconcile(&self) -> anyhow::Result<Exit> {
        let name = self.tenant.as_str();
        let cluster = self.cluster.access.connect().await?;
        let now = Timestamp::now();
        let asked = now.to_string();
        let mut patch = json!({"metadata": {"annotations": {REQUESTED_AT: asked}}});
        if self.backup {
            // Runs and proofs are known by the second in which they began: one of this second may have begun before us.
            let second = Timestamp::from_second(now.as_second() + 1)?;
            patch["metadata"]["annotations"][BACKUP_AFTER] = json!(second.to_string());
        }
        cluster.change(name, |_| Some(patch.clone())).await?;
        if self.no_wait {
            output::write(|out| writeln!(out, "tenant {name}: asked for at {asked}"))?;
            return Ok(Exit::Success);
        }
        let answered = self.answer(&cluster, &asked).await;
        progress::clear();
        let tenant = answered?;
        let conditions =
            tenant.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let line = find(conditions, READY).map_or_else(
            || "answered".to_owned(),
            |ready| format!("Ready is {}: {}", ready.status, ready.message),
        );
        output::write(|out| writeln!(out, "tenant {name}: {line}"))?;
        Ok(Exit::Success)
    }

    /// Waits for the answer, and shows meanwhile what the status says.
    async fn answer(&self, cluster: &Cluster, asked: &str) -> anyhow::Result<Tenant> {
        let name = self.tenant.as_str();
        let begun = Instant::now();
        loop {
            let tenant = super::tenant(cluster, name).await?;
            let status = tenant.status.clone().unwrap_or_default();
            if status.last_handled_reconcile_at.as_deref() == Some(asked) {
                return Ok(tenant);
            }
            let waited = begun.elapsed().as_secs();
            if waited >= self.timeout {
                let namespace = &self.cluster.namespace.namespace;
                bail!(
                    "the controller has not answered within {waited} s: see whether one leads (kubectl -n {namespace} get \
                     lease vertskommune) and what it says, and {} why {name}",
                    program::name()
                );
            }
            let message = status.message.unwrap_or_else(|| "no status yet".to_owned());
            progress::show(format!("waiting for the controller … {waited} s  {message}"));
            sleep(BEAT).await;
        }
    }
}
