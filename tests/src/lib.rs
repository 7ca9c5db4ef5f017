//! What the tests of the whole share: the lab, and a proxy that can cut the way to the API server.

pub mod estate;
pub mod inventory;
pub mod lab;
pub mod manifests;
pub mod measure;
pub mod proxy;
pub mod room;
pub mod status;
