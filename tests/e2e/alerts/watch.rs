//! What is scraped of the controller, and what Prometheus makes of it.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use vertskommune_tests::lab::http_client;
use vertskommune_tests::replay::{Answer, Prometheus, Rule, Target, Time};

use crate::stage::{Stage, since};

/// How long anything may take before a test says that it never came.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long all is well before the cause, and how long the remedy may take to show.
const BEFORE: u32 = 1800;
const AFTER: u32 = 2700;
/// How long a cause is held beyond what the alert waits for.
const MARGIN: u32 = 600;
/// The times of the last look, which go on while an endpoint is seen.
pub(crate) const OBSERVED: &str = "vertskommune_endpoint_observed_timestamp_seconds";

/// What is known of the alerts and the controller so far.
pub(crate) struct Watch {
    prometheus: Prometheus,
    rules: Vec<Rule>,
    begun: Instant,
    address: SocketAddr,
    /// What the controller answered when all was well.
    pub(crate) well: String,
    fired: BTreeSet<String>,
    scrapes: Vec<String>,
}

/// What is the matter, for how long beyond what the alerts wait for, and what is answered when it is mended.
pub(crate) struct Case<'a> {
    /// The alerts that fire, and no others.
    pub(crate) alerts: &'a [&'a str],
    /// What the controllers answer meanwhile, the first being the one that was well before.
    pub(crate) cause: Vec<Option<String>>,
    /// Which metrics go on with the clock meanwhile.
    pub(crate) moving: &'a [&'static str],
    /// How many seconds more it is held.
    pub(crate) longer: u32,
    /// What is answered when it is mended.
    pub(crate) after: String,
}

impl Watch {
    /// Has the stage's controller answer `/metrics`.
    pub(crate) fn of(stage: &mut Stage) -> Option<Self> {
        let prometheus = Prometheus::of_the_lab()?;
        let rules = prometheus.rules().unwrap();
        let address = free_address();
        stage.restart_at(address);
        let (well, fired, scrapes) = (String::new(), BTreeSet::new(), Vec::new());
        Some(Self { prometheus, rules, begun: Instant::now(), address, well, fired, scrapes })
    }

    /// Starts the stage's controller anew, with all that it had counted forgotten. The address of the one that was killed may be taken
    /// for a moment yet.
    pub(crate) fn restart(&mut self, stage: &mut Stage) {
        self.address = free_address();
        stage.restart_at(self.address);
    }

    /// What the controller answers, if it does.
    pub(crate) async fn scrape(&self) -> Option<String> {
        let answer = http_client(None).unwrap().get(format!("http://{}/metrics", self.address)).send().await;
        answer.ok()?.text().await.ok()
    }

    /// Asks until the controller tells all of this, and keeps it.
    pub(crate) async fn tells(&mut self, lines: &[&str]) -> String {
        self.tells_that(&format!("{lines:?}"), |text| lines.iter().all(|line| text.contains(line))).await
    }

    pub(crate) async fn tells_that(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.scrape().await.unwrap_or_default();
            if is(&text) {
                self.scrapes.push(text.clone());
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "the controller never told {what}: {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks until all is well.
    pub(crate) async fn is_well(&mut self, lines: &[&str]) {
        self.well = self.tells(lines).await;
    }

    /// Keeps what was told in another way.
    pub(crate) fn keep(&mut self, text: &str) {
        self.scrapes.push(text.to_owned());
    }

    pub(crate) fn is_silent_while_all_is_well(&self) {
        let times = vec![time(6 * 3600, Some(&self.well), &[OBSERVED])];
        let answer = self.prometheus.replay(&[Target::new("a", times)], false).unwrap();
        assert!(answer.alerts.is_empty(), "nothing is even pending: {:#?}", answer.alerts);
    }

    /// Whether this is silent for so long, after all was well.
    pub(crate) fn is_silent(&self, before: &str, cause: &str, seconds: u32) {
        let times = vec![time(BEFORE, Some(before), &[OBSERVED]), time(seconds, Some(cause), &[OBSERVED])];
        let answer = self.prometheus.replay(&[Target::new("a", times)], false).unwrap();
        assert_eq!(answer.firing(0, u32::MAX), BTreeSet::new(), "{cause}");
    }

    /// Silent before, exactly these alerts at the cause, silent again after the remedy.
    pub(crate) fn fires(&mut self, case: &Case<'_>) {
        let begun = Instant::now();
        let rule =
            |name: &&str| self.rules.iter().find(|rule| rule.alert == *name).expect("an alert of the file");
        let hold = case.alerts.iter().map(|name| rule(name).for_seconds).max().unwrap_or_default();
        let hold = hold + case.longer + MARGIN;
        let mut targets = Vec::new();
        for (index, cause) in case.cause.iter().enumerate() {
            let mut times = Vec::new();
            if index == 0 {
                times.push(time(BEFORE, Some(&self.well), &[OBSERVED]));
            } else {
                times.push(time(BEFORE, Some(""), &[]));
            }
            times.push(time(hold, cause.as_deref(), case.moving));
            if index == 0 {
                times.push(time(AFTER, Some(&case.after), &[OBSERVED]));
            }
            targets.push(Target::new(&format!("controller-{index}"), times));
        }
        let answer = self.prometheus.replay(&targets, false).unwrap();
        let nothing = BTreeSet::new();
        let expected: BTreeSet<&str> = case.alerts.iter().copied().collect();
        assert_eq!(answer.firing(0, BEFORE), nothing, "before: {:#?}", answer.alerts);
        assert_eq!(answer.firing(BEFORE, BEFORE + hold), expected, "{:#?}", answer.alerts);
        let end = BEFORE + hold + AFTER;
        assert_eq!(answer.firing(end - 300, end), nothing, "after: {:#?}", answer.alerts);
        are_for_people(&answer, &expected);
        let (replay, story) = (since(begun), since(self.begun));
        println!(
            "alerts: {expected:?} fire within {hold} s and clear, replayed in {replay}, {story} from the start"
        );
        self.fired.extend(case.alerts.iter().map(ToString::to_string));
    }

    /// Every alert has fired, every metric that is asked for exists, and every question of the dashboard finds something.
    pub(crate) fn has_seen_all(&self) {
        let all: BTreeSet<String> = self.rules.iter().map(|rule| rule.alert.clone()).collect();
        assert_eq!(self.fired, all, "each alert is made to fire");
        let begun = Instant::now();
        let times = self.scrapes.iter().map(|text| time(600, Some(text), &[])).collect();
        let answer = self.prometheus.replay(&[Target::new("a", times)], true).unwrap();
        let exists = |metric: &String| metric == "up" || answer.metrics.contains(metric);
        for rule in &self.rules {
            assert!(rule.metrics.iter().all(exists), "{}: {:?}", rule.alert, rule.metrics);
        }
        let queries = answer.queries.unwrap();
        for query in &queries {
            assert!(query.metrics.iter().all(exists), "{}: {:?}", query.panel, query.metrics);
            assert!(query.series > 0, "{} finds nothing: {}", query.panel, query.expr);
        }
        let (alerts, scrapes) = (all.len(), self.scrapes.len());
        println!(
            "alerts: {alerts} fired; {} questions of the dashboard find something in {scrapes} scrapes, {}",
            queries.len(),
            since(begun)
        );
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

/// An address that nobody listens at.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
