//! When a configuration revision is saved: before a tenant's change, and not before each of its writes.
//!
//! A revision holds the whole device, so one serves all tenants that were not written to since. Saving one writes the
//! device's flash, which keeps but a few: the rule is such that there are never more than six an hour, however many
//! tenants change. It is kept in memory alone; after a restart one more is saved.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use vertskommune_core::names::TenantName;
use vertskommune_core::step::Step;

use super::REVISIONS;
use crate::Fortigate;
use crate::client::{Error, Writer};

/// A tenant that was not written to for so long begins another change.
const QUIET: Duration = Duration::from_mins(10);
/// After so long, a revision may have made room for others, and people have changed what it says.
const FRESH: Duration = Duration::from_hours(1);
/// The most characters of a comment.
const COMMENT: usize = 127;

/// What the rule needs to know.
#[derive(Default)]
pub(crate) struct Keeping {
    /// When one was saved last, or tried.
    last: Option<Instant>,
    /// When each tenant was written to last, of those that were since then.
    written: BTreeMap<TenantName, Instant>,
    /// Why none can be saved, as it was last said.
    said: Option<String>,
}

impl Keeping {
    /// Whether a revision is to be saved before this tenant is written to.
    fn is_due(&self, tenant: &TenantName, now: Instant) -> bool {
        let Some(last) = self.last else { return true };
        match self.written.get(tenant) {
            // The last one is from before this tenant's last change; unless that is still going on, it is not enough.
            Some(at) => now.duration_since(*at) >= QUIET,
            None => now.duration_since(last) >= FRESH,
        }
    }

    fn saved(&mut self, now: Instant) {
        self.last = Some(now);
        self.written.clear();
    }
}

impl Fortigate {
    /// To be called before each write for a tenant: saves a revision where one is due.
    ///
    /// A device that has no room for any, or an API user without the right, is said once and holds up nothing. Any other
    /// error is one of the write that would have followed.
    pub(crate) async fn keep_record(&self, writer: &Writer<'_>, step: &Step) -> Result<(), Error> {
        let tenant = &step.resource.tenant;
        // Held while it is saved: who comes next must not write before.
        let mut keeping = self.keeping.lock().await;
        let now = Instant::now();
        if keeping.is_due(tenant, now) {
            let comment = format!("vertskommune {}/{tenant} {}", self.installation, step.id().short());
            let comment: String = comment.chars().take(COMMENT).collect();
            match writer.save_revision(REVISIONS, &comment).await {
                Ok(()) => keeping.said = None,
                Err(
                    error @ (Error::Right(_)
                    | Error::NotFound
                    | Error::Missing(_)
                    | Error::Full(_)
                    | Error::Refused { .. }),
                ) => {
                    let why = error.to_string();
                    if keeping.said.as_ref() != Some(&why) {
                        tracing::warn!(provider = %self.host.name, why, "no configuration revision can be saved");
                        keeping.said = Some(why);
                    }
                }
                Err(error) => return Err(error),
            }
            keeping.saved(now);
        }
        keeping.written.insert(tenant.clone(), now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_revision_serves_many_and_a_change_is_one() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_mins(minutes);
        let mut keeping = Keeping::default();
        let mut due = Vec::new();
        for (minute, tenant, expected, why) in [
            (0, "a", true, "the first of all"),
            (1, "b", false, "that one has b as it was"),
            (9, "a", false, "the same change"),
            (18, "a", false, "it still goes on"),
            (28, "a", true, "another change"),
            (29, "b", false, "that one has b as it was"),
            (60, "c", false, "the same"),
            (69, "c", false, "the same change"),
            (88, "d", true, "never written to, and the last one is old"),
            (98, "b", false, "that one has b as it was"),
        ] {
            let tenant = TenantName::from(tenant);
            let is_due = keeping.is_due(&tenant, at(minute));
            assert_eq!(is_due, expected, "{why}");
            if is_due {
                due.push(minute);
                keeping.saved(at(minute));
            }
            keeping.written.insert(tenant, at(minute));
        }
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] >= 10));
    }

    #[test]
    fn a_thousand_tenants_at_once_cost_six_an_hour() {
        let start = Instant::now();
        let mut keeping = Keeping::default();
        let mut saved = 0;
        for second in 0..3600_u64 {
            let (tenant, now) =
                (TenantName::from(format!("t{}", second * 7 % 1000)), start + Duration::from_secs(second));
            if keeping.is_due(&tenant, now) {
                saved += 1;
                keeping.saved(now);
            }
            keeping.written.insert(tenant, now);
        }
        assert!(saved <= 6, "{saved}");
    }
}
