use vertskommune_api::{Catalogue, RuleSetSpec, Tenant, validate_tenant};
use vertskommune_core::render::{self, Colour};

use super::*;

/// A tenant with these rules and objects of a rule set.
fn tenant(template: &str) -> ValidatedTenant {
    let mut catalogue = Catalogue::default();
    let (name, template) = ("set".to_owned(), template.to_owned());
    catalogue.insert(RuleSetSpec { name, version: 1, template, ..RuleSetSpec::default() }).unwrap();
    let manifest: Tenant = serde_json::from_value(json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": { "name": "ibestad" },
        "spec": {
            "displayName": "Ibestad",
            "networks": [{ "name": "n", "vlan": 7, "cidr": "10.0.0.0/24", "gateway": "10.0.0.1" }],
            "firewall": {
                "provider": "f", "ruleSets": ["set@1"],
                "rules": [{ "id": "own", "from": ["n"], "to": ["internet"], "services": ["DNS"] }],
            },
        },
    }))
    .unwrap();
    validate_tenant(&manifest, &catalogue).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

fn shown(before: &str, after: &str) -> String {
    render::changes(&forecast(&tenant(before), &tenant(after)), Colour::Never)
}

#[test]
fn each_change_is_told_and_nothing_else() {
    let rules = |ids: &[&str]| {
        let rule = |id: &&str| format!("{{id: {id}, from: [n], to: [internet], services: [DNS]}}");
        format!("rules: [{}]", ids.iter().map(rule).collect::<Vec<_>>().join(", "))
    };
    let one = |more: &str| format!("rules: [{{id: a, from: [n], to: [internet], services: [A, B]{more}}}]");
    let schedule = "schedules: [{name: day, days: [Monday], start: \"07:00\", end: \"16:00\"}]\n";
    for (before, after, expected, reason) in [
        (rules(&["a", "b"]), rules(&["a", "b"]), "", "the same"),
        (one(""), one("").replace("A, B", "B, A"), "", "the order of services means nothing"),
        (
            rules(&["a"]),
            rules(&["b", "a"]),
            "  + rule/set.b  comes first: n to internet: DNS, accept, NAT\n",
            "one that comes moves none of the others",
        ),
        (
            rules(&["a", "b", "c"]),
            rules(&["a", "c"]),
            "  - rule/set.b  goes: n to internet: DNS, accept, NAT\n",
            "nor does one that goes",
        ),
        (
            rules(&["a", "b", "c", "d"]),
            rules(&["a", "c", "b", "d"]),
            "  ~ order/rules  changes sequence\n      sequence: [\"set.b\",\"set.c\"] → [\"set.c\",\"set.b\"]\n",
            "the stretch that moves",
        ),
        (
            rules(&["z", "a"]),
            rules(&[]),
            "  - rule/set.z  goes: n to internet: DNS, accept, NAT\n  - rule/set.a  goes: n to internet: DNS, accept, NAT\n",
            "what goes stands as it stood",
        ),
        (
            one(""),
            one(", action: deny, log: all"),
            "  ~ rule/set.a  changes action, log, nat\n      action: accept → deny\n      log: security → all\n      nat: \
             true → false\n",
            "each field",
        ),
        (
            format!("{schedule}{}", one(", schedule: day, profiles: {ips: strict}, comment: x")),
            format!("{schedule}{}", one("")),
            "  ~ rule/set.a  changes comment, profiles.ips, schedule\n      comment: x → (none)\n      profiles.ips: strict \
             → (none)\n      schedule: set.day → (none)\n",
            "what is taken away",
        ),
        (
            String::new(),
            format!(
                "{schedule}addressGroups: [{{name: g, members: [n]}}]\nserviceGroups: [{{name: s, members: [DNS]}}]\n{}",
                one(", schedule: day, profiles: {ips: strict, antivirus: default}, enabled: false")
            ),
            "  + address-group/set.g  comes: n\n  + schedule/set.day  comes: Monday 07:00-16:00\n  + service-group/set.s  \
             comes: DNS\n  + rule/set.a  comes first: n to internet: A, B, accept during set.day, NAT, switched off, \
             inspected by default, strict\n",
            "objects before what names them",
        ),
        (
            "services: [{name: s, tcp: [\"1\"]}]\naddresses: [{name: a, cidr: 192.0.2.0/24}]".to_owned(),
            "services: [{name: s, tcp: [\"1-2\"], udp: [\"1\"]}]\naddresses: [{name: a, fqdn: a.example.no}]"
                .to_owned(),
            "  ~ address/set.a  changes address\n      address: 192.0.2.0/24 → a.example.no\n  ~ service/set.s  changes tcp, \
             udp\n      tcp: [\"1\"] → [\"1-2\"]\n      udp: [] → [\"1\"]\n",
            "objects",
        ),
    ] {
        assert_eq!(shown(&before, &after), expected, "{reason}");
    }
}

#[test]
fn a_firewall_that_is_new_comes_as_a_whole() {
    let after = tenant("");
    let before = ValidatedTenant { firewall: None, ..after.clone() };
    let shown = render::changes(&forecast(&before, &after), Colour::Never);
    assert_eq!(shown, "  + rule/own  comes first: n to internet: DNS, accept, NAT\n");
    assert!(forecast(&after, &before).is_empty(), "none is left to be told of");
}
