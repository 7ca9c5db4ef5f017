//! Steps for what is no longer wanted, and for what is wanted again.
//!
//! Only an operator's word destroys data. Everything else is removed when nothing uses it any more, and a folder only
//! when nothing at all is in it: vCenter would delete what is.

use serde_json::{Value as Json, json};
use vertskommune_core::names::ResourceId;
use vertskommune_core::observation::{Present, Seen};
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Step, Wait};

use super::change::shutting_down;
use super::{Maker, is_on, label, later, operation, was_asked};
use crate::marks::{FOLDER, NETWORK, POOL};
use crate::order::{Order, Shutdown};

impl Maker<'_> {
    /// Shuts a server down and disconnects it.
    pub(super) fn retire(&self, id: &ResourceId, present: &Present) -> Vec<Step> {
        let summary = format!("disconnect {} and keep it", label(id));
        let mut retire = self.step(id, operation::RETIRE, Class::Retire, summary);
        retire.fields.insert("retired".to_owned(), Value::known(true));
        retire.expects.insert("identity".to_owned(), json!(present.identity));
        if !is_on(present) {
            return vec![retire];
        }
        vec![self.shut_down_for_good(id, present), later(retire)]
    }

    fn shut_down_for_good(&self, id: &ResourceId, present: &Present) -> Step {
        let summary =
            format!("shut down the guest of {}, which the manifest does not name any more", label(id));
        let mut step = self.step(id, operation::SHUT_DOWN, Class::Retire, summary);
        step.fields.insert("retired".to_owned(), Value::known(true));
        step.expects.insert("identity".to_owned(), json!(present.identity));
        let order = present.fields.get("order").and_then(Json::as_str).and_then(Order::read);
        step.blocked = match order.map(|order| order.shutdown(self.now, was_asked(present))) {
            None | Some(Shutdown::NotAsked | Shutdown::Late) => None,
            Some(Shutdown::Pending) => Some(shutting_down()),
            Some(Shutdown::Refused) => Some(Wait::GuestShutdown),
        };
        step
    }

    /// Connects a retired server again and starts it.
    pub(super) fn unretire(&self, desired: &Resource) -> Vec<Step> {
        let summary = format!("take {} into service again", label(&desired.id));
        let mut step = self.step(&desired.id, operation::UNRETIRE, Class::Change, summary);
        let networks = desired.fields.iter().filter(|(path, _)| path.starts_with("interfaces."));
        step.fields.extend(networks.map(|(path, value)| (path.clone(), value.clone())));
        step.fields.insert("retired".to_owned(), Value::known(false));
        vec![step, self.power_on(desired)]
    }

    /// Destroys a retired server, and then clears the record of its birth.
    ///
    /// In this order a crash leaves a record without a server, which shows as lost and is cleared by the same step: the
    /// record only ever makes us more careful than needed. In the other order it would leave a server without a record,
    /// whose loss nobody would notice.
    pub(super) fn destroy(&self, id: &ResourceId, present: &Present) -> Vec<Step> {
        let summary = format!("destroy {} with all its disks", label(id));
        let mut destroy = self.step(id, operation::DESTROY, Class::Destroy, summary);
        // So that a word for this machine never fits a later one of the same name.
        destroy.expects.insert("identity".to_owned(), json!(present.identity));
        let forget = later(self.forget(id));
        if is_on(present) {
            return vec![self.shut_down_for_good(id, present), later(destroy), forget];
        }
        vec![destroy, forget]
    }

    /// Clears the record of a birth.
    pub(super) fn forget(&self, id: &ResourceId) -> Step {
        let summary = format!("clear the record of {}, which is gone", label(id));
        let mut step = self.step(id, operation::FORGET, Class::Remove, summary);
        step.fields.insert("born".to_owned(), Value::known(false));
        step
    }

    /// Removes something that holds no data.
    pub(super) fn remove(&self, id: &ResourceId, present: &Present) -> Step {
        let summary = format!("remove {}", label(id));
        let mut step = self.step(id, operation::REMOVE, Class::Remove, summary);
        step.expects.insert("identity".to_owned(), json!(present.identity));
        step.blocked = self.user(id, present).map(|by| Wait::InUse { by });
        step
    }

    /// What still uses a thing.
    fn user(&self, id: &ResourceId, present: &Present) -> Option<String> {
        let count = |field: &str| present.fields.get(field).and_then(Json::as_u64).unwrap_or_default();
        let several = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
        match id.key.kind.as_str() {
            // Last of all, also after the records of lost servers, which stand on it.
            FOLDER => {
                let others = self.seen.seen.get(&id.tenant).into_iter().flatten();
                let mut others =
                    others.filter(|(key, seen)| **key != id.key && !matches!(seen, Seen::Unknown(_)));
                others
                    .next()
                    .map(|(key, _)| key.to_string())
                    .or_else(|| several(count("children"), "objects in it"))
            }
            POOL => several(count("children"), "machines or pools in it"),
            NETWORK => several(count("users"), "machines that are attached"),
            _ => None,
        }
    }
}
