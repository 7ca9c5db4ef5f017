//! The schema of the CMDB: what tables there are and what their rows may hold. Facts only: nothing here reads
//! or writes a row.

mod attribute;
mod catalogue;
mod format;
mod table;
mod tables;

pub(crate) use attribute::{Attribute, Kind};
pub(crate) use catalogue::{TableId, catalogue};
pub(crate) use format::network;
pub(crate) use table::{Scope, Shape, Table, find};
