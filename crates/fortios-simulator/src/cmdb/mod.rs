//! The CMDB: what may be written into the tables and how it is read. Everything here is a function of a view of
//! the configuration; what changes is handed back, and carried out elsewhere.

mod check;
pub(crate) mod child;
mod error;
pub(crate) mod order;
mod query;
mod rules;
pub(crate) mod schema_action;
mod write;

pub use error::CmdbError;
pub(crate) use query::Query;
pub(crate) use write::{Attempt, Limits, Outcome, clone, create, purge, remove, still_holds, update};
