//! What is saved is there, for us and for the stock program.

use std::io;
use std::time::{Duration, SystemTime};

use restic::{Error, Filter, Location, Password, Read, Repository, Version};

use crate::ground::{Ground, all_of, bounds, has, noise, save};

/// Bytes of all packs.
fn stored(ground: &Ground) -> u64 {
    ground.files("data").iter().map(|pack| std::fs::metadata(pack).unwrap().len()).sum()
}

#[tokio::test]
async fn what_is_saved_comes_back_byte_for_byte() {
    let Some(ground) = Ground::new().await else { return };
    assert!(ground.restic.version() >= Version::OLDEST);
    let disk = noise(20 << 20, 1);
    let saved = ground.save(&disk, "/ibe-fs01/data.raw").await;
    assert_eq!(saved.bytes, 20 << 20);
    assert!(saved.added >= 20 << 20, "{saved:?}");
    ground.save(b"{}", "/ibe-fs01/vm.json").await;

    let snapshots = ground.repository.snapshots(&Filter::default(), &bounds()).await.unwrap();
    assert_eq!(snapshots.len(), 2);
    let filter = Filter { tags: vec!["tenant=ibestad".into(), "disk=-ibe-fs01-data.raw".into()] };
    let [snapshot] = &ground.repository.snapshots(&filter, &bounds()).await.unwrap()[..] else {
        panic!("one")
    };
    assert!(snapshot.id.starts_with(&saved.snapshot));
    assert_eq!((snapshot.tag("tenant"), snapshot.tag("ten")), (Some("ibestad"), None));
    assert_eq!(snapshot.paths, ["/ibe-fs01/data.raw"]);

    let mut back = Vec::new();
    ground.repository.dump(&snapshot.id, "/ibe-fs01/data.raw", &mut back, &bounds()).await.unwrap();
    assert!(back == disk);
    let stock = ground.stock(&["dump", &snapshot.id, "/ibe-fs01/data.raw"]);
    assert!(stock.status.success() && stock.stdout == disk);

    // A second backup of the same costs next to nothing.
    let again = ground.save(&disk, "/ibe-fs01/data.raw").await;
    assert!(again.added < (20 << 20) / 100, "{again:?}");
    assert!(stored(&ground) < 21 << 20);
    ground.repository.check(Read::All, &bounds()).await.unwrap();
}

#[tokio::test]
async fn only_what_is_named_is_forgotten() {
    let Some(ground) = Ground::new().await else { return };
    ground.save(&noise(1 << 20, 1), "/a/data.raw").await;
    ground.save(&noise(1 << 20, 2), "/b/data.raw").await;
    let all = ground.repository.snapshots(&Filter::default(), &bounds()).await.unwrap();
    let ids = [all[0].id.clone(), "0".repeat(64)];
    ground.repository.forget(&ids, &bounds()).await.unwrap();
    ground.repository.prune(&bounds()).await.unwrap();
    let left = ground.repository.snapshots(&Filter::default(), &bounds()).await.unwrap();
    assert_eq!(left, all[1..]);
    assert!(stored(&ground) < 3 << 19);
    ground.repository.check(Read::Part { part: 1, of: 1 }, &bounds()).await.unwrap();
    for wrong in ["latest", &all[1].id[..8], "--keep-last=1"] {
        let refused = ground.repository.forget(&[wrong.to_owned()], &bounds()).await;
        assert!(matches!(refused, Err(Error::Unusable(_))), "{wrong}");
    }
}

#[tokio::test]
async fn a_second_key_opens_it_and_is_added_once() {
    let Some(ground) = Ground::new().await else { return };
    ground.save(b"some", "/a/b").await;
    let second = Password::random().unwrap();
    let with_second = ground.repository.opened_with(second.clone());
    assert!(matches!(with_second.current_key(&bounds()).await, Err(Error::WrongPassword)));
    let id = ground.repository.add_key(&second, &bounds()).await.unwrap();
    assert_eq!(ground.repository.add_key(&second, &bounds()).await.unwrap(), id);
    assert_eq!(ground.files("keys").len(), 2);
    let hinted = with_second.with_key(&id);
    assert_eq!(hinted.snapshots(&Filter::default(), &bounds()).await.unwrap().len(), 1);
    let keys = hinted.keys(&bounds()).await.unwrap();
    assert_eq!((keys.len(), keys.iter().filter(|key| key.current).count()), (2, 1));
}

#[tokio::test]
async fn over_sftp_it_is_the_same() {
    const SERVER: &str = "/usr/lib/openssh/sftp-server";
    if !has(&[SERVER]) {
        return;
    }
    let Some(ground) = Ground::bare().await else { return };
    let location = |command: &[&str]| Location::Sftp {
        host: "vk-ibestad@room-2".to_owned(),
        path: ground.path().to_str().unwrap().to_owned(),
        command: command.iter().map(|&word| word.to_owned()).collect(),
    };
    let password = Password::new(crate::ground::PASSWORD).unwrap();
    let there = Repository::new(ground.restic.clone(), location(&[SERVER, "-u", "077"]), password.clone());
    let absent = there.snapshots(&Filter::default(), &bounds()).await.unwrap_err();
    assert!(matches!(absent, Error::NoRepository), "{absent:?}");
    there.init(&bounds()).await.unwrap();
    let disk = noise(9 << 20, 3);
    save(&there, &disk, "/a/data.raw").await.unwrap();
    assert_eq!(ground.repository.snapshots(&Filter::default(), &bounds()).await.unwrap().len(), 1);
    there.check(Read::All, &bounds()).await.unwrap();

    let nobody = Repository::new(ground.restic.clone(), location(&["/bin/false", "a b", "c,d"]), password);
    let away = nobody.snapshots(&Filter::default(), &bounds()).await.unwrap_err();
    assert!(matches!(away, Error::Unreachable { .. }), "{away:?}");
}

#[tokio::test]
async fn a_lock_shuts_others_out_and_a_dead_ones_is_removed() {
    let Some(ground) = Ground::new().await else { return };
    let (never, _into) = io::pipe().unwrap();
    let (backup, bounds) = (crate::ground::named("/a/b"), bounds());
    let mut running = Box::pin(ground.repository.backup(&backup, all_of(never), |_| (), &bounds));
    let lock = loop {
        tokio::select! {
            done = &mut running => panic!("{done:?}"),
            locks = ground.repository.locks(&bounds) => if let Some(lock) = locks.unwrap().pop() { break lock },
        }
    };
    assert!(!lock.exclusive && lock.pid > 0 && !lock.is_stale(jiff::Timestamp::now()), "{lock:?}");
    let shut_out = tokio::select! {
        done = &mut running => panic!("{done:?}"),
        pruned = ground.repository.prune(&bounds) => pruned,
    };
    let Err(Error::Locked(holder)) = shut_out else { panic!("{shut_out:?}") };
    assert_eq!((holder.pid, &holder.host), (lock.pid, &lock.hostname));

    // A living one's stays.
    let unlocked = tokio::select! {
        done = &mut running => panic!("{done:?}"),
        unlocked = ground.repository.unlock(&bounds) => unlocked,
    };
    unlocked.unwrap();
    assert_eq!(ground.files("locks").len(), 1);

    drop(running);
    // To restic one that is dead and not buried is alive.
    let is_gone = || !std::path::Path::new(&format!("/proc/{}", lock.pid)).exists();
    crate::ground::until("the child is gone", is_gone).await;
    assert_eq!(ground.files("locks").len(), 1, "killed at once, it could not remove it");
    ground.repository.unlock(&bounds).await.unwrap();
    assert_eq!(ground.files("locks").len(), 0);
    ground.repository.prune(&bounds).await.unwrap();
}

#[tokio::test]
async fn a_time_is_what_was_asked_for() {
    let Some(ground) = Ground::new().await else { return };
    let at: jiff::Timestamp = "2026-11-01T22:00:05Z".parse().unwrap();
    let backup = restic::Backup { time: Some(at), ..crate::ground::named("/a/b") };
    ground.repository.backup(&backup, all_of(&b"x"[..]), |_| (), &bounds()).await.unwrap();
    assert_eq!(ground.repository.snapshots(&Filter::default(), &bounds()).await.unwrap()[0].time, at);
}

/// Memory is ours alone: restic's own does not grow with the stream either.
#[tokio::test]
async fn memory_does_not_grow_with_the_stream() {
    let Some(ground) = Ground::new().await else { return };
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap()
    };
    let (before, began) = (peak(), SystemTime::now());
    let zeros = io::Read::take(io::repeat(0), 1 << 30);
    let mut seen = 0;
    let (saved, ()) = ground
        .repository
        .backup(
            &crate::ground::named("/a/b"),
            all_of(zeros),
            |progress| seen = seen.max(progress.bytes),
            &bounds(),
        )
        .await
        .unwrap();
    assert_eq!(saved.bytes, 1 << 30);
    assert!(seen > 0 || began.elapsed().unwrap() < Duration::from_secs(1), "no progress was told");
    let snapshot = saved.snapshot;
    ground.repository.dump(&snapshot, "/a/b", &mut tokio::io::sink(), &bounds()).await.unwrap();
    assert!(peak() - before < 100 * 1024, "{} kB more than {before}", peak() - before);
}
