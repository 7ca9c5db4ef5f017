//! The program as kubectl's plugin: by the names of the files that kubectl runs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod run;

use std::os::unix::fs::symlink;
use std::process::Command;

use tempfile::TempDir;

/// Runs the program by another name, with no cluster to ask.
fn called(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let link = folder.path().join(name);
    symlink(env!("CARGO_BIN_EXE_vertskommune"), &link).unwrap();
    let nowhere = folder.path().join("kubeconfig");
    let output = Command::new(&link).args(arguments).env("KUBECONFIG", &nowhere).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn kubectl_s_plugin_names_itself_as_people_call_it() {
    let (code, out, _) = called("kubectl-vertskommune", &["why", "--help"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("Usage: kubectl vertskommune why [OPTIONS] <TENANT>"), "{out}");
    let (code, _, err) = called("kubectl-vertskommune", &["why"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("Usage: kubectl vertskommune why <TENANT>"), "{err}");
    let (_, out, _) = called("vertskommune", &["why", "--help"]);
    assert!(out.contains("Usage: vertskommune why [OPTIONS] <TENANT>"), "{out}");
}

#[test]
fn kubectl_completes_a_line_of_the_plugin() {
    let complete = |words: &[&str]| {
        let (code, out, err) = called("kubectl_complete-vertskommune", words);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{words:?}");
        out
    };
    let commands = complete(&["re"]);
    assert!(commands.starts_with("reconcile\tAsks the controller"), "{commands}");
    assert!(commands.ends_with("\n:4\n"), "{commands}");
    assert_eq!(complete(&["why", "-o", "j"]), "json\tFor machines\n:4\n");
    assert_eq!(complete(&["diff", "-f", ""]), ":0\n", "files are the shell's");
    assert_eq!(complete(&["why", ""]), ":4\n", "no cluster, no tenants, and no word about it");
}

#[test]
fn a_cluster_that_cannot_be_had_is_an_error_and_no_hindrance() {
    for command in [&["why", "ibestad"][..], &["history", "ibestad"], &["suspend", "ibestad"], &["top"]] {
        let (code, out, err) = called("kubectl-vertskommune", &[command, &["--context", "lab"]].concat());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{command:?}");
        assert!(
            err.starts_with("error: the kubeconfig cannot be used: see --kubeconfig and --context"),
            "{err}"
        );
    }
    let plan = run::run(&["plan", "-f", "good", "--context", "lab"]);
    assert_eq!(plan.code, Some(1));
    assert!(plan.err.contains("--context and --kubeconfig need --cluster"), "{}", plan.err);
}
