//! The tasks that this process has started: which resource each works for, and which have failed.
//!
//! It is only a hint: all of it may be lost with the process. Then a running clone is known by its template, and a
//! failed task by what it has not done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vertskommune_core::names::ResourceId;
use vertskommune_provider::ProviderError;
use vsphere_client::{Mor, TaskInfo, TaskState};

use crate::failure::of_fault;

/// How many of our tasks are remembered after their end: some more than vCenter itself lists as recent.
const LATEST: usize = 500;

/// The tasks that this process has started.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    started: BTreeMap<Mor, Started>,
    /// The last tasks that were started, ended or not.
    latest: VecDeque<Mor>,
    failed: BTreeMap<Started, ProviderError>,
    /// The machines whose guests this process has asked to shut down.
    asked: BTreeSet<Mor>,
}

/// What a task was started for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Started {
    /// The resource.
    pub(crate) resource: ResourceId,
    /// The step's operation.
    pub(crate) operation: String,
}

impl Ledger {
    /// Notes a task that was started.
    pub(crate) fn note(&self, task: &Mor, started: Started) {
        let mut entries = self.entries();
        entries.started.insert(task.clone(), started);
        entries.latest.push_back(task.clone());
        if entries.latest.len() > LATEST {
            entries.latest.pop_front();
        }
    }

    /// Notes that a guest was asked to shut down.
    pub(crate) fn note_asked(&self, vm: &Mor) {
        self.entries().asked.insert(vm.clone());
    }

    /// Whether this process asked the guest to shut down.
    pub(crate) fn has_asked(&self, vm: &Mor) -> bool {
        self.entries().asked.contains(vm)
    }

    /// Whether this process started the task, as far as it remembers.
    pub(crate) fn is_ours(&self, task: &Mor) -> bool {
        self.entries().latest.contains(task)
    }

    /// What a task was started for, if this process did.
    pub(crate) fn of(&self, task: &Mor) -> Option<Started> {
        self.entries().started.get(task).cloned()
    }

    /// All tasks whose end has not been seen.
    pub(crate) fn open(&self) -> Vec<Mor> {
        self.entries().started.keys().cloned().collect()
    }

    /// Takes in how these tasks are. Those of `asked` that vCenter does not know any more are forgotten.
    pub(crate) fn settle(&self, asked: &[Mor], tasks: &BTreeMap<Mor, TaskInfo>) {
        let mut entries = self.entries();
        for task in asked {
            let info = tasks.get(task);
            if info.is_some_and(|info| !info.state.is_final()) {
                continue;
            }
            let Some(started) = entries.started.remove(task) else { continue };
            if let Some(error) = info.filter(|info| info.state == TaskState::Error).map(task_error) {
                entries.failed.insert(started, error);
            }
        }
    }

    /// How the last try of a step failed, told once: the next try is a try again.
    pub(crate) fn take_failure(&self, started: &Started) -> Option<ProviderError> {
        self.entries().failed.remove(started)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a task failed.
pub(crate) fn task_error(info: &TaskInfo) -> ProviderError {
    match &info.error {
        Some(fault) => of_fault(fault),
        None => ProviderError::Refused(format!("{} failed without a reason", info.description_id)),
    }
}
