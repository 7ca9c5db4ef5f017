//! Our claim as the one writer of a vCenter, kept in a custom field of the folder that is wholly ours.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vertskommune_provider::{Claim, Ctx, ProviderError};

use crate::Vsphere;
use crate::marks::CLAIM_FIELD;
use crate::rows::{FOLDER_PATHS, Folder};

/// The claim as it is written; custom fields take 255 characters.
#[derive(Serialize, Deserialize)]
struct Written {
    installation: String,
    holder: String,
    expires: Timestamp,
}

impl Vsphere {
    /// Takes or renews the claim.
    pub(crate) async fn hold_claim(&self, claim: &Claim, ctx: &Ctx) -> Result<(), ProviderError> {
        let session = self.link.session(&self.settings, ctx).await?;
        let fail = |error| session.fail(&error);
        let root = &session.layout.root_folder;
        let folder = session.client.read(root, FOLDER_PATHS).await.map_err(fail)?;
        let folder = folder.as_ref().map(Folder::read).ok_or_else(|| {
            ProviderError::NoSight(
                "the folder of tenants is not visible, and the claim stands on it".to_owned(),
            )
        })?;
        let permit = session.permit(ctx);
        let there = session.field(CLAIM_FIELD).and_then(|key| folder.custom.get(&key));
        if let Some(there) = there.filter(|text| !text.is_empty()) {
            refuse_living(there, claim, Timestamp::now())?;
        }
        let key = session.field_or_define(CLAIM_FIELD, &permit).await.map_err(fail)?;
        let written = Written {
            installation: claim.installation.to_string(),
            holder: holder(claim),
            expires: claim.expires,
        };
        let text = serde_json::to_string(&written).unwrap_or_default();
        session.client.writer(&*permit).set_field(root, key, &text).await.map_err(fail)?;
        // Nothing here is atomic: of two that wrote at once, the one whose claim was overwritten must not begin.
        let folder = session.client.read(root, FOLDER_PATHS).await.map_err(fail)?;
        match folder.as_ref().map(Folder::read).and_then(|folder| folder.custom.get(&key).cloned()) {
            Some(there) => refuse_living(&there, claim, Timestamp::now()),
            None => Err(ProviderError::NoSight("our claim was written and cannot be read back".to_owned())),
        }
    }
}

/// The holder as it is written, which leaves room for the rest within the limit of the field.
fn holder(claim: &Claim) -> String {
    claim.holder.chars().take(100).collect()
}

/// Refuses where the claim that is there is another's and has not run out. Another is also a second cluster of the same
/// installation, such as one that was rebuilt while the old one still runs.
fn refuse_living(there: &str, claim: &Claim, now: Timestamp) -> Result<(), ProviderError> {
    let Ok(there) = serde_json::from_str::<Written>(there) else {
        let why =
            format!("the claim on the folder of tenants is not understood: clear the field {CLAIM_FIELD}");
        return Err(ProviderError::Protocol(why));
    };
    let is_ours = there.installation == claim.installation.as_str() && there.holder == holder(claim);
    if is_ours || claim.take_over || there.expires <= now {
        return Ok(());
    }
    Err(ProviderError::Claimed {
        installation: there.installation,
        holder: there.holder,
        expires: there.expires,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_claim_of_another_is_in_the_way() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let claim = |take_over| Claim {
            installation: "nord".into(),
            holder: "a".to_owned(),
            expires: now,
            take_over,
        };
        let there = |installation: &str, holder: &str, expires: &str| {
            format!(r#"{{"installation":"{installation}","holder":"{holder}","expires":"{expires}"}}"#)
        };
        let (before, after) = ("2025-12-31T23:59:00Z", "2026-01-01T00:01:00Z");
        for (text, take_over, free) in [
            (there("nord", "a", after), false, true),
            (there("nord", "b", after), false, false),
            (there("sor", "a", before), false, true),
            (there("sor", "a", after), true, true),
            (there("sor", "a", after), false, false),
            ("what".to_owned(), false, false),
        ] {
            assert_eq!(refuse_living(&text, &claim(take_over), now).is_ok(), free, "{text}");
        }
    }
}
