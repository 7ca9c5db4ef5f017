//! `vertskommune why`: what a tenant waits for, and what would help.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use vertskommune_api::conditions::{READY, find};
use vertskommune_api::history::{self, Happening};
use vertskommune_api::why::{self, Asker, Hindrance};
use vertskommune_core::names::TenantName;

use crate::arguments::{Format, Global, InCluster};
use crate::embedded;
use crate::exit::Exit;
use crate::{output, program};

/// The newest events that are shown; `history` shows all.
const EVENTS: usize = 5;

/// Shows what a tenant waits for, since when, and what would help
///
/// Asks the cluster alone, and so needs no right in the real systems. Ends with 0 where nothing hinders the tenant, with 2
/// where something does, and with 1 where that cannot be told.
#[derive(Args)]
pub(crate) struct Why {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    #[command(flatten)]
    cluster: InCluster,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// What `-o json` writes.
#[derive(Serialize)]
struct Report<'a> {
    tenant: &'a str,
    ready: &'a str,
    hindrances: &'a [Hindrance],
    events: &'a [Happening],
}

impl Why {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.why(global))
    }

    async fn why(&self, global: &Global) -> anyhow::Result<Exit> {
        let name = self.tenant.as_str();
        let (cluster, tenant) = super::find(&self.cluster, name).await?;
        let hosts = cluster.hosts().await?;
        let events = cluster.events(&tenant).await.unwrap_or_else(|error| {
            // Whoever may not read events is told all the rest.
            output::note(format_args!("the events are not shown: {error}"));
            Vec::new()
        });
        let events = &events[events.len().saturating_sub(EVENTS)..];
        let asker = Asker { program: program::name(), namespace: &self.cluster.namespace.namespace };
        let hindrances = why::why(&tenant, &hosts, asker);
        match self.output {
            Format::Json => {
                let conditions = tenant.status.as_ref().map(|status| status.conditions.as_slice());
                let ready = conditions.and_then(|conditions| find(conditions, READY));
                let ready = ready.map_or("Unknown", |ready| ready.status.as_str());
                output::json(&Report { tenant: name, ready, hindrances: &hindrances, events })?;
            }
            Format::Text => {
                let (now, colour) = (Timestamp::now(), global.color.on(&std::io::stdout()));
                output::write(|out| {
                    out.write_all(why::text(name, &hindrances, now, colour).as_bytes())?;
                    if !events.is_empty() {
                        writeln!(out, "  newest events")?;
                    }
                    history::text(events, now, colour)
                        .lines()
                        .try_for_each(|line| writeln!(out, "    {line}"))
                })?;
            }
        }
        Ok(if hindrances.is_empty() { Exit::Success } else { Exit::Changes })
    }
}
