//! `Tenant`: one joining municipality, as the platform team writes it.
//!
//! The docs of the fields are what `kubectl explain` prints. Values stay as written (texts, numbers); what they mean
//! is read by [`crate::validate`], so that all that is wrong is said at once and no odd value breaks a watch.

// The derive of KubeSchema repeats every type inside a function, where `pub` reaches nothing.
#![allow(unreachable_pub)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::quantity::Quantity;
use crate::rules;

pub mod backup;
pub mod directory;
pub mod firewall;
mod status;

pub use status::{
    BackupStatus, Counts, DirectoryStatus, PlanStatus, ServerBackupStatus, StepStatus, TenantStatus,
    TrustProblem, WaitingStatus,
};

/// What the host shall provide for one municipality.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "vertskommune.no",
    version = "v1alpha1",
    kind = "Tenant",
    shortname = "tn",
    category = "vertskommune",
    status = "TenantStatus",
    derive = "PartialEq",
    doc = "A municipality that joins the host: its networks and servers as they shall be, and how far they have come.",
    validation = rules::TENANT_NAME,
    printcolumn(
        name = "Ready", type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether all that is ours to do is done"
    ),
    printcolumn(
        name = "Servers", type_ = "string", json_path = ".status.servers.summary",
        description = "Servers that are as the manifest says, of all"
    ),
    printcolumn(
        name = "Firewall", type_ = "string", json_path = ".status.firewall.summary",
        description = "Rules of the firewall that are as the manifest says, of all"
    ),
    printcolumn(
        name = "Backup", type_ = "date", json_path = ".status.backup.lastBackup",
        description = "How old the last good backups are: the oldest of all servers"
    ),
    printcolumn(
        name = "Trust", type_ = "string", json_path = ".status.directory.trust",
        description = "Whether the trust with the host's directory is valid, or why not"
    ),
    printcolumn(
        name = "Onboarded", type_ = "string", priority = 1,
        json_path = ".status.conditions[?(@.type==\"Onboarded\")].status",
        description = "Whether all of it is done, the municipality's own side too"
    ),
    printcolumn(
        name = "Protected", type_ = "string", priority = 1,
        json_path = ".status.conditions[?(@.type==\"Protected\")].status",
        description = "Whether every server has a fresh, proven backup in another room"
    ),
    printcolumn(
        name = "Up-To-Date", type_ = "string", priority = 1,
        json_path = ".status.conditions[?(@.type==\"UpToDate\")].status",
        description = "Whether reality is as the manifest says"
    ),
    printcolumn(
        name = "Municipality", type_ = "string", priority = 1, json_path = ".spec.municipalityNumber",
        description = "The official number of the municipality"
    ),
    printcolumn(
        name = "Status", type_ = "string", json_path = ".status.message",
        description = "What is being done or waited for"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::SERVERS_NEED_COMPUTE,
    validation = rules::COMPUTE_STAYS,
    validation = rules::NETWORKS_EXIST,
    validation = rules::ADDRESSES_INSIDE,
    validation = rules::VCPUS_IN_QUOTA,
    validation = rules::MEMORY_IN_QUOTA,
    validation = rules::STORAGE_IN_QUOTA,
    validation = rules::BACKUP_INCLUDES_SERVERS,
    validation = rules::BACKUP_EXCLUDES_SERVERS
)]
pub struct TenantSpec {
    /// Full name of the municipality, for people. Example: Ibestad kommune.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,
    /// Official number of the municipality, four digits in quotes. It may change (a reform, a merger); no name is
    /// derived from it. Example: "5514".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{4}$"), length(max = 4))]
    pub municipality_number: Option<String>,
    /// Networks of the municipality, each with a VLAN and an address range of its own. VLANs and ranges must lie in
    /// what the HostProvider gives to tenants, and no two tenants may share one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_NETWORKS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[x_kube(validation = rules::VLANS_UNIQUE, validation = rules::NETWORKS_APART)]
    pub networks: Vec<Network>,
    /// Where the servers run, and how much they may use together. Needed as soon as there are servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// Servers of the municipality. A server whose entry is removed is shut down, disconnected and kept for
    /// compute.retireAfter; only then, and only when an operator names it, is it destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_SERVERS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[x_kube(validation = rules::COMPUTER_NAMES_UNIQUE, validation = rules::ADDRESSES_UNIQUE)]
    pub servers: Vec<Server>,
    /// What the host's firewall lets through for the municipality. Removed, all rules and objects of it are removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firewall: Option<firewall::Firewall>,
    /// How the servers are backed up into another room. Removed, no more backups are taken; those that are there stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<backup::Backup>,
    /// The trust between the municipality's Active Directory and the host's. Removed, the trust is removed on both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<directory::Directory>,
    /// When work that interrupts a service of this municipality (a restart, say) may be done, besides the windows of
    /// the HostProvider. Without any window such work waits until servers[].restartBefore allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// What happens when somebody changes CPUs, memory or networks of a server by hand. Heal brings back what needs
    /// no restart and shows the rest; Show only shows. Names and folders are always brought back, power state never.
    #[serde(default)]
    pub drift_policy: DriftPolicy,
    /// What becomes of the real things when this Tenant is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Set to true to change nothing for this municipality until it is false again. It is still observed, and what
    /// would be done is shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

impl TenantSpec {
    /// The HostProviders that it names.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        let compute = self.compute.iter().map(|compute| compute.provider.as_str());
        let firewall = self.firewall.iter().map(|firewall| firewall.provider.as_str());
        let backup = self.backup.iter().map(|backup| backup.provider.as_str());
        let directory = self.directory.iter().map(|directory| directory.provider.as_str());
        compute.chain(firewall).chain(backup).chain(directory)
    }

    /// The rule sets that it pins, each as name@version.
    pub fn rule_sets(&self) -> impl Iterator<Item = &str> {
        self.firewall.iter().flat_map(|firewall| &firewall.rule_sets).map(String::as_str)
    }

    /// The Secret with the key of the agent on its domain controller. What people have agreed on instead is read once, and none.
    pub fn agent_secret(&self) -> Option<&str> {
        let side = self.directory.as_ref().map(|directory| &directory.partner_side)?;
        (side.mode == directory::PartnerMode::Agent).then_some(side.secret_ref.as_str())
    }
}

/// A network: one VLAN with its addresses.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::GATEWAY_INSIDE)]
pub struct Network {
    /// Name of the network within this municipality, a DNS label of at most 32 characters; interfaces refer to it.
    /// Example: servers.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub name: String,
    /// VLAN id, 1 to 4094, within the ranges of the HostProvider. Example: 1310.
    #[schemars(range(min = 1, max = 4094))]
    pub vlan: i32,
    /// Address range with prefix length; the host bits are zero. Example: 10.13.10.0/24.
    #[schemars(length(min = 1, max = 43))]
    #[x_kube(validation = rules::CIDR, validation = rules::CIDR_HOST_BITS)]
    pub cidr: String,
    /// Default gateway, an address within cidr. Example: 10.13.10.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 39))]
    #[x_kube(validation = rules::ADDRESS)]
    pub gateway: Option<String>,
    /// Name servers for the servers of this network, in order of preference. Example: [10.13.10.5].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 39)), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = rules::ADDRESSES)]
    pub dns: Vec<String>,
}

/// Where the servers of a municipality run.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compute {
    /// Name of the HostProvider that runs the servers. It cannot change. Example: vcenter-main.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    #[x_kube(validation = rules::PROVIDER_IMMUTABLE)]
    pub provider: String,
    /// What all servers of the municipality may use together. The plan holds it: more is refused before anything is
    /// made, and running servers are never throttled.
    pub quota: Quota,
    /// How long a server whose entry is gone is kept, shut down and disconnected, before it may be destroyed.
    /// Hours, minutes and seconds. Example: 720h, which is 30 days and the default.
    #[serde(default = "retire_after")]
    pub retire_after: Duration,
}

/// Upper bounds for all servers together.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Virtual processors. Example: 64.
    #[schemars(range(min = 1, max = 65536))]
    pub vcpus: i32,
    /// Memory in bytes, with a unit. Example: 256Gi.
    pub memory: Quantity,
    /// Data disks in bytes, with a unit, as provisioned. The templates' own system disks do not count. Example: 8Ti.
    pub storage: Quantity,
}

/// A server: a virtual machine made from a template, or an existing one that is taken over.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::COMPUTER_NAME_SHORT)]
pub struct Server {
    /// Name in the inventory, unique on the whole host; it begins with a prefix that the HostProvider allows.
    /// Example: ibe-fs01.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub name: String,
    /// Name that the guest gives itself, at most 15 characters, as Windows has it. Defaults to name. Used once, when
    /// the server is made. Example: IBE-FS01.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15), regex(pattern = rules::COMPUTER_NAME))]
    pub computer_name: Option<String>,
    /// Template of the host's catalogue with its version. Used once, when the server is made: changing it later
    /// changes nothing on a server that exists. Example: windows-server-2022@2.
    #[schemars(length(min = 3, max = 70), regex(pattern = rules::TEMPLATE))]
    pub template: String,
    /// Virtual processors. More may be added while it runs where the machine allows it; otherwise a restart is
    /// planned. Example: 4.
    #[schemars(range(min = 1, max = 768))]
    pub vcpus: i32,
    /// Memory in bytes with a unit, a multiple of 4Mi. More may be added while it runs where the machine allows it;
    /// otherwise a restart is planned. Example: 16Gi.
    #[x_kube(validation = rules::MEMORY_STEP)]
    pub memory: Quantity,
    /// Data disks besides the template's own system disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_DISKS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub disks: Vec<Disk>,
    /// Network interfaces, in the order in which the guest sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_INTERFACES), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = rules::INTERFACES_APART)]
    pub interfaces: Vec<Interface>,
    /// Group of servers that are kept on different hosts and restarted one at a time. Example: domain-controllers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub anti_affinity: Option<String>,
    /// An existing virtual machine to take over instead of making one, by inventory path or instance UUID. Taking
    /// over writes our mark and nothing else; what would then change is shown as steps of their own.
    /// Example: /DC0/vm/Imported/fs01.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub adopt: Option<String>,
    /// Instance UUID of a machine of this name that was lost and shall be made anew, empty. It fits that one loss;
    /// the status shows the UUID. Example: 501c3f0e-7f3c-4b7a-9c4e-0d8f5f3f2a11.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36), regex(pattern = rules::UUID))]
    pub recreate: Option<String>,
    /// Allows a restart that a change needs outside of the maintenance windows, until this time (RFC 3339).
    /// Example: 2026-11-24T22:00:00+01:00.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), extend("format" = "date-time"))]
    pub restart_before: Option<String>,
}

/// A data disk.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Name of the disk within its server, a DNS label of at most 32 characters. Example: data.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub name: String,
    /// Size in bytes with a unit, as provisioned. It can only grow. Example: 500Gi.
    #[x_kube(validation = rules::DISK_GROWS)]
    pub size: Quantity,
    /// Storage policy of the host's catalogue; the provider's default where none is named. Example: ssd-san.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub storage_policy: Option<String>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// Name of one of spec.networks. Example: servers.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub network: String,
    /// Address within that network; left out where the network gives one by DHCP. Example: 10.13.10.11.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 39))]
    #[x_kube(validation = rules::ADDRESS)]
    pub address: Option<String>,
}

/// When work that interrupts a service may be done.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// Times that come again and again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub windows: Vec<Window>,
    /// Runs of days without any such work, whatever the windows say. Days are those of each window's time zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub freezes: Vec<Freeze>,
}

/// A maintenance window.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it opens: five fields of cron (minute, hour, day of month, month, day of week) in timeZone.
    /// Example: "0 22 * * TUE".
    #[schemars(length(min = 9, max = 128))]
    pub schedule: String,
    /// How long it stays open, at most a week. Example: 4h.
    pub duration: Duration,
    /// IANA name of the time zone. Example: Europe/Oslo, the default.
    #[serde(default = "time_zone")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

/// A run of days without maintenance.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::FREEZE_ORDER)]
pub struct Freeze {
    /// First day. Example: 2026-12-18.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub from: String,
    /// Last day, itself without maintenance. Example: 2027-01-03.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub until: String,
}

/// What happens when somebody changes something by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum DriftPolicy {
    /// Bring back what needs no restart, show the rest.
    #[default]
    Heal,
    /// Only show.
    Show,
}

/// What becomes of the real things of a deleted Tenant, by domain.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionPolicy {
    /// Servers with their folder, pool and networks. Retain leaves them as they are, marks included, so that a Tenant
    /// of the same name takes them back; Remove retires them and destroys each when an operator names it.
    #[serde(default)]
    pub servers: Deletion,
    /// Rules and objects of the firewall, which hold no data. Remove takes them away; Retain leaves them as they are.
    #[serde(default = "remove")]
    pub firewall: Deletion,
    /// The trust with the host's directory. Remove takes it away on both sides; Retain leaves it as it is.
    #[serde(default = "remove")]
    pub directory: Deletion,
}

impl Default for DeletionPolicy {
    fn default() -> Self {
        Self { servers: Deletion::Retain, firewall: Deletion::Remove, directory: Deletion::Remove }
    }
}

fn remove() -> Deletion {
    Deletion::Remove
}

/// Whether things are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum Deletion {
    /// They stay as they are.
    #[default]
    Retain,
    /// They are removed.
    Remove,
}

fn retire_after() -> Duration {
    Duration::from("720h")
}

pub(crate) fn time_zone() -> String {
    "Europe/Oslo".to_owned()
}
