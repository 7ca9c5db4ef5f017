//! The in-memory provider and the conformance suite.
