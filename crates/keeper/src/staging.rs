//! Retention's second copy: where snapshots go first, and what takes the kept copy's place only when it was found good.
//!
//! The kept copy and the staged one are exchanged by one call, and the list of what went lies in the staged one before. So
//! at any moment it shows what is to be done: a list in the kept copy means that the repository has yet to follow.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;

use rustix::fs::{AtFlags, Mode, RenameFlags};

use crate::folder::Folder;
use crate::folder::Tree;
use crate::keeper::Witness;
use crate::name::{Kind, Name};
use crate::place::Place;
use crate::survey::Survey;

/// The list of what went, in a copy.
const GONE: &str = ".gone";

/// Makes a second copy that shares its files with the first. Both are root's alone, and restic never writes into a file.
pub(crate) fn stage(place: &Place, kept: &Tree, survey: &Survey, witness: &Witness) -> io::Result<()> {
    discard(place)?;
    witness.step("stage");
    let mut staged = Tree::new(place.kept.made(&place.beside("staged"), None)?, None);
    for &name in survey.files.keys() {
        let from = source(kept, name)?;
        let into = staged.made(name)?;
        rustix::fs::linkat(from.as_fd(), name.leaf(), into.as_fd(), name.leaf(), AtFlags::empty())?;
    }
    for folder in ["data", "index", "keys", "locks", "snapshots"] {
        staged.root.made(folder, None)?;
    }
    Ok(())
}

fn source(kept: &Tree, name: Name) -> io::Result<Folder> {
    let mut at: Option<Folder> = None;
    for folder in name.folders() {
        let below = at.as_ref().unwrap_or(&kept.root).below(&folder)?;
        at = Some(
            below.ok_or_else(|| io::Error::other(format!("{} is gone from the kept copy", name.path())))?,
        );
    }
    at.map_or_else(|| kept.root.again(), Ok)
}

/// Puts the staged copy in the kept one's place, with the list of what is no longer in it.
pub(crate) fn exchange(place: &Place, gone: &BTreeSet<Name>, witness: &Witness) -> io::Result<()> {
    let staged = place.beside("staged");
    let folder = place.kept.below(&staged)?.ok_or_else(|| io::Error::other("the staged copy is gone"))?;
    let list: Vec<String> = gone.iter().map(|name| name.path()).collect();
    folder.write(GONE, list.join("\n").as_bytes())?;
    rustix::fs::syncfs(folder.as_fd())?;
    witness.step("exchange");
    rustix::fs::renameat_with(&place.kept, &staged, &place.kept, &place.tenant, RenameFlags::EXCHANGE)?;
    place.kept.sync()
}

/// Lets the repository follow a kept copy that has been exchanged, if it was. What names others goes before them.
pub(crate) fn follow(
    place: &Place,
    kept: &Folder,
    repository: &mut Tree,
    witness: &Witness,
) -> io::Result<bool> {
    use io::Read as _;

    let mut list = String::new();
    match kept.read(GONE) {
        Ok(mut file) => file.read_to_string(&mut list)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut gone: Vec<Name> = list.lines().filter_map(Name::read).collect();
    gone.sort_by_key(|name| std::cmp::Reverse(name.kind()));
    for name in gone {
        // What is there again is wanted again.
        let wanted = match name.kind() {
            Kind::Key | Kind::Plain(_) => true,
            _ => holds(kept, name)?,
        };
        witness.step("remove");
        if !wanted {
            repository.remove(name)?;
        }
    }
    repository.sync()?;
    witness.step("done");
    kept.remove(GONE)?;
    kept.sync()?;
    discard(place)?;
    Ok(true)
}

/// Ends what [`follow`] cannot bring to its end. What still lies in the repository is whole, since what names others went
/// first, and is taken over again.
pub(crate) fn give_up(place: &Place, kept: &Folder) -> io::Result<()> {
    kept.remove(GONE)?;
    kept.sync()?;
    discard(place)
}

fn holds(kept: &Folder, name: Name) -> io::Result<bool> {
    let mut at: Option<Folder> = None;
    for folder in name.folders() {
        match at.as_ref().unwrap_or(kept).below(&folder)? {
            Some(below) => at = Some(below),
            None => return Ok(false),
        }
    }
    Ok(at.as_ref().unwrap_or(kept).entry(&name.leaf())?.is_some())
}

/// Removes the staged copy, whichever it is.
pub(crate) fn discard(place: &Place) -> io::Result<()> {
    match std::fs::remove_dir_all(place.kept_path.join(place.beside("staged"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Folder {
    /// The same folder, held once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        self.below(".")?.ok_or_else(|| io::Error::other("a folder is gone"))
    }
}

/// So that a copy is nobody's but root's.
pub(crate) fn closed(kept: &Folder) -> io::Result<()> {
    Ok(rustix::fs::fchmod(kept, Mode::RWXU)?)
}
