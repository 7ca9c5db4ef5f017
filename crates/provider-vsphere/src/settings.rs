//! What a `HostProvider` says to this plugin: where tenants live in its vCenter and what they are made from.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use vertskommune_core::violation::Violation;

use crate::guest::{Guest, GuestKind};

/// The plugin's part of a `HostProvider`, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The datacenter, by its inventory path.
    pub(crate) datacenter: String,
    /// The cluster that runs the servers, by its path below the datacenter's host folder.
    pub(crate) cluster: String,
    /// The distributed switch, by its path below the datacenter's network folder.
    pub(crate) switch: String,
    /// The folder that is wholly ours, by its path below the datacenter's VM folder.
    pub(crate) folder: String,
    /// The resource pool that is wholly ours, by its path below the cluster's root pool.
    pub(crate) pool: String,
    /// Datastores for what names no storage policy, in the host's order.
    pub(crate) datastores: Vec<String>,
    /// Datastores by the storage policy that a manifest names.
    pub(crate) policies: BTreeMap<String, Vec<String>>,
    /// Whether disks that we add take only the space that is written.
    pub(crate) thin: bool,
    /// The templates by `name@version`.
    pub(crate) templates: BTreeMap<String, Template>,
}

/// A template of the host's catalogue.
#[derive(Debug)]
pub(crate) struct Template {
    /// Its path below the datacenter's VM folder.
    pub(crate) path: String,
    /// How a guest made from it learns who it is.
    pub(crate) guest: Guest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    datacenter: String,
    cluster: String,
    switch: String,
    folder: String,
    resource_pool: String,
    datastores: Vec<String>,
    #[serde(default)]
    storage_policies: BTreeMap<String, WrittenPolicy>,
    #[serde(default = "yes")]
    thin: bool,
    #[serde(default)]
    templates: Vec<WrittenTemplate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenPolicy {
    datastores: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenTemplate {
    name: String,
    path: String,
    #[serde(default)]
    guest: WrittenGuest,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenGuest {
    #[serde(default)]
    kind: GuestKind,
    #[serde(default)]
    data: String,
    #[serde(default)]
    metadata: Option<String>,
}

fn yes() -> bool {
    true
}

impl Settings {
    /// Reads the settings, or says all that is wrong with them.
    pub(crate) fn read(settings: &Json) -> Result<Self, Vec<Violation>> {
        let written: Written = Written::deserialize(settings)
            .map_err(|error| vec![Violation::new("spec.settings", error.to_string())])?;
        let mut violations = written.violations();
        let mut templates = BTreeMap::new();
        for (index, template) in written.templates.into_iter().enumerate() {
            let field = format!("spec.settings.templates[{index}]");
            let guest = template.guest;
            match Guest::compile(guest.kind, &guest.data, guest.metadata.as_deref()) {
                Ok(guest) => {
                    let name = template.name.clone();
                    if templates.insert(template.name, Template { path: template.path, guest }).is_some() {
                        violations
                            .push(Violation::new(format!("{field}.name"), format!("{name} is there twice")));
                    }
                }
                Err(error) => violations.push(Violation::new(format!("{field}.guest"), error)),
            }
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Self {
            datacenter: written.datacenter,
            cluster: written.cluster,
            switch: written.switch,
            folder: written.folder,
            pool: written.resource_pool,
            datastores: written.datastores,
            policies: written.storage_policies.into_iter().map(|(name, p)| (name, p.datastores)).collect(),
            thin: written.thin,
            templates,
        })
    }

    /// The datastores that a disk with this policy may lie on.
    pub(crate) fn datastores_of(&self, policy: Option<&str>) -> Option<&[String]> {
        match policy {
            None => Some(&self.datastores),
            Some(policy) => self.policies.get(policy).map(Vec::as_slice),
        }
    }

    /// All datastores that are named.
    pub(crate) fn all_datastores(&self) -> impl Iterator<Item = &str> {
        self.datastores.iter().chain(self.policies.values().flatten()).map(String::as_str)
    }
}

impl Written {
    fn violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let paths = [
            ("datacenter", &self.datacenter),
            ("cluster", &self.cluster),
            ("switch", &self.switch),
            ("folder", &self.folder),
            ("resourcePool", &self.resource_pool),
        ];
        for (field, path) in paths {
            if path.split('/').any(str::is_empty) {
                violations.push(Violation::new(
                    format!("spec.settings.{field}"),
                    format!("{path:?} is no path: name at least one object, with / between names"),
                ));
            }
        }
        let lists = self
            .storage_policies
            .iter()
            .map(|(name, policy)| (format!("storagePolicies.{name}.datastores"), &policy.datastores));
        for (field, list) in lists.chain([("datastores".to_owned(), &self.datastores)]) {
            if list.is_empty() {
                let message = "name at least one datastore";
                violations.push(Violation::new(format!("spec.settings.{field}"), message));
            }
        }
        for (index, template) in self.templates.iter().enumerate() {
            if !template
                .name
                .split_once('@')
                .is_some_and(|(name, version)| !name.is_empty() && !version.is_empty())
            {
                violations.push(Violation::new(
                    format!("spec.settings.templates[{index}].name"),
                    format!("{:?} has no version: write name@version", template.name),
                ));
            }
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn valid() -> Json {
        json!({
            "datacenter": "DC0", "cluster": "DC0_C0", "switch": "DVS0", "folder": "Tenants", "resourcePool": "Tenants",
            "datastores": ["LocalDS_0"],
            "templates": [{"name": "ubuntu@1", "path": "Templates/ubuntu",
                           "guest": {"kind": "cloud-init", "data": "hostname: {{ computerName }}"}}],
        })
    }

    #[test]
    fn valid_settings_are_read() {
        let settings = Settings::read(&valid()).unwrap();
        assert_eq!(settings.templates["ubuntu@1"].path, "Templates/ubuntu");
        assert_eq!(settings.datastores_of(None), Some(["LocalDS_0".to_owned()].as_slice()));
        assert_eq!(settings.datastores_of(Some("ssd")), None);
    }

    #[test]
    fn each_mistake_is_named_by_its_field() {
        type Break = fn(&mut Json);
        let rows: [(Break, &str); 5] = [
            (|s| s["folder"] = json!(""), "spec.settings.folder"),
            (|s| s["datastores"] = json!([]), "spec.settings.datastores"),
            (|s| s["surprise"] = json!(1), "spec.settings"),
            (|s| s["templates"][0]["name"] = json!("ubuntu"), "spec.settings.templates[0].name"),
            (|s| s["templates"][0]["guest"]["data"] = json!("{{ oh"), "spec.settings.templates[0].guest"),
        ];
        for (spoil, field) in rows {
            let mut settings = valid();
            spoil(&mut settings);
            let violations = Settings::read(&settings).unwrap_err();
            assert_eq!(violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}
