//! Takes over what is new and puts back what went: after it, the repository and its copy hold the same.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;

use rustix::fs::Mode;
use sha2::{Digest as _, Sha256};

use crate::copying::{Copied, Refused, copy, verify, whole};
use crate::folder::{Folder, Seen, Stamp, Tree, nobodys, set_modified};
use crate::keeper::Witness;
use crate::key;
use crate::memory::Memory;
use crate::name::{Id, Kind, Name, Plain};
use crate::report::Report;
use crate::survey::{OURS, Survey};

/// restic tries twenty keys; more than these would shut everybody out.
const KEYS: usize = 12;

/// What stays free on the copies' file system, so that one tenant does not take another's room.
const RESERVE: u64 = 1 << 30;

/// In so many days every file is read once, changed or not: disks forget.
const DAYS: i64 = 30;

/// The bounds of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes that the copy may have.
    pub(crate) kept_bytes: u64,
    /// The day, counted from some day on.
    pub(crate) day: i64,
}

/// One pass over one tenant's repository.
pub(crate) struct Pass<'a> {
    pub(crate) repository: &'a mut Tree,
    pub(crate) kept: &'a mut Tree,
    pub(crate) report: &'a mut Report,
    pub(crate) witness: &'a Witness,
    pub(crate) limits: Limits,
    /// What was found before to be none of restic's.
    pub(crate) refused: BTreeSet<Name>,
    pub(crate) memory: &'a mut Memory,
}

/// What was not taken over, and why is in the report.
pub(crate) type Left = BTreeSet<Name>;

impl Pass<'_> {
    /// Makes both hold the same. What was refused is given back.
    pub(crate) fn run(&mut self) -> io::Result<Left> {
        self.sweep()?;
        let theirs = Survey::of(&self.repository.root)?;
        let ours = Survey::of(&self.kept.root)?;
        let (mut bytes, mut keys) = (ours.bytes(), ours.count(Kind::Key));
        for (file, why) in &theirs.foreign {
            self.report.foreign.add(file, *why);
        }
        self.report.foreign.count = u64::try_from(theirs.foreigners).unwrap_or(u64::MAX);
        self.report.unfinished = u64::try_from(theirs.unfinished).unwrap_or(u64::MAX);
        let mut left = Left::new();
        // What is being made may yet be made anew, with other keys: it is nobody's backup until it is there.
        let made = Name::Plain(Plain::Config);
        if !theirs.files.contains_key(&made) && !ours.files.contains_key(&made) {
            left.extend(theirs.files.keys());
            return Ok(left);
        }
        // First what is kept already: new things may find no room, and that must not hold up a restoration.
        for (&name, &kept) in &ours.files {
            let done = if let Some(theirs) = theirs.files.get(&name) {
                self.compare(name, *theirs, kept)
            } else {
                self.tampering(name, "gone, and put back");
                self.put_back(name)
            };
            self.settle(name, done, &mut left)?;
        }
        for (&name, seen) in theirs.files.iter().filter(|(name, _)| !ours.files.contains_key(name)) {
            let done = if seen.bytes > name.kind().longest() {
                Err(Refused::TooLong(seen.bytes))
            } else if self.refused.contains(&name) {
                Err(Refused::Unreadable)
            } else if name.kind() == Kind::Key && keys >= KEYS {
                Err(Refused::Surplus(KEYS))
            } else {
                self.room(bytes, seen.bytes)?;
                let done = self.take_over(name);
                if done.is_ok() {
                    bytes += seen.bytes;
                    keys += usize::from(name.kind() == Kind::Key);
                }
                done
            };
            self.settle(name, done, &mut left)?;
        }
        self.witness.step("sync");
        self.kept.sync()?;
        self.repository.sync()?;
        Ok(left)
    }

    fn settle(&mut self, name: Name, done: Result<(), Refused>, left: &mut Left) -> io::Result<()> {
        match done {
            Ok(()) => return Ok(()),
            // It went while we looked: the next run finds out whether that was right.
            Err(Refused::Gone) => {}
            Err(Refused::Io(error)) if is_final(&error) => return Err(error),
            Err(refused) => self.report.damage.add(name.path(), refused.to_string()),
        }
        left.insert(name);
        Ok(())
    }

    /// Removes what an earlier run left half written.
    fn sweep(&mut self) -> io::Result<()> {
        for tree in [&*self.repository, &*self.kept] {
            let mut ours = Vec::new();
            tree.root.names(|name| {
                if name.starts_with(OURS.as_bytes()) && ours.len() < 1000 {
                    ours.extend(std::str::from_utf8(name).map(ToOwned::to_owned).ok());
                }
                Ok(())
            })?;
            for name in ours {
                // One that is a folder is the account's joke, and left to it.
                let _ = tree.root.remove(&name);
            }
        }
        Ok(())
    }

    fn room(&self, kept: u64, more: u64) -> io::Result<()> {
        if kept.saturating_add(more) > self.limits.kept_bytes {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("the kept copy has reached its limit of {} bytes", self.limits.kept_bytes),
            ));
        }
        let store = rustix::fs::fstatvfs(self.kept.root.as_fd())?;
        if store.f_bavail.saturating_mul(store.f_frsize)
            < RESERVE.min(store.f_blocks.saturating_mul(store.f_frsize) / 50) + more
        {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "no room for the kept copies on their file system",
            ));
        }
        Ok(())
    }

    fn take_over(&mut self, name: Name) -> Result<(), Refused> {
        let Some(from) = self.repository.of(name)? else { return Err(Refused::Gone) };
        if name.kind() == Kind::Key && !key::is_one(from, name)? {
            return Err(Refused::NoKey);
        }
        let Copied { bytes, .. } = keep(from, name, self.kept, self.witness)?;
        self.memory.unpin(name);
        self.report.taken_over += 1;
        self.report.taken_over_bytes += bytes;
        Ok(())
    }

    fn put_back(&mut self, name: Name) -> Result<(), Refused> {
        let Some(from) = self.kept.of(name)? else { return Err(Refused::Gone) };
        give(from, name, self.repository, self.witness)?;
        self.report.put_back += 1;
        Ok(())
    }

    /// Both are there. Neither was changed since we last read it, or it is read.
    fn compare(&mut self, name: Name, theirs: Seen, ours: Seen) -> Result<(), Refused> {
        let same = theirs.bytes == ours.bytes && theirs.changed == ours.modified;
        if let Name::Plain(_) = name {
            return self.compare_plain(name, same);
        }
        let due = name.id().is_some_and(|id| i64::from(id.0[0]) % DAYS == self.limits.day.rem_euclid(DAYS));
        if same && !due {
            return Ok(());
        }
        let Some(from) = self.repository.of(name)? else { return Err(Refused::Gone) };
        let found = verify(from, name);
        let kept_is_good = !(due || found.is_err()) || self.kept_is_good(name)?;
        match found {
            Ok(changed) if kept_is_good => self.note(name, changed),
            Ok(_) => {
                self.report.damage.add(name.path(), "the kept copy had rotted, and is taken over anew");
                self.take_over(name)
            }
            Err(Refused::Gone) => Err(Refused::Gone),
            Err(refused) if kept_is_good => {
                if same {
                    self.report.damage.add(name.path(), "had rotted in the repository, and is put back");
                } else {
                    self.tampering(name, &format!("altered ({refused}), and put back"));
                }
                self.put_back(name)
            }
            Err(refused) => {
                self.report.damage.add(name.path(), "damaged in the repository and in the kept copy");
                Err(refused)
            }
        }
    }

    fn kept_is_good(&mut self, name: Name) -> Result<bool, Refused> {
        let Some(kept) = self.kept.of(name)? else { return Ok(false) };
        match verify(kept, name) {
            Ok(_) => Ok(true),
            Err(Refused::Io(error)) if is_final(&error) => Err(Refused::Io(error)),
            Err(_) => Ok(false),
        }
    }

    /// Files that have no hash for a name are short, and read each time: their hash is remembered.
    fn compare_plain(&mut self, name: Name, same: bool) -> Result<(), Refused> {
        let hash = |bytes: &[u8]| Id(Sha256::digest(bytes).into()).to_string();
        let theirs = whole(&self.repository.root, name);
        let ours = whole(&self.kept.root, name).ok().map(|(bytes, _)| hash(&bytes));
        let pinned = self.memory.pinned(name, ours.as_ref());
        let kept_is_good = ours.is_some() && ours == pinned;
        match theirs {
            Err(Refused::Gone) => Err(Refused::Gone),
            Ok((bytes, changed)) if pinned == Some(hash(&bytes)) => {
                if !kept_is_good {
                    self.report.damage.add(name.path(), "the kept copy had rotted, and is taken over anew");
                    self.kept.root.write(&name.leaf(), &bytes)?;
                } else if same {
                    return Ok(());
                }
                self.note(name, changed)
            }
            _ if !kept_is_good => Err(Refused::Altered),
            theirs => {
                if theirs.is_ok() && same {
                    self.report.damage.add(name.path(), "had rotted in the repository, and is put back");
                } else {
                    self.tampering(name, "altered, and put back");
                }
                self.put_back(name)
            }
        }
    }

    /// Remembers that the repository's file, as it is since then, is good.
    fn note(&mut self, name: Name, changed: Stamp) -> Result<(), Refused> {
        let Some(kept) = self.kept.of(name)? else { return Err(Refused::Gone) };
        set_modified(&kept.read(&name.leaf())?, changed)?;
        Ok(())
    }

    fn tampering(&mut self, name: Name, what: &str) {
        self.report.tampering.add(name.path(), what);
        self.report.tampered_at = Some(self.report.at);
    }
}

/// Takes one file over into a copy. Its time there is when it last changed in the repository: so a later change shows, and
/// the host's own clock tells when it came.
pub(crate) fn keep(from: &Folder, name: Name, kept: &mut Tree, witness: &Witness) -> Result<Copied, Refused> {
    let fresh = nobodys(OURS);
    witness.step("copy");
    let copied = copy(from, name, &kept.root, &fresh)?;
    rustix::fs::fchmod(&copied.file, Mode::RUSR).map_err(io::Error::from)?;
    set_modified(&copied.file, copied.changed)?;
    copied.file.sync_all()?;
    witness.step("keep");
    kept.settle(&fresh, name)?;
    Ok(copied)
}

/// Puts one file into the repository, as its account's. It lies there whole or not at all.
pub(crate) fn give(
    from: &Folder,
    name: Name,
    repository: &mut Tree,
    witness: &Witness,
) -> Result<(), Refused> {
    let fresh = nobodys(OURS);
    witness.step("copy back");
    let copied = copy(from, name, &repository.root, &fresh)?;
    copied.file.sync_all()?;
    if let Some(owner) = repository.owner {
        rustix::fs::fchown(&copied.file, Some(owner.user), Some(owner.group)).map_err(io::Error::from)?;
    }
    witness.step("give");
    repository.settle(&fresh, name)?;
    Ok(())
}

/// What is no file's own trouble, and ends the run.
fn is_final(error: &io::Error) -> bool {
    use io::ErrorKind as Is;
    matches!(error.kind(), Is::StorageFull | Is::QuotaExceeded | Is::ReadOnlyFilesystem | Is::OutOfMemory)
        || matches!(error.raw_os_error(), Some(23 | 24))
}
