//! The second room, started for one test and gone with it: tests/lab/second-room.

use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use second_room::protocol::{Account, Answer, Ask, COMMAND, Done, LONGEST_ANSWER, Refusal, Request};
use second_room::{AuthorizedKey, Label};
use serde::Deserialize;
use ssh_session::{Cancel, Limits, PrivateKey, Session, Target};

use crate::estate::in_tree;
use crate::peer::{Peer, Way, can_be_had};

/// The agent's account.
pub const AGENT: &str = "vertskommune-agent";

/// A running second room.
pub struct Room {
    peer: Peer,
    /// Where everything is.
    pub place: Place,
    state: tempfile::TempDir,
}

/// What the room's first line says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Its address, as clients see it.
    pub host: String,
    /// sshd's port.
    pub port: u16,
    /// Its host key, whole.
    pub host_key: String,
    /// Another of its host keys.
    pub rsa_host_key: String,
    /// The installation that is served.
    pub installation: String,
    /// The folder of all backups, in the room.
    pub root: PathBuf,
    /// sshd's log.
    pub log: PathBuf,
}

/// A tenant's account, with its key.
pub struct Tenant {
    /// What the agent says of it.
    pub account: Account,
    /// The file of its private key.
    pub key: PathBuf,
}

/// The program under test, as cargo builds it beside the tests.
///
/// # Errors
/// Where it was not built.
pub fn program() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let program = test.parent().and_then(Path::parent).context("tests have a folder")?.join("vertskommune");
    let build = "cargo build --package vertskommune --features testing";
    ensure!(program.exists(), "{} is missing: run `{build}`", program.display());
    Ok(program)
}

impl Room {
    /// Starts a room on that file system, or says that it is skipped and gives `None`. In CI nothing may be skipped.
    ///
    /// # Panics
    /// Where the room does not start, or would have to be skipped in CI.
    pub fn start(file_system: &str, size: &str) -> Option<Self> {
        if !can_be_had("the second room") {
            return None;
        }
        match Self::start_on(file_system, size) {
            Ok(room) => Some(room),
            Err(error) => panic!("the second room does not start: {error:#}"),
        }
    }

    fn start_on(file_system: &str, size: &str) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        keygen(&state.path().join("agent"))?;
        let (agent_key, program) = (state.path().join("agent.pub"), program()?);
        let options = [("--state", state.path()), ("--program", &program), ("--agent-key", &agent_key)];
        let mut arguments: Vec<&OsStr> = Vec::new();
        for (option, path) in options {
            arguments.extend([OsStr::new(option), path.as_os_str()]);
        }
        arguments.extend(["--file-system", file_system, "--size", size].map(OsStr::new));
        let (peer, place) = Peer::start("second-room", &arguments)?;
        Ok(Self { peer, place, state })
    }

    /// A way to its sshd, which ends with the room.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn way(self: &Arc<Self>) -> anyhow::Result<Way> {
        Way::open(self, |room| &room.peer, &self.place.host, self.place.port)
    }

    /// Has the agent tell a time from now on that is a day ahead, or the true one again.
    ///
    /// # Errors
    /// Where the room cannot be entered.
    pub fn tell_tomorrow(&self, tomorrow: bool) -> anyhow::Result<()> {
        let script = if tomorrow {
            "cd /usr/local/bin && mv vertskommune told && cat >vertskommune <<'END' && chmod 755 vertskommune
#!/bin/bash
set -o pipefail
/usr/local/bin/told \"$@\" | sed \"s/\\(\\\"clock\\\": *\\\"\\)[^\\\"]*/\\1$(date -u -d '1 day' +%FT%TZ)/\"
END"
        } else {
            "cd /usr/local/bin && mv told vertskommune"
        };
        self.inside(script).map(drop)
    }

    /// Flips a bit of a file there, or flips it back.
    ///
    /// # Errors
    /// Where there is no such byte.
    pub fn flip_bit(&self, file: &str, at: u64) -> anyhow::Result<()> {
        let script = format!(
            "byte=$(dd if={file} bs=1 skip={at} count=1 status=none | od -An -tu1) &&
             printf \"\\\\x$(printf %02x $((byte ^ 1)))\" | dd of={file} bs=1 seek={at} conv=notrunc status=none"
        );
        self.inside(&script).map(drop)
    }

    /// Runs the script by which another product's job leaves its status there.
    ///
    /// # Errors
    /// Where the room cannot be entered.
    pub fn job_status(&self, status: &str) -> anyhow::Result<Output> {
        let script = format!("{} --installation lab", in_tree("deploy/second-room/job-status"));
        self.inside_with(&script, status.as_bytes())
    }

    /// A file of this test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// Whom to speak to, as that user.
    ///
    /// # Panics
    /// Where the room has no host key.
    pub fn target(&self, user: &str) -> Target {
        let Ok(host_key) = self.place.host_key.parse() else {
            panic!("{} is no host key", self.place.host_key)
        };
        Target { host: self.place.host.clone(), port: self.place.port, user: user.to_owned(), host_key }
    }

    /// A session as that user, with that key.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn session(&self, user: &str, key: &Path) -> anyhow::Result<Session> {
        let key = PrivateKey::new(fs::read_to_string(key)?)?;
        let (target, cancel) = (self.target(user), Cancel::new()?);
        Ok(self.on_its_network(|| Session::open(&target, &key, Limits::default(), &cancel))?)
    }

    /// The request of the room's installation.
    ///
    /// # Errors
    /// Where the installation has no name.
    pub fn request(&self, ask: Ask) -> anyhow::Result<Request> {
        Ok(Request::new(Label::new(&self.place.installation)?, ask))
    }

    /// Asks the agent over SSH, as the controller does.
    ///
    /// # Errors
    /// Where it does not answer; what it answers is the inner result.
    pub fn ask(&self, ask: Ask) -> anyhow::Result<Result<Done, Refusal>> {
        let request = self.request(ask)?.to_json();
        let mut session = self.session(AGENT, &self.file("agent"))?;
        let output = session.exec(COMMAND, &request, LONGEST_ANSWER, Duration::from_secs(120))?;
        ensure!(!output.stdout.is_empty(), "the agent says {}", String::from_utf8_lossy(&output.stderr));
        Ok(Answer::read(&output.stdout))
    }

    /// What is asked for in making a tenant's account, with a key that is made where it is missing.
    ///
    /// # Errors
    /// Where the name or the key is none.
    pub fn wanted(&self, tenant: &str, quota_bytes: Option<u64>) -> anyhow::Result<Ask> {
        let key = self.file(tenant);
        if !key.exists() {
            keygen(&key)?;
        }
        let keys = vec![AuthorizedKey::parse(&fs::read_to_string(key.with_extension("pub"))?)?];
        Ok(Ask::EnsureAccount { tenant: Label::new(tenant)?, keys, quota_bytes })
    }

    /// Has a tenant's account made.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn tenant(&self, tenant: &str, quota_bytes: Option<u64>) -> anyhow::Result<Tenant> {
        match self.ask(self.wanted(tenant, quota_bytes)?)?? {
            Done::Account(account) => Ok(Tenant { account, key: self.file(tenant) }),
            other => bail!("{other:?} is no account"),
        }
    }
}

/// Makes a key pair.
fn keygen(path: &Path) -> anyhow::Result<()> {
    let keygen =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status()?;
    ensure!(keygen.success(), "ssh-keygen");
    Ok(())
}

impl Deref for Room {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}
