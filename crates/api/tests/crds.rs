//! The definitions under `crds/` are those that the code makes. `UPDATE=1 cargo test -p vertskommune-api` writes them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test may read files and fail

use std::path::Path;

use vertskommune_api::crds::{crd_yaml, crds};

#[test]
fn the_checked_in_definitions_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    for crd in crds() {
        let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
        let made = crd_yaml(&crd).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == made,
            "{} is out of date: run UPDATE=1 cargo test -p vertskommune-api",
            path.display()
        );
    }
}
