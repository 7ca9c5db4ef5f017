//! Small files on the other side, by SFTP: to lay one there, to see which there are, and to take one away.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ssh2::{ErrorCode, OpenFlags, OpenType, Sftp};

use crate::exec::now;
use crate::link::{Failed, flags};
use crate::{Error, Session};

/// The codes of SFTP and libssh2 that mean something to us.
mod code {
    pub(super) const NO_SUCH_FILE: i32 = 2;
    pub(super) const PERMISSION_DENIED: i32 = 3;
    /// libssh2's word for the end of a folder.
    pub(super) const NO_MORE: i32 = -16;
}

/// Files by SFTP. Every call has the session's limit for an answer.
pub struct Files {
    sftp: Sftp,
    session: Session,
}

impl Session {
    /// Begins SFTP.
    ///
    /// # Errors
    /// [`Error::Denied`] where the user may not, and what ends a connection.
    pub fn files(self) -> Result<Files, Error> {
        let limit = self.limits.answer;
        // What is closed by being dropped waits, and not for ever.
        self.ssh.set_timeout(u32::try_from(limit.as_millis()).unwrap_or(u32::MAX));
        let opened = self.link.drive(&self.ssh, "opening SFTP", limit, || self.ssh.sftp());
        let sftp = opened.map_err(|failed| match failed {
            Failed::Ssh(error) if matches!(error.code(), ErrorCode::Session(code) if DENIED.contains(&code)) => {
                let (on, user) = (self.link.on.clone(), self.user.clone());
                Error::Denied { on, user, what: "speak SFTP".to_owned() }
            }
            other => self.link.lost("opening SFTP")(other),
        })?;
        Ok(Files { sftp, session: self })
    }
}

/// libssh2's codes for a channel, a subsystem or SFTP itself that is refused.
const DENIED: [i32; 3] = [-21, -22, -31];

impl Files {
    /// The names in a folder; none where there is no such folder.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read.
    pub fn names(&mut self, folder: &str) -> Result<Vec<String>, Error> {
        let doing = "listing a folder";
        let mut open = match self.drive(doing, |sftp| sftp.opendir(Path::new(folder))) {
            Ok(open) => open,
            Err(Failed::Ssh(error)) if error.code() == ErrorCode::SFTP(code::NO_SUCH_FILE) => {
                return Ok(Vec::new());
            }
            Err(failed) => return Err(self.failed(doing, failed)),
        };
        let mut names = Vec::new();
        loop {
            match self.drive(doing, |_| open.readdir()) {
                Ok((path, _)) => names.push(path.to_string_lossy().into_owned()),
                Err(Failed::Ssh(error)) if error.code() == ErrorCode::Session(code::NO_MORE) => break,
                Err(failed) => return Err(self.failed(doing, failed)),
            }
        }
        names.retain(|name| name != "." && name != "..");
        names.sort_unstable();
        Ok(names)
    }

    /// Lays a file there that only its owner reads, whole or not at all. One that is there already is not replaced.
    ///
    /// # Errors
    /// [`Error::File`] where that is so, or there is no room.
    pub fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let doing = "writing a file";
        let new = format!("{path}.new");
        let how = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let opened = self.drive(doing, |sftp| sftp.open_mode(Path::new(&new), how, 0o600, OpenType::File));
        let mut file = opened.map_err(|failed| self.failed(doing, failed))?;
        let (mut rest, limit) = (bytes, self.session.limits.answer);
        let until = Instant::now() + limit;
        while !rest.is_empty() {
            match now(file.write(rest)) {
                Ok(Some(written)) => rest = &rest[written..],
                Ok(None) => {
                    let waits = flags(self.session.ssh.block_directions());
                    self.session.link.wait(waits, doing, until, limit)?;
                }
                Err(cause) => return Err(self.refused(doing, &cause)),
            }
        }
        let synced = self.drive(doing, |_| file.fsync());
        synced.map_err(|failed| self.failed(doing, failed))?;
        let closed = self.drive(doing, |_| file.close());
        closed.map_err(|failed| self.failed(doing, failed))?;
        let renamed = self.drive(doing, |sftp| sftp.rename(Path::new(&new), Path::new(path), None));
        renamed.map_err(|failed| self.failed(doing, failed))
    }

    /// Takes a file away.
    ///
    /// # Errors
    /// [`Error::File`] where it is not there, or does not go.
    pub fn remove(&mut self, path: &str) -> Result<(), Error> {
        let doing = "removing a file";
        let removed = self.drive(doing, |sftp| sftp.unlink(Path::new(path)));
        removed.map_err(|failed| self.failed(doing, failed))
    }

    fn drive<T>(
        &self,
        doing: &'static str,
        mut step: impl FnMut(&Sftp) -> Result<T, ssh2::Error>,
    ) -> Result<T, Failed> {
        let limit: Duration = self.session.limits.answer;
        self.session.link.drive(&self.session.ssh, doing, limit, || step(&self.sftp))
    }

    fn failed(&self, doing: &'static str, failed: Failed) -> Error {
        match failed {
            Failed::Ssh(error) if error.code() == ErrorCode::SFTP(code::PERMISSION_DENIED) => {
                let (on, user) = (self.session.link.on.clone(), self.session.user.clone());
                Error::Denied { on, user, what: format!("allow {doing}") }
            }
            Failed::Ssh(error) if matches!(error.code(), ErrorCode::SFTP(_)) => self.refused(doing, &error),
            other => self.session.link.lost(doing)(other),
        }
    }

    fn refused(&self, doing: &'static str, cause: &dyn std::fmt::Display) -> Error {
        Error::File { on: self.session.link.on.clone(), doing, cause: cause.to_string() }
    }
}
