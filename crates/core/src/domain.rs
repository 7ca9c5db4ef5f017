//! The pure half of the provider contract: what a plugin knows of its domain without touching it.
//!
//! It stands here and not beside the other half (crate `provider`) because the plan calls it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::difference::{Difference, Shown};
use crate::names::{Installation, ProviderName};
use crate::observation::Observation;
use crate::resource::Resource;
use crate::schema::Schema;
use crate::step::{Refusal, Step};
use crate::tenant::ValidatedTenant;
use crate::transfer::Due;
use crate::violation::Violation;

/// What a plugin knows of its domain. Every method is pure and deterministic.
pub trait Domain: Send + Sync {
    /// The provider that this is for.
    fn name(&self) -> &ProviderName;

    /// The kinds here and the rules of their fields.
    fn schema(&self) -> &Schema;

    /// What this tenant should have here; nothing where the tenant does not name this provider.
    ///
    /// # Errors
    /// All that the manifest asks for and that this provider's settings do not give.
    fn expand(&self, inputs: &Inputs) -> Result<Vec<Resource>, Vec<Violation>>;

    /// The steps that close these differences: every choice that needs knowledge of the system (hot-add or restart,
    /// moves, what must not be touched). The steps of one resource stand in the order in which they must run.
    /// The differences are all of one tenant.
    fn steps(&self, differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal;

    /// What time has brought for this tenant, by what was seen: work that moves bytes and belongs to no plan.
    fn due(&self, _tenant: &ValidatedTenant, _seen: &Observation, _now: Timestamp) -> Due {
        Due::default()
    }
}

/// What a plugin expands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// The installation, which stands in every mark.
    pub installation: Installation,
    /// The tenant.
    pub tenant: ValidatedTenant,
}

/// What a plugin proposes for the differences of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The steps that close them.
    pub steps: Vec<Step>,
    /// The differences that cannot be closed.
    pub refusals: Vec<Refusal>,
    /// The differences that are only shown, because closing them would interrupt a service for somebody's own doing.
    pub shown: Vec<Shown>,
}
