//! The escrow key: sealed by us, opened by the stock age with the offline key, and the repository by the stock restic.

use std::path::Path;
use std::process::Command;

use restic::escrow::{self, Recipient};
use restic::{Error, Password};

use crate::ground::{Ground, bounds, has, noise};

const AGE: &str = "/usr/bin/age";

#[tokio::test]
async fn with_the_offline_key_and_the_files_alone_all_is_restored() {
    if !has(&[AGE]) {
        return;
    }
    let Some(ground) = Ground::new().await else { return };
    let disk = noise(3 << 20, 5);
    ground.save(&disk, "/a/data.raw").await;
    let offline = ground.folder.path().join("offline.key");
    let made = Command::new("age-keygen").arg("-o").arg(&offline).output().unwrap();
    let said = String::from_utf8(made.stderr).unwrap();
    let public: Recipient = said.trim().strip_prefix("Public key: ").unwrap().parse().unwrap();

    let escrow = Password::random().unwrap();
    ground.repository.add_key(&escrow, &bounds()).await.unwrap();
    let sealed = escrow::seal(Path::new(AGE), &escrow, &public, &bounds()).await.unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n-> X25519 "));
    let file = ground.path().join("escrow.age");
    std::fs::write(&file, &sealed).unwrap();
    drop(escrow);

    let opened = Command::new("age").arg("-d").arg("-i").arg(&offline).arg(&file).output().unwrap();
    assert!(opened.status.success());
    let restored = Command::new("restic")
        .args(["--no-cache", "--repo"])
        .arg(ground.path())
        .args(["dump", "latest", "/a/data.raw"])
        .env("RESTIC_PASSWORD", String::from_utf8(opened.stdout.clone()).unwrap())
        .output()
        .unwrap();
    assert!(restored.stdout == disk, "{}", String::from_utf8_lossy(&restored.stderr));

    let ours = escrow::open(Path::new(AGE), &sealed, &offline, &bounds()).await.unwrap();
    assert_eq!(ours.expose().unwrap().as_bytes(), opened.stdout);
    let other = ground.folder.path().join("other.key");
    escrow::identity(Path::new("age-keygen"), &other, &bounds()).await.unwrap();
    let refused = escrow::open(Path::new(AGE), &sealed, &other, &bounds()).await;
    assert!(matches!(refused, Err(Error::Failed { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_identity_is_made_once() {
    if !has(&[AGE]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identity");
    let keygen = Path::new("age-keygen");
    let first = escrow::identity(keygen, &file, &bounds()).await.unwrap();
    assert_eq!(escrow::identity(keygen, &file, &bounds()).await.unwrap(), first);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap()) & 0o777, 0o600);
    for wrong in ["", "age1", "AGE-SECRET-KEY-1", &format!("{first} ")] {
        assert!(wrong.parse::<Recipient>().is_err(), "{wrong:?}");
    }
}
