//! What the keeper is told of a tenant: a file beside its copies, in the keeper's form.

use jiff::Timestamp;

use super::Host;
use super::changes::Changes;
use super::folder::Folder;
use super::list::KEPT;
use super::lock::Lock;
use super::record::Records;
use crate::Label;
use crate::protocol::{Policy, Reason, Refusal};

/// A policy is short.
const LONGEST: u64 = 4096;

impl Host {
    /// Writes the policy of a tenant that has an account. When it left is what this host's clock says when it first hears of
    /// it, and is taken back when it is here again.
    pub(super) fn set_policy(
        &self,
        installation: &Label,
        tenant: &Label,
        mut policy: Policy,
        left: bool,
        mut changes: Changes,
    ) -> Result<Policy, Refusal> {
        if policy.keep_after_exit.is_negative() || policy.time_zone.is_empty() || policy.time_zone.len() > 64
        {
            return Err(Refusal::new(
                Reason::Malformed,
                "a policy has a time zone, and keeps for no negative time",
            ));
        }
        let records = Records::make(&self.root, &mut changes)?;
        let _lock = Lock::take(&records.folder)?;
        if records.get(installation, tenant)?.is_none() {
            let message = format!("{installation}/{tenant} has no account here; make that first");
            return Err(Refusal::new(Reason::NotOurs, message));
        }
        let kept = self.root.make(KEPT, 0o700, 0, &mut changes)?;
        let folder = kept.make(installation.as_str(), 0o700, 0, &mut changes)?;
        let there = read(&folder, tenant)?;
        let since = there.as_ref().and_then(|there| there.left_at);
        policy.left_at = left.then(|| since.unwrap_or_else(Timestamp::now));
        if there.as_ref() == Some(&policy) {
            return Ok(policy);
        }
        let text = serde_json::to_vec_pretty(&policy)
            .map_err(|error| Refusal::new(Reason::Host, format!("the policy cannot be written: {error}")))?;
        folder.write(&file(tenant), 0o600, &text, &mut changes)?;
        kept.sync()?;
        Ok(policy)
    }
}

fn file(tenant: &Label) -> String {
    format!("{tenant}.policy.json")
}

/// The policy that stands.
pub(super) fn read(folder: &Folder, tenant: &Label) -> Result<Option<Policy>, Refusal> {
    let Some(text) = folder.read(&file(tenant), LONGEST)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let path = folder.path().join(file(tenant));
        let message = format!("the policy {} cannot be read: {error}; remove it", path.display());
        Refusal::new(Reason::Host, message)
    })
}
