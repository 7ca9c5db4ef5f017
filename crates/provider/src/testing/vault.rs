//! What lies in an in-memory second room, and how tests make it fail.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::watch;
use vertskommune_core::backup::facts::{DiskBackup, Outcome, Proof, ServerBackups};
use vertskommune_core::backup::{Backups, Known};
use vertskommune_core::names::TenantName;
use vertskommune_core::transfer::{Transfer, Work};

use super::system::MemorySystem;
use crate::error::ProviderError;
use crate::{Ctx, Restore, RestoreServer, Run, RunDisk};

/// What lies in a room, and what moves there.
#[derive(Debug, Default)]
pub(super) struct Vault {
    state: Mutex<State>,
    /// Whether bytes stand still.
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    runs: Runs,
    moving: BTreeSet<(TenantName, String)>,
    most: usize,
    begun: Vec<String>,
    failing: Option<ProviderError>,
    spoilt: bool,
}

/// By tenant, server and run.
pub(super) type Runs = BTreeMap<TenantName, BTreeMap<String, BTreeMap<String, Kept>>>;

/// A run's id, its configuration, and its disks.
pub(super) type Whole = (String, Json, BTreeMap<String, (Vec<u8>, bool)>);

/// A run in the room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    begun: Timestamp,
    #[serde(default)]
    configuration: Json,
    pub(super) disks: BTreeMap<String, KeptDisk>,
}

/// A disk in the room, with the hash of what was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptDisk {
    pub(super) bytes: Vec<u8>,
    sent: u64,
    proof: Option<Proof>,
}

impl KeptDisk {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { sent: hash(&bytes), bytes, proof: None }
    }

    fn flip(&mut self) {
        self.bytes[0] ^= 1;
    }

    fn is_sound(&self) -> bool {
        hash(&self.bytes) == self.sent
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

impl Vault {
    /// Counts a transfer while it runs. Two for one server are a fault in whoever runs them.
    pub(super) fn enter(self: &Arc<Self>, transfer: &Transfer) -> Result<Entered, ProviderError> {
        let place = (transfer.tenant.clone(), transfer.server.clone());
        let mut state = self.state();
        assert!(state.moving.insert(place.clone()), "{place:?} is moved twice at once");
        state.most = state.most.max(state.moving.len());
        let (tenant, server) = (&transfer.tenant, &transfer.server);
        state.begun.push(match &transfer.work {
            Work::Backup => format!("backup {tenant}/{server}"),
            Work::Proof { disk } => format!("proof {tenant}/{server}/{disk}"),
        });
        let failing = state.failing.clone();
        drop(state);
        let entered = Entered { vault: self.clone(), place };
        match failing {
            Some(error) => Err(error),
            None => Ok(entered),
        }
    }

    /// Waits while bytes stand still, and says whether they may go on.
    pub(super) async fn pass(&self, ctx: &Ctx) -> Result<(), ProviderError> {
        let mut held = self.held.subscribe();
        tokio::select! {
            // The sender lives as long as this.
            _ = held.wait_for(|held| !held) => {}
            () = ctx.cancel.cancelled() => {}
        }
        ctx.permit()
    }

    pub(super) fn put(
        &self,
        transfer: &Transfer,
        begun: Timestamp,
        configuration: Json,
        mut disks: BTreeMap<String, KeptDisk>,
    ) {
        let mut state = self.state();
        if state.spoilt {
            disks.values_mut().for_each(KeptDisk::flip);
        }
        let of_tenant = state.runs.entry(transfer.tenant.clone()).or_default();
        let runs = of_tenant.entry(transfer.server.clone()).or_default();
        // A run's id counts seconds, and tests are faster.
        let mut at = begun;
        while runs.contains_key(&run_id(at)) {
            at = at.checked_add(SignedDuration::from_secs(1)).unwrap_or(at);
        }
        runs.insert(run_id(at), Kept { begun, configuration, disks });
    }

    /// Compares a disk of the last run with what was sent, and remembers it.
    pub(super) fn prove(
        &self,
        transfer: &Transfer,
        disk: &str,
        at: Timestamp,
    ) -> Result<(u64, Outcome), ProviderError> {
        let mut state = self.state();
        let runs = state.runs.get_mut(&transfer.tenant).and_then(|servers| servers.get_mut(&transfer.server));
        let last = runs.and_then(|runs| runs.values_mut().next_back());
        let kept = last.and_then(|run| run.disks.get_mut(disk)).ok_or_else(no_backup)?;
        let outcome = if kept.is_sound() {
            Outcome::Intact
        } else {
            Outcome::Damaged("its bytes are not what was sent".to_owned())
        };
        kept.proof = Some(Proof { at, outcome: outcome.clone() });
        Ok((kept.bytes.len() as u64, outcome))
    }

    pub(super) fn disk(&self, wanted: &Restore) -> Result<(Vec<u8>, bool), ProviderError> {
        let state = self.state();
        let runs = state.runs.get(&wanted.tenant).and_then(|servers| servers.get(&wanted.server));
        let run = runs.and_then(|runs| match &wanted.run {
            Some(id) => runs.get(id),
            None => runs.values().next_back(),
        });
        let kept = run.and_then(|run| run.disks.get(&wanted.disk)).ok_or_else(no_backup)?;
        Ok((kept.bytes.clone(), kept.is_sound()))
    }

    /// A run with its configuration, and the bytes of all its disks and whether they are what was sent.
    pub(super) fn whole(&self, wanted: &RestoreServer) -> Result<Whole, ProviderError> {
        let state = self.state();
        let runs = state.runs.get(&wanted.tenant).and_then(|servers| servers.get(&wanted.server));
        let run = runs.and_then(|runs| match &wanted.run {
            Some(id) => runs.get_key_value(id),
            None => runs.last_key_value(),
        });
        let (id, kept) = run.ok_or_else(no_backup)?;
        let disk = |(name, disk): (&String, &KeptDisk)| (name.clone(), (disk.bytes.clone(), disk.is_sound()));
        Ok((id.clone(), kept.configuration.clone(), kept.disks.iter().map(disk).collect()))
    }

    pub(super) fn runs_of(&self, tenant: &TenantName) -> Vec<Run> {
        let state = self.state();
        let all = state.runs.get(tenant).into_iter().flatten();
        let disk = |disk: &KeptDisk| RunDisk { bytes: disk.bytes.len() as u64, proof: disk.proof.clone() };
        let run = |server: &String, id: &String, kept: &Kept| Run {
            run: id.clone(),
            server: server.clone(),
            begun: kept.begun,
            disks: kept.disks.iter().map(|(name, it)| (name.clone(), disk(it))).collect(),
        };
        let mut runs: Vec<_> =
            all.flat_map(|(server, runs)| runs.iter().map(move |(id, kept)| run(server, id, kept))).collect();
        runs.sort_by(|one, other| (&other.run, &one.server).cmp(&(&one.run, &other.server)));
        runs
    }

    /// What is known of each tenant's backups now.
    pub(super) fn known(&self) -> BTreeMap<TenantName, Known> {
        let of_server = |runs: &BTreeMap<String, Kept>| {
            let mut server = ServerBackups::default();
            for run in runs.values() {
                server.last_good = Some(run.begun);
                let disks = run.disks.iter().map(|(name, disk)| {
                    let bytes = disk.bytes.len() as u64;
                    (name.clone(), DiskBackup { bytes, taken: run.begun, proof: disk.proof.clone() })
                });
                server.disks.extend(disks);
            }
            server
        };
        let of_tenant = |servers: &BTreeMap<String, BTreeMap<String, Kept>>| {
            let servers = servers.iter().map(|(name, runs)| (name.clone(), of_server(runs))).collect();
            let backups = Arc::new(Backups { servers, ..Backups::default() });
            Known { seen_at: Timestamp::now(), backups }
        };
        self.state().runs.iter().map(|(tenant, servers)| (tenant.clone(), of_tenant(servers))).collect()
    }

    pub(super) fn all(&self) -> Runs {
        self.state().runs.clone()
    }

    pub(super) fn put_all(&self, runs: Runs) {
        self.state().runs = runs;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemorySystem {
    /// Makes bytes stand still between two chunks, or go on.
    pub fn hold_transfers(&self, held: bool) {
        self.vault.held.send_replace(held);
    }

    /// Makes every transfer fail, or none.
    pub fn fail_transfers(&self, error: Option<ProviderError>) {
        self.vault.state().failing = error;
    }

    /// The transfers that were begun, in their order: `backup tenant/server`, `proof tenant/server/disk`.
    pub fn transfers_begun(&self) -> Vec<String> {
        self.vault.state().begun.clone()
    }

    /// How many transfers run now, and how many did at once at most.
    pub fn transfers_running(&self) -> (usize, usize) {
        let state = self.vault.state();
        (state.moving.len(), state.most)
    }

    /// Makes what comes in lie here otherwise than it was sent, or not.
    pub fn spoil(&self, spoilt: bool) {
        self.vault.state().spoilt = spoilt;
    }

    /// Flips a bit in every disk of a server that lies here.
    pub fn damage(&self, tenant: &TenantName, server: &str) {
        let mut state = self.vault.state();
        let runs = state.runs.get_mut(tenant).and_then(|servers| servers.get_mut(server));
        runs.into_iter().flatten().flat_map(|(_, run)| run.disks.values_mut()).for_each(KeptDisk::flip);
    }
}

/// A transfer that is counted until this is dropped.
pub(super) struct Entered {
    vault: Arc<Vault>,
    place: (TenantName, String),
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.vault.state().moving.remove(&self.place);
    }
}

/// The id of a run that began at this moment.
pub(super) fn run_id(begun: Timestamp) -> String {
    begun.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn no_backup() -> ProviderError {
    ProviderError::Refused("there is no such backup".to_owned())
}
