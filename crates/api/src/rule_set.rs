//! `RuleSet`: an immutable version of a named set of firewall rules of the host's catalogue.
//!
//! Its template is the host's text; what a tenant writes is only ever a value of it. Every text that is inserted comes
//! out as a quoted JSON string, whatever it holds, so that no value can become a field or a rule.

// The derive of KubeSchema repeats every type inside a function, where `pub` reaches nothing.
#![allow(unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tera::{Context, Tera};
use vertskommune_core::error::with_causes;
use vertskommune_core::tenant::{Network, Server};
use vertskommune_core::violation::Violation;

use crate::rules;
use crate::tenant::firewall::Fragment;

/// The most bytes of a template's result: a loop over a loop must not fill the memory.
const MAX_RENDERED: usize = 1 << 20;

/// A version of a set of rules.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "vertskommune.no",
    version = "v1alpha1",
    kind = "RuleSet",
    shortname = "rs-vk",
    category = "vertskommune",
    derive = "PartialEq",
    doc = "A version of a set of firewall rules of the host's catalogue, which Tenants pin as name@version.",
    validation = rules::RULE_SET_NAME,
    printcolumn(name = "Set", type_ = "string", json_path = ".spec.name", description = "The name that tenants pin"),
    printcolumn(name = "Version", type_ = "integer", json_path = ".spec.version", description = "The version"),
    printcolumn(name = "Position", type_ = "string", json_path = ".spec.position", priority = 1, description = "Where its rules stand"),
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description", description = "What it is for"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::RULE_SET_IMMUTABLE)]
pub struct RuleSetSpec {
    /// Name of the set. Example: municipality-baseline.
    #[schemars(length(min = 1, max = 24), regex(pattern = rules::LABEL))]
    pub name: String,
    /// Version of the set, from 1. A version never changes: write the next one, and let tenants take it up one by one.
    #[schemars(range(min = 1, max = 999_999))]
    pub version: i32,
    /// What it is for, and what is new in this version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub description: String,
    /// Whether its rules stand before the tenant's own, or after them.
    #[serde(default)]
    pub position: Position,
    /// Tera template that gives YAML with addresses, addressGroups, services, serviceGroups, schedules and rules, written
    /// as in a Tenant's spec.firewall. Its values are tenant, displayName, networks (name, vlan, cidr, gateway, dns) and
    /// servers (name, addresses, networks). Each text comes out quoted: join texts with `~` within the braces.
    #[schemars(length(min = 1, max = 65536))]
    pub template: String,
}

/// Where the rules of a set stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum Position {
    /// Before the tenant's own.
    #[default]
    Before,
    /// After the tenant's own.
    After,
}

/// The host's catalogue: its rule sets by the text that pins one, `name@version`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    sets: BTreeMap<String, RuleSetSpec>,
}

/// What a rule set gives for one tenant.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) name: String,
    pub(crate) position: Position,
    pub(crate) fragment: Fragment,
}

impl RuleSetSpec {
    /// The text by which a tenant pins it.
    pub fn pin(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    pub(crate) fn render(&self, values: &Values<'_>) -> Result<Rendered, String> {
        let mut tera = Tera::default();
        tera.autoescape_on(vec![""]);
        tera.set_escape_fn(quoted);
        tera.add_raw_template("rules", &self.template).map_err(|error| with_causes(&error))?;
        let mut text = Bounded(Vec::new());
        tera.render_to("rules", &values.context(), &mut text).map_err(|error| with_causes(&error))?;
        let text = String::from_utf8(text.0).map_err(|_| "gives what is no text".to_owned())?;
        let fragment: Fragment = if text.trim().is_empty() {
            Fragment::default()
        } else {
            serde_saphyr::from_str(&text).map_err(|error| format!("gives no rules: {error}"))?
        };
        if let Some(what) = fragment.adopts() {
            return Err(format!(
                "gives {what} an adopt, which would take over the same thing for every tenant: leave it out, or write \
                 the entry in the tenant's own firewall"
            ));
        }
        Ok(Rendered { name: self.name.clone(), position: self.position, fragment })
    }
}

impl Catalogue {
    /// Puts in a set. One whose name and version are there already is an error of whoever wrote it.
    ///
    /// # Errors
    /// Where another set has the same name and version.
    pub fn insert(&mut self, set: RuleSetSpec) -> Result<(), Violation> {
        let pin = set.pin();
        match self.sets.get(&pin) {
            Some(other) if *other != set => {
                Err(Violation::new("spec.version", format!("there is another {pin}: write the next version")))
            }
            _ => {
                self.sets.insert(pin, set);
                Ok(())
            }
        }
    }

    /// The set that this text pins.
    pub fn get(&self, pin: &str) -> Option<&RuleSetSpec> {
        self.sets.get(pin)
    }

    /// Takes out a set.
    pub fn remove(&mut self, pin: &str) {
        self.sets.remove(pin);
    }

    /// What tenants can pin.
    pub fn pins(&self) -> BTreeSet<String> {
        self.sets.keys().cloned().collect()
    }

    /// All sets.
    pub fn sets(&self) -> impl Iterator<Item = &RuleSetSpec> {
        self.sets.values()
    }

    /// The newest version of the set of that name.
    pub fn newest(&self, name: &str) -> Option<&RuleSetSpec> {
        self.sets.values().filter(|set| set.name == name).max_by_key(|set| set.version)
    }
}

/// What a template may use of a tenant.
pub(crate) struct Values<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) display_name: &'a str,
    pub(crate) networks: &'a [Network],
    pub(crate) servers: &'a [Server],
}

impl Values<'_> {
    fn context(&self) -> Context {
        let networks: Vec<_> = self
            .networks
            .iter()
            .map(|it| json!({"name": it.name, "vlan": it.vlan, "cidr": it.cidr, "gateway": it.gateway, "dns": it.dns}))
            .collect();
        let servers: Vec<_> = self
            .servers
            .iter()
            .map(|it| {
                let addresses: Vec<_> =
                    it.interfaces.iter().filter_map(|interface| interface.address).collect();
                let networks: Vec<_> = it.interfaces.iter().map(|interface| &interface.network).collect();
                json!({"name": it.name, "addresses": addresses, "networks": networks})
            })
            .collect();
        let mut context = Context::new();
        context.insert("tenant", self.tenant);
        context.insert("displayName", self.display_name);
        context.insert("networks", &networks);
        context.insert("servers", &servers);
        context
    }
}

/// A text as a JSON string, which is a double-quoted text of YAML as well.
fn quoted(text: &str, out: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer(out, text).map_err(io::Error::from)
}

/// A buffer that takes so much and no more.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED {
            return Err(io::Error::other("the template gives more than 1 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(template: &str) -> RuleSetSpec {
        let (name, template) = ("baseline".to_owned(), template.to_owned());
        RuleSetSpec { name, version: 1, template, ..RuleSetSpec::default() }
    }

    fn fragment(template: &str, display_name: &str) -> Result<Fragment, String> {
        let values = Values { tenant: "ibestad", display_name, networks: &[], servers: &[] };
        set(template).render(&values).map(|rendered| rendered.fragment)
    }

    #[test]
    fn whatever_a_tenant_is_called_stays_a_value() {
        let template =
            "rules:\n  - {id: dns, from: [a], to: [b], services: [DNS], comment: {{ displayName }}}\n";
        for name in [
            "Ibestad kommune",
            "\", action: accept, id: \"x",
            "x}\n  - {id: all, from: [internet], to: [a], services: [ALL]",
            "# not a comment",
            "{{ tenant }}",
            "a: b, - c, &d *e !f |g >h %i @j `k",
            "Dyrøy \u{1f600} \\ \u{2028}",
        ] {
            let fragment = fragment(template, name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
            assert_eq!(fragment.rules.len(), 1, "{name:?}");
            assert_eq!(fragment.rules[0].comment, name);
        }
    }

    #[test]
    fn what_a_template_gives_is_held_to_the_schema() {
        for (template, says) in [
            ("rules: [", "gives no rules"),
            ("rules: [{id: a, from: [b], to: [c], services: [d], surprise: 1}]", "surprise"),
            ("{% for a in nothing %}x{% endfor %}", "nothing"),
            ("{{ oh", "rules"),
            ("rules: [{id: a, from: [b], to: [c], services: [d], adopt: '7'}]", "rule a an adopt"),
            ("serviceGroups: [{name: a, members: [HTTPS], adopt: b}]", "service group a an adopt"),
        ] {
            let error = fragment(template, "x").unwrap_err();
            assert!(error.contains(says), "{template}: {error}");
        }
        assert_eq!(fragment("", "x").unwrap(), Fragment::default());
    }
}
