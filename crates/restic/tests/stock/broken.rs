//! What goes wrong is told apart, leaves no child, and is never taken for a backup.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use restic::{Bounds, Error, Filter, Location, Password, Read, Repository, Restic};

use crate::ground::{Ground, all_of, bounds, is_root, named, noise, processes, save, until};

/// A stream that breaks off after its first bytes.
struct Breaks(bool);

impl io::Read for Breaks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.0, true) {
            return Err(io::Error::other("the lease was taken away"));
        }
        let bytes = noise(into.len().min(100_000), 1);
        into[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// Nothing was saved, and nothing holds the repository.
async fn is_untouched(ground: &Ground) {
    until("no child is left", || processes(ground.path().to_str().unwrap()).is_empty()).await;
    assert!(ground.repository.snapshots(&Filter::default(), &bounds()).await.unwrap().is_empty());
    assert!(ground.files("locks").is_empty());
}

/// The same where restic was ended while it began: what it does at that moment may be to write its lock, of which it does not
/// know yet. That is the lock of a process that is gone.
async fn no_process_holds(ground: &Ground) {
    until("no child is left", || processes(ground.path().to_str().unwrap()).is_empty()).await;
    ground.repository.unlock(&bounds()).await.unwrap();
    is_untouched(ground).await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_backup() {
    let Some(ground) = Ground::new().await else { return };
    let broken = ground.repository.backup(&named("/a/b"), all_of(Breaks(false)), |_| (), &bounds()).await;
    assert!(matches!(broken, Err(Error::Source(_))), "{broken:?}");
    no_process_holds(&ground).await;
    let panicked = |into: &mut dyn io::Write| -> io::Result<()> {
        into.write_all(&noise(100_000, 1))?;
        panic!("as it should");
    };
    let broken = ground.repository.backup(&named("/a/b"), panicked, |_| (), &bounds()).await;
    assert!(matches!(broken, Err(Error::Source(_))), "{broken:?}");
    no_process_holds(&ground).await;
    let empty = save(&ground.repository, b"", "/a/b").await;
    assert!(matches!(empty, Err(Error::Source(_))), "{empty:?}");
    no_process_holds(&ground).await;
}

#[tokio::test]
async fn what_is_cancelled_or_late_ends_in_good_order() {
    let Some(ground) = Ground::new().await else { return };
    for cancelled in [true, false] {
        let (never, _into) = io::pipe().unwrap();
        let limit = Duration::from_secs(if cancelled { 60 } else { 2 });
        let bounds = Bounds::within(limit);
        let backup = named("/a/b");
        let running = ground.repository.backup(&backup, all_of(never), |_| (), &bounds);
        let ended = tokio::join!(running, async {
            until("it has its lock", || !ground.files("locks").is_empty()).await;
            // restic looks again 200 ms after it has made its lock, and only then knows that it has one to remove.
            tokio::time::sleep(Duration::from_millis(700)).await;
            if cancelled {
                bounds.cancel.cancel();
            }
        })
        .0;
        match ended {
            Err(Error::Cancelled) if cancelled => {}
            Err(Error::TimedOut { after }) if !cancelled && after == limit => {}
            other => panic!("{other:?}"),
        }
        is_untouched(&ground).await;
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_apart() {
    let Some(ground) = Ground::bare().await else { return };
    let absent = ground.repository.snapshots(&Filter::default(), &bounds()).await;
    assert!(matches!(absent, Err(Error::NoRepository)), "{absent:?}");
    ground.repository.init(&bounds()).await.unwrap();
    let again = ground.repository.init(&bounds()).await;
    assert!(matches!(again, Err(Error::AlreadyThere)), "{again:?}");
    let wrong = ground.repository.opened_with(Password::new("wrong").unwrap());
    for tried in
        [wrong.init(&bounds()).await, wrong.prune(&bounds()).await, wrong.locks(&bounds()).await.map(drop)]
    {
        assert!(matches!(tried, Err(Error::WrongPassword | Error::AlreadyThere)), "{tried:?}");
    }
    ground.save(b"some", "/a/b").await;
    for (snapshot, path) in [("latest", "/a/c"), ("0000000000", "/a/b")] {
        let none = ground.repository.dump(snapshot, path, &mut tokio::io::sink(), &bounds()).await;
        assert!(matches!(none, Err(Error::NotFound { .. })), "{none:?}");
    }
    for wrong in ["relative", "", "-x", "a,b"] {
        let tags = vec![if wrong.is_empty() { "-t".to_owned() } else { wrong.to_owned() }];
        let backup = restic::Backup { path: wrong.to_owned(), tags, ..named("/a/b") };
        let refused = ground.repository.backup(&backup, all_of(&b"x"[..]), |_| (), &bounds()).await;
        assert!(matches!(refused, Err(Error::Unusable(_))), "{wrong}: {refused:?}");
    }
    let missing = Restic::find("/nonexistent/restic", ground.folder.path()).await;
    assert!(matches!(missing, Err(Error::Program { .. })), "{missing:?}");
    let other = Restic::find("/bin/echo", ground.folder.path()).await;
    assert!(matches!(other, Err(Error::Version { .. })), "{other:?}");
}

#[tokio::test]
async fn one_flipped_byte_is_found_and_named() {
    let Some(ground) = Ground::new().await else { return };
    ground.save(&noise(5 << 20, 7), "/a/b").await;
    let mut packs = ground.files("data");
    packs.sort_by_key(|pack| std::fs::metadata(pack).unwrap().len());
    let pack = packs.pop().unwrap();
    Command::new("chmod").arg("u+w").arg(&pack).status().unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&pack).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4711).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 4711).unwrap();
    let found = ground.repository.check(Read::All, &bounds()).await;
    let Err(Error::Damaged(damage)) = found else { panic!("{found:?}") };
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert!(damage.packs.iter().any(|pack| name.starts_with(pack.as_str())), "{damage:?}");
    let mut back = Vec::new();
    let restored = ground.repository.dump("latest", "/a/b", &mut back, &bounds()).await;
    assert!(matches!(restored, Err(Error::Damaged(_))), "{restored:?}");
    std::fs::remove_file(&pack).unwrap();
    let found = ground.repository.check(Read::Nothing, &bounds()).await;
    assert!(matches!(&found, Err(Error::Damaged(damage)) if damage.packs.contains(name)), "{found:?}");
}

/// A file system of a few MiB, while it lives.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_store_is_told_as_such() {
    if !is_root() {
        return;
    }
    let Some(ground) = Ground::bare().await else { return };
    let small = Small(ground.folder.path().join("small"));
    std::fs::create_dir(&small.0).unwrap();
    assert!(
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(&small.0)
            .status()
            .unwrap()
            .success()
    );
    let location = Location::Local(small.0.join("repository"));
    let there = Repository::new(ground.restic.clone(), location, Password::new("x").unwrap());
    there.init(&bounds()).await.unwrap();
    let full = save(&there, &noise(20 << 20, 9), "/a/b").await;
    assert!(matches!(full, Err(Error::NoRoom { sure: true, .. })), "{full:?}");
    assert!(there.locks(&bounds()).await.unwrap().is_empty());
}

const MASTER: &str = "VERTSKOMMUNE_TEST_MASTER";

/// No test of its own: it is the process that the next one kills.
#[tokio::test]
async fn master() {
    let Some(folder) = std::env::var_os(MASTER) else { return };
    let restic = Restic::find("restic", "/tmp").await.unwrap();
    let location = Location::Local(std::path::Path::new(&folder).to_owned());
    let repository = Repository::new(restic, location, Password::new(crate::ground::PASSWORD).unwrap());
    let (never, _into) = io::pipe().unwrap();
    let _ = repository.backup(&named("/a/b"), all_of(never), |_| (), &bounds()).await;
}

#[tokio::test]
async fn a_child_dies_with_its_master() {
    let Some(ground) = Ground::new().await else { return };
    let folder = ground.path();
    let mut master = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "broken::master"])
        .env(MASTER, &folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("it is at work", || !ground.files("locks").is_empty()).await;
    assert!(!processes(folder.to_str().unwrap()).is_empty());
    master.kill().unwrap();
    master.wait().unwrap();
    until("no child is left", || processes(folder.to_str().unwrap()).is_empty()).await;
    assert!(ground.repository.snapshots(&Filter::default(), &bounds()).await.unwrap().is_empty());
}
