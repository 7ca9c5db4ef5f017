//! `vertskommune completion`: completion for a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Cli;
use crate::exit::Exit;
use crate::output;

/// Writes the completion for a shell, such as `source <(vertskommune completion bash)`
#[derive(Args)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        // Into memory first, because the generator panics where a reader goes away.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "vertskommune", &mut script);
        output::write(|out| out.write_all(&script))?;
        Ok(Exit::Success)
    }
}
