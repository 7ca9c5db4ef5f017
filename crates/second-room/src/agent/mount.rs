//! The file system that a folder is on.

use std::path::{Path, PathBuf};

use crate::protocol::Refusal;

/// One mounted file system.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mount {
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// Its kind, such as `ext4`.
    pub(crate) kind: String,
    /// Its options, those of the mount and those of the file system.
    options: Vec<String>,
}

impl Mount {
    /// The one that a path is on.
    pub(crate) fn of(path: &Path) -> Result<Self, Refusal> {
        let table = std::fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| Refusal::system("reading the table of mounts", error))?;
        let nothing = || Refusal::system(path.display(), std::io::Error::from(std::io::ErrorKind::NotFound));
        Self::find(&table, path).ok_or_else(nothing)
    }

    /// The innermost that holds the path; of several at one place the last, which hides the others.
    fn find(table: &str, path: &Path) -> Option<Self> {
        let mounts = table.lines().filter_map(Self::parse).filter(|mount| path.starts_with(&mount.point));
        mounts.max_by_key(|mount| mount.point.components().count())
    }

    /// A line of /proc/self/mountinfo, see proc(5).
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        let (point, options) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let (kind, _, more) = (file_system.next()?, file_system.next()?, file_system.next()?);
        let options = options.split(',').chain(more.split(',')).map(str::to_owned).collect();
        // A blank in a path is written as an octal number.
        let point = point.replace("\\040", " ").replace("\\134", "\\");
        Some(Self { point: PathBuf::from(point), kind: kind.to_owned(), options })
    }

    /// Whether it was mounted with that option.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|given| given == option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_holds_a_path() {
        let table = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 254:16 / /srv rw,relatime - xfs /dev/vdb rw,attr2,prjquota
32 31 254:32 / /srv/a\\040b rw - btrfs /dev/vdc rw,subvol=/
33 31 0:5 / /srv rw - tmpfs tmpfs rw
broken";
        let find = |path| Mount::find(table, Path::new(path)).map(|mount| mount.kind);
        assert_eq!(find("/home").as_deref(), Some("ext4"));
        assert_eq!(find("/srv/vertskommune").as_deref(), Some("tmpfs"), "the last of two at one place");
        assert_eq!(find("/srv/a b/c").as_deref(), Some("btrfs"));
        assert_eq!(find("/srvx").as_deref(), Some("ext4"), "a part of a name is no folder");
        let xfs = table.lines().nth(1).and_then(Mount::parse);
        assert!(xfs.is_some_and(|mount| mount.has("prjquota") && !mount.has("quota")));
    }
}
