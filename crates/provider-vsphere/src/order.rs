//! What we have asked of a guest and still owe it, as it stands on the VM itself.
//!
//! A shutdown takes minutes, and a crash may come in between. The order is written before the guest is asked, so that a
//! server that went down on our word is always brought up again.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

/// How long a guest may take to shut down before it is asked again. To be asked twice harms no guest.
const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

/// How often it is asked, until a person must look: a quarter of an hour in all.
const ASKED: u32 = 45;

/// How long after it was last asked a guest that is still up is taken to stay so.
const SETTLED: SignedDuration = SignedDuration::from_mins(15);

/// An order that is not yet carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The guest was asked to shut down, to be started again afterwards.
    Restart(Asked),
    /// The guest was asked to shut down, to stay so.
    Retire(Asked),
    /// It is to be started; what it was down for is done.
    Start,
}

/// When and how often a guest was asked to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The last time.
    pub(crate) at: Timestamp,
    /// How often.
    pub(crate) times: u32,
}

/// Where a shutdown stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// The guest has not been asked for this.
    NotAsked,
    /// It was asked a short while ago.
    Pending,
    /// It was asked and may be asked again.
    Late,
    /// It was asked often enough: a person must look.
    Refused,
}

impl Order {
    /// Reads the order that stands on a VM. A text that is none is taken as a start that is owed, which harms nobody.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split_whitespace().collect();
        let asked = || Some(Asked { at: parts.get(1)?.parse().ok()?, times: parts.get(2)?.parse().ok()? });
        match parts.first().copied() {
            None => None,
            Some("restart") => asked().map(Self::Restart).or(Some(Self::Start)),
            Some("retire") => asked().map(Self::Retire).or(Some(Self::Start)),
            Some(_) => Some(Self::Start),
        }
    }

    /// How the shutdown that this order asked for stands while the VM is on. `heard` is whether the guest surely was
    /// asked: a process that ended between writing the order and asking leaves that open.
    pub(crate) fn shutdown(&self, now: Timestamp, heard: bool) -> Shutdown {
        match self {
            Self::Start => Shutdown::NotAsked,
            Self::Restart(asked) | Self::Retire(asked) => {
                let waited = now.duration_since(asked.at);
                match (heard && waited < PATIENCE, asked.times >= ASKED) {
                    (true, _) => Shutdown::Pending,
                    (false, false) => Shutdown::Late,
                    (false, true) => Shutdown::Refused,
                }
            }
        }
    }

    /// Whether a guest that is up will not go down on this order any more: then the order can be dropped. Dropped
    /// earlier, the guest might still go down, and nobody would owe it a start.
    pub(crate) fn is_settled(&self, now: Timestamp) -> bool {
        match self {
            Self::Start => true,
            Self::Restart(asked) | Self::Retire(asked) => now.duration_since(asked.at) >= SETTLED,
        }
    }

    /// How often the guest was asked.
    pub(crate) fn times(&self) -> u32 {
        match self {
            Self::Start => 0,
            Self::Restart(asked) | Self::Retire(asked) => asked.times,
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart(asked) => write!(f, "restart {} {}", asked.at, asked.times),
            Self::Retire(asked) => write!(f, "retire {} {}", asked.at, asked.times),
            Self::Start => f.write_str("start"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_back() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for order in
            [Order::Start, Order::Restart(Asked { at, times: 1 }), Order::Retire(Asked { at, times: 3 })]
        {
            assert_eq!(Order::read(&order.to_string()), Some(order));
        }
        assert_eq!(Order::read(""), None);
    }

    #[test]
    fn a_guest_is_asked_again_and_then_left_to_a_person() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = at + PATIENCE;
        for (times, now, shutdown) in
            [(1, at, Shutdown::Pending), (1, later, Shutdown::Late), (ASKED, later, Shutdown::Refused)]
        {
            assert_eq!(Order::Restart(Asked { at, times }).shutdown(now, true), shutdown);
        }
        assert_eq!(
            Order::Restart(Asked { at, times: 1 }).shutdown(at, false),
            Shutdown::Late,
            "after a crash"
        );
    }
}
