//! `vertskommune agent install`: what a domain controller needs for the agent, told or put in its place.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use second_room::AuthorizedKey;
use serde::Serialize;
use vertskommune_provider_ad::agents::{self, AllowList, COMMAND, Partner, System};

use super::put::{self, Outcome, Wanted};
use crate::arguments::{Format, InstallationName};
use crate::exit::Exit;
use crate::output;

/// Tells what a domain controller needs for the agent: its program, forced command and rights; or puts it there
///
/// Without --put or --to nothing is written anywhere. The agent belongs on the controller that is the PDC emulator.
#[derive(Args)]
pub(super) struct Install {
    /// What the domain controller runs
    #[arg(long, value_enum, value_name = "SYSTEM")]
    system: Controllers,
    /// The public key that vertskommune comes in with, or the file that has it. One of its own, for nothing else
    #[arg(long, value_name = "KEY|FILE", value_parser = key)]
    key: AuthorizedKey,
    #[command(flatten)]
    installation: InstallationName,
    /// A domain that a trust may be made with and its directions, such as ibestad.test=both
    ///
    /// As this directory sees them: inbound is that the partner trusts this directory, outbound that this one trusts the
    /// partner. Several have commas between them.
    #[arg(long = "partner", value_name = "DOMAIN=DIRECTION", required = true)]
    partners: Vec<Partner>,
    /// Put all of it in its place on this machine, as root. A list of what is allowed that is there stays as it is
    #[arg(long, conflicts_with = "to")]
    put: bool,
    /// Put it below this folder instead of /
    #[arg(long, value_name = "DIR", requires = "put", hide = true)]
    root: Option<PathBuf>,
    /// Write the files into this folder, to be carried to the controller
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// The systems as they are named on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Controllers {
    /// Samba as a domain controller.
    Samba,
    /// Windows Server. The agent for it was never run there.
    Windows,
}

/// A public key, or what stands in the file of that name.
fn key(text: &str) -> Result<AuthorizedKey, String> {
    let text = if text.starts_with("ssh-") {
        text.to_owned()
    } else {
        fs::read_to_string(text).map_err(|error| format!("it is neither a public key nor a file: {error}"))?
    };
    AuthorizedKey::parse(&text).map_err(|error| error.to_string())
}

/// What `-o json` writes where nothing is put.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    system: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    packages: &'static [&'static str],
    files: [File<'a>; 2],
    authorized_keys: Line,
    /// Worth a backup: without its records a trust is nobody's.
    state: &'static str,
    /// How it is done by hand, as Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<String>,
    request: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    written: Vec<PathBuf>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    content: &'a str,
}

#[derive(Serialize)]
struct Line {
    path: &'static str,
    line: String,
}

impl Install {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let system = match self.system {
            Controllers::Samba => System::Samba,
            Controllers::Windows => System::Windows,
        };
        let allowed = AllowList::new(&self.installation.installation, self.partners.iter().cloned());
        if self.put {
            if system == System::Windows {
                bail!(
                    "--put is for Samba alone: for Windows write the files with --to, and go through the steps on the server"
                );
            }
            return self.put(&allowed);
        }
        let text = allowed.to_string();
        let written = self.to.as_deref().map(|folder| self.write(system, folder, &text)).transpose()?;
        let report = self.report(system, &allowed, &text, written.unwrap_or_default());
        match self.output {
            Format::Json => output::json(&report)?,
            Format::Text => output::write(|out| match system {
                System::Samba => samba(&report, out),
                System::Windows => windows(&report, out),
            })?,
        }
        Ok(Exit::Success)
    }

    fn put(&self, allowed: &AllowList) -> anyhow::Result<Exit> {
        let key = self.key.to_string();
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let done = put::put(root, &Wanted { key: &key, allowed })?;
        match self.output {
            Format::Json => output::json(&done)?,
            Format::Text => output::write(|out| {
                for file in &done.files {
                    let word = match file.outcome {
                        Outcome::Put => "put",
                        Outcome::Unchanged => "there already",
                        Outcome::Kept => "left as it is",
                    };
                    writeln!(out, "{}: {word}", file.path)?;
                }
                if let Some(lacking) = &done.lacking {
                    let path = System::Samba.allow_list_path();
                    writeln!(out, "\n{path} is the domain's administrators'. For this it lacks:\n")?;
                    write!(out, "{}", indented(&lacking.to_string()))?;
                }
                writeln!(out, "\nIt needs: apt install {}", System::Samba.packages().join(" "))?;
                try_it(&agents::describe(&self.installation.installation), out)
            })?,
        }
        Ok(Exit::Success)
    }

    /// The files under the names that they have on the controller, with the line for the keys.
    fn write(&self, system: System, folder: &Path, allowed: &str) -> anyhow::Result<Vec<PathBuf>> {
        let line = format!("{}\n", system.authorized_key(&self.key.to_string()));
        let mut files = vec![
            (system.program_path(), 0o755, system.program()),
            (system.allow_list_path(), 0o644, allowed),
            (system.keys_path(), 0o600, line.as_str()),
        ];
        if system == System::Windows {
            files.push(("README.md", 0o644, agents::WINDOWS_README));
        }
        let name = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned();
        put::write_new(folder, files.into_iter().map(|(path, mode, text)| (name(path), mode, text)))
    }

    fn report<'a>(
        &self,
        system: System,
        allowed: &AllowList,
        text: &'a str,
        written: Vec<PathBuf>,
    ) -> Report<'a> {
        let key = self.key.to_string();
        let windows = system == System::Windows;
        let mode = |mode| (!windows).then_some(mode);
        Report {
            system: if windows { "windows" } else { "samba" },
            warning: windows.then(agents::windows_warning),
            packages: system.packages(),
            files: [
                File { path: system.program_path(), mode: mode("0755"), content: system.program() },
                File { path: system.allow_list_path(), mode: mode("0644"), content: text },
            ],
            authorized_keys: Line { path: system.keys_path(), line: system.authorized_key(&key) },
            state: system.state_path(),
            steps: windows.then(|| agents::windows_steps(&key, allowed)),
            request: agents::describe(&self.installation.installation),
            written,
        }
    }
}

/// The text of the program would hide all else that is told: it is written by --to, and stands in the JSON.
fn samba(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let [program, allowed] = &report.files;
    writeln!(
        out,
        "The agent for Samba, on the controller that is the PDC emulator (samba-tool fsmo show), as root."
    )?;
    writeln!(out, "Where this program is there too, --put does steps 2 to 4.\n")?;
    writeln!(out, "1. What it needs:\n\n    apt install {}\n", report.packages.join(" "))?;
    writeln!(
        out,
        "2. {} (root, {}), of {} lines: --to DIR writes it, -o json shows it.\n",
        program.path,
        program.mode.unwrap_or_default(),
        program.content.lines().count()
    )?;
    writeln!(
        out,
        "3. {} (root, {}; its folder root, 0755), what the domain's administrators allow:\n\n{}",
        allowed.path,
        allowed.mode.unwrap_or_default(),
        indented(allowed.content)
    )?;
    writeln!(
        out,
        "4. One more line in {} (root, 0600; its folder root, 0700):\n",
        report.authorized_keys.path
    )?;
    writeln!(out, "    {}\n", report.authorized_keys.line)?;
    writeln!(out, "{} is worth a backup: without its records a trust is nobody's.", report.state)?;
    try_it(&report.request, out)?;
    told(report, out)
}

fn windows(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "The agent for Windows Server, on the controller that is the PDC emulator (netdom query fsmo).\n"
    )?;
    writeln!(out, "{}.\n", report.warning.unwrap_or_default())?;
    writeln!(
        out,
        "--to DIR writes agent.ps1, settings.json and the file of the key, with the whole README.\n"
    )?;
    writeln!(out, "{}\n", report.steps.as_deref().unwrap_or_default())?;
    writeln!(out, "{} is worth a backup: without its records a trust is nobody's.", report.state)?;
    told(report, out)
}

fn told(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    for path in &report.written {
        writeln!(out, "written: {}", path.display())?;
    }
    Ok(())
}

fn try_it(request: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nTry it from where the controller runs, with the private key:\n")?;
    writeln!(out, "    echo '{request}' |\n      ssh -i KEY root@DOMAIN-CONTROLLER {COMMAND}")
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + "    " + line + "\n")
}
