//! A relay between restic and `ssh`: it writes down each request that changes something in the second
//! room, and falls silent at one of them, so that a test ends the process exactly there.
//!
//! restic starts one for each of its calls, so what they share lies in a folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use vertskommune_provider::testing::Cut;

/// The longest packet that OpenSSH's server takes, in bytes.
const LONGEST: usize = 256 << 10;

/// How long whoever was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// The requests that change nothing: all others are writes.
const READS: &[u8] = &[INIT, CLOSE, READ, LSTAT, FSTAT, OPENDIR, READDIR, REALPATH, STAT, READLINK];
const INIT: u8 = 1;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const SETSTAT: u8 = 9;
const FSETSTAT: u8 = 10;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const READLINK: u8 = 19;
const EXTENDED: u8 = 200;

/// The flag of a file that is opened to be read, and nothing else.
const TO_READ: u32 = 1;

/// What restic renames with where the server knows it.
const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// Extended requests that change nothing.
const EXTENDED_READS: &[&str] = &["statvfs@openssh.com", "fstatvfs@openssh.com", "limits@openssh.com"];

/// The test's end of it.
pub struct Relay {
    folder: PathBuf,
}

impl Relay {
    /// Sets one up in this new folder: `relay` is the program `sftp-relay`, and `ssh` what it stands before.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn new(folder: &Path, relay: &Path, ssh: &Path) -> anyhow::Result<Self> {
        fs::create_dir(folder)?;
        let this = Self { folder: folder.to_owned() };
        let words = [relay, folder, ssh].map(|path| format!("'{}'", path.display()));
        fs::write(this.program(), format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")))?;
        fs::set_permissions(this.program(), fs::Permissions::from_mode(0o755))?;
        this.reset()?;
        Ok(this)
    }

    /// What the plugin has as its `ssh`.
    pub fn program(&self) -> PathBuf {
        self.folder.join("ssh")
    }

    /// Ends the way at the `nth` write from now on, counted from 0. It stays ended until the reset.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub fn cut(&self, nth: usize, cut: Cut) -> anyhow::Result<()> {
        self.reset()?;
        Ok(fs::write(Shared::of(&self.folder).cut, format!("{nth} {cut:?}"))?)
    }

    /// Empties the journal and opens the way.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub fn reset(&self) -> anyhow::Result<()> {
        let shared = Shared::of(&self.folder);
        for file in [&shared.cut, &shared.silent] {
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        Ok(fs::write(shared.journal, "")?)
    }

    /// The writes that got through since the last reset.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn journal(&self) -> anyhow::Result<Vec<String>> {
        let text = fs::read_to_string(Shared::of(&self.folder).journal)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Whether the way has ended: all writes before are carried out, and nothing gets through any more.
    pub fn is_cut(&self) -> bool {
        Shared::of(&self.folder).silent.exists()
    }

    /// Waits until no relay is there any more, nor anything that one has started.
    ///
    /// # Errors
    /// Where one stays.
    pub fn wait_for_all(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let alive = File::create(Shared::of(&self.folder).alive)?;
        while alive.try_lock().is_err() {
            ensure!(
                begun.elapsed() < PATIENCE,
                "what was started between restic and the second room is left"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// The files that all relays of a test share.
struct Shared {
    /// At which write the way ends, and how.
    cut: PathBuf,
    /// The writes that got through, a line each.
    journal: PathBuf,
    /// It is there once the way has ended.
    silent: PathBuf,
    /// Locked by every relay as long as it lives.
    alive: PathBuf,
}

impl Shared {
    fn of(folder: &Path) -> Self {
        let file = |name| folder.join(name);
        Self { cut: file("cut"), journal: file("journal"), silent: file("silent"), alive: file("alive") }
    }

    /// Writes a write down and says whether, and how, it is the one at which the way ends. One that does not get through
    /// is not written down.
    fn note(&self, write: &str) -> anyhow::Result<Option<Cut>> {
        let mut journal = File::options().read(true).append(true).open(&self.journal)?;
        journal.lock()?;
        let mut before = String::new();
        journal.read_to_string(&mut before)?;
        let number = before.lines().count();
        let cut = match fs::read_to_string(&self.cut) {
            Ok(told) if told == format!("{number} {:?}", Cut::Before) => return Ok(Some(Cut::Before)),
            Ok(told) if told == format!("{number} {:?}", Cut::After) => Some(Cut::After),
            _ => None,
        };
        writeln!(journal, "{write}")?;
        Ok(cut)
    }
}

/// What the program `sftp-relay` does: its arguments are the folder, `ssh`, and what that is given.
///
/// # Errors
/// Where it cannot do its work. What `ssh` comes to is its own exit code.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let (Some(folder), Some(ssh)) = (arguments.next(), arguments.next()) else {
        bail!("name a folder and a program")
    };
    let shared = Shared::of(Path::new(&folder));
    let alive = File::create(&shared.alive)?;
    alive.lock_shared()?;
    let ssh = Command::new(ssh).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut ssh = ssh.context("ssh")?;
    let (Some(to), Some(from)) = (ssh.stdin.take(), ssh.stdout.take()) else { bail!("it has no pipes") };
    let flow = Flow { is_silent: shared.silent.exists(), ..Flow::default() };
    let way = Arc::new(Way { shared, flow: Mutex::new(flow), ssh: Mutex::new(ssh) });
    // Not waited for: where the other side ends first, restic has to be told by this program's end.
    let upward = way.clone();
    std::thread::spawn(move || upward.ask(to));
    way.answer(from)?;
    let ended = way.ssh().wait()?;
    Ok(ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What is between restic and `ssh`.
struct Way {
    shared: Shared,
    flow: Mutex<Flow>,
    ssh: Mutex<Child>,
}

#[derive(Default)]
struct Flow {
    /// Requests that wait for their answers.
    owed: usize,
    /// Whether no request gets through any more.
    is_silent: bool,
    /// The request whose answer does not come back.
    withheld: Option<u32>,
}

impl Way {
    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ssh(&self) -> MutexGuard<'_, Child> {
        self.ssh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what restic asks until it has ended.
    fn ask(&self, to: ChildStdin) {
        // However it ends, restic sees that nothing gets through, and the test why.
        if let Err(error) = self.pass_on(to) {
            eprintln!("sftp-relay: {error:#}");
        }
        if self.flow().is_silent {
            // A process that died would not have sent what is on its way.
            let _ = self.ssh().kill();
        }
    }

    fn pass_on(&self, mut to: ChildStdin) -> anyhow::Result<()> {
        let mut restic = BufReader::new(io::stdin());
        while let Some(packet) = packet(&mut restic)? {
            if self.gets_through(&Request(&packet))? {
                to.write_all(&packet)?;
            }
        }
        Ok(())
    }

    fn gets_through(&self, request: &Request<'_>) -> anyhow::Result<bool> {
        let mut flow = self.flow();
        if flow.is_silent {
            return Ok(false);
        }
        let cut = match request.write()? {
            Some(write) => self.shared.note(&write)?,
            None => None,
        };
        flow.is_silent = cut.is_some();
        if cut == Some(Cut::Before) {
            self.tell(&flow)?;
            return Ok(false);
        }
        flow.withheld = cut.map(|_| request.id());
        flow.owed += 1;
        Ok(true)
    }

    /// Passes on what is answered until `ssh` has ended.
    fn answer(&self, from: impl Read) -> anyhow::Result<()> {
        let mut from = BufReader::new(from);
        let mut restic = io::stdout().lock();
        while let Some(packet) = packet(&mut from)? {
            let mut flow = self.flow();
            flow.owed = flow.owed.saturating_sub(1);
            if flow.withheld.is_none_or(|withheld| withheld != Request(&packet).id()) {
                // It may be gone already.
                let _ = restic.write_all(&packet).and_then(|()| restic.flush());
            }
            self.tell(&flow)?;
        }
        Ok(())
    }

    /// Tells the test once all that came before is carried out: where it dies is so the same each time.
    fn tell(&self, flow: &Flow) -> io::Result<()> {
        if flow.is_silent && flow.owed == 0 { File::create(&self.shared.silent).map(drop) } else { Ok(()) }
    }
}

/// The next packet, with its length before it; none at the end.
fn packet(from: &mut impl Read) -> anyhow::Result<Option<Vec<u8>>> {
    let mut packet = vec![0; 4];
    if from.read(&mut packet[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut packet[1..])?;
    let length = usize::try_from(u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]))?;
    ensure!((5..=LONGEST).contains(&length), "a packet of {length} bytes");
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..])?;
    Ok(Some(packet))
}

/// A packet of SFTP's third version.
struct Request<'a>(&'a [u8]);

impl Request<'_> {
    fn id(&self) -> u32 {
        u32::from_be_bytes([self.0[5], self.0[6], self.0[7], self.0[8]])
    }

    /// What it changes, in words; nothing where it only reads.
    fn write(&self) -> anyhow::Result<Option<String>> {
        let kind = self.0[4];
        if READS.contains(&kind) {
            return Ok(None);
        }
        let mut fields = Fields(self.0.get(9..).unwrap_or_default());
        // A path, or the name of an extended request; of some it is a handle, which tells nothing.
        let first = fields.text()?;
        let write = match kind {
            OPEN if fields.number()? == TO_READ => return Ok(None),
            EXTENDED if EXTENDED_READS.contains(&first.as_str()) => return Ok(None),
            OPEN => format!("open {first}"),
            WRITE => "write".to_owned(),
            SETSTAT => format!("setstat {first}"),
            FSETSTAT => "fsetstat".to_owned(),
            REMOVE => format!("remove {first}"),
            MKDIR => format!("mkdir {first}"),
            RMDIR => format!("rmdir {first}"),
            RENAME => format!("rename {first} {}", fields.text()?),
            EXTENDED if first == POSIX_RENAME => format!("rename {} {}", fields.text()?, fields.text()?),
            EXTENDED => first,
            kind => format!("request {kind}"),
        };
        Ok(Some(write))
    }
}

/// What a packet has behind its number.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).context("a packet ends too soon")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> anyhow::Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn text(&mut self) -> anyhow::Result<String> {
        let length = usize::try_from(self.number()?)?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}
