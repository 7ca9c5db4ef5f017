//! An attacker with everything that the controller holds: the account's rights on this host, and the passwords.

use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use jiff::SignedDuration;
use keeper::Retained;

use crate::room::{ACCOUNT, PASSWORD, Room, files, is_whole, noise, pack, restored, yesterday};

const AT: &str = "2024-11-27 22:00:00";

/// What is done to the repository, and whether that is by restic's own means, which leave new files.
const ATTACKS: &[(&str, &str)] = &[
    ("find . -mindepth 1 -delete", "all is deleted"),
    ("find data index snapshots keys -type f -exec truncate -s 0 {} +", "all is emptied"),
    ("chmod -R u+w . ; for f in $(find . -type f); do printf garbage > $f; done", "all is overwritten"),
    (
        "chmod -R u+w . ; for f in $(find data -type f); do printf '!' | dd of=$f bs=1 seek=99 conv=notrunc; done 2>/dev/null",
        "one byte of each pack",
    ),
    (
        "mv data x; ln -s /etc data; rm -r index; ln -s / index; rm -r keys; mkfifo keys",
        "folders are links and pipes",
    ),
    (
        "for f in $(find data index snapshots keys -type f); do rm -f $f; mkdir $f; printf x > $f/in-the-way; done",
        "folders in the way",
    ),
    ("rm -f config; ln -s /etc/passwd config; rm -f escrow.age", "the config is a link"),
    (
        "restic -r . --no-cache forget --keep-last 1 --group-by '' --prune -q; restic -r . --no-cache forget $(ls snapshots) --prune -q",
        "forgotten and pruned by restic",
    ),
    ("restic -r . --no-cache key list; rm -f keys/*; printf other > escrow.age", "the keys are gone"),
    ("find data -depth -exec chmod 0 {} +; chmod 0 config", "nothing can be read"),
];

#[tokio::test]
async fn yesterdays_backup_is_there_whatever_the_account_does() {
    let Some(room) = Room::new() else { return };
    let disk = noise(3 << 20, 1);
    room.run("fs01", "1", AT, &disk);
    room.shell("printf sealed > escrow.age");
    assert!(!room.keep().await.is_troubled());
    for (attack, why) in ATTACKS {
        room.shell(attack);
        let report = room.keep().await;
        if *why != "nothing can be read" {
            assert!(report.tampering.count > 0 && report.tampered_at.is_some(), "{why}: {report:?}");
        }
        assert!(report.error.is_none(), "{why}: {report:?}");
        // As the account, with the controller's password: it is the account that the next backup is made with.
        room.shell("chmod -R u+rwX .");
        let given =
            room.account(&["dump", "--tag", "run=1", "--path", "/fs01/data.raw", "latest", "/fs01/data.raw"]);
        assert!(given.stdout == disk, "{why}: {}", String::from_utf8_lossy(&given.stderr));
        assert!(restored(&room.kept(), "fs01", "1") == disk, "{why}");
        assert_eq!(std::fs::read(room.repository().join("escrow.age")).unwrap(), b"sealed", "{why}");
        let next = room.keep().await;
        assert!(
            next.tampering.count == 0 && next.damage.count == 0,
            "{why}: the next run has nothing to do: {next:?}"
        );
    }
    assert!(is_whole(&room.repository()) && is_whole(&room.kept()));
    // And the next backup goes on as if nothing had been.
    room.run("fs01", "2", AT, &noise(1 << 20, 2));
    assert!(!room.keep().await.is_troubled());
}

#[tokio::test]
async fn who_has_a_file_open_writes_into_no_copy() {
    let Some(room) = Room::new() else { return };
    let disk = noise(3 << 20, 1);
    room.run("fs01", "1", AT, &disk);
    room.shell("chmod -R u+w .");
    let open = std::fs::File::options().write(true).open(pack(&room.repository())).unwrap();
    room.keep().await;
    open.write_all_at(&vec![0; 100_000], 0).unwrap();
    let report = room.keep().await;
    assert_eq!((report.tampering.count, report.put_back), (1, 1), "{report:?}");
    open.write_all_at(&vec![0; 100_000], 0).unwrap();
    assert!(is_whole(&room.kept()) && is_whole(&room.repository()));
}

#[tokio::test]
async fn keys_of_others_shut_nobody_out() {
    let Some(room) = Room::new() else { return };
    let disk = noise(1 << 20, 1);
    room.run("fs01", "1", AT, &disk);
    room.keep().await;
    // restic gives up after twenty keys, and at once where one cannot be read.
    for key in [
        r"no key $i",
        r#"{\"created\":null,\"kdf\":\"scrypt\",\"N\":32768,\"r\":8,\"p\":1,\"salt\":\"$s\",\"data\":\"$s\"}"#,
    ] {
        room.shell(&format!(
            "i=10; while [ $i -lt 40 ]; do s=$(printf %-64s $i | base64 -w0); printf '%s' \"{key}\" > k; mv k keys/$(sha256sum k | cut -d' ' -f1); i=$((i+1)); done"
        ));
    }
    let report = room.keep().await;
    for refused in ["no key as restic makes them", "more than 12 keys"] {
        assert!(report.damage.first.iter().any(|it| it.what == refused), "{report:?}");
    }
    let kept = files(&room.kept());
    assert_eq!(kept.iter().filter(|file| file.starts_with("keys/")).count(), 12);
    assert!(restored(&room.kept(), "fs01", "1") == disk);
}

#[tokio::test]
async fn what_only_looks_like_restics_does_not_make_the_copy_unreadable() {
    let Some(room) = Room::new() else { return };
    let disk = noise(1 << 20, 1);
    room.run("fs01", "1", &yesterday(), &disk);
    room.give_key_and_policy().await;
    assert!(!room.keep().await.is_troubled());
    room.shell("for f in index snapshots; do printf $f > k; mv k $f/$(sha256sum k | cut -d' ' -f1); done");
    room.shell("for f in index snapshots; do seq 1000 > k; printf $f >> k; mv k $f/$(sha256sum k | cut -d' ' -f1); done");
    for (run, what) in [(1, "restic cannot read it: moved"), (2, "as was found before")] {
        let report = room.keep().await;
        assert_eq!(report.damage.count, 4, "run {run}: {report:?}");
        assert!(report.damage.first.iter().all(|it| it.what.contains(what)), "run {run}: {report:?}");
        assert!(restored(&room.kept(), "fs01", "1") == disk);
        assert!(is_whole(&room.kept()));
    }
    assert_eq!(files(&room.beside("refused")).len(), 4);
}

/// What the account has put under a folder of restic's: encrypted like anything of restic's, by way of a backup of it, and
/// named by its hash.
fn plant(room: &Room, folder: &str, content: &str) {
    let before = files(&room.repository());
    std::fs::write(room.folder.path().join("tmp/content"), content).unwrap();
    room.shell(&format!(
        "restic -r . --no-cache --compression off backup -q --stdin --stdin-filename /{folder} < {}",
        room.folder.path().join("tmp/content").display()
    ));
    let new: Vec<String> = files(&room.repository()).difference(&before).cloned().collect();
    let index = new.iter().find_map(|file| file.strip_prefix("index/")).unwrap();
    let index = room.account(&["cat", "index", index]).stdout;
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let blobs = index["packs"].as_array().unwrap().iter().flat_map(|pack| {
        pack["blobs"].as_array().unwrap().iter().map(move |blob| (pack["id"].as_str().unwrap(), blob))
    });
    let (pack, blob) = blobs.into_iter().find(|(_, blob)| blob["type"] == "data").unwrap();
    let number = |field: &str| usize::try_from(blob[field].as_u64().unwrap()).unwrap();
    let pack = std::fs::read(room.repository().join("data").join(&pack[..2]).join(pack)).unwrap();
    let bytes = &pack[number("offset")..number("offset") + number("length")];
    assert_eq!(bytes.len(), content.len() + 32, "it is encrypted as it is");
    std::fs::write(room.folder.path().join("tmp/planted"), bytes).unwrap();
    let file = room.folder.path().join("tmp/planted");
    room.shell(&format!("f={}; cp $f {folder}/$(sha256sum $f | cut -d' ' -f1)", file.display()));
}

#[tokio::test]
async fn what_decrypts_and_is_none_of_restics_locks_nothing() {
    let Some(room) = Room::new() else { return };
    let disk = noise(1 << 20, 1);
    room.run("fs01", "1", &yesterday(), &disk);
    room.give_key_and_policy().await;
    assert!(!room.keep().await.is_troubled());
    let late =
        format!(r#"{{"time": "9999-12-31T23:59:59Z", "tree": "{}", "paths": ["/"]}}"#, "ab".repeat(32));
    plant(&room, "snapshots", &late);
    plant(&room, "index", r#"{"packs": 7}"#);
    let report = room.keep().await;
    let moved: Vec<_> = report.damage.first.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(moved, ["restic cannot read it: moved to ibestad.refused"; 2], "{report:?}");
    assert!(
        matches!(&report.retention, Retained::Stopped { why } if why.contains("ibestad.refused")),
        "what they may be needed for is not pruned: {report:?}"
    );
    assert!(restored(&room.kept(), "fs01", "1") == disk && is_whole(&room.kept()));
}

#[tokio::test]
async fn a_copy_that_does_not_open_is_not_taken_apart() {
    let Some(room) = Room::new() else { return };
    let disk = noise(1 << 20, 1);
    room.run("fs01", "1", &yesterday(), &disk);
    room.give_key_and_policy().await;
    assert!(!room.keep().await.is_troubled());
    // Keys that the keeper's password opens and that are another repository's. restic takes the first that opens.
    let password = std::fs::read_to_string(room.beside("password")).unwrap();
    let other = room.folder.path().join("tmp/other");
    for _ in 0..4 {
        room.shell(&format!(
            "export RESTIC_PASSWORD={password}; restic -q --no-cache -r {0} init; mv {0}/keys/* keys; rm -rf {0}",
            other.display()
        ));
    }
    let kept = |room: &Room| files(&room.kept());
    for first in [false, true] {
        // As if these keys had been there when the keeper first looked for its own.
        if first {
            std::fs::remove_file(room.beside("memory.json")).unwrap();
        }
        let report = room.keep().await;
        assert!(!report.is_troubled(), "{report:?}");
        assert!(!room.beside("refused").exists());
        assert_eq!(kept(&room).iter().filter(|file| file.starts_with("keys/")).count(), 6);
    }

    // A byte of the kept config that the disk forgot.
    let all = kept(&room);
    let flip = |file: &std::path::Path| {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[20] ^= 1;
        std::fs::write(file, bytes).unwrap();
    };
    flip(&room.kept().join("config"));
    let report = room.keep().await;
    assert!(
        report.damage.first.iter().any(|it| it.file == "config" && it.what.contains("rotted")),
        "{report:?}"
    );
    assert!(matches!(report.retention, Retained::Nothing) && restored(&room.kept(), "fs01", "1") == disk);
    // And where none is left that is good, nothing is moved or removed.
    for repository in [room.kept(), room.repository()] {
        flip(&repository.join("config"));
    }
    let report = room.keep().await;
    assert!(matches!(report.retention, Retained::Stopped { .. }), "{report:?}");
    assert!(!room.beside("refused").exists());
    assert_eq!(kept(&room), all);
    for repository in [room.kept(), room.repository()] {
        flip(&repository.join("config"));
    }
    assert!(restored(&room.kept(), "fs01", "1") == disk);
    assert!(!room.keep().await.is_troubled());
}

/// A run each night from the first to the fourth, each taken over then.
async fn four_nights() -> Option<(Room, Vec<Vec<u8>>)> {
    let room = Room::new()?;
    room.give_key_and_policy().await;
    let disks: Vec<_> = (1..=4).map(|day| noise(1 << 20, day)).collect();
    for (disk, day) in disks.iter().zip(1..) {
        room.run("fs01", &day.to_string(), &format!("2024-11-{day:02} 22:00:00"), disk);
        let report = room.by_policy(&format!("2024-11-{day:02}T23:00:00Z")).await;
        assert!(!report.is_troubled() && report.retention == Retained::Nothing, "{report:?}");
    }
    Some((room, disks))
}

fn are_there(room: &Room, disks: &[Vec<u8>], when: &str) {
    for (disk, day) in disks.iter().zip(1..) {
        for of in [room.kept(), room.repository()] {
            assert!(restored(&of, "fs01", &day.to_string()) == *disk, "{when}: the run of {day}");
        }
    }
}

#[tokio::test]
async fn made_up_runs_displace_none() {
    let Some((room, disks)) = four_nights().await else { return };
    for day in 1..=3 {
        // A later run of that night, and something older that is said to be of the true one.
        room.run("fs01", &format!("made-up-{day}"), &format!("2024-11-{day:02} 23:59:00"), b"x");
        room.run("fs01", &day.to_string(), "2024-10-01 22:00:00", b"x");
    }
    room.shell("find . -type f -exec touch {} +; chmod 0600 snapshots/*");
    let report = room.by_policy("2024-11-05T12:00:00Z").await;
    assert_eq!(report.doubts.count, 3, "a person is told: {report:?}");
    for now in
        ["2024-11-08T12:00:00Z", "2024-11-22T13:00:00Z", "2024-12-24T12:00:00Z", "2025-06-01T12:00:00Z"]
    {
        let report = room.by_policy(now).await;
        assert_eq!(report.retention, Retained::Nothing, "{now}: {report:?}");
        are_there(&room, &disks, now);
    }
    assert!(is_whole(&room.kept()) && is_whole(&room.repository()));
}

#[tokio::test]
async fn a_policy_makes_nothing_go_at_once() {
    let Some((room, disks)) = four_nights().await else { return };
    for first in [6, 20] {
        room.set_retention(r#"{"last": 1}"#);
        for day in [first + 1, first + 8, first + 14] {
            let now = SignedDuration::from_hours(24 * day);
            let now = ("2024-11-01T12:00:00Z".parse::<jiff::Timestamp>().unwrap() + now).to_string();
            let report = room.by_policy(&now).await;
            assert!(matches!(report.retention, Retained::Waiting { .. }) && report.going == 3, "{report:?}");
            assert_eq!(report.doubts.count, 1, "a person is told: {report:?}");
            are_there(&room, &disks, &now);
        }
        if first == 6 {
            // A person has put it right in time, and the next attempt begins from the beginning.
            room.set_retention(r#"{"daily": 14}"#);
            let report = room.by_policy("2024-11-21T13:00:00Z").await;
            assert!(report.retention == Retained::Nothing && !report.is_troubled(), "{report:?}");
        }
    }
    let report = room.by_policy("2024-12-06T12:00:00Z").await;
    assert!(matches!(report.retention, Retained::Done { .. }), "{report:?}");
    assert!(restored(&room.kept(), "fs01", "4") == disks[3] && is_whole(&room.repository()));
}

#[tokio::test]
async fn no_name_makes_the_report_too_long() {
    use std::os::unix::ffi::OsStrExt as _;

    let Some(room) = Room::new() else { return };
    room.run("fs01", "1", AT, &noise(1 << 20, 1));
    room.keep().await;
    for number in 0..200_u8 {
        let mut name = vec![0xff; 200];
        name.push(number % 10 + b'0');
        name.push(number / 10 + b'0');
        std::fs::write(room.repository().join(std::ffi::OsStr::from_bytes(&name)), "x").unwrap();
    }
    room.shell("rm -r snapshots");
    let report = room.keep().await;
    assert!(report.foreign.count == 200 && report.tampering.count == 2, "{report:?}");
    let written = std::fs::read(room.beside("report.json")).unwrap();
    assert!(written.len() < 60 << 10, "{} bytes", written.len());
    let written: keeper::Report = serde_json::from_slice(&written).unwrap();
    assert_eq!(written.tampering.count, 2);
    assert!(!written.foreign.first.is_empty());
}

/// While the keeper works, the account swaps folders for links as fast as it can. Nothing outside is touched, and once it
/// stops, all is as it was.
#[tokio::test]
async fn a_race_leads_nowhere() {
    let Some(room) = Room::new() else { return };
    let disk = noise(2 << 20, 1);
    room.run("fs01", "1", AT, &disk);
    room.keep().await;
    let outside = room.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let line = format!(
        "while :; do for d in index snapshots keys data; do mv $d x; ln -s {0} $d; rm -f x/* 2>/dev/null; rm -f $d; mv x $d; done; done",
        outside.display()
    );
    let mut racer = Command::new("setpriv")
        .args([
            &format!("--reuid={ACCOUNT}"),
            &format!("--regid={ACCOUNT}"),
            "--clear-groups",
            "--",
            "sh",
            "-c",
            &line,
        ])
        .current_dir(room.repository())
        .env("RESTIC_PASSWORD", PASSWORD)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    for _ in 0..20 {
        room.keep().await;
    }
    racer.kill().unwrap();
    racer.wait().unwrap();
    room.keep().await;
    room.keep().await;
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "nothing was written outside");
    assert!(restored(&room.kept(), "fs01", "1") == disk);
    assert!(restored(&room.repository(), "fs01", "1") == disk);
}
