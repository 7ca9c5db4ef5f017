//! The device: everything that lives as long as the simulator, whoever asks.

use std::sync::{Mutex, RwLock};

use serde_json::json;

use crate::access::Access;
use crate::clock::Clock;
use crate::config::{Config, SeedError};
use crate::identity::Identity;
use crate::journal::{Journal, Stats};
use crate::monitor::Revisions;
use crate::options::Options;
use crate::orders::Orders;
use crate::recording::Recording;

/// A FortiGate.
#[derive(Debug)]
pub(crate) struct Device {
    /// Who it is.
    pub identity: Identity,
    /// What time it is.
    pub clock: Clock,
    /// The running configuration.
    pub config: RwLock<Config>,
    /// Sessions.
    pub access: Mutex<Access>,
    /// Saved configurations.
    pub revisions: Mutex<Revisions>,
    /// The writes.
    pub journal: Mutex<Journal>,
    /// The counters.
    pub stats: Mutex<Stats>,
    /// What shall go wrong.
    pub orders: Mutex<Orders>,
    /// The table that is recorded.
    pub recording: Mutex<Option<Recording>>,
}

impl Device {
    /// A device as the options want it.
    pub(crate) fn new(options: &Options) -> Result<Self, SeedError> {
        let identity = options.identity.clone();
        let mut config = Config::new(&identity.serial, options.vdom_limit);
        config.moves_in_transactions = options.moves_in_transactions;
        let mode = if identity.peers.is_empty() { "standalone" } else { "a-p" };
        config.preset("system/global", &json!({"hostname": identity.hostname}));
        config.preset("system/ha", &json!({"mode": mode}));
        let seed = json!({"global": {
            "system/admin": [{
                "name": options.admin.name,
                "password": options.admin.password,
                "accprofile": "super_admin",
                "vdom": [{"name": "root"}],
            }],
            "system/api-user": options.token.iter().map(|token| json!({
                "name": "api",
                "api-key": token,
                "accprofile": "super_admin",
                "vdom": [{"name": "root"}],
            })).collect::<Vec<_>>(),
        }});
        config.load(&seed)?;
        if let Some(seed) = &options.seed {
            config.load(seed)?;
        }
        let orders = Orders { delay: options.delay, ..Orders::default() };
        Ok(Self {
            identity,
            clock: Clock::default(),
            config: RwLock::new(config),
            access: Mutex::default(),
            revisions: Mutex::new(Revisions::with_room(options.revisions)),
            journal: Mutex::default(),
            stats: Mutex::default(),
            orders: Mutex::new(orders),
            recording: Mutex::default(),
        })
    }
}
