//! `vertskommune backup pipe`: what restic has as its `sftp.command`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use ssh_session::{Cancel, Error, HostKey, Limits, PrivateKey, Report, Session, Target, Transfer};

use crate::exit::Exit;

/// Joins standard input and output with SFTP in the second room, for restic: `-o sftp.command='vertskommune backup pipe …'`
#[derive(Args)]
pub(crate) struct Pipe {
    /// The second room's host
    #[arg(long, value_name = "HOST")]
    host: String,
    /// Its port
    #[arg(long, value_name = "PORT", default_value_t = 22)]
    port: u16,
    /// The tenant's account there
    #[arg(long, value_name = "USER")]
    user: String,
    /// The key that the host must show, whole: `ssh-ed25519 AAAA…`
    #[arg(long, value_name = "KEY")]
    host_key: HostKey,
    /// The file of the account's private key, such as /proc/1234/fd/5
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write into this file, as JSON, how it ended. restic does not wait for that: whoever reads it waits until it is there
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Give up a host of which nothing at all is heard for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(5..))]
    silence: u16,
    /// Give up a request that has had no answer for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..))]
    answer: u16,
}

impl Pipe {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        // At once: whoever gave it may be gone when this ends, and its number mean another file.
        let report = self.report.as_deref().map(|path| {
            open(path).with_context(|| format!("the report {} cannot be written", path.display()))
        });
        let report = report.transpose()?;
        let key = fs::read_to_string(&self.key)
            .with_context(|| format!("the private key {} cannot be read", self.key.display()))?;
        let key = PrivateKey::new(key).with_context(|| format!("the private key {}", self.key.display()))?;
        let ended = self.join(&key).context("there is no file descriptor left")?;
        if let Some(mut report) = report {
            let written = report.set_len(0).and_then(|()| {
                let text = serde_json::to_vec(&Report::of(&ended))?;
                report.write_all(&text)
            });
            written.context("the report cannot be written")?;
        }
        ended?;
        Ok(Exit::Success)
    }

    fn join(&self, key: &PrivateKey) -> io::Result<Result<Transfer, Error>> {
        let target = Target {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            host_key: self.host_key.clone(),
        };
        let limits = Limits {
            silence: Duration::from_secs(self.silence.into()),
            answer: Duration::from_secs(self.answer.into()),
            ..Limits::default()
        };
        // Whoever wants it to end closes its input or ends the process.
        let cancel = Cancel::new()?;
        let session = Session::open(&target, key, limits, &cancel);
        Ok(session.and_then(|session| session.join(io::stdin(), io::stdout())))
    }
}

/// A file that only its owner reads, or one that is there: another's anonymous file, and no other of its descriptors.
fn open(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if path.starts_with("/proc") {
        let is = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        ensure!(is.to_string_lossy().starts_with("/memfd:"), "it is no anonymous file any more");
    }
    Ok(file)
}
