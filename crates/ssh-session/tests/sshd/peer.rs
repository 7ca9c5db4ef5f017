//! A real sshd on loopback, with keys of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ssh_session::{HostKey, PrivateKey, Target};

const SSHD: &str = "/usr/sbin/sshd";

pub(crate) struct Sshd {
    folder: tempfile::TempDir,
    process: Child,
    port: u16,
}

impl Sshd {
    /// Starts one with this program as its SFTP subsystem and these lines in its configuration, or says that it is skipped
    /// and gives `None`. In CI nothing may be skipped.
    pub(crate) fn start(subsystem: &str, options: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            assert!(std::env::var_os("CI").is_none(), "nothing may be skipped here: run tests/lab/install");
            eprintln!("skipped: there is no {SSHD}: run tests/lab/install");
            return None;
        }
        if rustix::process::geteuid().is_root() {
            // sshd asks for it where it runs as root; Debian makes it with the service.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, kind) in [("host", "ed25519"), ("rsa", "rsa"), ("client", "ed25519"), ("other", "ed25519")]
        {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", kind, "-N", "", "-f"]).arg(at(name));
            assert!(keygen.status().unwrap().success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = folder.path().display();
        let configuration = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {path}/host\nHostKey {path}/rsa\nPidFile none\n\
             AuthorizedKeysFile {path}/client.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             PermitRootLogin yes\nLogLevel DEBUG1\nSubsystem sftp {subsystem}\n{options}\n"
        );
        fs::write(at("sshd_config"), configuration).unwrap();
        let mut sshd = Command::new(SSHD);
        sshd.arg("-D").arg("-f").arg(at("sshd_config")).arg("-E").arg(at("log"));
        let process = sshd.stdin(Stdio::null()).spawn().unwrap();
        let sshd = Self { folder, process, port };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(sshd);
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd does not answer: {}", sshd.log());
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn target(&self) -> Target {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        Target {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: String::from_utf8(user).unwrap().trim_end().to_owned(),
            host_key: self.public("host"),
        }
    }

    fn public(&self, name: &str) -> HostKey {
        self.file(&format!("{name}.pub")).parse().unwrap()
    }

    pub(crate) fn rsa_key(&self) -> HostKey {
        self.public("rsa")
    }

    pub(crate) fn another_key(&self) -> HostKey {
        self.public("other")
    }

    pub(crate) fn key(&self) -> PrivateKey {
        PrivateKey::new(self.file("client")).unwrap()
    }

    pub(crate) fn another_private_key(&self) -> PrivateKey {
        PrivateKey::new(self.file("other")).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.file("log")
    }

    /// The log, once that stands in it.
    pub(crate) fn log_with(&self, text: &str) -> String {
        for _ in 0..200 {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{text:?} is not in the log:\n{}", self.log());
    }

    /// sshd and what it has started for sessions, by their numbers, children before parents.
    fn processes(&self) -> Vec<Pid> {
        let mut all = vec![self.process.id()];
        let mut next = 0;
        while let Some(id) = all.get(next).copied() {
            let children = fs::read_to_string(PathBuf::from(format!("/proc/{id}/task/{id}/children")));
            let children = children.unwrap_or_default();
            all.extend(children.split_whitespace().map(|child| child.parse::<u32>().unwrap()));
            next += 1;
        }
        all.iter().rev().filter_map(|id| Pid::from_raw(id.cast_signed())).collect()
    }

    fn signal_all(&self, signal: Signal) {
        for process in self.processes() {
            let _ = kill_process(process, signal);
        }
    }

    /// Stops it and all its sessions until what is given is dropped.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        self.signal_all(Signal::STOP);
        Frozen(self)
    }

    /// Parents first: what they started must not end in good order.
    pub(crate) fn kill_sessions(&self) {
        let own = Pid::from_child(&self.process);
        for process in self.processes().into_iter().rev().filter(|process| *process != own) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

pub(crate) struct Frozen<'a>(&'a Sshd);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.signal_all(Signal::CONT);
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill_sessions();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
