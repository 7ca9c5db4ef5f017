//! What holds a plugin to the contract: an in-memory system with its provider, and the conformance suite.

pub mod conformance;
pub mod memory;
pub mod system;

pub use memory::MemoryPlugin;
pub use system::{Cut, MemorySystem, Thing};
