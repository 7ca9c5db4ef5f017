//! What processes show to everybody on their machine: their arguments and their environments.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks at all processes until it ends. What must not be seen may be known by then alone, so all of it is kept, each once.
pub(crate) struct Watch {
    /// Without it the looking ends, as it does where a test breaks off.
    wanted: Arc<()>,
    looking: JoinHandle<BTreeMap<Vec<u8>, String>>,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        let wanted = Arc::new(());
        let asked = Arc::downgrade(&wanted);
        let looking = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while asked.strong_count() > 0 {
                look(&mut seen);
                // What is watched has to get on.
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { wanted, looking }
    }

    /// All that was seen, with where that was first.
    pub(crate) fn end(self) -> Vec<(String, Vec<u8>)> {
        drop(self.wanted);
        let seen = self.looking.join().unwrap();
        seen.into_iter().map(|(text, place)| (place, text)).collect()
    }
}

fn look(seen: &mut BTreeMap<Vec<u8>, String>) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // The others are none of a process's.
        if !entry.file_name().to_string_lossy().starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        for file in ["cmdline", "environ"] {
            let path = entry.path().join(file);
            // Who has ended shows nothing any more.
            let text = fs::read(&path).unwrap_or_default();
            seen.entry(text).or_insert_with(|| path.display().to_string());
        }
    }
}
