//! The second room, started for one test and gone with it: tests/lab/second-room.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use second_room::protocol::{Account, Answer, Ask, COMMAND, Done, LONGEST_ANSWER, Refusal, Request};
use second_room::{AuthorizedKey, Label};
use serde::Deserialize;
use ssh_session::{Cancel, Limits, PrivateKey, Session, Target};

/// The agent's account.
pub const AGENT: &str = "vertskommune-agent";

/// What a [`Way`] passes on at once: little would make it slower than what it leads to.
const PASSED_AT_ONCE: usize = 256 << 10;

/// A running second room.
pub struct Room {
    process: Child,
    orders: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    /// A process in the room, as it is numbered outside.
    inside: u32,
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

/// A way from this machine's own network to the room's sshd, for a program that has other peers here.
pub struct Way {
    /// Where it begins, on 127.0.0.1.
    pub port: u16,
}

impl Way {
    /// Opens one. It ends with the room.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn into(room: &Arc<Room>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let room = Arc::downgrade(room);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Some(room)) = (client, room.upgrade()) else { return };
                // A room that is cut off lets one wait, and others go on.
                std::thread::spawn(move || {
                    let to = (room.place.host.clone(), room.place.port);
                    if let Ok(server) = room.on_its_network(|| TcpStream::connect(to)) {
                        drop(room);
                        // SSH's packets are small, and each end waits for the other's answer.
                        let _ = (client.set_nodelay(true), server.set_nodelay(true));
                        let _ = join(&client, &server);
                    }
                });
            }
        });
        Ok(Self { port })
    }
}

/// Passes on what either says until both have ended.
fn join(client: &TcpStream, server: &TcpStream) -> std::io::Result<()> {
    let pass = |from: &TcpStream, mut to: &TcpStream| {
        let passed = std::io::copy(&mut BufReader::with_capacity(PASSED_AT_ONCE, from), &mut to);
        let _ = to.shutdown(Shutdown::Write);
        passed
    };
    std::thread::scope(|scope| {
        let back = scope.spawn(|| pass(server, client));
        pass(client, server)?;
        back.join().unwrap_or(Ok(0)).map(drop)
    })
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
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "nothing may be skipped here: run it as root");
            eprintln!("skipped: the second room needs network namespaces and mounts: run it as root");
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
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/second-room");
        let mut process = Command::new(script)
            .arg("--state")
            .arg(state.path())
            .arg("--program")
            .arg(program()?)
            .arg("--agent-key")
            .arg(state.path().join("agent.pub"))
            .args(["--file-system", file_system, "--size", size])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("the room")?;
        let stdin = process.stdin.take().context("the room's input")?;
        let mut stdout = BufReader::new(process.stdout.take().context("the room's output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let place = serde_json::from_str(&line).with_context(|| format!("the room said {line:?}"))?;
        let id = process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let inside = children.split_whitespace().next().context("nobody is in the room")?.parse()?;
        Ok(Self { process, orders: Mutex::new((stdin, stdout)), inside, place, state })
    }

    /// Gives an order, such as `cut`, and waits until it is carried out.
    ///
    /// # Errors
    /// Where it is not.
    pub fn order(&self, order: &str) -> anyhow::Result<()> {
        let (orders, answers) = &mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(orders, "{order}")?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        ensure!(answer == "ok\n", "{order}: {answer:?}");
        Ok(())
    }

    /// Does something on the room's network: in a thread of its own, with all that it starts.
    ///
    /// # Panics
    /// Where it does, or the network is not to be had.
    pub fn on_its_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/proc/{}/root/run/netns/client", self.inside);
        let entered = || -> anyhow::Result<()> {
            let network = File::open(&path).with_context(|| path.clone())?;
            Ok(move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&network),
                Some(LinkNameSpaceType::Network),
            )?)
        };
        let ended = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Err(error) = entered() {
                    panic!("the room's network cannot be entered: {error:#}");
                }
                work()
            });
            thread.join()
        });
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a program on the room's network, on this machine.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn run(&self, command: &mut Command) -> anyhow::Result<Output> {
        let described = format!("{command:?}");
        self.on_its_network(|| command.stdin(Stdio::null()).output()).context(described)
    }

    /// Runs a script as root in the room, and gives what it prints.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn inside(&self, script: &str) -> anyhow::Result<String> {
        let output = self.inside_with(script, &[])?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a script as root in the room with this input.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn inside_with(&self, script: &str, input: &[u8]) -> anyhow::Result<Output> {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--mount", "--pid", "--net", "--target", &self.inside.to_string()]);
        nsenter.args(["bash", "-euo", "pipefail", "-c", script]);
        let mut child =
            nsenter.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Whoever does not read its input has its reasons.
            let _ = stdin.write_all(input);
        }
        Ok(child.wait_with_output()?)
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

impl Drop for Room {
    fn drop(&mut self) {
        // What is inside dies with the first process there, and that one with ours.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
