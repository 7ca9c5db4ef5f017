//! What needs no plugin: the definitions, the help, and a reader that goes away.

mod run;

use std::io::Read as _;
use std::process::Stdio;

use run::{program, run};

#[test]
fn the_definitions_are_those_that_are_checked_in() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&["crd", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let mut all = Vec::new();
    for kind in ["hostproviders", "rulesets", "tenants"] {
        let checked_in =
            std::fs::read_to_string(format!("{}/../../crds/{kind}.yaml", env!("CARGO_MANIFEST_DIR")))
                .unwrap();
        let written = std::fs::read_to_string(folder.path().join(format!("{kind}.yaml"))).unwrap();
        assert!(written == checked_in, "crds/{kind}.yaml is out of date");
        all.push(written);
    }
    assert!(run(&["crd"]).out == all.join("---\n"));
}

#[test]
fn every_command_has_its_help_and_a_completion() {
    let help = run(&["--help"]);
    for command in
        ["validate", "preflight", "plan", "apply", "backup", "ruleset", "crd", "controller", "completion"]
    {
        assert!(help.out.contains(&format!("\n  {command} ")), "{}", help.out);
        assert_eq!(run(&[command, "--help"]).code, Some(0), "{command}");
    }
    assert!(run(&["completion", "bash"]).out.contains("_vertskommune()"));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = program().args(["crd"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The definitions are larger than a pipe holds, so the program is still writing.
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn without_an_installation_nothing_is_planned() {
    let output = program().env_remove("VERTSKOMMUNE_INSTALLATION").arg("plan").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--installation <NAME>"));
    // Not 2, which says that a plan has changes.
    assert_eq!(output.status.code(), Some(1));
}
