//! The keeper against the stock restic, and against an account that has everything the controller holds.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod attacks;
mod crashes;
mod keeping;
mod retaining;
mod room;
