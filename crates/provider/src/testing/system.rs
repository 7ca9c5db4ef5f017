//! A system in memory that behaves like a real one: it has a journal, can be cut off at any write, and others work in
//! it too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use vertskommune_core::backup::{Jobs, Known};
use vertskommune_core::directory::Signals;
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{Mark, TenantName};
use vertskommune_core::observation::Scope;

use super::kept;
use super::vault::Vault;
use crate::error::ProviderError;
use crate::{Changes, Claim};

/// One thing in the system, found by its path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// Whose it is; none where it is not ours.
    pub mark: Option<Mark>,
    /// Its fields.
    pub fields: Facts,
    /// The values that we gave last.
    pub applied: Facts,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
    /// Somebody's snapshot is on it.
    pub snapshot: bool,
    /// A backup's snapshot is on it.
    #[serde(default)]
    pub backup: bool,
    /// What people should know of it.
    pub notices: Vec<String>,
    /// What its disks hold that were written; the others hold what [`disk_bytes`](super::disk_bytes) says.
    #[serde(default)]
    pub disks: BTreeMap<String, Vec<u8>>,
}

/// Where a write is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The system never gets it.
    Before,
    /// The system carries it out, and its answer is lost.
    After,
}

/// A system in memory.
#[derive(Debug)]
pub struct MemorySystem {
    /// What proves that it is this one.
    pub identity: String,
    state: Mutex<State>,
    revision: watch::Sender<u64>,
    pub(super) vault: Arc<Vault>,
    /// Where it lies while no process has it.
    file: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct State {
    things: BTreeMap<String, Thing>,
    /// Marks of things that were made once, with their identities.
    born: BTreeMap<Mark, String>,
    /// What is known of tenants' backups.
    backups: BTreeMap<TenantName, Known>,
    /// What tenants' trusts show.
    trusts: BTreeMap<TenantName, Arc<Signals>>,
    /// What other products' jobs have left.
    jobs: Jobs,
    journal: Vec<String>,
    cut: Option<(usize, Cut)>,
    dead: bool,
    changed: Vec<(u64, TenantName)>,
    blind: Option<ProviderError>,
    hidden: BTreeSet<TenantName>,
    claim: Option<Claim>,
    reads: u64,
    /// Servers that are held fast by an export that is open.
    open: BTreeSet<String>,
}

impl MemorySystem {
    /// An empty system.
    pub fn new(identity: impl Into<String>) -> Self {
        let (state, revision) = (Mutex::default(), watch::Sender::new(0));
        Self { identity: identity.into(), state, revision, vault: Arc::default(), file: None }
    }

    /// The system that lies in this file, or an empty one: it outlives the process.
    ///
    /// # Panics
    /// The file holds something else.
    pub fn in_file(identity: impl Into<String>, file: PathBuf) -> Self {
        let system = Self::new(identity);
        if let Some(kept) = kept::read(&file) {
            let mut state = system.state();
            state.things = kept.things;
            state.born = kept.born.into_iter().collect();
            system.vault.put_all(kept.runs);
        }
        Self { file: Some(file), ..system }
    }

    /// All that is there, by path.
    pub fn things(&self) -> BTreeMap<String, Thing> {
        self.state().things.clone()
    }

    /// The marks of all that was made once, with the identities.
    pub fn born(&self) -> BTreeMap<Mark, String> {
        self.state().born.clone()
    }

    /// What somebody else does here, without a journal.
    pub fn by_hand(&self, change: impl FnOnce(&mut BTreeMap<String, Thing>)) {
        let mut state = self.state();
        let before = state.things.clone();
        change(&mut state.things);
        let touched = before.iter().chain(&state.things).filter_map(|(path, thing)| {
            let same = before.get(path) == state.things.get(path);
            if same { None } else { thing.mark.as_ref().map(|mark| mark.tenant.clone()) }
        });
        let touched: BTreeSet<_> = touched.collect();
        self.announce(&mut state, touched);
    }

    /// Puts in what is known of a tenant's backups, as if somebody had taken them.
    pub fn set_backups(&self, tenant: &TenantName, known: Known) {
        let mut state = self.state();
        state.backups.insert(tenant.clone(), known);
        self.announce(&mut state, BTreeSet::from([tenant.clone()]));
    }

    /// Puts in what a tenant's trust shows on both of its sides.
    pub fn set_trust(&self, tenant: &TenantName, signals: Signals) {
        let mut state = self.state();
        state.trusts.insert(tenant.clone(), Arc::new(signals));
        self.announce(&mut state, BTreeSet::from([tenant.clone()]));
    }

    /// Puts in what other products' jobs have left.
    pub fn set_jobs(&self, jobs: Jobs) {
        self.state().jobs = jobs;
    }

    /// Records of all marked things that they were made once.
    pub fn remember(&self) {
        let mut state = self.state();
        let State { things, born, .. } = &mut *state;
        let marked = things.iter().filter_map(|(path, thing)| Some((thing.mark.clone()?, identity(path))));
        born.extend(marked);
    }

    /// Forgets that a thing was made once.
    pub fn forget(&self, mark: &Mark) {
        self.state().born.remove(mark);
    }

    /// The writes since the last [`Self::reset_journal`].
    pub fn journal(&self) -> Vec<String> {
        self.state().journal.clone()
    }

    /// How often it was read.
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// Empties the journal and brings the system back from a cut.
    pub fn reset_journal(&self) {
        let mut state = self.state();
        state.journal.clear();
        state.cut = None;
        state.dead = false;
    }

    /// Cuts the connection at the `nth` write from now on, counted from 0. It stays cut until the journal is reset.
    pub fn cut(&self, nth: usize, cut: Cut) {
        self.reset_journal();
        self.state().cut = Some((nth, cut));
    }

    /// Whether the cut has happened.
    pub fn is_cut(&self) -> bool {
        self.state().dead
    }

    /// Makes every look fail, or none.
    pub fn set_blind(&self, error: Option<ProviderError>) {
        let lost = error.is_some();
        self.state().blind = error;
        // A connection breaks with an error. That there would be sight again, no system tells.
        if lost {
            self.announce_all();
        }
    }

    /// Hides all things of a tenant, as a revoked right does.
    pub fn hide(&self, tenant: &TenantName, hidden: bool) {
        let mut state = self.state();
        if hidden {
            state.hidden.insert(tenant.clone());
        } else {
            state.hidden.remove(tenant);
        }
        self.announce(&mut state, BTreeSet::from([tenant.clone()]));
    }

    /// Carries out a write, unless the connection is cut there.
    pub(super) fn write(
        &self,
        what: String,
        change: impl FnOnce(&mut BTreeMap<String, Thing>, &mut BTreeMap<Mark, String>) -> Option<TenantName>,
    ) -> Result<(), ProviderError> {
        let mut state = self.state();
        state.reachable(&self.identity)?;
        let cut = state.cut.filter(|(nth, _)| *nth == state.journal.len()).map(|(_, cut)| cut);
        if cut == Some(Cut::Before) {
            state.dead = true;
            return Err(unreachable_at(&self.identity));
        }
        state.journal.push(what);
        let State { things, born, .. } = &mut *state;
        let touched = change(things, born);
        self.announce(&mut state, touched.into_iter().collect());
        self.keep(&state);
        if cut == Some(Cut::After) {
            state.dead = true;
            return Err(ProviderError::Timeout("the answer was lost".to_owned()));
        }
        Ok(())
    }

    /// Holds a server fast for an export, or lets it go.
    pub(super) fn snapshot(&self, path: &str, held: bool) -> Result<(), ProviderError> {
        let what = if held { "snapshot" } else { "unsnapshot" };
        self.write(format!("{what} {path}"), |things, _| {
            let thing = things.get_mut(path)?;
            thing.backup = held;
            thing.mark.as_ref().map(|mark| mark.tenant.clone())
        })?;
        if held {
            self.state().open.insert(path.to_owned());
        }
        Ok(())
    }

    /// Takes away a machine that did not become whole.
    pub(super) fn removed(&self, path: &str) -> Result<(), ProviderError> {
        self.write(format!("remove {path}"), |things, _| {
            things.remove(path);
            None
        })
    }

    /// An export is open no more, whatever became of what was made for it.
    pub(super) fn close(&self, path: &str) {
        self.state().open.remove(path);
    }

    /// What exports of this tenant left that are open no more.
    pub(super) fn left(&self, tenant: &TenantName) -> Vec<String> {
        let state = self.state();
        let of_tenant = |thing: &Thing| thing.mark.as_ref().is_some_and(|mark| mark.tenant == *tenant);
        let left = state
            .things
            .iter()
            .filter(|(path, thing)| thing.backup && of_tenant(thing) && !state.open.contains(*path));
        left.map(|(path, _)| path.clone()).collect()
    }

    /// Something came into the backups of this tenant.
    pub(super) fn came(&self, tenant: &TenantName) {
        let mut state = self.state();
        self.announce(&mut state, BTreeSet::from([tenant.clone()]));
        self.keep(&state);
    }

    fn keep(&self, state: &State) {
        if let Some(file) = &self.file {
            kept::write(file, &state.things, &state.born, self.vault.all());
        }
    }

    /// What a look at this sees, and which tenants are hidden from it. What carries no mark is seen by every look.
    pub(super) fn read(&self, scope: &Scope) -> Result<Seen, ProviderError> {
        let mut state = self.state();
        state.reads += 1;
        state.reachable(&self.identity)?;
        let visible = |mark: &Mark| scope.includes(&mark.tenant) && !state.hidden.contains(&mark.tenant);
        let things = state.things.iter().filter(|(_, thing)| thing.mark.as_ref().is_none_or(visible));
        let born = state.born.iter().filter(|(mark, _)| visible(mark));
        Ok(Seen {
            things: things.map(|(path, thing)| (path.clone(), thing.clone())).collect(),
            born: born.map(|(mark, identity)| (mark.clone(), identity.clone())).collect(),
            backups: {
                let mut backups = state.backups.clone();
                backups.extend(self.vault.known());
                backups.retain(|tenant, _| scope.includes(tenant) && !state.hidden.contains(tenant));
                backups
            },
            trusts: {
                let mut trusts = state.trusts.clone();
                trusts.retain(|tenant, _| scope.includes(tenant) && !state.hidden.contains(tenant));
                trusts
            },
            jobs: state.jobs.clone(),
            hidden: state.hidden.iter().filter(|tenant| scope.includes(tenant)).cloned().collect(),
        })
    }

    /// The thing that lies there, unless it is hidden.
    pub(super) fn thing(&self, path: &str) -> Result<Option<Thing>, ProviderError> {
        let mut state = self.state();
        state.reads += 1;
        state.reachable(&self.identity)?;
        let visible =
            |thing: &&Thing| thing.mark.as_ref().is_none_or(|mark| !state.hidden.contains(&mark.tenant));
        Ok(state.things.get(path).filter(visible).cloned())
    }

    pub(super) fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// What has changed since that revision, as soon as something has.
    pub(super) async fn changed_since(&self, since: u64) -> (u64, Changes) {
        let mut revision = self.revision.subscribe();
        // The sender lives as long as this system does.
        let now = revision.wait_for(|now| *now > since).await.map_or(since, |now| *now);
        let state = self.state();
        if state.blind.is_some() || state.dead {
            return (now, Changes::Anything);
        }
        let tenants = state.changed.iter().filter(|(at, _)| *at > since).map(|(_, tenant)| tenant.clone());
        let tenants: BTreeSet<_> = tenants.collect();
        (now, if tenants.is_empty() { Changes::Anything } else { Changes::Tenants(tenants) })
    }

    pub(super) fn set_claim(&self, claim: &Claim, now: Timestamp) -> Result<(), ProviderError> {
        let mut state = self.state();
        state.reachable(&self.identity)?;
        if let Some(other) = &state.claim
            && (&other.installation, &other.holder) != (&claim.installation, &claim.holder)
            && other.expires > now
            && !claim.take_over
        {
            return Err(ProviderError::Claimed {
                installation: other.installation.to_string(),
                holder: other.holder.clone(),
                expires: other.expires,
            });
        }
        state.claim = Some(claim.clone());
        Ok(())
    }

    fn announce(&self, state: &mut State, tenants: BTreeSet<TenantName>) {
        let next = self.revision() + 1;
        state.changed.extend(tenants.into_iter().map(|tenant| (next, tenant)));
        // A watcher that was away for longer is told that anything may have changed.
        let excess = state.changed.len().saturating_sub(10_000);
        state.changed.drain(..excess);
        self.revision.send_replace(next);
    }

    fn announce_all(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reachable(&self, identity: &str) -> Result<(), ProviderError> {
        match &self.blind {
            Some(error) => Err(error.clone()),
            None if self.dead => Err(unreachable_at(identity)),
            None => Ok(()),
        }
    }
}

fn unreachable_at(identity: &str) -> ProviderError {
    ProviderError::Unreachable { endpoint: identity.to_owned(), why: "cut off by the test".to_owned() }
}

/// What the system calls the thing that lies there: a UUID, as real systems give one.
pub fn identity(path: &str) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let hash = hasher.finish();
    format!("{:08x}-{:04x}-5000-8000-{:012x}", hash >> 32, hash & 0xffff, hash & 0xffff_ffff_ffff)
}

/// What a look saw.
pub(super) struct Seen {
    pub(super) things: BTreeMap<String, Thing>,
    pub(super) born: BTreeMap<Mark, String>,
    pub(super) backups: BTreeMap<TenantName, Known>,
    pub(super) trusts: BTreeMap<TenantName, Arc<Signals>>,
    pub(super) jobs: Jobs,
    pub(super) hidden: BTreeSet<TenantName>,
}
