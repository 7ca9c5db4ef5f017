//! Folders, held open and walked one name at a time. Nothing here follows a link.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::name::Name;

/// A moment as file systems tell it: seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

/// What a file is, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) bytes: u64,
    /// When anything of it was changed last. Nobody but the kernel can set it.
    pub(crate) changed: Stamp,
    /// When its content was changed last, or what its owner says of that.
    pub(crate) modified: Stamp,
}

impl Seen {
    pub(crate) fn of(file: &File) -> io::Result<Option<Self>> {
        let it = file.metadata()?;
        Ok(it.is_file().then(|| Self {
            bytes: it.size(),
            changed: Stamp { seconds: it.ctime(), nanoseconds: it.ctime_nsec() },
            modified: Stamp { seconds: it.mtime(), nanoseconds: it.mtime_nsec() },
        }))
    }
}

/// Whose a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: Uid,
    pub(crate) group: Gid,
}

/// What lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    File(Seen),
    Folder,
    Other,
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder that only root can have put where it is.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, path, OPEN, Mode::empty())?))
    }

    /// The folder of this name, if it is one.
    pub(crate) fn below(&self, name: &str) -> io::Result<Option<Self>> {
        match rustix::fs::openat(&self.0, name, OPEN, Mode::empty()) {
            Ok(folder) => Ok(Some(Self(folder))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder of this name. It is made where there is none; what else has its name is put into `aside`.
    pub(crate) fn made_or(&self, name: &str, owner: Option<Owner>, aside: &Self) -> io::Result<Self> {
        if let Some(folder) = self.below(name)? {
            return Ok(folder);
        }
        if self.entry(name)?.is_some() {
            self.put_aside(name, aside)?;
        }
        rustix::fs::mkdirat(&self.0, name, Mode::RWXU)?;
        let folder =
            self.below(name)?.ok_or_else(|| io::Error::other(format!("{name} was made and is gone")))?;
        if let Some(Owner { user, group }) = owner {
            rustix::fs::fchown(&folder.0, Some(user), Some(group))?;
        }
        rustix::fs::fsync(&self.0)?;
        Ok(folder)
    }

    /// The folder of this name, made where there is none.
    pub(crate) fn made(&self, name: &str, owner: Option<Owner>) -> io::Result<Self> {
        self.made_or(name, owner, self)
    }

    /// Moves what stands in the way to where it does not: restic reads every name in its folders.
    pub(crate) fn put_aside(&self, name: &str, aside: &Self) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, name, &aside.0, nobodys("aside-"))?)
    }

    /// Tells the name of each entry, until `hear` has heard enough.
    pub(crate) fn names(&self, mut hear: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                hear(name)?;
            }
        }
        Ok(())
    }

    /// What lies under this name.
    pub(crate) fn entry(&self, name: &str) -> io::Result<Option<Entry>> {
        let it = match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(it) => it,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match FileType::from_raw_mode(it.st_mode) {
            FileType::RegularFile => Entry::File(Seen {
                bytes: u64::try_from(it.st_size).unwrap_or(0),
                changed: stamp(it.st_ctime, it.st_ctime_nsec),
                modified: stamp(it.st_mtime, it.st_mtime_nsec),
            }),
            FileType::Directory => Entry::Folder,
            _ => Entry::Other,
        }))
    }

    /// Opens a file to read. A pipe does not hold it up.
    pub(crate) fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Makes a file that is nobody else's, instead of a left-over of this name.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..3 {
            match rustix::fs::openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(File::from(file)),
                Err(Errno::EXIST) if self.entry(name)? == Some(Entry::Folder) => {
                    self.put_aside(name, self)?;
                }
                Err(Errno::EXIST) => {
                    self.remove(name)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other(format!("somebody keeps making {name}")))
    }

    /// Writes a file that is there whole or not at all, and lasts.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write as _;
        let fresh = format!("{name}.new");
        let mut file = self.create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rustix::fs::renameat(&self.0, &fresh, &self.0, name)?;
        self.sync()
    }

    /// Moves a file; what has its new name is replaced, or put aside in here where it is a folder.
    pub(crate) fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        match rustix::fs::renameat(&self.0, name, &to.0, new) {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                to.put_aside(new, self)?;
                Ok(rustix::fs::renameat(&self.0, name, &to.0, new)?)
            }
            done => Ok(done?),
        }
    }

    /// Removes a file, and tells whether it was there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose it is, and its mode.
    pub(crate) fn owner(&self) -> io::Result<(Owner, Mode)> {
        let it = rustix::fs::fstat(&self.0)?;
        Ok((
            Owner { user: Uid::from_raw(it.st_uid), group: Gid::from_raw(it.st_gid) },
            Mode::from_raw_mode(it.st_mode),
        ))
    }

    /// Gives it away, and says who may do what.
    pub(crate) fn give(&self, owner: Owner, mode: Mode) -> io::Result<()> {
        rustix::fs::fchmod(&self.0, mode)?;
        Ok(rustix::fs::fchown(&self.0, Some(owner.user), Some(owner.group))?)
    }

    /// Makes what was renamed in it last.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A name that nobody can have taken before.
pub(crate) fn nobodys(beginning: &str) -> String {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};

    format!("{beginning}{:016x}", RandomState::new().build_hasher().finish())
}

fn stamp(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<i64>) -> Stamp {
    Stamp { seconds: seconds.try_into().unwrap_or(0), nanoseconds: nanoseconds.try_into().unwrap_or(0) }
}

/// Says when a file's content was changed last.
pub(crate) fn set_modified(file: &File, at: Stamp) -> io::Result<()> {
    let time = Timespec { tv_sec: at.seconds, tv_nsec: at.nanoseconds };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })?)
}

/// A moment so long before.
pub(crate) fn before(at: Stamp, by: Duration) -> Stamp {
    Stamp { seconds: at.seconds.saturating_sub_unsigned(by.as_secs()), ..at }
}

/// A repository's folders, opened as they are needed and held.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Folder,
    /// Whose the folders are to be that are made in it; our own where there is none.
    pub(crate) owner: Option<Owner>,
    open: BTreeMap<Vec<String>, Folder>,
}

impl Tree {
    pub(crate) fn new(root: Folder, owner: Option<Owner>) -> Self {
        Self { root, owner, open: BTreeMap::new() }
    }

    /// The folder that a file lies in, if it is there.
    pub(crate) fn of(&mut self, name: Name) -> io::Result<Option<&Folder>> {
        let folders = name.folders();
        if folders.is_empty() {
            return Ok(Some(&self.root));
        }
        if !self.open.contains_key(&folders) {
            let mut at = None;
            for folder in &folders {
                match at.as_ref().unwrap_or(&self.root).below(folder)? {
                    Some(below) => at = Some(below),
                    None => return Ok(None),
                }
            }
            if let Some(folder) = at {
                self.open.insert(folders.clone(), folder);
            }
        }
        Ok(self.open.get(&folders))
    }

    /// The folder that a file is to lie in, made where it is not there.
    pub(crate) fn made(&mut self, name: Name) -> io::Result<&Folder> {
        let folders = name.folders();
        if !folders.is_empty() && self.of(name)?.is_none() {
            let mut at = None;
            for folder in &folders {
                at = Some(at.as_ref().unwrap_or(&self.root).made_or(folder, self.owner, &self.root)?);
            }
            if let Some(folder) = at {
                self.open.insert(folders.clone(), folder);
            }
        }
        Ok(self.open.get(&folders).unwrap_or(&self.root))
    }

    /// Gives a fresh file in the root its name and its folder.
    pub(crate) fn settle(&mut self, fresh: &str, name: Name) -> io::Result<()> {
        self.made(name)?;
        let into = self.open.get(&name.folders()).unwrap_or(&self.root);
        self.root.rename(fresh, into, &name.leaf())
    }

    /// Removes a file, if it is there. A folder in its place is put aside.
    pub(crate) fn remove(&mut self, name: Name) -> io::Result<()> {
        if self.of(name)?.is_none() {
            return Ok(());
        }
        let from = self.open.get(&name.folders()).unwrap_or(&self.root);
        match from.remove(&name.leaf()) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                from.put_aside(&name.leaf(), &self.root)
            }
            removed => removed.map(drop),
        }
    }

    /// Makes last what was renamed in any of its folders.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.open.values().try_for_each(Folder::sync)?;
        self.root.sync()
    }
}
