//! A tenant's account, from nothing or from wherever an earlier agent ended, one change after the other.
//!
//! The order makes each state on the way harmless: the record comes first, so that all that follows is known as ours; the
//! folder is given to the account when its quota is set; and the key, without which nobody comes in, is last.

use super::changes::Changes;
use super::folder::Folder;
use super::list::{self, KEPT};
use super::lock::Lock;
use super::mount::Mount;
use super::record::{Record, Records};
use super::{Host, accounts, quota};
use crate::protocol::{self, Account, Reason, Refusal};
use crate::{AuthorizedKey, Label, account_name};

/// The folder in a tenant's folder that its account owns.
pub(crate) const REPOSITORY: &str = "repository";

/// More keys at once than a rotation needs.
const MOST_KEYS: usize = 4;

/// What is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) installation: &'a Label,
    pub(crate) tenant: &'a Label,
    pub(crate) keys: &'a [AuthorizedKey],
    pub(crate) quota_bytes: Option<u64>,
}

impl Host {
    pub(super) fn ensure(&self, wanted: &Wanted<'_>, mut changes: Changes) -> Result<Account, Refusal> {
        if wanted.keys.is_empty() || wanted.keys.len() > MOST_KEYS {
            let message = format!("an account has from 1 to {MOST_KEYS} keys");
            return Err(Refusal::new(Reason::Malformed, message));
        }
        let changes = &mut changes;
        let keys = Folder::trusted(&self.settings.keys)?;
        let records = Records::make(&self.root, changes)?;
        let _lock = Lock::take(&records.folder)?;
        let record = self.record(wanted, &records, changes)?;
        self.is_not_closed(wanted)?;
        accounts::ensure(&record, &self.home(&record), changes)?;
        let limit_bytes = self.folders(wanted, &record, changes)?;
        authorize(&keys, wanted, &record, changes)?;
        Ok(Account {
            tenant: wanted.tenant.clone(),
            account: record.account,
            uid: record.uid,
            repository: protocol::REPOSITORY.to_owned(),
            limit_bytes,
            changed: changes.any(),
        })
    }

    /// The tenant's folder.
    pub(super) fn home(&self, record: &Record) -> String {
        let home = self.root.path().join(&record.installation).join(&record.tenant);
        home.to_string_lossy().into_owned()
    }

    /// The tenant's record. A new one only where nothing stands yet: what does is somebody else's.
    fn record(
        &self,
        wanted: &Wanted<'_>,
        records: &Records,
        changes: &mut Changes,
    ) -> Result<Record, Refusal> {
        let account = account_name(wanted.tenant);
        let (installation, tenant) = (wanted.installation.as_str(), wanted.tenant.as_str());
        if let Some(record) = records.get(wanted.installation, wanted.tenant)? {
            let right = Record::new(installation, tenant, &account, record.uid);
            if record == right {
                return Ok(record);
            }
            let message = format!(
                "the agent's record of {installation}/{tenant} is of another account; nothing was changed"
            );
            return Err(Refusal::new(Reason::NotOurs, message));
        }
        if accounts::is_taken(&account)? {
            let message = format!(
                "the host has a user or group {account} that the agent did not make for {installation}/{tenant}: \
                 another installation's, or a person's; nothing was changed"
            );
            return Err(Refusal::new(Reason::NotOurs, message));
        }
        let tenants = self.root.open(installation)?;
        if let Some(found) = tenants.map(|tenants| tenants.open(tenant)).transpose()?.flatten() {
            let message = format!(
                "{} is there and the agent did not make it: move it away if it is not needed; nothing was changed",
                found.path().display()
            );
            return Err(Refusal::new(Reason::NotOurs, message));
        }
        let from = records.highest()?.map_or(self.settings.uids.first, |highest| highest.saturating_add(1));
        let uid = accounts::free_number(from, self.settings.uids)?;
        let record = Record::new(installation, tenant, &account, uid);
        records.put(&record, changes)?;
        Ok(record)
    }

    /// While the keeper changes a repository its account is shut out of it. That ends by itself.
    fn is_not_closed(&self, wanted: &Wanted<'_>) -> Result<(), Refusal> {
        let (installation, tenant) = (wanted.installation.as_str(), wanted.tenant.as_str());
        let kept = self.root.open(KEPT)?.map(|kept| kept.open(installation)).transpose()?.flatten();
        if kept.is_some_and(|kept| list::is_closed(&kept, tenant)) {
            let message = format!("the keeper is at work in the repository of {installation}/{tenant}");
            return Err(Refusal::new(Reason::Busy, message));
        }
        Ok(())
    }

    /// `<root>/<installation>/<tenant>/repository`, of which only the last belongs to the account; gives its limit.
    fn folders(
        &self,
        wanted: &Wanted<'_>,
        record: &Record,
        changes: &mut Changes,
    ) -> Result<Option<u64>, Refusal> {
        let mode = self.settings.quota;
        let mount = Mount::of(self.root.path())?;
        // Others may pass, and see nothing of who else is here.
        let tenants = self.root.make(wanted.installation.as_str(), 0o711, 0, changes)?;
        let folder = tenants.make(wanted.tenant.as_str(), 0o750, record.uid, changes)?;
        let repository = quota::make_folder(mode, &folder, REPOSITORY, changes)?;
        let stat = repository.stat()?;
        let half_made = stat.st_uid == 0 && repository.names()?.is_empty();
        if stat.st_uid != record.uid && !half_made {
            let message = format!(
                "{} belongs to user {} and not to {}: whoever changed it has to put it back; nothing was changed",
                repository.path().display(),
                stat.st_uid,
                record.account
            );
            return Err(Refusal::new(Reason::NotOurs, message));
        }
        let held = quota::set(mode, &mount, record, &repository, wanted.quota_bytes, changes)?;
        if half_made {
            repository.give_to(record.uid, changes)?;
        }
        for folder in [&folder, &tenants, &self.root] {
            folder.sync()?;
        }
        Ok(held.limit)
    }
}

/// Writes the account's keys, each without any right but to log in.
fn authorize(
    keys: &Folder,
    wanted: &Wanted<'_>,
    record: &Record,
    changes: &mut Changes,
) -> Result<(), Refusal> {
    let comment = record.comment();
    let lines: Vec<_> = wanted.keys.iter().map(|key| format!("restrict {key} {comment}\n")).collect();
    let text = lines.concat();
    let most = text.len() as u64 + 1;
    if keys.read(&record.account, most)?.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    // sshd reads it as the account. It holds public keys only.
    keys.write(&record.account, 0o644, text.as_bytes(), changes)
}
