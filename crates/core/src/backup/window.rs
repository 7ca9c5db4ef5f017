//! When a tenant's turn is: each night once, within its window, and not all tenants at the same time.

use std::fmt;

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::zone::Zone;
use crate::names::{Installation, TenantName};

/// The shortest window: less is no room for a turn.
const SHORTEST: SignedDuration = SignedDuration::from_mins(10);
/// The longest window: backups are taken once a day.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// The hours of each day in which backups are taken. It may cross midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Window {
    start: Time,
    duration: SignedDuration,
    zone: Zone,
}

impl Window {
    /// A window that opens each day at `start` on the clocks of `zone`.
    ///
    /// # Errors
    /// It is too short or too long.
    pub fn new(start: Time, duration: SignedDuration, zone: Zone) -> Result<Self, WindowError> {
        if !(SHORTEST..=LONGEST).contains(&duration) {
            return Err(WindowError::Duration);
        }
        Ok(Self { start, duration, zone })
    }

    /// Hours and minutes as people write them: `22:00`.
    ///
    /// # Errors
    /// It is something else.
    pub fn time_of_day(text: &str) -> Result<Time, WindowError> {
        let wrong = || WindowError::Start(text.to_owned());
        let plain = text.len() == 5 && text.bytes().all(|c| c.is_ascii_digit() || c == b':');
        let (hour, minute) = text.split_once(':').filter(|_| plain).ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<i8>().map_err(|_| wrong());
        Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| wrong())
    }

    /// How long it stays open.
    pub fn duration(&self) -> SignedDuration {
        self.duration
    }

    /// The time zone of its clock, by which retention counts days as well.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether the other is open only while this one is.
    pub fn holds(&self, other: &Self) -> bool {
        let later = other.start.duration_since(self.start).as_secs().rem_euclid(LONGEST.as_secs());
        let ends =
            SignedDuration::from_secs(later).checked_add(other.duration).unwrap_or(SignedDuration::MAX);
        self.duration >= LONGEST || (self.zone == other.zone && ends <= self.duration)
    }

    /// When it opens on this day. An hour that the clocks skip is the one after, and of one that they repeat the first
    /// counts, so that each day has one opening.
    fn opens(&self, date: Date) -> Option<Timestamp> {
        Some(date.to_datetime(self.start).to_zoned(self.zone.time_zone().clone()).ok()?.timestamp())
    }
}

/// Why a window cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowError {
    /// The start is no time of day.
    Start(String),
    /// It is shorter or longer than it may be.
    Duration,
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(text) => {
                write!(f, "{text:?} is no time of day: write hours and minutes, such as \"22:00\"")
            }
            Self::Duration => write!(f, "a window lasts at least 10m and at most 24h: write such as 8h"),
        }
    }
}

impl std::error::Error for WindowError {}

/// A window as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    start: Time,
    duration: SignedDuration,
    time_zone: Zone,
}

impl TryFrom<Written> for Window {
    type Error = WindowError;

    fn try_from(written: Written) -> Result<Self, WindowError> {
        Self::new(written.start, written.duration, written.time_zone)
    }
}

impl From<Window> for Written {
    fn from(window: Window) -> Self {
        Self { start: window.start, duration: window.duration, time_zone: window.zone }
    }
}

/// One tenant's turn on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When the window opens.
    pub opens: Timestamp,
    /// When the tenant's own turn begins.
    pub begins: Timestamp,
    /// When the window closes. A turn that was missed until then waits for the next day.
    pub closes: Timestamp,
}

/// The turns of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    window: Window,
    spread: SignedDuration,
}

impl Schedule {
    /// The turns of this tenant in this window. They begin within the first half of it, each tenant's always at the same
    /// time: told by the hash of its name, so that all are spread evenly and nobody has to remember anything.
    pub fn new(window: &Window, installation: &Installation, tenant: &TenantName) -> Self {
        let hash = Sha256::digest(format!("{installation}/{tenant}"));
        let place = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let half = u128::from(window.duration.as_secs().unsigned_abs() / 2);
        let seconds = i64::try_from((u128::from(place) * half) >> 64).unwrap_or_default();
        Self { window: window.clone(), spread: SignedDuration::from_secs(seconds) }
    }

    /// How long after the window's opening the tenant's turn begins.
    pub fn spread(&self) -> SignedDuration {
        self.spread
    }

    /// How long its turn may last: until the window closes.
    pub fn room(&self) -> SignedDuration {
        self.window.duration - self.spread
    }

    /// The turn that is now; none before its beginning and after the window has closed.
    pub fn turn(&self, now: Timestamp) -> Option<Turn> {
        self.around(now).filter(|turn| turn.begins <= now && now < turn.closes).max_by_key(|turn| turn.begins)
    }

    /// The first turn that begins after `now`.
    pub fn next(&self, now: Timestamp) -> Option<Turn> {
        self.around(now).filter(|turn| turn.begins > now).min_by_key(|turn| turn.begins)
    }

    /// Whether a backup is to begin: it is the tenant's turn, and none of those that have begun belongs to this night.
    ///
    /// One of them may be enough (an `Option` is a list too). Whether a run that failed counts is for the caller to say.
    /// One that a wrong clock has put in the future says nothing of this night.
    pub fn is_due(&self, begun: impl IntoIterator<Item = Timestamp>, now: Timestamp) -> bool {
        self.turn(now).is_some_and(|turn| !begun.into_iter().any(|begun| (turn.opens..=now).contains(&begun)))
    }

    /// The turns of the days around a moment. A window lasts a day at most, and the clocks of a zone that moved over the
    /// date line have skipped one more.
    fn around(&self, now: Timestamp) -> impl Iterator<Item = Turn> {
        let today = now.to_zoned(self.window.zone.time_zone().clone()).date();
        (-3..=3).filter_map(move |days| self.on(today.checked_add(Span::new().days(days)).ok()?))
    }

    fn on(&self, date: Date) -> Option<Turn> {
        let opens = self.window.opens(date)?;
        let begins = opens.checked_add(self.spread).ok()?;
        Some(Turn { opens, begins, closes: opens.checked_add(self.window.duration).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{at, hours, window};
    use super::*;

    #[test]
    fn a_window_holds_what_lies_within_it() {
        let night = window("22:00", hours(8));
        for (start, duration, held) in [
            ("22:00", 8, true),
            ("23:30", 6, true),
            ("00:00", 6, true),
            ("00:00", 7, false),
            ("21:00", 2, false),
            ("10:00", 2, false),
        ] {
            assert_eq!(night.holds(&window(start, hours(duration))), held, "{start} {duration}");
        }
        assert!(window("12:00", hours(24)).holds(&night) && !night.holds(&window("12:00", hours(24))));
        let elsewhere = Window::new(night.start, night.duration, Zone::named("Asia/Tokyo").unwrap()).unwrap();
        assert!(!night.holds(&elsewhere));
    }

    fn schedule(start: &str, duration: SignedDuration, tenant: &str) -> Schedule {
        Schedule::new(&window(start, duration), &"nord".into(), &tenant.into())
    }

    /// One whose turn begins as the window opens.
    fn sharp(start: &str, duration: SignedDuration) -> Schedule {
        Schedule { window: window(start, duration), spread: SignedDuration::ZERO }
    }

    #[test]
    fn a_turn_begins_with_the_spread_and_ends_with_the_window() {
        let mut schedule = sharp("22:00", hours(8));
        schedule.spread = SignedDuration::from_mins(90);
        let tonight = Some(at("2026-11-24T22:30:00Z"));
        for (now, begun, due, reason) in [
            ("2026-11-24T21:00:00Z", None, false, "the window opens, others go first"),
            ("2026-11-24T22:29:59Z", None, false, "a second before"),
            ("2026-11-24T22:30:00Z", None, true, "its turn"),
            ("2026-11-24T23:00:00Z", tonight, false, "it has begun"),
            ("2026-11-24T23:00:00Z", Some(at("2026-11-23T22:30:00Z")), true, "yesterday's does not count"),
            ("2026-11-24T23:00:00Z", Some(at("2026-11-24T21:10:00Z")), false, "somebody was early tonight"),
            ("2026-11-24T23:00:00Z", Some(at("2026-11-25T22:30:00Z")), true, "a clock was a day ahead"),
            ("2026-11-25T02:00:00Z", None, true, "past midnight"),
            ("2026-11-25T04:59:59Z", None, true, "the last second"),
            ("2026-11-25T05:00:00Z", None, false, "missed: it waits for the next day"),
        ] {
            assert_eq!(schedule.is_due(begun, at(now)), due, "{reason}");
        }
        for (now, next, reason) in [
            ("2026-11-24T12:00:00Z", "2026-11-24T22:30:00Z", "tonight"),
            ("2026-11-24T22:30:00Z", "2026-11-25T22:30:00Z", "after the one that is now"),
            ("2026-11-25T06:00:00Z", "2026-11-25T22:30:00Z", "after one that was missed"),
        ] {
            assert_eq!(schedule.next(at(now)).unwrap().begins, at(next), "{reason}");
        }
    }

    #[test]
    fn a_change_of_the_clocks_neither_skips_nor_doubles_a_turn() {
        let nights = sharp("02:30", hours(1));
        for (now, begins, reason) in [
            ("2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z", "02:30 does not exist that night: it is 03:30"),
            ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "02:30 comes twice: the first counts"),
            ("2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z", "and the second does not"),
        ] {
            assert_eq!(nights.next(at(now)).unwrap().begins, at(begins), "{reason}");
        }
        assert!(!nights.is_due(None, at("2026-10-25T01:45:00Z")), "the second 02:45 of that night");
        let long = sharp("22:00", hours(8)).next(at("2026-10-24T12:00:00Z")).unwrap();
        assert_eq!(long.closes.duration_since(long.opens), hours(8), "eight hours are eight");
    }

    #[test]
    fn tenants_are_spread_evenly_over_the_first_half() {
        let mut tenths = [0; 10];
        for number in 0..2000 {
            let schedule = schedule("22:00", hours(8), &format!("tenant-{number}"));
            let tenth = schedule.spread().as_secs() * 10 / hours(4).as_secs();
            tenths[usize::try_from(tenth).unwrap()] += 1;
            assert_eq!(schedule.room() + schedule.spread(), hours(8));
        }
        assert!(tenths.iter().all(|count| (150..250).contains(count)), "{tenths:?}");
        let elsewhere = Schedule::new(&window("22:00", hours(8)), &"south".into(), &"ibestad".into());
        let here = schedule("22:00", hours(8), "ibestad");
        assert_ne!(here.spread(), elsewhere.spread(), "two installations do not begin together");
        assert_eq!(here, schedule("22:00", hours(8), "ibestad"), "always the same");
    }

    #[test]
    fn what_is_wrong_with_a_window_is_said() {
        for text in ["", "22", "22:0", "24:00", "22:60", "+2:00", "22:00:00", "10 pm", "٢٢:٠٠"] {
            let error = Window::time_of_day(text).unwrap_err();
            assert!(error.to_string().contains("is no time of day"), "{error}");
        }
        let (start, zone) = (Window::time_of_day("00:00").unwrap(), Zone::named("Europe/Oslo").unwrap());
        for minutes in [0, 9, 24 * 60 + 1] {
            let made = Window::new(start, SignedDuration::from_mins(minutes), zone.clone());
            assert_eq!(made, Err(WindowError::Duration), "{minutes} minutes");
        }
    }

    const ZONES: [&str; 6] = [
        "Europe/Oslo",
        "UTC",
        "America/New_York",
        "Australia/Lord_Howe", // half an hour of summer time
        "Pacific/Apia",        // skipped the 30th of December 2011
        "Africa/Casablanca",
    ];

    proptest! {
        #[test]
        fn a_tenant_that_is_looked_at_all_the_time_is_backed_up_once_a_day(
            from in 1_293_840_000_i64..1_830_297_600, // 2011 to 2027
            minute in 0..24 * 60_i64,
            duration in 60..=24 * 60_i64,
            zone in prop::sample::select(&ZONES[..]),
            tenant in "[a-z]{3,8}",
        ) {
            let zone = Zone::named(zone).unwrap();
            let start = Time::midnight().checked_add(Span::new().minutes(minute)).unwrap();
            let window = Window::new(start, SignedDuration::from_mins(duration), zone).unwrap();
            let schedule = Schedule::new(&window, &"nord".into(), &tenant.as_str().into());
            let mut now = Timestamp::from_second(from).unwrap();
            let mut begun: Vec<Timestamp> = Vec::new();
            for _ in 0..4 * 24 * 7 {
                if schedule.is_due(begun.last().copied(), now) {
                    begun.push(now);
                }
                now += SignedDuration::from_mins(15);
            }
            // A week has seven nights, and the one in the middle of which we came.
            prop_assert!((6..=9).contains(&begun.len()), "{begun:?}");
            for pair in begun[1..].windows(2) {
                let apart = pair[1].duration_since(pair[0]);
                prop_assert!((hours(22)..=hours(26)).contains(&apart), "{begun:?}");
            }
        }

        #[test]
        fn the_next_turn_is_the_first_that_becomes_due(from in 1_293_840_000_i64..1_830_297_600, zone in prop::sample::select(&ZONES[..])) {
            let zone = Zone::named(zone).unwrap();
            let window = Window::new(Time::constant(2, 30, 0, 0), hours(5), zone).unwrap();
            let schedule = Schedule::new(&window, &"nord".into(), &"ibestad".into());
            let now = Timestamp::from_second(from).unwrap();
            let next = schedule.next(now).unwrap();
            prop_assert!(next.begins > now && schedule.is_due(None, next.begins));
            prop_assert!(next.opens <= next.begins && next.begins < next.closes);
            let before = next.begins - SignedDuration::from_secs(1);
            prop_assert!(schedule.turn(before).is_none_or(|turn| turn.begins <= now));
        }
    }
}
