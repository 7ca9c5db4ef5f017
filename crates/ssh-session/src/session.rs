//! A session: connected, the host known, logged in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use ssh2::{Channel, ErrorCode, MethodType};

use crate::connect::connect;
use crate::host_key::fingerprint;
use crate::link::{Failed, Link};
use crate::{Cancel, Error, HostKey, PrivateKey};

/// How much may be on its way to us unread, in bytes. libssh2's own 2 MiB would hold up a far or fast host.
const WINDOW: u32 = 8 << 20;

/// The largest packet that we take, in bytes; OpenSSH sends no larger ones.
const PACKET: u32 = 32 << 10;

/// Ciphers and integrity that are accepted: all are OpenSSH's defaults.
const CIPHERS: &str = "aes128-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com";
const INTEGRITY: &str =
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";

/// libssh2's numbers that mean something to us.
mod code {
    pub(super) const FILE: i32 = -16;
    pub(super) const METHOD_NONE: i32 = -17;
    pub(super) const AUTHENTICATION_FAILED: i32 = -18;
    pub(super) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(super) const METHOD_NOT_SUPPORTED: i32 = -33;
    pub(super) const REQUEST_DENIED: i32 = -22;
    pub(super) const CHANNEL_FAILURE: i32 = -21;
}

/// Whom to speak to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// The key that it must show.
    pub host_key: HostKey,
}

/// The longest that anything may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the connection stands, the name looked up.
    pub connect: Duration,
    /// From there until the host has shown its key.
    pub handshake: Duration,
    /// From there until it has let us in.
    pub login: Duration,
    /// For an answer to something asked: a channel, or one request of SFTP.
    pub answer: Duration,
}

impl Default for Limits {
    /// For a host in another room of the same town. An SFTP answer may wait for a disk that is busy.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            handshake: Duration::from_secs(20),
            login: Duration::from_secs(30),
            answer: Duration::from_secs(300),
        }
    }
}

/// A connection that is logged in.
pub struct Session {
    pub(crate) ssh: ssh2::Session,
    pub(crate) link: Link,
    pub(crate) limits: Limits,
    pub(crate) user: String,
}

impl Session {
    /// Connects, compares the host's key, and logs in.
    ///
    /// # Errors
    /// All but [`Error::TooLong`] and [`Error::Denied`]. With [`Error::HostKey`] nothing of the private
    /// key was used or sent.
    pub fn open(target: &Target, key: &PrivateKey, limits: Limits, cancel: &Cancel) -> Result<Self, Error> {
        let session = Self::greet(target, limits, cancel)?;
        session.compare(&target.host_key)?;
        session.log_in(key)?;
        Ok(session)
    }

    /// Connects and exchanges keys.
    fn greet(target: &Target, limits: Limits, cancel: &Cancel) -> Result<Self, Error> {
        let doing = "shaking hands";
        let stream = Arc::new(connect(&target.host, target.port, limits.connect, cancel)?);
        let link = Link {
            stream: stream.clone(),
            cancel: cancel.clone(),
            on: format!("{}:{}", target.host, target.port),
        };
        let closed = |cause: &dyn fmt::Display| link.closed(doing, cause);
        // Small requests must not wait for each other. There is no limit of TCP's own: it would also take one who has no room
        // at the moment for one who is gone.
        sockopt::set_tcp_nodelay(&stream, true).map_err(|error| closed(&error))?;
        let mut ssh = ssh2::Session::new().map_err(|error| closed(&error))?;
        ssh.set_blocking(false);
        for (method, preferred) in [
            (MethodType::HostKey, target.host_key.preference().as_str()),
            (MethodType::CryptCs, CIPHERS),
            (MethodType::CryptSc, CIPHERS),
            (MethodType::MacCs, INTEGRITY),
            (MethodType::MacSc, INTEGRITY),
        ] {
            ssh.method_pref(method, preferred).map_err(|error| closed(&error))?;
        }
        ssh.set_tcp_stream(stream);
        let mut shaking = ssh.clone();
        link.drive(&ssh, doing, limits.handshake, || shaking.handshake()).map_err(link.lost(doing))?;
        Ok(Self { ssh, link, limits, user: target.user.clone() })
    }

    /// Holds the host's key against the pinned one.
    fn compare(&self, pinned: &HostKey) -> Result<(), Error> {
        let shown = self.ssh.host_key();
        if shown.is_some_and(|(blob, _)| pinned.is(blob)) {
            return Ok(());
        }
        let seen = shown.map_or_else(|| "none".to_owned(), |(blob, _)| fingerprint(blob));
        Err(Error::HostKey { on: self.link.on.clone(), pinned: pinned.fingerprint(), seen })
    }

    fn log_in(&self, key: &PrivateKey) -> Result<(), Error> {
        let doing = "logging in";
        let step = || self.ssh.userauth_pubkey_memory(&self.user, None, key.expose(), None);
        self.link.drive(&self.ssh, doing, self.limits.login, step).map_err(|failed| match failed {
            Failed::Ssh(error) => match error.code() {
                ErrorCode::Session(code::AUTHENTICATION_FAILED | code::PUBLICKEY_UNVERIFIED) => {
                    Error::Refused { on: self.link.on.clone(), user: self.user.clone() }
                }
                // libssh2's texts name no part of the key.
                ErrorCode::Session(code::FILE | code::METHOD_NONE | code::METHOD_NOT_SUPPORTED) => {
                    Error::Key { user: self.user.clone(), cause: error.message().to_owned() }
                }
                _ => self.link.closed(doing, error.message()),
            },
            Failed::Error(error) => error,
        })
    }

    /// A channel on which the host has agreed to do something.
    pub(crate) fn channel(
        &self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut(&mut Channel) -> Result<(), ssh2::Error>,
    ) -> Result<Channel, Error> {
        let doing = "opening a channel";
        let denied = |failed| match failed {
            Failed::Ssh(error)
                if matches!(
                    error.code(),
                    ErrorCode::Session(code::REQUEST_DENIED | code::CHANNEL_FAILURE)
                ) =>
            {
                let (on, user) = (self.link.on.clone(), self.user.clone());
                Error::Denied { on, user, what: what.to_owned() }
            }
            other => self.link.lost(doing)(other),
        };
        let open = || self.ssh.channel_open("session", WINDOW, PACKET, None);
        let mut channel = self.link.drive(&self.ssh, doing, limit, open).map_err(denied)?;
        self.link.drive(&self.ssh, doing, limit, || ask(&mut channel)).map_err(denied)?;
        Ok(channel)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A word of goodbye where it can be said at once; the host notices the end of the connection anyway.
        let _ = self.ssh.disconnect(None, "done", None);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}@{})", self.user, self.link.on)
    }
}
