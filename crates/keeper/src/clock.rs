//! Whether the clock can be believed. Who can turn it could make everything look old.

use jiff::{SignedDuration, Timestamp};

/// Clocks of two machines differ by less.
const APART: SignedDuration = SignedDuration::from_hours(1);

/// The keeper runs every day; after a longer pause a person may want to look before anything goes.
const PAUSE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why retention waits, if it does. `newest` is the latest time that a snapshot carries.
pub(crate) fn doubt(
    now: Timestamp,
    last_run: Option<Timestamp>,
    newest: Option<Timestamp>,
) -> Option<String> {
    if let Some(newest) = newest.filter(|newest| newest.duration_since(now) > APART) {
        return Some(format!(
            "a snapshot carries the time {newest:.0}, which is yet to come: set the clock right"
        ));
    }
    let since = now.duration_since(last_run?);
    if since < -APART {
        Some(format!("the last run was at {:.0}, which is yet to come: set the clock right", last_run?))
    } else if since > PAUSE {
        Some(format!("the last run was at {:.0}: if the clock is right, the next run goes on", last_run?))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumped_is_doubted() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let now = at("2026-11-28T12:00:00Z").unwrap();
        for (last, newest, doubted, why) in [
            (None, None, false, "the first run"),
            (at("2026-11-27T12:00:00Z"), at("2026-11-28T11:00:00Z"), false, "every day"),
            (
                at("2026-11-27T12:00:00Z"),
                at("2026-11-28T12:30:00Z"),
                false,
                "the controller's clock is a little ahead",
            ),
            (at("2026-11-27T12:00:00Z"), at("2026-11-29T12:00:00Z"), true, "a snapshot of tomorrow"),
            (at("2026-11-29T12:00:00Z"), None, true, "a run of tomorrow"),
            (at("2026-10-27T12:00:00Z"), None, true, "a month ahead, or a long holiday"),
        ] {
            assert_eq!(doubt(now, last, newest).is_some(), doubted, "{why}");
        }
    }
}
