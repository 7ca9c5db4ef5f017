//! End to end, against the lab's real peers: a real API server and govmomi's vCenter simulator.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admission;
mod alerts;
mod backup;
mod crash;
mod deploy;
mod drift;
mod outage;
mod people;
mod rebuilt;
mod refused;
mod rights;
mod schema;
mod sight;
mod stage;
