//! What has happened to a tenant, oldest first: the cluster's events, which live for an hour, and what its status keeps.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use vertskommune_core::render::Colour;

use crate::Tenant;
use crate::age::age;
use crate::conditions::cut;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Happening {
    /// When it did, the last time where it did so several times.
    pub at: Timestamp,
    /// What, as a CamelCase word.
    pub reason: String,
    /// Whether a person should know.
    pub warning: bool,
    /// The same for people.
    pub message: String,
    /// How often.
    pub count: i32,
    /// Where it is known from: `event` or `status`.
    pub from: &'static str,
}

/// Events together with what the status keeps, oldest first.
pub fn history(tenant: &Tenant, events: Vec<Happening>) -> Vec<Happening> {
    let mut all = events;
    all.extend(kept(tenant));
    all.sort();
    all.dedup();
    all
}

/// What the object itself tells of its past: since when each condition holds, and a few times.
fn kept(tenant: &Tenant) -> Vec<Happening> {
    let mut kept = Vec::new();
    let mut say = |at: Timestamp, reason: &str, warning, message: String| {
        kept.push(Happening { at, reason: reason.to_owned(), warning, message, count: 1, from: "status" });
    };
    if let Some(at) = &tenant.metadata.creation_timestamp {
        say(at.0, "Applied", false, "the manifest came".to_owned());
    }
    if let Some(at) = &tenant.metadata.deletion_timestamp {
        say(at.0, "Leaving", false, "the manifest is being deleted".to_owned());
    }
    let Some(status) = &tenant.status else { return kept };
    for condition in &status.conditions {
        let message = format!("{} is {}: {}", condition.type_, condition.status, condition.message);
        say(condition.last_transition_time.0, &condition.reason, false, message);
    }
    if let Some(at) = &status.last_changed {
        say(at.0, "LastChanged", false, "something was last done for it".to_owned());
    }
    if let Some(backup) = &status.backup {
        if let Some(at) = &backup.last_backup {
            say(at.0, "LastBackup", false, "the oldest of the last good backups began".to_owned());
        }
        if let Some(at) = &backup.last_proof {
            say(at.0, "LastProof", false, "the oldest of the last proofs was made".to_owned());
        }
    }
    kept
}

/// The most characters of a message in the text; `-o json` has all.
const MAX_MESSAGE: usize = 200;

/// The history for people, one line each.
pub fn text(happenings: &[Happening], now: Timestamp, colour: Colour) -> String {
    let mut out = String::new();
    let width = happenings.iter().map(|it| it.reason.chars().count()).max().unwrap_or_default();
    for it in happenings {
        let reason = format!("{:width$}", it.reason);
        let reason = if it.warning { colour.paint("33", &reason) } else { reason };
        let count = if it.count > 1 { format!(" (×{})", it.count) } else { String::new() };
        let message = cut(&it.message, MAX_MESSAGE);
        // Writing to a String does not fail.
        let _ = writeln!(out, "{:.0}  {:>6}  {reason}  {message}{count}", it.at, age(it.at, now));
    }
    out
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::conditions::{Conditions, READY};
    use crate::{TenantSpec, TenantStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn events_and_what_the_status_keeps_stand_in_their_order() {
        let mut tenant = Tenant::new("ibestad", TenantSpec::default());
        tenant.metadata.creation_timestamp = Some(Time(at(100)));
        let mut conditions = Conditions::new(&[], Some(1), at(300));
        conditions.set(READY, true, "Converged", "Converged");
        let status = TenantStatus { conditions: conditions.finish(), ..TenantStatus::default() };
        tenant.status = Some(status);
        let event = Happening {
            at: at(200),
            reason: "StepFailed".to_owned(),
            warning: true,
            message: "server/a: make: no room".to_owned(),
            count: 3,
            from: "event",
        };
        let history = history(&tenant, vec![event]);
        let expected = [
            "1970-01-01T00:01:40Z   3m40s  Applied     the manifest came",
            "1970-01-01T00:03:20Z      2m  StepFailed  server/a: make: no room (×3)",
            "1970-01-01T00:05:00Z     20s  Converged   Ready is True: Converged",
        ];
        assert_eq!(text(&history, at(320), Colour::Never).lines().collect::<Vec<_>>(), expected);
    }
}
