//! Where things of one tenant lie on the second room's host.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::folder::Folder;
use crate::policy::Policy;
use crate::report::Report;

/// The folder of all kept copies, below the root.
pub(crate) const KEPT: &str = ".kept";

/// One tenant's places. All but the repository are root's.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) installation: String,
    pub(crate) tenant: String,
    /// `<root>/.kept/<installation>`, open and by its path.
    pub(crate) kept: Folder,
    pub(crate) kept_path: PathBuf,
    /// `<root>/<installation>/<tenant>`, unless that is gone.
    pub(crate) account: Option<Folder>,
}

impl Place {
    /// The name of a thing beside the copy.
    pub(crate) fn beside(&self, what: &str) -> String {
        format!("{}.{what}", self.tenant)
    }

    /// The path of the copy itself.
    pub(crate) fn copy(&self) -> PathBuf {
        self.kept_path.join(&self.tenant)
    }

    /// The last report. One that cannot be read is none: it tells nothing that another run would not find.
    pub(crate) fn report(&self) -> Option<Report> {
        let file = self.kept.read(&self.beside("report.json")).ok()?;
        serde_json::from_reader(io::BufReader::new(file)).ok()
    }

    /// Writes the report.
    pub(crate) fn tell(&self, report: &Report) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(report)?;
        self.kept.write(&self.beside("report.json"), &text)
    }

    /// The policy, where there is one.
    pub(crate) fn policy(&self) -> io::Result<Option<Policy>> {
        match self.kept.read(&self.beside("policy.json")) {
            Ok(file) => Ok(Some(serde_json::from_reader(io::BufReader::new(file))?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// All tenants below the root: those that have a repository, and those of which a copy is kept.
pub(crate) fn all(root: &Path) -> io::Result<Vec<Place>> {
    let folder = Folder::open(root)?;
    let kept = folder.made(KEPT, None)?;
    let mut places = Vec::new();
    let mut installations = labels(&folder)?;
    installations.extend(labels(&kept)?);
    installations.sort();
    installations.dedup();
    for installation in installations {
        let accounts = folder.below(&installation)?;
        let kept = kept.made(&installation, None)?;
        let mut tenants = labels(&kept)?;
        if let Some(accounts) = &accounts {
            tenants.extend(labels(accounts)?);
        }
        tenants.sort();
        tenants.dedup();
        for tenant in tenants {
            let account = match &accounts {
                Some(accounts) => accounts.below(&tenant)?,
                None => None,
            };
            let kept_path = root.join(KEPT).join(&installation);
            let installation = installation.clone();
            let kept = Folder::open(&kept_path)?;
            places.push(Place { installation, tenant, kept, kept_path, account });
        }
    }
    Ok(places)
}

/// The folders in it whose names are labels, as installations and tenants have them.
fn labels(folder: &Folder) -> io::Result<Vec<String>> {
    let mut labels = Vec::new();
    folder.names(|name| {
        let label = name.len() <= 63
            && name.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && name.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
        if label && let Ok(name) = std::str::from_utf8(name) {
            labels.push(name.to_owned());
        }
        Ok(())
    })?;
    labels.retain(|label| matches!(folder.below(label), Ok(Some(_))));
    Ok(labels)
}

/// A file's time as a moment.
pub(crate) fn moment(stamp: crate::folder::Stamp) -> Option<Timestamp> {
    Timestamp::new(stamp.seconds, i32::try_from(stamp.nanoseconds).ok()?).ok()
}
