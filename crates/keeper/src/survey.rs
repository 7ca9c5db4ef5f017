//! What lies in a repository: names and sizes, without a look into any file.

use std::collections::BTreeMap;
use std::io;

use crate::folder::{Entry, Folder, Seen};
use crate::name::{Id, Kind, Name, Plain};
use crate::report::shown;

/// A repository of 60 TB has so many files. More are somebody's attempt to fill our memory.
const FILES: usize = 4_000_000;

/// More are only counted.
const NAMED: usize = 100;

/// Our own files in an account's folder, while they are written.
pub(crate) const OURS: &str = ".keeper-";

/// What lies in a repository.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) files: BTreeMap<Name, Seen>,
    /// What is none of restic's, with the reason.
    pub(crate) foreign: Vec<(String, &'static str)>,
    /// How much of that there is in all.
    pub(crate) foreigners: usize,
    /// Files that restic is writing, or was.
    pub(crate) unfinished: usize,
    pub(crate) locks: usize,
}

impl Survey {
    /// Looks through a repository. What names others is listed before them: so nothing is listed whose parts are not.
    pub(crate) fn of(root: &Folder) -> io::Result<Self> {
        let mut survey = Self::default();
        for kind in [Kind::Snapshot, Kind::Index, Kind::Key] {
            if let Some(name) = kind.folder()
                && let Some(folder) = survey.folder(root, name)?
            {
                survey.hashed(&folder, kind, name, None)?;
            }
        }
        survey.top(root)?;
        if let Some(data) = survey.folder(root, "data")? {
            let mut others = Vec::new();
            data.names(|name| {
                let two = name.len() == 2 && name.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if !two && others.len() < NAMED {
                    others.push(name.to_vec());
                }
                Ok(())
            })?;
            for other in others {
                survey.stranger("data", &other, "no folder of restic's");
            }
            for first in 0..=u8::MAX {
                let name = format!("{first:02x}");
                if let Some(folder) = survey.folder(&data, &name)? {
                    survey.hashed(&folder, Kind::Pack, &format!("data/{name}"), Some(first))?;
                }
            }
        }
        Ok(survey)
    }

    fn top(&mut self, root: &Folder) -> io::Result<()> {
        for plain in Plain::ALL {
            match root.entry(plain.name())? {
                Some(Entry::File(seen)) => {
                    self.files.insert(Name::Plain(plain), seen);
                }
                Some(_) => self.stranger("", plain.name().as_bytes(), "no file"),
                None => {}
            }
        }
        if let Some(locks) = self.folder(root, "locks")? {
            locks.names(|_| {
                self.locks += 1;
                Ok(())
            })?;
        }
        root.names(|name| {
            let known =
                ["data", "index", "keys", "locks", "snapshots"].iter().any(|it| it.as_bytes() == name)
                    || Plain::ALL.iter().any(|it| it.name().as_bytes() == name)
                    || name.starts_with(OURS.as_bytes());
            if !known {
                self.stranger("", name, "no file of restic's");
            }
            Ok(())
        })
    }

    fn folder(&mut self, root: &Folder, name: &str) -> io::Result<Option<Folder>> {
        let folder = root.below(name)?;
        if folder.is_none() && root.entry(name)?.is_some() {
            self.stranger("", name.as_bytes(), "no folder");
        }
        Ok(folder)
    }

    fn hashed(&mut self, folder: &Folder, kind: Kind, path: &str, first: Option<u8>) -> io::Result<()> {
        folder.names(|name| {
            if let Some(id) = Id::read(name)
                && first.is_none_or(|first| id.0[0] == first)
            {
                match folder.entry(&id.to_string())? {
                    Some(Entry::File(seen)) => {
                        if self.files.len() >= FILES {
                            return Err(io::Error::other(format!(
                                "more than {FILES} files: this is no repository"
                            )));
                        }
                        self.files.insert(Name::Hashed(kind, id), seen);
                    }
                    Some(_) => self.stranger(path, name, "no file"),
                    None => {}
                }
            } else if name.len() > 65 && Id::read(&name[..64]).is_some() && name[64] == b'-' {
                self.unfinished += 1;
            } else {
                self.stranger(path, name, "not a hash");
            }
            Ok(())
        })
    }

    fn stranger(&mut self, folder: &str, name: &[u8], why: &'static str) {
        self.foreigners += 1;
        if self.foreign.len() < NAMED {
            // An account chooses its names: no control character gets to a terminal.
            let name = shown(&String::from_utf8_lossy(name));
            let separator = if folder.is_empty() { "" } else { "/" };
            self.foreign.push((format!("{folder}{separator}{name}"), why));
        }
    }

    /// Bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|seen| seen.bytes).sum()
    }

    /// How many files of a kind there are.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.files.keys().filter(|name| name.kind() == kind).count()
    }
}
