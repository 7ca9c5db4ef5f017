//! DRS rules that keep VMs on different hosts.

use crate::xml::Body;
use crate::{Element, Mor};

/// A rule that keeps VMs of a cluster on different hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AntiAffinityRule {
    /// vCenter's number of the rule within the cluster; not read when the rule is added.
    pub key: i32,
    /// Unique within the cluster.
    pub name: String,
    /// Whether it counts.
    pub enabled: bool,
    /// Whether a VM rather stays off than breaks it.
    pub mandatory: bool,
    /// At least two.
    pub vms: Vec<Mor>,
}

/// A change to a cluster's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleChange {
    /// Adds a rule.
    Add(AntiAffinityRule),
    /// Replaces the rule of this key.
    Edit(AntiAffinityRule),
    /// Removes the rule of this key.
    Remove(i32),
}

/// The rules of this sort in the value of a cluster's `configurationEx`. Rules of other sorts are
/// left out.
pub fn anti_affinity_rules(configuration: &Element) -> Vec<AntiAffinityRule> {
    let rules = configuration.all("rule").filter(|rule| &*rule.kind == "ClusterAntiAffinityRuleSpec");
    rules.filter_map(read_rule).collect()
}

fn read_rule(rule: &Element) -> Option<AntiAffinityRule> {
    Some(AntiAffinityRule {
        key: i32::try_from(rule.int_at("key")?).ok()?,
        name: rule.text_at("name")?.to_owned(),
        enabled: rule.bool_at("enabled").unwrap_or(false),
        mandatory: rule.bool_at("mandatory").unwrap_or(false),
        vms: rule.all("vm").filter_map(Element::mor).collect(),
    })
}

/// Writes a `ClusterConfigSpecEx` that changes rules and nothing else.
pub(crate) fn write_rules(b: &mut Body, changes: &[RuleChange]) {
    b.typed("spec", "ClusterConfigSpecEx", |b| {
        for change in changes {
            b.element("rulesSpec", |b| match change {
                RuleChange::Add(rule) => {
                    b.value("operation", "add");
                    write_rule(b, None, rule);
                }
                RuleChange::Edit(rule) => {
                    b.value("operation", "edit");
                    write_rule(b, Some(rule.key), rule);
                }
                RuleChange::Remove(key) => {
                    b.value("operation", "remove").any("removeKey", "xsd:int", key);
                }
            });
        }
    });
    // Only what is given is changed.
    b.value("modify", true);
}

fn write_rule(b: &mut Body, key: Option<i32>, rule: &AntiAffinityRule) {
    b.typed("info", "ClusterAntiAffinityRuleSpec", |b| {
        b.option("key", key)
            .value("enabled", rule.enabled)
            .value("name", &rule.name)
            .value("mandatory", rule.mandatory);
        for vm in &rule.vms {
            b.mor("vm", vm);
        }
    });
}
