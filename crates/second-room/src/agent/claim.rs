//! The claim of an installation's one writer, in a file of root's.

use jiff::Timestamp;

use super::Host;
use super::changes::Changes;
use super::folder::Folder;
use super::lock::Lock;
use super::record::Records;
use crate::Label;
use crate::protocol::{Claim, Reason, Refusal};

/// A claim is short.
const LONGEST: u64 = 4096;

/// The longest name of a holder, in characters.
const HOLDER: usize = 200;

impl Host {
    /// Takes or renews the claim, unless a living one of another holder stands.
    pub(super) fn claim(
        &self,
        installation: &Label,
        wanted: Claim,
        take_over: bool,
        mut changes: Changes,
    ) -> Result<Claim, Refusal> {
        if wanted.holder.is_empty() || wanted.holder.chars().count() > HOLDER {
            let message = format!("the holder of a claim has from 1 to {HOLDER} characters");
            return Err(Refusal::new(Reason::Malformed, message));
        }
        let records = Records::make(&self.root, &mut changes)?;
        let _lock = Lock::take(&records.folder)?;
        let folder = records.folder.make(installation.as_str(), 0o700, 0, &mut changes)?;
        if let Some(there) = read(&folder)?
            && there.holder != wanted.holder
            && there.expires > Timestamp::now()
            && !take_over
        {
            let message = format!(
                "{} writes here until {}: stop it, or take over explicitly",
                there.holder, there.expires
            );
            return Err(Refusal { claimed: Some(there), ..Refusal::new(Reason::Claimed, message) });
        }
        let text = serde_json::to_vec(&wanted)
            .map_err(|error| Refusal::new(Reason::Host, format!("the claim cannot be written: {error}")))?;
        folder.write(FILE, 0o600, &text, &mut changes)?;
        Ok(wanted)
    }
}

/// Beside the records, of which none can have this name: a label has no dot.
const FILE: &str = ".claim";

/// The claim that stands. One that cannot be read is a person's to look at: who knows who writes.
fn read(folder: &Folder) -> Result<Option<Claim>, Refusal> {
    let Some(text) = folder.read(FILE, LONGEST)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let path = folder.path().join(FILE);
        let message = format!("the claim {} cannot be read: {error}; remove it", path.display());
        Refusal::new(Reason::Host, message)
    })
}
