//! The commands, one file each.

mod agent;
mod apply;
mod backup;
mod completion;
mod controller;
mod crd;
mod firewall;
mod plan;
mod preflight;
mod ruleset;
mod validate;

use clap::Subcommand;

use crate::arguments::Cli;
use crate::exit::Exit;

#[derive(Subcommand)]
pub(crate) enum Command {
    Validate(validate::Validate),
    Preflight(preflight::Preflight),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Firewall(firewall::Firewall),
    Backup(backup::Backup),
    Agent(agent::Agent),
    Ruleset(ruleset::Ruleset),
    Crd(crd::Crd),
    Controller(controller::Controller),
    Completion(completion::Completion),
}

impl Command {
    /// Whether it runs until it is stopped.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Self::Controller(_))
    }
}

/// Runs the command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { global, command } = cli;
    match command {
        Command::Validate(validate) => validate.run(),
        Command::Preflight(preflight) => preflight.run(&global),
        Command::Plan(plan) => plan.run(&global),
        Command::Apply(apply) => apply.run(&global),
        Command::Firewall(firewall) => firewall.run(&global),
        Command::Backup(backup) => backup.run(),
        Command::Agent(agent) => agent.run(),
        Command::Ruleset(ruleset) => ruleset.run(&global),
        Command::Crd(crd) => crd.run(),
        Command::Controller(controller) => controller.run(),
        Command::Completion(completion) => completion.run(),
    }
}
