//! The commands, one file each.

mod agent;
mod apply;
mod approve;
mod backup;
mod completion;
mod controller;
mod crd;
mod diff;
mod firewall;
mod history;
mod plan;
mod preflight;
mod reconcile;
mod ruleset;
mod suspend;
mod top;
mod tree;
mod validate;
mod why;

use anyhow::Context as _;
use clap::Subcommand;
use vertskommune_api::Tenant;
use vertskommune_controller::Cluster;

use crate::arguments::{Cli, InCluster};
use crate::exit::Exit;

#[derive(Subcommand)]
pub(crate) enum Command {
    Validate(validate::Validate),
    Preflight(preflight::Preflight),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Why(why::Why),
    Tree(tree::Tree),
    Diff(diff::Diff),
    History(history::History),
    Top(top::Top),
    Reconcile(reconcile::Reconcile),
    Suspend(suspend::Suspend),
    Resume(suspend::Resume),
    Approve(approve::Approve),
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
        Command::Why(why) => why.run(&global),
        Command::Tree(tree) => tree.run(&global),
        Command::Diff(diff) => diff.run(&global),
        Command::History(history) => history.run(&global),
        Command::Top(top) => top.run(&global),
        Command::Reconcile(reconcile) => reconcile.run(),
        Command::Suspend(suspend) => suspend.run(),
        Command::Resume(resume) => resume.run(),
        Command::Approve(approve) => approve.run(&global),
        Command::Firewall(firewall) => firewall.run(&global),
        Command::Backup(backup) => backup.run(),
        Command::Agent(agent) => agent.run(),
        Command::Ruleset(ruleset) => ruleset.run(&global),
        Command::Crd(crd) => crd.run(),
        Command::Controller(controller) => controller.run(),
        Command::Completion(completion) => completion.run(),
    }
}

/// The cluster, and the tenant in it that a command is about.
async fn find(cluster: &InCluster, name: &str) -> anyhow::Result<(Cluster, Tenant)> {
    let cluster = cluster.access.connect().await?;
    let tenant = tenant(&cluster, name).await?;
    Ok((cluster, tenant))
}

/// The tenant of that name, which there must be.
async fn tenant(cluster: &Cluster, name: &str) -> anyhow::Result<Tenant> {
    cluster.tenant(name).await?.with_context(|| no_tenant(name))
}

/// What is said where the cluster has no such tenant.
fn no_tenant(name: &str) -> String {
    format!("there is no tenant {name} in the cluster: kubectl get tenants lists those that there are")
}
