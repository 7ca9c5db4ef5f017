//! A HostProvider as a whole. Its settings are the plugin's to check.

use std::ops::RangeInclusive;

use serde_json::Value;
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::names::{ProviderName, is_label};
use vertskommune_core::violation::Violation;

use super::address;
use super::fields::Fields;
use super::maintenance::maintenance;
use crate::{HostProvider, host_provider};

/// The endpoint that this manifest describes.
///
/// # Errors
/// All that is wrong with it, each with its field.
pub fn validate_host(manifest: &HostProvider) -> Result<Host, Vec<Violation>> {
    let mut fields = Fields::default();
    let spec = &manifest.spec;
    let name = manifest.metadata.name.as_deref().unwrap_or_default();
    fields.label("metadata.name", name, 63);
    fields.label("spec.plugin", &spec.plugin, 32);
    endpoint(&spec.endpoint, &mut fields);
    fields.text("spec.identity", &spec.identity, 256);
    if let Some(ca) = &spec.ca_bundle {
        let pem = ca.contains("-----BEGIN CERTIFICATE-----") && ca.contains("-----END CERTIFICATE-----");
        fields.must(
            pem,
            "spec.caBundle",
            "is no certificate: write PEM text, beginning with -----BEGIN CERTIFICATE-----",
        );
    }
    let credentials = spec.credentials.as_ref().map(|credentials| credentials.secret_name.clone());
    if let Some(secret) = &credentials {
        let formed = secret.len() <= 253 && secret.split('.').all(is_label);
        fields.must(
            formed,
            "spec.credentials.secretName",
            format!("{secret:?} is no name of a Secret: correct it"),
        );
    }
    if let Some(site) = &spec.site {
        fields.label("spec.site", site, 63);
    }
    let released = spec.destruction_released_until.as_deref();
    let released = released.and_then(|text| fields.time("spec.destructionReleasedUntil", text));
    let host = Host {
        name: ProviderName::from(name),
        plugin: spec.plugin.clone(),
        endpoint: spec.endpoint.clone(),
        identity: spec.identity.clone(),
        ca: spec.ca_bundle.clone(),
        credentials,
        site: spec.site.clone(),
        mode: match spec.mode {
            host_provider::Mode::Manage => Mode::Manage,
            host_provider::Mode::Observe => Mode::Observe,
        },
        budget: budget(&spec.budget, &mut fields),
        ground: ground(&spec.tenants, &mut fields),
        destruction_released_until: released,
        maintenance: maintenance(spec.maintenance.as_ref(), "spec.maintenance", &mut fields),
        settings: Value::Object(spec.settings.clone()),
    };
    fields.finish(Some(host))
}

/// A URL must not carry credentials: it is shown in columns, logs and errors. As whom SSH logs in is none.
fn endpoint(text: &str, fields: &mut Fields) {
    fields.text("spec.endpoint", text, 512);
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let is_account = text.starts_with("ssh://")
        && authority.rsplit_once('@').is_some_and(|(user, _)| !user.contains([':', '@']));
    fields.must(
        is_account || !authority.contains('@'),
        "spec.endpoint",
        "holds a user or password: leave them out and name a Secret in spec.credentials.secretName",
    );
}

fn budget(written: &host_provider::Budget, fields: &mut Fields) -> Budget {
    let at = |field: &str| format!("spec.budget.{field}");
    Budget {
        concurrency: fields.number(&at("concurrency"), written.concurrency, 1, 256),
        requests_per_second: fields.number(&at("requestsPerSecond"), written.requests_per_second, 1, 10_000),
        destructive_steps_per_hour: fields.number(
            &at("destructiveStepsPerHour"),
            written.destructive_steps_per_hour,
            0,
            1000,
        ),
    }
}

fn ground(written: &host_provider::Ground, fields: &mut Fields) -> Ground {
    let at = |field: &str, i: usize| format!("spec.tenants.{field}[{i}]");
    fields.entries("spec.tenants.vlans", written.vlans.len(), 64);
    fields.entries("spec.tenants.networks", written.networks.len(), 64);
    fields.entries("spec.tenants.reserved", written.reserved.len(), 64);
    fields.entries("spec.tenants.namePrefixes", written.name_prefixes.len(), 256);
    fields.entries("spec.tenants.templates", written.templates.len(), 128);
    let vlans = written.vlans.iter().enumerate();
    let vlans = vlans.filter_map(|(i, text)| fields.take(&at("vlans", i), vlans_of(text))).collect();
    let networks = written.networks.iter().enumerate();
    let networks =
        networks.filter_map(|(i, text)| fields.take(&at("networks", i), address::range(text))).collect();
    let reserved = written.reserved.iter().enumerate();
    let reserved = reserved.filter_map(|(i, text)| fields.take(&at("reserved", i), address::reserved(text)));
    let reserved = reserved.flatten().collect();
    for (i, prefix) in written.name_prefixes.iter().enumerate() {
        // A prefix may end in a hyphen, which a name may not.
        let formed = prefix.len() <= 32 && is_label(&format!("{prefix}0"));
        let message =
            format!("{prefix:?} is no beginning of a name: write lower-case letters, digits and hyphens");
        fields.must(formed, &at("namePrefixes", i), message);
    }
    for (i, template) in written.templates.iter().enumerate() {
        fields.template(&at("templates", i), template);
    }
    Ground {
        vlans,
        networks,
        reserved,
        name_prefixes: written.name_prefixes.clone(),
        templates: written.templates.clone(),
    }
}

/// One VLAN id or a range of them.
fn vlans_of(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong =
        || format!("{text:?} is no VLAN range: write an id from 1 to 4094 or two of them, such as 1300-1399");
    let id = |text: &str| {
        let plain = !text.starts_with(['0', '+']);
        text.parse::<u16>().ok().filter(|id| plain && (1..=4094).contains(id)).ok_or_else(wrong)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (id(first)?, id(last)?);
    if first > last {
        return Err(format!("{text:?} runs backwards: write the lower id first"));
    }
    Ok(first..=last)
}
