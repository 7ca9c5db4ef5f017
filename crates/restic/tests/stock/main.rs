//! Against the stock restic, age and SFTP server of the machine.

mod broken;
mod ground;
mod sealed;
mod secrets;
mod whole;
