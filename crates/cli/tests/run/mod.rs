//! Runs the program as a person would.
#![allow(dead_code, unreachable_pub)] // each test uses a part
#![allow(clippy::unwrap_used)] // only tests are allowed it by themselves, and this is what they share

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a run gave.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The program in the folder of the tests' manifests, with nothing of the caller's settings.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertskommune"));
    command.current_dir(manifests()).stdin(Stdio::null());
    for variable in ["RUST_LOG", "NO_COLOR", "VERTSKOMMUNE_SECRETS"] {
        command.env_remove(variable);
    }
    command.env("VERTSKOMMUNE_INSTALLATION", "nord");
    command
}

pub fn run(arguments: &[&str]) -> Ran {
    ran(program().args(arguments).output().unwrap())
}

pub fn run_in(folder: &TempDir, arguments: &[&str]) -> Ran {
    ran(program().current_dir(folder.path()).args(arguments).output().unwrap())
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests")
}

/// A copy of the good manifests, to be changed.
pub fn copy_of_good() -> TempDir {
    copy_of("good")
}

/// A copy of some manifests, to be changed.
pub fn copy_of(which: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tenants = folder.path().join("tenants");
    std::fs::create_dir(&tenants).unwrap();
    for entry in manifests().join(which).read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, tenants.join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// Changes a file of such a copy.
pub fn edit(folder: &TempDir, file: &str, from: &str, to: &str) {
    let path = folder.path().join("tenants").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {file}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// The files of such a copy, by their names.
pub fn files(folder: &TempDir) -> BTreeMap<String, String> {
    let entries = folder.path().join("tenants").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    entries.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect()
}
