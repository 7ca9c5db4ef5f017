//! Retention: what goes, what stays, and when nothing does.

use std::sync::Arc;

use jiff::Timestamp;
use keeper::{Retained, Witness};

use crate::room::{
    KeepNothing, Room, files, in_three_days, in_three_weeks, is_whole, noise, restored, yesterday,
};

/// A room with two runs of one server and one of another, a key for the keeper, and a policy.
async fn prepared() -> Option<(Room, Vec<u8>)> {
    let room = Room::new()?;
    let last = noise(1 << 20, 2);
    room.run("fs01", "1", "2024-11-01 22:00:00", &noise(3 << 20, 1));
    room.run("fs01", "2", "2024-11-02 22:00:00", &last);
    room.run("gone", "1", "2023-01-01 22:00:00", &last);
    room.give_key_and_policy().await;
    room.forget_the_last_run();
    Some((room, last))
}

#[tokio::test]
async fn what_goes_is_gone_in_both_and_the_last_good_run_stays() {
    let Some((room, last)) = prepared().await else { return };
    let young = room.keep_at(Timestamp::now(), Arc::new(KeepNothing), None).await.unwrap();
    assert_eq!(young.retention, Retained::Nothing, "all came today");
    let all = files(&room.kept());
    let later = room.nothing_is_asked_for().await;
    assert!(matches!(later.retention, Retained::Waiting { .. }) && later.going == 1, "{later:?}");
    assert_eq!(files(&room.kept()), all, "a rule makes nothing go at once");

    let report = room.keep_at(in_three_weeks(), Arc::new(KeepNothing), None).await.unwrap();
    let Retained::Done { snapshots: 2, freed_bytes } = report.retention else { panic!("{report:?}") };
    assert!(freed_bytes > 2 << 20, "{report:?}");
    assert!(!report.is_troubled() && report.retained_at.is_some(), "{report:?}");
    assert_eq!(files(&room.kept()), files(&room.repository()));
    assert!(is_whole(&room.kept()) && is_whole(&room.repository()));
    for (server, run) in [("fs01", "2"), ("gone", "1")] {
        assert!(restored(&room.repository(), server, run) == last);
    }
    let listed = room.account(&["snapshots", "--json"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap().matches("short_id").count(), 4);
    let again = room.keep_at(in_three_weeks(), Arc::new(KeepNothing), None).await.unwrap();
    assert_eq!((again.retention, again.taken_over, again.put_back), (Retained::Nothing, 0, 0));
    // The account is let in again.
    room.run("fs01", "3", &yesterday(), &last);
    // But by a clock that went back nothing goes until a person has looked.
    for now in [Timestamp::now(), in_three_days()] {
        let back = room.keep_at(now, Arc::new(KeepNothing), None).await.unwrap();
        assert!(
            matches!(&back.retention, Retained::Stopped { why } if why.contains("ibestad.doubted")),
            "{back:?}"
        );
    }
    std::fs::remove_file(room.beside("doubted")).unwrap();
    let looked = room.keep_at(in_three_days(), Arc::new(KeepNothing), None).await.unwrap();
    assert!(matches!(looked.retention, Retained::Waiting { .. }) && !looked.is_troubled(), "{looked:?}");
}

/// While retention works, the account puts folders in its way.
#[tokio::test]
async fn what_is_put_in_the_way_does_not_shut_the_account_out() {
    let Some((room, last)) = prepared().await else { return };
    room.nothing_is_asked_for().await;
    let repository = room.repository();
    let in_the_way = Witness::new(move |step| {
        if step == "thin" {
            for file in files(&repository).iter().filter(|file| file.contains('/')) {
                let path = repository.join(file);
                std::fs::remove_file(&path).unwrap();
                std::fs::create_dir(&path).unwrap();
                std::fs::write(path.join("x"), "x").unwrap();
            }
        }
    });
    let report = room.keep_at(in_three_weeks(), Arc::new(KeepNothing), Some(in_the_way)).await.unwrap();
    assert!(matches!(report.retention, Retained::Done { .. }) && report.error.is_none(), "{report:?}");
    assert!(!room.beside("closed").exists());
    room.keep_at(in_three_weeks(), Arc::new(KeepNothing), None).await.unwrap();
    assert!(restored(&room.kept(), "fs01", "2") == last && is_whole(&room.kept()));
    room.run("fs01", "3", &yesterday(), &last);
}

#[tokio::test]
async fn nothing_goes_while_somebody_works_or_anything_is_in_doubt() {
    let Some((room, _)) = prepared().await else { return };
    let all = files(&room.repository());
    room.nothing_is_asked_for().await;
    let report = |room: Room, now: Timestamp, witness: Option<Witness>| async move {
        let report = room.keep_at(now, Arc::new(KeepNothing), witness).await.unwrap();
        room.forget_the_last_run();
        (room, report)
    };

    room.shell("mkdir -p locks; printf x > locks/a");
    let (room, locked) = report(room, in_three_weeks(), None).await;
    assert!(matches!(&locked.retention, Retained::Waiting { why } if why.contains("lock")), "{locked:?}");
    room.shell("rm locks/a");

    let past = "2024-01-01T00:00:00Z".parse().unwrap();
    let (room, early) = report(room, past, None).await;
    assert!(matches!(&early.retention, Retained::Stopped { why } if why.contains("clock")), "{early:?}");

    let repository = room.repository();
    let comes = Witness::new(move |step| {
        if step == "thin" {
            let from = repository.join("index");
            let some = std::fs::read_dir(from).unwrap().next().unwrap().unwrap().path();
            std::fs::copy(some, repository.join("snapshots").join("ab".repeat(32))).unwrap();
        }
    });
    let (room, meanwhile) = report(room, in_three_weeks(), Some(comes)).await;
    assert!(
        matches!(&meanwhile.retention, Retained::Waiting { why } if why.contains("meanwhile")),
        "{meanwhile:?}"
    );
    std::fs::remove_file(room.repository().join("snapshots").join("ab".repeat(32))).unwrap();
    assert_eq!(files(&room.repository()), all);

    // What would stay is damaged: a pack is missing everywhere.
    let packs = files(&room.kept()).into_iter().filter(|path| path.starts_with("data/"));
    let size = |path: &String| std::fs::metadata(room.kept().join(path)).unwrap().len();
    let of_the_last = packs.into_iter().find(|path| (1 << 20..2 << 20).contains(&size(path))).unwrap();
    for repository in [room.kept(), room.repository()] {
        std::fs::remove_file(repository.join(&of_the_last)).unwrap();
    }
    let left = files(&room.kept());
    let (room, damaged) = report(room, in_three_weeks(), None).await;
    let stopped = matches!(damaged.retention, Retained::Stopped { .. }) || damaged.error.is_some();
    assert!(stopped && damaged.is_troubled(), "{damaged:?}");
    assert_eq!(files(&room.kept()), left);
    assert!(!room.beside("staged").exists() && !room.beside("closed").exists());
}
