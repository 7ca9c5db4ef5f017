//! Files in other words: all of them, or none.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

/// A file with the text that it had when it was read, and the one that it is to have.
pub(crate) struct Rewrite<'a> {
    pub(crate) path: &'a Path,
    pub(crate) before: &'a str,
    pub(crate) after: &'a str,
}

/// Writes all of them beside the files, and then puts each in its place. Where one cannot be, those before it are put
/// back.
///
/// # Errors
/// A file has changed since it was read, or cannot be written. Then all are as they were, or the error says which is not.
pub(crate) fn rewrite(files: &[Rewrite<'_>]) -> anyhow::Result<()> {
    let mut staged = Vec::new();
    for file in files {
        staged.push(Staged::new(file.path, file.after)?);
    }
    for file in files {
        unchanged(file)?;
    }
    for (done, file) in staged.iter().enumerate() {
        if let Err(error) = file.put() {
            return Err(put_back(&files[..done], error));
        }
    }
    Ok(())
}

fn unchanged(file: &Rewrite<'_>) -> anyhow::Result<()> {
    let path = file.path.display();
    let now = fs::read(file.path).with_context(|| format!("{path} cannot be read again"))?;
    if now != file.before.as_bytes() {
        bail!("{path} has changed since it was read: nothing is written, so run it again");
    }
    Ok(())
}

fn put_back(done: &[Rewrite<'_>], error: anyhow::Error) -> anyhow::Error {
    let back =
        |file: &&Rewrite<'_>| Staged::new(file.path, file.before).and_then(|staged| staged.put()).is_err();
    let lost: Vec<_> = done.iter().filter(back).map(|file| file.path.display().to_string()).collect();
    if lost.is_empty() {
        error.context("nothing is written")
    } else {
        error.context(format!("{} are written and could not be put back", lost.join(", ")))
    }
}

/// A new text beside the file that it is for. It goes away with this.
struct Staged {
    beside: PathBuf,
    /// Where the file really is, so that a link to it stays one.
    file: PathBuf,
}

impl Staged {
    fn new(path: &Path, text: &str) -> anyhow::Result<Self> {
        let broken = || format!("{} cannot be written", path.display());
        let file = path.canonicalize().with_context(broken)?;
        let name = file.file_name().ok_or_else(|| anyhow!("is no file")).with_context(broken)?;
        // Hidden, so that nobody takes it for a manifest.
        let beside = file.with_file_name(format!(".{}.new", name.to_string_lossy()));
        let mut new = OpenOptions::new().write(true).create_new(true).open(&beside).with_context(|| {
            format!(
                "{} cannot be made: where it is left from a run that broke off, delete it",
                beside.display()
            )
        })?;
        let staged = Self { beside, file };
        let permissions = fs::metadata(&staged.file).with_context(broken)?.permissions();
        new.set_permissions(permissions).with_context(broken)?;
        new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).with_context(broken)?;
        Ok(staged)
    }

    fn put(&self) -> anyhow::Result<()> {
        fs::rename(&self.beside, &self.file)
            .with_context(|| format!("{} cannot be put in its place", self.file.display()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Where it is in its place already, there is nothing to take away.
        let _ = fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(folder: &Path) -> Vec<(String, String)> {
        let mut texts: Vec<_> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    fs::read_to_string(path).unwrap_or_default(),
                )
            })
            .collect();
        texts.sort();
        texts
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            fs::write(folder.path().join(name), "old").unwrap();
        }
        folder
    }

    fn run(folder: &Path, before: [&str; 3]) -> anyhow::Result<()> {
        let paths = ["a", "b", "c"].map(|name| folder.join(name));
        let files: Vec<_> =
            paths.iter().zip(before).map(|(path, before)| Rewrite { path, before, after: "new" }).collect();
        rewrite(&files)
    }

    #[test]
    fn all_are_written_and_nothing_is_left_beside() {
        let folder = folder();
        run(folder.path(), ["old"; 3]).unwrap();
        let new = |name: &str| (name.to_owned(), "new".to_owned());
        assert_eq!(texts(folder.path()), ["a", "b", "c"].map(new));
    }

    #[test]
    fn one_that_changed_meanwhile_stops_all() {
        let folder = folder();
        let before = texts(folder.path());
        let error = run(folder.path(), ["old", "older", "old"]).unwrap_err();
        assert!(error.to_string().contains("b has changed since it was read"), "{error}");
        assert_eq!(texts(folder.path()), before);
    }

    #[test]
    fn those_that_were_written_are_put_back() {
        let folder = folder();
        let before = texts(folder.path());
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let staged: Vec<_> = paths.iter().map(|path| Staged::new(path, "new").unwrap()).collect();
        staged[0].put().unwrap();
        // The second vanishes before its turn.
        fs::remove_file(&staged[1].beside).unwrap();
        let error = staged[1].put().unwrap_err();
        let done = [Rewrite { path: &paths[0], before: "old", after: "new" }];
        let error = put_back(&done, error);
        assert_eq!(error.to_string(), "nothing is written");
        drop(staged);
        assert_eq!(texts(folder.path()), before);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = folder();
        let (file, link) = (folder.path().join("a"), folder.path().join("link"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        rewrite(&[Rewrite { path: &link, before: "old", after: "new" }]).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
