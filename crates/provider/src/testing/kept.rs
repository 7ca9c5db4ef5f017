//! An in-memory system in a file, so that several processes can have it one after the other.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vertskommune_core::names::Mark;

use super::system::Thing;
use super::vault::Runs;

/// What of a system outlives the process.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) things: BTreeMap<String, Thing>,
    pub(super) born: Vec<(Mark, String)>,
    pub(super) runs: Runs,
}

pub(super) fn read(file: &Path) -> Option<Kept> {
    let text = std::fs::read(file).ok()?;
    Some(serde_json::from_slice(&text).expect("the file of an in-memory system"))
}

pub(super) fn write(
    file: &Path,
    things: &BTreeMap<String, Thing>,
    born: &BTreeMap<Mark, String>,
    runs: Runs,
) {
    let born = born.iter().map(|(mark, identity)| (mark.clone(), identity.clone())).collect();
    let kept = Kept { things: things.clone(), born, runs };
    let text = serde_json::to_vec(&kept).expect("it has a form");
    std::fs::write(file, text).expect("the file of an in-memory system can be written");
}
