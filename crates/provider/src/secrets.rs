//! Secrets by handle: a Kubernetes Secret, or a folder with a file for each entry.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use tokio::task::spawn_blocking;
use vertskommune_core::names::TenantName;

use crate::error::ProviderError;

/// The entries of one secret. Neither `Debug` nor `Display` shows a value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Entries by name.
    pub entries: BTreeMap<String, Vec<u8>>,
    /// Its version as the store counts it: another content has another version.
    pub version: String,
    /// The tenant whose it is; none where it is the host's own.
    pub tenant: Option<TenantName>,
}

impl Secret {
    /// An entry as text.
    ///
    /// # Errors
    /// Says which entry is missing or is no text.
    pub fn text(&self, entry: &str) -> Result<&str, SecretError> {
        let bytes = self.entries.get(entry).ok_or_else(|| SecretError::NoEntry(entry.to_owned()))?;
        std::str::from_utf8(bytes).map(str::trim_end).map_err(|_| SecretError::NoText(entry.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("entries", &self.entries.keys())
            .field("tenant", &self.tenant)
            .field("version", &self.version)
            .field("tenant", &self.tenant)
            .finish()
    }
}

/// Where secrets lie.
pub trait SecretStore: Send + Sync {
    /// The secret of that name.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Secret, SecretError>>;

    /// The secret of that name, as a tenant's manifest names it: no other than one that is the tenant's own, so that nobody is let in
    /// with the host's credentials, or a neighbour's, because a manifest says so.
    fn get_of<'a>(
        &'a self,
        name: &'a str,
        tenant: &'a TenantName,
    ) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(async move {
            let secret = self.get(name).await?;
            match &secret.tenant {
                Some(owner) if owner == tenant => Ok(secret),
                _ => Err(SecretError::NotTheTenants { name: name.to_owned(), tenant: tenant.clone() }),
            }
        })
    }

    /// Makes the secret of that name for this tenant, unless there is one already, and gives the one that is there then.
    /// When this has succeeded it outlives a crash, so that what it opens can be made.
    fn create<'a>(
        &'a self,
        name: &'a str,
        _tenant: &'a TenantName,
        _entries: BTreeMap<String, Vec<u8>>,
    ) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(async move { Err(SecretError::ReadOnly(name.to_owned())) })
    }
}

/// Why a secret cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none of that name.
    #[error("there is no secret {0}")]
    NotFound(String),
    /// It is not this tenant's.
    #[error(
        "the secret {name} is not {tenant}'s: give it the label vertskommune.no/tenant: {tenant}, or in a folder of secrets a file named \
         tenant with that name in it"
    )]
    NotTheTenants {
        /// The secret.
        name: String,
        /// The tenant that names it.
        tenant: TenantName,
    },
    /// It has no such entry.
    #[error("the secret has no entry {0}")]
    NoEntry(String),
    /// The entry is not UTF-8.
    #[error("the entry {0} is no text")]
    NoText(String),
    /// The store takes none.
    #[error("the secret {0} cannot be made: this store of secrets is only read")]
    ReadOnly(String),
    /// The store does not answer.
    #[error("the store of secrets does not answer: {0}")]
    Store(String),
}

/// Why a call fails for which the secret of that name cannot be had. A store that does not answer is asked again soon:
/// an API server that has just come up refuses what it will allow a second later.
pub fn of_secret(name: &str, error: &SecretError) -> ProviderError {
    match error {
        SecretError::Store(_) => {
            ProviderError::Unreachable { endpoint: "the store of secrets".to_owned(), why: error.to_string() }
        }
        SecretError::NotFound(_)
        | SecretError::NotTheTenants { .. }
        | SecretError::NoEntry(_)
        | SecretError::NoText(_)
        | SecretError::ReadOnly(_) => ProviderError::Refused(format!("Secret {name}: {error}")),
    }
}

/// The file of a folder's secret that says whose it is.
const OWNER: &str = "tenant";

/// A folder with a folder for each secret and a file for each entry, as Kubernetes mounts them.
#[derive(Clone, Debug)]
pub struct FolderSecrets {
    root: PathBuf,
}

impl FolderSecrets {
    /// The secrets below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    async fn read(&self, name: &str) -> Result<Secret, SecretError> {
        if !is_one_folder(name) {
            return Err(SecretError::NotFound(name.to_owned()));
        }
        let broken = |error: std::io::Error| SecretError::Store(error.to_string());
        let mut files = match tokio::fs::read_dir(self.root.join(name)).await {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SecretError::NotFound(name.to_owned()));
            }
            Err(error) => return Err(broken(error)),
        };
        let mut secret = Secret::default();
        let mut newest = std::time::UNIX_EPOCH;
        while let Some(file) = files.next_entry().await.map_err(broken)? {
            let entry = file.file_name().to_string_lossy().into_owned();
            let metadata = tokio::fs::metadata(file.path()).await.map_err(broken)?;
            if entry.starts_with('.') || !metadata.is_file() {
                continue;
            }
            newest = newest.max(metadata.modified().map_err(broken)?);
            secret.entries.insert(entry, tokio::fs::read(file.path()).await.map_err(broken)?);
        }
        if secret.entries.is_empty() {
            return Err(SecretError::NotFound(name.to_owned()));
        }
        secret.tenant = secret.text(OWNER).ok().map(TenantName::from);
        let since = newest.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        secret.version = since.as_nanos().to_string();
        Ok(secret)
    }
}

impl SecretStore for FolderSecrets {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(self.read(name))
    }

    fn create<'a>(
        &'a self,
        name: &'a str,
        tenant: &'a TenantName,
        mut entries: BTreeMap<String, Vec<u8>>,
    ) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(async move {
            entries.insert(OWNER.to_owned(), tenant.as_str().as_bytes().to_vec());
            match self.read(name).await {
                Err(SecretError::NotFound(_)) if is_one_folder(name) => {}
                found => return found,
            }
            let (root, folder) = (self.root.clone(), name.to_owned());
            let broken =
                |why: String| SecretError::Store(format!("the secret {name} cannot be written: {why}"));
            let made = spawn_blocking(move || make(&root, &folder, &entries)).await;
            made.map_err(|error| broken(error.to_string()))?.map_err(|error| broken(error.to_string()))?;
            self.read(name).await
        })
    }
}

/// Whether the name is one folder, and no way out of the root.
fn is_one_folder(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\'])
}

/// Writes a folder of entries, whole or not at all. One that came meanwhile stays.
fn make(root: &Path, name: &str, entries: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let new = tempfile::Builder::new().prefix(".new-").tempdir_in(root)?;
    for (entry, value) in entries {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(new.path().join(entry))?;
        file.write_all(value)?;
        file.sync_all()?;
    }
    File::open(new.path())?.sync_all()?;
    match fs::rename(new.path(), root.join(name)) {
        Ok(()) => {
            // It is not there any more to be removed.
            let _ = new.keep();
            File::open(root)?.sync_all()
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_gives_its_entries_and_nothing_outside_of_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("vcenter")).unwrap();
        std::fs::write(root.path().join("vcenter/password"), "s3cret\n").unwrap();
        let store = FolderSecrets::new(root.path());
        let secret = store.get("vcenter").await.unwrap();
        assert_eq!(secret.text("password"), Ok("s3cret"));
        assert!(!format!("{secret:?}").contains("s3cret"));
        for name in ["..", "../vcenter", "", "nothing"] {
            assert_eq!(store.get(name).await, Err(SecretError::NotFound(name.to_owned())), "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_manifest_names_no_secret_but_its_tenants_own() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderSecrets::new(root.path());
        for (name, owner) in [("vcenter", None), ("ibestad-dc", Some("ibestad\n"))] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("id_ed25519"), "k").unwrap();
            if let Some(owner) = owner {
                std::fs::write(root.path().join(name).join("tenant"), owner).unwrap();
            }
        }
        assert!(store.get_of("ibestad-dc", &"ibestad".into()).await.is_ok());
        for (name, tenant) in [("vcenter", "ibestad"), ("ibestad-dc", "gratangen")] {
            let error = store.get_of(name, &tenant.into()).await.unwrap_err();
            assert!(error.to_string().contains(name) && error.to_string().contains("label"), "{error}");
        }
    }

    #[tokio::test]
    async fn of_two_that_make_a_secret_at_once_one_wins_and_both_have_it() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (FolderSecrets::new(root.path()), FolderSecrets::new(root.path()));
        let tenant = TenantName::from("ibestad");
        let entries = |value: &str| BTreeMap::from([("password".to_owned(), value.as_bytes().to_vec())]);
        let made = futures::join!(
            one.create("backup-ibestad", &tenant, entries("one")),
            other.create("backup-ibestad", &tenant, entries("other"))
        );
        assert_eq!(made.0, made.1);
        let later = one.create("backup-ibestad", &tenant, entries("later")).await;
        assert_eq!(later, made.0, "what is there stays");
        let names: Vec<_> =
            std::fs::read_dir(root.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["backup-ibestad"], "nothing half made is left");
        let outside = one.create("../outside", &tenant, entries("one")).await;
        assert_eq!(outside, Err(SecretError::NotFound("../outside".to_owned())));
        let nowhere =
            FolderSecrets::new(root.path().join("nowhere")).create("a", &tenant, entries("one")).await;
        assert!(matches!(nowhere, Err(SecretError::Store(_))), "{nowhere:?}");
    }
}
