//! Secrets by handle: a Kubernetes Secret, or a folder with a file for each entry.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use futures::future::BoxFuture;

/// The entries of one secret. Neither `Debug` nor `Display` shows a value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Entries by name.
    pub entries: BTreeMap<String, Vec<u8>>,
    /// Its version as the store counts it: another content has another version.
    pub version: String,
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
            .field("version", &self.version)
            .finish()
    }
}

/// Where secrets lie.
pub trait SecretStore: Send + Sync {
    /// The secret of that name.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Secret, SecretError>>;
}

/// Why a secret cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none of that name.
    #[error("there is no secret {0}")]
    NotFound(String),
    /// It has no such entry.
    #[error("the secret has no entry {0}")]
    NoEntry(String),
    /// The entry is not UTF-8.
    #[error("the entry {0} is no text")]
    NoText(String),
    /// The store does not answer.
    #[error("the store of secrets does not answer: {0}")]
    Store(String),
}

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
        // A name is one folder, never a way out of the root.
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
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
        let since = newest.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        secret.version = since.as_nanos().to_string();
        Ok(secret)
    }
}

impl SecretStore for FolderSecrets {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Secret, SecretError>> {
        Box::pin(self.read(name))
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
}
