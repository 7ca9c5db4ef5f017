//! The agents on domain controllers as they are installed: their programs, the line that lets the controller's key in, and
//! the file of what the domain's administrators allow. Nothing is written here, and no agent is asked anything.

mod allow_list;

use std::fmt;

use vertskommune_core::names::Installation;

pub use allow_list::{AllowList, BadAllowList, BadPartner, Partner, Way};

/// The agent for Samba, a program of Python.
pub const SAMBA: &str = include_str!("../agents/samba/agent.py");
/// The agent for Windows Server, a script of Windows PowerShell 5.1.
pub const WINDOWS: &str = include_str!("../agents/windows/agent.ps1");
/// How the agent for Windows Server is installed, and what of it was never run.
pub const WINDOWS_README: &str = include_str!("../agents/windows/README.md");

/// What is asked for over SSH. An agent refuses any other command.
pub const COMMAND: &str = "vertskommune directory agent";

/// What a domain controller runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Samba as a domain controller.
    Samba,
    /// Windows Server.
    Windows,
}

impl System {
    /// The agent's program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Samba => SAMBA,
            Self::Windows => WINDOWS,
        }
    }

    /// Where the program lies.
    pub fn program_path(self) -> &'static str {
        match self {
            Self::Samba => "/usr/local/lib/vertskommune/directory-agent",
            Self::Windows => r"C:\ProgramData\vertskommune\agent.ps1",
        }
    }

    /// Where the administrators say what they allow.
    pub fn allow_list_path(self) -> &'static str {
        match self {
            Self::Samba => "/etc/vertskommune/directory-agent.json",
            Self::Windows => r"C:\ProgramData\vertskommune\settings.json",
        }
    }

    /// Where sshd finds the key.
    pub fn keys_path(self) -> &'static str {
        match self {
            Self::Samba => "/root/.ssh/authorized_keys",
            Self::Windows => r"C:\ProgramData\ssh\vertskommune_authorized_keys",
        }
    }

    /// Where the agent keeps its records, which are worth a backup.
    pub fn state_path(self) -> &'static str {
        match self {
            Self::Samba => "/var/lib/vertskommune-directory",
            Self::Windows => r"C:\ProgramData\vertskommune\state",
        }
    }

    /// What has to be installed beside the agent: packages of Debian, or a capability of Windows.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Samba => &["openssh-server", "python3-samba", "python3-dnspython", "krb5-user"],
            Self::Windows => &["OpenSSH.Server~~~~0.0.1.0"],
        }
    }

    /// The line that lets this key in, for the agent alone. On Windows it is sshd's configuration that holds the account
    /// to the agent: its line could not, since it is read for that account by a setting of the same block.
    pub fn authorized_key(self, key: &str) -> String {
        match self {
            Self::Samba => format!("restrict,command=\"{}\" {key}", self.program_path()),
            Self::Windows => format!("restrict {key}"),
        }
    }
}

/// The request that shows whether an agent answers this installation.
pub fn describe(installation: &Installation) -> String {
    format!(r#"{{"protocol":1,"installation":"{installation}","ask":{{"describe":{{}}}}}}"#)
}

/// The keys of an account with this one added for the agent; none where its line is there already.
///
/// # Errors
/// The key is let in for something else.
pub fn with_key(there: &str, key: &str) -> Result<Option<String>, KeyIsTaken> {
    let ours = System::Samba.authorized_key(key);
    let blob = key.split(' ').nth(1).unwrap_or(key);
    let mut found = false;
    for (number, line) in (1..).zip(there.lines()) {
        let line = line.trim();
        if line.starts_with('#') || !line.split_ascii_whitespace().any(|word| word == blob) {
            continue;
        }
        // A comment may follow.
        if line.strip_prefix(&ours).is_none_or(|rest| !rest.is_empty() && !rest.starts_with([' ', '\t'])) {
            return Err(KeyIsTaken { line: number });
        }
        found = true;
    }
    let end = if there.is_empty() || there.ends_with('\n') { "" } else { "\n" };
    Ok((!found).then(|| format!("{there}{end}{ours}\n")))
}

/// The steps of [`WINDOWS_README`] with this key and what is to be allowed in their places, as Markdown.
pub fn windows_steps(key: &str, allowed: &AllowList) -> String {
    let [key_there, allowed_there] = WINDOWS_EXAMPLES;
    let steps = between(WINDOWS_README, "\n## Installing\n", "\n## Answers\n").trim();
    let line = System::Windows.authorized_key(key);
    steps.replace(key_there, &line).replace(allowed_there, allowed.to_string().trim_end())
}

/// Why nobody should trust that agent yet, from [`WINDOWS_README`].
pub fn windows_warning() -> &'static str {
    between(WINDOWS_README, "\n**No part", ".**").trim()
}

/// What stands in the steps of the README in the place of a key's line and of what is allowed.
const WINDOWS_EXAMPLES: [&str; 2] = [
    "restrict ssh-ed25519 AAAA... vertskommune",
    r#"{"installations": {"nord": {"partners": {"ibestad.example": ["outbound"]}}}}"#,
];

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let from = text.split_once(begin).map_or("", |(_, rest)| rest);
    from.split_once(end).map_or(from, |(here, _)| here)
}

/// A key that already is let in for something else than the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyIsTaken {
    /// In which line, counted from 1.
    pub line: usize,
}

impl fmt::Display for KeyIsTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        write!(
            f,
            "line {line} lets this key in for something else: use a key of its own for the agent, or take that line out"
        )
    }
}

impl std::error::Error for KeyIsTaken {}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";
    const LINE: &str = "restrict,command=\"/usr/local/lib/vertskommune/directory-agent\" ssh-ed25519 \
                        AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";

    #[test]
    fn the_programs_say_what_is_said_of_them() {
        for (text, name) in [
            (SAMBA, System::Samba.allow_list_path()),
            (SAMBA, System::Samba.state_path()),
            (SAMBA, COMMAND),
            (WINDOWS, COMMAND),
            (WINDOWS_README, System::Windows.program_path()),
            (WINDOWS_README, "$env:ProgramData\\ssh\\vertskommune_authorized_keys"),
            (WINDOWS_README, System::Windows.packages()[0]),
        ] {
            assert!(text.contains(name), "{name}");
        }
    }

    #[test]
    fn a_key_is_let_in_once_and_for_the_agent_alone() {
        let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBjkFzEDsBYEmzDLn8zEFrYnuhBmzhJdnhlEP4vHHpGN me";
        let added = format!("{other}\n{LINE}\n");
        for (there, wanted) in [
            (String::new(), Ok(Some(format!("{LINE}\n")))),
            (format!("{other}\n"), Ok(Some(added.clone()))),
            // Without an end of its last line.
            (other.to_owned(), Ok(Some(added.clone()))),
            (added.clone(), Ok(None)),
            (format!("{LINE} vertskommune\n"), Ok(None)),
            (format!("# {KEY}\n"), Ok(Some(format!("# {KEY}\n{LINE}\n")))),
            (format!("{other}\n{KEY}\n"), Err(KeyIsTaken { line: 2 })),
            (format!("{LINE}\n{KEY}\n"), Err(KeyIsTaken { line: 2 })),
            (format!("command=\"/bin/sh -c 'a b'\" {KEY}\n"), Err(KeyIsTaken { line: 1 })),
            (format!("pty,{LINE}\n"), Err(KeyIsTaken { line: 1 })),
        ] {
            assert_eq!(with_key(&there, KEY), wanted, "{there}");
        }
    }

    #[test]
    fn the_steps_on_windows_have_their_places() {
        for example in WINDOWS_EXAMPLES {
            assert_eq!(WINDOWS_README.matches(example).count(), 1, "{example}");
        }
        let allowed = AllowList::new(&"nord".into(), ["ibestad.test=both".parse().unwrap()]);
        let steps = windows_steps(KEY, &allowed);
        for text in
            [&format!("'restrict {KEY}'"), "\"ibestad.test\"", "ForceCommand ", "Add-ADGroupMember", COMMAND]
        {
            assert!(steps.contains(text), "{text}");
        }
        assert!(!steps.contains("AAAA...") && !steps.contains("ibestad.example") && !steps.contains("\n## "));
        assert!(windows_warning().contains("ever run on Windows"), "{}", windows_warning());
    }

    #[test]
    fn the_request_is_one_of_this_installation() {
        let request: serde_json::Value = serde_json::from_str(&describe(&"nord".into())).unwrap();
        assert_eq!(
            request,
            serde_json::json!({"protocol": 1, "installation": "nord", "ask": {"describe": {}}})
        );
    }
}
