//! What the tests of a run have seen: files in `target/seen`, a folder for each kind of thing, which `--test seen` reads at the end of
//! `make test`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::estate::in_tree;

fn folder(of: &str) -> PathBuf {
    in_tree(&format!("target/seen/{of}")).into()
}

pub(crate) fn write_down(of: &str, name: &str, text: &str) {
    let folder = folder(of);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join(name), text))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
}

/// The same with the name of the test that saw it.
pub(crate) fn write_down_who(of: &str, name: &str) {
    write_down(of, name, std::thread::current().name().unwrap_or_default());
}

/// All of a kind by their names.
pub(crate) fn all(of: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder(of)).into_iter().flatten().flatten();
    files
        .filter_map(|file| {
            Some((file.file_name().into_string().ok()?, fs::read_to_string(file.path()).ok()?))
        })
        .collect()
}
