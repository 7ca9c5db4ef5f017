//! What is kept, and what is refused.

use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::Command;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use keeper::{KeepAll, Keeper, KeeperError, Report, Retained};

use crate::room::{Room, bounds, files, is_whole, noise, pack, restored};

const AT: &str = "2024-11-01 22:00:00";

#[tokio::test]
async fn the_copy_is_a_repository_that_no_account_can_enter() {
    let Some(room) = Room::new() else { return };
    let disk = noise(9 << 20, 1);
    room.run("fs01", "1", AT, &disk);
    room.shell("printf sealed > escrow.age");
    let report = room.keep().await;
    assert!(!report.is_troubled(), "{report:?}");
    assert_eq!((report.kept_snapshots, report.escrow, &report.retention), (2, true, &Retained::Off));
    assert_eq!(files(&room.kept()), files(&room.repository()));
    assert!(is_whole(&room.kept()));
    assert!(restored(&room.kept(), "fs01", "1") == disk);
    let kept = std::fs::metadata(pack(&room.kept())).unwrap();
    assert_eq!((kept.uid(), kept.mode() & 0o777, kept.nlink()), (0, 0o400, 1), "a file of its own");
    let denied = room.as_account("ls", [room.kept()]);
    assert!(!denied.status.success());

    let told: Report = serde_json::from_slice(&std::fs::read(room.beside("report.json")).unwrap()).unwrap();
    assert_eq!(told, report);
    let again = room.keep().await;
    assert_eq!((again.taken_over, again.put_back, again.is_troubled()), (0, 0, false), "{again:?}");
    room.run("fs01", "2", AT, &noise(1 << 20, 2));
    let more = room.keep().await;
    assert!(more.taken_over >= 5 && more.put_back == 0 && !more.is_troubled(), "{more:?}");
}

#[tokio::test]
async fn what_is_not_what_its_name_says_is_not_kept() {
    let Some(room) = Room::new() else { return };
    room.run("fs01", "1", AT, &noise(3 << 20, 1));
    let large = pack(&room.repository());
    std::fs::File::options().write(true).open(&large).unwrap().write_all_at(b"!", 4711).unwrap();
    let hex = "ab".repeat(32);
    for line in [
        &format!("ln -s /etc/shadow index/{hex}"),
        &format!("mkfifo snapshots/{hex}"),
        &format!("mkdir -p data/ab/{hex}"),
        &format!("truncate -s 1T data/ab/{}", hex.replace("abab", "abcd")),
        "ln -s / data/zz",
        "printf x > readme; printf x > \"$(printf 'a\\033b')\"; printf x > data/00/0123",
        &format!("printf x > data/00/00{}-restic-temp-1", &hex[2..]),
    ] {
        room.shell(line);
    }
    let report = room.keep().await;
    let damaged: Vec<_> = report.damage.first.iter().map(|it| (it.file.as_str(), it.what.as_str())).collect();
    let pack = large.strip_prefix(room.repository()).unwrap().to_str().unwrap();
    assert!(damaged.contains(&(pack, "the content is not what the name says")), "{damaged:?}");
    assert_eq!(damaged.len(), 2, "and what is too long: {damaged:?}");
    let foreign: Vec<_> = report.foreign.first.iter().map(|it| it.file.as_str()).collect();
    assert_eq!(report.foreign.count, 7, "{foreign:?}");
    assert!(foreign.contains(&"a\\u{1b}b"), "no control character gets to a terminal: {foreign:?}");
    assert_eq!(report.unfinished, 1);
    assert!(!room.kept().join(pack).exists());
    assert!(files(&room.kept()).iter().all(|file| !file.contains(&hex)));
}

#[tokio::test]
async fn what_disks_forget_is_found_within_a_month_and_healed() {
    let Some(room) = Room::new() else { return };
    let disk = noise(3 << 20, 1);
    room.run("fs01", "1", AT, &disk);
    room.keep().await;
    // Nobody wrote: so no time tells of it. A write gives the copy a new time, which the next run takes for its own.
    let large = pack(&room.kept());
    std::fs::File::options().write(true).open(&large).unwrap().write_all_at(b"!", 4711).unwrap();
    assert!(!is_whole(&room.kept()));
    let mut found = 0;
    for day in 0..=30 {
        let now = Timestamp::now() + SignedDuration::from_hours(24 * day);
        let report = room.keep_at(now, Arc::new(KeepAll), None).await.unwrap();
        assert_eq!(report.tampering.count, 0);
        found += report.damage.count;
    }
    assert_eq!(found, 1);
    assert!(is_whole(&room.kept()));
}

#[tokio::test]
async fn what_is_only_half_made_is_nobodys() {
    let Some(room) = Room::new() else { return };
    // The controller died between the key and the config, and begins anew.
    room.shell("rm -f config");
    let report = room.keep().await;
    assert!(!report.is_troubled() && report.taken_over == 0, "{report:?}");
    assert!(files(&room.kept()).is_empty());
    room.shell("rm -rf keys/*");
    assert!(room.account(&["init"]).status.success());
    room.run("fs01", "1", AT, &noise(1 << 20, 1));
    assert!(!room.keep().await.is_troubled());
    assert_eq!(files(&room.kept()), files(&room.repository()));
}

#[tokio::test]
async fn there_is_one_keeper_at_a_time() {
    let Some(room) = Room::new() else { return };
    let first = Keeper::start(room.settings(Arc::new(KeepAll)), &bounds()).await.unwrap();
    let second = Keeper::start(room.settings(Arc::new(KeepAll)), &bounds()).await;
    assert!(matches!(second, Err(KeeperError::Running)));
    drop(first);
    crate::room::start(room.settings(Arc::new(KeepAll))).await.unwrap();
}

#[tokio::test]
async fn a_tenants_folder_that_is_not_roots_is_not_entered() {
    let Some(room) = Room::new() else { return };
    let folder = room.root().join("nord/ibestad");
    std::os::unix::fs::chown(&folder, Some(crate::room::ACCOUNT), None).unwrap();
    let report = room.keep().await;
    assert!(report.error.is_some_and(|error| error.contains("root's alone")));
    assert!(!room.kept().exists());
}

/// A small file system, while it lives.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(room: &Room, options: &str) {
    let kept = room.root().join(".kept");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(kept).status();
    assert!(mounted.unwrap().success());
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_gone_on_from() {
    let Some(room) = Room::new() else { return };
    let first = noise(2 << 20, 1);
    room.run("fs01", "1", AT, &first);
    std::fs::create_dir(room.root().join(".kept")).unwrap();
    mount(&room, "size=6m");
    let _small = Small(room.root().join(".kept"));
    assert!(!room.keep().await.is_troubled());
    room.run("fs01", "2", AT, &noise(8 << 20, 2));
    room.shell("rm -r snapshots index");
    let report = room.keep().await;
    assert!(report.error.as_ref().is_some_and(|error| error.contains("no room")), "{report:?}");
    assert!(restored(&room.kept(), "fs01", "1") == first);
    assert!(restored(&room.repository(), "fs01", "1") == first, "it was put back before");
    mount(&room, "remount,size=64m");
    let report = room.keep().await;
    assert!(report.error.is_none(), "{report:?}");
    assert!(is_whole(&room.kept()));
}

#[tokio::test]
async fn a_copy_has_its_limit() {
    let Some(room) = Room::new() else { return };
    room.run("fs01", "1", AT, &noise(2 << 20, 1));
    let settings = keeper::Settings { kept_bytes: 1 << 20, ..room.settings(Arc::new(KeepAll)) };
    let report = crate::room::keep(settings, Timestamp::now(), None).await.unwrap();
    assert!(report.error.is_some_and(|error| error.contains("limit")));
    assert!(!room.keep().await.is_troubled());
}
