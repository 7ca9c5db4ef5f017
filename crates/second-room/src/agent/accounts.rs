//! Users and groups of the host, by its own programs.

use super::changes::Changes;
use super::record::Record;
use super::settings::Uids;
use super::tools::{done, run};
use crate::protocol::{Reason, Refusal};

/// No shell: an account that gets past sshd's rules still runs nothing.
const SHELL: &str = "/usr/sbin/nologin";

/// A line of /etc/passwd, without the password.
#[derive(Debug, PartialEq)]
struct User {
    uid: u32,
    gid: u32,
    comment: String,
    home: String,
    shell: String,
}

impl User {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.trim_end().split(':').collect();
        let [_, _, uid, gid, comment, home, shell] = fields[..] else { return None };
        Some(Self {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            comment: comment.to_owned(),
            home: home.to_owned(),
            shell: shell.to_owned(),
        })
    }

    /// The one that a record describes. Its home is the tenant's folder, which belongs to root: sshd confines it there by
    /// `ChrootDirectory %h`.
    fn of(record: &Record, home: &str) -> Self {
        Self {
            uid: record.uid,
            gid: record.uid,
            comment: record.comment(),
            home: home.to_owned(),
            shell: SHELL.to_owned(),
        }
    }
}

/// A line of one of the host's databases; none where it has no such key.
fn entry(database: &str, key: &str) -> Result<Option<String>, Refusal> {
    let said = run("/usr/bin/getent", &[database, key])?;
    match said.status {
        Some(0) => Ok(said.stdout.lines().next().map(str::to_owned)),
        Some(2) => Ok(None),
        _ => {
            let message = format!("the host's database {database} cannot be read: {}", said.stderr.trim());
            Err(Refusal::new(Reason::Host, message))
        }
    }
}

/// A number that no user and no group has, from this one on.
pub(crate) fn free_number(from: u32, uids: Uids) -> Result<u32, Refusal> {
    let from = if (uids.first..=uids.last).contains(&from) { from } else { uids.first };
    for number in (from..=uids.last).chain(uids.first..from) {
        let text = number.to_string();
        if entry("passwd", &text)?.is_none() && entry("group", &text)?.is_none() {
            return Ok(number);
        }
    }
    let message = format!(
        "every number from {} to {} is taken: widen `uids` in the agent's settings",
        uids.first, uids.last
    );
    Err(Refusal::new(Reason::Host, message))
}

/// Whether a user or a group of that name is there.
pub(crate) fn is_taken(name: &str) -> Result<bool, Refusal> {
    Ok(entry("passwd", name)?.is_some() || entry("group", name)?.is_some())
}

/// Whether the record's user is there as it has to be.
pub(crate) fn stands(record: &Record, home: &str) -> Result<bool, Refusal> {
    let user = entry("passwd", &record.account)?;
    Ok(user.and_then(|line| User::parse(&line)).is_some_and(|user| user == User::of(record, home)))
}

/// Makes the record's user and group where they are missing, and refuses others of that name.
pub(crate) fn ensure(record: &Record, home: &str, changes: &mut Changes) -> Result<(), Refusal> {
    let Record { account, uid, .. } = record;
    let number = uid.to_string();
    let not_ours = |what: &str, found: &str| {
        let message = format!(
            "the {what} {account} on the second room's host is not as the agent makes it ({found}): whoever changed it \
             has to put it back; nothing was changed"
        );
        Refusal::new(Reason::NotOurs, message)
    };
    match entry("group", account)? {
        None => {
            changes.next();
            done("/usr/sbin/groupadd", &["--gid", &number, account], Reason::Host)?;
        }
        Some(line) if line.split(':').nth(2) == Some(&number) => {}
        Some(line) => return Err(not_ours("group", &line)),
    }
    match entry("passwd", account)? {
        None => {
            changes.next();
            let comment = record.comment();
            let arguments = [
                ["--uid", &number],
                ["--gid", &number],
                ["--comment", &comment],
                ["--home-dir", home],
                ["--shell", SHELL],
                // No password fits a star; unlike `!` it does not read as a locked account.
                ["--password", "*"],
            ];
            let flags = ["--system", "--no-create-home", "--no-user-group", "--no-log-init", account];
            done("/usr/sbin/useradd", &[arguments.as_flattened(), &flags].concat(), Reason::Host)?;
        }
        Some(line) if User::parse(&line).is_some_and(|user| user == User::of(record, home)) => {}
        Some(line) => return Err(not_ours("user", &line)),
    }
    if entry("shadow", account)?.is_none() {
        // A power cut came between /etc/passwd and /etc/shadow: setting an expiry that says never adds the line.
        changes.next();
        done("/usr/sbin/usermod", &["--expiredate", "", "--password", "*", account], Reason::Host)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_read_whole_or_not_at_all() {
        let home = "/srv/vertskommune/nord/ibestad";
        let line = "vk-ibestad:x:20000:20000:vertskommune nord/ibestad:/srv/vertskommune/nord/ibestad:/usr/sbin/nologin";
        let record = Record::new("nord", "ibestad", "vk-ibestad", 20_000);
        assert_eq!(User::parse(line), Some(User::of(&record, home)));
        for other in [
            line.replace("20000", "0"),
            line.replace("e nord", "e sor"),
            line.replace("/usr/sbin/nologin", "/bin/bash"),
            line.replace("/srv/vertskommune", "/root"),
            line.replace(":x:", ":"),
            String::new(),
        ] {
            assert_ne!(User::parse(&other), Some(User::of(&record, home)), "{other}");
        }
    }
}
