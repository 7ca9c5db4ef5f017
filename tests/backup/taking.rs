//! Backups as they are taken, and as stock programs read them when we are gone.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Arc, Mutex};

use vertskommune_core::backup::facts::{Hindrance, Obstacle};
use vertskommune_core::names::TenantName;
use vertskommune_provider::context::Always;
use vertskommune_provider::testing::conformance::Peer as _;
use vertskommune_provider::{Around, ProviderError, Restore, RestoreServer};

use crate::servers::{Machines, Servers};
use crate::stage::{SERVER, Stage, tenant};

const MIB: u64 = 1 << 20;

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Takes what is restored.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<u8>>>);

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_taken_is_read_by_a_stock_restic_with_either_key() {
    let Some(stage) = Stage::start("ext4", "512M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let servers = Servers::new(&[("data", 24 * MIB + 1), ("system", 9 * MIB), ("scratch", MIB)]);
        let moved = stage.take(provider.as_ref(), &servers).await.unwrap();
        assert_eq!((moved.bytes, moved.of), (33 * MIB + 1, 33 * MIB + 1), "what is excluded is not read");
        {
            let exports = servers.state();
            assert_eq!((exports.open, exports.closed.as_slice()), (0, [true].as_slice()));
        }
        for password in [stage.password(), stage.escrow_password()] {
            stage.restic(&password, "check --read-data");
            for disk in ["data", "system"] {
                let dumped = stage.restic(
                    &password,
                    &format!("dump latest --path /{SERVER}/{disk}.raw /{SERVER}/{disk}.raw | sha256sum"),
                );
                assert_eq!(dumped.split_whitespace().next().unwrap(), hash(&servers.bytes(disk)), "{disk}");
            }
            let said =
                stage.restic(&password, &format!("dump latest --path /{SERVER}/vm.json /{SERVER}/vm.json"));
            let vm: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(
                (vm["configuration"]["vcpus"].as_u64(), vm["tenant"].as_str()),
                (Some(2), Some("ibestad"))
            );
        }
        let seen = stage.look(provider.as_ref()).await;
        let known = &seen.backups[&TenantName::from("ibestad")].backups.servers[SERVER];
        assert_eq!((known.disks["data"].bytes, known.disks.len()), (24 * MIB + 1, 2));
        assert!(known.last_good.is_some());

        // The same bytes once more cost next to nothing.
        let again = stage.take(provider.as_ref(), &servers).await.unwrap();
        assert!(again.stored * 100 < again.bytes, "{again:?}");
        servers.state().changes = 1;
        let changed = stage.take(provider.as_ref(), &servers).await.unwrap();
        assert!(changed.stored > MIB && changed.stored < changed.bytes / 2, "{changed:?}");
        // A new process, which remembers nothing, sees the same.
        let fresh = stage.look(stage.provider().as_ref()).await;
        assert_eq!(
            fresh.backups[&TenantName::from("ibestad")].backups,
            stage.look(provider.as_ref()).await.backups[&TenantName::from("ibestad")].backups
        );
        let runs = provider
            .transfers()
            .unwrap()
            .runs(&"ibestad".into(), &stage.ctx(Arc::new(Always)))
            .await
            .unwrap();
        assert_eq!((runs.len(), runs[0].disks["data"].bytes), (3, 24 * MIB + 1));
        assert!(runs[0].begun > runs[2].begun, "the newest first");
        restores(&stage, provider.as_ref(), &servers).await;
        makes_anew(&stage, provider.as_ref(), &servers).await;
    });
}

async fn restores(stage: &Stage, provider: &dyn vertskommune_provider::Provider, servers: &Servers) {
    let around = Around { servers: None, progress: &|_| {} };
    let restore = |disk: &str, run: Option<&str>| Restore {
        tenant: "ibestad".into(),
        server: SERVER.to_owned(),
        disk: disk.to_owned(),
        run: run.map(str::to_owned),
    };
    let transfers = provider.transfers().unwrap();
    let ctx = stage.ctx(Arc::new(Always));
    let taken = Taken::default();
    let last = restore("data", None);
    let moved = transfers.restore(&last, Box::new(taken.clone()), &around, &ctx).await.unwrap();
    assert_eq!(moved.bytes, 24 * MIB + 1);
    assert!(*taken.0.lock().unwrap() == servers.bytes("data"), "the last one's bytes");
    for wrong in [restore("nothing", None), restore("data", Some("20010101T000000Z"))] {
        let refused = transfers.restore(&wrong, Box::new(Taken::default()), &around, &ctx).await;
        assert!(matches!(refused, Err(ProviderError::Refused(why)) if why.contains("there is no backup")));
    }
}

/// A server is made anew of the last run, with what that run has.
async fn makes_anew(stage: &Stage, provider: &dyn vertskommune_provider::Provider, servers: &Servers) {
    let around = Around { servers: None, progress: &|_| {} };
    let (transfers, ctx) = (provider.transfers().unwrap(), stage.ctx(Arc::new(Always)));
    let mut wanted = RestoreServer {
        tenant: "ibestad".into(),
        server: SERVER.to_owned(),
        run: None,
        name: "back".to_owned(),
    };
    let machines = Machines::default();
    let made = transfers.restore_server(&wanted, &machines, &around, &ctx).await.unwrap();
    assert_eq!(made.without, ["disk scratch: it was not backed up"]);
    assert_eq!(made.moved.bytes, 33 * MIB + 1);
    {
        let import = machines.state();
        assert_eq!((import.whole, import.disks.len()), (Some(true), 2));
        assert!(
            import.disks.iter().all(|(name, bytes)| *bytes == servers.bytes(name)),
            "the last one's bytes"
        );
        let asked = import.wanted.as_ref().unwrap();
        assert_eq!((asked.name.as_str(), &asked.run), ("back", &made.run));
        assert_eq!(asked.configuration["vcpus"], 2, "as it was exported");
    }
    machines.state().breaks_at = Some(5 << 20);
    let broken = transfers.restore_server(&wanted, &machines, &around, &ctx).await.unwrap_err();
    assert!(broken.to_string().contains("the host went away"), "{broken}");
    assert_eq!(machines.state().whole, Some(false), "it is not to stay");
    wanted.run = Some("20010101T000000Z".to_owned());
    let refused = transfers.restore_server(&wanted, &Machines::default(), &around, &ctx).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("there is {}", made.run)), "{refused}");
}

#[test]
fn what_cannot_be_taken_is_written_down_and_has_had_its_turn() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let obstacle =
            |disk: Option<&str>, why| Obstacle { disk: disk.map(str::to_owned), why, detail: None };
        let servers = Servers::new(&[("data", MIB)]);
        servers.state().hindered = vec![obstacle(None, Hindrance::QuiesceFailed)];
        let refused = stage.take(provider.as_ref(), &servers).await;
        assert!(
            matches!(&refused, Err(ProviderError::Refused(why)) if why.contains("VMware Tools")),
            "{refused:?}"
        );
        let tenant_name = TenantName::from("ibestad");
        let seen = stage.look(provider.as_ref()).await;
        let known = &seen.backups[&tenant_name].backups.servers[SERVER];
        assert_eq!(
            (known.last_good, known.obstacles.as_slice()),
            (None, [obstacle(None, Hindrance::QuiesceFailed)].as_slice())
        );
        let repository = seen.present(&tenant_name, &crate::stage::key("repository")).unwrap();
        assert!(repository.fields.contains_key(&format!("attempts.{SERVER}")));
        // A disk that cannot be taken does not hold up the others, and is named.
        servers.state().hindered.clear();
        servers.state().obstacles = vec![
            obstacle(Some("logs"), Hindrance::RawDeviceMapping),
            obstacle(Some("scratch"), Hindrance::SharedDisk),
        ];
        stage.take(provider.as_ref(), &servers).await.unwrap();
        let seen = stage.look(provider.as_ref()).await;
        let known = &seen.backups[&tenant_name].backups.servers[SERVER];
        assert!(known.last_good.is_some());
        assert_eq!(
            known.obstacles.iter().filter_map(|it| it.disk.as_deref()).collect::<Vec<_>>(),
            ["logs"],
            "scratch is left out anyway"
        );
    });
}

#[test]
fn one_server_is_taken_once_at_a_time_and_two_go_side_by_side() {
    let Some(stage) = Stage::start("ext4", "256M") else { return };
    stage.block_on(async {
        let provider = stage.ready().await;
        let servers = Servers::new(&[("data", 4 * MIB)]);
        servers.state().pause = std::time::Duration::from_millis(300);
        let (one, other) =
            futures::join!(stage.take(provider.as_ref(), &servers), stage.take(provider.as_ref(), &servers));
        let refused =
            [&one, &other].into_iter().filter(|it| matches!(it, Err(ProviderError::Conflict(_)))).count();
        assert_eq!((refused, one.is_ok() || other.is_ok()), (1, true), "{one:?} {other:?}");
        // Another process does not know of this one; restic's own locks let both in.
        let second = stage.provider();
        let (one, other) =
            futures::join!(stage.take(provider.as_ref(), &servers), stage.take(second.as_ref(), &servers));
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
        stage.restic(&stage.password(), "check");
        assert_eq!(tenant().servers.len(), 1);
    });
}
