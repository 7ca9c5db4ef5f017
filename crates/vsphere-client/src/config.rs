//! What the client is told: where vCenter is, who logs in, and how hard it may be used.

use std::time::Duration;

use crate::Secret;

/// How to reach one vCenter and how much of it may be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SOAP end point, `https://vcenter.example/sdk`. No user or password in it.
    pub url: String,
    /// Who logs in.
    pub credentials: Credentials,
    /// The CA certificates that vCenter's certificate is checked against, in PEM. No other root
    /// counts, and there is no way to skip the check.
    pub ca_pem: Vec<u8>,
    /// Calls at once, at most. Long polls, logins and logouts do not count.
    pub max_in_flight: usize,
    /// Calls a second on average, at most; a burst may be as large as one second's share.
    pub requests_per_second: u32,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// A user of vCenter and the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// As vCenter writes it, such as `controller@vsphere.local`.
    pub user: String,
    /// Never printed.
    pub password: Secret,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection with TLS. Default 10 s.
    pub connect: Duration,
    /// For a whole call: the wait for the budget, the request and its answer. Default 120 s.
    pub call: Duration,
    /// After vCenter refused user and password: no login is tried again for so long, as accounts
    /// lock. New credentials end the pause. Default 60 s.
    pub login_pause: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(10),
            call: Duration::from_mins(2),
            login_pause: Duration::from_mins(1),
        }
    }
}

impl Config {
    /// A configuration with the usual limits: 16 calls at once, 50 a second.
    pub fn new(url: impl Into<String>, user: impl Into<String>, password: Secret, ca_pem: Vec<u8>) -> Self {
        Config {
            url: url.into(),
            credentials: Credentials { user: user.into(), password },
            ca_pem,
            max_in_flight: 16,
            requests_per_second: 50,
            timeouts: Timeouts::default(),
        }
    }
}
