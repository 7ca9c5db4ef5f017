//! The stock `ssh`, for a program that speaks SFTP through a command, as restic does. Whom to reach and whom to trust is told by
//! arguments and anonymous files alone: no configuration, agent or list of known hosts of this machine has a say.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::memory::Memory;
use crate::{Error, PrivateKey, Target};

/// What the pinned key is known by, whatever the host's name, address and port are.
const ALIAS: &str = "pinned-host";

/// Whole packets of a cipher that processors have an instruction for cost least; the others are as OpenSSH prefers them.
const CIPHERS: &str = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com";

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(15);

/// So often a quiet host is asked whether it is there, before it is given up.
const QUESTIONS: u64 = 2;

const DOING: &str = "moving the stream";

/// A way to the SFTP of one user of a host whose key is pinned. Its commands work for as long as this value lives.
pub struct Stock {
    program: PathBuf,
    target: Target,
    silence: Duration,
    key: Memory,
    known: Memory,
    /// What `ssh` says, which nobody in between passes on whole.
    log: Memory,
}

impl Stock {
    /// By this `ssh`. A host is given up when nothing is heard of it for `silence`.
    ///
    /// # Errors
    /// Where the kernel gives no anonymous file.
    pub fn new(
        program: &Path,
        target: Target,
        key: &PrivateKey,
        silence: Duration,
    ) -> Result<Self, io::Error> {
        Ok(Self {
            program: program.to_owned(),
            silence,
            key: Memory::of(key.expose())?,
            known: Memory::of(&format!("{ALIAS} {}\n", target.host_key))?,
            log: Memory::empty()?,
            target,
        })
    }

    /// The program's version, where it works here and knows all that is asked of it. Blocks for a moment.
    ///
    /// # Errors
    /// What it says, as where the system has no name for the user whom this process runs as: ssh does nothing then.
    pub fn version(program: &Path) -> Result<String, String> {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(program);
            let ended = command.env_clear().args(arguments).stdin(Stdio::null()).output();
            let ended = ended.map_err(|error| format!("{} does not start: {error}", program.display()))?;
            let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
            if ended.status.success() { Ok(said) } else { Err(said) }
        };
        run(&["-F", "none", "-G", "-o", &format!("Ciphers={CIPHERS}"), "--", ALIAS])?;
        run(&["-V"])
    }

    /// The command, which joins its standard input and output with SFTP there.
    pub fn command(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut command = vec![self.program.to_string_lossy().into_owned()];
        command.extend(words(&["-F", "none", "-E", &self.log.path(), "-i", &self.key.path()]));
        let every = self.silence.as_secs() / (QUESTIONS + 1);
        for (option, value) in [
            ("BatchMode", "yes"),
            ("StrictHostKeyChecking", "yes"),
            ("UserKnownHostsFile", &self.known.path()),
            ("GlobalKnownHostsFile", "none"),
            ("HostKeyAlias", ALIAS),
            ("UpdateHostKeys", "no"),
            ("IdentitiesOnly", "yes"),
            ("IdentityAgent", "none"),
            ("PreferredAuthentications", "publickey"),
            ("Ciphers", CIPHERS),
            ("ConnectTimeout", &CONNECT.as_secs().to_string()),
            ("ServerAliveInterval", &every.max(1).to_string()),
            ("ServerAliveCountMax", &QUESTIONS.to_string()),
            ("EscapeChar", "none"),
        ] {
            command.extend(["-o".to_owned(), format!("{option}={value}")]);
        }
        let Target { host, port, user, .. } = &self.target;
        command.extend(words(&["-p", &port.to_string(), "-l", user, "-s", "--", host, "sftp"]));
        command
    }

    /// Why the last of its commands ended, where it did not end well and has said so.
    pub fn failure(&self) -> Option<Error> {
        let said = self.log.read().ok()?;
        // What is said is of the last call alone.
        let _ = self.log.clear();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        self.means(&lines)
    }

    /// What OpenSSH means by its words. They are older than most of what reads them.
    fn means(&self, lines: &[&str]) -> Option<Error> {
        let Target { host, port, user, host_key } = &self.target;
        let (on, user) = (format!("{host}:{port}"), user.clone());
        let line = |parts: &[&str]| {
            lines.iter().rev().find(|line| parts.iter().any(|part| line.contains(part))).copied()
        };
        if line(&["Host key verification failed", "no matching host key type"]).is_some() {
            let shown = lines.iter().filter_map(|line| line.strip_prefix("SHA256:")).next_back();
            let seen = shown.map_or_else(
                || "none of that kind".to_owned(),
                |hash| format!("SHA256:{}", hash.trim_end_matches('.')),
            );
            return Some(Error::HostKey { on, pinned: host_key.fingerprint(), seen });
        }
        if line(&["Permission denied ("]).is_some() {
            return Some(Error::Refused { on, user });
        }
        if line(&["subsystem request failed"]).is_some() {
            return Some(Error::Denied { on, user, what: "offer SFTP".to_owned() });
        }
        if line(&["not responding", "timed out during banner exchange"]).is_some() {
            return Some(Error::TimedOut { on, doing: DOING, after: self.silence });
        }
        if let Some(cause) = line(&["Could not resolve hostname", "connect to host"]) {
            return Some(Error::Unreachable { on, cause: cause.to_owned() });
        }
        let ended = ["Connection closed", "Connection reset", "Connection to", "Broken pipe", "disconnect"];
        let cause = line(&ended).or_else(|| lines.last().copied())?;
        Some(Error::Closed { on, doing: DOING, cause: cause.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_ssh_says_has_a_kind() {
        let target = Target {
            host: "room-2".to_owned(),
            port: 22,
            user: "vk-ibestad".to_owned(),
            host_key: format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{}", "A".repeat(43)).parse().unwrap(),
        };
        let key = PrivateKey::random().unwrap();
        let stock = Stock::new(Path::new("/usr/bin/ssh"), target, &key, Duration::from_secs(30)).unwrap();
        let kind = |said: &str| {
            stock.means(&said.lines().collect::<Vec<_>>()).map(|error| (error.kind(), error.to_string()))
        };
        assert_eq!(kind(""), None);
        for (said, expected, part) in [
            (
                "The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\nHost key verification failed.",
                ErrorKind::HostKey,
                "SHA256:abc ",
            ),
            (
                "No RSA host key is known for pinned-host and you have requested strict checking.\nHost key verification failed.",
                ErrorKind::HostKey,
                "none of that kind",
            ),
            (
                "Unable to negotiate with 10.0.0.2 port 22: no matching host key type found. Their offer: x",
                ErrorKind::HostKey,
                "none of that kind",
            ),
            ("vk-ibestad@room-2: Permission denied (publickey).", ErrorKind::Refused, "refuses the key"),
            ("subsystem request failed on channel 0", ErrorKind::Denied, "offer SFTP"),
            ("Timeout, server room-2 not responding.", ErrorKind::TimedOut, "30s"),
            (
                "Connection timed out during banner exchange\nConnection to room-2 port 22 timed out",
                ErrorKind::TimedOut,
                "30s",
            ),
            ("ssh: connect to host room-2 port 22: Connection refused", ErrorKind::Unreachable, "refused"),
            (
                "ssh: connect to host room-2 port 22: Connection timed out",
                ErrorKind::Unreachable,
                "timed out",
            ),
            (
                "ssh: Could not resolve hostname room-2: Name or service not known",
                ErrorKind::Unreachable,
                "not known",
            ),
            ("Connection to room-2 closed by remote host.", ErrorKind::Closed, "by remote host"),
            ("client_loop: send disconnect: Broken pipe", ErrorKind::Closed, "Broken pipe"),
            ("something new of OpenSSH 12", ErrorKind::Closed, "something new"),
        ] {
            let (found, text) = kind(said).unwrap();
            assert_eq!(found, expected, "{said}");
            assert!(text.contains(part), "{said}: {text}");
        }
    }
}
