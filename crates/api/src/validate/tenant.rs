//! A Tenant as a whole: its own fields, its quota, and its annotations.

use std::collections::BTreeSet;

use jiff::Timestamp;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::tenant::{
    Compute, Deletion, DeletionPolicy, DriftPolicy, Quota, Server, ValidatedTenant,
};
use vertskommune_core::violation::Violation;

use super::backup::backup;
use super::directory::directory;
use super::fields::Fields;
use super::firewall::{Known, firewall};
use super::maintenance::maintenance;
use super::network::networks;
use super::server::{self, servers};
use crate::quantity::Quantity;
use crate::rule_set::Catalogue;
use crate::{ACCEPT_LOSS, ALLOW_DESTROY, BACKUP_AFTER, Tenant, tenant};

/// The tenant that this manifest describes, with the rules of the rule sets that it pins.
///
/// # Errors
/// All that is wrong with it, each with its field.
pub fn validate_tenant(manifest: &Tenant, catalogue: &Catalogue) -> Result<ValidatedTenant, Vec<Violation>> {
    let mut fields = Fields::default();
    let spec = &manifest.spec;
    let name = manifest.metadata.name.as_deref().unwrap_or_default();
    fields.label("metadata.name", name, 32);
    let allow_destroy = allow_destroy(manifest, &mut fields);
    let accept_loss = time_annotated(manifest, ACCEPT_LOSS, &mut fields);
    let backup_after = time_annotated(manifest, BACKUP_AFTER, &mut fields);
    fields.text("spec.displayName", &spec.display_name, 128);
    municipality_number(spec.municipality_number.as_deref(), &mut fields);
    let networks = networks(&spec.networks, &mut fields);
    let compute = spec.compute.as_ref().and_then(|written| compute(written, &mut fields));
    let named = server::Known { names: &spec.networks, networks: &networks };
    let servers = servers(&spec.servers, &named, &mut fields);
    let missing = spec.compute.is_none() && !spec.servers.is_empty();
    fields.must(!missing, "spec.compute", "is missing: servers need a provider and a quota");
    if let Some(compute) = &compute {
        within_quota(&servers, &compute.quota, &mut fields);
    }
    let known = Known {
        tenant: name,
        display_name: spec.display_name.trim(),
        networks: &networks,
        servers: &servers,
        catalogue,
    };
    let firewall = spec.firewall.as_ref().map(|written| firewall(written, &known, &mut fields));
    let backup = spec
        .backup
        .as_ref()
        .and_then(|written| backup(written, &spec.servers, &servers, backup_after, &mut fields));
    let directory = spec.directory.as_ref().and_then(|written| directory(written, &mut fields));
    let maintenance = maintenance(spec.maintenance.as_ref(), "spec.maintenance", &mut fields);
    fields.finish(Some(ValidatedTenant {
        name: TenantName::from(name),
        display_name: spec.display_name.trim().to_owned(),
        municipality_number: spec.municipality_number.clone(),
        networks,
        compute,
        servers,
        firewall,
        backup,
        directory,
        maintenance,
        drift_policy: drift_policy(spec.drift_policy),
        deletion_policy: deletion_policy(spec),
        suspend: spec.suspend,
        allow_destroy,
        accept_loss,
    }))
}

fn municipality_number(number: Option<&str>, fields: &mut Fields) {
    let formed = number.is_none_or(|number| number.len() == 4 && number.bytes().all(|c| c.is_ascii_digit()));
    fields.must(
        formed,
        "spec.municipalityNumber",
        "is no municipality number: write four digits, such as \"5514\"",
    );
}

fn compute(written: &tenant::Compute, fields: &mut Fields) -> Option<Compute> {
    fields.label("spec.compute.provider", &written.provider, 63);
    let vcpus = fields.number("spec.compute.quota.vcpus", written.quota.vcpus, 1, 65536);
    let memory = fields.size("spec.compute.quota.memory", &written.quota.memory);
    let storage = fields.size("spec.compute.quota.storage", &written.quota.storage);
    let retire_after = fields.duration("spec.compute.retireAfter", &written.retire_after);
    Some(Compute {
        provider: ProviderName::from(written.provider.as_str()),
        quota: Quota { vcpus, memory: memory?, storage: storage? },
        retire_after: retire_after?,
    })
}

/// What the manifest's servers use together is within the quota.
fn within_quota(servers: &[Server], quota: &Quota, fields: &mut Fields) {
    let vcpus: u64 = servers.iter().map(|server| u64::from(server.vcpus)).sum();
    let over = |used: &str, allowed: &str| {
        format!(
            "the servers use {used} together, more than the quota of {allowed}: raise it or make servers smaller"
        )
    };
    if vcpus > u64::from(quota.vcpus) {
        fields.wrong("spec.compute.quota.vcpus", over(&vcpus.to_string(), &quota.vcpus.to_string()));
    }
    let memory = total(servers.iter().map(|server| server.memory));
    let storage = total(servers.iter().flat_map(|server| &server.disks).map(|disk| disk.size));
    for (field, used, allowed) in [("memory", memory, quota.memory), ("storage", storage, quota.storage)] {
        if used > allowed {
            let (used, allowed) = (Quantity::from_bytes(used), Quantity::from_bytes(allowed));
            fields.wrong(format!("spec.compute.quota.{field}"), over(used.as_str(), allowed.as_str()));
        }
    }
}

/// The sum, or as much as can be counted.
fn total(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

fn drift_policy(written: tenant::DriftPolicy) -> DriftPolicy {
    match written {
        tenant::DriftPolicy::Heal => DriftPolicy::Heal,
        tenant::DriftPolicy::Show => DriftPolicy::Show,
    }
}

/// What becomes of the real things when the manifest is deleted. Nothing is asked for where there is no firewall.
pub fn deletion_policy(spec: &tenant::TenantSpec) -> DeletionPolicy {
    let written = spec.deletion_policy.clone().unwrap_or_default();
    let policy = |written| match written {
        tenant::Deletion::Retain => Deletion::Retain,
        tenant::Deletion::Remove => Deletion::Remove,
    };
    let asked = |is_there: bool, written| if is_there { policy(written) } else { Deletion::Retain };
    DeletionPolicy {
        servers: policy(written.servers),
        firewall: asked(spec.firewall.is_some(), written.firewall),
        directory: asked(spec.directory.is_some(), written.directory),
    }
}

/// The destructive steps that the annotation names, whether or not each is the form of an id.
pub fn named_steps(manifest: &Tenant) -> BTreeSet<String> {
    let words = annotation(manifest, ALLOW_DESTROY).unwrap_or_default().split(',').map(str::trim);
    words.filter(|id| !id.is_empty()).map(str::to_ascii_lowercase).collect()
}

/// The destructive steps that the annotation allows.
fn allow_destroy(manifest: &Tenant, fields: &mut Fields) -> BTreeSet<String> {
    let ids = named_steps(manifest);
    for id in &ids {
        let formed = (12..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_hexdigit());
        fields.must(
            formed,
            &format!("metadata.annotations[{ALLOW_DESTROY}]"),
            format!("{id:?} is no step: write at least the first 12 characters of each step's id, as the plan shows it"),
        );
    }
    ids
}

/// The time that an annotation names.
fn time_annotated(manifest: &Tenant, name: &str, fields: &mut Fields) -> Option<Timestamp> {
    fields.time(&format!("metadata.annotations[{name}]"), annotation(manifest, name)?)
}

fn annotation<'a>(manifest: &'a Tenant, name: &str) -> Option<&'a str> {
    manifest.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}
