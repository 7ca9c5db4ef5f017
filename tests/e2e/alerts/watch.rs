//! The stage's controller as it is scraped, and what Prometheus makes of it.

use vertskommune_tests::alerts::{Alerts, Case, Metrics};

use crate::stage::Stage;

/// The alerts, and what the controller answers.
pub(crate) struct Watch {
    pub(crate) alerts: Alerts,
    metrics: Metrics,
    /// What the controller answered when all was well.
    pub(crate) well: String,
}

impl Watch {
    /// Has the stage's controller answer `/metrics`.
    pub(crate) fn of(stage: &mut Stage) -> Option<Self> {
        let alerts = Alerts::of_the_lab()?;
        let mut watch = Self { alerts, metrics: Metrics::at_a_free_address(), well: String::new() };
        watch.restart(stage);
        Some(watch)
    }

    /// Starts the stage's controller anew, with all that it had counted forgotten. The address of the one that was killed may be taken
    /// for a moment yet.
    pub(crate) fn restart(&mut self, stage: &mut Stage) {
        self.metrics = Metrics::at_a_free_address();
        stage.restart_at(self.metrics.0);
    }

    /// What the controller answers, if it does.
    pub(crate) async fn scrape(&self) -> Option<String> {
        self.metrics.scrape().await
    }

    /// Asks until the controller tells all of this.
    pub(crate) async fn tells(&self, lines: &[&str]) -> String {
        self.metrics.tells(lines).await
    }

    pub(crate) async fn tells_that(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        self.metrics.tells_that(what, is).await
    }

    /// Fires these alerts and no others, after all was well.
    pub(crate) fn fires(&self, case: &Case<'_>) {
        self.alerts.fire(&self.well, case);
    }
}
