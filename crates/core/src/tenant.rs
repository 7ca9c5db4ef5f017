//! A tenant whose manifest has passed validation. Parsed once, it needs no checking again.
//!
//! Only `api::validate` makes one from a manifest; what it means for one object alone is settled there, what needs
//! other tenants or the host is settled in [`crate::check`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::backup::Backup;
use crate::directory::Directory;
use crate::firewall::Firewall;
use crate::names::{ProviderName, TenantName};
use crate::schema::Concern;
use crate::windows::Maintenance;

/// One joining municipality, as its manifest describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidatedTenant {
    /// `metadata.name`.
    pub name: TenantName,
    /// The municipality's full name, for people.
    pub display_name: String,
    /// Its official number. It may change by a reform, so nothing is derived from it.
    pub municipality_number: Option<String>,
    /// Its networks, in the order of the manifest.
    pub networks: Vec<Network>,
    /// Where its servers run and how much they may use; there whenever `servers` is not empty.
    pub compute: Option<Compute>,
    /// Its servers, in the order of the manifest.
    pub servers: Vec<Server>,
    /// Its firewall, with the rules of the rule sets that it pins.
    pub firewall: Option<Firewall>,
    /// How its servers are backed up.
    pub backup: Option<Backup>,
    /// Its trust with the host's directory.
    pub directory: Option<Directory>,
    /// When work that interrupts a service may be done, besides the host's own windows.
    pub maintenance: Maintenance,
    /// What is done about sizes that somebody changed by hand.
    pub drift_policy: DriftPolicy,
    /// What becomes of the real things when the manifest is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Nothing is changed while this is set.
    pub suspend: bool,
    /// Ids (or beginnings of at least twelve characters) of destructive steps that an operator has allowed.
    pub allow_destroy: BTreeSet<String>,
    /// Until when an operator's word holds that what vanished of this tenant is truly gone.
    pub accept_loss: Option<Timestamp>,
}

impl ValidatedTenant {
    /// The providers that it names, each with what for and where.
    pub fn uses(&self) -> impl Iterator<Item = (Concern, &ProviderName, &'static str)> {
        let compute = self.compute.iter().map(|it| (Concern::Servers, &it.provider, "spec.compute.provider"));
        let firewall =
            self.firewall.iter().map(|it| (Concern::Firewall, &it.provider, "spec.firewall.provider"));
        let backup = self.backup.iter().map(|it| (Concern::Backup, &it.provider, "spec.backup.provider"));
        let directory =
            self.directory.iter().map(|it| (Concern::Directory, &it.provider, "spec.directory.provider"));
        compute.chain(firewall).chain(backup).chain(directory)
    }

    /// The providers that it names.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        self.uses().map(|(_, provider, _)| provider)
    }

    /// The providers that its networks reach.
    pub fn carriers(&self) -> impl Iterator<Item = &ProviderName> {
        let carries = |concern| matches!(concern, Concern::Servers | Concern::Firewall);
        self.uses().filter(move |(concern, ..)| carries(*concern)).map(|(_, provider, _)| provider)
    }

    /// What it names for adoption in this provider, each as its manifest writes it.
    pub fn adoptions(&self, provider: &ProviderName) -> BTreeSet<String> {
        let runs_here = self.compute.as_ref().is_some_and(|compute| compute.provider == *provider);
        let servers = self.servers.iter().filter(|_| runs_here).filter_map(|server| server.adopt.as_ref());
        let firewall = self.firewall.iter().filter(|firewall| firewall.provider == *provider);
        servers.chain(firewall.flat_map(Firewall::adoptions)).cloned().collect()
    }

    /// The network of that name.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.name == name)
    }
}

/// A network of the tenant: one VLAN with its addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its name within the tenant.
    pub name: String,
    /// VLAN id, 1 to 4094.
    pub vlan: u16,
    /// Its address range; the host bits are zero.
    pub cidr: IpNet,
    /// The default gateway, an address within `cidr`.
    pub gateway: Option<IpAddr>,
    /// Name servers, in order of preference.
    pub dns: Vec<IpAddr>,
}

/// Where a tenant's servers run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compute {
    /// The `HostProvider` that runs them.
    pub provider: ProviderName,
    /// What all servers of the tenant may use together. The plan holds it, not the hypervisor.
    pub quota: Quota,
    /// How long a server whose entry is gone is kept, shut down and disconnected, before it may be destroyed.
    pub retire_after: SignedDuration,
}

/// Upper bounds for all servers of a tenant together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Disks in bytes, as provisioned. Counts the manifest's disks; a template's own system disk is the host's.
    pub storage: u64,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The name in the inventory, unique on the whole host.
    pub name: String,
    /// The name that the guest gives itself, at most 15 characters.
    pub computer_name: String,
    /// The template of the host's catalogue that it is made from, such as `windows-server-2022@2`. Used once.
    pub template: String,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in bytes, a multiple of 4 MiB.
    pub memory: u64,
    /// Data disks besides the template's own.
    pub disks: Vec<Disk>,
    /// Network interfaces in the order of the guest.
    pub interfaces: Vec<Interface>,
    /// Servers of one group are kept on different hosts, and restarted one at a time.
    pub anti_affinity: Option<String>,
    /// An existing machine to take over, by inventory path or instance UUID.
    pub adopt: Option<String>,
    /// The instance UUID of a lost machine that may be made anew. Fits that one loss only.
    pub recreate: Option<String>,
    /// Restarts needed for a change may be done outside of the windows until then.
    pub restart_before: Option<Timestamp>,
}

/// A data disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its name within the server.
    pub name: String,
    /// Size in bytes; it can only grow.
    pub size: u64,
    /// A storage policy of the host's catalogue; the provider's default where none is named.
    pub storage_policy: Option<String>,
}

/// A network interface of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The tenant's network that it is attached to.
    pub network: String,
    /// Its address there; none where the network gives it one.
    pub address: Option<IpAddr>,
}

/// What is done about a size that somebody changed by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftPolicy {
    /// Brought back where that needs no restart, shown otherwise.
    #[default]
    Heal,
    /// Shown only.
    Show,
}

/// What becomes of the real things of a domain when the tenant's manifest is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deletion {
    /// They stay as they are, marks included.
    #[default]
    Retain,
    /// They are removed; servers by way of retirement and an operator's word for each.
    Remove,
}

/// The policy for a deleted tenant, by domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionPolicy {
    /// Servers with their folder, pool and networks.
    pub servers: Deletion,
    /// The firewall's rules and objects, which hold no data.
    pub firewall: Deletion,
    /// The trust, which holds no data.
    #[serde(default)]
    pub directory: Deletion,
}

impl DeletionPolicy {
    /// The policy for the things of one concern.
    pub fn of(self, concern: Concern) -> Deletion {
        match concern {
            Concern::Servers => self.servers,
            Concern::Firewall => self.firewall,
            // What takes backups has no way to remove one.
            Concern::Backup => Deletion::Retain,
            Concern::Directory => self.directory,
        }
    }

    /// Whether everything stays.
    pub fn retains_all(self) -> bool {
        Concern::ALL.iter().all(|concern| self.of(*concern) == Deletion::Retain)
    }
}
