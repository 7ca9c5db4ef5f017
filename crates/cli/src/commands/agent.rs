//! `vertskommune agent`: the directory agents on domain controllers.

mod install;
mod put;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// The agents on domain controllers, by which trusts are made and looked at
#[derive(Args)]
pub(crate) struct Agent {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Install(install::Install),
}

impl Agent {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        match &self.command {
            Command::Install(install) => install.run(),
        }
    }
}
