//! `vertskommune firewall revisions`: what the device keeps, and what each would change for a tenant.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use vertskommune_provider::Record;
use vertskommune_provider::context::Never;

use super::{Kept, Whose};
use crate::arguments::{Format, Global};
use crate::exit::Exit;
use crate::output;

/// Lists the configuration revisions that the firewall keeps, with what each would take back for a tenant
#[derive(Args)]
pub(super) struct Revisions {
    #[command(flatten)]
    whose: Whose,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// One revision.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    record: Record,
    /// How many steps lead back there; none where it cannot be read.
    steps: Option<usize>,
    /// Whether it is from before the tenant was there, so that all would go.
    is_before_tenant: bool,
    /// Why it cannot be read.
    error: Option<String>,
}

impl Revisions {
    pub(super) async fn list(&self, _global: &Global) -> anyhow::Result<Exit> {
        let mut kept = self.whose.look(Arc::new(Never)).await?;
        let mut lines = Vec::new();
        for record in kept.records.clone() {
            lines.push(line(&mut kept, record).await);
        }
        match self.output {
            Format::Json => output::json(&lines)?,
            Format::Text if lines.is_empty() => {
                output::note(format_args!("{} keeps no revisions", kept.provider));
            }
            Format::Text => table(&lines)?,
        }
        Ok(if lines.iter().all(|line| line.error.is_none()) { Exit::Success } else { Exit::Failure })
    }
}

async fn line(kept: &mut Kept, record: Record) -> Line {
    match kept.compare(&record.id).await {
        Ok(compared) => Line {
            record,
            steps: Some(compared.plan.steps.len()),
            is_before_tenant: !compared.has_any,
            error: None,
        },
        Err(error) => {
            Line { record, steps: None, is_before_tenant: false, error: Some(format!("{error:#}")) }
        }
    }
}

impl Line {
    fn back(&self) -> String {
        match (self.steps, self.is_before_tenant) {
            (None, _) => "unreadable".to_owned(),
            (Some(0), _) => "as it is".to_owned(),
            (Some(steps), true) => format!("removes all ({steps})"),
            (Some(1), false) => "1 step".to_owned(),
            (Some(steps), false) => format!("{steps} steps"),
        }
    }
}

fn table(lines: &[Line]) -> anyhow::Result<()> {
    let back: Vec<String> = lines.iter().map(Line::back).collect();
    let width = |texts: &mut dyn Iterator<Item = &str>, least: usize| {
        texts.map(|text| text.chars().count()).max().unwrap_or_default().max(least)
    };
    let id = width(&mut lines.iter().map(|line| line.record.id.as_str()), 2);
    let by = width(&mut lines.iter().map(|line| line.record.by.as_str()), 2);
    let way = width(&mut back.iter().map(String::as_str), 8);
    output::write(|out| {
        writeln!(out, "{:id$}  {:20}  {:by$}  {:way$}  COMMENT", "ID", "SAVED", "BY", "WAY BACK")?;
        for (line, back) in lines.iter().zip(&back) {
            let Record { id: number, saved_at, by: who, comment } = &line.record;
            let saved_at = format!("{saved_at:.0}");
            let comment = line.error.as_ref().unwrap_or(comment);
            writeln!(out, "{number:id$}  {saved_at:20}  {who:by$}  {back:way$}  {comment}")?;
        }
        Ok(())
    })
}
