//! The host's rule sets as they come and go. A version never changes, so what a tenant pins is either there or not yet.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use kube::runtime::watcher::Event;
use vertskommune_api::{Catalogue, RuleSet, Tenant, validate_rule_set, validate_tenant};
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::violation::Violation;

/// The catalogue that the watch fills and that every manifest is validated with.
#[derive(Default)]
pub(crate) struct SharedCatalogue(RwLock<Catalogue>);

impl SharedCatalogue {
    /// What the manifest says, or all that is wrong with it.
    pub(crate) fn validate(&self, tenant: &Tenant) -> Result<ValidatedTenant, Vec<Violation>> {
        validate_tenant(tenant, &self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes what the watch tells into the catalogue.
#[derive(Default)]
pub(crate) struct Intake {
    /// A list that is under way.
    listed: Option<Vec<RuleSet>>,
}

impl Intake {
    /// Takes one event in. Gives what tenants may pin that concerns them now.
    pub(crate) fn take(&mut self, event: Event<RuleSet>, catalogue: &SharedCatalogue) -> BTreeSet<String> {
        match event {
            Event::Init => {
                self.listed = Some(Vec::new());
                BTreeSet::new()
            }
            Event::InitApply(set) => {
                self.listed.get_or_insert_default().push(set);
                BTreeSet::new()
            }
            Event::InitDone => {
                let mut all = Catalogue::default();
                for set in self.listed.take().unwrap_or_default() {
                    put(&mut all, &set);
                }
                let mut shared = catalogue.0.write().unwrap_or_else(PoisonError::into_inner);
                let changed = all.pins().symmetric_difference(&shared.pins()).cloned().collect();
                *shared = all;
                changed
            }
            Event::Apply(set) => {
                let mut shared = catalogue.0.write().unwrap_or_else(PoisonError::into_inner);
                let pin = set.spec.pin();
                let known = shared.get(&pin).is_some();
                put(&mut shared, &set);
                if known { BTreeSet::new() } else { BTreeSet::from([pin]) }
            }
            Event::Delete(set) => {
                let mut shared = catalogue.0.write().unwrap_or_else(PoisonError::into_inner);
                shared.remove(&set.spec.pin());
                BTreeSet::from([set.spec.pin()])
            }
        }
    }
}

/// A set that is wrong in itself is not in the catalogue; a tenant that pins it is told so.
fn put(catalogue: &mut Catalogue, set: &RuleSet) {
    let name = set.metadata.name.clone().unwrap_or_default();
    let taken = validate_rule_set(set).and_then(|set| catalogue.insert(set).map_err(|wrong| vec![wrong]));
    for violation in taken.err().into_iter().flatten() {
        tracing::warn!(rule_set = name, %violation, "a rule set is refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertskommune_api::RuleSetSpec;

    fn set(version: i32) -> RuleSet {
        let spec = RuleSetSpec { name: "baseline".to_owned(), version, ..RuleSetSpec::default() };
        RuleSet::new(&format!("baseline-v{version}"), spec)
    }

    #[test]
    fn tenants_are_told_of_what_is_new_or_gone() {
        let (mut intake, catalogue) = (Intake::default(), SharedCatalogue::default());
        let pins =
            |versions: &[i32]| versions.iter().map(|it| format!("baseline@{it}")).collect::<BTreeSet<_>>();
        for (event, expected, reason) in [
            (Event::Init, pins(&[]), "a list begins"),
            (Event::InitApply(set(1)), pins(&[]), "it is not complete"),
            (Event::InitDone, pins(&[1]), "it is"),
            (Event::Apply(set(1)), pins(&[]), "known already"),
            (Event::Apply(set(2)), pins(&[2]), "a new version"),
            (Event::Delete(set(1)), pins(&[1]), "gone"),
            (Event::Init, pins(&[]), "the watch begins anew"),
            (Event::InitDone, pins(&[2]), "all are gone"),
        ] {
            assert_eq!(intake.take(event, &catalogue), expected, "{reason}");
        }
    }
}
