//! Which runs are kept. The rule has restic's meaning of last, hourly, daily, weekly, monthly and yearly, on the clock of
//! the schedule, and guards around it that no rule can lift.
//!
//! `tests/retention.rs` holds it to what restic itself decides.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::zone::Zone;

/// What is younger than this is always kept: a mistake, or an intruder, is noticed by then.
pub const YOUNG: SignedDuration = SignedDuration::from_hours(48);

/// How many runs are kept, of each server. Where all are zero, everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retention {
    /// The last so many.
    pub last: u32,
    /// The last of each hour, for so many hours that have one.
    pub hourly: u32,
    /// The last of each day, likewise.
    pub daily: u32,
    /// The last of each week (ISO 8601: from Monday).
    pub weekly: u32,
    /// The last of each month.
    pub monthly: u32,
    /// The last of each year.
    pub yearly: u32,
}

impl Retention {
    /// Whether it says nothing, so that everything is kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// All that decides what is kept of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// How many runs.
    pub retention: Retention,
    /// By whose clock days are counted.
    pub time_zone: Zone,
    /// How long everything is kept of a tenant that has left.
    pub keep_after_exit: SignedDuration,
    /// When the tenant left; none while it is here.
    pub left_at: Option<Timestamp>,
}

/// One run of one server, as it lies in the repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// The server.
    pub server: String,
    /// The run's id.
    pub id: String,
    /// When it began.
    pub begun: Timestamp,
    /// Whether it is whole, with the server's configuration. What is not is no backup.
    pub whole: bool,
}

/// Why a run is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// It is the last good one of its server, which may be gone.
    LastGood,
    /// It is younger than [`YOUNG`], or a clock says that it is yet to come.
    Young,
    /// The tenant has left, not long ago.
    AfterExit,
    /// There is no rule.
    NoRule,
    /// It is among the last.
    Last,
    /// The last of an hour.
    Hourly,
    /// The last of a day.
    Daily,
    /// The last of a week.
    Weekly,
    /// The last of a month.
    Monthly,
    /// The last of a year.
    Yearly,
}

/// The runs that are kept, each with all its reasons. What is not in it may be forgotten.
pub type Kept<'a> = BTreeMap<&'a Run, BTreeSet<Why>>;

/// Decides which of these runs are kept. They are all runs of one tenant's repository, in any order.
pub fn keep<'a>(runs: impl IntoIterator<Item = &'a Run>, rules: &Rules, now: Timestamp) -> Kept<'a> {
    let mut kept = Kept::new();
    let mut good: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    let young = now.checked_sub(YOUNG).unwrap_or(Timestamp::MIN);
    let stays = rules.left_at.map(|left| left.checked_add(rules.keep_after_exit).unwrap_or(Timestamp::MAX));
    for run in runs {
        let mut note = |why| kept.entry(run).or_default().insert(why);
        if run.begun > young {
            note(Why::Young);
        }
        if stays.is_some_and(|until| now < until) {
            note(Why::AfterExit);
        }
        if run.whole {
            good.entry(&run.server).or_default().push(run);
        }
    }
    for mut runs in good.into_values() {
        // The newest first; of two that began together always the same.
        runs.sort_by(|a, b| (b.begun, &b.id).cmp(&(a.begun, &a.id)));
        for (run, why) in
            runs.first().map(|run| (*run, Why::LastGood)).into_iter().chain(by_rule(&runs, rules))
        {
            kept.entry(run).or_default().insert(why);
        }
    }
    kept
}

/// The hour, day or other span that a moment lies in.
type SpanOf = fn(DateTime) -> (i16, i16, i16);

/// What the rule keeps of one server's good runs, which stand from the newest to the oldest: of each hour, day and so on
/// the last, until there are enough of them. Spans without a run do not count.
fn by_rule<'a>(runs: &[&'a Run], rules: &Rules) -> Vec<(&'a Run, Why)> {
    let Retention { last, hourly, daily, weekly, monthly, yearly } = rules.retention;
    if rules.retention.is_empty() {
        return runs.iter().map(|run| (*run, Why::NoRule)).collect();
    }
    let mut kept: Vec<(&Run, Why)> = Vec::new();
    let first = usize::try_from(last).unwrap_or(usize::MAX);
    kept.extend(runs.iter().take(first).map(|run| (*run, Why::Last)));
    let spans: [(u32, Why, SpanOf); 5] = [
        (hourly, Why::Hourly, |at| (at.year(), at.date().day_of_year(), at.hour().into())),
        (daily, Why::Daily, |at| (at.year(), at.date().day_of_year(), 0)),
        (weekly, Why::Weekly, |at| {
            let week = at.date().iso_week_date();
            (week.year(), week.week().into(), 0)
        }),
        (monthly, Why::Monthly, |at| (at.year(), at.month().into(), 0)),
        (yearly, Why::Yearly, |at| (at.year(), 0, 0)),
    ];
    for (count, why, span_of) in spans {
        let (mut left, mut before) = (count, None);
        for run in runs {
            let span = Some(span_of(run.begun.to_zoned(rules.time_zone.time_zone().clone()).datetime()));
            if left > 0 && span != before {
                kept.push((run, why));
                before = span;
                left -= 1;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{at, hours, oslo};
    use super::*;

    fn rules(retention: Retention) -> Rules {
        Rules { retention, time_zone: oslo(), keep_after_exit: hours(90 * 24), left_at: None }
    }

    fn run(server: &str, begun: &str, whole: bool) -> Run {
        Run { server: server.to_owned(), id: begun.to_owned(), begun: at(begun), whole }
    }

    fn kept(runs: &[Run], rules: &Rules, now: &str) -> Vec<String> {
        keep(runs, rules, at(now)).keys().map(|run| format!("{} {:.0}", run.server, run.begun)).collect()
    }

    #[test]
    fn no_rule_lifts_a_guard() {
        let one = rules(Retention { last: 1, ..Retention::default() });
        let runs = [
            run("fs01", "2026-11-20T22:00:00Z", true),
            run("fs01", "2026-11-21T22:00:00Z", true),
            run("fs01", "2026-11-22T22:00:00Z", false),
            run("gone", "2025-01-01T22:00:00Z", true),
            run("gone", "2025-01-02T22:00:00Z", false),
            run("half", "2025-01-02T22:00:00Z", false),
        ];
        let (last, second) = ("fs01 2026-11-21T22:00:00Z", "fs01 2026-11-20T22:00:00Z");
        let (cut, gone) = ("fs01 2026-11-22T22:00:00Z", "gone 2025-01-01T22:00:00Z");
        for (now, expected, reason) in [
            ("2026-11-30T12:00:00Z", vec![last, gone], "the last good run of each, even of one that is gone"),
            ("2026-11-24T21:00:00Z", vec![last, cut, gone], "what is young, whole or not"),
            ("2026-11-22T12:00:00Z", vec![second, last, cut, gone], "and what a clock has put in the future"),
        ] {
            assert_eq!(kept(&runs, &one, now), expected, "{reason}");
        }
        let left = Rules { left_at: Some(at("2026-11-01T00:00:00Z")), ..one };
        assert_eq!(
            kept(&runs, &left, "2027-01-29T23:59:59Z").len(),
            runs.len(),
            "all of one that has just left"
        );
        assert_eq!(
            kept(&runs, &left, "2027-01-30T00:00:00Z"),
            [last, gone],
            "and after that the last of each"
        );
        assert_eq!(
            kept(&runs, &rules(Retention::default()), "2030-01-01T00:00:00Z"),
            [second, last, gone],
            "no rule"
        );
    }

    fn some_runs() -> impl Strategy<Value = Vec<Run>> {
        let run = (0..3_u8, 0..2_000_000_i64, prop::bool::weighted(0.8));
        prop::collection::vec(run, 0..60).prop_map(|runs| {
            let run = |(number, (server, minute, whole)): (usize, (u8, i64, bool))| Run {
                server: format!("server-{server}"),
                id: number.to_string(),
                begun: at("2023-01-01T00:00:00Z") + SignedDuration::from_mins(minute),
                whole,
            };
            runs.into_iter().enumerate().map(run).collect()
        })
    }

    prop_compose! {
        fn some_rule()(last in 0..4_u32, hourly in 0..4_u32, daily in 0..9_u32, weekly in 0..6_u32, monthly in 0..6_u32, yearly in 0..4_u32) -> Retention {
            Retention { last, hourly, daily, weekly, monthly, yearly }
        }
    }

    proptest! {
        #[test]
        fn whatever_the_rule_nothing_is_lost_that_must_not_be(
            runs in some_runs(),
            retention in some_rule(),
            hour in 0..40_000_i64,
            left in prop::option::of(0..40_000_i64),
        ) {
            let after = |count| at("2023-01-01T00:00:00Z") + hours(count);
            let (now, mut rules) = (after(hour), rules(retention));
            rules.left_at = left.map(after);
            let kept = keep(&runs, &rules, now);
            for run in &runs {
                let newer = |it: &Run| it.server == run.server && it.whole && (it.begun, &it.id) > (run.begun, &run.id);
                let must = run.begun > now - YOUNG
                    || (run.whole && !runs.iter().any(newer))
                    || rules.left_at.is_some_and(|left| now < left + rules.keep_after_exit);
                prop_assert!(!must || kept.contains_key(run), "{run:?}");
            }
            // What is kept is kept the next time as well, so that half a retention is finished by the next.
            let again = keep(kept.keys().copied(), &rules, now);
            prop_assert_eq!(again.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
        }

        #[test]
        fn a_later_hour_keeps_no_more(runs in some_runs(), retention in some_rule(), hour in 0..40_000_i64) {
            let (now, rules) = (at("2023-01-01T00:00:00Z") + hours(hour), rules(retention));
            let (before, after) = (keep(&runs, &rules, now), keep(&runs, &rules, now + hours(1)));
            prop_assert!(after.keys().all(|run| before.contains_key(run)));
        }
    }
}
