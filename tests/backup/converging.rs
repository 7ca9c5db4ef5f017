//! Accounts, repositories and policies: made once, kept as they are asked for, and never taken away.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use vertskommune_core::observation::{Blindness, Scope, Seen};
use vertskommune_core::plan::Plan;
use vertskommune_core::step::Class;
use vertskommune_provider::context::Always;
use vertskommune_provider::testing::conformance::{self, Peer as _};
use vertskommune_provider::{Changes, Claim, ProviderError};

use crate::stage::{Stage, key, mode, tenant};

fn operations(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|it| format!("{} {}", it.step.operation, it.step.resource.key.kind)).collect()
}

#[test]
fn a_tenant_converges_and_then_rests() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        let drive = stage.drive(tenant());
        conformance::looking_writes_nothing(&drive).await;
        assert_eq!(operations(&drive.look().await), ["create account", "create repository"]);
        conformance::converges(&drive).await;
        conformance::looking_writes_nothing(&drive).await;
        assert_eq!(mode(&stage.room.file("secrets/backup-ibestad/id_ed25519")), 0o600);
        // Two keys, each of which opens it: the Secret's and the offline one's.
        let keys = stage.restic(&stage.password(), "key list --json");
        assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&keys).unwrap().len(), 2);
        let escrow = stage.escrow_password();
        assert_ne!(escrow, stage.password());
        stage.restic(&escrow, "check");
        // The keeper has never run: that is said, and holds up nothing.
        let plan = drive.look().await;
        assert!(
            plan.is_converged() && plan.notices.iter().any(|it| it.message.contains("never run")),
            "{plan:#?}"
        );
        stage.keep();
        assert_eq!(operations(&drive.look().await), ["add-key repository"]);
        drive.converge().await;
        stage.keep();
        let plan = drive.look().await;
        // This disk binds nobody by a quota, which stays said.
        assert!(
            plan.is_empty() && plan.notices.iter().all(|it| it.message.starts_with("no quota binds it")),
            "{plan:#?}"
        );
        let seen = stage.look(stage.provider().as_ref()).await;
        assert!(seen.version.contains("restic 0."), "{}", seen.version);
        assert!(seen.capacity["disk"].free > 1 << 20);
    });
}

#[test]
fn a_policy_follows_the_manifest_and_an_exit_removes_nothing() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        stage.ready().await;
        let policy = || -> serde_json::Value {
            serde_json::from_str(
                &stage.room.inside("cat /srv/vertskommune/.kept/lab/ibestad.policy.json").unwrap(),
            )
            .unwrap()
        };
        assert_eq!(policy()["retention"]["daily"], 7);
        let mut changed = tenant();
        if let vertskommune_core::backup::Mode::Managed { retention, .. } =
            &mut changed.backup.as_mut().unwrap().mode
        {
            retention.weekly = 5;
        }
        let drive = stage.drive(changed.clone());
        let plan = drive.look().await;
        assert_eq!(operations(&plan), ["set-policy repository"]);
        assert!(plan.steps[0].step.summary.contains("weekly 0 → 5"), "{}", plan.steps[0].step.summary);
        conformance::converges(&drive).await;
        assert_eq!(policy()["retention"]["weekly"], 5);
        stage.room.inside("test \"$(stat -c '%U %a' /srv/vertskommune/.kept)\" = 'root 700'").unwrap();

        let before = stage.ours().await;
        let mut leaving = changed.clone();
        leaving.backup = None;
        let drive = stage.drive(leaving);
        let plan = drive.look().await;
        assert_eq!(operations(&plan), ["leave repository"]);
        assert_eq!(plan.steps[0].step.class, Class::Retire);
        conformance::converges(&drive).await;
        let left: Timestamp = policy()["leftAt"].as_str().unwrap().parse().unwrap();
        assert!(Timestamp::now().duration_since(left).as_secs() < 60);
        assert_eq!(stage.ours().await, before, "nothing went");
        // It comes back, and all is as it was.
        let drive = stage.drive(changed);
        assert_eq!(operations(&drive.look().await), ["come-back repository"]);
        conformance::converges(&drive).await;
        assert_eq!(policy().get("leftAt"), Some(&json!(null)));
    });
}

#[test]
fn of_two_writers_one_is_refused() {
    let Some(stage) = Stage::start("ext4", "64M") else { return };
    stage.block_on(async {
        let provider = stage.provider();
        let ctx = stage.ctx(Arc::new(Always));
        let claim = |holder: &str, minutes: u64, take_over| Claim {
            installation: stage.installation(),
            holder: holder.to_owned(),
            expires: Timestamp::now() + Duration::from_mins(minutes),
            take_over,
        };
        for (holder, minutes, take_over, granted, why) in [
            ("a", 5, false, true, "the first"),
            ("a", 5, false, true, "it renews its claim"),
            ("b", 5, false, false, "another holder"),
            ("b", 5, true, true, "it takes over"),
            ("a", 5, false, false, "the first has lost it"),
            ("b", 0, false, true, "it gives it back"),
            ("a", 5, false, true, "it is free"),
        ] {
            match provider.claim(&claim(holder, minutes, take_over), &ctx).await {
                Ok(()) => assert!(granted, "{why}"),
                Err(ProviderError::Claimed { holder, installation, .. }) => {
                    assert!(!granted, "{why}");
                    assert_eq!((installation.as_str(), holder.len()), ("lab", 1));
                }
                Err(error) => panic!("{why}: {error}"),
            }
        }
    });
}

#[test]
fn a_room_that_is_another_or_lets_nobody_in_is_not_seen() {
    let Some(mut stage) = Stage::start("ext4", "64M") else { return };
    let right = stage.identity.clone();
    stage.identity =
        stage.room.place.rsa_host_key.replace("AAAAB3NzaC1yc2EAAAADAQABAAAB", "AAAAB3NzaC1yc2EAAAADAQABAAAC");
    let attempts =
        || std::fs::read_to_string(&stage.room.place.log).unwrap().matches("userauth-request").count();
    let before = attempts();
    stage.block_on(async {
        let seen = stage.provider().observe(&Scope::default(), &stage.ctx(Arc::new(Always))).await;
        assert!(matches!(seen, Err(ProviderError::Misidentified { .. })), "{seen:?}");
        assert!(!stage.drive(tenant()).look().await.doubts.is_empty());
        let lines = stage.provider().preflight(&stage.ctx(Arc::new(Always))).await;
        assert!(lines.iter().any(|line| line.what == "identity" && line.result.is_err()), "{lines:?}");
    });
    assert_eq!(attempts(), before, "no credential was shown");
    stage.identity = right;
    let agent = stage.room.file("secrets/room-2/id_ed25519");
    let other = stage.room.file("other");
    let mut keygen = std::process::Command::new("ssh-keygen");
    assert!(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other).status().unwrap().success());
    std::fs::copy(&other, &agent).unwrap();
    stage.block_on(async {
        let seen = stage.provider().observe(&Scope::default(), &stage.ctx(Arc::new(Always))).await;
        assert_eq!(seen.err(), Some(ProviderError::CredentialsRefused));
    });
    std::fs::copy(stage.room.file("agent"), &agent).unwrap();
    stage.room.order("stop").unwrap();
    stage.block_on(async {
        let seen = stage.provider().observe(&Scope::default(), &stage.ctx(Arc::new(Always))).await;
        assert!(matches!(seen, Err(ProviderError::Unreachable { .. })), "{seen:?}");
    });
}

#[test]
fn a_secret_that_is_gone_is_not_made_anew_over_what_it_opened() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        stage.ready().await;
        let secret = stage.room.file("secrets/backup-ibestad");
        std::fs::rename(&secret, stage.room.file("kept-secret")).unwrap();
        let plan = stage.drive(tenant()).look().await;
        assert!(plan.steps.is_empty() && !plan.doubts.is_empty(), "{plan:#?}");
        assert!(
            matches!(&plan.doubts[0].why, Blindness::NoSight(why) if why.contains("escrow")),
            "{plan:#?}"
        );
        std::fs::rename(stage.room.file("kept-secret"), &secret).unwrap();
        assert!(stage.drive(tenant()).look().await.steps.is_empty());
        // Nor is a repository that was there, where it is gone.
        stage.keep();
        stage
            .room
            .inside("cd /srv/vertskommune/lab/ibestad/repository && rm -rf config keys snapshots index data")
            .unwrap();
        let seen = stage.look(stage.provider().as_ref()).await;
        assert!(
            matches!(seen.of(&"ibestad".into(), &key("repository")), Some(Seen::Lost { .. })),
            "{seen:?}"
        );
        let plan = stage.drive(tenant()).look().await;
        assert!(plan.steps.is_empty() && !plan.refusals.is_empty(), "{plan:#?}");
        // The keeper puts it back.
        stage.keep();
        assert!(stage.drive(tenant()).look().await.refusals.is_empty());
        // Nor where its folder is gone.
        stage.room.inside("rm -rf /srv/vertskommune/lab/ibestad/repository").unwrap();
        let plan = stage.drive(tenant()).look().await;
        assert!(!plan.refusals.is_empty(), "{plan:#?}");
        stage.drive(tenant()).converge().await;
        stage.keep();
        let plan = stage.drive(tenant()).converge().await;
        assert!(plan.refusals.is_empty() && plan.steps.is_empty(), "{plan:#?}");
        stage.restic(&stage.password(), "check --read-data");
    });
}

#[test]
fn what_changes_there_is_noticed_and_healed() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let ctx = stage.ctx(Arc::new(Always));
        assert_eq!(provider.changed(&ctx).await, Ok(Changes::Anything), "the first call");
        let changing = provider.changed(&ctx);
        stage.room.inside("echo 'restrict ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc' >/etc/vertskommune/keys/vk-ibestad").unwrap();
        assert_eq!(changing.await, Ok(Changes::Tenants(["ibestad".into()].into())));
        // The repository cannot be read with the key that was taken away.
        let plan = stage.drive(tenant()).look().await;
        assert_eq!((operations(&plan), plan.doubts.len()), (vec!["set account".to_owned()], 1), "{plan:#?}");
        conformance::converges(&stage.drive(tenant())).await;
    });
}

#[test]
fn a_quota_is_set_where_it_binds_and_shown_where_it_does_not() {
    let Some(mut stage) = Stage::start("btrfs", "512M") else { return };
    stage.quota = Some(128 << 20);
    stage.block_on(async {
        conformance::converges(&stage.drive(tenant())).await;
        let seen = stage.look(stage.provider().as_ref()).await;
        let account = seen.present(&"ibestad".into(), &key("account")).unwrap();
        assert_eq!(account.fields.get("quota"), Some(&json!(128 << 20)));
    });
    stage.quota = Some(256 << 20);
    stage.block_on(async {
        assert_eq!(operations(&stage.drive(tenant()).look().await), ["set account"]);
        conformance::converges(&stage.drive(tenant())).await;
    });
    drop(stage);
    let Some(mut stage) = Stage::start("ext4", "256M") else { return };
    stage.quota = Some(128 << 20);
    stage.block_on(async {
        conformance::converges(&stage.drive(tenant())).await;
        let plan = stage.drive(tenant()).look().await;
        assert_eq!(plan.shown.iter().filter(|shown| shown.field == "quota").count(), 1, "{plan:#?}");
        assert!(plan.notices.iter().any(|notice| notice.message.contains("no quota binds it")), "{plan:#?}");
    });
}
