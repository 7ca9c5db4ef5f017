//! The keeper's run over all tenants.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use restic::escrow::{self, Recipient};
use restic::{Bounds, Error as ResticError, Location, Repository, Restic};
use rustix::fs::FlockOperation;

use crate::clock;
use crate::closing;
use crate::folder::{Folder, Tree};
use crate::memory::Memory;
use crate::pass::{Left, Limits, Pass};
use crate::place::{self, KEPT, Place};
use crate::report::{Report, Retained};
use crate::retention::{Retaining, recover, stop, wait};
use crate::runs::Rule;
use crate::sifting;
use crate::staging;
use crate::survey::Survey;

/// What the keeper is told.
pub struct Settings {
    /// The folder with a folder for each installation.
    pub root: PathBuf,
    /// Bytes that the copy of one tenant may have.
    pub kept_bytes: u64,
    /// What may go.
    pub rule: Arc<dyn Rule>,
    /// The restic program.
    pub restic: PathBuf,
    /// The age program; `age-keygen` lies beside it.
    pub age: PathBuf,
}

/// Is told of every step before it is taken. Tests end the process in it.
#[derive(Clone)]
pub struct Witness(Option<Arc<dyn Fn(&'static str) + Send + Sync>>);

/// Why the keeper cannot run at all. What fails for one tenant stands in its report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// Another keeper runs.
    #[error("another keeper is at work here: let it come to its end")]
    Running,
    /// A folder or file of root's cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// restic or age failed.
    #[error("{0}")]
    Restic(#[from] ResticError),
}

/// The keeper of one second room's host.
pub struct Keeper {
    settings: Settings,
    restic: Restic,
    witness: Witness,
    _alone: Folder,
}

impl Settings {
    /// The keeper's private key, which opens what the controller has sealed for it.
    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join(KEPT).join("keeper.identity")
    }
}

impl Witness {
    /// One that is told.
    pub fn new(told: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    pub(crate) fn step(&self, what: &'static str) {
        if let Some(told) = &self.0 {
            told(what);
        }
    }
}

impl Keeper {
    /// Looks for its programs, makes its key where it has none, and sees to it that it is the only one at work.
    pub async fn start(settings: Settings, bounds: &Bounds) -> Result<Self, KeeperError> {
        let root = Folder::open(&settings.root)?;
        let kept = root.made(KEPT, None)?;
        staging::closed(&kept)?;
        match rustix::fs::flock(&kept, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(KeeperError::Running),
            locked => locked.map_err(io::Error::from)?,
        }
        let restic = Restic::find(&settings.restic, settings.root.join(KEPT)).await?;
        let keygen = settings.age.with_file_name("age-keygen");
        let public: Recipient = escrow::identity(&keygen, &settings.identity(), bounds).await?;
        kept.write("keeper.pub", format!("{public}\n").as_bytes())?;
        Ok(Self { settings, restic, witness: Witness(None), _alone: kept })
    }

    /// Lets a test see every step.
    #[must_use]
    pub fn watched_by(self, witness: Witness) -> Self {
        Self { witness, ..self }
    }

    /// Goes through all tenants, and tells of each as it is done: installation, tenant and what was found. A tenant's
    /// trouble is in its report, and holds up nobody else. The bounds are those of one tenant.
    pub async fn run(
        &self,
        now: impl Fn() -> Timestamp,
        bounds: &Bounds,
        mut tell: impl FnMut(&str, &str, &Report),
    ) -> Result<(), KeeperError> {
        let (mut taken, mut failed) = (Vec::new(), None);
        // What is new of all is safe before anything is tried that may take long.
        for (installation, tenant) in place::all(&self.settings.root)? {
            not_cancelled(bounds)?;
            match self.take_over(installation, tenant, now()) {
                Ok(it) => taken.push(it),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        for mut it in taken {
            not_cancelled(bounds)?;
            if let Err(error) = self.finish(&mut it, bounds).await {
                failed = failed.or(Some(error));
            }
            tell(&it.installation, &it.tenant, &it.report);
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Takes over what is new of one tenant, and puts back what went. No restic is asked.
    fn take_over(&self, installation: String, tenant: String, now: Timestamp) -> io::Result<Taken> {
        let place = Place::open(&self.settings.root, &installation, &tenant)?;
        let last = place.report();
        let mut report = Report::begin(now, last.as_ref());
        if let Some(why) = clock::jumped(now, last.map(|last| last.at)) {
            place.doubt(&why)?;
        }
        let left = self.pass(&place, &mut report).unwrap_or_else(|error| {
            self.failed(&place, &mut report, &error);
            None
        });
        if left.is_some() {
            report.retention = wait("what is new of all tenants is taken over first");
        }
        place.tell(&report)?;
        Ok(Taken { installation, tenant, report, left })
    }

    /// Tries what was taken over, and lets retention run.
    async fn finish(&self, it: &mut Taken, bounds: &Bounds) -> io::Result<()> {
        let Some(left) = it.left.take() else { return Ok(()) };
        let place = Place::open(&self.settings.root, &it.installation, &it.tenant)?;
        // A restic that is broken off by this is ended, and what it had begun is found by the next run.
        let retained = tokio::time::timeout(bounds.within, self.retain(&place, &mut it.report, left, bounds));
        let retained =
            retained.await.unwrap_or_else(|_| Err(ResticError::TimedOut { after: bounds.within }.into()));
        if let Err(error) = retained {
            self.failed(&place, &mut it.report, &error);
        }
        place.tell(&it.report)
    }

    /// After a failure: an account is not left shut out of its repository until the next run.
    fn failed(&self, place: &Place, report: &mut Report, error: &impl ToString) {
        let mut said = error.to_string();
        let opened = (|| {
            let (Some(repository), Some(kept)) = (repository(place)?, place.kept.below(&place.tenant)?)
            else {
                return Ok(());
            };
            recover(place, &kept, &mut Tree::new(repository, None), &self.witness)
        })();
        if let Err(error) = opened {
            said = format!("{said}; and the repository could not be opened again: {error}");
        }
        report.error = Some(said);
    }

    /// Makes the copy and the repository hold the same. Gives what was not taken over, where there is a repository.
    fn pass(&self, place: &Place, report: &mut Report) -> io::Result<Option<Left>> {
        let Some(folder) = repository(place)? else {
            if place.kept.below(&place.tenant)?.is_some() {
                report.tampering.add("", "the repository is gone; its copy is kept");
                report.tampered_at = Some(report.at);
            }
            return Ok(None);
        };
        let owner = closing::owner(place, &folder)?;
        let mut repository = Tree::new(folder, Some(owner));
        let mut kept = Tree::new(place.kept.made(&place.tenant, None)?, None);
        recover(place, &kept.root, &mut repository, &self.witness)?;
        let day = report.at.as_second().div_euclid(24 * 60 * 60);
        let (refused, refused_bytes) = sifting::refused(place)?;
        let most = self.settings.kept_bytes.min(twice_its_quota(&repository.root, &kept.root)?);
        let limits = Limits { kept_bytes: most.saturating_sub(refused_bytes), day };
        let before = Memory::read(place)?;
        let mut memory = before.clone();
        let ran = Pass {
            repository: &mut repository,
            kept: &mut kept,
            report,
            witness: &self.witness,
            limits,
            refused: refused.clone(),
            memory: &mut memory,
        }
        .run();
        // Also of a pass that did not come to its end.
        let survey = Survey::of(&kept.root)?;
        memory.note_arrivals(&survey, &refused, report.at);
        memory.write(place, &before)?;
        report.count(&survey);
        ran.map(Some)
    }

    async fn retain(
        &self,
        place: &Place,
        report: &mut Report,
        mut left: Left,
        bounds: &Bounds,
    ) -> Result<(), KeeperError> {
        let Some(folder) = repository(place)? else { return Ok(()) };
        let owner = closing::owner(place, &folder)?;
        let mut repository = Tree::new(folder, Some(owner));
        let kept = Tree::new(place.kept.made(&place.tenant, None)?, None);
        let before = Memory::read(place)?;
        let mut memory = before.clone();
        let (settings, restic) = (&self.settings, &self.restic);
        let password =
            sifting::password(place, &kept.root, &settings.age, &settings.identity(), bounds).await?;
        let mut readable = false;
        if let Some(password) = &password {
            let copy = Repository::new(restic.clone(), Location::Local(place.copy()), password.clone());
            let copy = sifting::with_own_key(copy, &kept.root, &mut memory, bounds).await?;
            readable = sifting::sift(place, &kept.root, &copy, &mut left, report, bounds).await?;
        }
        let policy = place.policy()?;
        if policy.is_none() {
            memory.nothing_goes();
        }
        report.retention = match (policy, &password) {
            (None, _) => Retained::Off,
            (Some(_), None) => wait("the controller has not sealed a key for the keeper yet (keeper.age)"),
            (Some(_), Some(_)) if !readable => stop("restic cannot read the kept copy"),
            (Some(policy), Some(password)) => {
                let (policy, witness) = (&policy, &self.witness);
                let retaining = Retaining { settings, restic, place, password, policy, bounds, witness };
                retaining.run(&mut repository, &kept, &left, &mut memory, report).await?
            }
        };
        memory.write(place, &before)?;
        if matches!(report.retention, Retained::Done { .. }) {
            report.retained_at = Some(report.at);
        }
        report.count(&Survey::of(&place.kept.made(&place.tenant, None)?)?);
        Ok(())
    }
}

/// A tenant of which what is new was taken over.
struct Taken {
    installation: String,
    tenant: String,
    report: Report,
    /// What was not taken over; none where there is nothing to go on with.
    left: Option<Left>,
}

fn not_cancelled(bounds: &Bounds) -> Result<(), KeeperError> {
    if bounds.cancel.is_cancelled() { Err(ResticError::Cancelled.into()) } else { Ok(()) }
}

/// Twice what the file system lets a repository have, where it shows a quota as the size of a folder. What an account deletes
/// and writes anew is kept all the same, and is not to take the others' room.
fn twice_its_quota(repository: &Folder, kept: &Folder) -> io::Result<u64> {
    let size = |folder: &Folder| {
        let it = rustix::fs::fstatvfs(folder.as_fd())?;
        io::Result::Ok(it.f_blocks.saturating_mul(it.f_frsize))
    };
    let (quota, all) = (size(repository)?, size(kept)?);
    Ok(if quota < all { quota.saturating_mul(2) } else { u64::MAX })
}

/// The repository, in a folder that is root's: what lies in another's folder could be anywhere the next moment.
fn repository(place: &Place) -> io::Result<Option<Folder>> {
    let Some(account) = &place.account else { return Ok(None) };
    let (owner, mode) = account.owner()?;
    if owner.user != rustix::process::geteuid() || mode.bits() & 0o022 != 0 {
        return Err(io::Error::other("the tenant's folder is not root's alone: give it to root, mode 0755"));
    }
    account.below("repository")
}
