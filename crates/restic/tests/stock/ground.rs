//! A repository in a temporary folder, and what the tests need around it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use restic::{Backup, Bounds, Location, Password, Progress, Repository, Restic, Summary};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "vk-canary-5b1f3c-first";

/// A machine that has what the tests need, or none, with a word on it.
pub(crate) fn has(programs: &[&str]) -> bool {
    let Some(missing) = programs.iter().find(|program| !Path::new(program).exists()) else { return true };
    assert!(
        std::env::var_os("CI").is_none(),
        "nothing may be skipped here: run `make install` for {missing}"
    );
    eprintln!("skipped: {missing} is not there");
    false
}

/// Whether we may mount.
pub(crate) fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "nothing may be skipped here: run it as root");
    eprintln!("skipped: only root can mount a small file system");
    false
}

pub(crate) fn bounds() -> Bounds {
    Bounds::within(Duration::from_secs(120))
}

pub(crate) struct Ground {
    pub(crate) folder: TempDir,
    pub(crate) restic: Restic,
    pub(crate) repository: Repository,
}

impl Ground {
    /// An empty repository.
    pub(crate) async fn new() -> Option<Self> {
        let ground = Self::bare().await?;
        ground.repository.init(&bounds()).await.unwrap();
        Some(ground)
    }

    /// Where one could be.
    pub(crate) async fn bare() -> Option<Self> {
        if !has(&["/usr/bin/restic", "/usr/bin/setpriv"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let restic = Restic::find("restic", folder.path()).await.unwrap();
        let location = Location::Local(folder.path().join("repository"));
        let repository = Repository::new(restic.clone(), location, Password::new(PASSWORD).unwrap());
        Some(Self { folder, restic, repository })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    pub(crate) async fn save(&self, bytes: &[u8], path: &str) -> Summary {
        save(&self.repository, bytes, path).await.unwrap()
    }

    /// The stock program, with the password and nothing of ours.
    pub(crate) fn stock(&self, arguments: &[&str]) -> Output {
        Command::new("restic")
            .args(["--no-cache", "--repo"])
            .arg(self.path())
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .output()
            .unwrap()
    }

    /// Files in one of the repository's folders.
    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.path().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    files.push(entry.path());
                }
            }
        }
        files.sort();
        files
    }
}

pub(crate) async fn save(
    repository: &Repository,
    bytes: &[u8],
    path: &str,
) -> Result<Summary, restic::Error> {
    let saved = repository
        .backup(&named(path), all_of(io::Cursor::new(bytes.to_vec())), |_: Progress| (), &bounds())
        .await;
    saved.map(|(saved, ())| saved)
}

/// A source of what can be read.
pub(crate) fn all_of(
    mut from: impl io::Read + Send + 'static,
) -> impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static {
    move |into| io::copy(&mut from, into).map(drop)
}

pub(crate) fn named(path: &str) -> Backup {
    let tags = vec!["tenant=ibestad".to_owned(), format!("disk={}", path.replace('/', "-"))];
    Backup { path: path.to_owned(), host: "ibe-fs01".to_owned(), tags, time: None }
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

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..400 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what}: not within ten seconds");
}

/// The processes that have this word in their arguments.
pub(crate) fn processes(word: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that is dead and not yet waited for has none.
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if id != std::process::id() && String::from_utf8_lossy(&arguments).contains(word) {
            found.push(id);
        }
    }
    found
}
