//! The reads that are methods of their own: searches, the clock, privileges, custom attributes.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::{Call, Mode};
use crate::{Client, Element, Error, Mor};

/// A custom attribute: a named text that people see at objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomField {
    /// What [`Writer::set_field`](crate::Writer::set_field) takes.
    pub key: i32,
    /// Its name, unique within one vCenter and kind.
    pub name: String,
    /// The kind of object that has it; none when all have.
    pub kind: Option<String>,
}

impl CustomField {
    pub(crate) fn read(definition: &Element) -> Option<CustomField> {
        let key = i32::try_from(definition.int_at("key")?).ok()?;
        let kind = definition.text_at("managedObjectType").filter(|k| !k.is_empty()).map(str::to_owned);
        Some(CustomField { key, name: definition.text_at("name")?.to_owned(), kind })
    }
}

impl Client {
    /// All VMs with this `instanceUuid`: none, one, or several after a restore. A VM that is still
    /// being cloned is not found.
    pub async fn find_by_instance_uuid(&self, uuid: &str) -> Result<Vec<Mor>, Error> {
        let session = self.session().await?;
        let call = Call::new("FindAllByUuid", &session.service.search_index, Mode::Read, |b| {
            b.value("uuid", uuid).value("vmSearch", true).value("instanceUuid", true);
        });
        Ok(self.call(call).await?.iter().filter_map(Element::mor).collect())
    }

    /// The object at a path such as `datacenter/vm/folder/name`. A `/` within a name is written
    /// `%2f`, a `%` as `%25`.
    pub async fn find_by_inventory_path(&self, path: &str) -> Result<Option<Mor>, Error> {
        let session = self.session().await?;
        let call = Call::new("FindByInventoryPath", &session.service.search_index, Mode::Read, |b| {
            b.value("inventoryPath", path);
        });
        Ok(self.call(call).await?.first().and_then(Element::mor))
    }

    /// vCenter's clock, as RFC 3339.
    pub async fn current_time(&self) -> Result<String, Error> {
        let instance = Mor::new("ServiceInstance", "ServiceInstance");
        let answer = self.call(Call::new("CurrentTime", &instance, Mode::Read, |_| {})).await?;
        let time = answer.into_iter().next().map(|time| time.text);
        time.ok_or_else(|| Error::Protocol("CurrentTime returns no time".into()))
    }

    /// The privileges that the logged-in user has on each object, such as `Resource.AssignVMToPool`.
    pub async fn privileges(&self, objects: &[Mor]) -> Result<BTreeMap<Mor, BTreeSet<String>>, Error> {
        let session = self.session().await?;
        let manager = &session.service.authorization_manager;
        let call = Call::new("FetchUserPrivilegeOnEntities", manager, Mode::Read, |b| {
            for object in objects {
                b.mor("entities", object);
            }
            b.value("userName", &session.user);
        });
        let answer = self.call(call).await?;
        let of = |result: &Element| {
            let names = result.all("privileges").map(|p| p.text.clone()).collect();
            Some((result.get("entity").and_then(Element::mor)?, names))
        };
        Ok(answer.iter().filter_map(of).collect())
    }

    /// The custom attributes that are defined.
    pub async fn custom_fields(&self) -> Result<Vec<CustomField>, Error> {
        let manager = self.session().await?.service.custom_fields_manager.clone();
        let object = self.read(&manager, &["field"]).await?;
        let fields =
            object.as_ref().and_then(|o| o.get("field")).map(|f| f.children.as_slice()).unwrap_or_default();
        Ok(fields.iter().filter_map(CustomField::read).collect())
    }
}
