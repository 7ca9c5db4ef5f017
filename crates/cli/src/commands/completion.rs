//! `vertskommune completion`: completion for a shell.

use clap::Args;
use clap_complete::Shell;

use crate::arguments::Cli;
use crate::exit::Exit;
use crate::output;
use crate::program::{Called, PLUGIN};

/// Writes the completion for a shell, such as `source <(vertskommune completion bash)`
///
/// For `kubectl vertskommune`, kubectl's own completion does it: put a link to this program named
/// kubectl_complete-vertskommune beside kubectl-vertskommune, somewhere in PATH.
#[derive(Args)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        // Into memory first, because the generator panics where a reader goes away.
        let mut script = Vec::new();
        let called = Called::now();
        // kubectl completes its plugins by a program of its own; a shell can complete the plugin's file by its name.
        let name = if called == Called::Plugin { PLUGIN } else { called.name() };
        clap_complete::generate(self.shell, &mut Cli::command_as(called), name, &mut script);
        output::write(|out| out.write_all(&script))?;
        Ok(Exit::Success)
    }
}
