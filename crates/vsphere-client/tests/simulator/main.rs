//! The client against govmomi's simulator: every operation, and every way to fail.
//!
//! Needs `VERTSKOMMUNE_LAB_BIN`, the folder that holds `vcenter-simulator`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

mod exports;
mod failures;
mod imports;
mod lab;
mod operations;
mod scene;
mod sessions;
