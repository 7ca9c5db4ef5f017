//! What is there of an installation's accounts.

use super::folder::Folder;
use super::record::{Record, Records};
use super::{Host, accounts, policy, quota, snapshots, usage};
use crate::protocol::{AccountState, Reason, Refusal};
use crate::{AuthorizedKey, Label};

/// Where the keeper has its copies and reports, below the root.
pub(super) const KEPT: &str = ".kept";

/// The longest file of authorized keys, in bytes.
const LONGEST_KEYS: u64 = 4096;

/// The longest report that is passed on, in bytes.
const LONGEST_REPORT: u64 = 64 << 10;

impl Host {
    pub(super) fn list(&self, installation: &Label) -> Result<Vec<AccountState>, Refusal> {
        let Some(records) = Records::open(&self.root)? else { return Ok(Vec::new()) };
        let records = records.all(installation.as_str())?;
        let tenants = self.root.open(installation.as_str())?;
        let kept = match self.root.open(KEPT)? {
            Some(kept) => kept.open(installation.as_str())?,
            None => None,
        };
        let keys = Folder::trusted(&self.settings.keys)?;
        let state = |record| self.state(record, tenants.as_ref(), kept.as_ref(), &keys);
        records.iter().map(state).collect()
    }

    fn state(
        &self,
        record: &Record,
        tenants: Option<&Folder>,
        kept: Option<&Folder>,
        keys: &Folder,
    ) -> Result<AccountState, Refusal> {
        let tenant =
            Label::new(&record.tenant).map_err(|error| Refusal::new(Reason::Host, error.to_string()))?;
        let folder = match tenants {
            Some(tenants) => tenants.open(tenant.as_str())?,
            None => None,
        };
        let repository = match &folder {
            Some(folder) => folder.open(super::ensure::REPOSITORY)?,
            None => None,
        };
        let mut state = AccountState {
            complete: false,
            used_bytes: None,
            limit_bytes: None,
            repository: false,
            escrow: false,
            keeper_key: false,
            keys: authorized(keys, &record.account),
            snapshots: None,
            // One that cannot be read is for the next who sets it to say.
            policy: kept.and_then(|kept| policy::read(kept, &tenant).ok().flatten()),
            keeper: kept.and_then(|kept| report(kept, tenant.as_str())),
            account: record.account.clone(),
            uid: record.uid,
            tenant,
        };
        let Some(repository) = repository else { return Ok(state) };
        let closed = kept.is_some_and(|kept| is_closed(kept, &record.tenant));
        let owned = closed || repository.stat()?.st_uid == record.uid;
        state.complete =
            owned && keys.has_file(&record.account) && accounts::stands(record, &self.home(record))?;
        // One repository that cannot be measured must not hide all others.
        let held = quota::held(self.settings.quota, &repository).unwrap_or_default();
        state.limit_bytes = held.limit;
        state.used_bytes = held.used.or_else(|| usage::used(&repository));
        state.repository = repository.has_file("config");
        state.escrow = repository.has_file("escrow.age");
        state.keeper_key = repository.has_file("keeper.age");
        state.snapshots = snapshots::of(&repository);
        Ok(state)
    }
}

/// The keys that an account is let in with. What is none of ours is left out, so that it is set right.
fn authorized(keys: &Folder, account: &str) -> Vec<AuthorizedKey> {
    let text = keys.read(account, LONGEST_KEYS).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter_map(|line| line.strip_prefix("restrict "));
    lines.filter_map(|line| AuthorizedKey::parse(line).ok()).collect()
}

/// Whether the keeper has shut the account out for a moment: the repository is root's meanwhile.
pub(super) fn is_closed(kept: &Folder, tenant: &str) -> bool {
    kept.has_file(&format!("{tenant}.closed"))
}

/// The keeper's last report, as it wrote it; none where there is none yet. One that cannot be read is told as a failure of the
/// keeper: it must not look like a repository that the keeper has not seen.
fn report(kept: &Folder, tenant: &str) -> Option<serde_json::Value> {
    let name = format!("{tenant}.report.json");
    let text = match kept.read(&name, LONGEST_REPORT + 1) {
        Ok(text) => text?,
        Err(refusal) => return Some(unreadable(&name, &refusal)),
    };
    if text.len() as u64 > LONGEST_REPORT {
        return Some(unreadable(&name, &"it is too long"));
    }
    Some(serde_json::from_slice(&text).unwrap_or_else(|error| unreadable(&name, &error)))
}

fn unreadable(name: &str, why: &dyn std::fmt::Display) -> serde_json::Value {
    serde_json::json!({ "error": format!("its report {name} cannot be read: {why}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_cannot_be_read_is_no_new_repository() {
        let root = tempfile::tempdir().unwrap();
        let kept = Folder::untrusted(root.path());
        let told = |text: &str| {
            std::fs::write(root.path().join("ibestad.report.json"), text).unwrap();
            report(&kept, "ibestad").unwrap()
        };
        assert_eq!(report(&kept, "ibestad"), None, "there is none yet");
        assert_eq!(told("{}"), serde_json::json!({}));
        let long = format!("{{\"long\": \"{}\"}}", "x".repeat(64 << 10));
        for (text, why) in [("{", "EOF"), (long.as_str(), "too long")] {
            let error = told(text)["error"].as_str().unwrap().to_owned();
            assert!(error.contains(why), "{error}");
        }
    }
}
