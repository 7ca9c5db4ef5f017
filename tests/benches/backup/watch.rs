//! A command that runs, and what it and its children take meanwhile, seen from outside by /proc. What a process used since it was
//! last looked at is not counted.

use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use vertskommune_tests::measure::{Unused, memory, processor};

/// How often processes are looked at: each look takes processor time from what is measured.
const EVERY: Duration = Duration::from_millis(100);

/// How often the one that takes the disk is looked for.
const SOON: Duration = Duration::from_millis(20);

/// How a command went.
#[derive(Default)]
pub(crate) struct Watched {
    /// From its start to its end.
    pub(crate) whole: Duration,
    /// The life of the restic that takes the disk.
    pub(crate) stream: Duration,
    /// What the machine left unused meanwhile.
    pub(crate) unused: Unused,
    /// `vertskommune` itself; nothing by hand.
    pub(crate) program: Used,
    /// That restic.
    pub(crate) restic: Used,
    /// What moves its bytes: ssh.
    pub(crate) ssh: Used,
}

/// What a process used in its life.
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) processor: Duration,
    /// The most that was resident, in KiB.
    pub(crate) memory: u64,
}

impl Used {
    /// Takes a look, where the process is still there.
    fn look(&mut self, process: u32) {
        let process = process.to_string();
        // Between the two it may end, and a dead one has no memory.
        let (Ok((_, most)), Ok(processor)) = (memory(&process), processor(&process)) else { return };
        (self.memory, self.processor) = (self.memory.max(most), self.processor.max(processor));
    }
}

/// Waits for its end. It has to succeed, and to have given a disk to restic.
pub(crate) fn to_its_end(mut command: Child) -> anyhow::Result<Watched> {
    let (begun, mut watched) = (Instant::now(), Watched::default());
    let status = loop {
        if let Some(status) = command.try_wait()? {
            break status;
        }
        if watched.stream.is_zero() {
            let mut family = std::iter::once(command.id()).chain(children(command.id()));
            if let Some(restic) = family.find(|process| is_taking_a_disk(*process)) {
                watched.follow(command.id(), restic)?;
                continue;
            }
        }
        watched.program.look(command.id());
        std::thread::sleep(SOON);
    };
    watched.whole = begun.elapsed();
    ensure!(status.success(), "the command ended with {status}");
    ensure!(!watched.stream.is_zero(), "no restic was seen to take a disk");
    Ok(watched)
}

impl Watched {
    /// Looks on until the restic that takes the disk has ended, which is told by the kernel at once.
    fn follow(&mut self, command: u32, restic: u32) -> anyhow::Result<()> {
        let (begun, unused) = (Instant::now(), Unused::now()?);
        let ended = until_its_end(restic)?;
        let mut ssh = Vec::new();
        while !has_ended(&ended, EVERY)? {
            if ssh.is_empty() {
                ssh = children(restic);
            }
            if command != restic {
                self.program.look(command);
            }
            self.restic.look(restic);
            for child in &ssh {
                self.ssh.look(*child);
            }
        }
        self.stream = begun.elapsed();
        self.unused = Unused::now()?.since(unused);
        Ok(())
    }
}

/// What is readable once the process has ended.
fn until_its_end(process: u32) -> anyhow::Result<OwnedFd> {
    let process = Pid::from_raw(i32::try_from(process)?).context("a process has no number 0")?;
    Ok(pidfd_open(process, PidfdFlags::empty())?)
}

fn has_ended(readable: &OwnedFd, within: Duration) -> anyhow::Result<bool> {
    let mut fds = [PollFd::new(readable, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec::try_from(within)?))? > 0)
}

/// Whether it is restic, or what becomes restic in a moment, with a disk on its standard input.
fn is_taking_a_disk(process: u32) -> bool {
    let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let mut arguments = arguments.split(|byte| *byte == 0);
    // The name of what is given follows; a run's notes are given the same way and called otherwise.
    arguments.any(|argument| argument == b"--stdin") && arguments.any(|argument| argument.ends_with(b".raw"))
}

/// The children of a process, whichever of its threads began them.
fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}
