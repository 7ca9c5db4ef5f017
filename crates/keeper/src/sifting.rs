//! What is named by its hash and still is none of restic's: one such index or snapshot, and the stock program reads nothing
//! at all. It is put where it does no harm, and is not taken over again.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use restic::{Bounds, Error, Filter, Part, Password, Repository, escrow};

use crate::copying::whole;
use crate::folder::Folder;
use crate::keeper::KeeperError;
use crate::memory::Memory;
use crate::name::{Id, Kind, Name, Plain};
use crate::pass::Left;
use crate::place::Place;
use crate::report::Report;
use crate::survey::Survey;

/// So many files are tried in one run.
const TRIED: usize = 2000;

/// And for so long: an account that leaves many holds up the others no longer.
const WITHIN: Duration = Duration::from_secs(30 * 60);

/// The folder of what was refused, beside the copy.
pub(crate) const REFUSED: &str = "refused";

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

/// The copy, opened with the keeper's own key and no other. A key that opens with the same password and holds another master
/// key would make all of the copy look like rubbish: so the one that opens what is there is remembered.
pub(crate) async fn with_own_key(
    copy: Repository,
    kept: &Folder,
    memory: &mut Memory,
    bounds: &Bounds,
) -> Result<Repository, KeeperError> {
    let survey = Survey::of(kept)?;
    let ids = survey.files.keys().filter(|name| name.kind() == Kind::Key).map(|name| name.leaf());
    let ids: Vec<String> = ids.collect();
    if let Some(key) = memory.key.as_ref().filter(|key| ids.contains(key)) {
        return Ok(copy.with_key(key));
    }
    for id in &ids {
        let tried = copy.clone().with_key(id);
        match tried.open(bounds).await {
            Ok(()) => {
                // restic goes on with other keys where this one does not open, and tells the beginning of the one that did.
                let current = tried.current_key(bounds).await?;
                let mut such = ids.iter().filter(|id| id.starts_with(&current));
                if such.next() == Some(id) && such.next().is_none() {
                    memory.key = Some(id.clone());
                    return Ok(tried);
                }
            }
            Err(Error::WrongPassword) => break,
            Err(error) if error.is_of_content() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(copy)
}

/// Tries whether restic reads the copy, and takes out what keeps it from that, the newest first. Says whether it does then.
pub(crate) async fn sift(
    place: &Place,
    kept: &Folder,
    repository: &Repository,
    left: &mut Left,
    report: &mut Report,
    bounds: &Bounds,
) -> Result<bool, KeeperError> {
    // Where it does not even open, that says nothing of any other file.
    match repository.open(bounds).await {
        Ok(()) => {}
        Err(Error::WrongPassword) => {
            report.damage.add("keeper.age", "the keeper's key does not open the repository");
            return Ok(false);
        }
        Err(error) if error.is_of_content() => {
            report.damage.add("config", format!("restic cannot open the kept copy: {error}"));
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    if is_read(repository, kept, bounds).await? {
        return Ok(true);
    }
    let began = Instant::now();
    let survey = Survey::of(kept)?;
    let mut suspects: Vec<_> = survey.files.into_iter().collect();
    suspects.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.modified));
    let mut moved = 0_usize;
    for (name, _) in suspects.into_iter().filter(|(name, _)| part(*name).is_some()).take(TRIED) {
        let (Some((part, id)), Some(from)) = (part(name), kept.below(&name.folders().join("/"))?) else {
            continue;
        };
        if began.elapsed() > WITHIN {
            break;
        }
        if repository.is_readable(part, &id.to_string(), bounds).await? {
            continue;
        }
        let mut into = crate::folder::Tree::new(place.kept.made(&place.beside(REFUSED), None)?, None);
        from.rename(&name.leaf(), into.made(name)?, &name.leaf())?;
        from.sync()?;
        report.damage.add(name.path(), format!("restic cannot read it: moved to {}", place.beside(REFUSED)));
        left.insert(name);
        moved += 1;
        // Most often it is one. Where there are many, restic does not read all of the copy for each.
        if moved.is_power_of_two() && is_read(repository, kept, bounds).await? {
            return Ok(true);
        }
    }
    if !moved.is_power_of_two() && is_read(repository, kept, bounds).await? {
        return Ok(true);
    }
    report.damage.add("", "restic cannot read the kept copy");
    Ok(false)
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
        Ok::<_, Error>(repository.snapshots(&Filter::default(), bounds).await?.len() == there)
    };
    match read.await {
        Err(error) if error.is_of_content() => Ok(false),
        read => Ok(read?),
    }
}
