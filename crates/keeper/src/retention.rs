//! Retention: on the kept copy's word, in a second copy first, and carried out only where nobody works.

use std::collections::BTreeSet;
use std::io;

use jiff::Timestamp;
use restic::{Bounds, Error as ResticError, Filter, Location, Password, Read, Repository, Restic};

use crate::clock;
use crate::closing;
use crate::folder::{Folder, Tree};
use crate::keeper::{KeeperError, Settings, Witness};
use crate::name::{Id, Kind, Name};
use crate::notes;
use crate::pass::{Left, give};
use crate::place::{Place, moment};
use crate::policy::Policy;
use crate::report::{Report, Retained};
use crate::runs::{goes, runs};
use crate::staging;
use crate::survey::Survey;

const AT_WORK: &str = "somebody works in the repository, or has left a lock there";

/// Retention of one tenant.
pub(crate) struct Retaining<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) restic: &'a Restic,
    pub(crate) place: &'a Place,
    pub(crate) password: &'a Password,
    pub(crate) policy: &'a Policy,
    pub(crate) last: Option<&'a Report>,
    pub(crate) now: Timestamp,
    pub(crate) bounds: &'a Bounds,
    pub(crate) witness: &'a Witness,
}

impl Retaining<'_> {
    /// Removes what is no longer asked for, from the copy and then from the repository. `left` is what the pass did not take
    /// over. What it says of the outcome is for the report; an error means that nothing was removed.
    pub(crate) async fn run(
        &self,
        repository: &mut Tree,
        kept: &Tree,
        left: &Left,
        report: &mut Report,
    ) -> Result<Retained, KeeperError> {
        let at = |path| Repository::new(self.restic.clone(), Location::Local(path), self.password.clone());
        let snapshots = match at(self.place.copy()).snapshots(&Filter::default(), self.bounds).await {
            Err(ResticError::WrongPassword) => {
                return Ok(stop("the keeper's key does not open the repository"));
            }
            snapshots => snapshots?,
        };
        let newest = snapshots.iter().map(|snapshot| snapshot.time).max();
        if let Some(why) = clock::doubt(self.now, self.last.map(|report| report.at), newest) {
            return Ok(wait(why));
        }
        let before = Survey::of(&kept.root)?;
        let arrived = |id: &str| {
            let name = Name::Hashed(Kind::Snapshot, Id::read(id.as_bytes())?);
            moment(before.files.get(&name)?.modified)
        };
        let runs = runs(&snapshots, arrived);
        let gone = goes(self.settings.rule.as_ref(), self.policy, &runs, self.now);
        if gone.is_empty() {
            return Ok(Retained::Nothing);
        }
        // Notes go along: for them alone not every byte is read again.
        let stays: Vec<_> = runs.iter().filter(|run| !gone.contains(run)).collect();
        let notes = notes::stale(&snapshots, arrived, &stays, self.now).into_iter().map(ToOwned::to_owned);
        let ids: Vec<String> =
            gone.iter().flat_map(|run| run.snapshots.iter().cloned()).chain(notes).collect();
        // Looked at before anything is closed: who works is not disturbed.
        if Survey::of(&repository.root)?.locks > 0 {
            return Ok(wait(AT_WORK));
        }
        let staged = self.place.kept_path.join(self.place.beside("staged"));
        staging::stage(self.place, kept, &before, self.witness)?;
        match self.thin(&at(staged), &ids).await {
            Ok(()) => {}
            Err(ResticError::Damaged(damage)) => {
                staging::discard(self.place)?;
                report.damage.add("", format!("found by restic: {damage}"));
                return Ok(stop("what would stay is damaged, so all is kept"));
            }
            Err(error) => {
                staging::discard(self.place)?;
                return Err(error.into());
            }
        }
        self.carry_out(repository, &before, left, ids.len())
    }

    /// Removes snapshots from the staged copy, and reads every byte of what stays. An index that lies about where things
    /// are, as one with the password could write it, is found here, before anything is lost by it.
    async fn thin(&self, staged: &Repository, ids: &[String]) -> Result<(), ResticError> {
        self.witness.step("thin");
        staged.forget(ids, self.bounds).await?;
        staged.prune(self.bounds).await?;
        staged.check(Read::All, self.bounds).await
    }

    /// Puts the staged copy in place and lets the repository follow, if nobody works in that and nothing came meanwhile.
    fn carry_out(
        &self,
        repository: &mut Tree,
        before: &Survey,
        left: &Left,
        snapshots: usize,
    ) -> Result<Retained, KeeperError> {
        let place = self.place;
        let folder =
            |name: &str| place.kept.below(name)?.ok_or_else(|| io::Error::other(format!("{name} is gone")));
        let staged = folder(&place.beside("staged"))?;
        let after = Survey::of(&staged)?;
        if Survey::of(&repository.root)?.locks > 0 {
            staging::discard(place)?;
            return Ok(wait(AT_WORK));
        }
        self.witness.step("close");
        closing::close(place, &repository.root)?;
        let give_up = |why: Retained| {
            closing::reopen(place, &repository.root)?;
            staging::discard(place)?;
            Ok(why)
        };
        let theirs = Survey::of(&repository.root)?;
        if theirs.locks > 0 {
            return give_up(wait(AT_WORK));
        }
        if theirs.files.keys().any(|name| !before.files.contains_key(name) && !left.contains(name)) {
            return give_up(wait("something new came meanwhile"));
        }
        // What is new is there before anything goes.
        let mut tree = Tree::new(staged.again()?, None);
        for &name in after.files.keys().filter(|name| !before.files.contains_key(name)) {
            let given = match tree.of(name)? {
                Some(from) => give(from, name, repository, self.witness).map_err(io::Error::other),
                None => Err(io::Error::other(format!("{} is gone from the staged copy", name.path()))),
            };
            if let Err(error) = given {
                closing::reopen(place, &repository.root)?;
                staging::discard(place)?;
                return Err(error.into());
            }
        }
        repository.sync()?;
        let gone: BTreeSet<Name> =
            before.files.keys().filter(|name| !after.files.contains_key(name)).copied().collect();
        staging::exchange(place, &gone, self.witness)?;
        staging::follow(place, &folder(&place.tenant)?, repository, self.witness)?;
        closing::reopen(place, &repository.root)?;
        Ok(Retained::Done {
            snapshots: u64::try_from(snapshots).unwrap_or(u64::MAX),
            freed_bytes: before.bytes().saturating_sub(after.bytes()),
        })
    }
}

/// Finishes what a run that died had begun, or undoes it.
pub(crate) fn recover(
    place: &Place,
    kept: &Folder,
    repository: &mut Tree,
    witness: &Witness,
) -> io::Result<()> {
    if !staging::follow(place, kept, repository, witness)? {
        staging::discard(place)?;
    }
    closing::reopen(place, &repository.root)
}

pub(crate) fn wait(why: impl Into<String>) -> Retained {
    Retained::Waiting { why: why.into() }
}

fn stop(why: impl Into<String>) -> Retained {
    Retained::Stopped { why: why.into() }
}
