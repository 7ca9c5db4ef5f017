//! The keeper against the stock restic, and against an account that has everything the controller holds.

mod attacks;
mod crashes;
mod keeping;
mod retaining;
mod room;
