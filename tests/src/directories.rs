//! The host's directory and the tenants', started for one test and gone with it: tests/lab/directories.

use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::ensure;
use serde::Deserialize;
use ssh_session::{Cancel, Limits, PrivateKey, Session, Target};

use crate::peer::{Peer, Way, can_be_had, fed};

/// A controller is where its keeper is.
const WAY_IN: &str = r#"exec nsenter --target INSIDE --mount --pid --net --wd=/ bash -c '
  name=$1
  shift
  exec nsenter --target "$(</run/controllers/$name/keeper.pid)" --mount --uts --net="/run/netns/$name" --wd=/ "$@"' way-in "$@"
"#;

/// Running directories, each with one domain controller. Orders are those of [`Peer::order`], such as `cut ibestad`.
pub struct Directories {
    peer: Peer,
    /// Where everything is.
    pub places: Places,
    state: tempfile::TempDir,
}

/// What the first line says.
#[derive(Clone, Debug, Deserialize)]
pub struct Places {
    /// The DNS server that asks each zone's own controller, as all others do for names that are not their own.
    pub dns: String,
    /// The host's directory.
    pub host: Directory,
    /// The tenants'.
    pub tenants: Vec<Directory>,
}

/// A directory and its domain controller.
#[derive(Clone, Debug, Deserialize)]
pub struct Directory {
    /// What orders call it: `host`, or a tenant's name.
    pub name: String,
    /// The forest's DNS name, lower case.
    pub domain: String,
    /// Its NetBIOS name.
    pub netbios: String,
    /// Its SID.
    pub sid: String,
    /// The controller's DNS name.
    pub controller: String,
    /// The controller's address.
    pub address: String,
    /// The file of the authority that vouches for the controller's LDAPS.
    pub ca: PathBuf,
    /// How its agent is asked.
    pub ssh: Ssh,
    /// A plain account, for LDAPS.
    pub reader: Account,
    /// An ordinary user.
    pub user: Account,
    /// The domain's administrator, for what people do.
    pub administrator: Account,
    /// The folder of its logs.
    pub logs: PathBuf,
}

/// How an agent is asked: whatever the command, sshd runs the agent alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ssh {
    /// As whom.
    pub user: String,
    /// sshd's port.
    pub port: u16,
    /// The file of the private key that is let in.
    pub key: PathBuf,
    /// The controller's host key.
    pub host_key: String,
    /// A file that vouches for the host key, as OpenSSH reads it.
    pub known_hosts: PathBuf,
}

/// An account of a directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its principal, such as `kari@HOST.TEST`.
    pub name: String,
    /// The file of its password, without an end of line.
    pub password_file: PathBuf,
}

impl Directories {
    /// Starts the host's directory and those of so many tenants, with that program as the agent of each, or says that it is skipped and
    /// gives `None`. In CI nothing may be skipped.
    ///
    /// # Panics
    /// Where they do not start, or would have to be skipped in CI.
    pub fn start(agent: &Path, tenants: usize) -> Option<Self> {
        if !can_be_had("Active Directory") {
            return None;
        }
        match Self::start_with(agent, tenants) {
            Ok(directories) => Some(directories),
            Err(error) => panic!("the directories do not start: {error:#}"),
        }
    }

    fn start_with(agent: &Path, tenants: usize) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let count = tenants.to_string();
        let arguments = ["--state".as_ref(), state.path().as_os_str(), "--agent".as_ref(), agent.as_os_str()];
        let arguments = [&arguments[..], &["--tenants".as_ref(), OsStr::new(&count)]].concat();
        let (peer, places) = Peer::start("directories", &arguments)?;
        Ok(Self { peer, places, state })
    }

    /// Runs a script as root on a controller, with this input.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn on(&self, directory: &Directory, script: &str, input: &[u8]) -> anyhow::Result<Output> {
        let mut bash = Command::new("bash");
        bash.arg(self.way_in()?).args([&directory.name, "bash", "-euo", "pipefail", "-c", script]);
        fed(&mut bash, input)
    }

    /// A script for Bash that runs a command as root on a controller: the controller's name, as orders have it, and the command are its
    /// arguments.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn way_in(&self) -> anyhow::Result<PathBuf> {
        let path = self.file("way-in");
        // Whoever reads it meanwhile must not find half of it.
        let new = tempfile::NamedTempFile::new_in(self.state.path())?;
        fs::write(&new, WAY_IN.replace("INSIDE", &self.first().to_string()))?;
        new.persist(&path)?;
        Ok(path)
    }

    /// A session with a controller, in which the agent is asked.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn session(&self, directory: &Directory) -> anyhow::Result<Session> {
        let key = PrivateKey::new(fs::read_to_string(&directory.ssh.key)?)?;
        let (host, user) = (directory.address.clone(), directory.ssh.user.clone());
        let target =
            Target { host, port: directory.ssh.port, user, host_key: directory.ssh.host_key.parse()? };
        let cancel = Cancel::new()?;
        Ok(self.on_its_network(|| Session::open(&target, &key, Limits::default(), &cancel))?)
    }

    /// What a program says on the network of clients, where names are those of the directories.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn client(&self, script: &str) -> anyhow::Result<String> {
        let output = self.as_client(script, &[])?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A way to a controller's port, which ends with the directories.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn way(self: &Arc<Self>, directory: &Directory, port: u16) -> anyhow::Result<Way> {
        Way::open(self, |directories| &directories.peer, &directory.address, port)
    }

    /// A file of this test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }
}

impl Deref for Directories {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}
