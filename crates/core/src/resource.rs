//! What a tenant should have: resources with fields, as a plugin expands them from the manifest.
//!
//! Fields are flat paths such as `disks.data.size`, so that comparison, plan and message all name the same thing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::names::ResourceId;

/// Desired fields by path.
pub type Fields = BTreeMap<String, Value>;

/// What a field should hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Exactly this.
    Known(Json),
    /// The content of a secret. It counts by reference and version; its value never enters a plan.
    Secret(SecretRef),
    /// An output of another resource, which exists only after it does. Resolved by looking, never from memory.
    After {
        /// The other resource, perhaps of another provider.
        resource: ResourceId,
        /// Which of its outputs.
        output: String,
    },
}

impl Value {
    /// A known value of anything that becomes JSON.
    pub fn known(value: impl Into<Json>) -> Self {
        Self::Known(value.into())
    }

    /// The known value, if it is one.
    pub fn as_known(&self) -> Option<&Json> {
        match self {
            Self::Known(value) => Some(value),
            Self::Secret(_) | Self::After { .. } => None,
        }
    }
}

/// Where a secret lies. Two references are equal where name, entry and version are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretRef {
    /// The secret's name in the store.
    pub name: String,
    /// The entry within it.
    pub entry: String,
    /// Its version as the store counts it.
    pub version: String,
}

/// One thing that a tenant should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Which one it is.
    pub id: ResourceId,
    /// The part of the manifest that it comes from, such as `spec.servers[0]`.
    pub origin: String,
    /// What it should hold.
    pub fields: Fields,
    /// Resources that must exist before it, besides those that its fields name.
    pub after: BTreeSet<ResourceId>,
    /// What the manifest allows for it alone.
    pub permits: Permits,
    /// Resources of one group are interrupted one at a time.
    pub group: Option<String>,
}

impl Resource {
    /// A resource without fields.
    pub fn new(id: ResourceId, origin: impl Into<String>) -> Self {
        Self {
            id,
            origin: origin.into(),
            fields: Fields::new(),
            after: BTreeSet::new(),
            permits: Permits::default(),
            group: None,
        }
    }

    /// The same with a field that is known.
    #[must_use]
    pub fn with(mut self, field: impl Into<String>, value: impl Into<Json>) -> Self {
        self.fields.insert(field.into(), Value::known(value));
        self
    }

    /// The same with a field that another resource gives.
    #[must_use]
    pub fn with_output(
        mut self,
        field: impl Into<String>,
        resource: &ResourceId,
        output: impl Into<String>,
    ) -> Self {
        self.fields.insert(field.into(), Value::After { resource: resource.clone(), output: output.into() });
        self
    }

    /// All resources that must exist before this one.
    pub fn needs(&self) -> BTreeSet<&ResourceId> {
        let named = self.fields.values().filter_map(|value| match value {
            Value::After { resource, .. } => Some(resource),
            Value::Known(_) | Value::Secret(_) => None,
        });
        self.after.iter().chain(named).collect()
    }
}

/// What a manifest allows for one resource. Each permission fits one event, not the next accident too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permits {
    /// An existing thing without our mark that may be taken over, as the manifest names it.
    pub adopt: Option<String>,
    /// The identity of a lost thing that may be made anew.
    pub recreate: Option<String>,
    /// Interruptions are allowed outside of the windows until then.
    pub restart_before: Option<Timestamp>,
}
