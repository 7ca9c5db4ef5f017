//! Storage policies by name, from vCenter's policy service (`/pbm`).

use crate::client::{Api, Call, Mode};
use crate::{Client, Error, Mor};

static PBM: Api = Api { namespace: "urn:pbm", path: Some("/pbm") };

/// A storage policy of VMs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorageProfile {
    /// What people see, unique within one vCenter.
    pub name: String,
    /// What requests take: a UUID.
    pub id: String,
}

impl Client {
    /// All storage policies that VMs and disks can have, by name. The user needs
    /// `StorageProfile.View`.
    pub async fn storage_profiles(&self) -> Result<Vec<StorageProfile>, Error> {
        let manager = Mor::new("PbmProfileProfileManager", "ProfileManager");
        let mut query = Call::new("PbmQueryProfile", &manager, Mode::Read, |b| {
            b.element("resourceType", |b| {
                b.value("resourceType", "STORAGE");
            });
            b.value("profileCategory", "REQUIREMENT");
        });
        query.api = &PBM;
        let ids = self.call(query).await?;
        let ids: Vec<&str> = ids.iter().filter_map(|id| id.text_at("uniqueId")).collect();
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let mut content = Call::new("PbmRetrieveContent", &manager, Mode::Read, |b| {
            for id in &ids {
                b.element("profileIds", |b| {
                    b.value("uniqueId", id);
                });
            }
        });
        content.api = &PBM;
        let profiles = self.call(content).await?;
        let mut found: Vec<StorageProfile> = profiles
            .iter()
            .filter_map(|profile| {
                let id = profile.text_at("profileId.uniqueId")?.to_owned();
                Some(StorageProfile { name: profile.text_at("name")?.to_owned(), id })
            })
            .collect();
        found.sort();
        Ok(found)
    }
}
