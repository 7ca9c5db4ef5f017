//! Conditions by the conventions of the ecosystem (kstatus), and the rules that every status is held against.
//!
//! `Ready` is always there. `Reconciling` and `Stalled` are there only while true, and never together, so that
//! `kubectl wait`, Flux's `wait: true` and Argo CD's health work as they are:
//! <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use vertskommune_core::reason::Reason;

pub mod check;
pub mod standing;

/// All that is ours to do is done.
pub const READY: &str = "Ready";
/// All servers are as the manifest says, but for what waits for a window or a word.
pub const SERVERS_READY: &str = "ServersReady";
/// All of the firewall is as the manifest says; there only where the manifest has one.
pub const FIREWALL_READY: &str = "FirewallReady";
/// What backup needs stands: accounts, repository and a schedule that fits; there only where the manifest asks for it.
pub const BACKUP_READY: &str = "BackupReady";
/// Every server has a fresh, proven backup in another room; there only where the manifest asks for backup.
pub const PROTECTED: &str = "Protected";
/// The trust with the host's directory stands on both sides and works; there only where the manifest asks for one.
pub const DIRECTORY_READY: &str = "DirectoryReady";
/// All of it is done, the tenant's own side too.
pub const ONBOARDED: &str = "Onboarded";
/// Reality is as the manifest says, nothing waits and nothing is only shown.
pub const UP_TO_DATE: &str = "UpToDate";
/// Something is being done or tried again.
pub const RECONCILING: &str = "Reconciling";
/// Nothing goes on until a person changes something.
pub const STALLED: &str = "Stalled";

/// The most characters of a condition's message: room for a dozen violations at once.
pub const MAX_MESSAGE: usize = 2048;

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
}

impl Truth {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<&Condition> for Truth {
    fn from(said: &Condition) -> Self {
        match said.status.as_str() {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// The conditions of one object while they are made anew, from what was said before and what is seen now.
#[derive(Clone, Debug)]
pub struct Conditions<'a> {
    previous: &'a [Condition],
    generation: Option<i64>,
    now: Timestamp,
    made: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// None yet. `previous` tells since when each holds.
    pub fn new(previous: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { previous, generation, now, made: Vec::new() }
    }

    /// Says what holds of `kind`. `lastTransitionTime` changes only with the status.
    ///
    /// # Panics
    /// In debug builds where `reason` is no CamelCase word.
    pub fn set(&mut self, kind: &str, truth: impl Into<Truth>, reason: &str, message: &str) {
        debug_assert!(check::is_reason(reason), "{reason:?} is no CamelCase word");
        let status = truth.into().as_str();
        let before =
            self.previous.iter().find(|condition| condition.type_ == kind && condition.status == status);
        let since =
            before.map_or_else(|| whole_second(self.now), |condition| condition.last_transition_time.clone());
        self.made.retain(|condition| condition.type_ != kind);
        self.made.push(Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: cut(message, MAX_MESSAGE),
            observed_generation: self.generation,
            last_transition_time: since,
        });
    }

    /// Something is being done or tried again. Takes `Stalled` away.
    pub fn reconciling(&mut self, reason: &str, message: &str) {
        self.made.retain(|condition| condition.type_ != STALLED);
        self.set(RECONCILING, true, reason, message);
    }

    /// Nothing goes on until a person changes something. Takes `Reconciling` away.
    pub fn stalled(&mut self, reason: &str, message: &str) {
        self.made.retain(|condition| condition.type_ != RECONCILING);
        self.set(STALLED, true, reason, message);
    }

    /// The conditions, `Ready` first and the others by name. A `Ready` that nobody set is Unknown.
    pub fn finish(mut self) -> Vec<Condition> {
        if !self.made.iter().any(|condition| condition.type_ == READY) {
            self.set(READY, Truth::Unknown, Reason::Pending.word(), "Not looked at yet");
        }
        self.made.sort_by(|a, b| (a.type_ != READY, &a.type_).cmp(&(b.type_ != READY, &b.type_)));
        self.made
    }
}

/// The condition of that kind.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of that kind is there and true.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// The text in one line of at most `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let kept: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A time as the API server keeps it, so that what is read back equals what was written.
pub(crate) fn whole_second(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_changes_only_with_the_status() {
        let mut first = Conditions::new(&[], Some(1), at(100));
        first.set(READY, false, "Progressing", "Cloning a");
        let first = first.finish();
        for (holds, expected, reason) in [(false, 100, "another message"), (true, 200, "another status")] {
            let mut next = Conditions::new(&first, Some(2), at(200));
            next.set(READY, holds, "Converged", "b");
            let next = next.finish();
            assert_eq!(next[0].last_transition_time.0, at(expected), "{reason}");
            assert_eq!(next[0].observed_generation, Some(2), "{reason}");
        }
    }

    #[test]
    fn ready_is_always_there_and_first() {
        let mut conditions = Conditions::new(&[], Some(1), at(0));
        conditions.reconciling("Progressing", "Cloning a");
        let made = conditions.finish();
        assert_eq!((made[0].type_.as_str(), made[0].status.as_str()), (READY, "Unknown"));
        check::all(&made, Some(1));
    }

    #[test]
    fn reconciling_and_stalled_exclude_each_other() {
        let mut conditions = Conditions::new(&[], Some(1), at(0));
        conditions.reconciling("Progressing", "Cloning a");
        conditions.stalled("Refused", "The manifest is refused");
        assert!(!is_true(&conditions.made, RECONCILING) && is_true(&conditions.made, STALLED));
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        for (text, most, expected) in [
            ("Dyrøy", 5, "Dyrøy"),
            ("Dyrøy kommune", 4, "Dyr…"),
            ("øøøøøø", 3, "øø…"),
            ("two\n lines", 20, "two lines"),
            ("anything", 0, "…"),
        ] {
            assert_eq!(cut(text, most), expected, "{text:?} to {most}");
        }
    }
}
