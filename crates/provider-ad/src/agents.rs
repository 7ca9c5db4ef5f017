//! The agents on domain controllers as they are installed: their programs, the line that lets the controller's key in, and
//! the file of what the domain's administrators allow. Nothing is written here, and no agent is asked anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vertskommune_core::names::{Installation, is_label};

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

/// The direction of a trust as the agents' protocol writes it, seen from the directory of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The partner trusts this directory.
    Inbound,
    /// This directory trusts the partner.
    Outbound,
    /// Each trusts the other.
    Both,
}

impl Way {
    const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Both];

    fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Both => "both",
        }
    }
}

/// A partner with the directions that a trust with it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    domain: String,
    ways: BTreeSet<Way>,
}

/// It is no partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPartner {
    /// Not DOMAIN=DIRECTION.
    Form,
    /// Not a DNS name as the agents take it.
    Domain,
    /// None of the directions.
    Direction,
}

impl fmt::Display for BadPartner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "write the partner's domain and a direction, such as ibestad.test=both",
            Self::Domain => {
                "the domain is a DNS name of two labels or more, of lower-case letters, digits and hyphens, such as ibestad.test"
            }
            Self::Direction => "the direction is inbound, outbound or both, or several of them with commas",
        })
    }
}

impl std::error::Error for BadPartner {}

impl FromStr for Partner {
    type Err = BadPartner;

    fn from_str(text: &str) -> Result<Self, BadPartner> {
        let (domain, ways) = text.split_once('=').ok_or(BadPartner::Form)?;
        if !is_domain(domain) {
            return Err(BadPartner::Domain);
        }
        let way = |word: &str| Way::ALL.into_iter().find(|way| way.word() == word);
        let ways =
            ways.split(',').map(|word| way(word).ok_or(BadPartner::Direction)).collect::<Result<_, _>>()?;
        Ok(Self { domain: domain.to_owned(), ways })
    }
}

/// As the agents take it. The last label has a letter, else an address would be a name.
fn is_domain(text: &str) -> bool {
    let labels: Vec<_> = text.split('.').collect();
    labels.len() > 1
        && text.len() <= 253
        && labels.iter().all(|label| label.len() <= 63 && is_label(label))
        && labels.last().is_some_and(|last| !last.bytes().all(|c| c.is_ascii_digit()))
}

/// What the domain's administrators allow: the file that the agent reads at every call. Its text is the file's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowList {
    installations: BTreeMap<String, Allowed>,
}

/// What one installation may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    partners: BTreeMap<String, BTreeSet<Way>>,
}

/// It is no such file. The agent would refuse every call by it.
#[derive(Debug)]
pub struct BadAllowList(Option<serde_json::Error>);

impl fmt::Display for BadAllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not of the form that the agent takes, or names an installation or a domain that cannot be one")
    }
}

impl std::error::Error for BadAllowList {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_ref().map(|error| error as _)
    }
}

impl AllowList {
    /// These partners for one installation. A partner that is named twice has the directions of both.
    pub fn new(installation: &Installation, partners: impl IntoIterator<Item = Partner>) -> Self {
        let mut allowed = Allowed::default();
        for Partner { domain, ways } in partners {
            allowed.partners.entry(domain).or_default().extend(ways);
        }
        Self { installations: BTreeMap::from([(installation.as_str().to_owned(), allowed)]) }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Where the agent would not take it.
    pub fn parse(text: &str) -> Result<Self, BadAllowList> {
        let list: Self = serde_json::from_str(text).map_err(|error| BadAllowList(Some(error)))?;
        let formed = list.installations.iter().all(|(name, allowed)| {
            name.len() <= 63 && is_label(name) && allowed.partners.keys().all(|domain| is_domain(domain))
        });
        if formed { Ok(list) } else { Err(BadAllowList(None)) }
    }

    /// What of the other list this one does not allow. Empty where it allows all.
    #[must_use]
    pub fn lacks(&self, other: &Self) -> Self {
        let mut lacking = Self::default();
        for (installation, wanted) in &other.installations {
            let there = self.installations.get(installation);
            let mut partners = BTreeMap::new();
            for (domain, ways) in &wanted.partners {
                let has = there.and_then(|there| there.partners.get(domain)).cloned().unwrap_or_default();
                let ways: BTreeSet<Way> = ways.difference(&has).copied().collect();
                if !ways.is_empty() {
                    partners.insert(domain.clone(), ways);
                }
            }
            if !partners.is_empty() || there.is_none() {
                lacking.installations.insert(installation.clone(), Allowed { partners });
            }
        }
        lacking
    }

    /// Whether it allows nothing.
    pub fn is_empty(&self) -> bool {
        self.installations.is_empty()
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?;
        writeln!(f, "{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";
    const LINE: &str = "restrict,command=\"/usr/local/lib/vertskommune/directory-agent\" ssh-ed25519 \
                        AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";

    fn list(partners: &[&str]) -> AllowList {
        AllowList::new(&"nord".into(), partners.iter().map(|text| text.parse().unwrap()))
    }

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
    fn a_partner_is_a_domain_and_its_directions() {
        let both = Partner { domain: "ibestad.test".to_owned(), ways: [Way::Both].into() };
        assert_eq!("ibestad.test=both".parse(), Ok(both));
        let two = "a-1.b.test=outbound,both".parse::<Partner>().map(|partner| partner.ways);
        assert_eq!(two, Ok([Way::Outbound, Way::Both].into()));
        let long = format!("{}.test=both", "a".repeat(64));
        for (wrong, why) in [
            ("", BadPartner::Form),
            ("ibestad.test", BadPartner::Form),
            ("=both", BadPartner::Domain),
            ("ibestad=both", BadPartner::Domain),
            ("Ibestad.test=both", BadPartner::Domain),
            ("ibestad.test.=both", BadPartner::Domain),
            ("*.test=both", BadPartner::Domain),
            ("10.0.0.1=both", BadPartner::Domain),
            ("ibe\"stad.test=both", BadPartner::Domain),
            (&long, BadPartner::Domain),
            ("ibestad.test=", BadPartner::Direction),
            ("ibestad.test=Both", BadPartner::Direction),
            ("ibestad.test=both,", BadPartner::Direction),
            ("ibestad.test=both=both", BadPartner::Direction),
        ] {
            assert_eq!(wrong.parse::<Partner>(), Err(why), "{wrong:?}");
        }
    }

    #[test]
    fn the_list_is_what_the_agents_read() {
        let text = list(&["ibestad.test=both", "a.test=inbound", "ibestad.test=outbound"]).to_string();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let wanted = serde_json::json!({"installations": {"nord": {"partners": {
            "a.test": ["inbound"], "ibestad.test": ["outbound", "both"]
        }}}});
        assert_eq!(value, wanted);
        assert!(text.ends_with("}\n"));
        assert_eq!(AllowList::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn what_no_agent_takes_is_no_list() {
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"installations":[]}"#,
            r#"{"installations":{"nord":{}}}"#,
            r#"{"installations":{"Nord":{"partners":{}}}}"#,
            r#"{"installations":{"nord":{"partners":{"ibestad":["both"]}}}}"#,
            r#"{"installations":{"nord":{"partners":{"a.test":["all"]}}}}"#,
            r#"{"installations":{},"more":1}"#,
        ] {
            assert!(AllowList::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_a_list_lacks_is_lacking() {
        let wanted = list(&["ibestad.test=outbound,both", "a.test=both"]);
        for (there, lacking) in [
            (wanted.clone(), AllowList::default()),
            (
                list(&["ibestad.test=inbound,outbound,both", "a.test=both", "b.test=both"]),
                AllowList::default(),
            ),
            (list(&["ibestad.test=both"]), list(&["ibestad.test=outbound", "a.test=both"])),
            (AllowList::default(), wanted.clone()),
        ] {
            assert_eq!(there.lacks(&wanted), lacking, "{there}");
        }
        assert!(
            !AllowList::default().lacks(&list(&[])).is_empty(),
            "an installation that is not named is refused"
        );
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
        let steps = windows_steps(KEY, &list(&["ibestad.test=both"]));
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
