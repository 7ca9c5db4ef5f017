//! How much a repository may take, held by the file system for the folder and all below it, whoever owns it.

use super::changes::Changes;
use super::folder::{Folder, Space};
use super::mount::Mount;
use super::record::Record;
use super::tools::done;
use crate::protocol::{QuotaMode, Reason, Refusal};

/// The smallest limit that is set, in bytes: less would not hold an empty repository.
const LEAST: u64 = 1 << 20;

const CHATTR: &str = "/usr/bin/chattr";
const LSATTR: &str = "/usr/bin/lsattr";
const SETQUOTA: &str = "/usr/sbin/setquota";
const BTRFS: &str = "/usr/bin/btrfs";

/// A subvolume's root has always this number.
const SUBVOLUME_INODE: u64 = 256;

/// So many files a repository may have whatever its limit, and one more for each so many bytes of that. restic's packs have
/// some 16 MiB.
const FILES: u64 = 100_000;
const BYTES_A_FILE: u64 = 1 << 20;

/// What a file system holds of one repository, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) limit: Option<u64>,
    pub(crate) used: Option<u64>,
}

/// Why quotas of this kind do not bind on that file system; none where they do.
pub(crate) fn problem(mode: QuotaMode, mount: &Mount, root: &Folder) -> Option<String> {
    match mode {
        QuotaMode::None => Some(
            "no quotas are configured: one tenant can fill the disk of all; choose `project` or `btrfs` in the agent's \
             settings"
                .to_owned(),
        ),
        QuotaMode::Project if !matches!(mount.kind.as_str(), "xfs" | "ext4") => {
            Some(format!("project quotas need XFS or ext4, and {} is {}", mount.point.display(), mount.kind))
        }
        QuotaMode::Project if !mount.has("prjquota") && !mount.has("pquota") => {
            Some(format!("{} is not mounted with the option prjquota", mount.point.display()))
        }
        QuotaMode::Btrfs if mount.kind != "btrfs" => {
            Some(format!("quotas of Btrfs need Btrfs, and {} is {}", mount.point.display(), mount.kind))
        }
        QuotaMode::Btrfs => btrfs_held(root).err().map(|refusal| {
            format!("{refusal}; turn them on with `btrfs quota enable {}`", mount.point.display())
        }),
        QuotaMode::Project => None,
    }
}

/// Makes the folder of a repository, in the form that quotas of this kind need. It belongs to root at first.
pub(crate) fn make_folder(
    mode: QuotaMode,
    parent: &Folder,
    name: &str,
    changes: &mut Changes,
) -> Result<Folder, Refusal> {
    if let Some(folder) = parent.open(name)? {
        let stat = folder.stat()?;
        if mode == QuotaMode::Btrfs && stat.st_ino != SUBVOLUME_INODE {
            let message = format!(
                "{} was made before this host had quotas and is no subvolume, so that no limit can be set: move its \
                 content into one of the same name and owner",
                folder.path().display()
            );
            return Err(Refusal::new(Reason::Quota, message));
        }
        // One that still belongs to root may be half made.
        return if stat.st_uid == 0 { parent.make(name, 0o700, 0, changes) } else { Ok(folder) };
    }
    if mode == QuotaMode::Btrfs {
        changes.next();
        let path = parent.path().join(name);
        done(BTRFS, &["subvolume", "create", &path.to_string_lossy()], Reason::Host)?;
    }
    parent.make(name, 0o700, 0, changes)
}

/// Sets the limit, and says what the file system then holds. It is asked and not believed.
pub(crate) fn set(
    mode: QuotaMode,
    mount: &Mount,
    record: &Record,
    folder: &Folder,
    bytes: Option<u64>,
    changes: &mut Changes,
) -> Result<Held, Refusal> {
    let bytes = bytes.map(|bytes| bytes.max(LEAST));
    let before = held(mode, folder)?;
    if mode == QuotaMode::None || (is(before.limit, bytes) && in_project(mode, record, folder)?) {
        return Ok(before);
    }
    // A file system shows no limit that is larger than itself.
    let whole = folder_above(folder)?.total;
    if mode == QuotaMode::Project && bytes.is_some_and(|bytes| bytes >= whole) {
        set_project(mount, record, folder, bytes, changes)?;
        return Ok(Held { limit: bytes, ..before });
    }
    match mode {
        QuotaMode::None => {}
        QuotaMode::Project => set_project(mount, record, folder, bytes, changes)?,
        QuotaMode::Btrfs => {
            changes.next();
            let limit = bytes.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
            done(BTRFS, &["qgroup", "limit", &limit, &folder.path().to_string_lossy()], Reason::Quota)?;
        }
    }
    let after = held(mode, folder)?;
    if is(after.limit, bytes) {
        return Ok(after);
    }
    let text =
        |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} bytes"));
    let message = format!(
        "the file system holds {} for {} and not {}: check that quotas are on",
        text(after.limit),
        folder.path().display(),
        text(bytes)
    );
    Err(Refusal::new(Reason::Quota, message))
}

/// Whether a limit is the wanted one, but for the file system's rounding.
fn is(limit: Option<u64>, wanted: Option<u64>) -> bool {
    match (limit, wanted) {
        (Some(limit), Some(wanted)) => limit.abs_diff(wanted) <= 64 << 10,
        (limit, wanted) => limit == wanted,
    }
}

fn set_project(
    mount: &Mount,
    record: &Record,
    folder: &Folder,
    bytes: Option<u64>,
    changes: &mut Changes,
) -> Result<(), Refusal> {
    let project = record.uid.to_string();
    if !in_project(QuotaMode::Project, record, folder)? {
        // What is in it already keeps its project, and would not count.
        if !folder.names()?.is_empty() {
            let message = format!(
                "{} was filled before this host had quotas: put it into its project once, as root: \
                 chattr -R -p {project} +P {0}",
                folder.path().display()
            );
            return Err(Refusal::new(Reason::Quota, message));
        }
        changes.next();
        done(CHATTR, &["-p", &project, "+P", &folder.path().to_string_lossy()], Reason::Quota)?;
    }
    changes.next();
    let blocks = (bytes.unwrap_or_default() / 1024).to_string();
    let files = bytes.map_or(0, |bytes| FILES + bytes / BYTES_A_FILE).to_string();
    let point = mount.point.to_string_lossy();
    done(SETQUOTA, &["-P", &project, "0", &blocks, "0", &files, &point], Reason::Quota).map(drop)
}

/// Whether the folder counts for the record's project, where there are such.
fn in_project(mode: QuotaMode, record: &Record, folder: &Folder) -> Result<bool, Refusal> {
    if mode != QuotaMode::Project {
        return Ok(true);
    }
    // `20000 ---------------------P-- /srv/…`
    let said = done(LSATTR, &["-d", "-p", &folder.path().to_string_lossy()], Reason::Quota)?;
    let mut fields = said.split_whitespace();
    let project = fields.next().and_then(|field| field.parse().ok());
    Ok(project == Some(record.uid) && fields.next().is_some_and(|flags| flags.contains('P')))
}

/// What the file system holds of a repository.
pub(crate) fn held(mode: QuotaMode, folder: &Folder) -> Result<Held, Refusal> {
    match mode {
        QuotaMode::None => Ok(Held::default()),
        QuotaMode::Project => {
            // A folder of a project with a limit shows that limit as its size, and the rest of it as free.
            let whole = Folder::space(folder)?;
            let outside = folder_above(folder)?;
            Ok(project_held(whole, outside))
        }
        QuotaMode::Btrfs => btrfs_held(folder),
    }
}

/// The space of the tenant's folder, which is in no project.
fn folder_above(folder: &Folder) -> Result<Space, Refusal> {
    let above = folder.path().parent().unwrap_or(folder.path());
    Folder::trusted(above)?.space()
}

fn project_held(inside: Space, outside: Space) -> Held {
    let bound = inside.total != outside.total;
    Held {
        limit: bound.then_some(inside.total),
        used: bound.then(|| inside.total.saturating_sub(inside.free)),
    }
}

fn btrfs_held(folder: &Folder) -> Result<Held, Refusal> {
    let path = folder.path().to_string_lossy();
    // Without the sync it tells what was when it last wrote to the disk.
    let said = done(BTRFS, &["qgroup", "show", "--sync", "--raw", "-r", "-f", &path], Reason::Quota)?;
    parse_qgroup(&said).ok_or_else(|| {
        let message = format!("btrfs tells no quota of {path} that could be read: {}", said.trim());
        Refusal::new(Reason::Quota, message)
    })
}

/// `0/256  16384  16384  1048576`: the group, what it refers to, what is its alone, the limit. Below a heading.
fn parse_qgroup(text: &str) -> Option<Held> {
    let line = text.lines().rev().find(|line| line.contains('/'))?;
    let fields: Vec<_> = line.split_whitespace().collect();
    let (used, limit) = (fields.get(1)?.parse().ok()?, *fields.get(3)?);
    let limit = if limit == "none" { None } else { Some(limit.parse().ok()?) };
    Some(Held { limit, used: Some(used) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_btrfs_is_read() {
        let text = |limit| {
            format!("qgroupid rfer excl max_rfer\n-------- ---- ---- --------\n0/256 16384 8192 {limit}\n")
        };
        let used = Some(16_384);
        assert_eq!(parse_qgroup(&text("none")), Some(Held { limit: None, used }));
        assert_eq!(parse_qgroup(&text("1048576")), Some(Held { limit: Some(1 << 20), used }));
        assert_eq!(parse_qgroup("ERROR: can't list qgroups"), None);
        assert_eq!(parse_qgroup(&text("?")), None);
    }

    #[test]
    fn a_project_shows_its_limit_as_its_size() {
        let space = |total, free| Space { total, free, available: free };
        let held = project_held(space(100, 60), space(1000, 500));
        assert_eq!(held, Held { limit: Some(100), used: Some(40) });
        assert_eq!(
            project_held(space(1000, 500), space(1000, 500)),
            Held::default(),
            "no limit, nothing to tell"
        );
    }

    #[test]
    fn quotas_that_do_not_bind_are_told() {
        assert!(is(Some(1 << 30), Some((1 << 30) + 4096)), "rounded to blocks");
        assert!(!is(Some(1 << 30), None) && !is(None, Some(1 << 30)));
        assert!(!is(Some(1 << 30), Some(1 << 31)));
    }
}
