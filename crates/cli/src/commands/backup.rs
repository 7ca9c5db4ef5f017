//! `vertskommune backup`: backups in the second server room.

mod agent;
mod keeper;
mod list;
mod prove;
mod restore;
mod run;
mod whose;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// Takes, proves, lists and restores backups in the second server room
#[derive(Args)]
pub(crate) struct Backup {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Prove(prove::Prove),
    Restore(restore::Restore),
    List(list::List),
    Agent(agent::Agent),
    Keeper(keeper::Keeper),
}

impl Backup {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        match &self.command {
            Command::Run(run) => run.run(),
            Command::Prove(prove) => prove.run(),
            Command::Restore(restore) => restore.run(),
            Command::List(list) => list.run(),
            Command::Agent(agent) => agent.run(),
            Command::Keeper(keeper) => keeper.run(),
        }
    }
}
