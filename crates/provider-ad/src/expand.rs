//! What a tenant should have in this directory: one trust, with both of its sides.

use serde_json::json;
use vertskommune_core::directory::{Access, Direction, Directory, Partner, TrustKind};
use vertskommune_core::domain::Inputs;
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey, TenantName};
use vertskommune_core::resource::Resource;

use crate::schema::{CURRENT, TRUST, WELL, field, stand};

/// The resources of one tenant; none where its trust is another directory's.
pub(crate) fn expand(inputs: &Inputs, provider: &ProviderName) -> Vec<Resource> {
    let tenant = &inputs.tenant;
    let Some(wanted) = tenant.directory.as_ref().filter(|it| it.provider == *provider) else {
        return Vec::new();
    };
    vec![trust(id(&tenant.name, provider, &wanted.domain), wanted)]
}

/// The trust of a tenant with that domain.
pub(crate) fn id(tenant: &TenantName, provider: &ProviderName, domain: &str) -> ResourceId {
    ResourceId::new(tenant, provider, ResourceKey::new(TRUST, domain))
}

fn trust(id: ResourceId, wanted: &Directory) -> Resource {
    let mut trust = Resource::new(id, "spec.directory")
        .with(field::HOST, stand::WHOLE)
        .with(field::DIRECTION, direction_word(wanted.direction()))
        .with(field::KIND, kind_word(wanted.kind))
        .with(field::SECRET, CURRENT)
        .with(field::HOST_CHANNEL, WELL)
        .with(field::HOST_FORWARDER, true)
        .with(field::DOMAIN, wanted.domain.as_str())
        .with(field::NETBIOS, wanted.netbios.as_str())
        .with(field::DNS, json!(wanted.dns));
    trust = access(trust, wanted.to_host.as_ref(), field::HOST_SELECTIVE, field::HOST_FILTERS);
    trust = match &wanted.partner {
        Partner::Agent { endpoint, identity, secret } => {
            let trust = trust
                .with(field::TENANT, stand::WHOLE)
                .with(field::MIRRORED, true)
                .with(field::TENANT_CHANNEL, WELL)
                .with(field::ENDPOINT, endpoint.as_str())
                .with(field::IDENTITY, identity.as_str())
                .with(field::PARTNER_SECRET, secret.as_str());
            access(trust, wanted.to_tenant.as_ref(), field::TENANT_SELECTIVE, field::TENANT_FILTERS)
        }
        Partner::Manual { secret } => trust.with(field::PARTNER_SECRET, secret.as_str()),
    };
    trust.permits.restart_before = wanted.restart_before;
    trust
}

/// How the way goes, where there is one: the side with the services holds it.
fn access(trust: Resource, way: Option<&Access>, selective: &str, filters: &str) -> Resource {
    match way {
        Some(way) => trust.with(selective, way.selective).with(filters, way.filters_sids),
        None => trust,
    }
}

/// A direction as it stands in plans: as the field calls it.
pub(crate) fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
        Direction::Both => "bidirectional",
    }
}

/// Likewise.
pub(crate) fn read_direction(word: &str) -> Option<Direction> {
    [Direction::Inbound, Direction::Outbound, Direction::Both]
        .into_iter()
        .find(|it| direction_word(*it) == word)
}

/// A kind of trust as it stands in plans.
pub(crate) fn kind_word(kind: TrustKind) -> &'static str {
    match kind {
        TrustKind::Forest => "Forest",
        TrustKind::External => "External",
    }
}

/// Likewise.
pub(crate) fn read_kind(word: &str) -> Option<TrustKind> {
    [TrustKind::Forest, TrustKind::External].into_iter().find(|it| kind_word(*it) == word)
}
