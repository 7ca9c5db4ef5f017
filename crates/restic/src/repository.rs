//! A repository, and how restic is called on it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::child::{Call, Input, run};
use crate::error::Error;
use crate::output::Output;
use crate::password::Password;

/// The longest list that is read: some 400,000 snapshots.
const DOCUMENT: usize = 256 * 1024 * 1024;

/// A program's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

impl Version {
    /// Debian 12's.
    pub const OLDEST: Self = Self { major: 0, minor: 14 };

    /// Reads `restic 0.14.0 compiled with …`.
    fn read(said: &str) -> Option<Self> {
        let mut numbers = said.strip_prefix("restic ")?.split_whitespace().next()?.split(['.', '-']);
        let mut next = || numbers.next()?.parse().ok();
        Some(Self { major: next()?, minor: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// When a call ends at the latest.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// After this time.
    pub within: Duration,
    /// Once this is cancelled.
    pub cancel: CancellationToken,
}

impl Bounds {
    /// After this time, and not before.
    pub fn within(within: Duration) -> Self {
        Self { within, cancel: CancellationToken::new() }
    }
}

/// The restic program.
#[derive(Clone, Debug)]
pub struct Restic {
    program: PathBuf,
    version: Version,
    cache: Option<PathBuf>,
    temporary: PathBuf,
}

impl Restic {
    /// Asks the program for its version. `temporary` is where it builds its packs (encrypted, some 16 MiB each).
    ///
    /// # Errors
    /// [`Error::Program`] and [`Error::Version`] where it is not there or too old.
    pub async fn find(program: impl Into<PathBuf>, temporary: impl Into<PathBuf>) -> Result<Self, Error> {
        let (program, temporary) = (program.into(), temporary.into());
        let mut said = Vec::new();
        let call = Call { program: &program, arguments: vec!["version".into()], temporary: &temporary };
        let bounds = Bounds::within(Duration::from_secs(30));
        run(call, Input::Nothing, Output::Document(&mut said, 4096), &bounds).await?;
        let said = String::from_utf8_lossy(&said);
        match Version::read(&said) {
            Some(version) if version >= Version::OLDEST => {
                Ok(Self { program, version, cache: None, temporary })
            }
            _ => Err(Error::Version { found: said.trim().chars().take(80).collect() }),
        }
    }

    /// Lets it keep a cache of indexes and trees in this folder. It has none otherwise.
    #[must_use]
    pub fn with_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }
}

/// Where a repository lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a folder of this machine.
    Local(PathBuf),
    /// Behind SFTP.
    Sftp {
        /// The account and host, for people: the command decides who is reached.
        host: String,
        /// The folder there.
        path: String,
        /// The command that speaks SFTP on its standard input and output, with its arguments.
        command: Vec<String>,
    },
}

impl Location {
    fn arguments(&self) -> Result<Vec<OsString>, Error> {
        match self {
            Self::Local(path) if path.is_absolute() => Ok(vec!["--repo".into(), path.into()]),
            Self::Local(_) => {
                Err(Error::Unusable("a repository's folder is named from the root on".to_owned()))
            }
            Self::Sftp { host, path, command } => {
                let plain = |text: &str| {
                    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@/".contains(c))
                };
                if !plain(host) || host.starts_with('-') || !plain(path) {
                    return Err(Error::Unusable(format!("{host}:{path} as the place of a repository")));
                }
                let option = format!("sftp.command={}", command_line(command)?);
                // restic reads options as comma-separated values.
                Ok(vec![
                    "--repo".into(),
                    format!("sftp:{host}:{path}").into(),
                    "--option".into(),
                    format!("\"{option}\"").into(),
                ])
            }
        }
    }
}

/// Puts words together so that restic takes them apart again.
fn command_line(words: &[String]) -> Result<String, Error> {
    let unusable = |word: &String| {
        word.is_empty() || word.chars().any(|c| c.is_control() || "'\"\\".contains(c)) || !word.is_ascii()
    };
    if words.is_empty() || words.iter().any(unusable) {
        return Err(Error::Unusable(
            "a word of the SFTP command that is empty or has quotes or backslashes".to_owned(),
        ));
    }
    Ok(words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "))
}

/// A repository and the password that opens it.
#[derive(Clone, Debug)]
pub struct Repository {
    restic: Restic,
    location: Location,
    password: Password,
    key: Option<String>,
}

impl Repository {
    /// Nothing is asked yet.
    pub fn new(restic: Restic, location: Location, password: Password) -> Self {
        Self { restic, location, password, key: None }
    }

    /// Tries this key first. restic tries but the first twenty otherwise.
    #[must_use]
    pub fn with_key(mut self, id: impl Into<String>) -> Self {
        self.key = Some(id.into());
        self
    }

    /// The same repository, opened with another password.
    #[must_use]
    pub fn opened_with(&self, password: Password) -> Self {
        Self { password, key: None, ..self.clone() }
    }

    /// Makes the repository.
    ///
    /// # Errors
    /// [`Error::AlreadyThere`] where there is one.
    pub async fn init(&self, bounds: &Bounds) -> Result<(), Error> {
        self.call(["init"], Input::Nothing, Output::Words, bounds).await
    }

    pub(crate) async fn call<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: Input,
        output: Output<'_>,
        bounds: &Bounds,
    ) -> Result<(), Error> {
        let mut all = self.location.arguments()?;
        all.extend(["--password-file".into(), self.password.path().into()]);
        if let Some(key) = &self.key {
            all.extend(["--key-hint".into(), key.into()]);
        }
        match &self.restic.cache {
            Some(cache) => all.extend(["--cache-dir".into(), cache.into()]),
            None => all.push("--no-cache".into()),
        }
        all.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        let call = Call { program: &self.restic.program, arguments: all, temporary: self.temporary() };
        run(call, input, output, bounds).await
    }

    /// Calls it for an answer in JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        arguments: impl IntoIterator<Item = String>,
        bounds: &Bounds,
    ) -> Result<T, Error> {
        let mut text = Vec::new();
        self.call(arguments, Input::Nothing, Output::Document(&mut text, DOCUMENT), bounds).await?;
        serde_json::from_slice(&text).map_err(|error| Error::Answer(error.to_string()))
    }

    fn temporary(&self) -> &Path {
        &self.restic.temporary
    }
}

/// Text that becomes an argument: not empty, and no option.
pub(crate) fn argument(text: &str) -> Result<&str, Error> {
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
        return Err(Error::Unusable(format!("{text:?}")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let version = |major, minor| Some(Version { major, minor });
        for (said, expected) in [
            ("restic 0.14.0 compiled with go1.19.8 on linux/amd64", version(0, 14)),
            ("restic 0.18.1-dev (compiled manually) compiled with go1.25", version(0, 18)),
            ("restic 1.0 compiled with go", version(1, 0)),
            ("borg 1.2.4", None),
            ("", None),
        ] {
            assert_eq!(Version::read(said), expected, "{said}");
        }
        assert!(Version { major: 0, minor: 9 } < Version::OLDEST);
    }

    #[test]
    fn an_sftp_command_is_words() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(command_line(&words(&["/bin/x", "a b,c"])).unwrap(), "'/bin/x' 'a b,c'");
        for wrong in [&[][..], &["a", ""], &["a'b"], &["a\"b"], &["a\\b"], &["a\nb"]] {
            assert!(command_line(&words(wrong)).is_err(), "{wrong:?}");
        }
    }
}
