//! Folders and files below the root, always from an open folder and by one name: no path is put together from what was
//! asked, and no link is followed.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::changes::Changes;
use crate::protocol::{Reason, Refusal};

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open folder, with its path for programs and people.
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder by its whole path, each part of which belongs to root and can be written by nobody else: what sshd
    /// asks of a `ChrootDirectory`, and why paths below it cannot be bent by anyone.
    pub(crate) fn trusted(path: &Path) -> Result<Self, Refusal> {
        let root =
            fs::open("/", FOLDER, Mode::empty()).map_err(|error| Refusal::system("opening /", error))?;
        let mut folder = Self { fd: root, path: PathBuf::from("/") };
        for part in path.components() {
            if let Component::Normal(name) = part {
                let missing = || {
                    let message =
                        format!("{} is missing: set the host up as in deploy/second-room", path.display());
                    Refusal::new(Reason::Host, message)
                };
                folder = folder.open(&name.to_string_lossy())?.ok_or_else(missing)?;
            }
            folder.belongs_to_root()?;
        }
        Ok(folder)
    }

    /// One that nobody has looked at the owner of.
    #[cfg(test)]
    pub(crate) fn untrusted(path: &Path) -> Self {
        Self { fd: fs::open(path, FOLDER, Mode::empty()).unwrap(), path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it; none where there is nothing of that name.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Self>, Refusal> {
        let path = self.path.join(name);
        match fs::openat(&self.fd, name, FOLDER, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let message = format!("{} is not a folder; nothing was changed there", path.display());
                Err(Refusal::new(Reason::NotOurs, message))
            }
            Err(error) => Err(Refusal::system(format_args!("opening {}", path.display()), error)),
        }
    }

    /// A folder in it that belongs to root and this group, made where it is missing.
    pub(crate) fn make(
        &self,
        name: &str,
        mode: u32,
        group: u32,
        changes: &mut Changes,
    ) -> Result<Self, Refusal> {
        let making =
            |error| Refusal::system(format_args!("making {}", self.path.join(name).display()), error);
        let folder = if let Some(folder) = self.open(name)? {
            folder
        } else {
            changes.next();
            // Closed to all until it is whole.
            match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(making(error)),
            }
            self.open(name)?.ok_or_else(|| making(Errno::NOENT))?
        };
        let stat = folder.belongs_to_root()?;
        if stat.st_gid != group {
            changes.next();
            fs::fchown(&folder.fd, None, Some(Gid::from_raw(group))).map_err(making)?;
        }
        if stat.st_mode & 0o7777 != mode {
            changes.next();
            fs::fchmod(&folder.fd, Mode::from_raw_mode(mode)).map_err(making)?;
        }
        Ok(folder)
    }

    /// Its owner and rights, where it belongs to root.
    pub(crate) fn belongs_to_root(&self) -> Result<Stat, Refusal> {
        let stat = self.stat()?;
        if stat.st_uid != 0 || stat.st_mode & 0o022 != 0 {
            let message = format!(
                "{} does not belong to root alone, so that nothing below it is safe from others: set owner and rights as \
                 in deploy/second-room",
                self.path.display()
            );
            return Err(Refusal::new(Reason::Host, message));
        }
        Ok(stat)
    }

    pub(crate) fn stat(&self) -> Result<Stat, Refusal> {
        fs::fstat(&self.fd).map_err(|error| Refusal::system(self.path.display(), error))
    }

    /// Gives it to an account.
    pub(crate) fn give_to(&self, id: u32, changes: &mut Changes) -> Result<(), Refusal> {
        changes.next();
        fs::fchown(&self.fd, Some(Uid::from_raw(id)), Some(Gid::from_raw(id))).map_err(|error| {
            Refusal::system(format_args!("giving {} to its account", self.path.display()), error)
        })
    }

    /// Size and free space as the file system tells them here, which is the quota where one binds this folder.
    pub(crate) fn space(&self) -> Result<Space, Refusal> {
        let space = fs::fstatvfs(&self.fd).map_err(|error| Refusal::system(self.path.display(), error))?;
        Ok(Space {
            total: space.f_blocks * space.f_frsize,
            free: space.f_bfree * space.f_frsize,
            available: space.f_bavail * space.f_frsize,
        })
    }

    /// The names in it.
    pub(crate) fn names(&self) -> Result<Vec<String>, Refusal> {
        let listing = |error| Refusal::system(format_args!("listing {}", self.path.display()), error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(listing)? {
            let name = entry.map_err(listing)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether there is a plain file of that name.
    pub(crate) fn has_file(&self, name: &str) -> bool {
        fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    }

    /// A file in it of at most so many bytes; none where it is missing.
    pub(crate) fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Refusal> {
        let reading = |error: std::io::Error| {
            Refusal::system(format_args!("reading {}", self.path.join(name).display()), error)
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => std::fs::File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(reading(error.into())),
        };
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(reading)?;
        Ok(Some(bytes))
    }

    /// Writes a file whole or not at all, and is done when it would outlive a power cut.
    pub(crate) fn write(
        &self,
        name: &str,
        mode: u32,
        bytes: &[u8],
        changes: &mut Changes,
    ) -> Result<(), Refusal> {
        let writing = |error: std::io::Error| {
            Refusal::system(format_args!("writing {}", self.path.join(name).display()), error)
        };
        // Only one agent writes at a time, so that what is left of one that died is written over.
        let new = format!(".{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        changes.next();
        let fd = fs::openat(&self.fd, new.as_str(), flags, Mode::from_raw_mode(0o600));
        let mut file = std::fs::File::from(fd.map_err(|error| writing(error.into()))?);
        file.write_all(bytes).map_err(writing)?;
        fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|error| writing(error.into()))?;
        file.sync_all().map_err(writing)?;
        changes.next();
        fs::renameat(&self.fd, new.as_str(), &self.fd, name).map_err(|error| writing(error.into()))?;
        self.sync()
    }

    /// Makes what was made in it outlive a power cut.
    pub(crate) fn sync(&self) -> Result<(), Refusal> {
        fs::fsync(&self.fd)
            .map_err(|error| Refusal::system(format_args!("syncing {}", self.path.display()), error))
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a file system tells of its size, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Without what is kept for root.
    pub(crate) available: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("config")).unwrap();
        let folder = Folder::untrusted(root.path());
        assert_eq!(folder.open("link").err().map(|refusal| refusal.reason), Some(Reason::NotOurs));
        assert!(folder.open("nothing").unwrap().is_none());
        assert!(!folder.has_file("config"));
        assert!(folder.read("config", 10).is_err());
        // A link where a file is to be written is no way to write somewhere else.
        std::os::unix::fs::symlink("/tmp/elsewhere", root.path().join(".file.new")).unwrap();
        assert!(folder.write("file", 0o600, b"x", &mut Changes::default()).is_err());
    }

    #[test]
    fn a_file_is_written_whole_over_what_was_left() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::untrusted(root.path());
        std::fs::write(root.path().join(".file.new"), "half of an earlier one").unwrap();
        folder.write("file", 0o644, b"one", &mut Changes::default()).unwrap();
        folder.write("file", 0o644, b"two", &mut Changes::default()).unwrap();
        assert_eq!(folder.read("file", 10).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(folder.names().unwrap(), ["file"]);
    }
}
