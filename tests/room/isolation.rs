//! With the credentials of one tenant nothing of another can be had, tried with OpenSSH's own clients.

use std::fs;
use std::path::Path;
use std::process::Command;

use vertskommune_tests::room::{Room, Tenant};

/// One of OpenSSH's clients, as that user with that key, trusting the room's host key only.
pub(crate) fn client(room: &Room, program: &str, user: &str, key: &Path) -> Command {
    let known = room.file("known_hosts");
    fs::write(&known, format!("{} {}\n", room.place.host, room.place.host_key)).unwrap();
    let mut client = Command::new(program);
    client.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10"]);
    client
        .arg("-o")
        .arg(format!("User={user}"))
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known.display()));
    client.arg("-i").arg(key);
    client
}

/// Whether it succeeded, and all that it said.
pub(crate) fn said(room: &Room, client: &mut Command) -> (bool, String) {
    let output = room.run(client).unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Runs these orders by SFTP, one after the other until one fails.
fn sftp(room: &Room, tenant: &Tenant, orders: &str) -> (bool, String) {
    let batch = room.file("batch");
    fs::write(&batch, orders).unwrap();
    let user = tenant.account.account.as_str();
    let mut sftp = client(room, "sftp", user, &tenant.key);
    sftp.arg("-b").arg(&batch).arg(format!("{user}@{}", room.place.host));
    said(room, &mut sftp)
}

/// A room with two tenants, one of which has something to lose.
fn two(room: &Room) -> (Tenant, Tenant) {
    let tenants = (room.tenant("ibestad", None).unwrap(), room.tenant("gratangen", None).unwrap());
    let secret = room.file("precious");
    fs::write(&secret, "precious").unwrap();
    let put =
        format!("mkdir repository/locks\nput {} repository/config\nls -la repository", secret.display());
    let (done, text) = sftp(room, &tenants.1, &put);
    assert!(done && text.contains("config"), "each may do in its own what it likes: {text}");
    tenants
}

#[test]
fn by_sftp_nothing_but_ones_own_folder_is_there() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    let (one, other) = two(&room);
    let world = "cd /srv/vertskommune/lab/gratangen && find . -printf '%p %u %m %s %T@\\n' | sort && sha256sum repository/config";
    let before = room.inside(world).unwrap();

    let (done, text) = sftp(&room, &one, "ls -la /\npwd\ncd ..\npwd\nls -1 /");
    assert!(done, "{text}");
    assert!(text.contains("repository") && !text.contains("gratangen") && !text.contains("srv"), "{text}");
    let own = room.file("precious").display().to_string();
    for order in [
        "ls /srv",
        "ls /srv/vertskommune/lab/gratangen",
        "ls ../gratangen",
        "ls /../gratangen/repository",
        "get /../gratangen/repository/config /dev/null",
        "get /srv/vertskommune/lab/gratangen/repository/config /dev/null",
        "get /etc/passwd /dev/null",
        &format!("put {own} /../gratangen/repository/locks/mine"),
        &format!("put {own} /mine"),
        "mkdir /mine",
        "rename /repository /mine",
        "rmdir /repository",
        "chmod 777 /",
    ] {
        let (done, text) = sftp(&room, &one, order);
        assert!(!done, "{order}: {text}");
    }
    // A link leads where the account could go anyway.
    for target in ["/srv/vertskommune/lab/gratangen/repository", "../../gratangen/repository", "/etc"] {
        let (made, text) = sftp(&room, &one, &format!("-rm repository/away\nln -s {target} repository/away"));
        assert!(made, "{text}");
        for order in [
            "ls repository/away/",
            "get repository/away/config /dev/null",
            &format!("put {own} repository/away/locks"),
        ] {
            let (done, text) = sftp(&room, &one, order);
            assert!(!done, "{order} by a link to {target}: {text}");
        }
    }
    let keyless = Tenant { key: one.key.clone(), account: other.account.clone() };
    let (done, text) = sftp(&room, &keyless, "ls");
    assert!(!done && text.contains("Permission denied"), "one's key for the other's account: {text}");
    assert_eq!(room.inside(world).unwrap(), before, "the other has all as it was");
}

#[test]
fn by_ssh_there_is_nothing_but_sftp() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    let (tenant, _) = two(&room);
    let user = tenant.account.account.as_str();
    let host = room.place.host.as_str();
    let ssh = |options: &[&str], command: &[&str]| {
        // One that is let in and waits is as bad as one that is answered, so it is ended and looked at.
        let mut ssh = Command::new("timeout");
        ssh.args(["10", "ssh"]).args(client(&room, "ssh", user, &tenant.key).get_args());
        said(&room, ssh.args(options).arg(host).args(command))
    };
    for (what, options, command) in [
        ("a command", &[][..], &["id"][..]),
        ("a shell", &[], &[]),
        ("a shell on a terminal", &["-tt"], &[]),
        ("a shell as a command", &[], &["/bin/sh", "-c", "id"]),
        ("another subsystem", &["-s"], &["netconf"]),
        ("the agent", &[], &["vertskommune", "backup", "agent"]),
    ] {
        let (_, text) = ssh(options, command);
        assert!(!text.contains("uid=") && !text.contains("protocol"), "{what}: {text}");
    }
    for (what, options) in [
        ("a port here", &["-W", "127.0.0.1:22"][..]),
        ("a socket here", &["-W", "/run/sshd.sock"]),
        ("a port back", &["-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:22"]),
        ("a tunnel", &["-o", "ExitOnForwardFailure=yes", "-N", "-w", "any"]),
    ] {
        let (done, text) = ssh(options, &[]);
        assert!(!done, "{what}: {text}");
    }
    let precious = room.file("precious");
    let mut scp = client(&room, "scp", user, &tenant.key);
    scp.arg("-O").arg(&precious).arg(format!("{host}:repository/by-scp"));
    assert!(!said(&room, &mut scp).0, "the old scp runs a command there");
    assert!(room.inside("ls /srv/vertskommune/lab/ibestad/repository").unwrap().is_empty());
    // Nor does the account run anything from within, should somebody get there.
    assert!(room.inside(&format!("su {user} -c id </dev/null")).is_err());
    // And a file of keys in the account's own folder opens nothing.
    room.inside(
        "cd /srv/vertskommune/lab/ibestad/repository && mkdir -p .ssh && cp /etc/vertskommune/agent.keys .ssh/authorized_keys &&
         chown -R vk-ibestad: .ssh",
    )
    .unwrap();
    assert!(room.session(user, &room.file("agent")).is_err());
}
