//! What the writes are told: one struct for each sort of object, and how it is put into XML.

mod customization;
mod network;
mod pool;
mod rules;
mod vm;

pub use customization::{Adapter, Address, Customization, Identity};
pub use network::{NewPortgroup, PortgroupChange};
pub use pool::{Allocation, PoolSpec, Shares};
pub use rules::{AntiAffinityRule, RuleChange, anti_affinity_rules};
pub use vm::{CloneSpec, ExtraConfig, Location, VmConfig};

pub(crate) use rules::write_rules;
