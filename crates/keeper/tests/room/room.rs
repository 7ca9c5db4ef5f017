//! A second room's host in a temporary folder: one tenant with an account of its own, and a repository made by that account.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keeper::{ByPolicy, KeepAll, Keeper, KeeperError, Policy, Report, Rule, Run, Settings, Witness};
use restic::Bounds;
use tempfile::TempDir;

/// The account's number: nobody's on any machine.
pub(crate) const ACCOUNT: u32 = 47_110;
pub(crate) const PASSWORD: &str = "the controller's";

pub(crate) struct Room {
    pub(crate) folder: TempDir,
}

/// The rule that keeps nothing, so that only the guards do.
pub(crate) struct KeepNothing;

impl Rule for KeepNothing {
    fn may_go(&self, _: &Policy, runs: &[Run], _: Timestamp) -> BTreeSet<usize> {
        (0..runs.len()).collect()
    }
}

impl Room {
    /// None, with a word on it, where this is not root.
    pub(crate) fn new() -> Option<Self> {
        let missing = ["/usr/bin/restic", "/usr/bin/age", "/usr/bin/setpriv"]
            .into_iter()
            .find(|it| !Path::new(it).exists());
        let why =
            if rustix::process::geteuid().is_root() { missing } else { Some("root, to give files away") };
        if let Some(why) = why {
            assert!(std::env::var_os("CI").is_none(), "nothing may be skipped here: {why} is missing");
            eprintln!("skipped: {why} is missing");
            return None;
        }
        let room = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::set_permissions(room.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(room.repository()).unwrap();
        std::fs::create_dir(room.folder.path().join("tmp")).unwrap();
        for own in [room.repository(), room.folder.path().join("tmp")] {
            chown(own, Some(ACCOUNT), Some(ACCOUNT)).unwrap();
        }
        assert!(room.account(&["init"]).status.success());
        Some(room)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("srv")
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.root().join("nord/ibestad/repository")
    }

    pub(crate) fn kept(&self) -> PathBuf {
        self.root().join(".kept/nord/ibestad")
    }

    /// A file beside the kept copy.
    pub(crate) fn beside(&self, what: &str) -> PathBuf {
        self.root().join(format!(".kept/nord/ibestad.{what}"))
    }

    /// Runs a program with the account's rights.
    pub(crate) fn as_account<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        let user = format!("--reuid={ACCOUNT}");
        let group = format!("--regid={ACCOUNT}");
        Command::new("setpriv")
            .args([&user, &group, "--clear-groups", "--", program])
            .args(arguments)
            .current_dir(self.repository())
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("TMPDIR", self.folder.path().join("tmp"))
            .output()
            .unwrap()
    }

    /// The stock restic, as the account.
    pub(crate) fn account(&self, arguments: &[&str]) -> Output {
        let repository = self.repository();
        let repository = ["--no-cache", "--repo", repository.to_str().unwrap()];
        self.as_account("restic", repository.iter().chain(arguments))
    }

    /// A shell's line as the account, in its repository.
    pub(crate) fn shell(&self, line: &str) {
        let ran = self.as_account("sh", ["-ec", line]);
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// A backup of these bytes, as the controller makes one: a disk, then the configuration.
    pub(crate) fn run(&self, server: &str, run: &str, time: &str, disk: &[u8]) {
        for (file, bytes) in [("data.raw", disk), ("vm.json", b"{}".as_slice())] {
            let from = self.folder.path().join("tmp").join(format!("{server}-{run}"));
            std::fs::write(&from, bytes).unwrap();
            let repository = self.repository();
            let (from, repository) = (from.to_str().unwrap(), repository.to_str().unwrap());
            let line = format!(
                "restic --no-cache --repo {repository} backup --quiet --stdin --stdin-filename /{server}/{file} --host {server} \
                 --tag server={server} --tag run={run} --time '{time}' < {from}"
            );
            self.shell(&line);
        }
    }

    pub(crate) fn settings(&self, rule: Arc<dyn Rule>) -> Settings {
        Settings {
            root: self.root(),
            kept_bytes: 1 << 40,
            rule,
            restic: "/usr/bin/restic".into(),
            age: "/usr/bin/age".into(),
        }
    }

    /// One run of the keeper.
    pub(crate) async fn keep(&self) -> Report {
        self.keep_at(Timestamp::now(), Arc::new(KeepAll), None).await.unwrap()
    }

    /// One run of the keeper at this time, by this rule.
    pub(crate) async fn keep_at(
        &self,
        now: Timestamp,
        rule: Arc<dyn Rule>,
        witness: Option<Witness>,
    ) -> Result<Report, KeeperError> {
        keep(self.settings(rule), now, witness).await
    }

    /// One run of the keeper at this time, by the tenant's policy. That there was none for days before is not doubted.
    pub(crate) async fn by_policy(&self, now: &str) -> Report {
        self.forget_the_last_run();
        self.keep_at(now.parse().unwrap(), Arc::new(ByPolicy), None).await.unwrap()
    }

    /// Two weeks from the third day on, in which nothing is asked for: so that it goes in three weeks. Gives the last report.
    pub(crate) async fn nothing_is_asked_for(&self) -> Report {
        for days in [3, 9] {
            self.forget_the_last_run();
            let now = Timestamp::now() + SignedDuration::from_hours(24 * days);
            self.keep_at(now, Arc::new(KeepNothing), None).await.unwrap();
        }
        self.forget_the_last_run();
        let now = Timestamp::now() + SignedDuration::from_hours(24 * 15);
        let report = self.keep_at(now, Arc::new(KeepNothing), None).await.unwrap();
        self.forget_the_last_run();
        report
    }

    /// So that the next run can be at any time.
    pub(crate) fn forget_the_last_run(&self) {
        let _ = std::fs::remove_file(self.beside("report.json"));
    }

    pub(crate) fn set_retention(&self, retention: &str) {
        let policy =
            format!(r#"{{"retention": {retention}, "timeZone": "Europe/Oslo", "keepAfterExit": "PT2160H"}}"#);
        std::fs::write(self.beside("policy.json"), policy).unwrap();
    }

    /// Gives the keeper a key and a policy.
    pub(crate) async fn give_key_and_policy(&self) {
        let bounds = bounds();
        // The first run makes the keeper's own key pair.
        self.keep().await;
        let public = std::fs::read_to_string(self.root().join(".kept/keeper.pub")).unwrap();
        let public = public.trim().parse().unwrap();
        let password = restic::Password::random().unwrap();
        let restic = restic::Restic::find("restic", self.folder.path()).await.unwrap();
        let location = restic::Location::Local(self.repository());
        let controller = restic::Repository::new(restic, location, restic::Password::new(PASSWORD).unwrap());
        controller.add_key(&password, &bounds).await.unwrap();
        let sealed =
            restic::escrow::seal(Path::new("/usr/bin/age"), &password, &public, &bounds).await.unwrap();
        std::fs::write(self.repository().join("keeper.age"), sealed).unwrap();
        let mine = Command::new("chown")
            .arg("-R")
            .arg(format!("{ACCOUNT}:{ACCOUNT}"))
            .arg(self.repository())
            .status();
        assert!(mine.unwrap().success());
        self.set_retention(r#"{"daily": 14}"#);
    }
}

/// Bytes of a disk, as a repository gives them to the stock restic.
pub(crate) fn restored(from: &Path, server: &str, run: &str) -> Vec<u8> {
    let tag = format!("server={server},run={run}");
    let path = format!("/{server}/data.raw");
    let restored = Command::new("restic")
        .args(["--no-cache", "--no-lock", "--repo"])
        .arg(from)
        .args(["dump", "--tag", &tag, "--path", &path, "latest", &path])
        .env("RESTIC_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    restored.stdout
}

/// Whether the stock restic finds every byte of a repository good.
pub(crate) fn is_whole(repository: &Path) -> bool {
    let checked = Command::new("restic")
        .args(["--no-cache", "--no-lock", "--repo"])
        .arg(repository)
        .args(["check", "--read-data"])
        .env("RESTIC_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    if !checked.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&checked.stderr));
    }
    checked.status.success()
}

/// Every file of a repository by its path, but for locks.
pub(crate) fn files(repository: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![repository.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(repository).unwrap().to_str().unwrap().to_owned();
                files.insert(path);
            }
        }
    }
    files.retain(|path| !path.starts_with("locks/"));
    files
}

/// The largest pack.
pub(crate) fn pack(repository: &Path) -> PathBuf {
    let packs = files(repository).into_iter().filter(|path| path.starts_with("data/"));
    let packs = packs.map(|path| repository.join(path));
    packs.max_by_key(|path| std::fs::metadata(path).unwrap().size()).unwrap()
}

/// One run of the keeper over a room with one tenant.
pub(crate) async fn keep(
    settings: Settings,
    now: Timestamp,
    witness: Option<Witness>,
) -> Result<Report, KeeperError> {
    let bounds = bounds();
    let keeper = start(settings).await?;
    let keeper = match witness {
        Some(witness) => keeper.watched_by(witness),
        None => keeper,
    };
    let mut reports = Vec::new();
    keeper.run(|| now, &bounds, |_, _, report| reports.push(report.clone())).await?;
    assert_eq!(reports.len(), 1);
    Ok(reports.remove(0))
}

/// Starts a keeper. One that has ended may be held to be at work for a moment: a child that another test just started has
/// its open files until it becomes another program.
pub(crate) async fn start(settings: Settings) -> Result<Keeper, KeeperError> {
    for _ in 0..40 {
        match Keeper::start(clone(&settings), &bounds()).await {
            Err(KeeperError::Running) => tokio::time::sleep(Duration::from_millis(50)).await,
            started => return started,
        }
    }
    Err(KeeperError::Running)
}

fn clone(settings: &Settings) -> Settings {
    let Settings { root, kept_bytes, rule, restic, age } = settings;
    Settings {
        root: root.clone(),
        kept_bytes: *kept_bytes,
        rule: rule.clone(),
        restic: restic.clone(),
        age: age.clone(),
    }
}

pub(crate) fn bounds() -> Bounds {
    Bounds::within(Duration::from_secs(300))
}

/// Three days on: what came today is no longer young.
pub(crate) fn in_three_days() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(72)
}

/// Three weeks on: what was no longer asked for since the third day goes.
pub(crate) fn in_three_weeks() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(21 * 24)
}

/// A day ago, as restic takes it.
pub(crate) fn yesterday() -> String {
    (Timestamp::now() - SignedDuration::from_hours(24)).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Bytes that do not compress or repeat, the same each time.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
