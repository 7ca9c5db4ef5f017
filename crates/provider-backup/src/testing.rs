//! What the tests of this crate are about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use second_room::Label;
use second_room::protocol::{AccountState, Description, Policy, QuotaMode, Retention, Snapshots};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use vertskommune_core::backup::proving::ProofScope;
use vertskommune_core::backup::{self, Backup, Mode, ProofRule, Selection, Window, Zone};
use vertskommune_core::host::{self, Budget, Ground, Host};
use vertskommune_core::tenant::{Disk, Server, ValidatedTenant};
use vertskommune_core::windows::Maintenance;
use vertskommune_provider::context::Fenced;
use vertskommune_provider::secrets::FolderSecrets;
use vertskommune_provider::{Ctx, Permit};

const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";

/// The second room as a manifest gives it.
pub(crate) fn host() -> Host {
    Host {
        name: "room-2".into(),
        plugin: "backup".to_owned(),
        endpoint: "ssh://room-2.example:22".to_owned(),
        identity: HOST_KEY.to_owned(),
        ca: None,
        credentials: Some("room-2".to_owned()),
        site: Some("room-2".to_owned()),
        mode: host::Mode::Manage,
        budget: Budget::default(),
        ground: Ground::default(),
        destruction_released_until: None,
        maintenance: Maintenance::default(),
        settings: json!({"escrowRecipient": format!("age1{}", "q".repeat(58))}),
    }
}

/// A tenant with one server and one disk of its own.
pub(crate) fn tenant() -> ValidatedTenant {
    let window = Window::new(
        Window::time_of_day("22:00").unwrap(),
        SignedDuration::from_hours(6),
        Zone::named("Europe/Oslo").unwrap(),
    );
    let retention = backup::Retention { daily: 7, ..backup::Retention::default() };
    ValidatedTenant {
        name: "ibestad".into(),
        display_name: "Ibestad".to_owned(),
        municipality_number: None,
        networks: Vec::new(),
        compute: None,
        servers: vec![Server {
            name: "ibe-fs01".to_owned(),
            computer_name: "IBE-FS01".to_owned(),
            template: "windows@2".to_owned(),
            vcpus: 2,
            memory: 4 << 30,
            disks: vec![Disk { name: "data".to_owned(), size: 1 << 30, storage_policy: None }],
            interfaces: Vec::new(),
            anti_affinity: None,
            adopt: None,
            recreate: None,
            restart_before: None,
        }],
        firewall: None,
        directory: None,
        backup: Some(Backup {
            provider: "room-2".into(),
            mode: Mode::Managed { window: window.unwrap(), retention },
            selection: Selection::default(),
            max_age: SignedDuration::from_hours(26),
            proof: ProofRule { max_age: SignedDuration::from_hours(168), scope: ProofScope::OneDisk },
            keep_after_exit: SignedDuration::from_hours(24 * 90),
            after: None,
        }),
        maintenance: Maintenance::default(),
        drift_policy: vertskommune_core::tenant::DriftPolicy::Heal,
        deletion_policy: vertskommune_core::tenant::DeletionPolicy::default(),
        suspend: false,
        allow_destroy: std::collections::BTreeSet::new(),
        accept_loss: None,
    }
}

/// What the agent tells of its host.
pub(crate) fn description() -> Description {
    Description {
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        root: "/srv/vertskommune".to_owned(),
        installation: Label::new("nord").unwrap(),
        file_system: "xfs".to_owned(),
        quota: QuotaMode::Project,
        quota_problem: None,
        total_bytes: 2 << 40,
        free_bytes: 1 << 40,
        clock: "2026-11-28T12:00:00Z".to_owned(),
        restic: Some("0.14.0".to_owned()),
        keeper: Some(format!("age1{}", "p".repeat(58))),
    }
}

/// What it tells of the tenant, when all is there.
pub(crate) fn state() -> AccountState {
    AccountState {
        tenant: Label::new("ibestad").unwrap(),
        account: "vk-ibestad".to_owned(),
        uid: 20_000,
        complete: true,
        used_bytes: Some(1 << 30),
        limit_bytes: None,
        repository: true,
        escrow: true,
        keeper_key: true,
        keys: Vec::new(),
        snapshots: Some(Snapshots { count: 0, digest: String::new() }),
        policy: Some(Policy {
            retention: Retention { daily: 7, ..Retention::default() },
            time_zone: "Europe/Oslo".to_owned(),
            keep_after_exit: SignedDuration::from_hours(24 * 90),
            left_at: None,
        }),
        keeper: None,
    }
}

/// A permit that is refused after so many questions.
pub(crate) struct Refuses {
    left: AtomicUsize,
}

impl Refuses {
    pub(crate) fn after(questions: usize) -> Self {
        Self { left: AtomicUsize::new(questions) }
    }
}

impl Permit for Refuses {
    fn check(&self) -> Result<(), Fenced> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Fenced("the lease is lost".to_owned()))
    }
}

/// A call with this permit.
pub(crate) fn ctx(permit: Arc<dyn Permit>) -> Ctx {
    Ctx {
        deadline: tokio::time::Instant::now() + Duration::from_secs(60),
        cancel: CancellationToken::new(),
        secrets: Arc::new(FolderSecrets::new("/nonexistent")),
        permit,
    }
}
