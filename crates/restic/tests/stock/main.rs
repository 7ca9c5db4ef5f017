//! Against the stock restic, age and SFTP server of the machine.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod broken;
mod ground;
mod sealed;
mod secrets;
mod whole;
