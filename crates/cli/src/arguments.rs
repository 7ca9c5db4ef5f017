//! What all commands have in common on their command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, ValueEnum};
use vertskommune_core::names::{Installation, is_label};

use crate::color::ColorChoice;
use crate::commands::Command;
use crate::logs::LogFormat;

/// Brings a municipality onto its host's infrastructure, from one reviewed file.
#[derive(Parser)]
#[command(name = "vertskommune", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line. Help and mistakes are printed, and how the program ends then is given: a mistake with 1,
    /// since 2 says that a plan has changes.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // Where nothing can be printed, the number must do.
            let _ = error.print();
            if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        })
    }
}

#[derive(Args)]
pub(crate) struct Global {
    /// More logs: once for what is done, twice for how, three times for everything. `RUST_LOG` overrides it
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// How logs are written, to standard error
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    pub(crate) log_format: LogFormat,
    /// When to use colours; `auto` is on a terminal, unless `NO_COLOR` is set
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    pub(crate) color: ColorChoice,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Where manifests and secrets are read from.
#[derive(Args)]
pub(crate) struct Source {
    /// Manifests of the tenants and of the host: files, or folders with all that is below them
    #[arg(short, long = "file", value_name = "PATH", default_value = "tenants")]
    pub(crate) files: Vec<PathBuf>,
    /// Read Tenants, HostProviders and Secrets from the cluster of the current kubeconfig instead
    #[arg(long, conflicts_with_all = ["files", "secrets"])]
    pub(crate) cluster: bool,
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Folder with a folder for each secret and a file for each of its entries
    #[arg(long, value_name = "DIR", env = "VERTSKOMMUNE_SECRETS", default_value = "secrets")]
    pub(crate) secrets: PathBuf,
    #[command(flatten)]
    pub(crate) installation: InstallationName,
}

/// Where the controller lives in a cluster.
#[derive(Args)]
pub(crate) struct Namespace {
    /// Namespace of the controller, with the Secrets that HostProviders name
    #[arg(
        long = "namespace",
        value_name = "NAME",
        env = "POD_NAMESPACE",
        default_value = "vertskommune-system"
    )]
    pub(crate) namespace: String,
}

/// What stands in every mark.
#[derive(Args)]
pub(crate) struct InstallationName {
    /// Name of this installation, which stands in the mark of every real thing. Never change it
    #[arg(long, value_name = "NAME", env = "VERTSKOMMUNE_INSTALLATION", value_parser = installation)]
    pub(crate) installation: Installation,
}

/// A DNS label, so that a mark reads back exactly.
fn installation(text: &str) -> Result<Installation, String> {
    if text.len() <= 32 && is_label(text) {
        Ok(Installation::from(text))
    } else {
        Err("write at most 32 lower-case letters, digits and hyphens".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_fit_together() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn an_installation_is_a_label() {
        assert!(super::installation("nord-1").is_ok());
        for wrong in ["", "Nord", "a/b", "-nord", "nord-", &"n".repeat(33)] {
            assert!(super::installation(wrong).is_err(), "{wrong:?}");
        }
    }
}
