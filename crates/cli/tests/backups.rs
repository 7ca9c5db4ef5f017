//! `backup run`, `prove`, `list` and `restore` on the in-memory plugin, whose systems lie in files here: each command is a
//! process of its own, as it is for people.
#![expect(clippy::unwrap_used, reason = "a test fails where it must")]

mod run;

use run::{Ran, copy_of_good, edit, run_in};
use serde_json::Value;
use tempfile::TempDir;
use vertskommune_provider::testing::disk_bytes;

const ROOM: &str = "
apiVersion: vertskommune.no/v1alpha1
kind: HostProvider
metadata: {name: second-room}
spec:
  plugin: memory
  endpoint: memory://room
  identity: room
  site: west
  settings: {concern: Backup, file: room.json}
";

const BACKUP: &str = "
  backup:
    provider: second-room
    window: {start: \"22:00\", duration: 8h}
    retention: {daily: 14}
";

/// What a disk of ibe-fs01 holds.
fn disk() -> Vec<u8> {
    disk_bytes("ibestad/server/ibe-fs01", "system")
}

/// Two tenants on a host with a second room; ibestad has its servers and a repository there.
fn host() -> TempDir {
    let folder = copy_of_good();
    let here = folder.path().join("tenants");
    std::fs::write(here.join("room.yaml"), ROOM).unwrap();
    let main = "endpoint: memory://main";
    let host = std::fs::read_dir(&here).unwrap().map(|entry| entry.unwrap().path());
    let host = host.into_iter().find(|path| std::fs::read_to_string(path).unwrap().contains(main)).unwrap();
    let name = host.file_name().unwrap().to_string_lossy().into_owned();
    edit(&folder, &name, main, &format!("{main}\n  site: east\n  settings: {{file: main.json}}"));
    let tenant = std::fs::read_to_string(here.join("ibestad.yaml")).unwrap();
    std::fs::write(here.join("ibestad.yaml"), tenant + BACKUP).unwrap();
    let applied = run_in(&folder, &["apply", "ibestad"]);
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    folder
}

fn backup(folder: &TempDir, arguments: &[&str]) -> Ran {
    let mut all = vec!["backup"];
    all.extend(arguments);
    run_in(folder, &all)
}

fn runs(folder: &TempDir) -> Vec<Value> {
    let ran = backup(folder, &["list", "ibestad", "-o", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// The files of the folder that are none of the host's.
fn made(folder: &TempDir) -> Vec<String> {
    let names = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let mut made: Vec<_> = names.filter(|name| name.contains(".raw")).collect();
    made.sort();
    made
}

#[test]
fn a_backup_is_taken_proven_listed_and_given_back() {
    let folder = host();
    assert_eq!(runs(&folder), [Value::Null; 0]);
    let ran = backup(&folder, &["run", "ibestad"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("ibestad: backing up ibe-fs01: done: 39Ki read, 39Ki of it new"), "{}", ran.err);
    assert!(ran.out.contains("no backup was proven by restoring it yet"), "{}", ran.out);

    let ran = backup(&folder, &["prove", "ibestad"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("proving ibe-fs01/system: done"), "{}", ran.err);
    assert_eq!(ran.out, "tenant ibestad  every server has a fresh, proven backup\n");

    let ran = backup(&folder, &["list", "ibestad"]);
    let lines: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2, "{}", ran.out);
    assert_eq!(lines[0], ["RUN", "SERVER", "DISK", "SIZE", "PROOF"]);
    assert_eq!(lines[1][1..5], ["ibe-fs01", "system", "39Ki", "intact"], "{}", ran.out);
    let id = lines[1][0].to_owned();
    assert_eq!(runs(&folder)[0]["run"], id.as_str());

    for named in [&[][..], &["--disk", "system"], &["--run", &id]] {
        let mut arguments = vec!["restore", "ibestad", "ibe-fs01", "--to", "back.raw", "--force"];
        arguments.extend(named);
        let ran = backup(&folder, &arguments);
        assert_eq!(ran.code, Some(0), "{named:?}: {}", ran.err);
        assert!(std::fs::read(folder.path().join("back.raw")).unwrap() == disk(), "{named:?}");
        assert_eq!(made(&folder), ["back.raw"], "nothing else is left");
    }
}

#[test]
fn a_file_that_is_there_stays_unless_a_person_says_otherwise() {
    let folder = host();
    assert_eq!(backup(&folder, &["run", "ibestad", "ibe-fs01"]).code, Some(0));
    std::fs::write(folder.path().join("back.raw"), "precious").unwrap();
    let to = |file: &str| backup(&folder, &["restore", "ibestad", "ibe-fs01", "--to", file]);
    let ran = to("back.raw");
    assert!(ran.code == Some(1) && ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(std::fs::read(folder.path().join("back.raw")).unwrap(), b"precious");
    assert!(to("tenants").err.contains("is no plain file"));
    assert!(to("nowhere/back.raw").err.contains("nothing can be written in nowhere"));
}

#[test]
fn a_server_comes_back_as_a_new_machine_beside_the_old_one() {
    let folder = host();
    let restore = |more: &[&str]| backup(&folder, &[&["restore", "ibestad", "ibe-fs01"], more].concat());
    let nothing = restore(&["--as", "ibe-fs01-back"]);
    assert!(nothing.code == Some(1) && nothing.err.contains("there is no such backup"), "{}", nothing.err);
    assert_eq!(backup(&folder, &["run", "ibestad"]).code, Some(0));
    let id = runs(&folder)[0]["run"].as_str().unwrap().to_owned();

    let ran = restore(&["--as", "ibe-fs01-back", "--run", &id]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let said = format!("restored ibe-fs01 of ibestad as ibe-fs01-back from the backup {id}: 39Ki; it is off");
    assert!(ran.err.contains(&said), "{}", ran.err);
    let system: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("main.json")).unwrap()).unwrap();
    let made = &system["things"]["ibestad/server/ibe-fs01-back"];
    let bytes: Vec<u8> = serde_json::from_value(made["disks"]["system"].clone()).unwrap();
    assert!(bytes == disk(), "every byte");
    assert_eq!((&made["mark"], &made["fields"]["power"]), (&Value::Null, &"off".into()), "{made:#}");
    assert!(made["fields"].get("restoring").is_none(), "{made:#}");

    // No pass takes it for one of the manifest's.
    let plan = run_in(&folder, &["plan", "ibestad"]);
    assert!(plan.code == Some(0) && !plan.out.contains("ibe-fs01-back"), "{}{}", plan.out, plan.err);

    for (more, why) in [
        (&["--as", "ibe-fs01-back"][..], "is there already"),
        (&["--as", "ibe-fs01"], "ibe-fs01 is a server of the manifest: choose another name"),
        (&["--as", "other", "--run", "20200101T000000Z"], "there is no such backup"),
    ] {
        let ran = restore(more);
        assert!(ran.code == Some(1) && ran.err.contains(why), "{more:?}: {}", ran.err);
    }
    for more in [
        &["--as", "other", "--to", "back.raw"][..],
        &["--as", "other", "--disk", "system"],
        &["--as", "other", "--force"],
        &["--as", "Other"],
        &[],
    ] {
        let ran = restore(more);
        let is_misused = ran.code == Some(1) && ran.err.contains("For more information, try '--help'");
        assert!(is_misused, "{more:?}: {}", ran.err);
    }
}

#[test]
fn a_machine_that_would_be_damaged_is_not_made_nor_one_without_a_manifest() {
    let folder = host();
    assert_eq!(backup(&folder, &["run", "ibestad"]).code, Some(0));
    let things = || {
        let system = std::fs::read(folder.path().join("main.json")).unwrap();
        let system: Value = serde_json::from_slice(&system).unwrap();
        system["things"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let before = things();
    let file = folder.path().join("room.json");
    let mut room: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let runs = room["runs"]["ibestad"]["ibe-fs01"].as_object_mut().unwrap();
    let byte = &mut runs.values_mut().next().unwrap()["disks"]["system"]["bytes"][7];
    *byte = (byte.as_u64().unwrap() ^ 1).into();
    std::fs::write(&file, room.to_string()).unwrap();
    let ran = backup(&folder, &["restore", "ibestad", "ibe-fs01", "--as", "back"]);
    assert!(ran.code == Some(1) && ran.err.contains("not what was sent"), "{}", ran.err);
    assert_eq!(things(), before, "nothing half made is left");

    std::fs::remove_file(folder.path().join("tenants/ibestad.yaml")).unwrap();
    let ran = backup(&folder, &["restore", "ibestad", "ibe-fs01", "--as", "back"]);
    assert!(ran.code == Some(1) && ran.err.contains("the manifest of ibestad is not there"), "{}", ran.err);
}

#[test]
fn a_tenant_whose_manifest_is_gone_gets_its_disks_back() {
    let folder = host();
    assert_eq!(backup(&folder, &["run", "ibestad"]).code, Some(0));
    std::fs::remove_file(folder.path().join("tenants/ibestad.yaml")).unwrap();
    assert_eq!(runs(&folder).len(), 1);
    let ran = backup(&folder, &["restore", "ibestad", "ibe-fs01", "--to", "back.raw"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(std::fs::read(folder.path().join("back.raw")).unwrap() == disk());
    let ran = backup(&folder, &["run", "ibestad"]);
    assert!(ran.code == Some(1) && ran.err.contains("there is no tenant ibestad"), "{}", ran.err);
    let ran = backup(&folder, &["list", "ibestad", "--provider", "memory-main"]);
    assert!(
        ran.code == Some(1) && ran.err.contains("no HostProvider memory-main that has backups"),
        "{}",
        ran.err
    );
}

#[test]
fn damage_is_found_by_a_proof_and_never_given_back_as_a_disk() {
    let folder = host();
    assert_eq!(backup(&folder, &["run", "ibestad"]).code, Some(0));
    let file = folder.path().join("room.json");
    let mut room: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let runs = room["runs"]["ibestad"]["ibe-fs01"].as_object_mut().unwrap();
    let byte = &mut runs.values_mut().next().unwrap()["disks"]["system"]["bytes"][7];
    *byte = (byte.as_u64().unwrap() ^ 1).into();
    std::fs::write(&file, room.to_string()).unwrap();

    let ran = backup(&folder, &["restore", "ibestad", "ibe-fs01", "--to", "back.raw"]);
    assert!(ran.code == Some(1) && ran.err.contains("not what was sent"), "{}", ran.err);
    assert_eq!(made(&folder), [""; 0], "neither the file nor a part of it");
    let ran = backup(&folder, &["prove", "ibestad", "ibe-fs01/system"]);
    assert!(ran.code == Some(1) && ran.err.contains("damaged: "), "{}", ran.err);
    assert!(ran.out.contains("did not come back as it was"), "{}", ran.out);
    assert!(backup(&folder, &["list", "ibestad"]).out.contains("DAMAGED"));
}

#[test]
fn words_that_mean_nothing_are_said_before_anything_is_done() {
    let folder = host();
    for (arguments, said) in [
        (&["run", "senja"][..], "there is no tenant senja"),
        (&["run", "dyroy"], "asks for no backup"),
        (&["run", "ibestad", "ibe-db01"], "no server ibe-db01 is backed up: there is ibe-fs01"),
        (&["prove", "ibestad"], "no backup of ibestad"),
        (&["restore", "ibestad", "ibe-fs01", "--to", "back.raw"], "there is no such backup of ibe-fs01"),
        (&["list", "ibestad", "--provider", "nowhere"], "no HostProvider nowhere"),
    ] {
        let ran = backup(&folder, arguments);
        assert!(ran.code == Some(1) && ran.err.contains(said), "{arguments:?}: {}", ran.err);
        assert!(!ran.err.contains(": done"), "{}", ran.err);
    }
    edit(&folder, "ibestad.yaml", "displayName:", "suspend: true\n  displayName:");
    let ran = backup(&folder, &["run", "ibestad"]);
    assert!(ran.code == Some(1) && ran.err.contains("ibestad is suspended"), "{}", ran.err);
    assert_eq!(runs(&folder), [Value::Null; 0]);
}
