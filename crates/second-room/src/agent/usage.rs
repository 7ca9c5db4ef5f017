//! What a repository takes where the file system does not count it.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

/// More files than any repository has; whoever has more is not waited for.
const MOST: u32 = 4_000_000;

/// restic's folders are three deep.
const DEEPEST: u32 = 16;

/// The bytes that a folder and all below it take on the disk; none where they cannot be counted. Its owner may change it
/// meanwhile, and could lead anywhere with a link: none is followed.
pub(crate) fn used(folder: impl AsFd) -> Option<u64> {
    let mut left = MOST;
    count(folder, DEEPEST, &mut left)
}

fn count(folder: impl AsFd, deeper: u32, left: &mut u32) -> Option<u64> {
    let deeper = deeper.checked_sub(1)?;
    let mut used = 0;
    for entry in Dir::read_from(&folder).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        *left = left.checked_sub(1)?;
        // What is gone by now takes nothing.
        let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        used += u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(below) = openat(&folder, name, flags, Mode::empty()) {
                used += count(below, deeper, left)?;
            }
        }
    }
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data/00")).unwrap();
        std::fs::write(folder.path().join("data/00/pack"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("data/usr")).unwrap();
        let opened = std::fs::File::open(folder.path()).unwrap();
        let counted = used(&opened).unwrap();
        assert!((1 << 20..2 << 20).contains(&counted), "{counted}");
        let deep = folder.path().join("a/".repeat(20));
        std::fs::create_dir_all(deep).unwrap();
        assert_eq!(used(&opened), None, "no repository is that deep");
    }
}
