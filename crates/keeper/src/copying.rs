//! Reading a file that somebody else may change meanwhile: what was read is hashed, and nothing else counts.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::folder::{Folder, Seen, Stamp, before};
use crate::name::{Id, Name};

const CHUNK: usize = 1 << 20;

/// A change within this time of a look may bear the same time stamp.
const COARSE: Duration = Duration::from_secs(2);

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("gone")]
    Gone,
    #[error("no file")]
    NoFile,
    #[error("{0} bytes are too many for a file of its kind")]
    TooLong(u64),
    #[error("the content is not what the name says")]
    Mismatch,
    #[error("not what was first seen, nor is the kept copy")]
    Altered,
    #[error("no key as restic makes them")]
    NoKey,
    #[error("restic cannot read it, as was found before")]
    Unreadable,
    #[error("more than {0} keys")]
    Surplus(usize),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What was read.
pub(crate) struct Copied {
    pub(crate) bytes: u64,
    /// When the file that was read had last been changed, or a moment that it never has, if that was just now.
    pub(crate) changed: Stamp,
    pub(crate) file: File,
}

/// Opens a file and tells what it is. Nobody can change that for the file that is open.
fn open(from: &Folder, name: Name) -> Result<(File, Seen), Refused> {
    let file = match from.read(&name.leaf()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Refused::Gone),
        // A link, or a socket.
        Err(error) if matches!(error.raw_os_error(), Some(40 | 6)) => return Err(Refused::NoFile),
        Err(error) => return Err(error.into()),
    };
    let mut seen = Seen::of(&file)?.ok_or(Refused::NoFile)?;
    if seen.bytes > name.kind().longest() {
        return Err(Refused::TooLong(seen.bytes));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = now.as_secs().saturating_sub(u64::try_from(seen.changed.seconds).unwrap_or(0));
    if since <= COARSE.as_secs() {
        seen.changed = before(seen.changed, COARSE);
    }
    Ok((file, seen))
}

/// Copies a file to a fresh one in `into`, and gives it if what came over is what its name says. Otherwise, and after a
/// crash, what is there is nobody's.
pub(crate) fn copy(from: &Folder, name: Name, into: &Folder, fresh: &str) -> Result<Copied, Refused> {
    let (mut source, seen) = open(from, name)?;
    let mut file = into.create(fresh)?;
    let copied = (|| {
        // Where the file system can, both share their bytes until one is written to.
        if rustix::fs::ioctl_ficlone(&file, &source).is_ok() {
            file.seek(SeekFrom::Start(0))?;
            digest(&mut file, name, |_| Ok(()))
        } else {
            let mut target = &file;
            digest(&mut source, name, |chunk| target.write_all(chunk))
        }
    })();
    match copied {
        Ok(bytes) => Ok(Copied { bytes, changed: seen.changed, file }),
        Err(refused) => {
            into.remove(fresh)?;
            Err(refused)
        }
    }
}

/// Reads a file to see whether it is what its name says, and when it was changed last.
pub(crate) fn verify(from: &Folder, name: Name) -> Result<Stamp, Refused> {
    let (mut source, seen) = open(from, name)?;
    digest(&mut source, name, |_| Ok(()))?;
    Ok(seen.changed)
}

/// Reads a small file whole.
pub(crate) fn whole(from: &Folder, name: Name) -> Result<(Vec<u8>, Stamp), Refused> {
    let (source, seen) = open(from, name)?;
    let (mut bytes, longest) = (Vec::new(), name.kind().longest());
    source.take(longest + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= longest => Ok((bytes, seen.changed)),
        _ => Err(Refused::TooLong(longest + 1)),
    }
}

/// Reads to the end, in chunks, and holds the hash to the name.
fn digest(
    from: &mut File,
    name: Name,
    mut give: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, Refused> {
    let (mut hash, mut chunk, mut bytes) = (Sha256::new(), vec![0; CHUNK], 0_u64);
    loop {
        let length = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        bytes += u64::try_from(length).unwrap_or(u64::MAX);
        if bytes > name.kind().longest() {
            return Err(Refused::TooLong(bytes));
        }
        hash.update(&chunk[..length]);
        give(&chunk[..length])?;
    }
    let found = Id(hash.finalize().into());
    if name.id().is_some_and(|id| id != found) { Err(Refused::Mismatch) } else { Ok(bytes) }
}
