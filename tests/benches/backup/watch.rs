//! A command that runs, and what it and its children take meanwhile, seen from outside by /proc. What a process used since it was
//! last looked at is not counted.

use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::ensure;
use vertskommune_tests::measure::{memory, processor};

/// How often it is looked at: each look takes processor time from what is measured.
const EVERY: Duration = Duration::from_millis(50);

/// How a command went.
#[derive(Default)]
pub(crate) struct Watched {
    /// From its start to its end.
    pub(crate) whole: Duration,
    /// The life of the restic that takes the disk.
    pub(crate) stream: Duration,
    /// `vertskommune` itself; nothing by hand.
    pub(crate) program: Used,
    /// That restic.
    pub(crate) restic: Used,
    /// What moves its bytes: `vertskommune backup pipe`, or ssh.
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
    /// Takes a look, and says whether the process is still there.
    fn look(&mut self, process: u32) -> bool {
        let process = process.to_string();
        // Between the two it may end, and a dead one has no memory.
        let (Ok((_, most)), Ok(processor)) = (memory(&process), processor(&process)) else { return false };
        (self.memory, self.processor) = (self.memory.max(most), self.processor.max(processor));
        true
    }
}

/// Waits for its end. It has to succeed, and to have given a disk to restic.
pub(crate) fn to_its_end(mut command: Child) -> anyhow::Result<Watched> {
    let (begun, mut watched) = (Instant::now(), Watched::default());
    let (mut takes_disk, mut stream_begun) = (None, None);
    let status = loop {
        if let Some(status) = command.try_wait()? {
            break status;
        }
        if takes_disk.is_none() {
            let family = std::iter::once(command.id()).chain(children(command.id()));
            takes_disk = family.into_iter().find(|process| is_taking_a_disk(*process));
        }
        if takes_disk != Some(command.id()) {
            watched.program.look(command.id());
        }
        if let Some(restic) = takes_disk
            && watched.restic.look(restic)
        {
            watched.stream = stream_begun.get_or_insert_with(Instant::now).elapsed();
            for child in children(restic) {
                watched.ssh.look(child);
            }
        }
        std::thread::sleep(EVERY);
    };
    watched.whole = begun.elapsed();
    ensure!(status.success(), "the command ended with {status}");
    ensure!(!watched.stream.is_zero(), "no restic was seen to take a disk");
    Ok(watched)
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
