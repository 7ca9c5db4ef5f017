//! Tenants as they come and go: each change is taken into the world first, and then the tenant is reconciled.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock};

use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use vertskommune_api::{ACCEPT_LOSS, ALLOW_DESTROY, BACKUP_AFTER, FINALIZER, REQUESTED_AT, Tenant};
use vertskommune_core::names::TenantName;
use vertskommune_engine::World;

use crate::catalogue::SharedCatalogue;

/// Takes what the watch tells into the world.
#[derive(Default)]
pub(crate) struct Intake {
    known: BTreeMap<TenantName, Form>,
    /// What a list that is under way has named so far.
    listed: Option<BTreeSet<TenantName>>,
    /// What is to be reconciled once the list is complete.
    after_list: BTreeSet<TenantName>,
}

/// What has to change for a tenant to be reconciled: all that a person can say, and nothing that we write ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Form {
    uid: Option<String>,
    generation: Option<i64>,
    annotations: Vec<Option<String>>,
    leaving: bool,
    held: bool,
}

/// What one event means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// To be reconciled.
    pub(crate) changed: BTreeSet<TenantName>,
    /// Not there any more.
    pub(crate) gone: BTreeSet<TenantName>,
}

impl Intake {
    /// Takes one event in.
    pub(crate) fn take(
        &mut self,
        event: &Event<Tenant>,
        world: &RwLock<World>,
        catalogue: &SharedCatalogue,
    ) -> Taken {
        match event {
            Event::Apply(tenant) => {
                let changed = self.put(tenant, world, catalogue).into_iter().collect();
                Taken { changed, gone: BTreeSet::new() }
            }
            Event::Delete(tenant) => {
                let name = name(tenant);
                self.drop(&name, world);
                Taken { changed: BTreeSet::new(), gone: BTreeSet::from([name]) }
            }
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Taken::default()
            }
            Event::InitApply(tenant) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(name(tenant));
                }
                let changed = self.put(tenant, world, catalogue);
                self.after_list.extend(changed);
                Taken::default()
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone: BTreeSet<_> =
                    self.known.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                for name in &gone {
                    self.drop(name, world);
                }
                Taken { changed: std::mem::take(&mut self.after_list), gone }
            }
        }
    }

    /// Takes in the tenant as it is now. A manifest that is refused leaves the last one that was not: what it claims
    /// is still held against newcomers.
    fn put(
        &mut self,
        tenant: &Tenant,
        world: &RwLock<World>,
        catalogue: &SharedCatalogue,
    ) -> Option<TenantName> {
        let (name, form) = (name(tenant), form(tenant));
        if let Some(known) = self.known.get_mut(&name) {
            // That our finalizer has come is our own doing; that it has gone is not.
            known.held |= form.held;
            if *known == form {
                return None;
            }
        }
        enter(tenant, world, catalogue);
        self.known.insert(name.clone(), form);
        Some(name)
    }

    fn drop(&mut self, name: &TenantName, world: &RwLock<World>) {
        self.known.remove(name);
        world.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Puts a tenant into the world as its manifest has it with this catalogue.
pub(crate) fn enter(tenant: &Tenant, world: &RwLock<World>, catalogue: &SharedCatalogue) {
    let leaving = tenant.metadata.deletion_timestamp.is_some();
    // A manifest that breaks our own code must not break the watch of all; its own pass will tell.
    if let Ok(Ok(valid)) = catch_unwind(AssertUnwindSafe(|| catalogue.validate(tenant))) {
        world.write().unwrap_or_else(PoisonError::into_inner).insert(valid, leaving);
    }
}

/// The name of the tenant that an object is.
pub(crate) fn name(tenant: &Tenant) -> TenantName {
    TenantName::new(tenant.name_any())
}

/// The version of an object, which counts up.
pub(crate) fn version(tenant: &Tenant) -> Option<u64> {
    tenant.resource_version().and_then(|version| version.parse().ok())
}

/// Whether our finalizer is on it.
pub(crate) fn is_held(tenant: &Tenant) -> bool {
    tenant.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

fn form(tenant: &Tenant) -> Form {
    let annotations = [REQUESTED_AT, ALLOW_DESTROY, ACCEPT_LOSS, BACKUP_AFTER];
    Form {
        uid: tenant.uid(),
        generation: tenant.metadata.generation,
        annotations: annotations.iter().map(|key| tenant.annotations().get(*key).cloned()).collect(),
        leaving: tenant.metadata.deletion_timestamp.is_some(),
        held: is_held(tenant),
    }
}

/// Drops what nobody here reads and what makes up half of an object.
pub(crate) fn slim<K: kube::Resource>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertskommune_api::{TenantSpec, TenantStatus};

    fn tenant(name: &str, generation: i64) -> Tenant {
        let spec = TenantSpec { display_name: "Ibestad kommune".to_owned(), ..TenantSpec::default() };
        let mut tenant = Tenant::new(name, spec);
        tenant.metadata.generation = Some(generation);
        tenant
    }

    fn names(names: &[&str]) -> BTreeSet<TenantName> {
        names.iter().map(|name| TenantName::from(*name)).collect()
    }

    #[test]
    fn only_what_a_person_changes_counts() {
        let (mut intake, world) = (Intake::default(), RwLock::default());
        let mut written = tenant("ibestad", 1);
        written.status = Some(TenantStatus::default());
        written.metadata.resource_version = Some("7".to_owned());
        let mut asked = tenant("ibestad", 1);
        asked.annotations_mut().insert(REQUESTED_AT.to_owned(), "now".to_owned());
        let mut held = tenant("ibestad", 1);
        held.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        for (event, expected, reason) in [
            (tenant("ibestad", 1), names(&["ibestad"]), "new"),
            (written, names(&[]), "our own status"),
            (held, names(&[]), "our own finalizer"),
            (tenant("ibestad", 1), names(&["ibestad"]), "the finalizer was taken off"),
            (tenant("ibestad", 2), names(&["ibestad"]), "another generation"),
            (asked.clone(), names(&["ibestad"]), "asked to look"),
        ] {
            assert_eq!(
                intake.take(&Event::Apply(event), &world, &SharedCatalogue::default()).changed,
                expected,
                "{reason}"
            );
        }
        for word in [ALLOW_DESTROY, ACCEPT_LOSS, BACKUP_AFTER] {
            asked.annotations_mut().insert(word.to_owned(), "0123456789ab".to_owned());
            let event = Event::Apply(asked.clone());
            let taken = intake.take(&event, &world, &SharedCatalogue::default());
            assert_eq!(taken.changed, names(&["ibestad"]), "{word}");
        }
    }

    #[test]
    fn a_list_tells_who_is_gone() {
        let (mut intake, world) = (Intake::default(), RwLock::default());
        for name in ["dyroy", "ibestad"] {
            intake.take(&Event::Apply(tenant(name, 1)), &world, &SharedCatalogue::default());
        }
        intake.take(&Event::Init, &world, &SharedCatalogue::default());
        let taken = intake.take(&Event::InitApply(tenant("ibestad", 2)), &world, &SharedCatalogue::default());
        assert_eq!(taken, Taken::default(), "nothing is reconciled before the store has it");
        let taken = intake.take(&Event::InitDone, &world, &SharedCatalogue::default());
        assert_eq!(taken, Taken { changed: names(&["ibestad"]), gone: names(&["dyroy"]) });
        assert!(world.read().unwrap().tenant(&"dyroy".into()).is_none());
    }

    #[test]
    fn a_refused_manifest_leaves_the_last_valid_one() {
        let (mut intake, world) = (Intake::default(), RwLock::default());
        intake.take(&Event::Apply(tenant("ibestad", 1)), &world, &SharedCatalogue::default());
        let mut broken = tenant("ibestad", 2);
        broken.spec.display_name = String::new();
        broken.spec.municipality_number = Some("no number".to_owned());
        assert_eq!(
            intake.take(&Event::Apply(broken), &world, &SharedCatalogue::default()).changed,
            names(&["ibestad"])
        );
        let world = world.read().unwrap();
        assert_eq!(world.tenant(&"ibestad".into()).unwrap().display_name, "Ibestad kommune");
    }
}
