//! The host's side: one endpoint of its infrastructure, and the ground that tenants may use there.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::names::ProviderName;
use crate::windows::Maintenance;

/// One endpoint of the host's infrastructure: a `HostProvider` that has passed validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// `metadata.name`.
    pub name: ProviderName,
    /// The plugin that speaks to it, such as `vsphere`.
    pub plugin: String,
    /// Its address, as the plugin understands it; for vSphere the URL of the SDK.
    pub endpoint: String,
    /// What proves that it is the right one (for vCenter `about.instanceUuid`). Another identity is no sight at all.
    pub identity: String,
    /// The certificate authority that signs its certificate, PEM.
    pub ca: Option<String>,
    /// The Secret that holds the credentials, by name.
    pub credentials: Option<String>,
    /// The room or building that it stands in.
    pub site: Option<String>,
    /// Whether it may be changed.
    pub mode: Mode,
    /// How hard it may be used.
    pub budget: Budget,
    /// What tenants may use of it.
    pub ground: Ground,
    /// Destruction that was stopped goes on until then, by a person's word.
    pub destruction_released_until: Option<Timestamp>,
    /// When the host allows work that interrupts a service.
    pub maintenance: Maintenance,
    /// Settings that only the plugin understands, and checks.
    pub settings: Json,
}

/// Whether an endpoint may be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Steps are carried out.
    #[default]
    Manage,
    /// Steps are shown, never carried out.
    Observe,
}

/// How hard an endpoint may be used, shared fairly by all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Calls and running operations at once.
    pub concurrency: u32,
    /// Requests a second.
    pub requests_per_second: u32,
    /// Destructive steps that may be carried out in one hour; more stops all destruction until a person releases it.
    pub destructive_steps_per_hour: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { concurrency: 8, requests_per_second: 50, destructive_steps_per_hour: 5 }
    }
}

/// What tenants may use of the host's. Outside of it is a refusal; an empty list grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ground {
    /// VLAN ids.
    pub vlans: Vec<RangeInclusive<u16>>,
    /// Address pools that a tenant's networks must lie in.
    pub networks: Vec<IpNet>,
    /// Addresses and ranges within the pools that are the host's own.
    pub reserved: Vec<IpNet>,
    /// What a server's name must begin with, one of these.
    pub name_prefixes: Vec<String>,
    /// The catalogue of templates, as `name@version`.
    pub templates: Vec<String>,
}
