//! What is said of backup, from a plan that is converged but for one change.

use std::sync::Arc;

use vertskommune_core::backup::facts::{self, DiskBackup, Proof, ServerBackups};
use vertskommune_core::backup::{Backups, Known, Report, report};
use vertskommune_core::observation::{Observation, Seen};
use vertskommune_core::tenant::Server;
use vertskommune_core::transfer::{Failed, Transfer, Work};

use super::*;
use crate::conditions::{BACKUP_READY, PROTECTED};
use crate::{Catalogue, Tenant, validate_tenant};

/// The time that the last good backup of `ibe-fs01` began at.
const NIGHT: &str = "2026-11-23T22:10:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What the report says of a server that was backed up last night, or what the change makes of it.
fn judged(change: impl Fn(&mut Observation), now: Timestamp) -> Report {
    let manifest: Tenant = serde_json::from_value(serde_json::json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": {"name": "ibestad"},
        "spec": {
            "displayName": "Ibestad kommune",
            "compute": {"provider": "vcenter-main", "quota": {"vcpus": 8, "memory": "64Gi", "storage": "1Ti"}},
            "servers": [{"name": "ibe-fs01", "template": "linux@1", "vcpus": 2, "memory": "8Gi"}],
            "backup": {
                "provider": "second-room", "window": {"start": "22:00", "duration": "8h"}, "retention": {"daily": 14},
            },
        },
    }))
    .unwrap();
    let tenant = validate_tenant(&manifest, &Catalogue::default()).unwrap();
    let proof = Proof { at: at("2026-11-20T09:00:00Z"), outcome: facts::Outcome::Intact };
    let disk = DiskBackup { bytes: 40 << 30, taken: at(NIGHT), proof: Some(proof) };
    let server = ServerBackups {
        last_good: Some(at(NIGHT)),
        disks: [("system".to_owned(), disk)].into(),
        ..ServerBackups::default()
    };
    let servers: &[Server] = &tenant.servers;
    let backups = Backups { servers: [("ibe-fs01".to_owned(), server)].into(), ..Backups::default() };
    let mut seen = Observation::empty(&"second-room".into());
    seen.backups.insert(tenant.name.clone(), Known { seen_at: now, backups: Arc::new(backups) });
    change(&mut seen);
    report(tenant.backup.as_ref().unwrap(), &tenant.name, servers, Some(&seen), now)
}

fn asking(report: Report) -> Plan {
    let mut plan = converged();
    plan.backup = Some(report);
    plan.concerns.insert(Concern::Backup, Part { tally: Tally { ready: 2, total: 2 }, doubt: None });
    plan
}

fn protected() -> Plan {
    asking(judged(|_| {}, now()))
}

/// Ready, BackupReady and Protected in short.
fn said(status: &TenantStatus) -> String {
    check::all(&status.conditions, Some(4));
    let of = |kind| {
        find(&status.conditions, kind).map_or("-".to_owned(), |it| format!("{} {}", it.status, it.reason))
    };
    [READY, BACKUP_READY, PROTECTED].map(of).join(", ")
}

#[test]
fn it_is_said_only_where_the_manifest_asks_for_it() {
    let status = status(None, &input(&converged()), now());
    assert_eq!((said(&status).as_str(), status.backup), ("True Converged, -, -", None));
}

fn finding(reason: FindingReason, blocks: bool) -> Finding {
    let (field, message) = ("spec.backup.provider".to_owned(), "another room".to_owned());
    Finding { field, reason, with: None, message, blocks }
}

fn repository() -> ResourceId {
    ResourceId::new(&"ibestad".into(), &"second-room".into(), ResourceKey::new("repository", "ibestad"))
}

fn refusal(reason: RefusalReason) -> Refusal {
    let (field, message) = ("spec.backup.provider".to_owned(), "nothing takes backups".to_owned());
    Refusal { resource: repository(), field, reason, message }
}

type Change = fn(&mut Plan);

#[test]
fn ready_waits_for_accounts_and_not_for_tonight() {
    let cases: [(&str, Change, &str); 8] = [
        ("all is well", |_| {}, "True Converged, True AllReady, True FreshAndProven"),
        (
            "tonight is yet to come",
            |it| *it = asking(judged(|seen| seen.backups.clear(), now())),
            "True Converged, True AllReady, False NoBackupYet",
        ),
        (
            "another product takes the backups",
            |it| drop(it.concerns.insert(Concern::Backup, Part::default())),
            "True Converged, True External, True FreshAndProven",
        ),
        (
            "the repository is made next",
            |it| {
                it.concerns
                    .insert(Concern::Backup, Part { tally: Tally { ready: 1, total: 2 }, doubt: None });
                it.steps.push(step(Class::Create, None));
            },
            "False Progressing, False NotAllReady, True FreshAndProven",
        ),
        (
            "the second room does not answer",
            |it| {
                let doubt = Doubt { id: repository(), why: Blindness::CredentialsRefused };
                it.backup = Some(judged(|it| it.coverage.blind = Some(Blindness::CredentialsRefused), now()));
                it.concerns.get_mut(&Concern::Backup).unwrap().doubt = Some(doubt.clone());
                it.doubts.push(doubt);
            },
            "Unknown CredentialsRefused, Unknown CredentialsRefused, Unknown CredentialsRefused",
        ),
        (
            "the night is too short",
            |it| it.findings.push(finding(FindingReason::BackupWindowTooShort, false)),
            "True Converged, False BackupWindowTooShort, True FreshAndProven",
        ),
        (
            "it is the servers' own room",
            |it| it.findings.push(finding(FindingReason::SameSite, true)),
            "False SameSite, False SameSite, True FreshAndProven",
        ),
        (
            "nothing takes backups",
            |it| {
                it.concerns.clear();
                it.refusals.push(refusal(RefusalReason::NotSupported));
            },
            "False NotSupported, False NotSupported, True FreshAndProven",
        ),
    ];
    for (case, change, expected) in cases {
        let mut plan = protected();
        change(&mut plan);
        assert_eq!(said(&status(None, &input(&plan), now())), expected, "{case}");
    }
}

#[test]
fn what_is_known_is_shown_for_each_server() {
    let backup = status(None, &input(&protected()), now()).backup.unwrap();
    let shown = serde_json::to_value(&backup).unwrap();
    let expected = serde_json::json!({
        "lastBackup": NIGHT, "lastProof": "2026-11-20T09:00:00Z", "size": "40Gi",
        "servers": [{"name": "ibe-fs01", "lastBackup": NIGHT, "lastProof": "2026-11-20T09:00:00Z", "size": "40Gi"}],
    });
    assert_eq!(shown, expected);
    let none = asking(judged(|seen| seen.backups.clear(), now()));
    let none = serde_json::to_value(status(None, &input(&none), now()).backup).unwrap();
    assert_eq!(none, serde_json::json!({"servers": [{"name": "ibe-fs01", "problem": "NoBackupYet"}]}));
}

#[test]
fn a_quiet_day_makes_no_write_until_the_backup_is_too_old() {
    let later = |hours| now() + jiff::SignedDuration::from_hours(hours);
    let first = status(None, &input(&protected()), now());
    let noon = asking(judged(|_| {}, later(5)));
    assert_eq!(status(Some(&first), &input(&noon), later(5)), first, "five hours older is nothing new");
    let old = asking(judged(|_| {}, later(13)));
    let second = status(Some(&first), &input(&old), later(13));
    assert_eq!(said(&second), "True Converged, True AllReady, False BackupTooOld");
    assert!(is_transition(Some(&first), &second));
    let older = asking(judged(|_| {}, later(20)));
    assert_eq!(status(Some(&second), &input(&older), later(20)), second, "too old is too old");
}

#[test]
fn a_start_that_has_not_looked_at_the_second_room_yet_says_what_was_said() {
    let first = status(None, &input(&protected()), now());
    let unseen =
        |seen: &mut Observation| *seen = Observation::blind(&"second-room".into(), Blindness::NotYetObserved);
    let mut plan = asking(judged(unseen, now()));
    // The servers have been looked at, so that something is said.
    plan.doubts.push(doubt(Blindness::Unreachable("timeout".to_owned())));
    let next = status(Some(&first), &input(&plan), now());
    assert_eq!(said(&next), "Unknown Unreachable, True AllReady, True FreshAndProven");
    assert_eq!(next.backup, first.backup);
    let newcomer = status(None, &input(&plan), now());
    assert_eq!(said(&newcomer), "Unknown Unreachable, True AllReady, Unknown NotYetObserved");
}

#[test]
fn what_is_not_seen_any_more_is_not_taken_back() {
    let first = status(None, &input(&protected()), now());
    for (thing, expected) in [
        (Seen::Unknown(Blindness::NoSight("its account is not let in".to_owned())), "Unknown NoSight"),
        (Seen::Lost { identity: "/srv/ibestad".to_owned() }, "False RepositoryLost"),
    ] {
        let unseen = |seen: &mut Observation| {
            seen.backups.clear();
            let things = seen.seen.entry("ibestad".into()).or_default();
            things.insert(ResourceKey::new("repository", "ibestad"), thing.clone());
        };
        let next = status(Some(&first), &input(&asking(judged(unseen, now()))), now());
        assert_eq!(said(&next), format!("True Converged, True AllReady, {expected}"));
        assert_eq!(next.backup, first.backup);
    }
}

#[test]
fn a_refused_manifest_says_nothing_of_it_and_keeps_what_is_known() {
    let first = status(None, &input(&protected()), now());
    let violations = [Violation::new("spec.backup.window.start", "is no time of day")];
    let plan = converged();
    let refused = StatusInput { outcome: Outcome::Refused(&violations), ..input(&plan) };
    let next = status(Some(&first), &refused, now());
    assert_eq!(said(&next), "False Refused, Unknown Refused, Unknown Refused");
    assert_eq!(next.backup, first.backup);
}

#[test]
fn what_failed_is_said_until_something_came_after_it() {
    let failed = |work: Work, server: &str, at: &str| Failed {
        transfer: Transfer {
            due: now(),
            provider: "second-room".into(),
            tenant: "ibestad".into(),
            server: server.to_owned(),
            work,
        },
        at: at.parse().unwrap(),
        why: "no room in the store".to_owned(),
        again: now(),
    };
    let proof = || Work::Proof { disk: "system".to_owned() };
    let plan = protected();
    for (failed, expected) in [
        (failed(Work::Backup, "ibe-fs01", "2026-11-24T22:10:00Z"), "False BackupFailed"),
        (failed(Work::Backup, "ibe-fs01", "2026-11-23T22:00:00Z"), "True AllReady"),
        (failed(proof(), "ibe-fs01", "2026-11-21T09:00:00Z"), "False ProofFailed"),
        (failed(proof(), "ibe-fs01", "2026-11-19T09:00:00Z"), "True AllReady"),
        (failed(Work::Backup, "of-yesterday", "2026-11-24T22:10:00Z"), "True AllReady"),
    ] {
        let status =
            status(None, &StatusInput { failed: std::slice::from_ref(&failed), ..input(&plan) }, now());
        assert_eq!(said(&status), format!("True Converged, {expected}, True FreshAndProven"), "{failed}");
        let ready = find(&status.conditions, BACKUP_READY).unwrap();
        assert_eq!(
            ready.message.contains("no room in the store"),
            expected.starts_with("False"),
            "{}",
            ready.message
        );
    }

    // What is said of a proof of `system` that failed, where this is the last of that disk.
    let system = |disk: &str, last: Option<Proof>| {
        let failed = [failed(proof(), "ibe-fs01", "2026-11-21T09:00:00Z")];
        let plan = asking(judged(
            |seen| {
                for known in seen.backups.values_mut() {
                    let of_server = Arc::make_mut(&mut known.backups).servers.get_mut("ibe-fs01").unwrap();
                    let backup = DiskBackup { bytes: 1 << 30, taken: at(NIGHT), proof: last.clone() };
                    of_server.disks.insert(disk.to_owned(), backup);
                }
            },
            now(),
        ));
        let status = status(None, &StatusInput { failed: &failed, ..input(&plan) }, now());
        find(&status.conditions, BACKUP_READY).unwrap().reason.clone()
    };
    let intact = |time: &str| Proof { at: at(time), outcome: facts::Outcome::Intact };
    let later = "2026-11-22T09:00:00Z";
    assert_eq!(system("data", Some(intact(later))), "ProofFailed", "that is another disk");
    let damaged = Proof { outcome: facts::Outcome::Damaged("byte 7".to_owned()), ..intact(later) };
    assert_eq!(system("system", Some(damaged)), "AllReady", "it was restored since, and is told otherwise");
    assert_eq!(system("system", None), "ProofFailed", "it never was");
}

#[test]
fn what_is_moved_is_told_where_nothing_is_to_be_done_and_no_condition_follows_it() {
    let underway = |server: &str, bytes, of| Underway {
        transfer: Transfer {
            due: now(),
            provider: "room".into(),
            tenant: "ibestad".into(),
            server: server.to_owned(),
            work: Work::Backup,
        },
        since: now(),
        bytes,
        of,
    };
    let moving = [underway("ibe-fs01", 62, 100), underway("ibe-db01", 0, 0)];
    let mut plan = converged();
    let resting = status(None, &input(&plan), now());
    for (underway, expected) in [
        (&moving[..0], "Converged"),
        (&moving[..1], "Backing up ibe-fs01 (62%)"),
        (&moving[1..], "Backing up ibe-db01"),
        (&moving[..], "Backing up ibe-fs01 (62%), 1 more"),
    ] {
        let status = status(None, &StatusInput { underway, ..input(&plan) }, now());
        assert_eq!(status.message.as_deref(), Some(expected));
        assert_eq!(status.conditions, resting.conditions, "a backup at night is no transition");
    }
    plan.steps.push(step(Class::Create, None));
    let busy = status(None, &StatusInput { underway: &moving, ..input(&plan) }, now());
    assert!(busy.message.is_some_and(|it| !it.contains("Backing")), "what is to be done goes first");
}
