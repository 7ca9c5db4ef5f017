//! What is damaged in a repository, as restic names it.

use std::collections::BTreeSet;
use std::fmt;

/// More are only counted.
const NAMED: usize = 50;

/// What is damaged. Ids are those of restic, 64 hexadecimal digits, and at most 50 of each are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Packs that are missing, or hold something else than their name says.
    pub packs: BTreeSet<String>,
    /// Index files likewise.
    pub indexes: BTreeSet<String>,
    /// Trees and blobs that cannot be read.
    pub blobs: BTreeSet<String>,
    /// restic's last lines.
    pub said: String,
}

impl Damage {
    /// Whether anything was named.
    pub(crate) fn any(&self) -> bool {
        !(self.packs.is_empty() && self.indexes.is_empty() && self.blobs.is_empty())
    }

    pub(crate) fn with(mut self, said: String) -> Self {
        self.said = said;
        self
    }

    /// Takes the ids out of a line that tells of damage.
    pub(crate) fn hear(&mut self, line: &str) {
        let lower = line.to_ascii_lowercase();
        let says = |any: &[&str]| any.iter().any(|it| lower.contains(it));
        let tells =
            ["does not exist", "does not match", "verification failed", "not found in", "unable to load"];
        if !says(&tells) && !says(&["mismatch", "contains", "invalid", "error for"]) {
            return;
        }
        let ids = if says(&["pack"]) {
            &mut self.packs
        } else if says(&["index/", "index "]) && !says(&["not found in index"]) {
            &mut self.indexes
        } else if says(&["tree", "blob", "not found in"]) {
            &mut self.blobs
        } else {
            return;
        };
        let word = |c: char| !c.is_ascii_hexdigit();
        // Of "want A, got B" the first is the file's name.
        if let Some(id) =
            line.split(word).find(|word| word.len() == 64 || word.len() == 8 || word.len() == 10)
            && ids.len() < NAMED
        {
            ids.insert(id.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (what, ids) in [("packs", &self.packs), ("indexes", &self.indexes), ("blobs", &self.blobs)] {
            if let Some(first) = ids.first() {
                write!(f, "{separator}{} {what} ({}…)", ids.len(), first.get(..8).unwrap_or(first))?;
                separator = ", ";
            }
        }
        if separator.is_empty() { f.write_str(&self.said) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_from_lines_that_tell_of_damage() {
        let id = "10934de51954986f611fe924c47cc5450407ad6b187da772764fd268ec75f637";
        let other = "8370522f507d2baed72b246fcd003e75ce09be5f5d3b6059aa48fec786d8a1a1";
        let mut damage = Damage::default();
        damage.hear("load indexes");
        damage.hear(&format!("pack {other}: fine"));
        assert!(!damage.any());
        damage.hear(&format!("Pack ID does not match, want {id}, got {other}"));
        damage.hear(&format!("pack {id}: does not exist"));
        assert_eq!(damage.packs, BTreeSet::from([id.to_owned()]));
        damage.hear(&format!(
            "loading tree for snapshot \"latest\" failed: id {other} not found in repository"
        ));
        assert_eq!(damage.blobs, BTreeSet::from([other.to_owned()]));
        assert_eq!(damage.to_string(), "1 packs (10934de5…), 1 blobs (8370522f…)");
    }
}
