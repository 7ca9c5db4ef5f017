//! An attacker with everything that the controller holds: the account's rights on this host, and the passwords.

use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::room::{ACCOUNT, PASSWORD, Room, files, is_whole, noise, pack, restored};

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
    room.run("fs01", "1", AT, &disk);
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
