//! `vertskommune backup keeper`: on the second room's host, as root, by a timer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use keeper::{ByPolicy, Report, Settings};
use restic::Bounds;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use vertskommune_core::render::size;

use crate::arguments::Format;
use crate::exit::Exit;
use crate::{embedded, interrupt, output};

/// Keeps copies of all repositories that no account can write, puts back what went, and removes what is no longer asked for
///
/// Run it as root on the second room's host, by a timer. Ends with 1 where a person should look.
#[derive(Args)]
pub(super) struct Keeper {
    /// The folder with a folder for each installation
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// GiB that the kept copy of one tenant may have, whatever its account writes
    #[arg(long, value_name = "GIB", default_value_t = 16 * 1024)]
    limit: u64,
    /// Hours after which the work on one tenant is ended; what is new of all was taken over before
    #[arg(long, value_name = "HOURS", default_value_t = 20)]
    within: u64,
    /// The restic program
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/restic")]
    restic: PathBuf,
    /// The age program, with age-keygen beside it
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/age")]
    age: PathBuf,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// One tenant's report.
#[derive(Serialize)]
struct Line {
    installation: String,
    tenant: String,
    #[serde(flatten)]
    report: Report,
}

impl Keeper {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        embedded::block_on(self.keep())
    }

    async fn keep(&self) -> anyhow::Result<Exit> {
        let root = std::path::absolute(&self.root).context("the folder has no path")?;
        let cancel = CancellationToken::new();
        let _listening = interrupt::listen(cancel.clone())?;
        let bounds = Bounds { within: Duration::from_secs(self.within.saturating_mul(3600)), cancel };
        let settings = Settings {
            root,
            kept_bytes: self.limit.saturating_mul(1 << 30),
            rule: Arc::new(ByPolicy),
            restic: self.restic.clone(),
            age: self.age.clone(),
        };
        let keeper = keeper::Keeper::start(settings, &bounds).await?;
        let mut lines = Vec::new();
        let done = keeper
            .run(Timestamp::now, &bounds, |installation, tenant, report| {
                lines.push(Line {
                    installation: installation.to_owned(),
                    tenant: tenant.to_owned(),
                    report: report.clone(),
                });
            })
            .await;
        match self.output {
            Format::Json => output::json(&lines)?,
            Format::Text if lines.is_empty() => output::note("no tenant has a repository here yet"),
            Format::Text => table(&lines)?,
        }
        if bounds.cancel.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        done?;
        Ok(if lines.iter().any(|line| line.report.is_troubled()) { Exit::Failure } else { Exit::Success })
    }
}

fn table(lines: &[Line]) -> anyhow::Result<()> {
    let name = |line: &Line| format!("{}/{}", line.installation, line.tenant);
    let wide = lines.iter().map(|line| name(line).chars().count()).max().unwrap_or(0).max("TENANT".len());
    output::write(|out| {
        writeln!(
            out,
            "{:wide$}  {:>9}  {:>9}  {:>6}  {:>8}  {:>8}  {:>6}  RETENTION",
            "TENANT", "SNAPSHOTS", "KEPT", "NEW", "PUT BACK", "TAMPERED", "DAMAGE"
        )?;
        for line in lines {
            let report = &line.report;
            writeln!(
                out,
                "{:wide$}  {:>9}  {:>9}  {:>6}  {:>8}  {:>8}  {:>6}  {}",
                name(line),
                report.kept_snapshots,
                size(report.kept_bytes),
                report.taken_over,
                report.put_back,
                report.tampering.count,
                report.damage.count,
                report.retention
            )?;
            let found = report.tampering.first.iter().map(|it| ("tampering", it));
            let found = found.chain(report.damage.first.iter().map(|it| ("damage", it)));
            let doubts = report.doubts.first.iter().map(|it| ("doubt", it));
            for (word, finding) in doubts.take(10).chain(found.take(10)) {
                writeln!(out, "  {word}: {} {}", finding.file, finding.what)?;
            }
            if let Some(error) = &report.error {
                writeln!(out, "  error: {error}")?;
            }
        }
        Ok(())
    })
}
