//! The agent's files put in their places: all is looked at before anything is written, and the key comes last, so that
//! whoever is let in finds the whole of it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::geteuid;
use serde::Serialize;
use tempfile::NamedTempFile;
use vertskommune_provider_ad::agents::{self, AllowList, System};

/// What is to be there for the agent for Samba.
pub(super) struct Wanted<'a> {
    pub(super) key: &'a str,
    pub(super) allowed: &'a AllowList,
}

/// What came of it, in the order in which it was done.
#[derive(Serialize)]
pub(super) struct Done {
    pub(super) files: [Put; 3],
    /// What the administrators' list that was there does not allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lacking: Option<AllowList>,
}

/// One file.
#[derive(Serialize)]
pub(super) struct Put {
    pub(super) path: &'static str,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It was written.
    Put,
    /// It was right.
    Unchanged,
    /// It is others', and stays.
    Kept,
}

/// Puts the agent below this root.
///
/// # Errors
/// All that stands in the way at once, and then nothing is written; or what could not be written.
pub(super) fn put(root: &Path, wanted: &Wanted<'_>) -> anyhow::Result<Done> {
    if root == Path::new("/") && !geteuid().is_root() {
        bail!("--put writes files of root's: run it as root on the domain controller");
    }
    let system = System::Samba;
    let mut wrong = Vec::new();
    let mut look = |path, mode, folder_mode| {
        Place::look(root, path, mode, folder_mode).map_err(|error| wrong.push(error)).ok()
    };
    let list = look(system.allow_list_path(), 0o644, 0o755);
    let program = look(system.program_path(), 0o755, 0o755);
    let keys = look(system.keys_path(), 0o600, 0o700);
    let lacking = list.as_ref().and_then(|list| {
        let there = list.lacks(wanted.allowed).map_err(|error| wrong.push(error)).ok()?;
        there.filter(|lacking| !lacking.is_empty())
    });
    let with_key = keys.as_ref().and_then(|keys| {
        let there = keys.there.as_deref().unwrap_or_default();
        agents::with_key(there, wanted.key).map_err(|error| wrong.push(format!("{keys}: {error}"))).ok()
    });
    let (Some(list), Some(program), Some(keys), Some(with_key), true) =
        (list, program, keys, with_key, wrong.is_empty())
    else {
        bail!("nothing is put:\n  {}", wrong.join("\n  "));
    };
    let stands =
        program.there.as_deref() == Some(system.program()) && program.mode_there == Some(program.mode);
    // All of them are on the disk before the first has its name.
    let new_list = list.there.is_none().then(|| list.stage(&wanted.allowed.to_string())).transpose()?;
    let new_program = (!stands).then(|| program.stage(system.program())).transpose()?;
    let new_keys = with_key.map(|text| keys.stage(&text)).transpose()?;
    let kept = if lacking.is_some() { Outcome::Kept } else { Outcome::Unchanged };
    let finish = || {
        Ok([
            list.finish(new_list, kept)?,
            program.finish(new_program, Outcome::Unchanged)?,
            keys.finish(new_keys, Outcome::Unchanged)?,
        ])
    };
    let files = finish().map_err(|error: anyhow::Error| {
        error.context("not all is put, and the key is not let in by it: run it again")
    })?;
    Ok(Done { files, lacking })
}

/// Where a file is to be, and what is there now.
struct Place {
    /// As the agent and people know it.
    path: &'static str,
    file: PathBuf,
    folder: PathBuf,
    folder_mode: u32,
    mode: u32,
    there: Option<String>,
    mode_there: Option<u32>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.display().fmt(f)
    }
}

impl Place {
    /// Looks at the file and its folder. What others could change is nothing that a domain may rely on.
    fn look(root: &Path, path: &'static str, mode: u32, folder_mode: u32) -> Result<Self, String> {
        let file = root.join(path.trim_start_matches('/'));
        let folder = file.parent().unwrap_or(root).to_owned();
        let at = |error: io::Error| format!("{} cannot be read: {error}", file.display());
        if let Some(there) = found(fs::symlink_metadata(&folder)).map_err(at)? {
            must_be_ours(&folder, &there, there.is_dir(), "folder")?;
        }
        let there = found(fs::symlink_metadata(&file)).map_err(at)?;
        let text = match &there {
            Some(there) => {
                must_be_ours(&file, there, there.is_file(), "file")?;
                Some(fs::read_to_string(&file).map_err(at)?)
            }
            None => None,
        };
        let mode_there = there.map(|there| there.mode() & 0o7777);
        Ok(Self { path, file, folder, folder_mode, mode, there: text, mode_there })
    }

    /// What the list that is there lacks of this one; none where there is no list.
    fn lacks(&self, wanted: &AllowList) -> Result<Option<AllowList>, String> {
        let Some(text) = &self.there else { return Ok(None) };
        let there = AllowList::parse(text)
            .map_err(|error| format!("{self} cannot be used: {:#}: put it right first", anyhow!(error)))?;
        Ok(Some(there.lacks(wanted)))
    }

    /// Writes what is to be there beside it.
    fn stage(&self, text: &str) -> anyhow::Result<NamedTempFile> {
        make_folder(&self.folder, self.folder_mode)?;
        // Keys that are there keep their mode; a program is to be run, whatever it was.
        let mode = self.mode_there.filter(|_| self.mode & 0o111 == 0).unwrap_or(self.mode);
        stage(&self.folder, text, mode).with_context(|| format!("{self} cannot be written"))
    }

    /// Gives what was staged its name, where the place is still as it was.
    fn finish(&self, staged: Option<NamedTempFile>, otherwise: Outcome) -> anyhow::Result<Put> {
        let Some(staged) = staged else { return Ok(Put { path: self.path, outcome: otherwise }) };
        let broken = || format!("{self} cannot be put in its place");
        match &self.there {
            None => staged.persist_noclobber(&self.file).map(drop).with_context(broken)?,
            Some(before) => {
                if fs::read_to_string(&self.file).with_context(broken)? != *before {
                    return Err(anyhow!("it has changed meanwhile")).with_context(broken);
                }
                staged.persist(&self.file).map(drop).with_context(broken)?;
            }
        }
        fs::File::open(&self.folder).and_then(|folder| folder.sync_all()).with_context(broken)?;
        Ok(Put { path: self.path, outcome: Outcome::Put })
    }
}

/// Writes new files into a folder, to be carried elsewhere. One that is there with the same text is written again.
///
/// # Errors
/// A file is there with another text; then nothing is written. Or one cannot be written.
pub(super) fn write_new<'a>(
    folder: &Path,
    files: impl Iterator<Item = (String, u32, &'a str)>,
) -> anyhow::Result<Vec<PathBuf>> {
    let files: Vec<_> = files.map(|(name, mode, text)| (folder.join(name), mode, text)).collect();
    let differs = |path: &Path, text: &str| match fs::read(path) {
        Ok(there) => there != text.as_bytes(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    let others = files.iter().filter(|(path, _, text)| differs(path, text));
    let others: Vec<_> = others.map(|(path, ..)| path.display().to_string()).collect();
    if !others.is_empty() {
        bail!("{} is there with another content: name a new folder", others.join(", "));
    }
    make_folder(folder, 0o755)?;
    for (path, mode, text) in &files {
        let broken = || format!("{} cannot be written", path.display());
        stage(folder, text, *mode).with_context(broken)?.persist(path).with_context(broken)?;
    }
    Ok(files.into_iter().map(|(path, ..)| path).collect())
}

fn stage(folder: &Path, text: &str, mode: u32) -> io::Result<NamedTempFile> {
    let mut staged = tempfile::Builder::new().prefix(".vertskommune-").suffix(".new").tempfile_in(folder)?;
    staged.as_file().set_permissions(Permissions::from_mode(mode))?;
    staged.write_all(text.as_bytes())?;
    staged.as_file().sync_all()?;
    Ok(staged)
}

fn make_folder(folder: &Path, mode: u32) -> anyhow::Result<()> {
    let broken = || format!("{} cannot be made", folder.display());
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(above).with_context(broken)?;
    }
    DirBuilder::new().mode(mode).create(folder).with_context(broken)?;
    // Whatever the umask is.
    fs::set_permissions(folder, Permissions::from_mode(mode)).with_context(broken)
}

fn found(there: io::Result<fs::Metadata>) -> io::Result<Option<fs::Metadata>> {
    match there {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        there => there.map(Some),
    }
}

fn must_be_ours(path: &Path, there: &fs::Metadata, formed: bool, what: &str) -> Result<(), String> {
    let path = path.display();
    if !formed {
        return Err(format!(
            "{path} is no {what}: a link or something else stands there, so put it right by hand"
        ));
    }
    if there.uid() != geteuid().as_raw() || there.mode() & 0o022 != 0 {
        return Err(format!(
            "{path} must belong to root and be writable by nobody else: chown root, chmod go-w"
        ));
    }
    Ok(())
}
