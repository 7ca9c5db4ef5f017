//! `vertskommune preflight`: whether each endpoint of the host is as it must be before anything is made there.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use vertskommune_core::host::Host;
use vertskommune_core::names::ProviderName;
use vertskommune_core::render::Colour;
use vertskommune_provider::context::Never;
use vertskommune_provider::secrets::SecretStore;
use vertskommune_provider::{Checked, Ctx};

use crate::arguments::{Format, Global, Source};
use crate::embedded;
use crate::exit::Exit;
use crate::plugins::plugins;
use crate::{output, progress};

/// How long the checks of one endpoint may take.
const LIMIT: Duration = Duration::from_mins(2);

/// Checks identity, rights, licences and reachability of each HostProvider, and changes nothing
#[derive(Args)]
pub(crate) struct Preflight {
    /// The HostProviders; all where none is named
    #[arg(value_name = "HOSTPROVIDER")]
    providers: Vec<ProviderName>,
    #[command(flatten)]
    source: Source,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// One line of the table.
#[derive(Serialize)]
struct Line {
    provider: ProviderName,
    check: String,
    ok: bool,
    message: String,
}

impl Preflight {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.check(global))
    }

    async fn check(&self, global: &Global) -> anyhow::Result<Exit> {
        let ground = embedded::read(&self.source).await?;
        let manifests = &ground.manifests;
        for name in &self.providers {
            let known = manifests.hosts.contains_key(name) || manifests.refused_hosts.contains(name);
            anyhow::ensure!(known, "there is no HostProvider {name}");
        }
        let chosen = |name: &ProviderName| self.providers.is_empty() || self.providers.contains(name);
        let hosts: Vec<&Host> =
            manifests.hosts.iter().filter(|(name, _)| chosen(name)).map(|(_, host)| &host.object).collect();
        let names: Vec<_> = hosts.iter().map(|host| host.name.as_str()).collect();
        let checks = hosts.iter().map(|host| self.one(host, &ground.secrets));
        let what = format!("checking {}", names.join(", "));
        let mut lines: Vec<Line> =
            progress::during(&what, join_all(checks)).await.into_iter().flatten().collect();
        let host_problems =
            manifests.problems.iter().filter(|problem| problem.object.starts_with("HostProvider/"));
        lines.extend(host_problems.map(|problem| Line {
            provider: problem.object.trim_start_matches("HostProvider/").into(),
            check: "manifest".to_owned(),
            ok: false,
            message: problem.to_string(),
        }));
        anyhow::ensure!(!lines.is_empty(), "there is no HostProvider to check");
        match self.output {
            Format::Json => output::json(&lines)?,
            Format::Text => table(&lines, global.color.on(&std::io::stdout()))?,
        }
        Ok(if lines.iter().all(|line| line.ok) { Exit::Success } else { Exit::Failure })
    }

    async fn one(&self, host: &Host, secrets: &Arc<dyn SecretStore>) -> Vec<Line> {
        let line = |check: &str, result: Result<String, String>| Line {
            provider: host.name.clone(),
            check: check.to_owned(),
            ok: result.is_ok(),
            message: result.unwrap_or_else(|wrong| wrong),
        };
        let provider = match plugins().provider(&self.source.installation.installation, host) {
            Ok(provider) => provider,
            Err(violations) => {
                return violations
                    .into_iter()
                    .map(|wrong| line("manifest", Err(wrong.to_string())))
                    .collect();
            }
        };
        let ctx = Ctx {
            deadline: Instant::now() + LIMIT,
            cancel: CancellationToken::new(),
            secrets: secrets.clone(),
            permit: Arc::new(Never),
        };
        match timeout(LIMIT, provider.preflight(&ctx)).await {
            Ok(checks) => checks.into_iter().map(|Checked { what, result }| line(&what, result)).collect(),
            Err(_) => vec![line("reachability", Err(format!("no answer within {} s", LIMIT.as_secs())))],
        }
    }
}

fn table(lines: &[Line], colour: Colour) -> anyhow::Result<()> {
    let width = |of: fn(&Line) -> &str, least: usize| {
        lines.iter().map(|line| of(line).chars().count()).max().unwrap_or_default().max(least)
    };
    let (name, check) = (width(|line| line.provider.as_str(), 8), width(|line| &line.check, 5));
    output::write(|out| {
        writeln!(out, "{:name$}  {:check$}  OK   RESULT", "PROVIDER", "CHECK")?;
        for line in lines {
            let ok = match (line.ok, colour) {
                (true, Colour::Never) => "yes",
                (false, Colour::Never) => "no ",
                (true, Colour::Always) => "\u{1b}[32myes\u{1b}[0m",
                (false, Colour::Always) => "\u{1b}[31mno\u{1b}[0m ",
            };
            writeln!(out, "{:name$}  {:check$}  {ok}  {}", line.provider, line.check, line.message)?;
        }
        Ok(())
    })
}
