//! What the tests of the whole share: the lab, a proxy that can cut the way to the API server, a relay that can cut the
//! way to the second room, and Flux.

pub mod alerts;
pub mod directories;
pub mod estate;
pub mod flux;
pub mod inventory;
pub mod lab;
pub mod manifests;
pub mod measure;
pub mod peer;
pub mod proxy;
pub mod relay;
pub mod replay;
pub mod room;
pub mod running;
mod seen;
pub mod status;
pub mod verdicts;
pub mod whys;
