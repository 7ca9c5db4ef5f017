//! The lab's directories, as what speaks to them sees them: tests/lab/directories. tests/lab/directory/smoke breaks them, too.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod agent;
mod strangers;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vertskommune_tests::directories::{Directories, Directory};

/// It tells what sshd was asked for, and what it read.
const AGENT: &str =
    "#!/bin/bash\nprintf '%s|%s|%s' \"$(hostname --fqdn)\" \"${SSH_ORIGINAL_COMMAND-}\" \"$(cat)\"\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// The folder of the agent for Samba.
fn samba() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/provider-ad/agents/samba")
}

/// One lab at a time: what is looked at here has limits in seconds.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn asked(directories: &Directories, directory: &Directory, command: &str) -> String {
    let mut session = directories.session(directory).unwrap();
    let output = session.exec(command, b"{}", 1 << 16, PATIENCE).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn both_sides_answer_clients_and_obey_orders() {
    let scratch = tempfile::tempdir().unwrap();
    let agent = scratch.path().join("agent");
    fs::write(&agent, AGENT).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let _turn = turn();
    let Some(directories) = Directories::start(&agent, 1) else { return };
    let places = &directories.places;
    assert_ne!(places.host.sid, places.tenants[0].sid);

    for directory in [&places.host, &places.tenants[0]] {
        let Directory { name, controller, ca, reader, user, .. } = directory;
        let found = directories.client(&format!(
            "LDAPTLS_CACERT={} ldapsearch -LLL -x -H ldaps://{controller} -D {} -y {} -b '' -s base defaultNamingContext",
            ca.display(),
            reader.name,
            reader.password_file.display(),
        ));
        assert!(found.unwrap().contains("defaultNamingContext: DC="), "{name}");
        directories
            .client(&format!("kinit -c MEMORY:lab {} < {}", user.name, user.password_file.display()))
            .unwrap();
        // Whatever is asked for, the agent alone is run.
        for command in ["vertskommune directory agent", "cat /etc/shadow"] {
            assert_eq!(asked(&directories, directory, command), format!("{controller}|{command}|{{}}"));
        }
        let output = directories.on(directory, "hostname; cat", b"it's here").unwrap();
        let short = controller.split('.').next().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{short}\nit's here"));
    }

    directories.order("cut ibestad").unwrap();
    assert!(directories.client("timeout 2 bash -c 'exec 3<>/dev/tcp/10.77.0.11/389'").is_err());
    directories.order("mend ibestad").unwrap();
    assert!(directories.order("mend nobody").is_err());
    asked(&directories, &places.tenants[0], "still there");
}
