//! `spec.backup` of a Tenant, as the platform team writes it.

// The derive of KubeSchema repeats every type inside a function, where `pub` reaches nothing.
#![allow(unreachable_pub)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time_zone;
use crate::duration::Duration;
use crate::rules;

/// How the servers of a municipality are backed up.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::MANAGED_HAS_ITS_OWN,
    validation = rules::EXTERNAL_HAS_A_JOB,
    validation = rules::MAX_AGE_IS_A_DAY
)]
pub struct Backup {
    /// Name of the HostProvider that holds the backups. It stands in another room than the servers: spec.site of both
    /// says so. It cannot change. Example: second-room.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    #[x_kube(validation = rules::BACKUP_PROVIDER_IMMUTABLE)]
    pub provider: String,
    /// Managed takes backups, proves them and keeps them by the fields below. External watches the job of a product
    /// that does all this already, and only tells whether the servers are protected, by the status that the product's
    /// post-job script leaves in the second room.
    #[serde(default)]
    pub mode: Mode,
    /// The job that is watched in mode External.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// When backups are taken, once a day; needed in mode Managed. All municipalities are spread over its first half,
    /// each always at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How many backups are kept of each server; needed in mode Managed. The last good one of a server is always kept,
    /// also when the server is gone, and so is everything that is younger than two days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Which servers and disks are backed up; all of them where it is left out.
    #[serde(default, skip_serializing_if = "Servers::is_empty")]
    pub servers: Servers,
    /// How old the last good backup of a server may be before the municipality is not Protected any more. At least a
    /// day in mode Managed, and better some hours more. Example: 26h, which is the default.
    #[serde(default = "max_age")]
    pub max_age: Duration,
    /// How backups are proven: disks are restored and compared with what was sent.
    #[serde(default)]
    pub proof: Proof,
    /// How long every backup is kept of a municipality that has left, whatever retention says. At least a week.
    /// Example: 2160h, which is 90 days and the default.
    #[serde(default = "keep_after_exit")]
    #[x_kube(validation = rules::A_WEEK)]
    pub keep_after_exit: Duration,
}

/// Who takes the backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum Mode {
    /// The controller does.
    #[default]
    Managed,
    /// Another product does, and the controller watches it.
    External,
}

/// A job of another product.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// Name of the job in that product. Example: ibestad-nightly.
    #[schemars(length(min = 1, max = 128))]
    pub job: String,
}

/// The hours of each day in which backups are taken.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it opens, hours and minutes in timeZone, in quotes. Example: "22:00".
    #[schemars(length(max = 5), regex(pattern = rules::TIME_OF_DAY))]
    pub start: String,
    /// How long it stays open, 10m to 24h; it may cross midnight. A backup that was missed waits for the next day.
    /// Example: 8h.
    #[x_kube(validation = rules::WINDOW_IS_WITHIN_A_DAY)]
    pub duration: Duration,
    /// Time zone of start, an IANA name, by which retention counts days as well.
    /// Example: Europe/Oslo, which is the default.
    #[serde(default = "time_zone")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

/// How many backups are kept, as restic counts them. At least one of the numbers is given; a backup stays as long as any
/// of them keeps it.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::RETENTION_KEEPS_SOMETHING)]
pub struct Retention {
    /// The last so many. Example: 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub last: Option<i32>,
    /// The last of each hour, for so many hours that have one. Example: 24.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub hourly: Option<i32>,
    /// The last of each day, for so many days that have one. Example: 14.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub daily: Option<i32>,
    /// The last of each week from Monday on, for so many weeks that have one. Example: 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weekly: Option<i32>,
    /// The last of each month, for so many months that have one. Example: 12.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub monthly: Option<i32>,
    /// The last of each year, for so many years that have one. Example: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub yearly: Option<i32>,
}

/// Which servers and disks are backed up, each by its name: ibe-fs01 is all of a server, ibe-fs01/data one disk of it, and
/// ibe-fs01/system what its template brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Servers {
    /// Only these; all where it is empty. Example: [ibe-fs01, ibe-sql01/data].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_SELECTED), inner(length(min = 1, max = 96), regex(pattern = rules::SELECTED)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub include: Vec<String>,
    /// Not these, whatever include says. Example: [ibe-fs01/scratch].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_SELECTED), inner(length(min = 1, max = 96), regex(pattern = rules::SELECTED)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub exclude: Vec<String>,
}

impl Servers {
    fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

/// How backups are proven.
#[derive(Clone, Debug, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// How old the last proof may be before the municipality is not Protected any more. At least a day.
    /// Example: 168h, which is a week and the default.
    #[serde(default = "proof_max_age")]
    #[x_kube(validation = rules::A_DAY)]
    pub max_age: Duration,
    /// What must have a proof of that age: one disk of the municipality, one disk of each server, or every disk. Of several
    /// disks all take turns, the oldest proof first.
    #[serde(default)]
    pub what: Proven,
}

impl Default for Proof {
    fn default() -> Self {
        Self { max_age: proof_max_age(), what: Proven::default() }
    }
}

/// What must have a fresh proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum Proven {
    /// One disk of the municipality.
    OneDisk,
    /// One disk of each server.
    #[default]
    OneDiskPerServer,
    /// Every disk.
    EveryDisk,
}

fn max_age() -> Duration {
    Duration::from("26h")
}

fn proof_max_age() -> Duration {
    Duration::from("168h")
}

fn keep_after_exit() -> Duration {
    Duration::from("2160h")
}
