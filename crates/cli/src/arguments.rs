//! What all commands have in common on their command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::StyledStr;
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use vertskommune_controller::{Access, Cluster};
use vertskommune_core::names::{Installation, is_label};

use crate::color::ColorChoice;
use crate::commands::Command;
use crate::logs::LogFormat;
use crate::program::Called;
use crate::progress;

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
    pub(crate) fn read(called: Called) -> Result<Self, ExitCode> {
        let mut command = Self::command_as(called);
        let matches = command.try_get_matches_from_mut(std::env::args_os());
        let read = matches.and_then(|mut matches| {
            Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
        });
        read.map_err(|error| {
            // Where nothing can be printed, the number must do.
            let _ = error.print();
            if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        })
    }

    /// The command line with its help, which names the program as the person has called it.
    pub(crate) fn command_as(called: Called) -> clap::Command {
        match called {
            Called::Itself => Self::command(),
            Called::Plugin | Called::Completer => {
                renamed(Self::command(), called.name()).bin_name(called.name())
            }
        }
    }
}

/// The same with this name wherever the help writes a command.
fn renamed(command: clap::Command, name: &str) -> clap::Command {
    let rewritten = |text: Option<&StyledStr>| -> Option<String> {
        let text = text?.to_string();
        let changed = text
            .replace("`vertskommune ", &format!("`{name} "))
            .replace("(vertskommune ", &format!("({name} "));
        (changed != text).then_some(changed)
    };
    let (about, long) = (rewritten(command.get_about()), rewritten(command.get_long_about()));
    let mut command = command;
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(long) = long {
        command = command.long_about(long);
    }
    command
        .mut_args(|argument| match (rewritten(argument.get_help()), rewritten(argument.get_long_help())) {
            (None, None) => argument,
            (Some(help), None) => argument.help(help),
            (None, Some(long)) => argument.long_help(long),
            (Some(help), Some(long)) => argument.help(help).long_help(long),
        })
        .mut_subcommands(|below| renamed(below, name))
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
    pub(crate) access: ClusterAccess,
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
        short = 'n',
        long = "namespace",
        value_name = "NAME",
        env = "POD_NAMESPACE",
        default_value = "vertskommune-system"
    )]
    pub(crate) namespace: String,
}

/// Which cluster, as all that kubectl runs is told it.
#[derive(Args)]
pub(crate) struct ClusterAccess {
    /// Context of the kubeconfig; the current one by default
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,
    /// Kubeconfig of the cluster; KUBECONFIG or ~/.kube/config by default
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
}

impl ClusterAccess {
    /// Whether one of the two is named.
    pub(crate) fn is_named(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
    }

    /// The way to the cluster.
    pub(crate) async fn connect(&self) -> anyhow::Result<Cluster> {
        let access = Access { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        Ok(progress::during("finding the cluster", Cluster::connect(&access)).await?)
    }
}

/// The cluster of a controller, for the commands that ask or change what stands there.
#[derive(Args)]
pub(crate) struct InCluster {
    #[command(flatten)]
    pub(crate) access: ClusterAccess,
    #[command(flatten)]
    pub(crate) namespace: Namespace,
}

/// What stands in every mark, where the cluster can tell it.
#[derive(Args)]
pub(crate) struct MaybeInstallation {
    /// Name of this installation; that of the cluster's controller by default
    #[arg(long, value_name = "NAME", env = "VERTSKOMMUNE_INSTALLATION", value_parser = installation)]
    installation: Option<Installation>,
}

impl MaybeInstallation {
    /// The one that is named, or that of the controller in the cluster.
    pub(crate) async fn find(&self, cluster: &Cluster, namespace: &str) -> anyhow::Result<Installation> {
        if let Some(installation) = &self.installation {
            return Ok(installation.clone());
        }
        // Whoever may not read Deployments can still say it.
        let told = cluster.installation(namespace).await.ok().flatten();
        told.with_context(|| {
            format!(
                "the Deployment vertskommune in namespace {namespace} does not tell the name of this installation: set \
                 --installation or VERTSKOMMUNE_INSTALLATION"
            )
        })
    }
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
    fn kubectl_s_plugin_is_called_by_kubectl_s_name_everywhere() {
        use crate::program::Called;
        fn help(command: &mut clap::Command) -> String {
            let mut text = command.render_long_help().to_string();
            for below in command.get_subcommands_mut() {
                text += &help(below);
            }
            text
        }
        let mut command = super::Cli::command_as(Called::Plugin);
        command.build();
        let text = help(&mut command);
        assert!(text.contains("Usage: kubectl vertskommune why [OPTIONS] <TENANT>"), "{text}");
        let left = text
            .lines()
            .filter(|line| line.contains("`vertskommune ") || line.contains("Usage: vertskommune"));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(
            help(&mut super::Cli::command_as(Called::Itself)).contains("`vertskommune "),
            "by its own name else"
        );
    }

    #[test]
    fn an_installation_is_a_label() {
        assert!(super::installation("nord-1").is_ok());
        for wrong in ["", "Nord", "a/b", "-nord", "nord-", &"n".repeat(33)] {
            assert!(super::installation(wrong).is_err(), "{wrong:?}");
        }
    }
}
