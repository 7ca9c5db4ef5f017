//! What a tenant should have in this vCenter: a folder, a pool, its networks, its servers, and rules between them.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use vertskommune_core::domain::Inputs;
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey};
use vertskommune_core::resource::{Permits, Resource};
use vertskommune_core::tenant::{Server, ValidatedTenant};
use vertskommune_core::violation::Violation;

use crate::guest::Values;
use crate::marks::{ANTI_AFFINITY, FOLDER, NETWORK, POOL, REF, SERVER, groups, portgroup_name};
use crate::settings::Settings;

/// The resources of one tenant; none where it runs its servers elsewhere.
pub(crate) fn expand(
    inputs: &Inputs,
    provider: &ProviderName,
    settings: &Settings,
) -> Result<Vec<Resource>, Vec<Violation>> {
    let tenant = &inputs.tenant;
    if tenant.compute.as_ref().is_none_or(|compute| compute.provider != *provider) {
        return Ok(Vec::new());
    }
    let violations = violations(tenant, settings);
    if !violations.is_empty() {
        return Err(violations);
    }
    let places = Places { tenant, provider };
    let mut resources = vec![places.folder(), places.pool()];
    resources.extend((0..tenant.networks.len()).map(|index| places.network(index)));
    resources.extend(tenant.servers.iter().enumerate().map(|(index, server)| places.server(index, server)));
    resources
        .extend(groups(tenant).into_iter().map(|(group, members)| places.anti_affinity(group, &members)));
    Ok(resources)
}

/// What the manifest names and the settings do not give.
fn violations(tenant: &ValidatedTenant, settings: &Settings) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, server) in tenant.servers.iter().enumerate() {
        let field = format!("spec.servers[{index}]");
        if server.adopt.is_none() && !settings.templates.contains_key(&server.template) {
            let known: Vec<_> = settings.templates.keys().map(String::as_str).collect();
            violations.push(Violation::new(
                format!("{field}.template"),
                format!("there is no template {}: there is {}", server.template, list(&known)),
            ));
        }
        for (at, disk) in server.disks.iter().enumerate() {
            if let Some(policy) =
                disk.storage_policy.as_ref().filter(|name| !settings.policies.contains_key(*name))
            {
                let known: Vec<_> = settings.policies.keys().map(String::as_str).collect();
                violations.push(Violation::new(
                    format!("{field}.disks[{at}].storagePolicy"),
                    format!("there is no storage policy {policy}: there is {}", list(&known)),
                ));
            }
        }
    }
    violations
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

struct Places<'a> {
    tenant: &'a ValidatedTenant,
    provider: &'a ProviderName,
}

impl Places<'_> {
    fn id(&self, kind: &str, name: &str) -> ResourceId {
        ResourceId::new(&self.tenant.name, self.provider, ResourceKey::new(kind, name))
    }

    fn folder_id(&self) -> ResourceId {
        self.id(FOLDER, self.tenant.name.as_str())
    }

    fn folder(&self) -> Resource {
        Resource::new(self.folder_id(), "spec.compute").with("name", self.tenant.name.as_str())
    }

    /// Shares only: a limit on a pool would throttle and swap. The quota is held by the plan.
    fn pool(&self) -> Resource {
        Resource {
            // The folder comes first and goes last: while anything else is there and the folder is not seen, sight is
            // lost and nothing is absent.
            after: BTreeSet::from([self.folder_id()]),
            ..Resource::new(self.id(POOL, self.tenant.name.as_str()), "spec.compute")
                .with("name", self.tenant.name.as_str())
                .with("shares", "normal")
                .with("limits", "none")
        }
    }

    fn network(&self, index: usize) -> Resource {
        let network = &self.tenant.networks[index];
        Resource {
            after: BTreeSet::from([self.folder_id()]),
            ..Resource::new(self.id(NETWORK, &network.name), format!("spec.networks[{index}]"))
                .with("name", portgroup_name(&self.tenant.name, &network.name))
                .with("vlan", network.vlan)
        }
    }

    fn server(&self, index: usize, server: &Server) -> Resource {
        let pool = self.id(POOL, self.tenant.name.as_str());
        let mut resource = Resource::new(self.id(SERVER, &server.name), format!("spec.servers[{index}]"))
            .with("name", server.name.as_str())
            .with_output("folder", &self.folder_id(), REF)
            .with_output("pool", &pool, REF)
            .with("vcpus", server.vcpus)
            .with("memory", server.memory)
            .with("template", server.template.as_str())
            .with("guest", serde_json::to_value(Values::of(self.tenant, server)).unwrap_or(Json::Null))
            .with("power", "on")
            .with("diskNames", "kept")
            .with("born", true)
            .with("restarting", false);
        for disk in &server.disks {
            resource = resource.with(format!("disks.{}.size", disk.name), disk.size);
            if let Some(policy) = &disk.storage_policy {
                resource = resource.with(format!("disks.{}.storagePolicy", disk.name), policy.as_str());
            }
        }
        for (number, interface) in server.interfaces.iter().enumerate() {
            let network = self.id(NETWORK, &interface.network);
            resource = resource.with_output(format!("interfaces.{number}.network"), &network, REF);
        }
        resource.permits = Permits {
            adopt: server.adopt.clone(),
            recreate: server.recreate.clone(),
            restart_before: server.restart_before,
        };
        resource.group.clone_from(&server.anti_affinity);
        resource
    }

    fn anti_affinity(&self, group: &str, members: &[&str]) -> Resource {
        let rule = Resource::new(self.id(ANTI_AFFINITY, group), "spec.servers").with("enabled", true);
        members.iter().fold(rule, |rule, member| {
            rule.with_output(format!("members.{member}"), &self.id(SERVER, member), REF)
        })
    }
}
