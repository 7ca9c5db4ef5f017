//! Which snapshots lie in a repository, by the names of their files.

use std::fmt::Write as _;
use std::os::fd::AsFd;

use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::protocol::Snapshots;

/// More names than any repository has; whoever has more is not waited for.
const MOST: usize = 400_000;

/// The snapshots of a repository; none where they cannot be told. Its owner may change all of it meanwhile, and no link is
/// followed.
pub(crate) fn of(repository: impl AsFd) -> Option<Snapshots> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match openat(repository, "snapshots", flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Some(digest(Vec::new())),
        Err(_) => return None,
    };
    let mut names = Vec::new();
    for (number, entry) in Dir::read_from(&folder).ok()?.enumerate() {
        if number > MOST {
            return None;
        }
        let entry = entry.ok()?;
        let name = entry.file_name().to_bytes();
        // A snapshot's name is the hash of its content; anything else is none, such as one that is being written.
        if name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit) {
            names.push(name.to_owned());
        }
    }
    Some(digest(names))
}

fn digest(mut names: Vec<Vec<u8>>) -> Snapshots {
    names.sort_unstable();
    let hash = Sha256::digest(names.concat());
    let hash = hash.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    Snapshots { count: u64::try_from(names.len()).unwrap_or(u64::MAX), digest: hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_names_have_the_same_digest() {
        let folder = tempfile::tempdir().unwrap();
        let here = || of(std::fs::File::open(folder.path()).unwrap()).unwrap();
        let none = here();
        assert_eq!(none.count, 0, "a repository that is not made yet has none");
        let snapshots = folder.path().join("snapshots");
        std::fs::create_dir(&snapshots).unwrap();
        std::fs::write(snapshots.join("a-tmp"), "").unwrap();
        assert_eq!(here(), none);
        let name = |digit: &str| snapshots.join(digit.repeat(64));
        std::fs::write(name("a"), "").unwrap();
        std::fs::write(name("b"), "").unwrap();
        let two = here();
        assert_eq!(two.count, 2);
        std::fs::remove_file(name("a")).unwrap();
        assert_ne!(here(), two);
        std::fs::write(name("a"), "").unwrap();
        assert_eq!(here(), two);
        std::fs::remove_dir_all(&snapshots).unwrap();
        std::os::unix::fs::symlink("/", &snapshots).unwrap();
        assert_eq!(of(std::fs::File::open(folder.path()).unwrap()), None, "a link is not followed");
    }
}
