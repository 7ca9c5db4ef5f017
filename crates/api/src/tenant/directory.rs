//! `spec.directory` of a Tenant, as the platform team writes it.

// The derive of KubeSchema repeats every type inside a function, where `pub` reaches nothing.
#![allow(unreachable_pub)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// The trust between the municipality's Active Directory and the host's.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::PARTNER_DOMAIN_STAYS, validation = rules::SID_WHERE_NOBODY_TELLS_IT)]
pub struct Directory {
    /// Name of the HostProvider of the host's directory. It cannot change. Example: ad-host.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    #[x_kube(validation = rules::DIRECTORY_PROVIDER_IMMUTABLE)]
    pub provider: String,
    /// The municipality's domain by its DNS name, the root of its forest with type Forest. It cannot change.
    /// Example: ibestad.local.
    #[schemars(length(min = 3, max = 253), regex(pattern = rules::DOMAIN))]
    pub domain: String,
    /// The same by its NetBIOS name, at most 15 characters. The first label of domain in capitals where it is left out.
    /// Example: IBESTAD.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15), regex(pattern = rules::NETBIOS))]
    pub netbios_name: Option<String>,
    /// The SID of the municipality's domain, as `Get-ADDomain` shows it. The trust is made with this domain and no other. It can be
    /// left out in mode Agent, where the agent tells it. Example: S-1-5-21-3633341636-3194244548-271816853.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 14, max = 50), regex(pattern = rules::DOMAIN_SID))]
    pub domain_sid: Option<String>,
    /// Forest trusts the whole forest of the municipality, by Kerberos; External only the one domain. Another type means
    /// that the trust is removed and made anew, which waits for a window of maintenance.
    #[serde(rename = "type", default)]
    pub kind: TrustType,
    /// Whose users reach whose services: one entry for each way. Another direction means that the trust is removed and made
    /// anew, which waits for a window of maintenance.
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["usersOf"]))]
    #[x_kube(validation = rules::ACCESS_GOES_ACROSS)]
    pub access: Vec<Access>,
    /// The municipality's domain controllers by their DNS names, in order of preference. Example: [ibe-dc01.ibestad.local].
    #[schemars(length(min = 1, max = rules::MAX_CONTROLLERS), inner(length(min = 3, max = 253), regex(pattern = rules::DOMAIN)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub domain_controllers: Vec<String>,
    /// Addresses of the DNS servers that know the municipality's domain, in order of preference; the host's DNS asks them
    /// for its names. Example: [10.13.10.5].
    #[schemars(length(min = 1, max = rules::MAX_CONTROLLERS), inner(length(min = 1, max = 39)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = rules::ADDRESSES)]
    pub dns_servers: Vec<String>,
    /// Who makes the municipality's side of the trust.
    pub partner_side: PartnerSide,
    /// A trust whose secret was made before this time is made anew with another, on both sides. It is the way to mend one whose sides
    /// have different secrets. Example: 2026-11-29T12:00:00Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub new_secret_after: Option<String>,
    /// Until then the trust may be made anew outside of the windows of maintenance, which interrupts it for some seconds.
    /// Example: 2026-11-29T12:00:00Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub restart_before: Option<String>,
}

/// The kinds of trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum TrustType {
    /// Between two forests.
    #[default]
    Forest,
    /// Between two single domains.
    External,
}

/// One side of a trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// The municipality.
    #[default]
    Tenant,
    /// The host.
    Host,
}

/// Users of one side reach services of the other.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::ALLOWED_NEEDS_SELECTIVE)]
pub struct Access {
    /// Whose users: tenant or host.
    pub users_of: Side,
    /// Whose services: the other side.
    pub services_of: Side,
    /// Users get in nowhere but on the computers of allowedToAuthenticate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub selective_authentication: bool,
    /// Identities that are none of the users' own domain are taken out of what they bring (SID filtering), as Windows does by
    /// itself. Set to false only while users move with their SID history.
    #[serde(default = "yes")]
    pub sid_filtering: bool,
    /// The computers, by their names, that let these users in where authentication is selective. The right Allowed to
    /// Authenticate on each is granted by the administrators of that side and never by us. Without any, nobody gets in, and
    /// the status says so. Example: [VK-FS01].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = rules::MAX_ALLOWED), inner(length(min = 1, max = 15), regex(pattern = rules::COMPUTER_NAME)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_to_authenticate: Vec<String>,
}

/// Who makes the municipality's side of the trust.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::AGENT_IS_REACHED)]
pub struct PartnerSide {
    /// Agent: our agent on the municipality's domain controller makes it. Manual: its administrators do, and the status says
    /// what they have to run.
    pub mode: PartnerMode,
    /// Where the agent is reached in mode Agent, and as whom: as root where no account is named.
    /// Example: ssh://10.13.10.5:22.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub endpoint: Option<String>,
    /// The key of that host in mode Agent, as in a known_hosts file. It is never learnt by itself.
    /// Example: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0bK0aQ7z9lTz9hTjN0bL4mJ1s5d9Wk1g2k3T4u5V6w.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub identity: Option<String>,
    /// Name of the Secret in the controller's namespace, which must have the label vertskommune.no/tenant with the name of this
    /// Tenant: in mode Agent with the key that the agent lets in, as id_ed25519, and in mode Manual with what both
    /// administrations have agreed on as the trust's secret, as trustSecret. The latter is read at a creation alone and may be
    /// deleted after it. Example: ibestad-dc.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub secret_ref: String,
}

/// Who makes the municipality's side of the trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum PartnerMode {
    /// Our agent there.
    #[default]
    Agent,
    /// Its administrators.
    Manual,
}

fn yes() -> bool {
    true
}
