//! A repository that its account cannot enter for a moment, while retention changes it.
//!
//! Whoever works in it holds a lock there; so once it is closed and holds no lock, nobody does. What was so closed is
//! opened again by the next run, if this one dies.

use std::io;

use rustix::fs::Mode;
use rustix::process::{getegid, geteuid};
use serde::{Deserialize, Serialize};

use crate::folder::{Folder, Owner};
use crate::place::Place;

/// Whose a closed repository is.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    user: u32,
    group: u32,
    mode: u32,
}

/// The account of a repository, also while it is closed.
pub(crate) fn owner(place: &Place, repository: &Folder) -> io::Result<Owner> {
    Ok(match marker(place)? {
        Some(marker) => marker.owner(),
        None => repository.owner()?.0,
    })
}

/// Shuts the account out.
pub(crate) fn close(place: &Place, repository: &Folder) -> io::Result<()> {
    if marker(place)?.is_none() {
        let (owner, mode) = repository.owner()?;
        let marker =
            Marker { user: owner.user.as_raw(), group: owner.group.as_raw(), mode: mode.bits() & 0o777 };
        place.kept.write(&place.beside("closed"), &serde_json::to_vec(&marker)?)?;
    }
    repository.give(Owner { user: geteuid(), group: getegid() }, Mode::RWXU)
}

/// Lets the account in again, if it was shut out.
pub(crate) fn reopen(place: &Place, repository: &Folder) -> io::Result<()> {
    if let Some(marker) = marker(place)? {
        repository.give(marker.owner(), Mode::from_bits_truncate(marker.mode))?;
        repository.sync()?;
        place.kept.remove(&place.beside("closed"))?;
        place.kept.sync()?;
    }
    Ok(())
}

fn marker(place: &Place) -> io::Result<Option<Marker>> {
    match place.kept.read(&place.beside("closed")) {
        Ok(file) => Ok(Some(serde_json::from_reader(file)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Marker {
    fn owner(&self) -> Owner {
        Owner {
            user: rustix::process::Uid::from_raw(self.user),
            group: rustix::process::Gid::from_raw(self.group),
        }
    }
}
