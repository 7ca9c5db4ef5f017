//! A peer in namespaces of its own, started by a script of tests/lab and gone with it: tests/lab/second-room, tests/lab/directories.
//!
//! Such a script tells on its first line where everything is, takes orders, and has clients come in from its namespace `client`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::de::DeserializeOwned;

/// What a [`Way`] passes on at once: little would make it slower than what it leads to.
const PASSED_AT_ONCE: usize = 256 << 10;

/// A script of the lab that runs.
pub struct Peer {
    process: Child,
    orders: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    /// The first process inside, as it is numbered outside.
    inside: u32,
}

/// A way from this machine's own network to a peer's, for a program that has other peers here.
pub struct Way {
    /// Where it begins, on 127.0.0.1.
    pub port: u16,
}

/// Whether a peer can be had here: it needs namespaces and mounts, and so root. In CI nothing may be skipped.
///
/// # Panics
/// Where it would have to be skipped in CI.
#[must_use]
pub fn can_be_had(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "nothing may be skipped here: run it as root");
        eprintln!("skipped: {what} needs network namespaces and mounts: run it as root");
    }
    root
}

impl Peer {
    /// Starts a script of tests/lab, and gives what its first line tells.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start<T: DeserializeOwned>(script: &str, arguments: &[&OsStr]) -> anyhow::Result<(Self, T)> {
        let mut process = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("lab").join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| script.to_owned())?;
        let stdin = process.stdin.take().context("its input")?;
        let mut stdout = BufReader::new(process.stdout.take().context("its output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let told = serde_json::from_str(&line).with_context(|| format!("{script} said {line:?}"))?;
        let id = process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let inside = children.split_whitespace().next().context("nobody is inside")?.parse()?;
        Ok((Self { process, orders: Mutex::new((stdin, stdout)), inside }, told))
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

    /// Does something on the peer's network: in a thread of its own, with all that it starts.
    ///
    /// # Panics
    /// Where it does, or the network is not to be had.
    pub fn on_its_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = self.client();
        let entered = || -> anyhow::Result<()> {
            let network = File::open(&path).with_context(|| path.display().to_string())?;
            Ok(move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&network),
                Some(LinkNameSpaceType::Network),
            )?)
        };
        let ended = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Err(error) = entered() {
                    panic!("the peer's network cannot be entered: {error:#}");
                }
                work()
            });
            thread.join()
        });
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a program on the peer's network, on this machine.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn run(&self, command: &mut Command) -> anyhow::Result<Output> {
        let described = format!("{command:?}");
        self.on_its_network(|| command.stdin(Stdio::null()).output()).context(described)
    }

    /// Runs a script as root inside, and gives what it prints.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn inside(&self, script: &str) -> anyhow::Result<String> {
        let output = self.inside_with(script, &[])?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a script as root inside with this input.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn inside_with(&self, script: &str, input: &[u8]) -> anyhow::Result<Output> {
        self.enter("--net", script, input)
    }

    /// Runs a script as root on the network of clients, with the files that are inside: its resolver is the peer's.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn as_client(&self, script: &str, input: &[u8]) -> anyhow::Result<Output> {
        self.enter(&format!("--net={}", self.client().display()), script, input)
    }

    fn client(&self) -> PathBuf {
        format!("/proc/{}/root/run/netns/client", self.inside).into()
    }

    fn enter(&self, network: &str, script: &str, input: &[u8]) -> anyhow::Result<Output> {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--mount", "--pid", network, "--wd=/", "--target", &self.inside.to_string()]);
        nsenter.args(["bash", "-euo", "pipefail", "-c", script]);
        fed(&mut nsenter, input)
    }

    /// The first process inside.
    pub(crate) fn first(&self) -> u32 {
        self.inside
    }
}

/// What a program says that reads this.
///
/// # Errors
/// Where it cannot be started.
pub(crate) fn fed(command: &mut Command, input: &[u8]) -> anyhow::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever does not read its input has its reasons.
        let _ = stdin.write_all(input);
    }
    Ok(child.wait_with_output()?)
}

impl Way {
    /// Opens one to this address of what `peer` belongs to. It ends with that.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn open<T>(to: &Arc<T>, peer: fn(&T) -> &Peer, host: &str, port: u16) -> anyhow::Result<Self>
    where
        T: Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let begins = listener.local_addr()?.port();
        let (to, host) = (Arc::downgrade(to), host.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Some(to)) = (client, to.upgrade()) else { return };
                let host = host.clone();
                // A peer that is cut off lets one wait, and others go on.
                std::thread::spawn(move || {
                    if let Ok(server) = peer(&to).on_its_network(|| TcpStream::connect((host, port))) {
                        drop(to);
                        // SSH's packets are small, and each end waits for the other's answer.
                        let _ = (client.set_nodelay(true), server.set_nodelay(true));
                        let _ = join(&client, &server);
                    }
                });
            }
        });
        Ok(Self { port: begins })
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

impl Drop for Peer {
    fn drop(&mut self) {
        // What is inside dies with the first process there, and that one with ours.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
