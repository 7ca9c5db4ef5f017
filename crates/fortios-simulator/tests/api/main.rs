//! The simulator as clients meet it: over TLS, on free ports, one for each test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admin;
mod child_tables;
mod errors;
mod export;
mod login;
mod monitor;
mod order;
mod peer;
mod query;
mod rows;
mod scale;
mod shape;
mod transactions;
mod vdoms;
