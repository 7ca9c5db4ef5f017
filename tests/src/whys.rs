//! Which reasons the tests have seen: told by their real cause, with the advice followed, and cleared. Each is a file in
//! `target/whys`, so that `--test whys` finds at the end of `make test` which were not.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vertskommune_core::reason::{Reason, Who};

use crate::estate::in_tree;

/// The reasons that were told of one thing and have not cleared yet.
#[derive(Debug, Default)]
pub struct Told(Mutex<BTreeSet<Reason>>);

impl Told {
    /// It was told, and its advice said what it should.
    ///
    /// # Panics
    /// Where the word is no reason of ours.
    pub fn by_its_cause(&self, word: &str) {
        let reason = Reason::of(word).unwrap_or_else(|| panic!("{word} is no reason that has an advice"));
        self.reasons().insert(reason);
    }

    /// It was told where nobody has to do anything about it, so that there is no advice to follow.
    pub fn in_passing(&self, word: &str) {
        self.reasons().extend(Reason::of(word).filter(|reason| reason.who() == Who::Nobody));
    }

    /// It stands in a status and only tells that something else hinders, which was told instead of it.
    pub fn behind_another(&self, word: &str) {
        self.reasons().extend(Reason::of(word).filter(|reason| reason.who() == Who::Other));
    }

    /// Nothing is told any more: all that was has cleared.
    ///
    /// # Panics
    /// Where it cannot be written down.
    pub fn cleared(&self) {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        for reason in std::mem::take(&mut *self.reasons()) {
            fs::create_dir_all(folder()).unwrap_or_else(|error| panic!("{}: {error}", folder().display()));
            let file = folder().join(reason.word());
            fs::write(&file, &test).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    fn reasons(&self) -> MutexGuard<'_, BTreeSet<Reason>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All reasons that have cleared since the folder was emptied.
#[must_use]
pub fn all() -> BTreeSet<Reason> {
    let files = fs::read_dir(folder()).into_iter().flatten().flatten();
    files.filter_map(|file| Reason::of(file.file_name().to_str()?)).collect()
}

fn folder() -> PathBuf {
    in_tree("target/whys").into()
}
