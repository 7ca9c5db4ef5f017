//! Where things of one tenant lie on the second room's host.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use vertskommune_core::names::is_label;

use crate::folder::Folder;
use crate::policy::Policy;
use crate::report::Report;

/// The folder of all kept copies, below the root.
pub(crate) const KEPT: &str = ".kept";

/// The mark that the clock is doubted, beside a copy.
const DOUBTED: &str = "doubted";

/// One tenant's places. All but the repository are root's.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) tenant: String,
    /// `<root>/.kept/<installation>`, open and by its path.
    pub(crate) kept: Folder,
    pub(crate) kept_path: PathBuf,
    /// `<root>/<installation>/<tenant>`, unless that is gone.
    pub(crate) account: Option<Folder>,
}

impl Place {
    /// Opens what there is of one tenant.
    pub(crate) fn open(root: &Path, installation: &str, tenant: &str) -> io::Result<Self> {
        let folder = Folder::open(root)?;
        let account = match folder.below(installation)? {
            Some(accounts) => accounts.below(tenant)?,
            None => None,
        };
        Ok(Self {
            tenant: tenant.to_owned(),
            kept: folder.made(KEPT, None)?.made(installation, None)?,
            kept_path: root.join(KEPT).join(installation),
            account,
        })
    }

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
        self.kept.write(&self.beside("report.json"), &report.to_json()?)
    }

    /// Leaves a mark that nothing may go, with the reason. Only a person takes it away.
    pub(crate) fn doubt(&self, why: &str) -> io::Result<()> {
        self.kept.write(&self.beside(DOUBTED), why.as_bytes())
    }

    /// What that mark says, if it is there.
    pub(crate) fn doubted(&self) -> io::Result<Option<String>> {
        let mut why = String::new();
        match self.kept.read(&self.beside(DOUBTED)) {
            Ok(file) => file.take(1024).read_to_string(&mut why)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mark = self.kept_path.join(self.beside(DOUBTED));
        Ok(Some(format!("{why}: look, and if all is right remove {}", mark.display())))
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

/// Installation and tenant of all below the root: those that have a repository, and those of which a copy is kept.
pub(crate) fn all(root: &Path) -> io::Result<BTreeSet<(String, String)>> {
    let folder = Folder::open(root)?;
    let kept = folder.made(KEPT, None)?;
    let mut all = BTreeSet::new();
    for of in [&folder, &kept] {
        for installation in labels(of)? {
            if let Some(below) = of.below(&installation)? {
                all.extend(labels(&below)?.into_iter().map(|tenant| (installation.clone(), tenant)));
            }
        }
    }
    Ok(all)
}

/// The folders in it whose names are labels, as installations and tenants have them.
fn labels(folder: &Folder) -> io::Result<Vec<String>> {
    let mut labels = Vec::new();
    folder.names(|name| {
        if let Ok(name) = std::str::from_utf8(name)
            && name.len() <= 63
            && is_label(name)
        {
            labels.push(name.to_owned());
        }
        Ok(())
    })?;
    labels.retain(|label| matches!(folder.below(label), Ok(Some(_))));
    Ok(labels)
}
