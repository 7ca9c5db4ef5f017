//! `HostProvider`: one endpoint of the host's infrastructure, how it is proven and used, and the ground that it gives
//! to tenants.
//!
//! The docs of the fields are what `kubectl explain` prints.

// The derive of KubeSchema repeats every type inside a function, where `pub` reaches nothing.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::rules;
use crate::tenant::Maintenance;

/// One endpoint of the host's infrastructure.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "vertskommune.no",
    version = "v1alpha1",
    kind = "HostProvider",
    shortname = "hp",
    category = "vertskommune",
    status = "HostProviderStatus",
    derive = "PartialEq",
    doc = "An endpoint of the host's infrastructure, such as a vCenter, and what tenants may use of it.",
    validation = rules::HOST_NAME,
    printcolumn(name = "Plugin", type_ = "string", json_path = ".spec.plugin", description = "What speaks to it"),
    printcolumn(
        name = "Mode", type_ = "string", json_path = ".spec.mode",
        description = "Manage carries steps out, Observe only shows them"
    ),
    printcolumn(
        name = "Reachable", type_ = "string", json_path = ".status.reachable",
        description = "Whether it answers as the one that is pinned"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "What it runs"),
    printcolumn(
        name = "Observed", type_ = "date", json_path = ".status.lastObserved",
        description = "How long ago it was last seen completely"
    ),
    printcolumn(
        name = "Endpoint", type_ = "string", priority = 1, json_path = ".spec.endpoint",
        description = "Its address"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct HostProviderSpec {
    /// Plugin that speaks to it. It cannot change. Example: vsphere.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    #[x_kube(validation = rules::PLUGIN_IMMUTABLE)]
    pub plugin: String,
    /// Address as the plugin understands it; for vsphere the URL of the SDK, without user or password, and for ad
    /// ssh://[user@]host[:port] of the agent. Example: https://vcenter.host.no/sdk.
    #[schemars(length(min = 1, max = 512))]
    pub endpoint: String,
    /// What proves that it is the right one; for vsphere about.instanceUuid of the vCenter. Another identity at the
    /// endpoint is treated as no sight at all: nothing is made, changed or deleted.
    #[schemars(length(min = 1, max = 256))]
    pub identity: String,
    /// Certificate authority that signs its certificate, as PEM text. The system's authorities where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub ca_bundle: Option<String>,
    /// Where the credentials are. Plugins that need none do without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Room or building that it stands in. Example: server-room-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub site: Option<String>,
    /// Manage carries steps out; Observe plans and shows them, and never writes to the endpoint.
    #[serde(default)]
    pub mode: Mode,
    /// How hard it may be used. All tenants share it fairly.
    #[serde(default)]
    pub budget: Budget,
    /// What tenants may use of it. Anything outside is refused; an empty list grants nothing.
    #[serde(default, skip_serializing_if = "Ground::is_empty")]
    pub tenants: Ground,
    /// Until when destruction that was stopped (more than budget.destructiveStepsPerHour, more than one Tenant in
    /// deletion at once) goes on, because a person has looked at it (RFC 3339). Example: 2026-11-24T16:00:00+01:00.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), extend("format" = "date-time"))]
    pub destruction_released_until: Option<String>,
    /// When the host allows work that interrupts a service (a restart, say). A Tenant may add windows and freezes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Settings of the plugin, which checks them; see the documentation of the plugin.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub settings: Map<String, Value>,
}

/// Where credentials are.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Name of a Secret in the controller's namespace; its keys are the plugin's, for vsphere username and password.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
}

/// Whether an endpoint may be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum Mode {
    /// Steps are carried out.
    #[default]
    Manage,
    /// Steps are shown, never carried out.
    Observe,
}

/// How hard an endpoint may be used.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Budget {
    /// Calls and running operations at once. Default: 8.
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: i32,
    /// Requests a second. Default: 50.
    #[schemars(range(min = 1, max = 10000))]
    pub requests_per_second: i32,
    /// Destructive steps that may be carried out in one hour. More stops all destruction until a person releases it.
    /// 0 allows none. Default: 5.
    #[schemars(range(min = 0, max = 1000))]
    pub destructive_steps_per_hour: i32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { concurrency: 8, requests_per_second: 50, destructive_steps_per_hour: 5 }
    }
}

/// What tenants may use of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ground {
    /// VLAN ids and ranges of them. Example: [1300-1399, "1410"].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 9), regex(pattern = rules::VLANS)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub vlans: Vec<String>,
    /// Address pools that the networks of tenants must lie in. Example: [10.13.0.0/16].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 43)), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = rules::GROUND_CIDRS)]
    pub networks: Vec<String>,
    /// Addresses within the pools that are the host's own and no tenant may use: single ones, ranges or networks.
    /// Example: [10.13.0.0/24, 10.13.10.250-10.13.10.254].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 79)), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = rules::GROUND_RESERVED)]
    pub reserved: Vec<String>,
    /// What the name of a server must begin with, one of these. Example: [ibe-, dyr-].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 32), regex(pattern = "^[a-z0-9][-a-z0-9]*$")))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub name_prefixes: Vec<String>,
    /// Templates that servers may be made from, with their versions. Example: [windows-server-2022@2].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(min = 3, max = 70), regex(pattern = rules::TEMPLATE)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub templates: Vec<String>,
}

impl Ground {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of an endpoint. A report only: lost, it is written again.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostProviderStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Value of the annotation reconcile.fluxcd.io/requestedAt that was last answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// What holds of it: Ready (it answers, as the one that is pinned, and its settings are right); Reconciling and
    /// Stalled only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Whether it answers as the one that is pinned: True, False or Unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable: Option<String>,
    /// Identity that it gave itself when it was last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Version that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was last seen completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_observed: Option<Time>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
