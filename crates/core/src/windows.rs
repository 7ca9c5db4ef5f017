//! Maintenance windows: when work that interrupts a service may be done.
//!
//! A window opens by a cron schedule in a time zone of its own and stays open for a duration; a freeze closes all
//! windows on its dates. No window at all means that such work waits for a word (`restartBefore`).

use std::fmt;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How many openings are looked at for one that no freeze covers, before the answer is "never".
const OPENINGS_TRIED: usize = 1000;

/// The windows and freezes of one tenant or one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// When work may be done.
    pub windows: Vec<Window>,
    /// When it may not, whatever the windows say.
    pub freezes: Vec<Freeze>,
}

/// A time that comes again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WindowText", into = "WindowText")]
pub struct Window {
    schedule: String,
    duration: SignedDuration,
    zone: TimeZone,
    opens: Crontab,
}

/// The parsed schedule. Equal texts are equal schedules.
#[derive(Clone, Debug)]
struct Crontab(Box<cronexpr::Crontab>);

impl PartialEq for Crontab {
    fn eq(&self, _: &Self) -> bool {
        true // decided by the text beside it
    }
}

impl Eq for Crontab {}

/// A run of days without any maintenance, in the time zone of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// The first day.
    pub from: Date,
    /// The last day, itself frozen.
    pub until: Date,
}

/// Whether work may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Now, and until then.
    Open {
        /// When the window closes.
        until: Timestamp,
    },
    /// Not before then.
    Opens {
        /// When the next window opens.
        at: Timestamp,
    },
    /// There is no window.
    Never,
}

impl Window {
    /// A window that opens at `schedule` (five fields of cron) in `time_zone` (an IANA name) for `duration`.
    ///
    /// # Errors
    /// Says which of the three is wrong, and why.
    pub fn new(schedule: &str, duration: SignedDuration, time_zone: &str) -> Result<Self, WindowError> {
        // The database that is compiled in: what the machine has installed must not change a plan.
        let zone = TimeZoneDatabase::bundled()
            .get(time_zone)
            .map_err(|_| WindowError::TimeZone(time_zone.to_owned()))?;
        if duration <= SignedDuration::ZERO || duration > SignedDuration::from_hours(7 * 24) {
            return Err(WindowError::Duration);
        }
        let opens = cronexpr::parse_crontab(&format!("{schedule} UTC")).map_err(|error| {
            WindowError::Schedule { schedule: schedule.to_owned(), why: one_line(&error) }
        })?;
        Ok(Self { schedule: schedule.to_owned(), duration, zone, opens: Crontab(Box::new(opens)) })
    }

    /// The last opening at or before `now` that is still open.
    fn open_since(&self, now: Timestamp) -> Option<Timestamp> {
        let mut found = None;
        let mut from = now.checked_sub(self.duration).ok()?;
        while let Some(opening) = self.next(from).filter(|opening| *opening <= now) {
            found = Some(opening);
            from = opening;
        }
        found
    }

    /// The first opening after `from`. The schedule is read on a clock without time zone; what it shows is then
    /// understood in ours, so that an hour that a change to summer time skips or repeats is one opening.
    fn next(&self, from: Timestamp) -> Option<Timestamp> {
        let mut clock = from.to_zoned(self.zone.clone()).datetime();
        loop {
            let unzoned = clock.to_zoned(TimeZone::UTC).ok()?.timestamp();
            clock = self.opens.0.find_next(unzoned).ok()?.datetime();
            let opening = clock.to_zoned(self.zone.clone()).ok()?.timestamp();
            if opening > from {
                return Some(opening);
            }
        }
    }

    fn frozen(&self, at: Timestamp, freezes: &[Freeze]) -> bool {
        let date = at.to_zoned(self.zone.clone()).date();
        freezes.iter().any(|freeze| (freeze.from..=freeze.until).contains(&date))
    }

    fn opening(&self, now: Timestamp, freezes: &[Freeze]) -> Opening {
        if let Some(until) = self.open_since(now).and_then(|since| since.checked_add(self.duration).ok())
            && until > now
            && !self.frozen(now, freezes)
        {
            return Opening::Open { until };
        }
        let mut from = now;
        for _ in 0..OPENINGS_TRIED {
            let Some(next) = self.next(from) else { return Opening::Never };
            from = next;
            if !self.frozen(from, freezes) {
                return Opening::Opens { at: from };
            }
        }
        Opening::Never
    }
}

impl Maintenance {
    /// Whether work may begin at `now`; of several windows the most generous answer.
    pub fn opening(&self, now: Timestamp) -> Opening {
        self.windows
            .iter()
            .map(|window| window.opening(now, &self.freezes))
            .fold(Opening::Never, Opening::best)
    }

    /// The windows and freezes of both together: any window of either, no day that either has frozen.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            windows: self.windows.iter().chain(&other.windows).cloned().collect(),
            freezes: self.freezes.iter().chain(&other.freezes).copied().collect(),
        }
    }
}

impl Opening {
    fn best(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open { until: a }, Self::Open { until: b }) => Self::Open { until: a.max(b) },
            (open @ Self::Open { .. }, _) | (_, open @ Self::Open { .. }) => open,
            (Self::Opens { at: a }, Self::Opens { at: b }) => Self::Opens { at: a.min(b) },
            (opens @ Self::Opens { .. }, Self::Never) | (Self::Never, opens) => opens,
        }
    }
}

/// Why a window cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowError {
    /// The schedule is no cron expression of five fields.
    Schedule {
        /// The schedule as written.
        schedule: String,
        /// What the parser says of it.
        why: String,
    },
    /// The duration is not between nothing and a week.
    Duration,
    /// The time zone is not an IANA name.
    TimeZone(String),
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedule { schedule, why } => write!(
                f,
                "{schedule:?} is no schedule: write five fields of cron, such as \"0 22 * * TUE\" ({why})"
            ),
            Self::Duration => write!(f, "a window lasts longer than nothing and at most a week, such as 4h"),
            Self::TimeZone(zone) => {
                write!(f, "{zone:?} is no time zone: write an IANA name, such as Europe/Oslo")
            }
        }
    }
}

impl std::error::Error for WindowError {}

fn one_line(error: &impl ToString) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A window as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WindowText {
    schedule: String,
    duration: SignedDuration,
    time_zone: String,
}

impl TryFrom<WindowText> for Window {
    type Error = WindowError;

    fn try_from(text: WindowText) -> Result<Self, WindowError> {
        Self::new(&text.schedule, text.duration, &text.time_zone)
    }
}

impl From<Window> for WindowText {
    fn from(window: Window) -> Self {
        Self {
            schedule: window.schedule,
            duration: window.duration,
            time_zone: window.zone.iana_name().unwrap_or("UTC").to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maintenance(schedule: &str, hours: i64, freezes: &[(&str, &str)]) -> Maintenance {
        let window = Window::new(schedule, SignedDuration::from_hours(hours), "Europe/Oslo").unwrap();
        let freeze = |(from, until): &(&str, &str)| Freeze {
            from: from.parse().unwrap(),
            until: until.parse().unwrap(),
        };
        Maintenance { windows: vec![window], freezes: freezes.iter().map(freeze).collect() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_opens_and_closes_in_its_own_time_zone() {
        // 2026-11-24 is a Tuesday; Oslo is an hour ahead of UTC in winter.
        let tuesdays = maintenance("0 22 * * TUE", 4, &[]);
        for (now, expected, reason) in [
            ("2026-11-24T20:59:59Z", Opening::Opens { at: at("2026-11-24T21:00:00Z") }, "a second before"),
            ("2026-11-24T21:00:00Z", Opening::Open { until: at("2026-11-25T01:00:00Z") }, "as it opens"),
            ("2026-11-25T00:59:59Z", Opening::Open { until: at("2026-11-25T01:00:00Z") }, "past midnight"),
            ("2026-11-25T01:00:00Z", Opening::Opens { at: at("2026-12-01T21:00:00Z") }, "as it closes"),
        ] {
            assert_eq!(tuesdays.opening(at(now)), expected, "{reason}");
        }
    }

    #[test]
    fn a_change_of_the_clocks_neither_skips_nor_doubles_a_window() {
        let nights = maintenance("30 2 * * *", 1, &[]);
        for (now, expected, reason) in [
            ("2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z", "02:30 does not exist that night: it is 03:30"),
            ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "02:30 comes twice: the first counts"),
            ("2026-10-25T02:00:00Z", "2026-10-26T01:30:00Z", "and the second does not"),
        ] {
            assert_eq!(nights.opening(at(now)), Opening::Opens { at: at(expected) }, "{reason}");
        }
    }

    #[test]
    fn a_freeze_closes_every_window_on_its_days() {
        let frozen = maintenance("0 22 * * *", 4, &[("2026-12-20", "2027-01-03")]);
        assert_eq!(
            frozen.opening(at("2026-12-24T22:00:00Z")),
            Opening::Opens { at: at("2027-01-04T21:00:00Z") }
        );
    }

    #[test]
    fn no_window_is_never_and_two_are_the_better_one() {
        assert_eq!(Maintenance::default().opening(at("2026-11-24T21:00:00Z")), Opening::Never);
        let both = maintenance("0 22 * * TUE", 4, &[]).with(&maintenance("0 3 * * *", 1, &[]));
        assert_eq!(
            both.opening(at("2026-11-24T12:00:00Z")),
            Opening::Opens { at: at("2026-11-24T21:00:00Z") }
        );
    }

    #[test]
    fn what_is_wrong_with_a_window_is_said() {
        for (schedule, hours, zone, expected) in [
            ("whenever", 4, "Europe/Oslo", "is no schedule"),
            ("0 22 * * *", 0, "Europe/Oslo", "longer than nothing"),
            ("0 22 * * *", 4, "Oslo", "is no time zone"),
        ] {
            let error = Window::new(schedule, SignedDuration::from_hours(hours), zone).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
