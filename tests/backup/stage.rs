//! A second room with the plugin before it, a tenant, and servers that give their disks out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::backup::proving::ProofScope;
use vertskommune_core::backup::{Backup, Mode, ProofRule, Retention, Selection, Window, Zone};
use vertskommune_core::host::{Budget, Ground, Host, Mode as HostMode};
use vertskommune_core::names::{Installation, ResourceKey};
use vertskommune_core::observation::{Observation, Scope};
use vertskommune_core::tenant::{DeletionPolicy, Disk, DriftPolicy, Server, ValidatedTenant};
use vertskommune_core::transfer::{Transfer, Work};
use vertskommune_core::windows::Maintenance;
use vertskommune_provider::context::{Always, Fenced};
use vertskommune_provider::secrets::{FolderSecrets, SecretStore};
use vertskommune_provider::testing::Cut;
use vertskommune_provider::testing::conformance::{Drive, Peer, Things};
use vertskommune_provider::{Around, Ctx, Moved, Permit, Plugin as _, Provider, ProviderError};
use vertskommune_provider_backup::BackupPlugin;
use vertskommune_tests::room::Room;

use crate::servers::Servers;

/// The server that is backed up.
pub(crate) const SERVER: &str = "ibe-fs01";

/// The stock one.
pub(crate) const SSH: &str = "/usr/bin/ssh";

/// A second room and what is before it.
pub(crate) struct Stage {
    pub(crate) room: Room,
    pub(crate) quota: Option<u64>,
    pub(crate) identity: String,
    /// The `ssh` that restic calls to reach the room.
    pub(crate) ssh: PathBuf,
    secrets: PathBuf,
    escrow: String,
    /// What was there when the journal was emptied.
    before: std::sync::Mutex<String>,
}

impl Stage {
    /// Starts one; none where it has to be skipped.
    pub(crate) fn start(file_system: &str, size: &str) -> Option<Self> {
        let room = Room::start(file_system, size)?;
        let secrets = room.file("secrets");
        let agent = secrets.join("room-2");
        fs::create_dir_all(&agent).unwrap();
        fs::copy(room.file("agent"), agent.join("id_ed25519")).unwrap();
        let pair = room.file("escrow");
        assert!(Command::new("age-keygen").arg("-o").arg(&pair).output().unwrap().status.success());
        let said = Command::new("age-keygen").arg("-y").arg(&pair).output().unwrap();
        let escrow = String::from_utf8(said.stdout).unwrap().trim().to_owned();
        let identity = room.place.host_key.clone();
        let (ssh, before) = (PathBuf::from(SSH), std::sync::Mutex::default());
        Some(Self { room, quota: None, identity, ssh, secrets, escrow, before })
    }

    /// Does something on the room's network.
    pub(crate) fn block_on<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        self.room.on_its_network(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(work)
        })
    }

    pub(crate) fn ctx(&self, permit: Arc<dyn Permit>) -> Ctx {
        Ctx {
            deadline: Instant::now() + Duration::from_secs(180),
            cancel: CancellationToken::new(),
            secrets: self.secrets(),
            permit,
        }
    }

    pub(crate) fn drive(&self, tenant: ValidatedTenant) -> Drive<'_> {
        Drive { peer: self, tenant, leaving: false }
    }

    /// A tenant with all that it should have here.
    pub(crate) async fn ready(&self) -> Arc<dyn Provider> {
        let last = self.drive(tenant()).converge().await;
        assert!(last.refusals.is_empty() && last.steps.is_empty(), "{last:#?}");
        self.provider()
    }

    /// Looks at everything.
    pub(crate) async fn look(&self, provider: &dyn Provider) -> Observation {
        provider.observe(&Scope::default(), &self.ctx(Arc::new(Always))).await.unwrap()
    }

    /// Takes a backup, with this permit.
    pub(crate) async fn take_with(
        &self,
        provider: &dyn Provider,
        servers: &Servers,
        permit: Arc<dyn Permit>,
    ) -> Result<Moved, ProviderError> {
        self.transfer(provider, Work::Backup, servers, &|_| {}, permit).await
    }

    /// Takes a backup.
    pub(crate) async fn take(
        &self,
        provider: &dyn Provider,
        servers: &Servers,
    ) -> Result<Moved, ProviderError> {
        another_second().await;
        self.take_with(provider, servers, Arc::new(Always)).await
    }

    /// Proves a disk.
    pub(crate) async fn prove(&self, provider: &dyn Provider, disk: &str) -> Result<Moved, ProviderError> {
        self.prove_with(provider, disk, &|_| {}).await
    }

    /// Proves a disk, with somebody who is told how far it is.
    pub(crate) async fn prove_with(
        &self,
        provider: &dyn Provider,
        disk: &str,
        progress: &(dyn Fn(Moved) + Send + Sync),
    ) -> Result<Moved, ProviderError> {
        let servers = Servers::new(&[]);
        let work = Work::Proof { disk: disk.to_owned() };
        self.transfer(provider, work, &servers, progress, Arc::new(Always)).await
    }

    /// Carries out any work.
    pub(crate) async fn transfer(
        &self,
        provider: &dyn Provider,
        work: Work,
        servers: &Servers,
        progress: &(dyn Fn(Moved) + Send + Sync),
        permit: Arc<dyn Permit>,
    ) -> Result<Moved, ProviderError> {
        let tenant = tenant();
        let transfer = Transfer {
            due: Timestamp::now(),
            provider: provider.name().clone(),
            tenant: tenant.name.clone(),
            server: SERVER.to_owned(),
            work,
        };
        let around = Around { servers: Some(servers), progress };
        let ctx = self.ctx(permit);
        let carried = provider.transfers().unwrap().carry_out(&transfer, &tenant, &around, &ctx).await;
        carried.map(|carried| carried.moved)
    }

    /// The tenant's password.
    pub(crate) fn password(&self) -> String {
        fs::read_to_string(self.secrets.join("backup-ibestad/password")).unwrap()
    }

    /// Runs the stock restic in the room, on the tenant's repository, with this password and nothing of ours.
    pub(crate) fn restic(&self, password: &str, arguments: &str) -> String {
        let script = format!(
            "export HOME=/root; exec restic --no-cache --repo /srv/vertskommune/lab/ibestad/repository \
             --password-file <(printf %s {password}) {arguments}"
        );
        self.room.inside(&script).unwrap()
    }

    /// What the offline key opens.
    pub(crate) fn escrow_password(&self) -> String {
        let sealed = self.room.file("sealed");
        let read = "cat /srv/vertskommune/lab/ibestad/repository/escrow.age";
        fs::write(&sealed, self.room.inside_with(read, &[]).unwrap().stdout).unwrap();
        let mut age = Command::new("age");
        let opened = age.arg("-d").arg("-i").arg(self.room.file("escrow")).arg(&sealed).output().unwrap();
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
        String::from_utf8(opened.stdout).unwrap()
    }

    /// Runs the keeper there.
    pub(crate) fn keep(&self) {
        self.room.order("keep").unwrap();
    }

    /// All that lies there, in a form that changes with every write.
    fn everything(&self) -> String {
        let script = "cd / && find srv/vertskommune etc/vertskommune etc/passwd -type f ! -path '*/locks/*' ! -name .claim \
                      ! -path '*/.agent/lock' -printf '%p %u %m %s %T@\\n' | sort";
        self.room.inside(script).unwrap()
    }
}

/// A tenant with one server.
pub(crate) fn tenant() -> ValidatedTenant {
    let zone = Zone::named("Europe/Oslo").unwrap();
    let window = Window::new(Window::time_of_day("22:00").unwrap(), SignedDuration::from_hours(6), zone);
    let disk = |name: &str| Disk { name: name.to_owned(), size: 8 << 20, storage_policy: None };
    ValidatedTenant {
        name: "ibestad".into(),
        display_name: "Ibestad".to_owned(),
        municipality_number: None,
        networks: Vec::new(),
        compute: None,
        servers: vec![Server {
            name: SERVER.to_owned(),
            computer_name: "IBE-FS01".to_owned(),
            template: "windows@2".to_owned(),
            vcpus: 2,
            memory: 4 << 30,
            disks: vec![disk("data"), disk("scratch")],
            interfaces: Vec::new(),
            anti_affinity: None,
            adopt: None,
            recreate: None,
            restart_before: None,
        }],
        firewall: None,
        backup: Some(Backup {
            provider: "room-2".into(),
            mode: Mode::Managed {
                window: window.unwrap(),
                retention: Retention { daily: 7, ..Retention::default() },
            },
            selection: Selection {
                exclude: [format!("{SERVER}/scratch").into()].into(),
                ..Selection::default()
            },
            max_age: SignedDuration::from_hours(26),
            proof: ProofRule { max_age: SignedDuration::from_hours(168), scope: ProofScope::EveryDisk },
            keep_after_exit: SignedDuration::from_hours(24 * 90),
            after: None,
        }),
        directory: None,
        maintenance: Maintenance::default(),
        drift_policy: DriftPolicy::Heal,
        deletion_policy: DeletionPolicy::default(),
        suspend: false,
        allow_destroy: BTreeSet::new(),
        accept_loss: None,
    }
}

pub(crate) fn key(kind: &str) -> ResourceKey {
    ResourceKey::new(kind, "ibestad")
}

/// Waits for the next second: runs are named and proofs are told apart by theirs.
pub(crate) async fn another_second() {
    let now = Timestamp::now();
    let into = u64::try_from(now.subsec_nanosecond()).unwrap();
    tokio::time::sleep(Duration::from_nanos(1_000_000_000_u64.saturating_sub(into))).await;
}

/// A permit that is refused at the question of that number, and ever after.
pub(crate) struct DiesAt(AtomicUsize);

impl DiesAt {
    pub(crate) fn question(number: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(number)))
    }
}

impl Permit for DiesAt {
    fn check(&self) -> Result<(), Fenced> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Fenced("it died".to_owned()))
    }
}

/// A permit that somebody takes away.
#[derive(Default)]
pub(crate) struct Lease(AtomicBool);

impl Lease {
    pub(crate) fn lose(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Permit for Lease {
    fn check(&self) -> Result<(), Fenced> {
        if self.0.load(Ordering::SeqCst) { Err(Fenced("the lease is lost".to_owned())) } else { Ok(()) }
    }
}

impl Peer for Stage {
    fn host(&self) -> Host {
        let mut settings = json!({
            "escrowRecipient": self.escrow,
            "ssh": self.ssh,
            "temporary": self.room.file("").to_string_lossy(),
        });
        if let Some(quota) = self.quota {
            settings["quota"] = json!(quota);
        }
        Host {
            name: "room-2".into(),
            plugin: "backup".to_owned(),
            endpoint: format!("ssh://{}:{}", self.room.place.host, self.room.place.port),
            identity: self.identity.clone(),
            ca: None,
            credentials: Some("room-2".to_owned()),
            site: Some("room-2".to_owned()),
            mode: HostMode::Manage,
            budget: Budget::default(),
            ground: Ground::default(),
            destruction_released_until: None,
            maintenance: Maintenance::default(),
            settings,
        }
    }

    fn installation(&self) -> Installation {
        self.room.place.installation.as_str().into()
    }

    fn provider(&self) -> Arc<dyn Provider> {
        BackupPlugin.provider(&self.installation(), &self.host()).unwrap()
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(FolderSecrets::new(&self.secrets))
    }

    fn journal(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async {
            let (before, now) = (self.before.lock().unwrap().clone(), self.everything());
            let count = |text: &str| {
                text.lines().fold(BTreeMap::<String, i32>::new(), |mut all, line| {
                    *all.entry(line.to_owned()).or_default() += 1;
                    all
                })
            };
            let before = count(&before);
            count(&now).into_keys().filter(|line| !before.contains_key(line)).collect()
        })
    }

    fn reset(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { *self.before.lock().unwrap() = self.everything() })
    }

    fn cut(&self, _: usize, _: Cut) -> BoxFuture<'_, ()> {
        unreachable!("crashes here are by time, see crashing.rs")
    }

    fn things(&self) -> BoxFuture<'_, Things> {
        Box::pin(async {
            // Before it is made nothing is there.
            let script = "cd /srv/vertskommune; for it in lab/ibestad .agent/lab/ibestad.json .kept/lab/ibestad*; do \
                          [ ! -e $it ] || find $it -maxdepth 2 -printf '%p %y %u %m\\n'; done | sort; \
                          keys=lab/ibestad/repository/keys; [ ! -e $keys ] || ls $keys | wc -l";
            let ours = self.room.inside(script).unwrap().lines().map(str::to_owned).collect();
            let is_foreign = |line: &&str| !line.contains("ibestad") && !line.contains("etc/passwd");
            Things { ours, foreign: self.everything().lines().filter(is_foreign).collect() }
        })
    }

    fn clear(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let script = "userdel vk-ibestad || true; cd /srv/vertskommune; rm -rf lab/ibestad .agent/lab/ibestad.json \
                          .kept/lab/ibestad* /etc/vertskommune/keys/vk-ibestad";
            self.room.inside(script).unwrap();
            let _ = fs::remove_dir_all(self.secrets.join("backup-ibestad"));
        })
    }
}

/// A file's rights as a number.
pub(crate) fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
