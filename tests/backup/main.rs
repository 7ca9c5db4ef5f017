//! The backup plugin against a real second room: a real sshd with the agent behind it, and a real restic.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod breaking;
mod converging;
mod crashing;
mod killed;
mod proving;
mod servers;
mod stage;
mod taking;
mod watching;
