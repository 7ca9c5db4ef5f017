//! The second room: a real sshd with the agent behind it, a real restic before it, and other people's clients.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod agent;
mod crash;
mod isolation;
mod jobs;
mod repository;
