//! End to end, against the lab's real peers: a real API server and govmomi's vCenter simulator.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admission;
mod alerts;
mod api_server;
mod backup;
mod crash;
mod deploy;
mod drift;
mod gitops;
mod outage;
mod people;
mod reasons;
mod rebuilt;
mod refused;
mod replicas;
mod rights;
mod schema;
mod secrets;
mod sight;
mod stage;
