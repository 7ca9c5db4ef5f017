//! What a pass did, for the status, the events and the metrics.

use serde::{Deserialize, Serialize};
use vertskommune_core::names::ResourceId;
use vertskommune_core::plan::Plan;
use vertskommune_core::step::{Class, StepId};
use vertskommune_provider::Applied;

/// What one pass over a tenant did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The plan that was carried out, as far as it could be.
    pub plan: Plan,
    /// The steps that were sent, or should have been, in their order.
    pub outcomes: Vec<Outcome>,
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The step.
    pub id: StepId,
    /// What it changes.
    pub resource: ResourceId,
    /// What it does there.
    pub operation: String,
    /// What it means for those who use the thing.
    pub class: Class,
    /// One sentence for people.
    pub summary: String,
    /// What became of it.
    pub applied: Applied,
}

impl RunReport {
    /// Whether anything may have changed, so that another look is needed.
    pub fn changed_anything(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.applied.may_have_changed())
    }

    /// The first step that failed.
    pub fn failure(&self) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| matches!(outcome.applied, Applied::Failed(_)))
    }
}
