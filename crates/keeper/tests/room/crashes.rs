//! The keeper is killed at every step: nothing is lost, and the next run brings it to its end.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use keeper::{KeepAll, Retained, Rule, Witness};

use crate::room::{KeepNothing, Room, files, in_three_weeks, is_whole, noise, restored};

const ROOT: &str = "VERTSKOMMUNE_TEST_ROOT";
const STEP: &str = "VERTSKOMMUNE_TEST_STEP";

/// No test of its own: it is the keeper that the others kill. `STEP` is `<n>`, or `<name> <n>` for the n-th of that name,
/// with retention.
#[tokio::test]
async fn victim() {
    let (Ok(root), Ok(step)) = (std::env::var(ROOT), std::env::var(STEP)) else { return };
    let (name, number) = step.rsplit_once(' ').unwrap_or(("", &step));
    let (name, number) = (name.to_owned(), number.parse::<u64>().unwrap());
    let retains = !name.is_empty();
    let steps = AtomicU64::new(0);
    let witness = Witness::new(move |step| {
        if (name.is_empty() || name == step) && steps.fetch_add(1, Ordering::Relaxed) + 1 == number {
            std::process::abort();
        }
    });
    let rule: Arc<dyn Rule> = if retains { Arc::new(KeepNothing) } else { Arc::new(KeepAll) };
    let settings = keeper::Settings {
        root: root.into(),
        kept_bytes: 1 << 40,
        rule,
        restic: "/usr/bin/restic".into(),
        age: "/usr/bin/age".into(),
    };
    let now = if retains { in_three_weeks() } else { Timestamp::now() };
    crate::room::keep(settings, now, Some(witness)).await.unwrap();
}

/// Whether it was killed: otherwise it had fewer steps.
fn kill_at(room: &Room, step: &str) -> bool {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crashes::victim"])
        .env(ROOT, room.root())
        .env(STEP, step)
        .output()
        .unwrap();
    let killed = std::os::unix::process::ExitStatusExt::signal(&ran.status) == Some(6);
    assert!(killed || ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    killed
}

#[tokio::test]
async fn killed_at_every_step_of_a_pass_nothing_is_lost() {
    let Some(room) = Room::new() else { return };
    let (first, second) = (noise(1 << 20, 1), noise(1 << 20, 2));
    room.run("fs01", "1", "2024-11-01 22:00:00", &first);
    room.keep().await;
    room.run("fs01", "2", "2024-11-02 22:00:00", &second);
    let mut step = 0;
    loop {
        // Some is new until it is kept, and some of what is kept is gone or altered, each time.
        for file in files(&room.kept()) {
            let there = room.repository().join(&file);
            match file.split_once('/') {
                Some(("snapshots", _)) => drop(std::fs::remove_file(there)),
                Some(("index", _)) => std::fs::write(there, "x").unwrap(),
                _ => {}
            }
        }
        step += 1;
        let killed = kill_at(&room, &step.to_string());
        assert!(restored(&room.kept(), "fs01", "1") == first, "step {step}");
        if !killed {
            break;
        }
    }
    assert!(step > 8, "{step} steps");
    let report = room.keep().await;
    assert!(report.error.is_none() && report.damage.count == 0, "{report:?}");
    assert_eq!(files(&room.kept()), files(&room.repository()));
    assert!(is_whole(&room.kept()) && is_whole(&room.repository()));
}

#[tokio::test]
async fn killed_at_every_step_of_retention_nothing_is_lost() {
    let Some(room) = Room::new() else { return };
    let last = noise(1 << 20, 2);
    room.run("fs01", "1", "2024-11-01 22:00:00", &noise(1 << 20, 1));
    room.run("fs01", "2", "2024-11-02 22:00:00", &last);
    room.give_key_and_policy().await;
    room.keep().await;
    room.nothing_is_asked_for().await;
    let before = room.folder.path().join("before");
    let copied = |from: &std::path::Path, to: &std::path::Path| {
        let _ = std::fs::remove_dir_all(to);
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copied(&room.root(), &before);
    for step in [
        "stage 1",
        "thin 1",
        "close 1",
        "copy back 1",
        "give 1",
        "exchange 1",
        "remove 1",
        "remove 3",
        "done 1",
    ] {
        copied(&before, &room.root());
        assert!(kill_at(&room, step), "there is no step {step}");
        assert!(is_whole(&room.kept()), "{step}");
        assert!(restored(&room.kept(), "fs01", "2") == last, "{step}");
        let report = room.keep_at(in_three_weeks(), Arc::new(KeepNothing), None).await.unwrap();
        assert!(!report.is_troubled(), "{step}: {report:?}");
        assert!(matches!(report.retention, Retained::Done { .. } | Retained::Nothing), "{step}: {report:?}");
        assert_eq!(files(&room.kept()), files(&room.repository()), "{step}");
        assert!(is_whole(&room.repository()), "{step}");
        assert!(!room.beside("closed").exists() && !room.beside("staged").exists(), "{step}");
        let listed = room.account(&["snapshots", "--json"]);
        assert_eq!(String::from_utf8(listed.stdout).unwrap().matches("short_id").count(), 2, "{step}");
    }
}
