//! The order of steps over all plugins: what is needed comes first, what is removed goes last.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{ProviderName, ResourceId};
use crate::resource::Resource;
use crate::step::{Class, Refusal, RefusalReason, Step};

type Desired = BTreeMap<ProviderName, Vec<Resource>>;

/// Sorts the steps. Those of one resource keep the order in which the plugin gave them.
pub(super) fn sort(steps: Vec<Step>, desired: &Desired) -> Vec<Step> {
    let ranks = ranks(desired);
    let mut steps: Vec<_> = steps.into_iter().enumerate().collect();
    steps.sort_by_key(|(given, step)| {
        // What is to go has no place among the desired; its plugin knows what stands on what.
        let place = match step.class {
            Class::Retire | Class::Remove | Class::Destroy => None,
            _ => Some((ranks.get(&step.resource).copied().unwrap_or(usize::MAX), step.resource.clone())),
        };
        (place.is_none(), place, *given)
    });
    steps.into_iter().map(|(_, step)| step).collect()
}

/// A refusal for each resource that needs itself, by way of others or directly.
pub(super) fn cycles(desired: &Desired) -> Vec<Refusal> {
    let ranks = ranks(desired);
    let all: BTreeMap<&ResourceId, &Resource> =
        desired.values().flatten().map(|resource| (&resource.id, resource)).collect();
    let circling = |resource: &Resource| !ranks.contains_key(&resource.id);
    all.values()
        .filter(|resource| circling(resource))
        .map(|resource| {
            let needs: Vec<_> = resource
                .needs()
                .into_iter()
                .filter(|id| all.get(id).is_some_and(|needed| circling(needed)))
                .map(|id| id.key.to_string())
                .collect();
            Refusal {
                resource: resource.id.clone(),
                field: resource.origin.clone(),
                reason: RefusalReason::Cycle,
                message: format!("{} needs {}, which needs it in turn", resource.id.key, needs.join(" and ")),
            }
        })
        .collect()
}

/// How many layers of other resources each one stands on. A resource in a circle, or on one, has no rank.
fn ranks(desired: &Desired) -> BTreeMap<ResourceId, usize> {
    let known: BTreeSet<&ResourceId> = desired.values().flatten().map(|resource| &resource.id).collect();
    let mut open: Vec<&Resource> = desired.values().flatten().collect();
    let mut ranks: BTreeMap<ResourceId, usize> = BTreeMap::new();
    for rank in 0.. {
        let (ready, blocked): (Vec<_>, Vec<_>) = open.into_iter().partition(|resource| {
            resource.needs().into_iter().all(|id| ranks.contains_key(id) || !known.contains(id))
        });
        if ready.is_empty() {
            break;
        }
        ranks.extend(ready.into_iter().map(|resource| (resource.id.clone(), rank)));
        open = blocked;
    }
    ranks
}
