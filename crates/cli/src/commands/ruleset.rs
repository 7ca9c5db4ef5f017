//! `vertskommune ruleset`: the host's catalogue and who uses it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value as Json;
use vertskommune_api::manifest::Problem;
use vertskommune_core::names::TenantName;
use vertskommune_core::render::{self, Colour};
use vertskommune_core::step::Step;

use crate::arguments::{Format, Global};
use crate::exit::Exit;
use crate::rewrite::{Rewrite, rewrite};
use crate::upgrade::{Choice, Pin, Proposal, Proposed, Standing, Wave, propose};
use crate::{manifests, output};

/// Rule sets of the host's catalogue, and the tenants that pin them
#[derive(Args)]
pub(crate) struct Ruleset {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Upgrade(Upgrade),
}

/// Proposes a version of a rule set for tenants that pin another one, and shows what changes in their firewalls
///
/// Nothing is asked of any real system. Without --write it ends with 0 where nothing would change, with 2 where something
/// would, and with 1 where a manifest would be refused; nothing is written then.
///
/// In waves: each is twice as large as the one before, so that the first is a small one. The name of a tenant alone
/// decides in which it is, and it stays there when others join.
#[derive(Args)]
struct Upgrade {
    /// The version that is proposed, such as municipality-baseline@4
    #[arg(value_name = "NAME@VERSION")]
    pin: Pin,
    /// Manifests of the tenants and of the host, with its catalogue: files, or folders with all that is below them
    #[arg(short, long = "file", value_name = "PATH", default_value = "tenants")]
    files: Vec<PathBuf>,
    /// Only tenants of this wave, such as 1/3
    #[arg(long, value_name = "WAVE/WAVES")]
    wave: Option<Wave>,
    /// Only these tenants; beside a wave, these as well
    #[arg(long = "tenant", value_name = "TENANT", num_args = 1..)]
    tenants: Vec<TenantName>,
    /// Change the pins in the files. All of them, or none where anything is wrong
    #[arg(long)]
    write: bool,
    /// Let tenants go back to an older version, to roll back a wave
    #[arg(long)]
    allow_downgrade: bool,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl Ruleset {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        match &self.command {
            Command::Upgrade(upgrade) => upgrade.run(global),
        }
    }
}

impl Upgrade {
    fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        let files = manifests::files(&self.files)?;
        let choice = Choice { wave: self.wave, tenants: &self.tenants, downgrade: self.allow_downgrade };
        let proposal = propose(&files, &self.pin, &choice)?;
        proposal.aside.iter().for_each(output::note);
        let sound = proposal.problems.is_empty();
        let written = self.write && sound && !proposal.texts.is_empty();
        if written {
            let changed = proposal.texts.iter().filter_map(|(name, after)| {
                let file = files.texts.get(name)?;
                Some(Rewrite { path: &file.path, before: &file.text, after })
            });
            rewrite(&changed.collect::<Vec<_>>())?;
        }
        match self.output {
            Format::Json => output::json(&self.report(&proposal, written))?,
            Format::Text => {
                let text = self.text(&proposal, written, global.color.on(&std::io::stdout()));
                output::write(|out| out.write_all(text.as_bytes()))?;
            }
        }
        Ok(match (sound, proposal.texts.is_empty() || written) {
            (false, _) => Exit::Failure,
            (true, true) => Exit::Success,
            (true, false) => Exit::Changes,
        })
    }

    fn text(&self, proposal: &Proposal, written: bool, colour: Colour) -> String {
        let mut out = String::new();
        for (name, proposed) in &proposal.tenants {
            // Writing to a String does not fail.
            let _ = writeln!(
                out,
                "{}  {}",
                render::heading(&format!("tenant {name}"), colour),
                self.headline(proposed)
            );
            match &proposed.changes {
                Some(steps) if steps.is_empty() => out.push_str("  the firewall stays as it is\n"),
                Some(steps) => out.push_str(&render::changes(steps, colour)),
                None if proposed.standing.changes() => {
                    let object = format!("Tenant/{name}");
                    let refused = proposal.problems.iter().any(|problem| problem.object == object);
                    out.push_str(if refused {
                        "  would be refused, see below\n"
                    } else {
                        "  what changes cannot be told: the manifest is refused as it is\n"
                    });
                }
                None => {}
            }
        }
        for problem in &proposal.problems {
            let _ = writeln!(out, "{problem}");
        }
        let (tenants, files) = (proposal.changing().count(), proposal.texts.len());
        let _ = match (proposal.problems.len(), tenants) {
            (0, 0) => writeln!(out, "nothing to change{}", self.next(proposal)),
            (0, _) if written => {
                writeln!(out, "{}, {} written", count(tenants, "tenant"), count(files, "file"))
            }
            (0, _) => writeln!(out, "{} to change: --write changes the pins", count(tenants, "tenant")),
            (problems, _) => writeln!(out, "{}: nothing is written", count(problems, "problem")),
        };
        out
    }

    /// Where the next tenants are, since a wave may be empty while there are few.
    fn next(&self, proposal: &Proposal) -> String {
        let waiting = proposal.tenants.values().filter(|proposed| proposed.standing == Standing::NotChosen);
        let next = waiting.filter_map(|proposed| proposed.wave).min();
        match self.wave.zip(next).map(|(asked, number)| Wave { number, ..asked }) {
            Some(next) => format!(": the next tenants are in wave {next}"),
            None => String::new(),
        }
    }

    fn headline(&self, proposed: &Proposed) -> String {
        let from = proposed.from.as_deref().unwrap_or_default();
        let place = format!("{}:{}", proposed.file, proposed.line);
        let wave = self.wave.zip(proposed.wave).map(|(asked, number)| Wave { number, ..asked });
        let wave = wave.map(|wave| format!(", in wave {wave}")).unwrap_or_default();
        match proposed.standing {
            Standing::Upgrade => format!("{from} → {}{wave}  ({place})", self.pin),
            Standing::Downgrade => format!("{from} → {}, which is older{wave}  ({place})", self.pin),
            Standing::Newer => format!("has {from}, which is newer{wave}"),
            Standing::Current => format!("has {from} already{wave}"),
            Standing::Unused => format!("does not use {}", self.pin.name),
            Standing::NotChosen => format!("stays with {from}: not chosen{wave}"),
        }
    }

    fn report<'a>(&self, proposal: &'a Proposal, written: bool) -> Report<'a> {
        let tenants = proposal.tenants.iter().map(|(tenant, proposed)| TenantReport {
            tenant,
            standing: match proposed.standing {
                Standing::Upgrade => "Upgrade",
                Standing::Downgrade => "Downgrade",
                Standing::Newer => "Newer",
                Standing::Current => "Current",
                Standing::Unused => "Unused",
                Standing::NotChosen => "NotChosen",
            },
            from: proposed.from.as_deref(),
            wave: proposed.wave,
            file: &proposed.file,
            line: proposed.line,
            changes: proposed.changes.as_ref().map(|steps| steps.iter().map(ChangeReport::new).collect()),
        });
        Report {
            rule_set: self.pin.to_string(),
            wave: self.wave.map(|wave| wave.number),
            waves: self.wave.map(|wave| wave.of),
            written,
            tenants: tenants.collect(),
            problems: &proposal.problems,
        }
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What `-o json` writes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    rule_set: String,
    wave: Option<u32>,
    waves: Option<u32>,
    written: bool,
    tenants: Vec<TenantReport<'a>>,
    problems: &'a [Problem],
}

#[derive(Serialize)]
struct TenantReport<'a> {
    tenant: &'a TenantName,
    standing: &'static str,
    from: Option<&'a str>,
    wave: Option<u32>,
    file: &'a str,
    line: u64,
    /// None where nothing changes, or where it cannot be told what.
    changes: Option<Vec<ChangeReport<'a>>>,
}

/// Something of a firewall that comes, changes or goes.
#[derive(Serialize)]
struct ChangeReport<'a> {
    object: String,
    change: String,
    summary: &'a str,
    fields: BTreeMap<&'a str, FieldReport<'a>>,
}

#[derive(Default, Serialize)]
struct FieldReport<'a> {
    from: Option<&'a Json>,
    to: Option<&'a Json>,
}

impl<'a> ChangeReport<'a> {
    fn new(step: &'a Step) -> Self {
        let mut fields: BTreeMap<&str, FieldReport<'_>> = BTreeMap::new();
        for (field, from) in &step.expects {
            fields.entry(field).or_default().from = Some(from);
        }
        for (field, to) in &step.fields {
            fields.entry(field).or_default().to = to.as_known();
        }
        Self {
            object: step.resource.key.to_string(),
            change: step.class.to_string(),
            summary: &step.summary,
            fields,
        }
    }
}
