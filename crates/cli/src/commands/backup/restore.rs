//! `vertskommune backup restore`: gives a disk back, as raw bytes in a file, or a server as a new machine.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use anyhow::{Context as _, bail, ensure};
use clap::{ArgGroup, Args};
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;
use vertskommune_core::names::{ProviderName, is_label};
use vertskommune_core::render::size;
use vertskommune_engine::Engine;
use vertskommune_provider::context::Always;
use vertskommune_provider::{Moved, Restore as Wanted, RestoreServer};

use super::whose::Whose;
use crate::carrying_out::Writer;
use crate::embedded::Embedded;
use crate::exit::Exit;
use crate::{embedded, interrupt, output, progress};

/// Gives a disk of a server back as it was, as a raw image, or the server as a new machine beside the old one
///
/// With `--to`, a file appears under its name only when every byte was right. The tenant's manifest need not be there any
/// more. It is read like any raw disk: `qemu-img convert`, a loop device, or an upload as the disk of a new machine.
///
/// With `--as`, a machine of that name is made where the manifest has the tenant's servers, with all disks of the run. It
/// is switched off and its network cards are not plugged in, so that it gets in nobody's way, and nothing but you ever
/// changes or removes it. It holds our claim on that system meanwhile, as `apply` does: where a controller runs, stop it
/// first.
#[derive(Args)]
#[command(group(ArgGroup::new("back").required(true).args(["to", "name"])))]
pub(super) struct Restore {
    #[command(flatten)]
    whose: Whose,
    /// The server
    #[arg(value_name = "SERVER")]
    server: String,
    /// Its disk, by the name that `backup list` shows; the server's only one where none is named
    #[arg(long, value_name = "DISK", conflicts_with = "name")]
    disk: Option<String>,
    /// The run, by its id as `backup list` shows it; the last one where none is named
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// The file that is made
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The machine that is made, by a name that no other has
    #[arg(long = "as", value_name = "NAME", value_parser = machine_name)]
    name: Option<String>,
    /// Put it in the place of a file that is there
    #[arg(long, conflicts_with = "name")]
    force: bool,
    #[command(flatten)]
    writer: Writer,
}

/// What a server may be called in a manifest too.
fn machine_name(text: &str) -> Result<String, String> {
    if text.len() <= 63 && is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("a machine's name has up to 63 lower-case letters, digits and hyphens, none of these at an end"
            .to_owned())
    }
}

impl Restore {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        embedded::block_on(self.restore())
    }

    async fn restore(&self) -> anyhow::Result<Exit> {
        match (&self.to, &self.name) {
            (_, Some(name)) => self.as_machine(name).await,
            (Some(to), None) => self.as_file(to).await,
            (None, None) => bail!("name a file with --to, or a machine with --as"),
        }
    }

    async fn as_machine(&self, name: &str) -> anyhow::Result<Exit> {
        let tenant = &self.whose.tenant;
        let (embedded, provider) = self.whose.read(Arc::new(Always)).await?;
        ensure!(
            embedded.world.tenant(tenant).is_some(),
            "the manifest of {tenant} is not there, or is refused, and it says where a machine is made: put it back, or \
             have the disks given back with --to"
        );
        embedded.engine.lands(&embedded.world, tenant, name)?;
        let wanted = RestoreServer {
            tenant: tenant.clone(),
            server: self.server.clone(),
            run: self.run.clone(),
            name: name.to_owned(),
        };
        let cancel = CancellationToken::new();
        let _listening = interrupt::listen(cancel.clone())?;
        self.writer.take_over(&embedded).await?;
        let made = self.make(&embedded, &provider, &wanted, &cancel).await;
        progress::clear();
        // Whatever happened, the next one need not wait for the end of our claims.
        progress::during("giving our claims back", embedded.engine.release_claims()).await;
        made
    }

    async fn make(
        &self,
        embedded: &Embedded,
        provider: &ProviderName,
        wanted: &RestoreServer,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Exit> {
        let RestoreServer { tenant, server, name, .. } = wanted;
        let what = format!("{server} of {tenant} as {name}");
        let said = AtomicU8::new(0);
        let tell = |moved: Moved| tell(&what, moved, &said);
        let restored = embedded.engine.restore_server(&embedded.world, provider, wanted, &tell, cancel).await;
        if cancel.is_cancelled() && restored.is_err() {
            return Ok(Exit::Interrupted);
        }
        let restored = restored.with_context(|| format!("{what} was not restored"))?;
        for left in &restored.without {
            output::note(format_args!("{name} does without {left}"));
        }
        output::note(format_args!(
            "restored {what} from the backup {}: {}; it is off, its network cards are not plugged in, and no pass changes or \
             removes it",
            restored.run,
            size(restored.moved.bytes)
        ));
        Ok(Exit::Success)
    }

    async fn as_file(&self, to: &Path) -> anyhow::Result<Exit> {
        // First what costs nothing to find out.
        let file = self.place(to)?;
        // A lock on the repository is a file of ours there; nothing else is written.
        let (embedded, provider) = self.whose.read(Arc::new(Always)).await?;
        let disk = match &self.disk {
            Some(disk) => disk.clone(),
            None => self.only_disk(&embedded.engine, &provider).await?,
        };
        let wanted = Wanted {
            tenant: self.whose.tenant.clone(),
            server: self.server.clone(),
            disk,
            run: self.run.clone(),
        };
        let cancel = CancellationToken::new();
        let _listening = interrupt::listen(cancel.clone())?;
        let what = format!("{}/{} of {}", wanted.server, wanted.disk, wanted.tenant);
        let written = Arc::new(AtomicU64::new(0));
        let back = Sparse { file: file.as_file().try_clone()?, written: written.clone() };
        let said = AtomicU8::new(0);
        let tell = |moved: Moved| tell(&what, moved, &said);
        let restored = embedded.engine.restore(&provider, &wanted, Box::new(back), &tell, &cancel).await;
        progress::clear();
        if cancel.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        let moved = restored
            .with_context(|| format!("{what} was not restored, and {} was not made", to.display()))?;
        let written = written.load(Ordering::SeqCst);
        ensure!(written == moved.bytes, "{written} bytes were written of {}: nothing was made", moved.bytes);
        self.keep(file, to, written)?;
        output::note(format_args!("restored {what} to {}: {}", to.display(), size(written)));
        Ok(Exit::Success)
    }

    /// A file beside the one that is wanted, which is gone with us unless it is kept.
    fn place(&self, to: &Path) -> anyhow::Result<NamedTempFile> {
        if let Ok(there) = std::fs::symlink_metadata(to) {
            ensure!(there.is_file(), "{} is no plain file: name one that is made", to.display());
            ensure!(self.force, "{} is there already: name another file, or add --force", to.display());
        }
        let folder = match to.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let Some(name) = to.file_name() else { bail!("{} is no file", to.display()) };
        let prefix = format!(".{}.", name.to_string_lossy());
        let file = tempfile::Builder::new().prefix(&prefix).suffix(".part").tempfile_in(folder);
        file.with_context(|| format!("nothing can be written in {}", folder.display()))
    }

    fn keep(&self, file: NamedTempFile, to: &Path, length: u64) -> anyhow::Result<()> {
        let broken = || format!("{} cannot be written", to.display());
        file.as_file().set_len(length).with_context(broken)?;
        file.as_file().sync_all().with_context(broken)?;
        let kept = if self.force { file.persist(to) } else { file.persist_noclobber(to) };
        kept.map(drop).map_err(|error| error.error).with_context(broken)
    }

    async fn only_disk(&self, engine: &Engine, provider: &ProviderName) -> anyhow::Result<String> {
        let tenant = &self.whose.tenant;
        let runs =
            progress::during(&format!("listing the backups of {tenant}"), engine.runs(provider, tenant))
                .await?;
        let of_server = |run: &&vertskommune_provider::Run| {
            run.server == self.server && self.run.as_ref().is_none_or(|id| *id == run.run)
        };
        let Some(run) = runs.iter().find(of_server) else {
            bail!("there is no such backup of {} on {provider}: see `backup list {tenant}`", self.server);
        };
        let disks: Vec<&str> = run.disks.keys().map(String::as_str).collect();
        match disks.as_slice() {
            [one] => Ok((*one).to_owned()),
            all => bail!("name a disk of {} with --disk: there is {}", self.server, all.join(", ")),
        }
    }
}

/// How far it is: in place on a terminal, at every tenth elsewhere.
fn tell(what: &str, moved: Moved, said: &AtomicU8) {
    let percent = u128::from(moved.bytes) * 100 / u128::from(moved.of.max(1));
    let percent = u8::try_from(percent).unwrap_or(100).min(100);
    if progress::is_live() {
        progress::show(format!("Restoring {what}: {} of {} ({percent}%)", size(moved.bytes), size(moved.of)));
    } else if said.swap(percent / 10, Ordering::SeqCst) < percent / 10 {
        output::note(format_args!("restoring {what} ({percent}%)"));
    }
}

/// Writes a disk without its empty parts: a disk of 500 GiB is mostly nothing.
struct Sparse {
    file: File,
    written: Arc<AtomicU64>,
}

/// As long a part is left out where it is empty: a block of the file system.
const BLOCK: usize = 4096;

fn is_empty(part: &[u8]) -> bool {
    part.iter().all(|byte| *byte == 0)
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Never past the end of a block, so that blocks are whole where they lie.
        let at = self.written.load(Ordering::SeqCst);
        let rest = BLOCK - usize::try_from(at % BLOCK as u64).unwrap_or_default();
        let first = &bytes[..rest.min(bytes.len())];
        let wrote = if is_empty(first) {
            let empty = first.len()
                + bytes[first.len()..]
                    .chunks(BLOCK)
                    .take_while(|it| is_empty(it))
                    .map(<[u8]>::len)
                    .sum::<usize>();
            self.file.seek(SeekFrom::Current(i64::try_from(empty).unwrap_or_default()))?;
            empty
        } else {
            let rest = bytes[first.len()..].chunks(BLOCK).take_while(|it| !is_empty(it));
            let full = first.len() + rest.map(<[u8]>::len).sum::<usize>();
            self.file.write(&bytes[..full])?
        };
        self.written.fetch_add(wrote as u64, Ordering::SeqCst);
        Ok(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_called_as_a_server_may_be() {
        for (name, good) in [
            ("ibe-fs01-restored", true),
            ("a", true),
            (&*"a".repeat(64), false),
            ("", false),
            ("IBE", false),
            ("-a", false),
            ("a-", false),
            ("a/b", false),
        ] {
            assert_eq!(machine_name(name).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn a_disk_comes_back_byte_for_byte_and_its_empty_parts_take_no_room() {
        let mut disk = vec![0_u8; 1 << 20];
        disk[..10].fill(1);
        disk[9_000..9_001].fill(2);
        disk[500_000..530_001].fill(3);
        for chunk in [1000, 4096, 65_536, 1 << 20] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let written = Arc::new(AtomicU64::new(0));
            let mut to = Sparse { file: file.as_file().try_clone().unwrap(), written: written.clone() };
            disk.chunks(chunk).for_each(|part| to.write_all(part).unwrap());
            let length = written.load(Ordering::SeqCst);
            assert_eq!(length, disk.len() as u64);
            file.as_file().set_len(length).unwrap();
            assert_eq!(std::fs::read(file.path()).unwrap(), disk, "chunks of {chunk}");
            #[cfg(target_os = "linux")]
            {
                use std::os::unix::fs::MetadataExt as _;
                let blocks = file.as_file().metadata().unwrap().blocks() * 512;
                assert!(blocks < 100_000, "{blocks} bytes are used for 30 kB in chunks of {chunk}");
            }
        }
    }
}
