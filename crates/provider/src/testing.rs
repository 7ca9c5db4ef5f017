//! What holds a plugin to the contract: an in-memory system with its provider, and the conformance suite.

pub mod conformance;
mod kept;
pub mod memory;
mod moving;
pub mod system;
mod vault;

pub use memory::MemoryPlugin;
pub use moving::disk_bytes;
pub use system::{Cut, MemorySystem, Thing};
