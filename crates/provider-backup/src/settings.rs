//! What a `HostProvider` says to this plugin: where the second room is, whom to trust there, and for whom escrow keys are
//! sealed.

use std::path::PathBuf;

use restic::escrow::Recipient;
use serde::Deserialize;
use serde_json::Value as Json;
use ssh_session::HostKey;
use vertskommune_core::host::Host;
use vertskommune_core::violation::Violation;
use vertskommune_provider_ssh::address;

/// An endpoint for this plugin, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The host's name or address.
    pub(crate) host: String,
    /// sshd's port.
    pub(crate) port: u16,
    /// The key that it must show.
    pub(crate) host_key: HostKey,
    /// The Secret with the agent's key.
    pub(crate) credentials: String,
    /// The agent's account.
    pub(crate) agent: String,
    /// Whom escrow keys are sealed for. The private half is offline.
    pub(crate) escrow: Recipient,
    /// The most that one tenant's repository may take, in bytes.
    pub(crate) quota: Option<u64>,
    /// The restic program.
    pub(crate) restic: PathBuf,
    /// The age program.
    pub(crate) age: PathBuf,
    /// OpenSSH's program, which joins restic with SFTP.
    pub(crate) ssh: PathBuf,
    /// Where restic keeps what it has read; nowhere where none is named.
    pub(crate) cache: Option<PathBuf>,
    /// Where restic builds its packs, encrypted, some 16 MiB each.
    pub(crate) temporary: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default = "agent")]
    agent_user: String,
    escrow_recipient: String,
    #[serde(default)]
    quota: Option<Json>,
    #[serde(default = "restic")]
    restic: PathBuf,
    #[serde(default = "age")]
    age: PathBuf,
    #[serde(default = "ssh")]
    ssh: PathBuf,
    #[serde(default)]
    cache: Option<PathBuf>,
    #[serde(default)]
    temporary: Option<PathBuf>,
}

fn agent() -> String {
    "vertskommune-agent".to_owned()
}

fn restic() -> PathBuf {
    PathBuf::from("/usr/bin/restic")
}

fn age() -> PathBuf {
    PathBuf::from("/usr/bin/age")
}

fn ssh() -> PathBuf {
    PathBuf::from("/usr/bin/ssh")
}

impl Settings {
    /// Reads an endpoint, or says all that is wrong with it.
    pub(crate) fn read(host: &Host) -> Result<Self, Vec<Violation>> {
        let mut violations = Vec::new();
        let mut wrong = |field: &str, message: String| violations.push(Violation::new(field, message));
        let endpoint = address(&host.endpoint);
        if endpoint.is_none() {
            let message =
                format!("{:?} is no second room: write ssh://host or ssh://host:port", host.endpoint);
            wrong("spec.endpoint", message);
        }
        let host_key = host.identity.parse::<HostKey>();
        if let Err(error) = &host_key {
            let message =
                format!("{error}: write the host's whole public key, as deploy/second-room/setup prints it");
            wrong("spec.identity", message);
        }
        if host.credentials.is_none() {
            wrong("spec.credentials", "name a Secret with id_ed25519, the agent's private key".to_owned());
        }
        let written = Written::deserialize(&host.settings);
        if let Err(error) = &written {
            wrong("spec.settings", error.to_string());
        }
        let escrow = written.as_ref().ok().map(|written| written.escrow_recipient.parse::<Recipient>());
        if let Some(Err(error)) = &escrow {
            wrong(
                "spec.settings.escrowRecipient",
                format!("{error}: make a pair with age-keygen, on a machine that is offline"),
            );
        }
        let quota = written.as_ref().ok().and_then(|written| written.quota.as_ref()).map(bytes);
        if quota == Some(None) {
            wrong("spec.settings.quota", "write bytes, or a size such as 2Ti".to_owned());
        }
        if let Ok(written) = &written {
            if !is_account(&written.agent_user) {
                wrong("spec.settings.agentUser", format!("{:?} is no account", written.agent_user));
            }
            let programs =
                [("restic", Some(&written.restic)), ("age", Some(&written.age)), ("ssh", Some(&written.ssh))];
            let folders = [("cache", written.cache.as_ref()), ("temporary", written.temporary.as_ref())];
            for (field, path) in programs.into_iter().chain(folders) {
                if path.is_some_and(|path| !path.is_absolute()) {
                    wrong(&format!("spec.settings.{field}"), "write an absolute path".to_owned());
                }
            }
        }
        match (endpoint, host_key, &host.credentials, written, escrow) {
            (Some((name, port)), Ok(host_key), Some(credentials), Ok(written), Some(Ok(escrow)))
                if violations.is_empty() =>
            {
                Ok(Self {
                    host: name,
                    port,
                    host_key,
                    credentials: credentials.clone(),
                    agent: written.agent_user,
                    escrow,
                    quota: quota.flatten(),
                    restic: written.restic,
                    age: written.age,
                    ssh: written.ssh,
                    cache: written.cache,
                    temporary: written.temporary.unwrap_or_else(std::env::temp_dir),
                })
            }
            _ => Err(violations),
        }
    }
}

fn is_account(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    (1..=32).contains(&name.len()) && !name.starts_with('-') && name.chars().all(plain)
}

/// A size in bytes: a number, or a text such as `2Ti`.
fn bytes(written: &Json) -> Option<u64> {
    let size = match written {
        Json::Number(number) => number.as_u64(),
        Json::String(text) => {
            let units = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50)];
            let unit = units.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
            let (number, shift) = unit.unwrap_or((text, 0));
            number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift))
        }
        _ => None,
    };
    size.filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::host;

    #[test]
    fn valid_settings_are_read() {
        let mut host = host();
        host.endpoint = "ssh://[fd00::2]:2222".to_owned();
        host.settings["quota"] = json!("2Ti");
        let settings = Settings::read(&host).unwrap();
        assert_eq!((settings.host.as_str(), settings.port), ("fd00::2", 2222));
        assert_eq!((settings.agent.as_str(), settings.quota), ("vertskommune-agent", Some(2 << 40)));
        host.endpoint = "ssh://room-2".to_owned();
        assert_eq!(Settings::read(&host).unwrap().port, 22);
    }

    #[test]
    fn each_mistake_is_named_by_its_field() {
        type Break = fn(&mut Host);
        let rows: [(Break, &str); 10] = [
            (|it| it.endpoint = "https://room-2".to_owned(), "spec.endpoint"),
            (|it| it.endpoint = "ssh://-oProxyCommand=x".to_owned(), "spec.endpoint"),
            (|it| it.endpoint = "ssh://room-2:0".to_owned(), "spec.endpoint"),
            (|it| it.identity = "SHA256:abc".to_owned(), "spec.identity"),
            (|it| it.credentials = None, "spec.credentials"),
            (|it| it.settings["surprise"] = json!(1), "spec.settings"),
            (|it| it.settings["escrowRecipient"] = json!("age1"), "spec.settings.escrowRecipient"),
            (|it| it.settings["quota"] = json!("much"), "spec.settings.quota"),
            (|it| it.settings["agentUser"] = json!("-x"), "spec.settings.agentUser"),
            (|it| it.settings["cache"] = json!("here"), "spec.settings.cache"),
        ];
        for (spoil, field) in rows {
            let mut host = host();
            spoil(&mut host);
            let violations = Settings::read(&host).unwrap_err();
            assert_eq!(violations.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut host = host();
        host.endpoint = String::new();
        host.identity = String::new();
        host.credentials = None;
        host.settings = json!({});
        assert_eq!(Settings::read(&host).unwrap_err().len(), 4);
    }
}
