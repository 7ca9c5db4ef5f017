//! `vertskommune backup`: backups in the second server room.

mod keeper;

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
    Keeper(keeper::Keeper),
}

impl Backup {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        match &self.command {
            Command::Keeper(keeper) => keeper.run(),
        }
    }
}
