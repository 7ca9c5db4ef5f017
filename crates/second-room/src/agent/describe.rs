//! What the host is.

use super::Host;
use super::list::KEPT;
use super::mount::Mount;
use super::quota;
use super::tools::run;
use crate::Label;
use crate::protocol::{Description, Refusal};

impl Host {
    pub(super) fn describe(&self, installation: &Label) -> Result<Description, Refusal> {
        let mount = Mount::of(self.root.path())?;
        let space = self.root.space()?;
        Ok(Description {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            root: self.root.path().to_string_lossy().into_owned(),
            installation: installation.clone(),
            quota: self.settings.quota,
            quota_problem: quota::problem(self.settings.quota, &mount, &self.root),
            file_system: mount.kind,
            total_bytes: space.total,
            free_bytes: space.available,
            clock: jiff::Timestamp::now().to_string(),
            restic: restic()?,
            keeper: self.keeper()?,
        })
    }

    /// The keeper's public key.
    fn keeper(&self) -> Result<Option<String>, Refusal> {
        let Some(kept) = self.root.open(KEPT)? else { return Ok(None) };
        let key = kept.read("keeper.pub", 256)?;
        Ok(key.and_then(|key| String::from_utf8(key).ok()).map(|key| key.trim().to_owned()))
    }
}

/// `0.14.0` of `restic 0.14.0 compiled with go1.19.8 on linux/amd64`.
fn restic() -> Result<Option<String>, Refusal> {
    let said = run("/usr/bin/restic", &["version"])?;
    let version = said.stdout.split_whitespace().nth(1).map(str::to_owned);
    Ok(version.filter(|_| said.status == Some(0)))
}
