//! Secrets that are mounted and not in the cluster, and changed there while the controller runs.

use std::fs;
use std::path::Path;

use vertskommune_tests::estate::reason;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_secret_serves_and_is_changed_without_a_restart() {
    let Some(stage) = Stage::set_without_controller(1).await else { return };
    let lab = &stage.cluster.lab;
    lab.kubectl(&["delete", "secret", "vcenter-main", "-n", "vertskommune-system"], "").unwrap();
    let mount = tempfile::tempdir().unwrap();
    let password = fs::read_to_string(&stage.main().password_file).unwrap();
    project(mount.path(), 1, &stage.main().user, &password);
    let mut controller = stage.cluster.process_with_secrets(mount.path()).unwrap();
    stage.onboard([1]).await;

    project(mount.path(), 2, &stage.main().user, "wrong");
    stage.tenant(1, "blind", |it| reason(it, "Ready") == "CredentialsRefused").await;
    stage.hindered(1, "CredentialsRefused", "renew the Secret").await;

    project(mount.path(), 3, &stage.main().user, &password);
    stage.settled(1).await;
    stage.unhindered(1).await;
    assert!(controller.ended().unwrap().is_none(), "it was not started anew");
}

/// Puts a version of the Secret into the mount as a kubelet does: the entries are links into a folder that is exchanged.
fn project(mount: &Path, version: u32, user: &str, password: &str) {
    let folder = mount.join("vcenter-main");
    let data = folder.join(format!("..{version}"));
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("username"), user).unwrap();
    fs::write(data.join("password"), password).unwrap();
    std::os::unix::fs::symlink(format!("..{version}"), folder.join("..next")).unwrap();
    fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    for entry in ["username", "password"] {
        // There since the first version.
        let _ = std::os::unix::fs::symlink(format!("..data/{entry}"), folder.join(entry));
    }
}
