//! Alerts as tests make them: each is silent while all is well, fires when its cause is made with real peers and held for as long as it
//! asks for, and is silent again after the remedy that its runbook names. Prometheus' own code judges what controllers have answered; only
//! its clock is counted, since some alerts wait for days.
//!
//! What has fired and what was answered are files in `target/seen`, so that `--test seen` finds at the end of `make test` what was not.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::lab::http_client;
use crate::replay::{Answer, Prometheus, Rule, Target, Time};
use crate::seen;

/// How long anything may take before a test says that it never came.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long all is well before the cause, and how long the remedy may take to show.
const BEFORE: u32 = 1800;
const AFTER: u32 = 2700;
/// How long a cause is held beyond what the alert waits for.
const MARGIN: u32 = 600;
/// The times of the last look, which go on while an endpoint is seen.
pub const OBSERVED: &str = "vertskommune_endpoint_observed_timestamp_seconds";

/// Where a controller answers `/metrics`.
#[derive(Clone, Copy, Debug)]
pub struct Metrics(pub SocketAddr);

impl Metrics {
    /// An address that nobody listens at.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn at_a_free_address() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        Self(address.unwrap_or_else(|error| panic!("a free port: {error}")))
    }

    /// What the controller answers, if it does.
    ///
    /// # Panics
    /// Where no client can be had.
    pub async fn scrape(&self) -> Option<String> {
        let client = http_client(None).unwrap_or_else(|error| panic!("{error:#}"));
        client.get(format!("http://{}/metrics", self.0)).send().await.ok()?.text().await.ok()
    }

    /// Asks until the controller tells all of this.
    ///
    /// # Panics
    /// Where it never does.
    pub async fn tells(&self, lines: &[&str]) -> String {
        self.tells_that(&format!("{lines:?}"), |text| lines.iter().all(|line| text.contains(line))).await
    }

    /// Asks until what the controller tells is so.
    ///
    /// # Panics
    /// Where it never is.
    pub async fn tells_that(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.scrape().await.unwrap_or_default();
            if is(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "the controller never told {what}: {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What is told of one tenant and of none, as if there were no other.
#[must_use]
pub fn without_others(text: &str, tenant: &str) -> String {
    let its = format!("{{tenant=\"{tenant}\"");
    let is_its = |line: &&str| !line.contains("{tenant=\"") || line.contains(&its);
    text.split_inclusive('\n').filter(is_its).collect()
}

/// The alerts of the chart, before Prometheus.
pub struct Alerts {
    prometheus: Prometheus,
    rules: Vec<Rule>,
}

/// What is the matter, for how long beyond what the alerts wait for, and what is answered when it is mended.
pub struct Case<'a> {
    /// The alerts that fire, and no others.
    pub alerts: &'a [&'a str],
    /// What the controllers answer meanwhile, the first being the one that was well before.
    pub cause: Vec<Option<String>>,
    /// Which metrics go on with the clock meanwhile.
    pub moving: &'a [&'static str],
    /// How many seconds more it is held.
    pub longer: u32,
    /// What is answered when it is mended.
    pub after: String,
}

impl<'a> Case<'a> {
    /// One whose endpoints are all seen.
    #[must_use]
    pub fn of(alerts: &'a [&'a str], cause: String, after: String) -> Self {
        Self { alerts, cause: vec![Some(cause)], moving: &[OBSERVED], longer: 0, after }
    }
}

impl Alerts {
    /// The lab's, or `None` where there is none.
    ///
    /// # Panics
    /// Where the alerts are not as they should be.
    #[must_use]
    pub fn of_the_lab() -> Option<Self> {
        let prometheus = Prometheus::of_the_lab()?;
        let rules = prometheus.rules().unwrap_or_else(|error| panic!("{error:#}"));
        Some(Self { prometheus, rules })
    }

    /// Silent for so long, with nothing even pending.
    ///
    /// # Panics
    /// Where something is.
    pub fn are_silent_while_all_is_well(&self, well: &str) {
        let answer = self.replay(&[Target::new("a", vec![time(6 * 3600, Some(well), &[OBSERVED])])]);
        assert!(answer.alerts.is_empty(), "nothing is even pending: {:#?}", answer.alerts);
    }

    /// Silent for so many seconds of this, after all was well.
    ///
    /// # Panics
    /// Where one fires.
    pub fn are_silent(&self, before: &str, cause: &str, seconds: u32) {
        let times = vec![time(BEFORE, Some(before), &[OBSERVED]), time(seconds, Some(cause), &[OBSERVED])];
        let answer = self.replay(&[Target::new("a", times)]);
        assert_eq!(answer.firing(0, u32::MAX), BTreeSet::new(), "{cause}");
    }

    /// Silent before, while this was answered, exactly these alerts at the cause, silent again after the remedy.
    ///
    /// # Panics
    /// Where it is otherwise.
    pub fn fire(&self, before: &str, case: &Case<'_>) {
        let begun = Instant::now();
        let for_seconds = |name: &&str| {
            let rule = self.rules.iter().find(|rule| rule.alert == *name);
            rule.unwrap_or_else(|| panic!("there is no alert {name}")).for_seconds
        };
        let hold = case.alerts.iter().map(for_seconds).max().unwrap_or_default() + case.longer + MARGIN;
        let mut targets = Vec::new();
        for (index, cause) in case.cause.iter().enumerate() {
            let mut times = Vec::new();
            if index == 0 {
                times.push(time(BEFORE, Some(before), &[OBSERVED]));
            } else {
                times.push(time(BEFORE, Some(""), &[]));
            }
            times.push(time(hold, cause.as_deref(), case.moving));
            if index == 0 {
                times.push(time(AFTER, Some(&case.after), &[OBSERVED]));
            }
            targets.push(Target::new(&format!("controller-{index}"), times));
        }
        let answer = self.replay(&targets);
        let nothing = BTreeSet::new();
        let expected: BTreeSet<&str> = case.alerts.iter().copied().collect();
        assert_eq!(answer.firing(0, BEFORE), nothing, "before: {:#?}", answer.alerts);
        assert_eq!(answer.firing(BEFORE, BEFORE + hold), expected, "{:#?}", answer.alerts);
        let end = BEFORE + hold + AFTER;
        assert_eq!(answer.firing(end - 300, end), nothing, "after: {:#?}", answer.alerts);
        are_for_people(&answer, &expected);
        let texts = case.cause.iter().flatten().map(String::as_str);
        for text in texts.chain([before, &case.after]).filter(|text| !text.is_empty()) {
            seen::write_down("scrapes", &hash(text), text);
        }
        case.alerts.iter().for_each(|alert| seen::write_down_who("alerts", alert));
        println!(
            "alerts: {expected:?} fire within {hold} s and clear, replayed in {:.1} s",
            begun.elapsed().as_secs_f64()
        );
    }

    /// Every alert has fired, every metric that is asked for exists, and every question of the dashboard finds something, in all that the
    /// tests have written down.
    ///
    /// # Panics
    /// Where one has not.
    pub fn were_all_seen(&self) {
        let all: BTreeSet<&str> = self.rules.iter().map(|rule| rule.alert.as_str()).collect();
        let fired = seen::all("alerts");
        let missing: Vec<_> = all.iter().filter(|alert| !fired.contains_key(**alert)).collect();
        assert!(missing.is_empty(), "no test of this run has seen {missing:?} fire and clear (target/seen)");
        let scrapes = seen::all("scrapes");
        let times = scrapes.values().map(|text| time(600, Some(text), &[])).collect();
        let answer = self.prometheus.replay(&[Target::new("a", times)], true);
        let answer = answer.unwrap_or_else(|error| panic!("{error:#}"));
        let exists = |metric: &String| metric == "up" || answer.metrics.contains(metric);
        for rule in &self.rules {
            assert!(rule.metrics.iter().all(exists), "{}: {:?}", rule.alert, rule.metrics);
        }
        let queries = answer.queries.unwrap_or_default();
        for query in &queries {
            assert!(query.metrics.iter().all(exists), "{}: {:?}", query.panel, query.metrics);
            assert!(query.series > 0, "{} finds nothing: {}", query.panel, query.expr);
        }
        assert!(!queries.is_empty(), "the dashboard asks nothing");
        let (alerts, questions, scrapes) = (all.len(), queries.len(), scrapes.len());
        println!(
            "alerts: all {alerts} have fired and cleared; {questions} questions of the dashboard find something in {scrapes} scrapes"
        );
    }

    fn replay(&self, targets: &[Target]) -> Answer {
        self.prometheus.replay(targets, false).unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// What people get is whole, and says what to do.
fn are_for_people(answer: &Answer, fired: &BTreeSet<&str>) {
    for alert in answer.alerts.iter().filter(|alert| fired.contains(alert.name.as_str())) {
        for (name, text) in &alert.annotations {
            let broken = ["<error", "<no value>", "{{", "  "].iter().any(|it| text.contains(it));
            assert!(!broken && !text.is_empty(), "{} {name}: {text}", alert.name);
        }
        let about = ["tenant", "provider"].iter().find_map(|label| alert.labels.get(*label));
        if let Some(about) = about {
            assert!(alert.annotations["summary"].contains(about), "{:?}", alert.annotations);
            assert!(alert.annotations["description"].contains(about), "{:?}", alert.annotations);
        }
    }
}

/// A while in which a controller answers that.
fn time(seconds: u32, text: Option<&str>, moving: &[&'static str]) -> Time {
    // Nothing at all is an answer too.
    let text = text.map(|text| if text.is_empty() { "# EOF\n".to_owned() } else { text.to_owned() });
    Time { seconds, text, moving: moving.to_vec() }
}

fn hash(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
