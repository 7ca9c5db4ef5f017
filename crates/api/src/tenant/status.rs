//! The status of a Tenant, as kubectl shows it. What stands in it is decided by [`crate::status`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a Tenant has come. A report only: lost, it is written again.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Value of the annotation reconcile.fluxcd.io/requestedAt that was last answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// What holds of it: Ready (all that is ours to do is done), ServersReady, FirewallReady, BackupReady (accounts,
    /// repository and schedule stand, and what was last tried succeeded), Protected (a fresh, proven backup of every
    /// server), DirectoryReady (the trust stands on both sides and works), Onboarded (all of it, the municipality's own
    /// side too), UpToDate (reality is as the manifest says); Reconciling and Stalled only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What is being done or waited for, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many servers there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Counts>,
    /// How many rules of the firewall there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Counts>,
    /// What is known of the backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// What is known of the trust with the host's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryStatus>,
    /// What is still to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// When something was last done for this municipality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_changed: Option<Time>,
}

/// How many of a kind there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Those that are as the manifest says.
    pub ready: i32,
    /// Those that the manifest names.
    pub total: i32,
    /// Both in short, such as 11/12.
    pub summary: String,
}

/// What is known of a tenant's backups. Whether that is enough says the condition Protected.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// When the last good backups began: the oldest of all servers that have one. It is the time that a restore brings
    /// back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<Time>,
    /// When backups were last proven by restoring them: the oldest of all that have to be proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_proof: Option<Time>,
    /// Size of all disks that are backed up, as they are read; what is stored is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Each server that is to be backed up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub servers: Vec<ServerBackupStatus>,
}

/// What is known of one server's backups.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerBackupStatus {
    /// Name of the server.
    pub name: String,
    /// When its last good backup began. Where its disks are of several backups, the oldest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<Time>,
    /// When one of its disks was last proven by restoring it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_proof: Option<Time>,
    /// Size of its disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// What is wrong with its backups, the worst first; the conditions tell more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Why something of it cannot be backed up this way, such as RawDeviceMapping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hindered_by: Vec<String>,
}

/// What is known of a tenant's trust with the host's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryStatus {
    /// The municipality's domain.
    pub domain: String,
    /// trustDirection of the host's side, as the manifest asks for it. Outbound means that the municipality's users reach the
    /// host's services, inbound the other way round, and bidirectional both.
    pub trust_direction: String,
    /// Valid, or the reason why it is not, as DirectoryReady has it.
    pub trust: String,
    /// All that is wrong with it, what explains the others first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub problems: Vec<TrustProblem>,
    /// What the municipality's administrators have to run, with partnerSide.mode Manual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub partner_commands: Vec<String>,
}

/// Something that is wrong with a trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustProblem {
    /// What, in one word.
    pub reason: String,
    /// The same for people, with what would help.
    pub message: String,
}

/// What is still to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Digest of the plan: the same as long as the same steps are to be done.
    pub digest: String,
    /// Number of steps, waiting ones included.
    pub total: i32,
    /// The first of the steps, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<StepStatus>,
}

/// One step that is still to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Id of the step; the annotation vertskommune.no/allow-destroy names destructive ones by it.
    pub id: String,
    /// What is done, in one line.
    pub summary: String,
    /// Class of the step: adopt, create, change, restart, retire, remove or destroy.
    pub class: String,
    /// What it waits for; absent when it is done next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingStatus>,
}

/// What a step waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingStatus {
    /// A word for machines, in CamelCase.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}
