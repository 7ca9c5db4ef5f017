//! Locks: who holds them, and which are surely nobody's any more.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::child::Input;
use crate::error::Error;
use crate::output::Output;
use crate::repository::{Bounds, Repository};

/// A living restic refreshes its lock every five minutes; one of this age is nobody's.
pub const STALE_AFTER: Duration = Duration::from_secs(30 * 60);

/// A lock, as it lies in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lock {
    /// Its id, the name of its file.
    #[serde(skip)]
    pub id: String,
    /// When it was last refreshed, by its holder's clock.
    pub time: Timestamp,
    /// Whether it excludes all others.
    #[serde(default)]
    pub exclusive: bool,
    /// The holder's host.
    #[serde(default)]
    pub hostname: String,
    /// The holder's account.
    #[serde(default)]
    pub username: String,
    /// The holder's process.
    #[serde(default)]
    pub pid: u32,
}

impl Lock {
    /// Whether its holder is surely gone: it was not refreshed for half an hour.
    ///
    /// restic itself also takes a lock for stale whose host has its own host's name and whose process is not there. Two
    /// containers of one name would so remove each other's: a controller's host name must be its own, as a pod's is.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let stale = i64::try_from(STALE_AFTER.as_secs()).unwrap_or(i64::MAX);
        now.as_second().saturating_sub(self.time.as_second()) > stale
    }
}

/// Who holds a lock, as restic tells it to one who is shut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Whether the lock excludes all others.
    pub exclusive: bool,
    /// The process.
    pub pid: u32,
    /// The host.
    pub host: String,
    /// The account.
    pub user: String,
    /// Since when, as restic writes it.
    pub since: String,
}

impl Holder {
    /// Reads `repository is already locked exclusively by PID 9902 on vm by root (UID 0, GID 0); lock was created at …`.
    pub(crate) fn of(said: &str) -> Option<Self> {
        let (_, rest) = said.split_once("repository is already locked ")?;
        let (exclusive, rest) = match rest.strip_prefix("exclusively ") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let mut words = rest.strip_prefix("by PID ")?.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        let host = words.nth(1)?.to_owned();
        let user = words.nth(1)?.to_owned();
        let since = rest.split_once("lock was created at ").map(|(_, rest)| rest);
        let since = since.and_then(|rest| rest.split(" (").next()).unwrap_or("an unknown time").to_owned();
        Some(Self { exclusive, pid, host, user, since })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, host, user, since, .. } = self;
        write!(f, "by process {pid} of {user} on {host} since {since}")
    }
}

impl Repository {
    /// The locks. Takes none itself. One that goes meanwhile is not among them.
    pub async fn locks(&self, bounds: &Bounds) -> Result<Vec<Lock>, Error> {
        let mut ids = Vec::new();
        let mut hear = |line: &[u8]| {
            if line.len() == 64 && line.iter().all(u8::is_ascii_hexdigit) {
                ids.push(String::from_utf8_lossy(line).into_owned());
            }
        };
        let arguments = ["list", "locks", "--no-lock", "--quiet"];
        self.call(arguments, Input::Nothing, Output::Lines(&mut hear), bounds).await?;
        let mut locks = Vec::new();
        for id in ids {
            // restic tries for a minute to read what is gone.
            let soon =
                Bounds { within: bounds.within.min(Duration::from_secs(5)), cancel: bounds.cancel.clone() };
            let arguments = ["cat", "lock", &id, "--no-lock", "--quiet"].map(ToOwned::to_owned);
            match self.ask::<Lock>(arguments, &soon).await {
                Ok(lock) => locks.push(Lock { id, ..lock }),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(
                    Error::TimedOut { .. }
                    | Error::Failed { .. }
                    | Error::Damaged(_)
                    | Error::NotFound { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(locks)
    }

    /// Removes the locks that restic itself takes for stale, and no others. For a caller who has looked at them
    /// ([`Repository::locks`], [`Lock::is_stale`]) and knows that no living process of this host's name is elsewhere.
    pub async fn unlock(&self, bounds: &Bounds) -> Result<(), Error> {
        self.call(["unlock"], Input::Nothing, Output::Words, bounds).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_is_read() {
        let said = "unable to create lock in backend: repository is already locked exclusively by PID 42 on room-2 by vk-ibestad (UID 1001, GID 1001); lock was created at 2026-11-28 07:07:57 (2.5s ago); storage ID 81314fc7";
        let holder = Holder::of(said).unwrap();
        let expected = "by process 42 of vk-ibestad on room-2 since 2026-11-28 07:07:57";
        assert_eq!((holder.exclusive, holder.to_string().as_str()), (true, expected));
        assert_eq!(Holder::of("Fatal: wrong password"), None);
    }

    #[test]
    fn a_lock_is_stale_after_half_an_hour() {
        let text = r#"{"time":"2026-11-28T07:00:00.5+01:00","exclusive":true,"hostname":"vm","username":"root","pid":7}"#;
        let lock: Lock = serde_json::from_str(text).unwrap();
        for (now, stale) in
            [("2026-11-28T06:30:00Z", false), ("2026-11-28T06:30:01Z", true), ("2026-11-27T00:00:00Z", false)]
        {
            assert_eq!(lock.is_stale(now.parse().unwrap()), stale, "{now}");
        }
    }
}
