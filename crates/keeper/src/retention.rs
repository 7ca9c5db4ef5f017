//! Retention: on the kept copy's word, in a second copy first, and carried out only where nobody works.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jiff::Timestamp;
use restic::{Bounds, Error as ResticError, Filter, Location, Password, Read, Repository, Restic};

use crate::clock;
use crate::closing;
use crate::folder::{Folder, Tree};
use crate::keeper::{KeeperError, Settings, Witness};
use crate::memory::{DELAY, Memory};
use crate::name::{Kind, Name};
use crate::notes;
use crate::pass::{Left, give};
use crate::place::Place;
use crate::policy::Policy;
use crate::report::{Report, Retained, shown};
use crate::runs::{Run, goes, runs};
use crate::sifting::{self, REFUSED};
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
        memory: &mut Memory,
        report: &mut Report,
    ) -> Result<Retained, KeeperError> {
        let (place, now) = (self.place, report.at);
        // What a snapshot needs is not pruned before a person has said that it is none.
        let (refused, _) = sifting::refused(place)?;
        if refused.iter().any(|name| name.kind() == Kind::Snapshot) {
            let refused = place.kept_path.join(place.beside(REFUSED)).join("snapshots");
            return Ok(stop(format!(
                "restic could not read what lies in {}: if it is none of ours, remove it there and in the repository",
                refused.display()
            )));
        }
        if let Some(why) = place.doubted()? {
            return Ok(stop(why));
        }
        let at = |path| {
            let at = Repository::new(self.restic.clone(), Location::Local(path), self.password.clone());
            memory.key.iter().fold(at, Repository::with_key)
        };
        let (copy, staged) = (at(place.copy()), at(place.kept_path.join(place.beside("staged"))));
        let snapshots = copy.snapshots(&Filter::default(), self.bounds).await?;
        let newest = snapshots.iter().map(|snapshot| snapshot.time).max();
        if let Some(why) = clock::ahead(now, newest) {
            return Ok(stop(why));
        }
        let before = Survey::of(&kept.root)?;
        let runs = runs(&snapshots, |id| memory.arrived(id));
        doubt_backdated(&runs, report);
        let going = memory.note_going(&goes(self.settings.rule.as_ref(), self.policy, &runs, now), now);
        doubt_many(&going, &runs, report);
        let (due, waiting): (Vec<_>, Vec<_>) =
            going.into_iter().partition(|(_, since)| now.duration_since(*since) >= DELAY);
        report.going = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        report.goes_at = waiting.iter().filter_map(|(_, since)| since.checked_add(DELAY).ok()).min();
        let gone: Vec<&Run> = due.into_iter().map(|(run, _)| run).collect();
        if gone.is_empty() {
            return Ok(report.goes_at.map_or(Retained::Nothing, |at| {
                wait(format!("{} runs are no longer asked for, and the first goes at {at:.0}", report.going))
            }));
        }
        // Notes go along: for them alone not every byte is read again.
        let stays: Vec<_> = runs.iter().filter(|run| !gone.contains(run)).collect();
        let notes = notes::stale(&snapshots, |id| memory.arrived(id), &stays, now);
        let notes = notes.into_iter().map(ToOwned::to_owned);
        let ids: Vec<String> =
            gone.iter().flat_map(|run| run.snapshots.iter().cloned()).chain(notes).collect();
        // Looked at before anything is closed: who works is not disturbed.
        if Survey::of(&repository.root)?.locks > 0 {
            return Ok(wait(AT_WORK));
        }
        staging::stage(place, kept, &before, self.witness)?;
        match self.thin(&staged, &ids).await {
            Ok(()) => {}
            Err(ResticError::Damaged(damage)) => {
                staging::discard(place)?;
                report.damage.add("", format!("found by restic: {damage}"));
                return Ok(stop("what would stay is damaged, so all is kept"));
            }
            Err(error) => {
                staging::discard(place)?;
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
        recover(place, &folder(&place.tenant)?, repository, self.witness)?;
        Ok(Retained::Done {
            snapshots: u64::try_from(snapshots).unwrap_or(u64::MAX),
            freed_bytes: before.bytes().saturating_sub(after.bytes()),
        })
    }
}

/// Says which runs came after others that began later. They take no other's place, but a person should know.
fn doubt_backdated(runs: &[Run], report: &mut Report) {
    for run in runs.iter().filter(|run| run.whole && !run.timely) {
        if report.at.duration_since(run.came) < DELAY {
            let what = format!("carries the time {:.0} and came at {:.0}", run.begun, run.came);
            report.doubts.add(shown(&format!("{} {}", run.server, run.id)), what);
        }
    }
}

/// Says when more than half of all runs began to go at once: a policy that somebody changed, or that nobody wanted so.
fn doubt_many(going: &[(&Run, Timestamp)], runs: &[Run], report: &mut Report) {
    let whole = runs.iter().filter(|run| run.whole).count();
    let mut at_once: BTreeMap<Timestamp, usize> = BTreeMap::new();
    for (_, since) in going.iter().filter(|(run, _)| run.whole) {
        *at_once.entry(*since).or_default() += 1;
    }
    for (since, many) in at_once.into_iter().filter(|(_, many)| many * 2 > whole) {
        let what =
            format!("since {since:.0} {many} of {whole} runs are no longer asked for: look at the policy");
        report.doubts.add("", what);
    }
}

/// Finishes what a run that died had begun, or undoes it. An account is not shut out for what cannot be finished.
pub(crate) fn recover(
    place: &Place,
    kept: &Folder,
    repository: &mut Tree,
    witness: &Witness,
) -> io::Result<()> {
    match staging::follow(place, kept, repository, witness) {
        Ok(true) => {}
        Ok(false) => staging::discard(place)?,
        Err(error) => {
            staging::give_up(place, kept)?;
            closing::reopen(place, &repository.root)?;
            return Err(error);
        }
    }
    closing::reopen(place, &repository.root)
}

pub(crate) fn wait(why: impl Into<String>) -> Retained {
    Retained::Waiting { why: why.into() }
}

pub(crate) fn stop(why: impl Into<String>) -> Retained {
    Retained::Stopped { why: why.into() }
}
