//! What nobody should ask the agent: other commands over its key, and names and secrets that a shell, a query or a log would take for more
//! than they are. All of it goes over SSH to the real agent on real controllers.

use std::process::Command;

use serde_json::{Value, json};
use ssh_session::Session;
use vertskommune_tests::directories::{Directories, Directory};

use super::{PATIENCE, samba, turn};

const COMMAND: &str = "vertskommune directory agent";
/// A file that is only there where a stranger's command was run.
const REACHED: &str = "/var/lib/reached";
/// The password of a trust's outgoing side as the directory stores it.
const STORED: &str = r#"exec /usr/bin/python3 -c '
import sys
from samba.auth import system_session
from samba.dcerpc import drsblobs
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
settings = LoadParm()
settings.load_default()
directory = SamDB(session_info=system_session(), lp=settings)
[trust] = directory.search(expression="(objectClass=trustedDomain)", attrs=["trustAuthOutgoing"])
stored = ndr_unpack(drsblobs.trustAuthInOutBlob, trust["trustAuthOutgoing"][0])
sys.stdout.buffer.write(bytes(stored.current.array[0].AuthInfo.password).decode("utf-16-le").encode())'"#;

/// What a shell, Python, LDAP, JSON or a log could take for more than text, and what looks like something else.
const NASTY: &[&str] = &[
    "$(touch /var/lib/reached)",
    "`touch /var/lib/reached`",
    "; touch /var/lib/reached;",
    "| touch /var/lib/reached",
    "& touch /var/lib/reached &",
    "> /var/lib/reached",
    "'; touch /var/lib/reached; '",
    "\"; touch /var/lib/reached; \"",
    "\ntouch /var/lib/reached\n",
    "\r\ntouch /var/lib/reached",
    "\0; touch /var/lib/reached",
    "--configfile=/etc/passwd",
    "-oProxyCommand=touch /var/lib/reached",
    "../../../../var/lib/reached",
    "*)(objectClass=*",
    "CN=x,DC=test\\2c",
    "%s%n%x{0}{__class__}",
    "__import__('os').system('touch /var/lib/reached')",
    "\",\"anew\":true,\"x\":\"",
    "іbestad.test",
    "ｉｂｅｓｔａｄ.test",
    "ibestad。test",
    "ibestad.test\u{200b}",
    "\u{202e}tset.datsebi",
    "IBEST\u{00c5}D",
    "ibe\u{0301}stad",
    "\u{1f511}\u{1f3f4}",
    "\u{2028}\u{feff}",
    "~root/.ssh $HOME ${PATH} %PATH% !!",
];

fn start() -> Option<Directories> {
    Directories::start(&samba().join("agent.py"), 1)
}

fn sides(directories: &Directories) -> [&Directory; 2] {
    [&directories.places.host, &directories.places.tenants[0]]
}

fn request(operation: &str, fields: &Value) -> Value {
    json!({"protocol": 1, "installation": "lab", "ask": {operation: fields}})
}

/// The outcome, of an answer that is one line of JSON and nothing else.
fn outcome(stdout: &[u8]) -> Value {
    let said = std::str::from_utf8(stdout).unwrap();
    assert!(said.ends_with('\n') && said.lines().count() == 1, "{said:?}");
    let answer: Value = serde_json::from_str(said).unwrap();
    assert_eq!(answer["protocol"], 1);
    answer["outcome"].clone()
}

fn ask(session: &mut Session, command: &str, request: &[u8]) -> Value {
    let output = session.exec(command, request, 1 << 16, PATIENCE).unwrap();
    assert_eq!((output.status, String::from_utf8_lossy(&output.stderr)), (0, "".into()), "{command:?}");
    outcome(&output.stdout)
}

fn done(session: &mut Session, operation: &str, fields: &Value) -> Value {
    let answer = ask(session, COMMAND, request(operation, fields).to_string().as_bytes());
    answer.get("done").unwrap_or_else(|| panic!("{operation} {fields}: {answer}")).clone()
}

fn untouched(directories: &Directories) {
    for side in sides(directories) {
        let found =
            directories.on(side, &format!("ls {REACHED} /run/reached 2>/dev/null || true"), b"").unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{}: something else was run", side.name);
    }
    assert_eq!(directories.inside(&format!("ls {REACHED} 2>/dev/null || true")).unwrap(), "");
}

/// One of OpenSSH's clients, with a controller's key.
fn client(program: &str, side: &Directory, arguments: &[&str]) -> Command {
    let mut client = Command::new("timeout");
    client.args(["20", program, "-F", "none", "-i"]).arg(&side.ssh.key);
    for option in
        ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "ExitOnForwardFailure=yes"]
    {
        client.args(["-o", option]);
    }
    client.arg("-o").arg(format!("UserKnownHostsFile={}", side.ssh.known_hosts.display())).args(arguments);
    client
}

#[test]
fn over_its_key_nothing_but_the_agent_is_run() {
    let _turn = turn();
    let Some(directories) = start() else { return };
    let good = request("describe", &json!({})).to_string();
    for (turn, side) in sides(&directories).into_iter().enumerate() {
        let mut session = directories.session(side).unwrap();
        let answer = ask(&mut session, COMMAND, good.as_bytes());
        assert_eq!(answer["done"]["description"]["netbios"], json!(side.netbios));

        let touch = format!("touch {REACHED}");
        let own = [
            touch.clone(),
            format!("sh -c '{touch}'"),
            format!("{COMMAND}; {touch}"),
            format!("{COMMAND} && {touch}"),
            format!("{COMMAND}\n{touch}"),
            format!("{COMMAND} $({touch})"),
            format!("{COMMAND} `{touch}`"),
            format!("{touch}; {COMMAND}"),
            format!("{COMMAND} "),
            format!(" {COMMAND}"),
        ];
        let others = [
            "cat /etc/shadow",
            "/bin/bash -i",
            "vertskommune backup agent",
            "VERTSKOMMUNE DIRECTORY AGENT",
            "vertskommune directory аgent",
            "scp -t /var/lib/reached",
            "/usr/lib/openssh/sftp-server",
            "internal-sftp",
            "rsync --server . /var/lib/reached",
            "samba-tool user setpassword administrator",
        ];
        // Each in turn: both have the same agent and the same sshd.
        let commands = own.iter().map(String::as_str).chain(others).chain(NASTY.iter().copied());
        for command in commands.skip(turn).step_by(2) {
            // An end of a C string ends the command before it is anybody's.
            if command.contains('\0') {
                continue;
            }
            let answer = ask(&mut session, command, good.as_bytes());
            assert_eq!(answer["refused"]["reason"], "command", "{command:?}: {answer}");
        }

        let to = format!("{}@{}", side.ssh.user, side.address);
        let there = format!("{to}:{REACHED}");
        let (port, socket) = ("0:127.0.0.1:22", "/run/reached:127.0.0.1:22");
        // The agent's word is all that a subsystem or a shell says, and what is no command is not to be had at all.
        let tries = [
            ("ssh", &["-T", &to][..], true, ""),
            ("ssh", &["-tt", &to], false, "PTY allocation request failed"),
            ("ssh", &["-s", &to, "sftp"], true, ""),
            ("ssh", &["-s", &to, "netconf"], false, "subsystem request failed"),
            ("sftp", &["-b", "/dev/null", &to], false, "Received message too long"),
            ("scp", &["-s", "/etc/hostname", &there], false, "Received message too long"),
            ("scp", &["-O", "/etc/hostname", &there], false, ""),
            ("ssh", &["-W", "127.0.0.1:389", &to], false, "administratively prohibited"),
            ("ssh", &["-N", "-R", port, &to], false, "remote port forwarding failed"),
            ("ssh", &["-N", "-R", socket, &to], false, "remote port forwarding failed"),
            (
                "ssh",
                &["-N", "-i", "/etc/hostname", "-o", "User=nobody", &side.address],
                false,
                "Permission denied",
            ),
        ];
        let look = |(program, arguments, agent, says): (&str, &[&str], bool, &str)| {
            let output = directories.run(&mut client(program, side, arguments)).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(says), "{program} {arguments:?}: {said}");
            if agent {
                assert_eq!(
                    outcome(&output.stdout)["refused"]["reason"],
                    "command",
                    "{program} {arguments:?}"
                );
            } else {
                assert!(!output.status.success(), "{program} {arguments:?} went well");
                let said = String::from_utf8_lossy(&output.stdout);
                assert_eq!(said, "", "{program} {arguments:?}");
            }
        };
        // Some wait until the agent has waited long enough for them. More at once would be too many that sshd does not know yet.
        for tries in tries.chunks(4) {
            std::thread::scope(|scope| {
                for one in tries {
                    scope.spawn(|| look(*one));
                }
            });
        }
        // Whose key is not let in is nobody.
        let stranger = directories.file("stranger");
        if !stranger.exists() {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&stranger);
            assert!(directories.run(&mut keygen).unwrap().status.success());
        }
        let other = Directory {
            ssh: vertskommune_tests::directories::Ssh { key: stranger, ..side.ssh.clone() },
            ..side.clone()
        };
        let output = directories.run(&mut client("ssh", &other, &["-T", &to])).unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"));
    }
    untouched(&directories);
}

#[test]
fn what_is_asked_arrives_as_it_is_or_is_refused() {
    let _turn = turn();
    let Some(directories) = start() else { return };
    let [host, tenant] = sides(&directories);
    let mut session = directories.session(host).unwrap();
    let ensure = json!({
        "tenant": "ibestad", "domain": tenant.domain, "netbios": tenant.netbios, "sid": tenant.sid, "direction": "both", "kind": "forest",
        "selective": false, "filtersSids": true, "secret": "a secret that is good enough", "anew": true, "removeOrphan": false,
    });
    a_name_is_plain_or_it_is_none(&mut session, tenant, &ensure);
    what_is_no_request_is_none(&mut session, tenant, &ensure);
    text_arrives(&directories, &mut session, &ensure);
    let told = directories.on(
        host,
        // What is mounted there is not the controller's, such as a source tree in /tmp with this very test.
        "find /var/log/samba /run /tmp /var/lib/vertskommune-directory -xdev -type f -exec grep -l 'and fourteen more' {} + || true",
        b"",
    );
    assert_eq!(String::from_utf8(told.unwrap().stdout).unwrap(), "", "a secret lies in a file");
    let removed = done(
        &mut session,
        "remove",
        &json!({"tenant": "ibestad", "domain": tenant.domain, "sid": tenant.sid}),
    );
    assert_eq!(removed["removed"]["was"], true);
    untouched(&directories);
}

/// The same fields, but for one.
fn with(fields: &Value, name: &str, value: Value) -> Value {
    let mut fields = fields.clone();
    fields[name] = value;
    fields
}

fn a_name_is_plain_or_it_is_none(session: &mut Session, tenant: &Directory, good: &Value) {
    let preflight = json!({"domain": tenant.domain, "dnsServers": [], "controllers": []});
    let probe = json!({"domain": tenant.domain, "controller": tenant.controller});
    for (number, nasty) in NASTY.iter().enumerate() {
        let plain = |operation, fields: &Value, name| request(operation, &with(fields, name, json!(nasty)));
        let listed = |name| request("preflight", &with(&preflight, name, json!([nasty])));
        let mut asked =
            vec![listed("dnsServers"), listed("controllers"), plain("probe", &probe, "controller")];
        asked.extend(
            ["tenant", "domain", "netbios", "sid", "direction", "kind"]
                .map(|name| plain("ensure", good, name)),
        );
        asked.push(with(&request("describe", &json!({})), "installation", json!(nasty)));
        asked.push(request(nasty, &json!({})));
        // All in each place is for the agent's own tests. Two of the eleven, in turn, are enough to see what SSH does to them.
        let count = asked.len();
        asked.rotate_left(number * 2 % count);
        asked.truncate(2);
        for request in asked {
            let answer = ask(session, COMMAND, request.to_string().as_bytes());
            assert_eq!(answer["refused"]["reason"], "malformed", "{request}: {answer}");
        }
    }
}

/// Whatever is in it.
fn what_is_no_request_is_none(session: &mut Session, tenant: &Directory, good: &Value) {
    let whole = request("ensure", good).to_string().into_bytes();
    let mut chance = Chance(20_261_129);
    for _ in 0..30 {
        let mut raw = whole.clone();
        for _ in 0..=chance.below(3) {
            let at = chance.below(raw.len());
            match chance.below(3) {
                // Never a byte that JSON may have there.
                0 => raw[at] = 0xf8,
                1 => raw.truncate(at.max(1)),
                _ => drop(raw.splice(at..at, NASTY[chance.below(NASTY.len())].bytes())),
            }
        }
        let answer = ask(session, COMMAND, &raw);
        let reason = answer["refused"]["reason"].as_str();
        let inside = answer["done"]["ensured"]["trust"]["domain"].as_str();
        // What was put into the secret may be a good one.
        assert!(
            matches!(reason, Some("malformed" | "protocol")) || inside == Some(&tenant.domain),
            "{}: {answer}",
            String::from_utf8_lossy(&raw)
        );
    }
}

/// Of any characters but those of control, which are refused.
fn text_arrives(directories: &Directories, session: &mut Session, ensure: &Value) {
    let [host, _] = sides(directories);
    let expires = "2999-01-01T00:00:00Z";
    let (mut holders, mut secrets) = (0, 0);
    for (number, nasty) in NASTY.iter().enumerate() {
        let claim = json!({"holder": nasty, "expires": expires, "takeOver": true});
        let secret = format!("{nasty} and fourteen more {number}");
        if nasty.chars().any(char::is_control) {
            for request in
                [request("claim", &claim), request("ensure", &with(ensure, "secret", json!(secret)))]
            {
                let answer = ask(session, COMMAND, request.to_string().as_bytes());
                assert_eq!(answer["refused"]["reason"], "malformed", "{request}: {answer}");
            }
            continue;
        }
        // Who writes is told to people, so what cannot be seen is refused there.
        let answer = ask(session, COMMAND, request("claim", &claim).to_string().as_bytes());
        let seen = answer["done"]["claimed"]["holder"].as_str();
        assert!(seen == Some(nasty) || answer["refused"]["reason"] == "malformed", "{claim}: {answer}");
        holders += usize::from(seen.is_some());
        if number % 3 != 0 {
            continue;
        }
        let made = done(session, "ensure", &with(ensure, "secret", json!(secret)));
        assert_eq!(made["ensured"]["made"], true);
        assert!(!made.to_string().contains("and fourteen more"), "{made}");
        let stored = directories.on(host, STORED, b"").unwrap();
        assert_eq!(
            String::from_utf8(stored.stdout).unwrap(),
            secret,
            "{}",
            String::from_utf8_lossy(&stored.stderr)
        );
        secrets += 1;
    }
    assert!(holders > 15 && secrets > 5);
}

/// Numbers that are the same in each run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
