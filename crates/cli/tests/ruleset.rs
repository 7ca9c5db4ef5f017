//! `ruleset upgrade`: what another version of a rule set would change, and the pins in the files.

mod run;

use std::fs;

use insta::assert_snapshot;
use run::{Ran, copy_of, edit, files, run, run_in};
use serde_json::{Value, json};
use tempfile::TempDir;

fn upgrade(folder: &TempDir, arguments: &[&str]) -> Ran {
    run_in(folder, &[&["ruleset", "upgrade"], arguments].concat())
}

#[test]
fn a_proposal_shows_what_changes_in_each_firewall_and_ends_with_2() {
    let folder = copy_of("upgrade");
    let before = files(&folder);
    let ran = upgrade(&folder, &["baseline@2"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(2), ""));
    assert_snapshot!(ran.out, @r#"
    tenant dyroy  baseline@1 → baseline@2  (tenants/north.yaml:22)
      + address/baseline.mail  comes: mail.example.no
      + rule/baseline.ntp  comes first: servers to host:services/ntp: NTP, accept, log all
      ~ rule/baseline.dns  changes services
          services: ["DNS"] → ["DNS","HTTPS"]
      + rule/baseline.mail  comes after baseline.dns: servers to baseline.mail: SMTPS, accept, NAT
      - service/baseline.updates  goes: tcp 8530
      - rule/baseline.updates  goes: servers to host:services/updates: baseline.updates, accept
    tenant gratangen  has baseline@2 already
    tenant ibestad  baseline@1 → baseline@2  (tenants/north.yaml:8)
      + address/baseline.mail  comes: mail.example.no
      + rule/baseline.ntp  comes after school.learning: servers to host:services/ntp: NTP, accept, log all
      ~ rule/baseline.dns  changes services
          services: ["DNS"] → ["DNS","HTTPS"]
      + rule/baseline.mail  comes after baseline.dns: servers to baseline.mail: SMTPS, accept, NAT
      - service/baseline.updates  goes: tcp 8530
      - rule/baseline.updates  goes: servers to host:services/updates: baseline.updates, accept
    tenant salangen  does not use baseline
    2 tenants to change: --write changes the pins
    "#);
    assert_eq!(files(&folder), before, "a proposal writes nothing");
}

#[test]
fn with_write_the_pins_change_and_nothing_else() {
    let folder = copy_of("upgrade");
    let before = files(&folder);
    let ran = upgrade(&folder, &["baseline@2", "--write"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.ends_with("2 tenants, 1 file written\n"), "{}", ran.out);
    let mut expected = before;
    let north = expected.get_mut("north.yaml").unwrap();
    *north = north
        .replace("[ school@1,  'baseline@1' ]", "[ school@1,  'baseline@2' ]")
        .replace("    - baseline@1    # since", "    - baseline@2    # since");
    assert_eq!(files(&folder), expected);

    let again = upgrade(&folder, &["baseline@2", "--write"]);
    assert_eq!(again.code, Some(0));
    assert!(again.out.ends_with("nothing to change\n"), "{}", again.out);
    assert_eq!(files(&folder), expected);
}

#[test]
fn a_wave_is_written_and_rolled_back() {
    let folder = copy_of("upgrade");
    let before = files(&folder);
    let first = upgrade(&folder, &["baseline@2", "--wave", "1/3", "--write"]);
    assert_eq!(first.code, Some(0));
    assert!(first.out.ends_with("nothing to change: the next tenants are in wave 2 of 3\n"), "{}", first.out);
    assert_eq!(files(&folder), before, "nobody is in the first");

    // Ibestad is in the second wave, and Dyrøy is not.
    let ran = upgrade(&folder, &["baseline@2", "--wave", "2/3", "--write"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let north = &files(&folder)["north.yaml"];
    assert!(north.contains("'baseline@2'") && north.contains("- baseline@1    # since"), "{north}");

    let refused = upgrade(&folder, &["baseline@1", "--tenant", "ibestad", "--write"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.out.contains(
            "tenants/north.yaml:8: Tenant/ibestad: spec.firewall.ruleSets[1]: is baseline@2, which is newer than baseline@1: \
             add --allow-downgrade"
        ),
        "{}",
        refused.out
    );
    let back = ["baseline@1", "--wave", "2/3", "--allow-downgrade", "--write"];
    assert_eq!(upgrade(&folder, &back).code, Some(0));
    let after = files(&folder);
    assert_eq!(after["north.yaml"], before["north.yaml"]);
    // Gratangen is in the second wave as well.
    assert_eq!(after["gratangen.yaml"], before["gratangen.yaml"].replace("baseline@2", "baseline@1"));
}

#[test]
fn a_tenant_joins_a_wave_by_name() {
    let folder = copy_of("upgrade");
    let ran = upgrade(&folder, &["baseline@2", "--wave", "2/3", "--tenant", "dyroy"]);
    assert!(ran.out.contains("tenant dyroy  baseline@1 → baseline@2, in wave 3 of 3"), "{}", ran.out);
    assert!(ran.out.contains("tenant ibestad  baseline@1 → baseline@2, in wave 2 of 3"), "{}", ran.out);
    let ran = upgrade(&folder, &["baseline@2", "--tenant", "dyroy"]);
    assert!(ran.out.contains("tenant ibestad  stays with baseline@1: not chosen\n"), "{}", ran.out);
}

#[test]
fn a_version_that_does_not_fit_a_tenant_is_written_for_none() {
    let folder = copy_of("upgrade");
    let before = files(&folder);
    let ran = upgrade(&folder, &["baseline@3", "--write"]);
    assert_eq!(ran.code, Some(1));
    for place in [
        "tenants/gratangen.yaml:7: Tenant/gratangen: spec.firewall.ruleSets[0].from: \"clients\" is no network",
        "tenants/north.yaml:8: Tenant/ibestad: spec.firewall.ruleSets[1].from: \"clients\" is no network",
        "2 problems: nothing is written",
    ] {
        assert!(ran.out.contains(place), "{place}: {}", ran.out);
    }
    assert_eq!(files(&folder), before);

    // It fits Dyrøy, whom the others do not hold up.
    let ran = upgrade(&folder, &["baseline@3", "--tenant", "dyroy", "--write"]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(files(&folder)["north.yaml"].contains("- baseline@3    # since"));
}

#[test]
fn all_files_are_written_or_none() {
    let folder = copy_of("upgrade");
    edit(&folder, "gratangen.yaml", "baseline@2", "baseline@1");
    // Somebody else writes there, or did and broke off.
    fs::write(folder.path().join("tenants/.north.yaml.new"), "").unwrap();
    let before = files(&folder);
    let ran = upgrade(&folder, &["baseline@2", "--write"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains(".north.yaml.new cannot be made: where it is left from a run"), "{}", ran.err);
    assert_eq!(files(&folder), before, "and nothing is left beside");
    fs::remove_file(folder.path().join("tenants/.north.yaml.new")).unwrap();
    let ran = upgrade(&folder, &["baseline@2", "--write"]);
    assert!(ran.out.ends_with("3 tenants, 2 files written\n"), "{}", ran.out);
}

#[test]
fn what_does_not_exist_is_refused_with_what_does() {
    let folder = copy_of("upgrade");
    for (arguments, says) in [
        (
            &["baseline@7"][..],
            "there is no baseline@7 in the catalogue: there is baseline@1, baseline@2, baseline@3",
        ),
        (&["bassline@1"], "there is no rule set bassline: there is baseline, school"),
        (&["baseline"], "write name and version"),
        (&["baseline@2", "--wave", "4/3"], "write a wave and how many there are"),
        (&["baseline@2", "--tenant", "senja"], "there is no tenant senja that can be read: there is dyroy,"),
        (&["baseline@2", "-f", "tenants/north.yaml"], "no RuleSet is among the manifests"),
    ] {
        let ran = upgrade(&folder, arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(ran.err.contains(says), "{arguments:?}: {}", ran.err);
    }
    edit(&folder, "gratangen.yaml", "displayName", "dispalyName");
    let ran = upgrade(&folder, &["baseline@2", "--tenant", "gratangen"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("spec.dispalyName: is an unknown field"), "and why: {}", ran.err);
    let ran = upgrade(&folder, &["baseline@2", "--tenant", "salangen"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.out.contains("Tenant/salangen: spec.firewall.ruleSets: has no version of baseline"),
        "{}",
        ran.out
    );
}

#[test]
fn only_what_concerns_the_chosen_holds_them_up() {
    // (file, what is written, what instead, exit code of an upgrade of Ibestad, words)
    let rows = [
        ("gratangen.yaml", "vlan: 1330", "vlan: 99", 2, "Tenant/gratangen: spec.networks[0].vlan"),
        ("gratangen.yaml", "kind: Tenant", "kind: [", 1, "cannot be read as YAML"),
        ("gratangen.yaml", "vlan: 1330", "vlan: 1310", 1, "Tenant/ibestad: spec.networks[0].vlan"),
        ("host.yaml", "1300-1399", "1399-1300", 1, "HostProvider/firewall-main: spec.tenants.vlans"),
        (
            "north.yaml",
            "displayName: Ibestad, baseline@1",
            "displayName: \"\"",
            1,
            "Tenant/ibestad: spec.displayName",
        ),
        (
            "north.yaml",
            "'baseline@1'",
            "\"baseline\\x401\"",
            1,
            "Tenant/ibestad: spec.firewall.ruleSets[1]: cannot be changed where it stands",
        ),
    ];
    for (file, from, to, code, words) in rows {
        let folder = copy_of("upgrade");
        edit(&folder, file, from, to);
        let before = files(&folder);
        let ran = upgrade(&folder, &["baseline@2", "--tenant", "ibestad"]);
        assert_eq!(ran.code, Some(code), "{to}: {}{}", ran.out, ran.err);
        let told = if code == 1 { &ran.out } else { &ran.err };
        assert!(told.contains(words), "{to}: {}{}", ran.out, ran.err);
        let ran = upgrade(&folder, &["baseline@2", "--tenant", "ibestad", "--write"]);
        assert_eq!(files(&folder) == before, code == 1, "{to}: {}", ran.out);
    }
}

#[test]
fn a_pin_of_what_is_gone_can_be_left() {
    let folder = copy_of("upgrade");
    edit(&folder, "gratangen.yaml", "baseline@2", "baseline@0");
    let ran = upgrade(&folder, &["baseline@1", "--tenant", "gratangen"]);
    assert_eq!(ran.code, Some(2), "{}", ran.out);
    assert!(ran.out.contains("what changes cannot be told: the manifest is refused as it is"), "{}", ran.out);
}

#[test]
fn the_same_for_machines() {
    let folder = copy_of("upgrade");
    let ran = upgrade(&folder, &["baseline@2", "--wave", "2/3", "-o", "json"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    for (field, value) in [
        ("ruleSet", json!("baseline@2")),
        ("wave", json!(2)),
        ("waves", json!(3)),
        ("written", json!(false)),
        ("problems", json!([])),
    ] {
        assert_eq!(report[field], value, "{field}");
    }
    let tenants = report["tenants"].as_array().unwrap();
    let standings: Vec<_> =
        tenants.iter().map(|it| (it["tenant"].as_str(), it["standing"].as_str())).collect();
    assert_eq!(
        standings,
        [("dyroy", "NotChosen"), ("gratangen", "Current"), ("ibestad", "Upgrade"), ("salangen", "Unused")]
            .map(|(tenant, standing)| (Some(tenant), Some(standing)))
    );
    let ibestad = &tenants[2];
    assert_eq!((&ibestad["file"], &ibestad["line"]), (&json!("tenants/north.yaml"), &json!(8)));
    let changes = ibestad["changes"].as_array().unwrap();
    assert!(changes.contains(&json!({
        "object": "rule/baseline.dns", "change": "change", "summary": "changes services",
        "fields": { "services": { "from": ["DNS"], "to": ["DNS", "HTTPS"] } },
    })));
}

#[test]
fn the_examples_can_come_to_the_next_baseline() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tenants");
    let ran = run(&["ruleset", "upgrade", "municipality-baseline@4", "-f", examples]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("3 tenants to change: --write changes the pins\n"), "{}", ran.out);
}

#[test]
fn colours_are_for_those_who_ask() {
    let folder = copy_of("upgrade");
    assert!(!upgrade(&folder, &["baseline@2"]).out.contains('\u{1b}'));
    assert!(upgrade(&folder, &["baseline@2", "--color", "always"]).out.contains('\u{1b}'));
}
