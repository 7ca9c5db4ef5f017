//! The record of births on a tenant's folder.

use std::collections::BTreeMap;

use vertskommune_provider::Applied;

use super::{Act, Outcome, not_sent};
use crate::born;
use crate::marks::{BORN_FIELD, FOLDER};

impl Act<'_> {
    /// Writes down that the server of this step exists.
    pub(super) async fn record_birth(&self) -> Outcome {
        // One at a time: each value is read, changed and written.
        let _turn = self.vsphere.records.lock().await;
        let folder = self.places(FOLDER, &self.step.resource.tenant);
        self.read_ahead([&self.step.resource, &folder], &[]).await?;
        let vm = self.vm().await?;
        if vm.slim.instance_uuid.is_empty() {
            return Err(not_sent(format!("{} is being made", vm.slim.name)));
        }
        self.set_born(Some(&vm.slim.instance_uuid)).await
    }

    /// Clears the record of a server that is gone.
    pub(super) async fn forget(&self) -> Outcome {
        let _turn = self.vsphere.records.lock().await;
        if let Some(vm) = self.server_of(&self.step.resource).await? {
            return Err(not_sent(format!("{} is there", vm.slim.name)));
        }
        self.set_born(None).await
    }

    async fn set_born(&self, uuid: Option<&str>) -> Outcome {
        let id = &self.step.resource;
        let found = self.folder_of(&id.tenant).await?;
        let (mor, folder) = found.ok_or_else(|| not_sent("the tenant's folder is not there"))?;
        let names = self.session.field_names();
        let fields: BTreeMap<usize, String> = folder
            .custom
            .into_iter()
            .filter_map(|(key, value)| Some((born::index(names.get(&key)?)?, value)))
            .collect();
        for (index, value) in born::changes(&fields, &id.key.name, uuid) {
            let key = self.session.field_or_define(&format!("{BORN_FIELD}{index}"), &*self.permit).await?;
            self.session.client.writer(&*self.permit).set_field(&mor, key, &value).await?;
        }
        Ok(Applied::Done)
    }
}
