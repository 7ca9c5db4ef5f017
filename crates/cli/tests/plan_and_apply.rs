//! `plan` and `apply` on the in-memory plugin: it lives as long as the process, so each run begins with nothing.

mod run;

use insta::assert_snapshot;
use run::{copy_of_good, edit, run, run_in};
use serde_json::Value;

#[test]
fn a_plan_shows_all_steps_and_ends_with_2() {
    let ran = run(&["plan", "-f", "good", "ibestad"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(2), ""));
    assert_snapshot!(ran.out, @"
    tenant ibestad  1 step, 2 steps wait
      + c4b81bc1ff61  folder/ibestad  create ibestad
      + a665be4b8d6f  network/servers  create servers
          waits for folder/ibestad  [WaitingForDependency]
      + fe45c43ab4fa  server/ibe-fs01  create ibe-fs01
          waits for folder/ibestad  [WaitingForDependency]
    ");
}

#[test]
fn a_plan_for_machines_is_a_saved_plan() {
    let folder = copy_of_good();
    let ran = run_in(&folder, &["plan", "-o", "json", "--out", "it.plan"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    let saved: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("it.plan")).unwrap()).unwrap();
    for field in ["version", "installation", "tenants"] {
        assert_eq!(shown[field], saved[field], "{field}");
    }
    assert_eq!((&shown["version"], &shown["installation"]), (&1.into(), &"nord".into()));
    assert_eq!(shown["problems"], Value::Array(Vec::new()));
    let tenants = shown["tenants"].as_array().unwrap();
    let names: Vec<_> = tenants.iter().map(|plan| plan["tenant"].as_str().unwrap()).collect();
    assert_eq!(names, ["dyroy", "ibestad"]);
    for plan in tenants {
        assert_eq!(plan["digest"].as_str().unwrap().len(), 64);
        assert_eq!(plan["steps"].as_array().unwrap().len(), 3);
        assert_eq!(plan["steps"][0]["step"]["class"], "Create");
    }
}

#[test]
fn apply_converges_and_says_each_step() {
    let ran = run(&["apply", "-f", "good"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "tenant dyroy  nothing to do\ntenant ibestad  nothing to do\n")
    );
    assert_eq!(ran.err.lines().filter(|line| line.ends_with(": done")).count(), 6, "{}", ran.err);
}

#[test]
fn a_saved_plan_is_carried_out_while_it_is_fresh() {
    let folder = copy_of_good();
    assert_eq!(run_in(&folder, &["plan", "ibestad", "--out", "it.plan"]).code, Some(2));
    let ran = run_in(&folder, &["apply", "./it.plan"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "tenant ibestad  nothing to do\n"), "{}", ran.err);
}

#[test]
fn a_stale_plan_is_refused_before_anything_is_done() {
    let folder = copy_of_good();
    run_in(&folder, &["plan", "--out", "it.plan"]);
    edit(&folder, "ibestad.yaml", "vcpus: 4", "vcpus: 6");
    let ran = run_in(&folder, &["apply", "it.plan"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(
        ran.err.contains("the saved plan is stale") && ran.err.contains("ibestad server/ibe-fs01"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains(": done"), "{}", ran.err);
}

#[test]
fn a_saved_plan_of_another_installation_form_or_tenant_is_refused() {
    let folder = copy_of_good();
    run_in(&folder, &["plan", "ibestad", "--out", "it.plan"]);
    let other = run_in(&folder, &["apply", "it.plan", "--installation", "sor"]);
    assert!(other.code == Some(1) && other.err.contains("is for installation nord"), "{}", other.err);
    let other = run_in(&folder, &["apply", "it.plan", "dyroy"]);
    assert!(other.code == Some(1) && other.err.contains("does not hold tenant dyroy"), "{}", other.err);
    std::fs::write(folder.path().join("it.plan"), r#"{"version": 2, "steps": []}"#).unwrap();
    let other = run_in(&folder, &["apply", "it.plan"]);
    assert!(other.code == Some(1) && other.err.contains("version 2"), "{}", other.err);
    std::fs::write(folder.path().join("it.plan"), "spec: {}").unwrap();
    assert!(run_in(&folder, &["apply", "it.plan"]).err.contains("is no plan that"));
}

#[test]
fn a_refused_manifest_does_not_hold_up_the_others() {
    let folder = copy_of_good();
    edit(&folder, "ibestad.yaml", "10.13.10.0/24", "10.13.10.0/33");
    let plan = run_in(&folder, &["plan"]);
    assert_eq!(plan.code, Some(1));
    assert!(plan.err.contains("Tenant/ibestad: spec.networks[0].cidr"), "{}", plan.err);
    assert!(plan.out.contains("tenant dyroy  1 step") && !plan.out.contains("ibestad"), "{}", plan.out);
    let apply = run_in(&folder, &["apply"]);
    assert_eq!((apply.code, apply.out.as_str()), (Some(1), "tenant dyroy  nothing to do\n"));
    let named = run_in(&folder, &["apply", "ibestad"]);
    assert!(
        named.code == Some(1) && named.err.contains("the manifest of ibestad is refused"),
        "{}",
        named.err
    );
}

#[test]
fn a_finding_between_tenants_ends_a_plan_with_1() {
    let folder = copy_of_good();
    edit(&folder, "ibestad.yaml", "1310", "1320");
    let plan = run_in(&folder, &["plan"]);
    assert_eq!(plan.code, Some(1));
    assert!(plan.out.contains("VLAN 1320 is also wanted by dyroy"), "{}", plan.out);
    let apply = run_in(&folder, &["apply"]);
    assert_eq!(apply.code, Some(1));
    assert!(!apply.err.contains(": done"), "{}", apply.err);
}

#[test]
fn a_suspended_tenant_is_left_alone_and_that_is_no_failure() {
    let folder = copy_of_good();
    edit(&folder, "ibestad.yaml", "displayName:", "suspend: true\n  displayName:");
    let ran = run_in(&folder, &["apply", "ibestad"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("the tenant is suspended") && !ran.err.contains(": done"), "{}", ran.out);
}

#[test]
fn words_that_mean_nothing_are_said_before_anything_is_done() {
    for arguments in
        [&["apply", "-f", "good", "senja"][..], &["apply", "-f", "good", "--allow-destroy", "0123456789ab"]]
    {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        assert!(ran.err.starts_with("error: ") && !ran.err.contains(": done"), "{}", ran.err);
    }
}

#[test]
fn preflight_has_a_line_for_each_check() {
    let ran = run(&["preflight", "-f", "good"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_snapshot!(ran.out, @"
    PROVIDER     CHECK     OK   RESULT
    memory-main  identity  yes  main
    ");
}

#[test]
fn colours_are_for_terminals_unless_they_are_asked_for() {
    assert!(!run(&["plan", "-f", "good"]).out.contains('\u{1b}'));
    assert!(run(&["plan", "-f", "good", "--color", "always"]).out.contains('\u{1b}'));
}
