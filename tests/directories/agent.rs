//! The Samba agent's own tests, which are Python as it is: what needs no controller, and what is done on two real ones.

use std::path::Path;
use std::process::Command;

use vertskommune_tests::directories::Directories;

use super::{samba, turn};

/// Runs a module of tests. Debian's own Python is the one that has Samba's modules.
fn unittest(python: &mut Command, module: &str) {
    let output = python.args(["-B", "-m", "unittest", "-v", module]).current_dir(samba()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // Not those either that need root alone.
    assert!(!rustix::process::geteuid().is_root() || !said.contains("skipped"), "{said}");
}

#[test]
fn its_tests_without_a_controller_pass() {
    unittest(&mut Command::new("/usr/bin/python3"), "test_agent");
}

#[test]
fn its_tests_on_two_controllers_pass() {
    let _turn = turn();
    let Some(directories) = Directories::start(&samba().join("agent.py"), 1) else { return };
    // A controller has a /tmp of its own, and what the tests hand it must be there by the same path.
    let seen = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let mut python = Command::new("/usr/bin/python3");
    python.env("TMPDIR", seen.path());
    python.env("DIRECTORY_LAB", format!("bash {}", directories.way_in().unwrap().display()));
    python.env("DIRECTORY_LAB_DCS", "host ibestad");
    // All lines at which a call may die are tried by hand: they take a quarter of an hour.
    python.env("DIRECTORY_LAB_EVERY", "16");
    unittest(&mut python, "test_on_samba");
}
