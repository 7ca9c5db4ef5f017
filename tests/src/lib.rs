//! What several tests of the whole share.
