//! A step: one change of the real world, chosen completely by the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::difference::bytes_text;
use crate::facts::Facts;
use crate::names::ResourceId;
use crate::observation::{Blindness, Busy};
use crate::reason::Reason;
use crate::resource::Fields;

/// Identifies a step by what it does. The same need gives the same id, whenever and by whomever it is planned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(String);

impl StepId {
    /// How many characters people see, and the fewest by which they may name a step.
    pub const SHORT: usize = 12;

    /// All 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The beginning that people see.
    pub fn short(&self) -> &str {
        self.0.get(..Self::SHORT).unwrap_or(&self.0)
    }

    /// Whether `word`, as an operator wrote it, means this step.
    pub fn is_meant_by(&self, word: &str) -> bool {
        word.len() >= Self::SHORT && self.0.starts_with(word)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.short())
    }
}

/// One change of the real world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it changes.
    pub resource: ResourceId,
    /// What it does there, a word of the plugin's own such as `create`.
    pub operation: String,
    /// What it means for those who use the thing.
    pub class: Class,
    /// What it sets.
    pub fields: Fields,
    /// What it expects to find; if anything else is there when it runs, it must not run.
    pub expects: Facts,
    /// Resources that must exist before it, besides those that its fields name.
    pub after: BTreeSet<ResourceId>,
    /// One sentence for people, in lower case.
    pub summary: String,
    /// Why it cannot run now, as far as the plugin can tell.
    pub blocked: Option<Wait>,
    /// What it uses up of [`crate::observation::Observation::capacity`].
    pub uses: BTreeMap<String, u64>,
    /// Steps of one tenant and provider with the same batch are carried out together, in their order, and none of them
    /// while one has to wait; a system that has transactions does all or nothing. Not part of the id.
    pub batch: Option<String>,
    /// The time of the plan, for what records one. Not part of the id.
    pub planned_at: Timestamp,
}

impl Step {
    /// A step that sets nothing yet.
    pub fn new(resource: &ResourceId, operation: &str, class: Class, planned_at: Timestamp) -> Self {
        Self {
            resource: resource.clone(),
            operation: operation.to_owned(),
            class,
            fields: Fields::new(),
            expects: Facts::new(),
            after: BTreeSet::new(),
            summary: String::new(),
            blocked: None,
            uses: BTreeMap::new(),
            batch: None,
            planned_at,
        }
    }

    /// The hash of tenant, resource, operation, fields and expected prior fields; never of time, of other tenants or
    /// of a secret's value.
    pub fn id(&self) -> StepId {
        let content = (&self.resource, &self.operation, &self.fields, &self.expects);
        // Maps are ordered and no value here can fail to serialise, so the bytes are the same everywhere.
        let bytes = serde_json::to_vec(&content).unwrap_or_default();
        StepId(hex(&Sha256::digest(bytes)))
    }
}

/// Hexadecimal digits of a hash.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a step means for those who use the thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Writes our mark on an existing thing and nothing else.
    Adopt,
    /// Makes something new.
    Create,
    /// Changes something without interrupting it.
    Change,
    /// Interrupts a service: waits for a maintenance window or for `restartBefore`.
    Restart,
    /// Takes out of service what the manifest no longer names. It can be undone by naming it again.
    Retire,
    /// Removes something that holds no data.
    Remove,
    /// Removes data: waits for an operator's word.
    Destroy,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Adopt => "adopt",
            Self::Create => "create",
            Self::Change => "change",
            Self::Restart => "restart",
            Self::Retire => "retire",
            Self::Remove => "remove",
            Self::Destroy => "destroy",
        })
    }
}

/// Why a step does not run now. It runs by itself when the reason is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// Something else must be there first.
    After(ResourceId),
    /// Another step that is carried out together with it has to wait.
    Together(ResourceId),
    /// An operation of the system is under way.
    InProgress {
        /// What is being done, such as `Cloning`.
        operation: String,
        /// How far, 0 to 100, where the system tells.
        percent: Option<u8>,
    },
    /// Somebody else is working on it.
    Busy(Busy),
    /// It interrupts a service and no maintenance window is open.
    MaintenanceWindow {
        /// When the next one opens; none where there is no window at all.
        opens: Option<Timestamp>,
    },
    /// Another of its group is being interrupted.
    Group {
        /// The group.
        group: String,
        /// The step that goes first.
        first: ResourceId,
    },
    /// It destroys data and nobody has named it.
    Word,
    /// It is kept for a while before it may be destroyed.
    Retired {
        /// Until then.
        until: Timestamp,
    },
    /// Another thing still uses it.
    InUse {
        /// What uses it.
        by: String,
    },
    /// The guest has not shut down though it was asked to.
    GuestShutdown,
    /// What is there cannot be told.
    Unknown(Blindness),
    /// The tenant is suspended.
    Suspended,
    /// The `HostProvider` is only to be observed.
    ObserveOnly,
    /// The tenant's manifest was refused; nothing of it runs.
    Refused,
    /// All destruction is stopped until a person releases it.
    DestructionHalted {
        /// Why.
        why: String,
    },
    /// There is no room for it now.
    Capacity {
        /// What is short.
        what: String,
        /// How much it needs.
        needs: u64,
        /// How much is free.
        free: u64,
    },
    /// As many operations are running as the provider's budget allows.
    Budget {
        /// How many.
        running: usize,
    },
    /// It failed and is tried again later.
    Backoff {
        /// When.
        until: Timestamp,
        /// What failed.
        error: String,
    },
}

impl Wait {
    /// Whether it waits for a time or a person that was chosen beforehand, so that nothing is wrong meanwhile.
    pub fn is_deferred(&self) -> bool {
        matches!(
            self,
            Self::Word | Self::Retired { .. } | Self::MaintenanceWindow { .. } | Self::Group { .. }
        )
    }

    /// The reason, with what would help.
    pub fn reason(&self) -> Reason {
        match self {
            Self::After(_) => Reason::WaitingForDependency,
            Self::Together(_) => Reason::WaitingForBatch,
            Self::InProgress { .. } => Reason::InProgress,
            Self::Busy(Busy::Snapshot) => Reason::SnapshotPresent,
            Self::Busy(Busy::Backup) => Reason::BackupRunning,
            Self::Busy(Busy::Task { .. }) => Reason::TaskRunning,
            Self::MaintenanceWindow { .. } => Reason::MaintenanceWindow,
            Self::Group { .. } => Reason::OneAtATime,
            Self::Word => Reason::ApprovalNeeded,
            Self::Retired { .. } => Reason::Retired,
            Self::InUse { .. } => Reason::InUse,
            Self::GuestShutdown => Reason::GuestShutdownPending,
            Self::Unknown(blindness) => blindness.reason(),
            Self::Suspended => Reason::Suspended,
            Self::ObserveOnly => Reason::ObserveOnly,
            Self::Refused => Reason::Refused,
            Self::DestructionHalted { .. } => Reason::DestructionHalted,
            Self::Capacity { .. } => Reason::InsufficientCapacity,
            Self::Budget { .. } => Reason::BudgetExhausted,
            Self::Backoff { .. } => Reason::RetryLater,
        }
    }

    /// The reason as a CamelCase word for machines.
    pub fn word(&self) -> &'static str {
        self.reason().word()
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(resource) => write!(f, "waits for {}", resource.key),
            Self::Together(resource) => {
                write!(f, "is done together with {}, which has to wait", resource.key)
            }
            Self::InProgress { operation, percent } | Self::Busy(Busy::Task { operation, percent }) => {
                match percent {
                    Some(percent) => write!(f, "{operation} ({percent}%)"),
                    None => write!(f, "{operation}"),
                }
            }
            Self::Busy(Busy::Snapshot) => {
                write!(f, "a snapshot is on it: it is left alone until that is removed")
            }
            Self::Busy(Busy::Backup) => write!(f, "Backing up"),
            Self::MaintenanceWindow { opens: Some(at) } => {
                write!(
                    f,
                    "interrupts a service: waits for the maintenance window at {at:.0}, or set restartBefore"
                )
            }
            Self::MaintenanceWindow { opens: None } => {
                write!(f, "interrupts a service and there is no maintenance window: set restartBefore")
            }
            Self::Group { group, first } => {
                write!(f, "one at a time in anti-affinity group {group}: {} goes first", first.key)
            }
            Self::Word => write!(f, "destroys data: waits for an operator to name this step"),
            Self::Retired { until } => write!(f, "kept until {until:.0}"),
            Self::InUse { by } => write!(f, "still used by {by}"),
            Self::GuestShutdown => write!(
                f,
                "the guest was asked to shut down and has not: shut it down by hand, it is never switched off hard"
            ),
            Self::Unknown(blindness) => write!(f, "unknown: {blindness}"),
            Self::Suspended => write!(f, "the tenant is suspended"),
            Self::ObserveOnly => write!(f, "the provider is in mode Observe"),
            Self::Refused => write!(f, "the manifest was refused"),
            Self::DestructionHalted { why } => write!(f, "all destruction is stopped: {why}"),
            Self::Capacity { what, needs, free } => {
                write!(f, "no room: needs {} of {what}, {} free", bytes_text(*needs), bytes_text(*free))
            }
            Self::Budget { running } => {
                write!(f, "{running} operations are running, as many as the provider's budget allows")
            }
            Self::Backoff { until, error } => write!(f, "failed, tried again at {until:.0}: {error}"),
        }
    }
}

/// Why something that the manifest asks for is not done at all. A person must change something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refusal {
    /// What it is about.
    pub resource: ResourceId,
    /// Where the manifest asks for it, such as `spec.servers[0].disks`.
    pub field: String,
    /// The kind of refusal.
    pub reason: RefusalReason,
    /// One sentence for people: what is wrong and what would help.
    pub message: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefusalReason {
    /// The field can only be set at creation.
    Immutable,
    /// The value can only grow.
    CannotShrink,
    /// Something without our mark is in its place.
    NotOurs,
    /// What the manifest names does not exist.
    NotFound,
    /// The thing was made once and is gone.
    Lost,
    /// Resources need each other in a circle.
    Cycle,
    /// The system cannot do it.
    NotSupported,
}

impl RefusalReason {
    /// The reason, with what would help.
    pub fn reason(self) -> Reason {
        match self {
            Self::Immutable => Reason::Immutable,
            Self::CannotShrink => Reason::CannotShrink,
            Self::NotOurs => Reason::NotOurs,
            Self::NotFound => Reason::NotFound,
            Self::Lost => Reason::Lost,
            Self::Cycle => Reason::DependencyCycle,
            Self::NotSupported => Reason::NotSupported,
        }
    }

    /// The reason as a CamelCase word for machines.
    pub fn word(self) -> &'static str {
        self.reason().word()
    }
}
