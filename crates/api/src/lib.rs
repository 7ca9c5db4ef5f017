//! The kinds of `vertskommune.no` as people write them, and what becomes of them: types with their schema and CEL
//! rules, manifests read from files, validation to the types of core, conditions and status.
//!
//! Pure: no I/O, clock or randomness. A time comes in as an argument, a file as its text.

pub mod age;
pub mod conditions;
pub mod crds;
pub mod duration;
pub mod history;
pub mod host_provider;
pub mod manifest;
pub mod quantity;
pub mod rule_set;
mod rules;
mod schema;
pub mod status;
pub mod table;
pub mod tenant;
pub mod validate;
pub mod why;

pub use host_provider::{HostProvider, HostProviderSpec, HostProviderStatus};
pub use rule_set::{Catalogue, RuleSet, RuleSetSpec};
pub use status::{Outcome, StatusInput, status};
pub use tenant::{Tenant, TenantSpec, TenantStatus};
pub use validate::{deletion_policy, named_steps, validate_host, validate_rule_set, validate_tenant};

/// The API group of all kinds.
pub const GROUP: &str = "vertskommune.no";
/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";
/// The annotation on a Tenant that names the destructive steps an operator has allowed, separated by commas.
pub const ALLOW_DESTROY: &str = "vertskommune.no/allow-destroy";
/// The annotation on a Tenant by which an operator says, until a time, that what vanished of it is truly gone and not
/// merely out of sight.
pub const ACCEPT_LOSS: &str = "vertskommune.no/accept-loss";
/// The annotation on a Tenant by which somebody asks for backups and proofs of all its servers that are younger than a time,
/// whatever the schedule says.
pub const BACKUP_AFTER: &str = "vertskommune.no/backup-after";
/// The annotation that asks for a reconciliation now, as `flux reconcile` sets it.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// The label of a Secret that says which tenant may name it.
pub const TENANT_LABEL: &str = "vertskommune.no/tenant";
/// The finalizer on Tenants, and on what they use.
pub const FINALIZER: &str = "vertskommune.no/tenant";
