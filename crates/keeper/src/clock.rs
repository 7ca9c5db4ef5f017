//! Whether the clock can be believed. Who can turn it could make everything look old.

use jiff::{SignedDuration, Timestamp};

/// Clocks of two machines differ by less.
const APART: SignedDuration = SignedDuration::from_hours(1);

/// The keeper runs every hour; after a pause longer than a weekend a person looks before anything goes.
const PAUSE: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Why this host's clock is doubted, if it is: by the time of the last run.
pub(crate) fn jumped(now: Timestamp, last_run: Option<Timestamp>) -> Option<String> {
    let last = last_run?;
    let since = now.duration_since(last);
    if since < -APART {
        Some(format!("at {now:.0} by this host's clock the last run was at {last:.0}, which was yet to come"))
    } else if since > PAUSE {
        Some(format!("at {now:.0} by this host's clock the last run was at {last:.0}, which was long ago"))
    } else {
        None
    }
}

/// Why nothing can be counted, if it cannot: by the latest time that a snapshot carries. That time comes.
pub(crate) fn ahead(now: Timestamp, newest: Option<Timestamp>) -> Option<String> {
    let newest = newest.filter(|newest| newest.duration_since(now) > APART)?;
    Some(format!("a snapshot carries the time {newest:.0}, which is yet to come: set the clock right"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumped_is_doubted() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let now = at("2026-11-28T12:00:00Z").unwrap();
        for (last, doubted, why) in [
            (None, false, "the first run"),
            (at("2026-11-28T11:00:00Z"), false, "every hour"),
            (at("2026-11-26T12:00:00Z"), false, "off over a weekend"),
            (at("2026-11-29T12:00:00Z"), true, "a run of tomorrow"),
            (at("2026-11-24T12:00:00Z"), true, "days ahead, or a long holiday"),
        ] {
            assert_eq!(jumped(now, last).is_some(), doubted, "{why}");
        }
        for (newest, doubted, why) in [
            (None, false, "none yet"),
            (at("2026-11-28T12:30:00Z"), false, "the controller's clock is a little ahead"),
            (at("2026-11-29T12:00:00Z"), true, "a snapshot of tomorrow"),
        ] {
            assert_eq!(ahead(now, newest).is_some(), doubted, "{why}");
        }
    }
}
