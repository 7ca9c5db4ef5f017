//! `vertskommune validate`: all that is wrong with the manifests, without looking at any real system.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use vertskommune_api::manifest::{Problem, Skipped};

use crate::arguments::Format;
use crate::embedded;
use crate::exit::Exit;
use crate::manifests::{self, Manifests};
use crate::output;

/// Checks manifests: each in itself, against each other and against what the host grants
#[derive(Args)]
pub(crate) struct Validate {
    /// Manifests: files, or folders with all that is below them
    #[arg(value_name = "PATH", default_value = "tenants")]
    paths: Vec<PathBuf>,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// What `-o json` writes.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    tenants: usize,
    #[serde(rename = "hostProviders")]
    host_providers: usize,
    #[serde(rename = "ruleSets")]
    rule_sets: usize,
    problems: &'a [Problem],
    skipped: &'a [Skipped],
}

impl Validate {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let manifests = manifests::read(&self.paths)?;
        let counts = Counts::of(&manifests);
        let skipped = manifests.skipped.clone();
        let mut problems = embedded::problems(manifests);
        if counts.are_none() && problems.is_empty() {
            let paths: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
            anyhow::bail!("there is no Tenant, HostProvider or RuleSet in {}", paths.join(", "));
        }
        problems.sort();
        problems.dedup();
        let valid = problems.is_empty();
        match self.output {
            Format::Json => output::json(&Report {
                valid,
                tenants: counts.tenants,
                host_providers: counts.hosts,
                rule_sets: counts.rule_sets,
                problems: &problems,
                skipped: &skipped,
            })?,
            Format::Text => output::write(|out| {
                for problem in &problems {
                    writeln!(out, "{problem}")?;
                }
                match problems.len() {
                    0 => writeln!(out, "{counts}: valid"),
                    1 => writeln!(out, "{counts}: 1 problem"),
                    many => writeln!(out, "{counts}: {many} problems"),
                }
            })?,
        }
        Ok(if valid { Exit::Success } else { Exit::Failure })
    }
}

/// How many objects there are of each kind, readable or not.
struct Counts {
    tenants: usize,
    hosts: usize,
    rule_sets: usize,
}

impl Counts {
    fn of(manifests: &Manifests) -> Self {
        let tenants = manifests.tenants.keys().chain(manifests.refused.keys());
        let hosts = manifests.hosts.keys().chain(&manifests.refused_hosts);
        let mut objects: BTreeSet<String> = tenants.map(|name| format!("Tenant/{name}")).collect();
        objects.extend(hosts.map(|name| format!("HostProvider/{name}")));
        objects
            .extend(manifests.catalogue.sets().map(|set| format!("RuleSet/{}-v{}", set.name, set.version)));
        objects.extend(manifests.problems.iter().map(|problem| problem.object.clone()));
        let of = |kind: &str| objects.iter().filter(|object| object.starts_with(kind)).count();
        Self { tenants: of("Tenant/"), hosts: of("HostProvider/"), rule_sets: of("RuleSet/") }
    }

    fn are_none(&self) -> bool {
        self.tenants + self.hosts + self.rule_sets == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural =
            |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        write!(f, "{}, {}", plural(self.tenants, "Tenant"), plural(self.hosts, "HostProvider"))?;
        if self.rule_sets > 0 {
            write!(f, ", {}", plural(self.rule_sets, "RuleSet"))?;
        }
        Ok(())
    }
}
