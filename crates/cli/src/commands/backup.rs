//! `vertskommune backup`: backups in the second server room.

mod agent;
mod keeper;
mod pipe;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// Backups in the second server room
#[derive(Args)]
pub(crate) struct Backup {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Agent(agent::Agent),
    Keeper(keeper::Keeper),
    Pipe(pipe::Pipe),
}

impl Backup {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        match &self.command {
            Command::Agent(agent) => agent.run(),
            Command::Keeper(keeper) => keeper.run(),
            Command::Pipe(pipe) => pipe.run(),
        }
    }
}
