//! `vertskommune controller`: starts the controller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use vertskommune_controller::Config;

use crate::arguments::{InstallationName, Namespace};
use crate::embedded::{block_on, machine};
use crate::exit::Exit;
use crate::plugins::plugins;

/// Runs the controller: watches a cluster's Tenants and converges the real systems toward them
#[derive(Args)]
pub(crate) struct Controller {
    #[command(flatten)]
    installation: InstallationName,
    #[command(flatten)]
    namespace: Namespace,
    /// Name of this process in the leader lease, different for each replica; the name of the machine by default
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
    /// Who holds our claim in the real systems, the same for all replicas; the cluster by default
    #[arg(long, value_name = "NAME")]
    holder: Option<String>,
    /// Folder with a folder for each Secret that is mounted; what is not there is read in the cluster
    #[arg(long, value_name = "DIR", env = "VERTSKOMMUNE_SECRETS")]
    secrets: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, value_name = "ADDRESS", env = "VERTSKOMMUNE_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// How many tenants are reconciled at once
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = value_parser!(u16).range(1..))]
    concurrency: u16,
    /// How often everything is looked at, to check on what noticed changes; in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = value_parser!(u64).range(1..))]
    sweep: u64,
    /// How long what is under way may take when the process is asked to stop; in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    grace: u64,
}

impl Controller {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let identity = self.identity.unwrap_or_else(machine);
        let config = Config {
            holder: self.holder,
            secrets: self.secrets,
            listen: Some(self.listen),
            concurrency: self.concurrency,
            sweep: Duration::from_secs(self.sweep),
            grace: Duration::from_secs(self.grace),
            ..Config::new(self.installation.installation, self.namespace.namespace, identity)
        };
        block_on(async { Ok(vertskommune_controller::run(config, plugins()).await?) })?;
        Ok(Exit::Success)
    }
}
