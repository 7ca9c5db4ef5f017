//! Stream-optimized VMDK: the form in which vSphere hands out and takes in a disk over HTTP.
//!
//! [`Reader`] makes the raw disk of such a stream, [`Writer`] makes such a stream of a raw disk.
//! Both hold one grain (64 KiB, as everybody writes it) and its tables, however large the disk is.
//!
//! A stream is a header, a text that describes the disk, and then sectors of 512 bytes with a
//! *marker* before each part: compressed grains in the order of the disk, a table of grains after
//! each 512 of them, the directory of these tables, the header again as a *footer*, and the marker
//! that ends it all. Grains of zeros are left out.
//!
//! What is read is not trusted: each number is checked before it is used, and a stream is whole
//! only when its end was seen and its tables list as many grains as came. Metadata has no more
//! sectors than a disk of that size can need. Where the tables say that each grain lies is not
//! compared with where it came: the markers alone place the grains.
//!
//! Source: VMware, Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents".

mod error;
mod format;
mod reader;
mod writer;

pub use error::Error;
pub use reader::{Piece, Reader};
pub use writer::Writer;
