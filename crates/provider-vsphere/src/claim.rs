//! Our claim as the one writer of a vCenter, kept in a custom field of the folder that is wholly ours.

use jiff::Timestamp;
use vertskommune_provider::{Claim, Ctx, ProviderError};

use crate::Vsphere;
use crate::marks::CLAIM_FIELD;
use crate::rows::{FOLDER_PATHS, Folder};

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
            claim.stands_beside(there, Timestamp::now())?;
        }
        let key = session.field_or_define(CLAIM_FIELD, &permit).await.map_err(fail)?;
        let text = claim.text();
        session.client.writer(&*permit).set_field(root, key, &text).await.map_err(fail)?;
        // Nothing here is atomic: of two that wrote at once, the one whose claim was overwritten must not begin.
        let folder = session.client.read(root, FOLDER_PATHS).await.map_err(fail)?;
        match folder.as_ref().map(Folder::read).and_then(|folder| folder.custom.get(&key).cloned()) {
            Some(there) => claim.stands_beside(&there, Timestamp::now()),
            None => Err(ProviderError::NoSight("our claim was written and cannot be read back".to_owned())),
        }
    }
}
