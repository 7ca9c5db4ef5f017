//! The keeper's run over all tenants.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use restic::escrow::{self, Recipient};
use restic::{Bounds, Error as ResticError, Location, Repository, Restic};
use rustix::fs::FlockOperation;

use crate::closing;
use crate::folder::{Folder, Tree};
use crate::name::Kind;
use crate::pass::{Left, Limits, Pass, has_escrow};
use crate::place::{self, KEPT, Place};
use crate::report::{Report, Retained};
use crate::retention::{Retaining, recover, wait};
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
    /// trouble is in its report, and holds up nobody else.
    pub async fn run(
        &self,
        now: impl Fn() -> Timestamp,
        bounds: &Bounds,
        mut tell: impl FnMut(&str, &str, &Report),
    ) -> Result<(), KeeperError> {
        for place in place::all(&self.settings.root)? {
            if bounds.cancel.is_cancelled() {
                return Err(ResticError::Cancelled.into());
            }
            let last = place.report();
            let mut report = Report::begin(now(), last.as_ref());
            if let Err(error) = self.tenant(&place, last.as_ref(), &mut report, bounds).await {
                report.error = Some(error.to_string());
                self.leave_open(&place, &mut report);
            }
            place.tell(&report)?;
            tell(&place.installation, &place.tenant, &report);
        }
        Ok(())
    }

    /// After a failure: an account is not left shut out of its repository until the next run.
    fn leave_open(&self, place: &Place, report: &mut Report) {
        let opened = (|| {
            let (Some(repository), Some(kept)) = (repository(place)?, place.kept.below(&place.tenant)?)
            else {
                return Ok(());
            };
            recover(place, &kept, &mut Tree::new(repository, None), &self.witness)
        })();
        if let (Err(error), Some(said)) = (opened, &mut report.error) {
            *said = format!("{said}; and the repository could not be opened again: {error}");
        }
    }

    async fn tenant(
        &self,
        place: &Place,
        last: Option<&Report>,
        report: &mut Report,
        bounds: &Bounds,
    ) -> Result<(), KeeperError> {
        let Some(folder) = repository(place)? else {
            if place.kept.below(&place.tenant)?.is_some() {
                report.tampering.add("", "the repository is gone; its copy is kept");
                report.tampered_at = Some(report.at);
            }
            return Ok(());
        };
        let owner = closing::owner(place, &folder)?;
        let mut repository = Tree::new(folder, Some(owner));
        let mut kept = Tree::new(place.kept.made(&place.tenant, None)?, None);
        recover(place, &kept.root, &mut repository, &self.witness)?;
        let day = report.at.as_second().div_euclid(24 * 60 * 60);
        let (refused, refused_bytes) = sifting::refused(place)?;
        let limits = Limits { kept_bytes: self.settings.kept_bytes.saturating_sub(refused_bytes), day };
        let witness = &self.witness;
        let mut pass =
            Pass { repository: &mut repository, kept: &mut kept, report, witness, limits, refused };
        let mut left: Left = pass.run()?;
        let (settings, restic, now) = (&self.settings, &self.restic, report.at);
        let password =
            sifting::password(place, &kept.root, &settings.age, &settings.identity(), bounds).await?;
        if let Some(password) = &password {
            let copy = Repository::new(restic.clone(), Location::Local(place.copy()), password.clone());
            sifting::sift(place, &kept.root, &copy, &mut left, report, bounds).await?;
        }
        let retained = match (place.policy()?, &password) {
            (None, _) => Retained::Off,
            (Some(_), None) => wait("the controller has not sealed a key for the keeper yet (keeper.age)"),
            (Some(policy), Some(password)) => {
                let policy = &policy;
                let retaining =
                    Retaining { settings, restic, place, password, policy, last, now, bounds, witness };
                retaining.run(&mut repository, &kept, &left, report).await?
            }
        };
        if matches!(retained, Retained::Done { .. }) {
            report.retained_at = Some(report.at);
        }
        report.retention = retained;
        let survey = Survey::of(&place.kept.made(&place.tenant, None)?)?;
        report.kept_bytes = survey.bytes();
        report.kept_snapshots = u64::try_from(survey.count(Kind::Snapshot)).unwrap_or(u64::MAX);
        report.escrow = has_escrow(&survey);
        Ok(())
    }
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
