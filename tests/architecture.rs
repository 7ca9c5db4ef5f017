//! Holds the arrows between our crates, and the purity of those that must be pure.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value as Json;

/// Who may depend on whom, tests aside. Nothing else may depend on anything else.
const ARROWS: &[(&str, &[&str])] = &[
    ("vertskommune-core", &[]),
    ("vsphere-client", &[]),
    ("ssh-session", &[]),
    ("second-room", &[]),
    ("vmdk", &[]),
    ("fortios-simulator", &[]),
    ("restic", &[]),
    ("keeper", &["restic", "vertskommune-core"]),
    ("vertskommune-api", &["vertskommune-core"]),
    ("vertskommune-provider", &["vertskommune-core"]),
    ("vertskommune-engine", &["vertskommune-core", "vertskommune-provider"]),
    (
        "vertskommune-provider-vsphere",
        &["vertskommune-core", "vertskommune-provider", "vmdk", "vsphere-client"],
    ),
    ("vertskommune-provider-fortigate", &["vertskommune-core", "vertskommune-provider"]),
    ("vertskommune-provider-ssh", &["ssh-session", "vertskommune-core", "vertskommune-provider"]),
    (
        "vertskommune-provider-ad",
        &["ssh-session", "vertskommune-core", "vertskommune-provider", "vertskommune-provider-ssh"],
    ),
    (
        "vertskommune-provider-backup",
        &[
            "restic",
            "second-room",
            "ssh-session",
            "vertskommune-core",
            "vertskommune-provider",
            "vertskommune-provider-ssh",
        ],
    ),
    (
        "vertskommune-controller",
        &["vertskommune-api", "vertskommune-core", "vertskommune-engine", "vertskommune-provider"],
    ),
    (
        "vertskommune",
        &[
            "second-room",
            "ssh-session",
            "keeper",
            "restic",
            "vertskommune-api",
            "vertskommune-controller",
            "vertskommune-core",
            "vertskommune-engine",
            "vertskommune-provider",
            "vertskommune-provider-ad",
            "vertskommune-provider-backup",
            "vertskommune-provider-fortigate",
            "vertskommune-provider-vsphere",
        ],
    ),
];

/// What must never be below the pure crates: whatever runs, listens, logs or asks the time.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "reqwest",
    "rustls",
    "ssh2",
    "tracing",
    "log",
    "kube-client",
    "kube-runtime",
    "rand",
    "getrandom",
    "chrono",
    "mio",
    "socket2",
    "uuid",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let metadata: Json =
        serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |package: &Json| package["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(from, to)| (*from, to.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for package in packages.iter().filter(|package| name(package) != "vertskommune-tests") {
        let from = name(package);
        let Some(allowed) = allowed.get(from.as_str()) else {
            wrong.push(format!("{from} is not in the list of arrows"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = name(dependency);
            if ours.contains(&to) && dependency["kind"] != "dev" && !allowed.contains(to.as_str()) {
                wrong.push(format!("{from} → {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that must not be: {wrong:#?}");
}

#[test]
fn core_and_api_are_pure() {
    // `cargo metadata` unifies features over the workspace and would hide what a crate alone pulls in.
    for package in ["vertskommune-core", "vertskommune-api"] {
        let tree = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none", "--offline"]);
        let below: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let impure: Vec<_> = IMPURE.iter().filter(|impure| below.contains(**impure)).collect();
        assert!(impure.is_empty(), "{package} stands on {impure:?}");
    }
}

#[test]
fn only_the_controller_has_a_kube_client() {
    for (package, _) in
        ARROWS.iter().filter(|(name, _)| !matches!(*name, "vertskommune" | "vertskommune-controller"))
    {
        let tree = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none", "--offline"]);
        assert!(!tree.lines().any(|line| line.starts_with("kube-client ")), "{package} has a kube client");
    }
}
