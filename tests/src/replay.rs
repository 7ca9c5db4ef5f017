//! Alerts as Prometheus would raise them: what controllers have answered at `/metrics`, replayed over hours by Prometheus' own code.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::estate::in_tree;
use crate::lab::bin;

/// The file of rules that the chart takes.
const RULES: &str = "deploy/chart/files/alerts.yaml";
/// The dashboard that the chart takes.
const DASHBOARD: &str = "deploy/chart/files/dashboard.json";

/// The lab's program.
pub struct Prometheus(PathBuf);

/// An alert as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name.
    pub alert: String,
    /// Its expression.
    pub expr: String,
    /// How long it is pending before it fires, in seconds.
    pub for_seconds: u32,
    /// How far its expression looks back, in seconds.
    pub longest_look_seconds: u32,
    /// Its own labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, as templates.
    pub annotations: BTreeMap<String, String>,
    /// The metrics that it reads.
    pub metrics: Vec<String>,
}

/// A process that is scraped.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    labels: BTreeMap<&'static str, String>,
    times: Vec<Time>,
}

/// A while in which it goes on answering the same; nothing where it does not answer.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// How long.
    pub seconds: u32,
    /// What it answers.
    pub text: Option<String>,
    /// The metrics that go on with the clock meanwhile.
    pub moving: Vec<&'static str>,
}

/// What came of a replay.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Every alert that was ever pending.
    pub alerts: Vec<Alert>,
    /// The questions of the dashboard.
    #[serde(default)]
    pub queries: Option<Vec<Query>>,
    /// All metrics that were ever there.
    pub metrics: BTreeSet<String>,
}

/// One alert by its labels.
#[derive(Debug, Deserialize)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations as people get them.
    pub annotations: BTreeMap<String, String>,
    spans: Vec<Span>,
}

#[derive(Debug, Deserialize)]
struct Span {
    state: String,
    from: f64,
    to: f64,
}

/// A question of the dashboard.
#[derive(Debug, Deserialize)]
pub struct Query {
    /// The panel that asks it.
    pub panel: String,
    /// The expression.
    pub expr: String,
    /// The metrics that it reads.
    pub metrics: Vec<String>,
    /// The most series that it gave at once.
    pub series: usize,
}

impl Target {
    /// A controller under this name.
    #[must_use]
    pub fn new(name: &str, times: Vec<Time>) -> Self {
        let labels = [("job", "vertskommune"), ("namespace", "vertskommune-system"), ("pod", name)];
        let mut labels: BTreeMap<_, _> = labels.map(|(label, value)| (label, value.to_owned())).into();
        labels.insert("instance", format!("{name}:8080"));
        Self { labels, times }
    }
}

impl Answer {
    /// The names of the alerts that fire at some time within these seconds.
    pub fn firing(&self, from: u32, to: u32) -> BTreeSet<&str> {
        let fires = |alert: &&Alert| {
            let mut spans = alert.spans.iter().filter(|span| span.state == "firing");
            spans.any(|span| span.from < f64::from(to) && span.to > f64::from(from))
        };
        self.alerts.iter().filter(fires).map(|alert| alert.name.as_str()).collect()
    }
}

impl Prometheus {
    /// The lab's, or `None` where there is none. In CI nothing may be skipped.
    ///
    /// # Panics
    /// Where it would have to be skipped in CI.
    pub fn of_the_lab() -> Option<Self> {
        bin().map(|bin| Self(bin.join("prometheus-replay")))
    }

    /// The alerts, which have been checked as strictly as promtool does.
    ///
    /// # Errors
    /// With all that is wrong with them.
    pub fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        Ok(serde_json::from_slice(&self.run(&["rules", &in_tree(RULES)], &[])?)?)
    }

    /// Replays what was answered, from now on.
    ///
    /// # Errors
    /// Where something in it is not understood.
    pub fn replay(&self, targets: &[Target], dashboard: bool) -> anyhow::Result<Answer> {
        let dashboard = if dashboard { in_tree(DASHBOARD) } else { String::new() };
        let order = json!({
            "rules": in_tree(RULES), "dashboard": dashboard, "start": Timestamp::now().as_second(), "targets": targets,
        });
        Ok(serde_json::from_slice(&self.run(&["replay"], order.to_string().as_bytes())?)?)
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut program = Command::new(&self.0);
        program.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().with_context(|| format!("{} is not built", self.0.display()))?;
        child.stdin.take().context("its input")?.write_all(input)?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }
}
