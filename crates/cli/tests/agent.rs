//! `agent install`: what is told, what is put in its place, and that what is put answers.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod run;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use run::{Ran, run};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";
const PROGRAM: &str = "usr/local/lib/vertskommune/directory-agent";
const LIST: &str = "etc/vertskommune/directory-agent.json";
const KEYS: &str = "root/.ssh/authorized_keys";

fn install(more: &[&str]) -> Ran {
    let partner = if more.contains(&"--partner") { vec![] } else { vec!["--partner", "ibestad.test=both"] };
    let key = if more.contains(&"--key") { vec![] } else { vec!["--key", KEY] };
    run(&[&["agent", "install", "--system", "samba"], &*key, &*partner, more].concat())
}

/// A root that is like a new machine's.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, more: &[&str]) -> Ran {
        install(&[&["--put", "--root", self.0.path().to_str().unwrap()], more].concat())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// All that is below it, with the bits of its mode.
    fn all(&self) -> Vec<(String, u32)> {
        fn below(folder: &Path, root: &Path, all: &mut Vec<(String, u32)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().display().to_string();
                let there = path.symlink_metadata().unwrap();
                all.push((name, there.mode() & 0o7777));
                if there.is_dir() {
                    below(&path, root, all);
                }
            }
        }
        let mut all = Vec::new();
        below(self.0.path(), self.0.path(), &mut all);
        all.sort();
        all
    }
}

/// What the put agent answers, run as its forced command does it.
fn answer(agent: &Path, command: Option<&str>, request: &[u8]) -> Value {
    asked(&mut Command::new(agent), command, request)
}

fn asked(program: &mut Command, command: Option<&str>, request: &[u8]) -> Value {
    program.env_clear().env("PATH", "/usr/bin:/bin");
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(command) = command {
        program.env("SSH_ORIGINAL_COMMAND", command);
    }
    let mut child = program.spawn().unwrap();
    // It may have ended before it read all.
    let _ = child.stdin.take().unwrap().write_all(request);
    let ended = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
    assert_eq!((ended.status.code(), err.as_str(), out.lines().count()), (Some(0), "", 1), "{out}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["protocol"], 1);
    answer["outcome"].clone()
}

const DESCRIBE: &[u8] = br#"{"protocol":1,"installation":"nord","ask":{"describe":{}}}"#;
const COMMAND: &str = "vertskommune directory agent";

#[test]
fn what_is_to_be_done_is_told_and_nothing_is_written() {
    let ran = install(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let lines = ran.out.lines().find(|line| line.starts_with("2. ")).unwrap().to_owned();
    assert_snapshot!(ran.out.replace(&lines, "2. …"), @r#"
    The agent for Samba, on the controller that is the PDC emulator (samba-tool fsmo show), as root.
    Where this program is there too, --put does steps 2 to 4.

    1. What it needs:

        apt install openssh-server python3-samba python3-dnspython krb5-user

    2. …

    3. /etc/vertskommune/directory-agent.json (root, 0644; its folder root, 0755), what the domain's administrators allow:

        {
          "installations": {
            "nord": {
              "partners": {
                "ibestad.test": [
                  "both"
                ]
              }
            }
          }
        }

    4. One more line in /root/.ssh/authorized_keys (root, 0600; its folder root, 0700):

        restrict,command="/usr/local/lib/vertskommune/directory-agent" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc

    /var/lib/vertskommune-directory is worth a backup: without its records a trust is nobody's.

    Try it from where the controller runs, with the private key:

        echo '{"protocol":1,"installation":"nord","ask":{"describe":{}}}' |
          ssh -i KEY root@DOMAIN-CONTROLLER vertskommune directory agent
    "#);
}

#[test]
fn the_same_for_machines() {
    let ran = install(&["-o", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["files"][0]["path"], format!("/{PROGRAM}"));
    assert!(report["files"][0]["content"].as_str().unwrap().starts_with("#!/usr/bin/python3"));
    assert_eq!(report["files"][1]["mode"], "0644");
    assert_eq!(
        report["authorizedKeys"]["line"],
        format!("restrict,command=\"/usr/local/lib/vertskommune/directory-agent\" {KEY}")
    );
}

#[test]
fn for_windows_the_steps_are_told_with_what_was_never_run() {
    let common =
        ["agent", "install", "--system", "windows", "--key", KEY, "--partner", "ibestad.test=inbound"];
    let ran = run(&common);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for words in ["has ever run on Windows", KEY, "\"inbound\"", "ForceCommand C:\\", "Restart-Service sshd"]
    {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("carried");
    let written = run(&[&common[..], &["--to", to.to_str().unwrap()]].concat());
    assert_eq!((written.code, written.err.as_str()), (Some(0), ""));
    for (name, words) in [
        ("agent.ps1", "vertskommune"),
        ("settings.json", "inbound"),
        ("vertskommune_authorized_keys", KEY),
        ("README.md", "ForceCommand"),
    ] {
        assert!(fs::read_to_string(to.join(name)).unwrap().contains(words), "{name}");
    }
    fs::write(to.join("settings.json"), "mine").unwrap();
    let again = run(&[&common[..], &["--to", to.to_str().unwrap()]].concat());
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("settings.json is there with another content"), "{}", again.err);
    let put = run(&[&common[..], &["--put"]].concat());
    assert!(put.code == Some(1) && put.err.contains("--put is for Samba alone"), "{}", put.err);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let root = Root::new();
    let folder = tempfile::tempdir().unwrap();
    let private = folder.path().join("private");
    fs::write(&private, "-----BEGIN OPENSSH PRIVATE KEY-----\nnobody-may-see-this\n").unwrap();
    for (more, words) in [
        (["--key", "ssh-rsa AAAA"], "a whole Ed25519 public key"),
        (["--key", "no-such-file"], "neither a public key nor a file"),
        (["--key", private.to_str().unwrap()], "a whole Ed25519 public key"),
        (["--key", &format!("{KEY}\n{KEY}")], "a whole Ed25519 public key"),
        (["--partner", "ibestad=both"], "a DNS name of two labels or more"),
        (["--partner", "ibestad.test=all"], "inbound, outbound or both"),
        (["--partner", "ibestad.test"], "such as ibestad.test=both"),
        (["--installation", "Nord"], "lower-case letters"),
    ] {
        let ran = root.put(&more);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{more:?}");
        assert!(ran.err.contains(words) && !ran.err.contains("nobody-may-see"), "{more:?}: {}", ran.err);
    }
    assert_eq!(root.all(), []);
}

#[test]
fn it_is_put_once_and_stays() {
    let root = Root::new();
    let file = root.at("agent.pub");
    fs::write(&file, format!("{KEY} vertskommune@nord\n")).unwrap();
    let key = ["--key", file.to_str().unwrap()];
    let first = root.put(&key);
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""));
    assert_eq!(first.out.matches(": put\n").count(), 3, "{}", first.out);
    fs::remove_file(&file).unwrap();
    let all = root.all();
    for (path, mode) in [
        ("etc/vertskommune", 0o755),
        (LIST, 0o644),
        ("root/.ssh", 0o700),
        (KEYS, 0o600),
        ("usr/local/lib/vertskommune", 0o755),
        (PROGRAM, 0o755),
    ] {
        assert!(all.contains(&(path.to_owned(), mode)), "{path}: {all:?}");
    }
    assert!(!all.iter().any(|(path, _)| path.contains(".new")), "{all:?}");
    let keys = root.read(KEYS);
    let again = root.put(&[]);
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
    assert_eq!(again.out.matches(": there already\n").count(), 3, "{}", again.out);
    assert_eq!((root.read(KEYS), root.all()), (keys, all));
    // A newer agent takes an older one's place.
    root.write(PROGRAM, "#!/bin/sh\n", 0o700);
    assert_eq!(root.put(&[]).out.matches(": put\n").count(), 1);
    assert!(root.read(PROGRAM).starts_with("#!/usr/bin/python3"));
    assert_eq!(root.at(PROGRAM).metadata().unwrap().mode() & 0o777, 0o755);
}

#[test]
fn the_administrators_list_is_theirs() {
    let root = Root::new();
    let theirs = r#"{"installations": {"nord": {"partners": {"ibestad.test": ["outbound"]}}}}"#;
    root.write(LIST, theirs, 0o640);
    let ran = root.put(&["--partner", "ibestad.test=outbound,both", "--partner", "a.test=inbound"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("directory-agent.json: left as it is"), "{}", ran.out);
    assert_eq!(root.read(LIST), theirs);
    let json =
        root.put(&["--partner", "ibestad.test=outbound,both", "--partner", "a.test=inbound", "-o", "json"]);
    let done: Value = serde_json::from_str(&json.out).unwrap();
    let lacking = json!({"a.test": ["inbound"], "ibestad.test": ["both"]});
    assert_eq!(done["lacking"]["installations"]["nord"]["partners"], lacking);
    assert_eq!(done["files"][0], json!({"path": format!("/{LIST}"), "outcome": "kept"}));
    let allowed = root.put(&["--partner", "ibestad.test=outbound"]);
    assert!(allowed.out.contains("directory-agent.json: there already"), "{}", allowed.out);
}

#[test]
fn a_line_is_added_and_the_others_stay() {
    let root = Root::new();
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBjkFzEDsBYEmzDLn8zEFrYnuhBmzhJdnhlEP4vHHpGN me";
    root.write(KEYS, other, 0o400);
    assert_eq!(root.put(&[]).code, Some(0));
    let keys = root.read(KEYS);
    assert_eq!(keys.lines().next(), Some(other));
    assert_eq!(keys.lines().count(), 2);
    assert_eq!(root.at(KEYS).metadata().unwrap().mode() & 0o777, 0o400);
}

#[test]
fn all_that_stands_in_the_way_is_told_and_then_nothing_is_put() {
    let root = Root::new();
    root.write(KEYS, &format!("command=\"/bin/sh\" {KEY}\n"), 0o600);
    root.write(LIST, "{}", 0o644);
    let before = root.all();
    let ran = root.put(&[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    for words in
        ["authorized_keys: line 1 lets this key in for something else", "directory-agent.json cannot be used"]
    {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    assert_eq!(root.all(), before);
    // (path, mode): none of them may be anything that others can change.
    for (path, mode) in [(LIST, 0o666), (KEYS, 0o620), (PROGRAM, 0o777)] {
        let root = Root::new();
        let text = if path == LIST { r#"{"installations":{}}"# } else { "" };
        root.write(path, text, mode);
        let before = root.all();
        let ran = root.put(&[]);
        assert!(ran.code == Some(1) && ran.err.contains("chmod go-w"), "{path}: {}", ran.err);
        assert_eq!(root.all(), before, "{path}");
    }
    let root = Root::new();
    root.write("elsewhere", "", 0o600);
    fs::create_dir_all(root.at("root/.ssh")).unwrap();
    fs::set_permissions(root.at("root/.ssh"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(root.at("elsewhere"), root.at(KEYS)).unwrap();
    let ran = root.put(&[]);
    assert!(ran.code == Some(1) && ran.err.contains("is no file"), "{}", ran.err);
    assert_eq!(root.read("elsewhere"), "");
}

#[test]
fn what_is_put_answers_in_json_whatever_it_is_asked() {
    let root = Root::new();
    assert_eq!(root.put(&[]).code, Some(0));
    let agent = root.at(PROGRAM);
    let reason = |command, request: &[u8]| {
        let outcome = answer(&agent, command, request);
        assert!(!outcome["refused"]["message"].as_str().unwrap().is_empty(), "{outcome}");
        outcome["refused"]["reason"].as_str().unwrap().to_owned()
    };
    // Here is no list of what is allowed at the place where the agent looks for it, and no domain controller.
    assert!(["host", "installation"].contains(&&*reason(Some(COMMAND), DESCRIBE)));
    assert_eq!(reason(None, DESCRIBE), "command");
    assert_eq!(reason(Some("cat /etc/shadow"), DESCRIBE), "command");
    let long = [DESCRIBE, &vec![b' '; 1 << 17]].concat();
    let deep = vec![b'['; 60000];
    for garbage in [
        &b""[..],
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe\0",
        b"{}{}",
        br#"{"protocol":1,"protocol":1}"#,
        &long,
        &deep,
    ] {
        let reason = reason(Some(COMMAND), garbage);
        assert_eq!(reason, "malformed", "{:?}", &garbage[..garbage.len().min(40)]);
    }
    assert_eq!(reason(Some(COMMAND), br#"{"protocol":2}"#), "protocol");
}

/// The put agent with the put list and a scratch folder for its records, as `on_controller.py` does it.
const ELSEWHERE: &str = r"
import importlib.machinery, importlib.util, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader('agent', sys.argv[1])
agent = importlib.util.module_from_spec(importlib.util.spec_from_loader('agent', loader))
loader.exec_module(agent)
agent.SETTINGS, agent.STATE = sys.argv[2:]
agent.main()
";

#[test]
fn the_put_list_is_one_that_the_put_agent_takes() {
    let root = Root::new();
    assert_eq!(root.put(&[]).code, Some(0));
    if root.at(LIST).metadata().unwrap().uid() != 0 {
        eprintln!("not looked at: the agent takes no list that is not root's, and this is not root");
        return;
    }
    let ask = |request: &[u8]| {
        let mut program = Command::new("/usr/bin/python3");
        program.args(["-I", "-c", ELSEWHERE]).arg(root.at(PROGRAM)).arg(root.at(LIST)).arg(root.at("state"));
        asked(&mut program, Some(COMMAND), request)["refused"].clone()
    };
    let other = br#"{"protocol":1,"installation":"syd","ask":{"describe":{}}}"#;
    assert_eq!(ask(other)["reason"], "installation");
    let verify =
        |domain: &str| json!({"protocol": 1, "installation": "nord", "ask": {"verify": {"domain": domain}}});
    assert_eq!(ask(verify("other.test").to_string().as_bytes())["reason"], "not-allowed");
    // As far as it goes without a domain controller.
    for request in [DESCRIBE, verify("ibestad.test").to_string().as_bytes()] {
        let refused = ask(request);
        let message = refused["message"].as_str().unwrap();
        assert_eq!(refused["reason"], "host", "{message}");
        assert!(
            message.contains("bindings of Samba") || message.contains("no domain controller"),
            "{message}"
        );
    }
}
