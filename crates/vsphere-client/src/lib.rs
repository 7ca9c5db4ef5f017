//! A narrow, typed SOAP client for the vim25 API of vCenter 7.0U3 and later.
//!
//! It knows vCenter's objects and nothing of tenants. Two handles divide what it can do:
//!
//! * [`Client`] reads: properties ([`Client::retrieve`]), changes ([`Watch`]), tasks, searches.
//! * [`Writer`], made by [`Client::writer`], writes. Every write asks a permit immediately before
//!   its request goes out, so that a user of the crate without a permit cannot write.
//!
//! The bytes of a VM's disks come by a snapshot ([`Writer::create_snapshot`]) and its [`Export`]; those of a new VM go by its
//! [`Import`].
//!
//! What holds for every call:
//!
//! * One call of this crate is one request, but for the one that is sent again after a login.
//! * Calls wait for a budget ([`Config::max_in_flight`], [`Config::requests_per_second`]) and end
//!   by a deadline. [`Error::outcome`] says whether a failed call may have been done.
//! * Only fields that exist in vCenter 7.0 are sent, in the order of the WSDL: in debug builds a
//!   request in another order is refused before it goes out.
//! * No password, cookie or request text is in an error, a `Debug` output or a log line.
//!
//! Source: the vSphere Web Services API reference, 7.0; where a method or type is not explained
//! here, its name is the one to look up there.

mod budget;
mod client;
mod collector;
mod config;
mod device;
mod error;
mod export;
mod fault;
mod filter;
mod import;
mod lease;
mod mor;
mod ops;
#[cfg(debug_assertions)]
mod order;
#[cfg(debug_assertions)]
#[rustfmt::skip]
mod order_table;
mod pbm;
mod read;
mod secret;
mod service;
mod session;
mod snapshot;
mod spec;
mod task;
mod transport;
mod watch;
mod xml;

pub use client::{Client, Permit};
pub use collector::{Missing, Object, Property, View};
pub use config::{Config, Credentials, Timeouts};
pub use device::{
    Backing, Controller, Device, DeviceChange, DiskGrowth, Mac, NewController, NewDisk, NewNic, Nic, NicEdit,
    NicKind, PortConnection, VirtualDisk, devices,
};
pub use error::{Cause, Error, Fault, Outcome};
pub use export::{Download, Export, Obstacle, export_obstacles};
pub use fault::FaultClass;
pub use filter::{Scope, Select, Step};
pub use import::{Import, Upload};
pub use lease::{LeaseDisk, LeaseError, LeaseTimeouts, Place};
pub use mor::{BadMor, Mor, Task};
pub use ops::Writer;
pub use pbm::StorageProfile;
pub use read::CustomField;
pub use secret::Secret;
pub use service::{About, Service};
pub use snapshot::{NewSnapshot, Snapshot, snapshots};
pub use spec::{
    Adapter, Address, Allocation, AntiAffinityRule, CloneSpec, Customization, ExtraConfig, Identity,
    Location, NewPortgroup, PoolSpec, PortgroupChange, RuleChange, Shares, VmConfig, anti_affinity_rules,
};
pub use task::{TaskInfo, TaskState};
pub use watch::{Change, ChangeKind, Changes, Watch};
pub use xml::Element;
