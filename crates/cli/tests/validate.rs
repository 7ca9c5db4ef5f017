//! `validate`: everything that is wrong, at once, by file, line, tenant and field.

mod run;

use insta::assert_snapshot;
use run::{copy_of_good, edit, run, run_in};

#[test]
fn good_manifests_are_valid() {
    let ran = run(&["validate", "good"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (Some(0), "2 Tenants, 1 HostProvider: valid\n", "")
    );
}

#[test]
fn every_violation_is_said_at_once() {
    let ran = run(&["validate", "bad"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert_snapshot!(ran.out, @r#"
    bad/dyroy.yaml:8: Tenant/dyroy: spec.networks[0].vlan: VLAN 1310 is also wanted by ibestad (spec.networks[0].vlan): one of the two must choose another
    bad/gratangen.yaml:6: Tenant/gratangen: spec.nettworks: is an unknown field: did you mean networks?
    bad/gratangen.yaml:14: Tenant/salangen: spec.compute.provider: there is no HostProvider memory-other: there is memory-main
    bad/ibestad.yaml:8: Tenant/ibestad: spec.networks[0].cidr: "10.13.999.0/24" is no address range: write address and prefix length, such as 10.13.10.0/24
    bad/ibestad.yaml:9: Tenant/ibestad: spec.networks[1].vlan: VLAN 1310 is also wanted by dyroy (spec.networks[0].vlan): one of the two must choose another
    bad/ibestad.yaml:10: Tenant/ibestad: spec.networks[2].vlan: VLAN 99 is not among those that memory-main grants to tenants: 1300-1399
    bad/ibestad.yaml:11: Tenant/ibestad: spec.networks[3].name: "clients" is spec.networks[2].name already: choose another name
    bad/ibestad.yaml:14: Tenant/ibestad: spec.compute.quota.memory: the servers use 17Gi together, more than the quota of 4Gi: raise it or make servers smaller
    bad/ibestad.yaml:21: Tenant/ibestad: spec.servers[0].interfaces[0].network: "telephony" is none of spec.networks (there are broken, servers, clients, clients): add the network or correct the name
    bad/ibestad.yaml:23: Tenant/ibestad: spec.servers[1].name: gra-fs01 begins with none of the prefixes that memory-main grants to tenants: ibe-, dyr-
    4 Tenants, 1 HostProvider: 10 problems
    "#);
}

#[test]
fn the_same_for_machines() {
    let ran = run(&["validate", "bad", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &report["valid"]), (Some(1), &false.into()));
    let problems = report["problems"].as_array().unwrap();
    let text = run(&["validate", "bad"]).out;
    assert_eq!(problems.len() + 1, text.lines().count());
    for field in ["file", "line", "object", "field", "message"] {
        assert!(problems.iter().all(|problem| !problem[field].is_null()), "{field}");
    }
}

#[test]
fn each_rule_between_objects_has_its_line() {
    // (file, what is written, what instead, tenant and field, words)
    let rows = [
        (
            "ibestad.yaml",
            "10.13.10.0/24",
            "10.13.10.0/33",
            "ibestad: spec.networks[0].cidr",
            "no address range",
        ),
        (
            "ibestad.yaml",
            "network: servers",
            "network: clients",
            "ibestad: spec.servers[0].interfaces[0].network",
            "none of spec.networks",
        ),
        (
            "ibestad.yaml",
            "memory-main",
            "memory-other",
            "ibestad: spec.compute.provider",
            "no HostProvider memory-other",
        ),
        ("ibestad.yaml", "1310", "1320", "ibestad: spec.networks[0].vlan", "also wanted by dyroy"),
        ("ibestad.yaml", "1310", "1320", "dyroy: spec.networks[0].vlan", "also wanted by ibestad"),
        (
            "ibestad.yaml",
            "1310",
            "1500",
            "ibestad: spec.networks[0].vlan",
            "not among those that memory-main grants",
        ),
        ("ibestad.yaml", "32Gi", "8Gi", "ibestad: spec.compute.quota.memory", "quota of 8Gi"),
        ("ibestad.yaml", "name: ibestad", "name: dyroy", "dyroy: metadata.name", "too: keep one"),
        ("ibestad.yaml", "10.13.10.11", "10.13.0.11", "ibestad: spec.servers[0].interfaces[0].address", ""),
        (
            "host.yaml",
            "plugin: memory",
            "plugin: nothing",
            "HostProvider/memory-main: spec.plugin",
            "there is no plugin nothing",
        ),
    ];
    for (file, from, to, place, words) in rows {
        let folder = copy_of_good();
        edit(&folder, file, from, to);
        let ran = run_in(&folder, &["validate"]);
        assert_eq!(ran.code, Some(1), "{to}");
        let found = ran.out.lines().any(|line| {
            line.starts_with("tenants/") && line.contains(&format!("{place}: ")) && line.contains(words)
        });
        assert!(found, "{to}: {place}: {words}: {}", ran.out);
    }
}

#[test]
fn a_refused_endpoint_is_said_once_and_not_of_each_tenant() {
    let folder = copy_of_good();
    edit(&folder, "host.yaml", "1300-1399", "1399-1300");
    let ran = run_in(&folder, &["validate"]);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
}

#[test]
fn an_empty_or_missing_folder_is_not_valid() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run_in(&folder, &["validate", "."]).code, Some(1));
    let ran = run_in(&folder, &["validate"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("tenants cannot be read"), "{}", ran.err);
}

#[test]
fn a_catalogue_is_validated_by_itself_and_by_those_who_pin_it() {
    let folder = copy_of_good();
    let set = "apiVersion: vertskommune.no/v1alpha1\nkind: RuleSet\nmetadata: {name: baseline-v1}\nspec:\n  name: baseline\n  \
               version: 1\n  template: \"rules: [{id: dns, from: [servers], to: [internet], services: [DNS]}]\"\n";
    std::fs::create_dir(folder.path().join("catalogue")).unwrap();
    std::fs::write(folder.path().join("catalogue/baseline.yaml"), set).unwrap();
    let ran = run_in(&folder, &["validate", "catalogue"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "0 Tenants, 0 HostProviders, 1 RuleSet: valid\n"),
        "{}",
        ran.err
    );
    let pinned = "spec:\n  firewall: {provider: memory-main, ruleSets: [baseline@2]}\n";
    edit(&folder, "ibestad.yaml", "spec:\n", pinned);
    let ran = run_in(&folder, &["validate", "tenants", "catalogue"]);
    assert!(
        ran.out.contains("spec.firewall.ruleSets[0]: \"baseline@2\" is not in the catalogue"),
        "{}",
        ran.out
    );
    std::fs::write(
        folder.path().join("catalogue/baseline.yaml"),
        set.replace("id: dns", "id: {{ nothing }}"),
    )
    .unwrap();
    let ran = run_in(&folder, &["validate", "catalogue"]);
    assert!(ran.out.contains("RuleSet/baseline-v1: spec.template: "), "{}", ran.out);
}
