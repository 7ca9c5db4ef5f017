//! What is named by its hash and still is none of restic's: one such index or snapshot, and the stock program reads nothing
//! at all. It is put where it does no harm, and is not taken over again.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use restic::{Bounds, Error, Filter, Part, Password, Repository, escrow};

use crate::copying::whole;
use crate::folder::Folder;
use crate::keeper::KeeperError;
use crate::name::{Id, Kind, Name, Plain};
use crate::pass::Left;
use crate::place::Place;
use crate::report::Report;
use crate::survey::Survey;

/// So many files are tried in one run.
const TRIED: usize = 2000;

/// The folder of what was refused, beside the copy.
const REFUSED: &str = "refused";

/// The keeper's own password: from its file, or from the seal that the controller has left, which is then kept in the file.
/// Only root reads either.
pub(crate) async fn password(
    place: &Place,
    kept: &Folder,
    age: &Path,
    identity: &Path,
    bounds: &Bounds,
) -> Result<Option<Password>, KeeperError> {
    let file = place.beside("password");
    match place.kept.read(&file) {
        Ok(file) => return Ok(Some(Password::read(file)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let Ok((sealed, _)) = whole(kept, Name::Plain(Plain::Keeper)) else { return Ok(None) };
    let password = escrow::open(age, &sealed, identity, bounds).await?;
    place.kept.write(&file, password.expose()?.as_bytes())?;
    Ok(Some(password))
}

/// What was refused before, and its bytes.
pub(crate) fn refused(place: &Place) -> io::Result<(BTreeSet<Name>, u64)> {
    let (mut names, mut bytes) = (BTreeSet::new(), 0);
    if let Some(folder) = place.kept.below(&place.beside(REFUSED))? {
        let survey = Survey::of(&folder)?;
        bytes = survey.bytes();
        names.extend(survey.files.into_keys());
    }
    Ok((names, bytes))
}

/// Tries whether restic reads the copy, and takes out what keeps it from that, the newest first.
pub(crate) async fn sift(
    place: &Place,
    kept: &Folder,
    repository: &Repository,
    left: &mut Left,
    report: &mut Report,
    bounds: &Bounds,
) -> Result<(), KeeperError> {
    match is_read(repository, kept, bounds).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(KeeperError::Restic(Error::WrongPassword)) => {
            report.damage.add("keeper.age", "the keeper's key does not open the repository");
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    let survey = Survey::of(kept)?;
    let mut suspects: Vec<_> = survey.files.into_iter().collect();
    suspects.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.modified));
    for (name, _) in suspects.into_iter().filter(|(name, _)| part(*name).is_some()).take(TRIED) {
        let (Some((part, id)), Some(from)) = (part(name), kept.below(&name.folders().join("/"))?) else {
            continue;
        };
        if repository.is_readable(part, &id.to_string(), bounds).await? {
            continue;
        }
        let mut into = crate::folder::Tree::new(place.kept.made(&place.beside(REFUSED), None)?, None);
        from.rename(&name.leaf(), into.made(name)?, &name.leaf())?;
        from.sync()?;
        report.damage.add(name.path(), format!("restic cannot read it: moved to {}", place.beside(REFUSED)));
        left.insert(name);
        if is_read(repository, kept, bounds).await? {
            return Ok(());
        }
    }
    report.damage.add("", "restic cannot read the kept copy");
    Ok(())
}

fn part(name: Name) -> Option<(Part, Id)> {
    match name {
        Name::Hashed(Kind::Index, id) => Some((Part::Index, id)),
        Name::Hashed(Kind::Snapshot, id) => Some((Part::Snapshot, id)),
        _ => None,
    }
}

/// Whether restic reads every index and every snapshot.
async fn is_read(repository: &Repository, kept: &Folder, bounds: &Bounds) -> Result<bool, KeeperError> {
    let survey = Survey::of(kept)?;
    if survey.files.iter().any(|(name, seen)| part(*name).is_some() && seen.bytes < restic::SHORTEST) {
        return Ok(false);
    }
    let there = survey.count(Kind::Snapshot);
    let read = async {
        repository.read_indexes(bounds).await?;
        Ok(repository.snapshots(&Filter::default(), bounds).await?.len() == there)
    };
    match read.await {
        Err(Error::Failed { .. } | Error::Damaged(_) | Error::Answer(_)) => Ok(false),
        read => Ok(read?),
    }
}
