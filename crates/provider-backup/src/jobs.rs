//! What other products' jobs have left in the second room, as facts. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use second_room::job::{JobStatus, Outcome as Came, ProofStatus, ServerStatus};
use second_room::protocol::{Job, JobState};
use vertskommune_core::backup::facts::{DiskBackup, Hindrance, Obstacle, Outcome, Proof, ServerBackups};
use vertskommune_core::backup::{self, Backups, Jobs, SYSTEM};

/// The longest text of another product that is passed on, in characters.
const LONGEST: usize = 200;

/// What all of them have left.
pub(crate) fn jobs(left: &[Job], seen_at: Timestamp) -> Jobs {
    let status = |state: &JobState| match state {
        JobState::Status(status) => backup::JobStatus::Told(Arc::new(backups(status))),
        JobState::Unreadable(why) => backup::JobStatus::Unreadable(said(why)),
    };
    Jobs { seen_at, left: left.iter().map(|job| (job.job.clone(), status(&job.state))).collect() }
}

fn backups(status: &JobStatus) -> Backups {
    Backups {
        servers: status.servers.iter().map(|(name, status)| (name.clone(), server(status))).collect(),
        throughput: None,
        damage: status.damage.as_deref().map(said),
    }
}

/// A restore of a server is one of all its disks.
fn server(status: &ServerStatus) -> ServerBackups {
    let proof = status.proof.as_ref().map(proof);
    let is_whole = status.disks.is_none();
    let disks = match (&status.disks, status.last_good) {
        (_, None) => BTreeMap::new(),
        (None, Some(taken)) => [(SYSTEM.to_owned(), DiskBackup { bytes: 0, taken, proof })].into(),
        (Some(disks), Some(taken)) => {
            let disk = |bytes: &u64| DiskBackup { bytes: *bytes, taken, proof: proof.clone() };
            disks.iter().map(|(name, bytes)| (name.clone(), disk(bytes))).collect()
        }
    };
    let obstacle =
        |what: &String| Obstacle { disk: None, why: Hindrance::JobReports, detail: Some(said(what)) };
    ServerBackups {
        last_good: status.last_good,
        disks,
        is_whole,
        obstacles: status.obstacle.iter().map(obstacle).collect(),
    }
}

fn proof(status: &ProofStatus) -> Proof {
    let detail = || status.detail.as_deref().map_or_else(|| "the job does not say how".to_owned(), said);
    let outcome = match status.outcome {
        Came::Intact => Outcome::Intact,
        Came::Damaged => Outcome::Damaged(detail()),
    };
    Proof { at: status.at, outcome }
}

/// A text of somebody else's, in one line and cut.
fn said(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use vertskommune_core::backup::proving::ProofScope;
    use vertskommune_core::backup::report::Verdict;
    use vertskommune_core::backup::{Mode, Report, report};
    use vertskommune_core::domain::Inputs;
    use vertskommune_core::observation::Observation;
    use vertskommune_core::tenant::ValidatedTenant;

    use super::*;
    use crate::observe::View;
    use crate::settings::Settings;
    use crate::testing::{description, host, state, tenant};
    use crate::{due, expand};

    const JOB: &str = "Ibestad nightly";
    const NIGHT: &str = "2026-11-27T22:00:00Z";

    fn now() -> Timestamp {
        "2026-11-28T08:00:00Z".parse().unwrap()
    }

    fn watched() -> ValidatedTenant {
        let mut tenant = tenant();
        let backup = tenant.backup.as_mut().unwrap();
        backup.mode = Mode::External { job: JOB.to_owned() };
        backup.proof.scope = ProofScope::EveryDisk;
        tenant
    }

    fn seen(left: Result<&[Job], String>) -> Observation {
        View { provider: &"room-2".into(), description: &description(), now: now(), quota: None }
            .observation(&[], Some(left))
    }

    /// What is said of a tenant with one server, `ibe-fs01` with a disk `data`, whose job tells this of it.
    fn judged(server: &str) -> Report {
        let text = format!(r#"{{"version":1,"job":"{JOB}","servers":{{{server}}}}}"#);
        let status = JobState::Status(serde_json::from_str(&text).unwrap());
        let tenant = watched();
        let seen = seen(Ok(&[Job { job: JOB.to_owned(), state: status }]));
        report(tenant.backup.as_ref().unwrap(), &tenant.name, &tenant.servers, Some(&seen), now())
    }

    fn short(report: &Report) -> String {
        let words: Vec<_> = report.problems.iter().map(|problem| problem.reason.word()).collect();
        format!("{:?} {}", report.verdict, words.join(" ")).trim_end().to_owned()
    }

    #[test]
    fn a_server_is_judged_by_what_its_job_tells() {
        let good = format!(r#""lastGood":"{NIGHT}""#);
        let proven = r#""proof":{"at":"2026-11-25T08:00:00Z","outcome":"intact"}"#;
        let damaged = r#""proof":{"at":"2026-11-25T08:00:00Z","outcome":"damaged","detail":"no boot"}"#;
        let disks = r#""disks":{"system":1,"data":2}"#;
        for (fields, expected, why) in [
            (format!("{good},{proven}"), "Protected", "its disks are not told apart"),
            (format!("{good},{disks},{proven}"), "Protected", "a restore of the server is one of every disk"),
            (good.clone(), "Unprotected NeverProven", "what nobody has restored is proven by nothing"),
            (
                format!("{good},{disks}"),
                "Unprotected NeverProven",
                "likewise, where its disks are told apart",
            ),
            (
                format!(r#"{good},"disks":{{"system":1}},{proven}"#),
                "Unprotected NoBackupYet",
                "a disk of the manifest that the job does not hold",
            ),
            (
                format!(r#""lastGood":"2026-11-25T22:00:00Z",{proven}"#),
                "Unprotected BackupTooOld",
                "a job that stands still",
            ),
            (format!("{good},{damaged}"), "Unprotected CorruptionFound NeverProven", "a restore that failed"),
            (
                format!(r#"{good},{proven},"obstacle":"VSS timed out""#),
                "Unprotected NotEverythingCanBeBackedUp",
                "an obstacle",
            ),
            (String::new(), "Unprotected NoBackupYet", "no good run yet"),
            (disks.to_owned(), "Unprotected NoBackupYet", "nor is a disk without one"),
        ] {
            let report = judged(&format!(r#""ibe-fs01":{{{fields}}}"#));
            assert_eq!(short(&report), expected, "{why}: {}", report.line());
        }
        assert_eq!(short(&judged("")), "Unprotected NoBackupYet", "a server that the job does not have");
        let report = judged(&format!(r#""ibe-fs01":{{{good},{proven},"obstacle":"VSS timed out\n"}}"#));
        assert!(report.line().ends_with("[JobReports] (VSS timed out)"), "{}", report.line());
    }

    #[test]
    fn what_is_not_told_is_unknown_and_not_absent() {
        let tenant = watched();
        let backup = tenant.backup.as_ref().unwrap();
        let judge = |seen: &Observation, later| {
            report(
                backup,
                &tenant.name,
                &tenant.servers,
                Some(seen),
                now() + SignedDuration::from_hours(later),
            )
        };
        let other = Job { job: "other".to_owned(), state: JobState::Unreadable("it is empty".to_owned()) };
        let none = judge(&seen(Ok(&[other])), 0);
        assert_eq!(short(&none), "Unknown NoJobStatus");
        assert!(none.line().contains(r#"the job "Ibestad nightly" has left no status"#), "{}", none.line());
        let half =
            Job { job: JOB.to_owned(), state: JobState::Unreadable("it cannot be read: EOF".to_owned()) };
        let unreadable = judge(&seen(Ok(&[half])), 0);
        assert_eq!(short(&unreadable), "Unknown JobStatusUnreadable");
        assert!(unreadable.line().contains("EOF"), "{}", unreadable.line());
        let blind = judge(&seen(Err("an older agent".to_owned())), 0);
        assert_eq!(short(&blind), "Unknown Incomplete");

        // What was known counts for an hour in which nothing can be seen.
        let text = format!(
            r#"{{"version":1,"job":"{JOB}","servers":{{"ibe-fs01":{{"lastGood":"{NIGHT}",
                "proof":{{"at":"{NIGHT}","outcome":"intact"}}}}}}}}"#
        );
        let state = JobState::Status(serde_json::from_str(&text).unwrap());
        let mut known = seen(Ok(&[Job { job: JOB.to_owned(), state }]));
        assert_eq!(short(&judge(&known, 0)), "Protected");
        known.absorb(seen(Err("cut off".to_owned())), &vertskommune_core::observation::Scope::default());
        assert_eq!(short(&judge(&known, 0)), "Protected");
        assert_eq!(short(&judge(&known, 1)), "Unknown Incomplete");
        known.absorb(seen(Ok(&[])), &vertskommune_core::observation::Scope::default());
        assert_eq!(judge(&known, 0).verdict, Verdict::Unknown, "it is there no more");
    }

    #[test]
    fn nothing_is_made_and_nothing_is_due_for_what_another_product_backs_up() {
        let tenant = watched();
        let inputs = Inputs { installation: "nord".into(), tenant: tenant.clone() };
        let settings = Settings::read(&host()).unwrap();
        assert_eq!(expand::expand(&inputs, &"room-2".into(), &settings), Vec::new());
        // Not even where a repository of an earlier time stands.
        let inner =
            crate::observe::Inner::Read { fits: true, backups: Arc::default(), attempts: BTreeMap::new() };
        let view = View { provider: &"room-2".into(), description: &description(), now: now(), quota: None };
        let seen = view.observation(&[(state(), inner)], Some(Ok(&[])));
        let due = due::due(&"room-2".into(), &"nord".into(), &tenant, &seen, now());
        assert_eq!((due.now.len(), due.next), (0, None));
        let report =
            report(tenant.backup.as_ref().unwrap(), &tenant.name, &tenant.servers, Some(&seen), now());
        assert_eq!(short(&report), "Unknown NoJobStatus", "what lies in it is not the job's");
    }
}
