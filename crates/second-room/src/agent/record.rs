//! What the agent has made or is about to make, written down before it does.

use serde::{Deserialize, Serialize};

use super::changes::Changes;
use super::folder::Folder;
use crate::Label;
use crate::protocol::{Reason, Refusal};

/// The folder of records below the root.
const FOLDER: &str = ".agent";

/// A record is short.
const LONGEST: u64 = 4096;

/// One account of ours. It outlives the host's own databases: with it a new host gives the same account the same number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    pub(crate) installation: String,
    pub(crate) tenant: String,
    pub(crate) account: String,
    /// The number of user, group and, where there are such, project.
    pub(crate) uid: u32,
}

impl Record {
    pub(crate) fn new(installation: &str, tenant: &str, account: &str, uid: u32) -> Self {
        let (installation, tenant) = (installation.to_owned(), tenant.to_owned());
        Self { version: 1, installation, tenant, account: account.to_owned(), uid }
    }

    /// The mark that the user carries.
    pub(crate) fn comment(&self) -> String {
        format!("vertskommune {}/{}", self.installation, self.tenant)
    }
}

/// All records.
pub(crate) struct Records {
    /// The agent's own folder.
    pub(crate) folder: Folder,
}

impl Records {
    /// Opens them, or makes their folder.
    pub(crate) fn make(root: &Folder, changes: &mut Changes) -> Result<Self, Refusal> {
        Ok(Self { folder: root.make(FOLDER, 0o700, 0, changes)? })
    }

    /// Opens them; none where nothing was ever made.
    pub(crate) fn open(root: &Folder) -> Result<Option<Self>, Refusal> {
        let Some(folder) = root.open(FOLDER)? else { return Ok(None) };
        folder.belongs_to_root()?;
        Ok(Some(Self { folder }))
    }

    /// The record of a tenant; none where it has no account of ours.
    pub(crate) fn get(&self, installation: &Label, tenant: &Label) -> Result<Option<Record>, Refusal> {
        match self.folder.open(installation.as_str())? {
            Some(folder) => read(&folder, tenant.as_str()),
            None => Ok(None),
        }
    }

    /// The records of an installation, by tenant.
    pub(crate) fn all(&self, installation: &str) -> Result<Vec<Record>, Refusal> {
        let Some(folder) = self.folder.open(installation)? else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        for name in folder.names()? {
            // What a write left behind begins with a dot.
            let Some(tenant) = name.strip_suffix(".json").filter(|name| Label::new(name).is_ok()) else {
                continue;
            };
            records.extend(read(&folder, tenant)?);
        }
        Ok(records)
    }

    /// The highest number that was ever given.
    pub(crate) fn highest(&self) -> Result<Option<u32>, Refusal> {
        let mut highest = None;
        for installation in self.folder.names()?.iter().filter(|name| *name != "lock") {
            highest = highest.max(self.all(installation)?.iter().map(|record| record.uid).max());
        }
        Ok(highest)
    }

    /// Writes a new one.
    pub(crate) fn put(&self, record: &Record, changes: &mut Changes) -> Result<(), Refusal> {
        let folder = self.folder.make(&record.installation, 0o700, 0, changes)?;
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| Refusal::new(Reason::Host, format!("the record cannot be written: {error}")))?;
        folder.write(&format!("{}.json", record.tenant), 0o600, &text, changes)?;
        self.folder.sync()
    }
}

fn read(folder: &Folder, tenant: &str) -> Result<Option<Record>, Refusal> {
    let name = format!("{tenant}.json");
    let Some(text) = folder.read(&name, LONGEST)? else { return Ok(None) };
    let record: Record = serde_json::from_slice(&text).map_err(|error| {
        let path = folder.path().join(&name);
        let message = format!("the agent's record {} cannot be read: {error}", path.display());
        Refusal::new(Reason::Host, message)
    })?;
    Ok(Some(record))
}
