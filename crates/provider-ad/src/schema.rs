//! The kind of this plugin and the rules of its fields.

use std::collections::BTreeMap;

use vertskommune_core::schema::{Change, Concern, FieldRule, KindRules, Schema};

/// The trust of a tenant, with both of its sides.
pub(crate) const TRUST: &str = "trust";

/// The fields that stand in plans.
pub(crate) mod field {
    /// How the host's side stands: one of [`super::stand`].
    pub(crate) const HOST: &str = "hostSide";
    /// How the tenant's side stands, likewise.
    pub(crate) const TENANT: &str = "tenantSide";
    /// The direction of the host's side.
    pub(crate) const DIRECTION: &str = "direction";
    /// The kind of trust.
    pub(crate) const KIND: &str = "type";
    /// Whether the tenant's side is the mirror of the host's.
    pub(crate) const MIRRORED: &str = "mirrored";
    /// Whether the secret is younger than the manifest asks for.
    pub(crate) const SECRET: &str = "secret";
    /// The way of the tenant's users to the host's services: whether authentication is selective.
    pub(crate) const HOST_SELECTIVE: &str = "toHost.selectiveAuthentication";
    /// Whether SIDs are filtered on that way.
    pub(crate) const HOST_FILTERS: &str = "toHost.sidFiltering";
    /// The other way.
    pub(crate) const TENANT_SELECTIVE: &str = "toTenant.selectiveAuthentication";
    /// Likewise.
    pub(crate) const TENANT_FILTERS: &str = "toTenant.sidFiltering";
    /// The secure channel of the host's side: `well`, or `stale`.
    pub(crate) const HOST_CHANNEL: &str = "channel.host";
    /// That of the tenant's.
    pub(crate) const TENANT_CHANNEL: &str = "channel.tenant";
    /// Whether the host's DNS finds the tenant's domain, or is not known not to, or cannot have a forwarder.
    pub(crate) const HOST_FORWARDER: &str = "forwarder.host";
    /// That the tenant's DNS gets a forwarder. In steps alone: nobody looks whether one is missing there.
    pub(crate) const TENANT_FORWARDER: &str = "forwarder.tenant";

    /// The tenant's domain.
    pub(crate) const DOMAIN: &str = "domain";
    /// The same by its NetBIOS name.
    pub(crate) const NETBIOS: &str = "netbiosName";
    /// Its SID, as it is pinned or was told. In steps alone.
    pub(crate) const SID: &str = "domainSid";
    /// The DNS servers that know it.
    pub(crate) const DNS: &str = "dnsServers";
    /// Where the tenant's agent is; nothing where there is none.
    pub(crate) const ENDPOINT: &str = "partner.endpoint";
    /// Its host's key.
    pub(crate) const IDENTITY: &str = "partner.identity";
    /// The Secret with the agent's key, or with the secret that people have agreed on.
    pub(crate) const PARTNER_SECRET: &str = "partner.secretRef";
    /// The sides with an account that a deleted trust left and that goes. In steps alone.
    pub(crate) const ORPHANS: &str = "orphans";
    /// The sides that a step is about. In steps alone.
    pub(crate) const SIDES: &str = "sides";
}

/// How one side stands.
pub(crate) mod stand {
    /// It is ours and whole.
    pub(crate) const WHOLE: &str = "whole";
    /// A death left it half, or somebody removed it: our record is there.
    pub(crate) const HALF: &str = "half";
    /// Nothing is there.
    pub(crate) const ABSENT: &str = "absent";
    /// Somebody else made it.
    pub(crate) const FOREIGN: &str = "foreign";
    /// People make it, and it is not looked at.
    pub(crate) const MANUAL: &str = "manual";
}

/// The words of the sides.
pub(crate) mod side {
    pub(crate) const HOST: &str = "host";
    pub(crate) const TENANT: &str = "tenant";
}

/// A channel that works, or that was not verified.
pub(crate) const WELL: &str = "well";
/// A channel of before.
pub(crate) const STALE: &str = "stale";
/// A secret that is as young as is asked for.
pub(crate) const CURRENT: &str = "current";
/// One that is older.
pub(crate) const OLDER: &str = "older than newSecretAfter";

/// The schema, which is the same for every directory.
pub(crate) fn schema() -> Schema {
    let rule = |path: &str, change| FieldRule::new(path, change);
    let once = [field::DOMAIN, field::NETBIOS, field::DNS, "partner.*"];
    let kind = KindRules {
        holds_data: false,
        fields: once.into_iter().map(|path| rule(path, Change::CreateOnly)).collect(),
        outputs: Vec::new(),
    };
    Schema { concern: Concern::Directory, kinds: BTreeMap::from([(TRUST.into(), kind)]) }
}
