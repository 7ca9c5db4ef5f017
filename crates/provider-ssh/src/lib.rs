//! What the plugins share that ask an agent over SSH: its address, the key that it lets in, waiting for it, and what its errors
//! mean. What is asked, and what is answered, is each plugin's own.

mod address;
mod blocking;
mod failure;
mod key;

pub use address::address;
pub use blocking::off_the_runtime;
pub use failure::of_ssh;
pub use key::{KEY, agent_key, private_key};
