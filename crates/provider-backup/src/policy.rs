//! What the keeper is to keep: as fields of the repository, and as the agent's protocol has it.

use jiff::SignedDuration;
use second_room::protocol::{Policy, Retention};
use serde_json::{Value as Json, json};
use vertskommune_core::backup::{self, Mode};

use crate::schema::field::POLICY;

/// The fields of the policy that a manifest asks for; none where another product takes the backups.
pub(crate) fn wanted(backup: &backup::Backup) -> Option<Vec<(String, Json)>> {
    let Mode::Managed { window, retention } = &backup.mode else { return None };
    let backup::Retention { last, hourly, daily, weekly, monthly, yearly } = *retention;
    Some(fields(&Policy {
        retention: Retention { last, hourly, daily, weekly, monthly, yearly },
        time_zone: window.zone().name().to_owned(),
        keep_after_exit: backup.keep_after_exit,
        left_at: None,
    }))
}

/// A policy as fields, without when the tenant left.
pub(crate) fn fields(policy: &Policy) -> Vec<(String, Json)> {
    let Retention { last, hourly, daily, weekly, monthly, yearly } = policy.retention;
    let fields = [
        ("last", json!(last)),
        ("hourly", json!(hourly)),
        ("daily", json!(daily)),
        ("weekly", json!(weekly)),
        ("monthly", json!(monthly)),
        ("yearly", json!(yearly)),
        ("timeZone", json!(policy.time_zone)),
        ("keepAfterExit", json!(policy.keep_after_exit)),
    ];
    fields.into_iter().map(|(name, value)| (format!("{POLICY}{name}"), value)).collect()
}

/// The policy of these fields. What is not among them is as it is where nobody has said anything: everything is kept.
pub(crate) fn read<'a>(field: impl Fn(&str) -> Option<&'a Json>) -> Option<Policy> {
    let field = |name: &str| field(&format!("{POLICY}{name}"));
    let number = |name: &str| match field(name) {
        Some(value) => value.as_u64().and_then(|value| u32::try_from(value).ok()),
        None => Some(0),
    };
    let keep = field("keepAfterExit")
        .map_or(Some(SignedDuration::ZERO), |it| serde_json::from_value(it.clone()).ok());
    Some(Policy {
        retention: Retention {
            last: number("last")?,
            hourly: number("hourly")?,
            daily: number("daily")?,
            weekly: number("weekly")?,
            monthly: number("monthly")?,
            yearly: number("yearly")?,
        },
        time_zone: field("timeZone").map_or(Some("UTC"), Json::as_str)?.to_owned(),
        keep_after_exit: keep?,
        left_at: None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::tenant;

    #[test]
    fn what_is_asked_for_is_what_the_keeper_reads() {
        let backup = tenant().backup.unwrap();
        let fields: BTreeMap<String, Json> = wanted(&backup).unwrap().into_iter().collect();
        let policy = read(|name| fields.get(name)).unwrap();
        assert_eq!(policy.retention.daily, 7);
        // The agent writes its form, the keeper reads its own.
        let written = serde_json::to_vec(&policy).unwrap();
        let theirs: keeper::Policy = serde_json::from_slice(&written).unwrap();
        let Mode::Managed { window, retention } = &backup.mode else { panic!("{backup:?}") };
        assert_eq!(theirs.retention, *retention);
        assert_eq!(theirs.time_zone, window.zone().name());
        assert_eq!((theirs.keep_after_exit, theirs.left_at), (backup.keep_after_exit, None));
        let left = Policy { left_at: Some(jiff::Timestamp::UNIX_EPOCH), ..policy };
        let theirs: keeper::Policy = serde_json::from_slice(&serde_json::to_vec(&left).unwrap()).unwrap();
        assert_eq!(theirs.left_at, left.left_at);
    }

    #[test]
    fn nothing_said_keeps_everything() {
        let policy = read(|_| None).unwrap();
        assert_eq!((policy.retention, policy.time_zone.as_str()), (Retention::default(), "UTC"));
        let wrong = json!(-1);
        assert_eq!(read(|name| name.ends_with("daily").then_some(&wrong)), None);
    }
}
