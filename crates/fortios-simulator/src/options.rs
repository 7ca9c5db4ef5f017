//! How a simulator is started in process; the command line makes the same of its flags.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use crate::identity::{Firmware, Identity};

/// Everything that can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the REST API listens; port 0 is a free one.
    pub listen: SocketAddr,
    /// Where the admin port listens.
    pub admin_listen: SocketAddr,
    /// The certificate, or one made for the occasion.
    pub certificate: Certificate,
    /// Who the device is.
    pub identity: Identity,
    /// Its administrator.
    pub admin: Login,
    /// The token of the API user `api`; without one there is no such user.
    pub token: Option<String>,
    /// How many VDOMs its licence allows.
    pub vdom_limit: usize,
    /// Whether a transaction may move rows.
    pub moves_in_transactions: bool,
    /// How many saved configurations the device keeps; 0 is a device without a disk.
    pub revisions: usize,
    /// Every answer is so much slower.
    pub delay: Duration,
    /// A configuration to start with: `{vdom or "global": {"path/name": [rows]}}`.
    pub seed: Option<Json>,
}

/// A name and its password.
#[derive(Clone, Debug)]
pub struct Login {
    /// The administrator's name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// Where certificate and key come from.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// PEM files.
    Files {
        /// The chain, the device's own first.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// An authority and a certificate for 127.0.0.1 and localhost, made at the start.
    Made,
}

impl Default for Options {
    fn default() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: loopback,
            admin_listen: loopback,
            certificate: Certificate::Made,
            identity: Identity {
                hostname: "fortigate".to_owned(),
                serial: "FGVM04TM24000001".to_owned(),
                peers: Vec::new(),
                firmware: Firmware::new(7, 4, 8),
            },
            admin: Login { name: "admin".to_owned(), password: String::new() },
            token: None,
            vdom_limit: 10,
            moves_in_transactions: true,
            revisions: 20,
            delay: Duration::ZERO,
            seed: None,
        }
    }
}
